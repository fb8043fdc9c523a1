"""Glaciers: where the ice is in each year, and what covers it.

Extents are nested: each pixel of the first year's glacier has a rank, low at the terminus and along the lower margins,
and a year's glacier is what is left after the lowest ranks have gone. Areas shrink by 0.5 to 2.5 % a year; all glaciers
of the Alps lost 1.2 % a year from 2003 to 2015 (Paul et al. 2020, doi:10.5194/essd-12-1805-2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glacier_core.sources.simulated.noise import Field, Mask, curve, fractal, ramp
from glacier_core.sources.simulated.terrain import PIXEL_M, REFERENCE_SIZE, Branch, Terrain

SMALLEST_HOLE = 40
"""Nunataks of fewer pixels are ice."""
AREA_KM2 = (1.7, 5.0)
"""Range of glacier areas in a scene of the reference size."""


@dataclass(frozen=True)
class Ice:
    """The ice of one place; fields of (size, size)."""

    surface: Field
    """Elevation of the first year's surface, ice or ground, m."""
    masks: list[list[Mask]]
    """Extent by glacier and year."""
    retreat_m: list[list[float]]
    """Retreat of the terminus along the trunk's flow line since the first year, by glacier and year, m."""
    debris_rank: Field
    """Order in which debris covers the ice, 0 last to 1 first, among the pixels of each glacier."""
    debris_share: list[float]
    """Part of each glacier's area under debris."""
    margin: Field
    """Closeness to the ice margin, 0 at the centre line to 1."""
    forefield: Mask
    """Ground that the ice covered in the Little Ice Age, glaciers included."""
    basin: Field
    """Where water stands unless there is ice, 0 to 1: overdeepened ground at some termini, and tarns."""


def make_ice(rng: np.random.Generator, terrain: Terrain, *, years: int) -> Ice:
    """Glaciers that fill the terrain's valleys and retreat.

    Args:
        rng: source of randomness.
        terrain: the place.
        years: number of years.
    """
    glaciers = len(terrain.trunks)
    fullness = _fullness(rng, terrain)
    extents, ranks, limits = [], [], []
    forefield = np.zeros(fullness.shape, dtype=bool)
    basin = ramp(terrain.tarns, 0.15, -0.15)
    margin = np.ones(fullness.shape, dtype=np.float32)
    for number in range(glaciers):
        extent, limit = _extent(rng, terrain, fullness, number)
        extents.append(extent)
        limits.append(limit)
    extents = _joined(terrain, extents)
    for number, (extent, limit) in enumerate(zip(extents, limits, strict=True)):
        closeness = np.clip(fullness / limit, 0, 1)
        wander = fractal(rng, terrain.size, slope=3.0, low=10)
        ranks.append((1 - terrain.flow) + 0.22 * (1 - closeness) + 0.012 * wander)
        margin[extent] = closeness[extent]
        forefield |= _smooth(_formerly_ice(rng, terrain, number, fullness / limit)) | extent
    masks = [_retreat(rng, extent, rank, years) for extent, rank in zip(extents, ranks, strict=True)]
    for number, by_year in enumerate(masks):
        if rng.random() < 0.6:
            basin = np.maximum(basin, _basin(rng, terrain, by_year, ranks[number]))
    return Ice(
        surface=_surface(terrain, fullness, extents),
        masks=masks,
        retreat_m=[
            [_front_m(terrain.trunks[number], mask) - _front_m(terrain.trunks[number], by_year[0]) for mask in by_year]
            for number, by_year in enumerate(masks)
        ],
        debris_rank=_debris_rank(rng, terrain, extents, margin),
        debris_share=[float(rng.choice([rng.uniform(0.12, 0.2), rng.uniform(0.2, 0.36)])) for _ in masks],
        margin=margin,
        forefield=forefield,
        basin=basin,
    )


def _fullness(rng: np.random.Generator, terrain: Terrain) -> Field:
    """Height above the valley floor as a part of the ice's: the ice of a glacier is where it is less than a limit."""
    from scipy import ndimage

    height = np.maximum(terrain.height, 0)
    rough = 0.05 * fractal(rng, terrain.size, slope=2.6, low=8)
    fullness = np.where(
        (terrain.section > 0) & (terrain.flow < 1), height / np.maximum(terrain.section, 1.0) + rough, np.float32(9)
    )
    scale = terrain.size / REFERENCE_SIZE
    smooth: Field = ndimage.gaussian_filter(np.minimum(fullness, 4), 1.6 * scale).astype(np.float32)
    return smooth


