"""The overview map: outlines where they are large enough to see, else symbols, in an equal-area projection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from glacier_core.report.overview import Glacier
from glacier_core.report.palette import CHANGE_CLASSES, DARK, change_colour
from glacier_core.report.pictures import length_label, nice_length
from glacier_core.report.svg import Drawing, points, tick_label

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

WIDTH = 640.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 8.0, 24.0
READABLE = 12.0
"""Size on the map, in units of the drawing, that a tenth of the glaciers must reach for outlines to be drawn."""
NUMBERED = 60
_STEPS = (20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class _Frame:
    """From projected metres to the drawing."""

    left: float
    top: float
    metres_per_unit: float
    height: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - self.left) / self.metres_per_unit, TOP + (self.top - y) / self.metres_per_unit


@dataclass(frozen=True)
class OverviewMap:
    """The map and what its legend must say."""

    drawing: Markup
    """SVG."""
    outlines: bool
    """Whether outlines are drawn; else symbols."""
    moved: bool
    """Whether symbols were moved apart."""
    numbered: bool
    """Whether glaciers bear their numbers."""
    projection: str
    """Name of the projection."""


def overview_map(glaciers: Sequence[Glacier], outlines: GeoDataFrame) -> OverviewMap | None:
    """Draw the map; None where there is nothing to draw.

    Lambert azimuthal equal area about the middle of the glaciers: areas compare, north is up in the middle. A glacier
    is coloured by its change in percent a year where the trend's interval excludes zero, and stays hollow elsewhere.

    Args:
        glaciers: ranked glaciers.
        outlines: their outlines, EPSG:4326.
    """
    from pyproj import Transformer

    first = outlines.drop_duplicates("glacier_id").set_index("glacier_id").geometry
    shown = [glacier for glacier in glaciers if glacier.glacier_id in first.index]
    if not shown:
        return None
    centres = [first[glacier.glacier_id].centroid for glacier in shown]
    lon0, lat0 = _middle([(point.x, point.y) for point in centres])
    projection = f"+proj=laea +lat_0={lat0:.4f} +lon_0={lon0:.4f} +datum=WGS84 +units=m"
    forward = Transformer.from_crs("EPSG:4326", projection, always_xy=True)
    shapes = {glacier.glacier_id: _projected(first[glacier.glacier_id], forward) for glacier in shown}
    frame = _frame([shape.bounds for shape in shapes.values()])
    sizes = sorted(math.sqrt(shape.area) / frame.metres_per_unit for shape in shapes.values())
    detailed = sizes[round(0.9 * (len(sizes) - 1))] >= READABLE
    label = f"Map of {len(shown)} glaciers around {abs(lat0):.2f}°{'N' if lat0 >= 0 else 'S'}"
    drawing = Drawing(WIDTH, frame.height, label=label, kind="chart map big")
    drawing.add("rect", x=LEFT, y=TOP, width=WIDTH - LEFT - RIGHT, height=frame.height - TOP - BOTTOM, class_="sea")
    _graticule(drawing, frame, forward, lon0)
    moved = False
    if detailed:
        _draw_outlines(drawing, shown, shapes, frame)
    else:
        moved = _draw_symbols(drawing, shown, shapes, frame)
    _scale_bar(drawing, frame)
    return OverviewMap(
        drawing=drawing.markup(),
        outlines=detailed,
        moved=moved,
        numbered=len(shown) <= NUMBERED,
        projection="Lambert azimuthal equal area",
    )


def shape_chart(first: str, last: str, *, size: tuple[int, int], bar: tuple[float, str], label: str) -> Markup:
    """The first and the last year's outline of one glacier, with a scale bar.

    Args:
        first: path of the first year, in pixels.
        last: path of the last year; may be empty.
        size: columns and rows of the grid.
        bar: the scale bar's length in pixels, and its text.
        label: what is shown, for readers who do not see it.
    """
    side = float(max(size))
    drawing = Drawing(side, side, label=label, kind="shape")
    drawing.open("g", transform=f"translate({(side - size[0]) / 2:.1f} {(side - size[1]) / 2:.1f})")
    drawing.add("path", d=first, class_="first" if last else "last")
    if last:
        drawing.add("path", d=last, class_="last")
    drawing.close("g")
    x, y = 0.03 * side, 0.97 * side
    drawing.add("line", x1=x, x2=x + bar[0], y1=y, y2=y, class_="scale")
    drawing.add("text", text=bar[1], x=x, y=y - 0.035 * side, font_size=f"{0.1 * side:.1f}")
    return drawing.markup()


def legend() -> list[tuple[str, str]]:
    """Colours of the map and what they mean."""
    return [(colour, text) for _, colour, text in CHANGE_CLASSES]


def _middle(points_: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of positions on the sphere: right across the date line and near the poles too."""
    x = y = z = 0.0
    for longitude, latitude in points_:
        a, b = math.radians(longitude), math.radians(latitude)
        x, y, z = x + math.cos(b) * math.cos(a), y + math.cos(b) * math.sin(a), z + math.sin(b)
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _projected(geometry: Any, forward: Any) -> Any:
    import numpy as np
    import shapely

    def move(coordinates: Any) -> Any:
        return np.stack(forward.transform(coordinates[:, 0], coordinates[:, 1]), axis=1)

    return shapely.transform(geometry, move)


