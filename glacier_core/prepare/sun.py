"""Where the sun stands over a scene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from glacier_core.errors import SceneError

J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Sun:
    """The sun's direction at the scene's centre.

    Raises:
        SceneError: the angles are none, or the sun is below the horizon: such a scene shows nothing by its light.
    """

    azimuth_deg: float
    """Degrees clockwise from true north."""
    elevation_deg: float
    """Degrees above the horizon, more than 0 and at most 90."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.azimuth_deg) and 0 < self.elevation_deg <= 90):
            raise SceneError(
                f"the sun stands at azimuth {self.azimuth_deg:g} and elevation {self.elevation_deg:g}",
                expected="degrees, with an elevation above 0 and up to 90",
            )

    @classmethod
    def of_item(cls, item: Mapping[str, Any]) -> Sun:
        """The sun of a STAC item, by the extension `view` (https://github.com/stac-extensions/view).

        Raises:
            SceneError: the item does not tell.
        """
        properties = item.get("properties") or {}
        try:
            return cls(float(properties["view:sun_azimuth"]), float(properties["view:sun_elevation"]))
        except (KeyError, TypeError, ValueError):
            raise SceneError(
                f"item {item.get('id', '?')} does not tell where the sun stood",
                expected="view:sun_azimuth and view:sun_elevation",
            ) from None

    @classmethod
    def at(cls, moment: datetime, *, longitude_deg: float, latitude_deg: float) -> Sun:
        """The sun over a place, by the Astronomical Almanac's low-precision formulas (0.01 degrees until 2050).

        Michalsky 1988, doi:10.1016/0038-092X(88)90045-X; without refraction.

        Args:
            moment: UTC.
            longitude_deg: degrees east.
            latitude_deg: degrees north.

        Raises:
            SceneError: the sun is below the horizon then.
        """
        instant = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        days = (instant - J2000).total_seconds() / 86400
        anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
        longitude = math.radians(
            (280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)) % 360
        )
        obliquity = math.radians(23.439 - 0.0000004 * days)
        ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
        declination = math.asin(math.sin(obliquity) * math.sin(longitude))
        sidereal = math.radians((15 * (18.697374558 + 24.06570982441908 * days) + longitude_deg) % 360)
        hour, latitude = sidereal - ascension, math.radians(latitude_deg)
        elevation = math.asin(
            math.sin(declination) * math.sin(latitude) + math.cos(declination) * math.cos(latitude) * math.cos(hour)
        )
        azimuth = math.atan2(
            -math.cos(declination) * math.sin(hour),
            math.sin(declination) * math.cos(latitude) - math.cos(declination) * math.sin(latitude) * math.cos(hour),
        )
        return cls(math.degrees(azimuth) % 360, math.degrees(elevation))

    @property
    def direction(self) -> tuple[float, float, float]:
        """The unit vector towards the sun: east, north, up."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        return (
            math.sin(azimuth) * math.cos(elevation),
            math.cos(azimuth) * math.cos(elevation),
            math.sin(elevation),
        )