def _extent(rng: np.random.Generator, terrain: Terrain, fullness: Field, number: int) -> tuple[Mask, float]:
    """The first year's extent, and the fullness up to which its valley is filled to have about the drawn area."""
    scale = (terrain.size / REFERENCE_SIZE) ** 2
    low, high = (area * 1e6 / PIXEL_M**2 * scale for area in AREA_KM2)
    wanted = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    own = fullness[(terrain.owner == number) & (fullness < 2.2)]
    count = min(int(wanted), len(own) - 1)
    limit = float(np.clip(np.partition(own, count)[count], 0.9, 1.6))
    return _whole(_smooth((terrain.owner == number) & (fullness + _edge(terrain.size) < limit))), limit


def _joined(terrain: Terrain, extents: list[Mask]) -> list[Mask]:
    """The extents with the gaps closed where two of them meet at the divide."""
    from scipy import ndimage

    ice = np.logical_or.reduce(extents)
    near = np.sum([ndimage.binary_dilation(extent, iterations=3) for extent in extents], axis=0) >= 2
    gap = near & ~ice & ndimage.binary_closing(ice, iterations=3)
    return [_whole(extent | (gap & (terrain.owner == number))) for number, extent in enumerate(extents)]


def _edge(size: int) -> Field:
    """What is added to the fullness so that glaciers end before the scene does."""
    line: Field = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32) / np.float32(size)
    near = 1.5 * (ramp(line, 0.13, 0.06)[:, None] + ramp(line, 0.13, 0.06)[None, :])
    return near.astype(np.float32)


def _smooth(mask: Mask) -> Mask:
    from scipy import ndimage

    smooth: Mask = ndimage.uniform_filter(mask.astype(np.float32), 5) > np.float32(0.5)
    return smooth


def _whole(mask: Mask) -> Mask:
    """The largest connected part, without small holes."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if not sizes.any():
        return mask
    largest = parts == int(sizes.argmax())
    holes, _ = ndimage.label(~largest)
    small = np.bincount(holes.ravel()) < SMALLEST_HOLE
    whole: Mask = largest | small[holes]
    return whole


def _retreat(rng: np.random.Generator, extent: Mask, rank: Field, years: int) -> list[Mask]:
    rate = rng.uniform(0.006, 0.022)
    losses = (
        rate
        * (1 + 0.3 * rng.standard_normal(max(years - 1, 0)))
        * np.linspace(0.85, 1.15, max(years - 1, 1))[: years - 1]
    )
    order = np.sort(rank[extent])
    lost = np.concatenate([[0.0], np.cumsum(np.maximum(losses, 0.001))])
    masks = [extent]
    for part in lost[1:]:
        cut = order[min(int(part * len(order)), len(order) - 1)]
        masks.append(_whole(masks[-1] & _smooth(rank >= cut)) & masks[-1])
    return masks


def _formerly_ice(rng: np.random.Generator, terrain: Terrain, number: int, closeness: Field) -> Mask:
    """Where the ice of the Little Ice Age reached: wider than today's, and often far down the valley."""
    own = terrain.owner == number
    tongue = terrain.section[own & (terrain.flow > 0.6) & (terrain.flow < 0.85)]
    depth = float(np.median(tongue)) if len(tongue) else 0.0
    beyond = ramp(terrain.flow, 1.05 + rng.uniform(0.05, 0.5), 0.85)
    beside = (closeness < 1.5) & (terrain.flow < 1)
    former: Mask = own & (beside | ((terrain.flow > 0.8) & (terrain.height < rng.uniform(0.6, 1.1) * depth * beyond)))
    return former


