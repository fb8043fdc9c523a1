"""Terrain: a massif whose valleys drain along given lines, with ridges where two valleys' slopes meet.

The elevation is the lowest of all valleys' cross-sections: each point of a valley line carries a U-shaped section
(Svensson 1959, Journal of Glaciology 3, 362), so that ridges, cols and the divide follow from the lines by
themselves. Fractal noise bends the lines and roughens the slopes; gullies and ribs run down the valley walls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.simulated.noise import Bank, Field, curve, fractal, ramp

PIXEL_M = 10.0
REFERENCE_SIZE = 384
"""Rows of the scene for which lengths in pixels are stated; they grow with the scene."""
STEP = 3.0
"""Distance between points of a valley line, pixels."""
EDGE = 0.1
"""Glaciers stay this part of the scene's size away from its edge."""
DRY = -1
Line: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""A value at each point of a valley line."""
INFLUENCE = 0.2
"""Half of the window in which each point of a valley line is tried, as a part of the scene's size."""
SPARSE = 10
"""One in so many points is tried everywhere, so that every pixel finds a valley."""


@dataclass(frozen=True)
class Branch:
    """A valley line from its head down."""

    owner: int
    """Number of the glacier in it, or DRY."""
    order: int
    """0 the trunk, 1 and more its tributaries."""
    points: Field
    """(k, 2) row and column, pixels."""
    tangents: Field
    """(k, 2) unit vectors downstream."""
    elevation: Field
    """(k,) valley floor, m."""
    width: Field
    """(k,) half-width of the valley floor, pixels."""
    flow: Field
    """(k,) distance along the flow as a part of the glacier's length: 1 at the terminus, less upstream."""
    ice: Field
    """(k,) half-width of the ice, pixels; 0 where there is none."""

    def pixels(self, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns along the line from its head down, about two to a pixel."""
        fine = np.arange(0, len(self.points) - 1, 0.5 / STEP)
        lines = (np.interp(fine, np.arange(len(self.points)), self.points[:, axis]) for axis in (0, 1))
        rows, columns = (np.clip(np.rint(line), 0, size - 1).astype(np.int64) for line in lines)
        return rows, columns


@dataclass(frozen=True)
class Terrain:
    """Elevation and the flow-following coordinates of a place, fields of (size, size)."""

    size: int
    """Rows and columns."""
    elevation: Field
    """Bare ground, m."""
    height: Field
    """Height above the floor of the valley that a pixel belongs to, m."""
    section: Field
    """Height of the ice surface above that floor, m; 0 where the valley holds no ice."""
    owner: NDArray[np.int16]
    """Number of the glacier whose valley it is, or DRY."""
    flow: Field
    """See `Branch.flow`."""
    across: Field
    """Signed distance from the valley line in half-widths of the ice: -1 and 1 are the ice margins."""
    order: NDArray[np.int16]
    """See `Branch.order`."""
    trunks: list[Branch] = field(repr=False)
    """The trunk of each glacier."""
    joints: list[tuple[int, float, float]] = field(repr=False)
    """Glacier, flow and side (-1 or 1) of each tributary's junction."""
    tarns: Field = field(repr=False)
    """Height of the ground above the water of the small lakes in ice-free valleys, in their depths: water below 0."""


@dataclass
class _Plan:
    """Lines under construction."""

    rng: np.random.Generator
    size: int
    top_m: float
    branches: list[Branch] = field(default_factory=list)
    joints: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def edge(self) -> float:
        return EDGE * self.size

    def inside(self, point: Field, margin: float) -> bool:
        return bool(np.all(point > margin) and np.all(point < self.size - margin))

    def walk(self, start: Field, heading: float, *, length: float, bend: float) -> Field:
        """Points of a winding line that starts at `start` with `heading` (radians, 0 is south, pi/2 is east)."""
        steps = np.arange(0.0, length, STEP)
        wave = self.rng.uniform(0.45, 0.8) * self.size
        phase = self.rng.uniform(0, 2 * math.pi)
        angles = heading + bend * (np.sin(2 * math.pi * steps / wave + phase) - math.sin(phase))
        moves = STEP * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points: Field = np.cumsum(np.concatenate([np.asarray(start)[None, :], moves[:-1]]), axis=0).astype(np.float32)
        return points


def make_terrain(rng: np.random.Generator, *, size: int, glaciers: int, top_m: float) -> Terrain:
    """Terrain with one trunk valley for each glacier, tributaries, and ice-free valleys between them.

    Args:
        rng: source of randomness.
        size: rows and columns, 10 m each.
        glaciers: number of glaciers, whose heads meet at one divide.
        top_m: elevation of the col between them.
    """
    plan = _Plan(rng, size, top_m)
    _lay_valleys(plan, glaciers)
    bends = Bank(rng, size, slope=3.4, low=3, count=2)
    return _carve(plan, bends)


def _lay_valleys(plan: _Plan, glaciers: int) -> None:
    rng, size = plan.rng, plan.size
    ways = max(glaciers, 2)
    first = math.pi / 4 + math.pi / 2 * int(rng.integers(4)) + rng.uniform(-0.5, 0.5)
    headings = [first + 2 * math.pi * way / ways + rng.uniform(-0.25, 0.25) for way in range(ways)]
    shift = rng.uniform(-0.06, 0.06) * size
    center = np.array([size / 2 + shift * math.cos(first), size / 2 + shift * math.sin(first)], dtype=np.float32)
    for way, heading in enumerate(headings):
        offset = np.array([math.cos(heading), math.sin(heading)])
        side = np.array([-offset[1], offset[0]])
        head = center + size * (rng.uniform(0.045, 0.075) * offset + rng.uniform(-0.035, 0.035) * side)
        if way < glaciers:
            _lay_glacier(plan, way, head.astype(np.float32), heading, slim=glaciers > 2)
        else:
            _lay_dry(plan, head.astype(np.float32), heading, drop_m=120.0)
    _lay_dry_between(plan, center, headings)


def _lay_glacier(plan: _Plan, owner: int, head: Field, heading: float, *, slim: bool) -> None:
    rng, size = plan.rng, plan.size
    points = plan.walk(head, heading, length=1.6 * size, bend=rng.uniform(0.15, 0.45))
    reach = next((i for i, point in enumerate(points) if not plan.inside(point, plan.edge)), len(points)) - 1
    end = max(min(reach, round(rng.uniform(0.5, 0.68) * size / STEP)), 8)
    flow = np.arange(len(points), dtype=np.float32) / end
    steep, flat = rng.uniform(0.28, 0.4), rng.uniform(0.13, 0.2)
    fall = flat + (steep - flat) * np.exp(-(((flow - rng.uniform(0.25, 0.4)) / 0.22) ** 2))
    fall[flow < 0.12] *= 0.5
    elevation = plan.top_m - rng.uniform(0, 30) - np.cumsum(fall) * STEP * PIXEL_M
    bulk = rng.uniform(1.05, 1.7) * (0.7 if slim else 1.0) * size
    broad, tongue = rng.uniform(0.085, 0.11) * bulk, rng.uniform(0.045, 0.06) * bulk
    body = tongue + (broad - tongue) * np.exp(-((np.maximum(flow - 0.1, 0) / rng.uniform(0.24, 0.34)) ** 2))
    snout = np.sqrt(np.clip((1 - flow) / 0.16, 0, 1))
    plan.branches.append(_branch(owner, 0, points, elevation, body, flow, body * snout))
    shares = rng.uniform(0.22, 0.34), rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.5)
    first_side = 1.0 if rng.integers(2) else -1.0
    count = int(rng.choice([1, 2, 3], p=[0.15, 0.45, 0.4]))
    for number, share in enumerate(shares[:count]):
        _lay_tributary(plan, plan.branches[-1 - number], number + 1, share, first_side * (-1) ** number)