def _frame(bounds: Sequence[tuple[float, float, float, float]]) -> _Frame:
    """A frame around everything with a margin, neither too flat nor too tall."""
    left, bottom = min(b[0] for b in bounds), min(b[1] for b in bounds)
    right, top = max(b[2] for b in bounds), max(b[3] for b in bounds)
    margin = 0.06 * max(right - left, top - bottom, 500.0)
    left, right, bottom, top = left - margin, right + margin, bottom - margin, top + margin
    inner = WIDTH - LEFT - RIGHT
    aspect = min(0.82, max(0.42, (top - bottom) / (right - left)))
    metres_per_unit = max((right - left) / inner, (top - bottom) / (inner * aspect))
    return _Frame(
        left=(left + right) / 2 - metres_per_unit * inner / 2,
        top=(top + bottom) / 2 + metres_per_unit * inner * aspect / 2,
        metres_per_unit=metres_per_unit,
        height=TOP + BOTTOM + inner * aspect,
    )


def _graticule(drawing: Drawing, frame: _Frame, forward: Any, lon0: float) -> None:
    import numpy as np

    right, bottom = WIDTH - RIGHT, frame.height - BOTTOM
    xs = frame.left + np.linspace(0, right - LEFT, 9) * frame.metres_per_unit
    ys = frame.top - np.linspace(0, bottom - TOP, 9) * frame.metres_per_unit
    lon, lat = forward.transform(*(grid.ravel() for grid in np.meshgrid(xs, ys)), direction="INVERSE")
    lon = lon0 + (lon - lon0 + 180) % 360 - 180
    drawing.open("g", class_="graticule")
    for values, other, meridian in ((lon, lat, True), (lat, lon, False)):
        low, high = float(values.min()), float(values.max())
        step = next((s for s in _STEPS if (high - low) / s >= 2.5), _STEPS[-1])
        degrees = [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
        along = np.linspace(float(other.min()), float(other.max()), 60)
        for value in degrees:
            fixed = np.full(60, value)
            line = forward.transform(*((fixed, along) if meridian else (along, fixed)))
            placed = [frame.place(x, y) for x, y in zip(*line, strict=True)]
            inside = [p for p in placed if LEFT <= p[0] <= right and TOP <= p[1] <= bottom]
            if len(inside) < 2:
                continue
            drawing.add("polyline", points=points(inside))
            text = _degrees(value, degrees, "EW" if meridian else "NS")
            if meridian:
                drawing.add("text", text=text, x=inside[0][0], y=bottom + 14, text_anchor="middle")
            else:
                drawing.add("text", text=text, x=LEFT - 4, y=inside[0][1] + 3, text_anchor="end")
    drawing.close("g")


def _degrees(value: float, values: Sequence[float], letters: str) -> str:
    wrapped = (value + 180) % 360 - 180 if letters == "EW" else value
    return f"{tick_label(abs(wrapped), values)}°{letters[0] if wrapped >= 0 else letters[1]}"


def _style(glacier: Glacier) -> dict[str, Any]:
    percent = glacier.percent_per_yr
    if not glacier.trend.known:
        return {"class_": "glacier plain"}
    if percent is None or not glacier.trend.clear:
        return {"class_": "glacier hollow"}
    colour = change_colour(percent)
    return {"class_": "glacier dark" if colour in DARK else "glacier", "style": f"fill:{colour}"}


def _title(glacier: Glacier) -> str:
    percent = glacier.percent_per_yr
    change = "" if percent is None else f", {percent:+.1f} % a year" + ("" if glacier.trend.clear else " (not clear)")
    return f"{glacier.rank}  {glacier.name}{change}"


def _draw_outlines(drawing: Drawing, glaciers: Sequence[Glacier], shapes: Mapping[str, Any], frame: _Frame) -> None:
    numbered = len(glaciers) <= NUMBERED
    for glacier in glaciers:
        shape = shapes[glacier.glacier_id].simplify(0.4 * frame.metres_per_unit)
        path = ""
        for polygon in getattr(shape, "geoms", [shape]):
            for ring in (polygon.exterior, *polygon.interiors):
                placed = [frame.place(x, y) for x, y in list(ring.coords)[:-1]]
                path += "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed) + "Z"
        drawing.open("g", data_glacier=glacier.glacier_id, title=_title(glacier), **_style(glacier))
        drawing.add("path", d=path)
        if numbered and math.sqrt(shape.area) / frame.metres_per_unit > 16:
            x, y = frame.place(*shape.representative_point().coords[0])
            drawing.add("text", text=str(glacier.rank), x=x, y=y + 3, text_anchor="middle")
        drawing.close("g")


def _draw_symbols(drawing: Drawing, glaciers: Sequence[Glacier], shapes: Mapping[str, Any], frame: _Frame) -> bool:
    numbered = len(glaciers) <= NUMBERED
    largest = max(shapes[glacier.glacier_id].area for glacier in glaciers)
    least, most = (7.5, 15.0) if numbered else (2.5, 9.0)
    radii = [max(least, most * math.sqrt(shapes[glacier.glacier_id].area / largest)) for glacier in glaciers]
    homes = [frame.place(*shapes[glacier.glacier_id].centroid.coords[0]) for glacier in glaciers]
    places = _apart(homes, radii, frame.height) if len(glaciers) <= 400 else list(homes)
    moved = False
    for home, place, glacier, radius in zip(homes, places, glaciers, radii, strict=True):
        far = math.dist(home, place) > 1.5
        moved = moved or far
        drawing.open("g", data_glacier=glacier.glacier_id, title=_title(glacier), **_style(glacier))
        if far:
            drawing.add("line", x1=home[0], y1=home[1], x2=place[0], y2=place[1])
        drawing.add("circle", cx=place[0], cy=place[1], r=radius)
        if numbered:
            drawing.add("text", text=str(glacier.rank), x=place[0], y=place[1] + 3, text_anchor="middle")
        drawing.close("g")
    return moved


def _apart(homes: Sequence[tuple[float, float]], radii: Sequence[float], height: float) -> list[tuple[float, float]]:
    """Positions near home at which no two circles overlap (as far as 80 rounds of pushing get)."""
    import numpy as np

    place = np.array(homes, dtype=float)
    # two at one spot need a direction to part in
    place += 0.01 * np.array([(math.cos(2.4 * i), math.sin(2.4 * i)) for i in range(len(homes))])
    radius = np.array(radii)
    room = radius[:, None] + radius[None, :] + 1.5
    for _ in range(80):
        delta = place[:, None] - place[None, :]
        distance = np.sqrt((delta**2).sum(-1))
        np.fill_diagonal(distance, np.inf)
        overlap = np.maximum(room - distance, 0)
        if not overlap.any():
            break
        place += 0.5 * (delta / distance[..., None] * overlap[..., None]).sum(axis=1)
        place = np.clip(
            place,
            np.stack([LEFT + radius, TOP + radius], axis=1),
            np.stack([WIDTH - RIGHT - radius, height - BOTTOM - radius], axis=1),
        )
    return [(float(x), float(y)) for x, y in place]


def _scale_bar(drawing: Drawing, frame: _Frame) -> None:
    length = nice_length(0.75 * (WIDTH - LEFT - RIGHT) * frame.metres_per_unit)
    x, y = LEFT + 14, frame.height - BOTTOM - 12
    text = length_label(length)
    drawing.open("g", class_="furniture")
    drawing.add("rect", x=x - 6, y=y - 19, width=max(length / frame.metres_per_unit, 8 * len(text)) + 12, height=26)
    drawing.add("line", x1=x, x2=x + length / frame.metres_per_unit, y1=y, y2=y)
    drawing.add("text", text=text, x=x, y=y - 6)
    right = WIDTH - RIGHT - 18
    drawing.add("rect", x=right - 11, y=TOP + 6, width=22, height=36)
    drawing.add("path", d=f"M{right} {TOP + 10}l6 15l-6 -4l-6 4z")
    drawing.add("text", text="N", x=right, y=TOP + 38, text_anchor="middle")
    drawing.close("g")