def _basin(rng: np.random.Generator, terrain: Terrain, masks: list[Mask], rank: Field) -> Field:
    """A lake's bed: around the last year's terminus and down to a little below the first year's."""
    first, last = masks[0], masks[-1]
    owner = terrain.owner[tuple(axis[0] for axis in np.nonzero(first))]
    lowest = float(np.quantile(rank[first], 0.004))
    kept = float(np.quantile(rank[last], 0.05)) if last.any() else lowest
    # many lakes lie in front of the ice in the first year already, others form later
    low = lowest - rng.choice([rng.uniform(0.02, 0.06), rng.uniform(0.08, 0.24)], p=[0.35, 0.65])
    reach = ramp(rank, low - 0.015, low + 0.015) * ramp(rank, kept + 0.08, kept)
    half = np.maximum(rng.uniform(0.7, 1.0) * np.minimum(1.0, 0.45 + 3 * (rank - low)), 0.1)
    flat = ramp(terrain.height / np.maximum(np.quantile(terrain.height[first], 0.4), 1.0) / half, 1.3, 0.7)
    bed: Field = reach * flat * (terrain.owner == owner)
    return bed


def _front_m(trunk: Branch, mask: Mask) -> float:
    """Distance of the ice front up the trunk's flow line from where the valley leaves the scene, m (negative down)."""
    rows, columns = trunk.pixels(len(mask))
    on_ice = np.nonzero(mask[rows, columns])[0]
    return -float(on_ice[-1]) * PIXEL_M / 2 if len(on_ice) else 0.0


def _surface(terrain: Terrain, fullness: Field, extents: list[Mask]) -> Field:
    """The first year's surface: ice levels the valley floors, hollow above the snow line and arched below it."""
    from scipy import ndimage

    ice = np.logical_or.reduce(extents)
    floor = terrain.elevation - terrain.height
    arch = np.clip(1 - fullness, -1, 1) * (ramp(terrain.flow, 0.2, 0.8) - 0.45) * 26
    level = np.where(ice, floor + terrain.section * 0.85 + arch, terrain.elevation).astype(np.float32)
    wide: Field = ndimage.gaussian_filter(level, 5.0)
    near: Field = ndimage.gaussian_filter(ice.astype(np.float32), 2.0)
    inside = ramp(near, 0.5, 1.0)
    lifted = np.where(ice, np.maximum(level, terrain.elevation), terrain.elevation)
    return (inside * wide + (1 - inside) * lifted).astype(np.float32)


def _debris_rank(rng: np.random.Generator, terrain: Terrain, extents: list[Mask], margin: Field) -> Field:
    """Debris gathers on the tongue, along the margins and in medial moraines below the junctions."""
    patches = fractal(rng, terrain.size, slope=3.0, low=6)
    streaks = _streaks(rng, terrain)
    score = 2.2 * terrain.flow + 0.55 * ramp(margin, 0.35, 1.0) + 0.22 * patches + 0.16 * streaks
    score = score + 1.15 * _moraines(rng, terrain)
    rank = np.zeros(score.shape, dtype=np.float32)
    for extent in extents:
        values = score[extent]
        order = np.empty(len(values), dtype=np.float32)
        order[np.argsort(values, kind="stable")] = np.arange(len(values), dtype=np.float32)
        rank[extent] = order / max(len(values) - 1, 1)
    return rank


def _streaks(rng: np.random.Generator, terrain: Terrain) -> Field:
    """Flow bands: noise that varies across the flow and hardly along it."""
    knots = curve(rng, 256)
    place = terrain.across * 9 + 40 * terrain.order + 90 * terrain.owner + 3 * terrain.flow
    streaks: Field = np.interp(place, np.arange(len(knots)) - 40, knots).astype(np.float32)
    return streaks


def _moraines(rng: np.random.Generator, terrain: Terrain) -> Field:
    stripes = np.zeros(terrain.flow.shape, dtype=np.float32)
    for owner, start, side in terrain.joints:
        center = side * rng.uniform(0.25, 0.6)
        below = (terrain.owner == owner) & (terrain.order == 0) & (terrain.flow > start + 0.03)
        half = 0.07 + 0.16 * np.clip(terrain.flow - start, 0, 1)
        line = np.clip(1.6 - np.abs(terrain.across - center) / half, 0, 1)
        stripes = np.maximum(stripes, np.where(below, line, 0)).astype(np.float32)
    return stripes
