"""One image of a year from its scenes: the single best one, or for each pixel the late-summer observation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import DIGITAL_NUMBER, REFLECTANCE, Packing, grid_of, make_cube
from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.prepare.clouds import clear_mask

if TYPE_CHECKING:
    import xarray as xr

VISIBLE = frozenset({"B02", "B03", "B04", "blue", "green", "red"})
"""Names of visible bands, in which snow is brighter than anything else."""

CLOUD_EDGE_PIXELS = 2
DARK_PART = 0.6


def yearly_image(
    scenes: xr.Dataset,
    *,
    how: Literal["best", "late_summer"],
    target: datetime,
    cloud_edge_pixels: int = CLOUD_EDGE_PIXELS,
) -> xr.Dataset:
    """One image from a year's scenes.

    `best` is the scene with the most clear pixels (to the nearest percent), among equals the one nearest to `target`.

    `late_summer` takes each pixel whole, all bands from one scene, so that its spectrum is one that was seen. Snow
    that fell early or late in the season hides the glacier's edge, and is brighter in the visible than what it covers;
    shadows of clouds that nobody flagged are darker. Of a pixel's n clear observations, in order of brightness, the
    brightest 0.4 n are dropped and the (lower) median of the others is taken: the darker one of two, the second of
    four. Like the medoid of Flood 2013 (doi:10.3390/rs5126481) it is robust and takes whole observations, but it leans
    to the dark side.

    Args:
        scenes: a cube with `imagery` (time, band, y, x) and, where clouds are to be masked, `scene_class` (time, y, x);
            the coordinate `scene` names the scenes.
        how: which of the two.
        target: the date that stands for the year; naive ones are UTC.
        cloud_edge_pixels: clouds grow by this many pixels before they are masked.

    Returns:
        A cube with one time: `imagery`, NaN where nothing was seen clearly, and `clear` (y, x), 1 where it was. The
        attributes `scenes_used` (ids) and `scenes_left_out` ({scene, reason}: nothing clear) hold JSON.

    Raises:
        WithheldError: no scene shows anything clearly.
        ConfigurationError: `how` is neither.
    """
    if how not in ("best", "late_summer"):
        raise ConfigurationError(f"the composite is {how!r}", expected="best or late_summer")
    pixels = np.asarray(scenes["imagery"].values, dtype=np.float32)
    clear: NDArray[np.bool_] = np.asarray(np.isfinite(pixels).all(axis=1))
    seen = _any_pixel(clear)
    if "scene_class" in scenes:
        clear &= clear_mask(scenes["scene_class"].values, dilation_pixels=cloud_edge_pixels)
    names = _names(scenes)
    usable = _any_pixel(clear)
    left_out = [
        {"scene": names[index], "reason": "all cloud" if seen[index] else "no data in the window"}
        for index in np.flatnonzero(~usable)
    ]
    if not usable.any():
        raise WithheldError(f"none of {len(names)} scenes shows anything clearly ({'; '.join(_reasons(left_out))})")
    instant = np.datetime64(target.astimezone(UTC).replace(tzinfo=None) if target.tzinfo else target, "ns")
    if how == "best":
        best = _best(clear, np.abs(scenes["time"].values - instant))
        used, when = [best], scenes["time"].values[best]
        image, observed = pixels[best], clear[best]
    else:
        choice = _late_summer(clear, _brightness(pixels, scenes["band"].values))
        observed = clear.any(axis=0)
        used = [int(index) for index in np.unique(choice[observed])]
        when = instant
        image = np.empty_like(pixels[0])
        for index in used:
            np.copyto(image, pixels[index], where=choice == index)
    return make_cube(
        grid=grid_of(scenes),
        times=[when],
        bands=[str(band) for band in scenes["band"].values],
        imagery=np.where(observed, image, np.float32(np.nan))[None],
        packing=_packing_of(scenes["imagery"]),
        extra={
            "clear": (
                ("y", "x"),
                observed.astype(np.uint8),
                {"long_name": "surface seen", "flag_values": [0, 1], "flag_meanings": "no yes"},
            )
        },
        attrs={
            "composite": how,
            "scenes_used": json.dumps([names[index] for index in used]),
            "scenes_left_out": json.dumps(left_out),
        },
    )


def _best(clear: NDArray[np.bool_], distance: NDArray[np.timedelta64]) -> int:
    percent = np.round(clear.mean(axis=(1, 2)) * 100)
    # a scene with any clear pixel at all goes before one without
    return int(np.lexsort((distance, -percent, ~_any_pixel(clear)))[0])


def _any_pixel(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask.reshape(len(mask), -1).any(axis=1))


def _late_summer(clear: NDArray[np.bool_], brightness: NDArray[np.float32]) -> NDArray[np.intp]:
    """(y, x): the index of the scene that each pixel is taken from."""
    order = np.argsort(np.where(clear, brightness, np.inf), axis=0, kind="stable")
    kept = np.ceil(DARK_PART * clear.sum(axis=0)).astype(np.intp)
    rank = np.maximum(kept - 1, 0) // 2
    return np.asarray(np.take_along_axis(order, rank[None], axis=0)[0])


def _brightness(pixels: NDArray[np.float32], bands: Iterable[Any]) -> NDArray[np.float32]:
    """(time, y, x): the sum of the visible bands, or of all where no name is known to be visible."""
    visible = [index for index, band in enumerate(bands) if str(band) in VISIBLE] or list(range(pixels.shape[1]))
    total = pixels[:, visible[0]].copy()
    for index in visible[1:]:
        total += pixels[:, index]
    return total


def _names(scenes: xr.Dataset) -> list[str]:
    if "scene" in scenes.variables:
        return [str(name) for name in scenes["scene"].values]
    return [str(instant)[:19] for instant in scenes["time"].values]


def _reasons(left_out: Sequence[dict[str, str]]) -> list[str]:
    return [f"{entry['scene']}: {entry['reason']}" for entry in left_out]


def _packing_of(imagery: xr.DataArray) -> Packing:
    """The packing that the scenes were stored with."""
    encoding, attributes = imagery.encoding, imagery.attrs
    if "scale_factor" not in encoding:
        return REFLECTANCE if float(np.nanmax(imagery.values)) < 5 else DIGITAL_NUMBER
    return Packing(
        dtype=np.dtype(encoding["dtype"]).name,
        scale=float(encoding["scale_factor"]),
        offset=float(encoding["add_offset"]),
        fill=int(encoding["_FillValue"]),
        units=str(attributes.get("units", "1")),
        long_name=str(attributes.get("long_name", "")),
        standard_name=str(attributes.get("standard_name", "")),
    )
