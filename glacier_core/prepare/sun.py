"""Where the sun stands over a scene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glacier_core.errors import SceneError


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

    @property
    def direction(self) -> tuple[float, float, float]:
        """The unit vector towards the sun: east, north, up."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        return (
            math.sin(azimuth) * math.cos(elevation),
            math.cos(azimuth) * math.cos(elevation),
            math.sin(elevation),
        )