def _lay_tributary(plan: _Plan, trunk: Branch, order: int, share: float, side: float) -> None:
    rng, size = plan.rng, plan.size
    at = int(np.searchsorted(trunk.flow, share))
    downstream = math.atan2(trunk.tangents[at, 1], trunk.tangents[at, 0])
    heading = downstream + math.pi + side * rng.uniform(0.75, 1.15)
    upward = plan.walk(
        trunk.points[at], heading, length=rng.uniform(0.24, 0.36) * size, bend=-side * rng.uniform(0, 0.35)
    )
    kept = next((i for i, point in enumerate(upward) if not plan.inside(point, plan.edge * 1.35)), len(upward))
    upward = upward[: max(kept, 4)]
    rise = rng.uniform(0.2, 0.34) * np.linspace(0.8, 1.25, len(upward))
    elevation = trunk.elevation[at] + 12 + np.cumsum(rise) * STEP * PIXEL_M
    flow = share - np.arange(len(upward)) * trunk.flow[1]
    wide = rng.uniform(0.05, 0.08) * size
    narrow = 0.7 * float(trunk.ice[at])
    width = narrow + (wide - narrow) * np.linspace(0, 1, len(upward)) ** 0.7
    plan.branches.append(
        _branch(trunk.owner, order, upward[::-1], elevation[::-1], width[::-1], flow[::-1], width[::-1])
    )
    plan.joints.append((trunk.owner, share, -side))


