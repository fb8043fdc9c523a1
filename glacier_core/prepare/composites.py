"""One image of a year or of each month from its scenes, pixel by pixel or the best scene whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from glacier_core.cube import grid_of, make_cube
from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.prepare.carrying import band_labels, packing_like
from glacier_core.prepare.observations import Tally, scene_names, strips

if TYPE_CHECKING:
    import xarray as xr

VISIBLE = frozenset({"B02", "B03", "B04", "blue", "green", "red"})
"""Names of visible bands, in which snow is brighter than anything else."""

CLOUD_EDGE_PIXELS = 2
DARK_PART = 0.6
FEW = 10
"""Up to so many scenes, exchanging them pair by pair sorts them faster than sorting each pixel's values."""


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

    Memory holds the image and one strip of the scenes, however large the cube is.

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
    instant = np.datetime64(target.astimezone(UTC).replace(tzinfo=None) if target.tzinfo else target, "ns")
    make = _best_image if how == "best" else _late_summer_image
    image, observed, tally, used, when = make(scenes, instant, cloud_edge_pixels)
    names = scene_names(scenes)
    return make_cube(
        grid=grid_of(scenes),
        times=[when],
        bands=[str(band) for band in scenes["band"].values],
        imagery=image[None],
        packing=packing_like(scenes["imagery"], peak=lambda: tally.peak),
        extra={
            **band_labels(scenes),
            "clear": (
                ("y", "x"),
                observed.astype(np.uint8),
                {"long_name": "surface seen", "flag_values": [0, 1], "flag_meanings": "no yes"},
            ),
        },
        attrs={
            "composite": how,
            "scenes_used": json.dumps([names[index] for index in used]),
            "scenes_left_out": json.dumps(tally.left_out(names)),
        },
    )


def monthly_images(
    scenes: xr.Dataset,
    *,
    how: Literal["median", "mean"] = "median",
    least_observations: int = 1,
    cloud_edge_pixels: int = CLOUD_EDGE_PIXELS,
) -> xr.Dataset:
    """One image for each calendar month (UTC) from its scenes.

    Each band is taken by itself over the pixel's clear observations. The median is robust against clouds that nobody
    flagged; a month's spectrum may then be one that was never seen as a whole.

    A month in which nothing was seen clearly has no image: it is no time of the cube, and stands with its reason in
    `months_left_out`. An image of nothing but NaN would count as a month wherever times are counted.

    Memory holds the images and one strip of the scenes, however large the cube is.

    Args:
        scenes: a cube, as in `yearly_image`.
        how: the median or the mean.
        least_observations: a pixel that was seen clearly less often in a month is NaN in it.
        cloud_edge_pixels: clouds grow by this many pixels before they are masked.

    Returns:
        A cube whose times are the months' first instants: `imagery`, NaN where too little was seen, and
        `observations` (time, y, x) uint16, how often each pixel was seen clearly. The attributes `scenes_used`,
        `scenes_left_out` ({scene, reason}) and `months_left_out` ({month, reason}, from the first scene's month to the
        last one's) hold JSON.

    Raises:
        WithheldError: no scene shows anything clearly, or no pixel often enough.
        ConfigurationError: `how` is neither.
    """
    if how not in ("median", "mean"):
        raise ConfigurationError(f"the composite is {how!r}", expected="median or mean")
    if least_observations < 1:
        raise ConfigurationError(f"least_observations is {least_observations}", expected="1 or more")
    names = scene_names(scenes)
    month_of = scenes["time"].values.astype("datetime64[M]")
    # a cube's times ascend: each month is one slice of it, which copies nothing
    months, first = np.unique(month_of, return_index=True)
    members = [slice(int(start), int(stop)) for start, stop in pairwise([*first, len(month_of)])]
    count, height, width = len(months), scenes.sizes["y"], scenes.sizes["x"]
    imagery = np.empty((count, scenes.sizes["band"], height, width), np.float32)
    observations = np.empty((count, height, width), np.uint16)
    tally = Tally.of(len(names))
    for strip in strips(scenes, cloud_edge_pixels=cloud_edge_pixels):
        tally.add(strip)
        for number, own in enumerate(members):
            clear = strip.clear[own]
            seen = clear.sum(axis=0, dtype=np.uint16)
            combine = _median if how == "median" else _mean
            image = combine(strip.pixels[own], clear, seen)
            image[:, seen < least_observations] = np.nan
            imagery[number][:, strip.rows], observations[number, strip.rows] = image, seen
    left_out = tally.left_out(names)
    kept = [number for number in range(count) if (observations[number] >= least_observations).any()]
    empty = _empty_months(months, {months[number] for number in kept}, least_observations)
    if not kept:
        raise WithheldError(f"no pixel was seen clearly {least_observations} times in any of {count} months")
    used = [index for number in kept for index in range(len(names))[members[number]] if tally.clear[index]]
    return make_cube(
        grid=grid_of(scenes),
        times=months[kept],
        bands=[str(band) for band in scenes["band"].values],
        imagery=imagery if len(kept) == count else imagery[kept],
        packing=packing_like(scenes["imagery"], peak=lambda: tally.peak),
        extra={
            **band_labels(scenes),
            "observations": (
                ("time", "y", "x"),
                observations[kept],
                {"long_name": "number of clear observations", "units": "1"},
            ),
        },
        attrs={
            "composite": f"monthly {how}",
            "scenes_used": json.dumps([names[index] for index in used]),
            "scenes_left_out": json.dumps(left_out),
            "months_left_out": json.dumps(empty),
        },
    )