def _lay_dry_between(plan: _Plan, center: Field, headings: list[float]) -> None:
    """Ice-free valleys that start on the flanks between the glaciers."""
    rng, size = plan.rng, plan.size
    gaps = sorted(angle % (2 * math.pi) for angle in headings)
    for here, after in zip(gaps, [*gaps[1:], gaps[0] + 2 * math.pi], strict=True):
        count = 2 if after - here > 2.2 else 1
        for part in range(count):
            heading = here + (after - here) * (part + 1) / (count + 1) + rng.uniform(-0.15, 0.15)
            way = np.array([math.cos(heading), math.sin(heading)])
            start = center + rng.uniform(0.36, 0.43) * size * way
            _lay_dry(plan, start.astype(np.float32), heading, drop_m=rng.uniform(200, 320))


def _lay_dry(plan: _Plan, head: Field, heading: float, *, drop_m: float) -> None:
    rng, size = plan.rng, plan.size
    points = plan.walk(head, heading, length=0.9 * size, bend=rng.uniform(0.1, 0.4))
    fall = rng.uniform(0.18, 0.26) + 0.25 * np.exp(-np.arange(len(points)) * STEP / (0.08 * size))
    elevation = plan.top_m - drop_m - np.cumsum(fall) * STEP * PIXEL_M
    width = np.full(len(points), rng.uniform(0.035, 0.05) * size)
    none = np.zeros(len(points))
    plan.branches.append(_branch(DRY, 0, points, elevation, width, none + 2, none))


def _branch(owner: int, order: int, points: Field, elevation: Line, width: Line, flow: Line, ice: Line) -> Branch:
    tangents = np.gradient(points, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-6)
    return Branch(
        owner=owner,
        order=order,
        points=np.ascontiguousarray(points, dtype=np.float32),
        tangents=tangents.astype(np.float32),
        elevation=elevation.astype(np.float32),
        width=width.astype(np.float32),
        flow=flow.astype(np.float32),
        ice=ice.astype(np.float32),
    )


def section_height(distance: Field, width: Field, steepness: float) -> Field:
    """Height of a valley's wall above its floor at `distance` (pixels): a parabola that turns into a straight slope."""
    height: Field = (steepness * PIXEL_M * (np.sqrt(distance**2 + width**2) - width)).astype(np.float32)
    return height


def _carve(plan: _Plan, bends: Bank) -> Terrain:
    rng, size = plan.rng, plan.size
    steepness = float(rng.uniform(0.75, 0.95))
    scale = np.float32(size / REFERENCE_SIZE)
    grid = np.arange(size, dtype=np.float32)
    rows = grid[:, None] + 6 * scale * bends.draw(rng)
    columns = grid[None, :] + 6 * scale * bends.draw(rng)
    nearest = _nearest(plan.branches, rows, columns, steepness)
    table = _Table(plan.branches)
    offset_rows, offset_columns = rows - table.rows[nearest], columns - table.columns[nearest]
    along = offset_rows * table.tangent_rows[nearest] + offset_columns * table.tangent_columns[nearest]
    sideways = offset_columns * table.tangent_rows[nearest] - offset_rows * table.tangent_columns[nearest]
    distance = np.hypot(offset_rows, offset_columns)
    height = section_height(distance, table.width[nearest], steepness)
    floor = table.elevation[nearest]
    height = height + _relief(plan, height, distance / table.width[nearest], table.station[nearest] + along)
    # summits far from any valley line would grow without bound
    summit = np.float32(plan.top_m) + (230 + 70 * bends.draw(rng)) * scale
    over = (floor + height - summit) / (60 * scale)
    height = height - (60 * scale) * np.logaddexp(0, over).astype(np.float32)
    ice = np.maximum(table.ice[nearest], np.float32(1e-3))
    on_line = np.clip(along, -STEP, STEP)
    return Terrain(
        size=size,
        elevation=(floor + height).astype(np.float32),
        height=height.astype(np.float32),
        section=np.where(
            table.ice[nearest] > 0, section_height(table.ice[nearest], table.width[nearest], steepness), 0
        ).astype(np.float32),
        owner=table.owner[nearest],
        flow=(table.flow[nearest] + on_line * table.flow_slope[nearest]).astype(np.float32),
        across=(np.sign(sideways) * distance / ice).astype(np.float32),
        order=table.order[nearest],
        trunks=[branch for branch in plan.branches if branch.owner != DRY and branch.order == 0],
        joints=plan.joints,
        tarns=_tarns(plan, rows, columns),
    )


def _tarns(plan: _Plan, rows: Field, columns: Field) -> Field:
    """Up to three small lakes on the floors of ice-free valleys."""
    rng = plan.rng
    scale = plan.size / REFERENCE_SIZE
    dry = [branch for branch in plan.branches if branch.owner == DRY]
    ground = np.full(rows.shape, 9, dtype=np.float32)
    for _ in range(int(rng.integers(0, 4))):
        branch = dry[int(rng.integers(len(dry)))]
        inside = [at for at, point in enumerate(branch.points) if plan.inside(point, 0.0)]
        if not inside:
            continue
        at = inside[int(rng.integers(len(inside)))]
        along_row, along_column = branch.tangents[at]
        row, column = rows - branch.points[at, 0], columns - branch.points[at, 1]
        length, width = rng.uniform(6, 16) * scale, rng.uniform(3, 7) * scale
        along = (row * along_row + column * along_column) / length
        across = (column * along_row - row * along_column) / width
        ground = np.minimum(ground, along**2 + across**2 - 1)
    return ground.astype(np.float32)


def _relief(plan: _Plan, height: Field, distance: Field, station: Field) -> Field:
    """Roughness of the slopes: gullies and ribs down the walls, and fractal noise that grows with height."""
    rng, size = plan.rng, plan.size
    scale = np.float32(size / REFERENCE_SIZE)
    knots = curve(rng, 4096)
    wander = fractal(rng, size, slope=3.6, low=4)
    place = station / (11 * scale) + 0.9 * wander
    ribs = np.abs(np.interp(place, np.arange(len(knots)) - 64, knots).astype(np.float32))
    walls = ramp(distance, 0.8, 2.6)
    # crests are sharp and hollows round: the noise is folded
    crests = 0.7 - np.abs(fractal(rng, size, slope=3.7, low=5))
    rough = fractal(rng, size, slope=3.5, low=12)
    risen = ramp(height, 10, 240)
    relief: Field = scale * (-26 * walls * (ribs - 0.6) + crests * (8 + 55 * risen) + rough * (3 + 10 * risen))
    return relief


class _Table:
    """The points of all branches, one after the other."""

    def __init__(self, branches: list[Branch]) -> None:
        self.rows = np.concatenate([branch.points[:, 0] for branch in branches])
        self.columns = np.concatenate([branch.points[:, 1] for branch in branches])
        self.tangent_rows = np.concatenate([branch.tangents[:, 0] for branch in branches])
        self.tangent_columns = np.concatenate([branch.tangents[:, 1] for branch in branches])
        self.elevation = np.concatenate([branch.elevation for branch in branches])
        self.width = np.concatenate([branch.width for branch in branches])
        self.flow = np.concatenate([branch.flow for branch in branches])
        self.flow_slope = np.concatenate([np.gradient(branch.flow) / STEP for branch in branches])
        self.ice = np.concatenate([branch.ice for branch in branches])
        counts = [len(branch.points) for branch in branches]
        self.owner = np.repeat(np.array([branch.owner for branch in branches], dtype=np.int16), counts)
        self.order = np.repeat(np.array([branch.order for branch in branches], dtype=np.int16), counts)
        self.station = np.concatenate(
            [np.arange(count, dtype=np.float32) * STEP + 997 * number for number, count in enumerate(counts)]
        )


def _nearest(branches: list[Branch], rows: Field, columns: Field, steepness: float) -> NDArray[np.int64]:
    """For each pixel the number of the valley point whose cross-section is lowest there."""
    size = rows.shape[0]
    lowest = np.full(rows.shape, np.inf, dtype=np.float32)
    nearest = np.zeros(rows.shape, dtype=np.int64)
    reach = round(INFLUENCE * size)
    number = 0
    for branch in branches:
        for index, (point, elevation, width) in enumerate(
            zip(branch.points, branch.elevation, branch.width, strict=True)
        ):
            if index % SPARSE:
                top, left = (max(round(float(middle)) - reach, 0) for middle in point)
                window = np.s_[top : top + 2 * reach, left : left + 2 * reach]
            else:
                window = np.s_[:, :]
            ground = np.square(rows[window] - point[0])
            ground += np.square(columns[window] - point[1])
            ground += width**2
            np.sqrt(ground, out=ground)
            ground *= np.float32(steepness * PIXEL_M)
            ground += elevation - np.float32(steepness * PIXEL_M) * width
            lower = ground < lowest[window]
            np.copyto(lowest[window], ground, where=lower)
            np.copyto(nearest[window], number, where=lower)
            number += 1
    return nearest