_Made = tuple[NDArray[np.float32], NDArray[np.bool_], Tally, list[int], Any]
"""The image (band, y, x), where something was seen (y, x), the scenes' tally, those used, and the image's time."""


def _best_image(scenes: xr.Dataset, instant: np.datetime64, edge: int) -> _Made:
    tally = Tally.of(scenes.sizes["time"])
    for strip in strips(scenes, cloud_edge_pixels=edge):
        tally.add(strip)
    tally.left_out(scene_names(scenes))
    percent = np.round(tally.clear / (scenes.sizes["y"] * scenes.sizes["x"]) * 100)
    distance = np.abs(scenes["time"].values - instant)
    # a scene with any clear pixel at all goes before one without
    best = int(np.lexsort((distance, -percent, tally.clear == 0))[0])
    image = np.empty(scenes["imagery"].shape[1:], np.float32)
    observed = np.empty(image.shape[1:], bool)
    for strip in strips(scenes, cloud_edge_pixels=edge, scene=best):
        observed[strip.rows] = strip.clear[0]
        image[:, strip.rows] = np.where(strip.clear[0], strip.pixels[0], np.float32(np.nan))
    return image, observed, tally, [best], scenes["time"].values[best]


def _late_summer_image(scenes: xr.Dataset, instant: np.datetime64, edge: int) -> _Made:
    tally = Tally.of(scenes.sizes["time"])
    image = np.full(scenes["imagery"].shape[1:], np.nan, np.float32)
    observed = np.empty(image.shape[1:], bool)
    used: set[int] = set()
    for strip in strips(scenes, cloud_edge_pixels=edge):
        tally.add(strip)
        choice = _late_summer(strip.clear, _brightness(strip.pixels, scenes["band"].values))
        seen = strip.clear.any(axis=0)
        observed[strip.rows] = seen
        for index in np.unique(choice[seen]):
            np.copyto(image[:, strip.rows], strip.pixels[index], where=(choice == index) & seen)
            used.add(int(index))
    tally.left_out(scene_names(scenes))
    return image, observed, tally, sorted(used), instant


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


def _mean(pixels: NDArray[np.float32], clear: NDArray[np.bool_], seen: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(band, y, x) from (time, band, y, x); NaN where nothing is clear."""
    total = np.zeros(pixels.shape[1:], np.float64)
    for scene, where in zip(pixels, clear, strict=True):
        np.add(total, scene, out=total, where=where)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / seen, dtype=np.float32)


def _median(pixels: NDArray[np.float32], clear: NDArray[np.bool_], seen: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(band, y, x) from (time, band, y, x); NaN where nothing is clear."""
    ordered = np.where(clear[:, None], pixels, np.float32(np.inf))
    _sort(ordered)
    last = len(pixels) - 1
    lower = np.clip((seen.astype(np.intp) - 1) // 2, 0, last)
    upper = np.clip(seen.astype(np.intp) // 2, 0, last)
    shape = (1, *pixels.shape[1:])
    low, high = (np.take_along_axis(ordered, np.broadcast_to(rank, shape), axis=0)[0] for rank in (lower, upper))
    with np.errstate(invalid="ignore"):
        median = low + (high - low) * np.float32(0.5)
    return np.where(seen > 0, median, np.float32(np.nan)).astype(np.float32)


def _sort(values: NDArray[np.float32]) -> None:
    """Sort along the first axis, in place."""
    count = len(values)
    if count > FEW:
        values.sort(axis=0)
        return
    # exchanging neighbours in turn compares whole images: eight times faster than sort for a month of three or four
    smaller = np.empty_like(values[0])
    for turn in range(count):
        for index in range(turn % 2, count - 1, 2):
            np.minimum(values[index], values[index + 1], out=smaller)
            np.maximum(values[index], values[index + 1], out=values[index + 1])
            values[index] = smaller


def _empty_months(
    months: NDArray[np.datetime64], kept: set[np.datetime64], least_observations: int
) -> list[dict[str, str]]:
    """Every month between the first and the last one that has no image, and why."""
    there = set(months)
    rare = f"no pixel was seen clearly {least_observations} times" if least_observations > 1 else "nothing was clear"
    return [
        {"month": str(month), "reason": rare if month in there else "no scene"}
        for month in np.arange(months[0], months[-1] + 1)
        if month not in kept
    ]
