"""The contact sheet of a cube: one small picture a time, so that a person sees at once what was read.

Colour maps are perceptually even and safe for colour-blind readers (Crameri et al. 2020,
doi:10.1038/s41467-020-19160-7).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import ConfigurationError
from glacier_core.report.palette import FAINT, INK, MUTED, UNOBSERVED
from glacier_core.report.pictures import Stretch, length_label, nice_length
from glacier_core.report.plots import STYLE
from glacier_core.report.svg import shortened

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from glacier_core.cube import CubePixels

TIMES = 48
"""Pictures at most on a sheet."""
WIDTH_IN = 11.0
MARGIN_IN = 0.35
GAP_IN = 0.12
DPI = 150
STRIP_ROWS = 1024
LISTED = 5
METRES_PER_DEGREE = 111_320.0
TRUE_COLOUR = (
    ("red", "green", "blue"),
    ("B04", "B03", "B02"),
    ("SR_B4", "SR_B3", "SR_B2"),
    ("r", "g", "b"),
)
MASK_COLOURS = {"land": "#8d7b68", "rock": "#8d7b68", "ocean": "#c9dbe6", "pole_hole": "#4d4d4d"}
MEASURED = "ice"  # what a cube of ice cover is about, and so no reason for a gap in it
OTHER_MASKS = ("#e69f00", "#cc79a7", "#009e73", "#56b4e9")
CLASS_COLOURS = ("#4d4d4d", "#9c755f", "#56b4e9", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#d55e00")
SHOWN_LABELS = ("sensor", "platform", "version", "resolution", "quality", "orbit", "days", "frames")


@dataclass(frozen=True)
class _Look:
    """How one quantity is drawn."""

    colours: str  # a colour map of matplotlib
    low: float | None = None  # fixed limits, or None: from the first percentile to `top` of what is shown
    high: float | None = None
    symmetric: bool = False
    decibels: bool = False
    top: float = 99.0  # percentile that is shown brightest, where the limit is not fixed


LOOKS: Mapping[str, _Look] = {
    "ice_fraction": _Look("Blues_r", 0.0, 1.0),
    "melt_fraction": _Look("cividis", 0.0, 1.0),
    "probability": _Look("cividis", 0.0, 1.0),
    "temperature": _Look("inferno"),
    "height": _Look("cividis"),
    "velocity": _Look("viridis", 0.0, top=96.0),
    "index": _Look("PuOr", symmetric=True),
    "backscatter": _Look("gray", decibels=True),
    "reflectance": _Look("gray"),
    "digital_number": _Look("gray"),
}


@dataclass(frozen=True)
class _Sheet:
    """What is drawn, and how."""

    cube: xr.Dataset
    times: NDArray[np.intp]  # which are shown
    bands: tuple[str, ...]  # one, three as colours, or two whose magnitude is shown
    quantity: str  # of those bands
    units: str
    factor: int  # pixels of the cube in one of a picture, along each axis
    metres: float  # width of a pixel of the cube; 0 where it is not known
    aspect: float  # height of a pixel over its width, on the ground

    @property
    def is_colour(self) -> bool:
        return len(self.bands) == 3


def draw_contact_sheet(cube_path: str, out: Path | str, *, bands: Sequence[str] = (), times: int = TIMES) -> Path:
    """Draw a cube as a sheet of small pictures.

    Args:
        cube_path: folder or URL of the cube.
        out: the PNG file.
        bands: one band, or three as red, green and blue; empty: true colour where the cube has it, the magnitude of a
            velocity, else the first band.
        times: pictures at most, evenly chosen.

    Returns:
        The file.

    Raises:
        ConfigurationError: a band is not in the cube.
        DataError: no cube is there.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from glacier_core.cube import open_cube, open_pixels

    sheet = _sheet(open_cube(cube_path), tuple(bands), times)
    pixels = open_pixels(cube_path)
    pictures = [_read(sheet, pixels, int(index)) for index in sheet.times]
    with mpl.rc_context(STYLE):
        page = _Page.fitting(sheet, pictures[0].shape[1:])
        figure: Any = Figure(figsize=(WIDTH_IN, page.height), dpi=DPI)
        FigureCanvasAgg(figure)
        painted, bar = _painted(sheet, pictures)
        _header(figure, page, sheet)
        for place, (index, picture) in enumerate(zip(sheet.times, painted, strict=True)):
            _thumbnail(figure, page, sheet, place, int(index), picture)
        _legend(figure, page, sheet, bar)
        _footer(figure, page, sheet)
        try:
            figure.savefig(out, metadata={"Software": None})
        except OSError as error:
            raise ConfigurationError(f"{out} cannot be written ({error.strerror})", do="choose another file") from None
    return Path(out)


# --- what is shown ----------------------------------------------------------------------------------------------


def _sheet(cube: xr.Dataset, wanted: tuple[str, ...], most: int) -> _Sheet:
    names = [str(band) for band in cube["band"].values]
    missing = [band for band in wanted if band not in names]
    if missing or len(wanted) not in (0, 1, 3):
        raise ConfigurationError(
            f"--band {', '.join(wanted)}", expected=f"one or three of {', '.join(names)}", do="correct --band"
        )
    quantities = json.loads(cube.attrs.get("quantities", "[]")) or [""] * len(names)
    bands = wanted or _default_bands(names, quantities)
    first = names.index(bands[0])
    units = (
        str(cube["band_units"].values[first]) if "band_units" in cube else str(cube["imagery"].attrs.get("units", "1"))
    )
    count = cube.sizes["time"]
    times = np.unique(np.round(np.linspace(0, count - 1, min(count, most))).astype(np.intp))
    metres, aspect = _pixel(cube)
    longest = max(cube.sizes["y"], cube.sizes["x"])
    columns = max(1, round(math.sqrt(len(times))))
    return _Sheet(
        cube=cube,
        times=times,
        bands=bands,
        quantity=str(quantities[first]),
        units=units,
        factor=max(1, longest // round(1.3 * WIDTH_IN * DPI / columns)),
        metres=metres,
        aspect=aspect,
    )


def _default_bands(names: Sequence[str], quantities: Sequence[str]) -> tuple[str, ...]:
    for triple in TRUE_COLOUR:
        if set(triple) <= set(names):
            return triple
    speeds = [name for name, quantity in zip(names, quantities, strict=True) if quantity == "velocity"]
    if {"vx", "vy"} <= set(speeds):
        return ("vx", "vy")
    return (names[0],)


def _pixel(cube: xr.Dataset) -> tuple[float, float]:
    """Width of a pixel in metres (0: not known) and its height over its width, on the ground."""
    from pyproj import CRS

    from glacier_core.cube import LOCAL_CRS, grid_of

    grid = grid_of(cube)
    if grid.crs in ("", LOCAL_CRS):
        return (grid.resolution if grid.resolution != 1 else 0.0), 1.0
    crs = CRS.from_user_input(grid.crs)
    if crs.is_geographic:
        _, south, _, north = grid.bounds
        shrink = max(math.cos(math.radians((south + north) / 2)), 0.01)
        return grid.resolution * METRES_PER_DEGREE * shrink, abs(grid.transform[4]) / grid.resolution / shrink
    known = crs.axis_info[0].unit_conversion_factor if crs.is_projected and crs.axis_info else 0.0
    return grid.resolution * known, 1.0


def _read(sheet: _Sheet, pixels: CubePixels, index: int) -> NDArray[np.float32]:
    """One time of the bands shown, (band, y, x), by means over blocks of pixels; class codes by their first pixel."""
    rows = max(STRIP_ROWS // sheet.factor, 1) * sheet.factor
    strips = []
    for top in range(0, sheet.cube.sizes["y"], rows):
        strip = pixels.physical(times=slice(index, index + 1), bands=sheet.bands, rows=slice(top, top + rows))
        strips.append(_reduced(strip[0], sheet.factor, first=sheet.quantity == "class"))
    return np.concatenate(strips, axis=1)


def _reduced(image: NDArray[np.float32], factor: int, *, first: bool) -> NDArray[np.float32]:
    if factor == 1:
        return image
    if first:
        return image[:, ::factor, ::factor]
    bands, height, width = image.shape
    tall, wide = -(-height // factor) * factor, -(-width // factor) * factor
    padded = np.full((bands, tall, wide), np.nan, np.float32)
    padded[:, :height, :width] = image
    blocks = padded.reshape(bands, tall // factor, factor, wide // factor, factor)
    seen = np.isfinite(blocks)
    count = seen.sum(axis=(2, 4))
    total = np.where(seen, blocks, 0).sum(axis=(2, 4))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


# --- colours ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bar:
    """The colour bar."""

    colours: Any
    low: float
    high: float
    label: str
    classes: tuple[int, ...] = ()


def _painted(sheet: _Sheet, pictures: Sequence[NDArray[np.float32]]) -> tuple[list[NDArray[np.uint8]], _Bar | None]:
    """Pictures as colours (y, x, 3), all on one scale, and the colour bar."""
    if sheet.is_colour:
        images = [np.moveaxis(picture, 0, -1) for picture in pictures]
        stretch = Stretch.of(images)
        return [
            _with_masks(sheet, stretch.apply(image), np.asarray(np.isfinite(image).all(axis=-1))) for image in images
        ], None
    layers = [_one_layer(sheet, picture) for picture in pictures]
    if sheet.quantity == "class":
        return _classes(sheet, layers)
    bar = _bar(sheet, layers)
    return [_toned(sheet, layer, bar) for layer in layers], bar


def _one_layer(sheet: _Sheet, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(sheet.bands) == 2:
        return np.asarray(np.hypot(picture[0], picture[1]), dtype=np.float32)
    if LOOKS.get(sheet.quantity, _Look("gray")).decibels:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(picture[0] > 0, 10 * np.log10(picture[0]), np.nan), dtype=np.float32)
    return np.asarray(picture[0])


def _bar(sheet: _Sheet, layers: Sequence[NDArray[np.float32]]) -> _Bar:
    import matplotlib as mpl

    look = LOOKS.get(sheet.quantity, _Look("gray"))
    finite = np.concatenate([layer[np.isfinite(layer)][:: max(1, layer.size // 50_000)] for layer in layers])
    low, high = (float(value) for value in np.percentile(finite, (1, look.top))) if finite.size else (0.0, 1.0)
    if look.symmetric:
        high = max(abs(low), abs(high), 1e-6)
        low = -high
    low, high = (look.low if look.low is not None else low), (look.high if look.high is not None else high)
    name = " of ".join(["magnitude", ", ".join(sheet.bands)]) if len(sheet.bands) == 2 else sheet.bands[0]
    units = "dB" if look.decibels else sheet.units
    label = name.replace("_", " ") + (f" ({units.replace(' yr-1', '/yr')})" if units not in ("", "1") else "")
    return _Bar(mpl.colormaps[look.colours], low, high if high > low else low + 1.0, label)


def _toned(sheet: _Sheet, layer: NDArray[np.float32], bar: _Bar) -> NDArray[np.uint8]:
    seen = np.isfinite(layer)
    part = np.clip((np.where(seen, layer, bar.low) - bar.low) / (bar.high - bar.low), 0, 1)
    colours = np.asarray(bar.colours(part))[..., :3]
    if sheet.quantity == "height":
        colours = colours * _hillshade(np.where(seen, layer, np.nanmin(layer) if seen.any() else 0), sheet)[..., None]
    painted = np.asarray(np.round(255 * colours), dtype=np.uint8)
    return _with_masks(sheet, np.where(seen[..., None], painted, _hatch(seen.shape)).astype(np.uint8), seen)


def _hillshade(height: NDArray[np.float32], sheet: _Sheet) -> NDArray[np.float32]:
    """Light from the north-west at 45 degrees, 0.55 to 1."""
    step = (sheet.metres or 30.0) * sheet.factor
    down, right = np.gradient(height.astype(np.float64), step)
    light = (1 + right + down) / np.sqrt(3 * (1 + right**2 + down**2))
    return np.asarray(0.55 + 0.45 * np.clip(light, 0, 1), dtype=np.float32)


def _classes(sheet: _Sheet, layers: Sequence[NDArray[np.float32]]) -> tuple[list[NDArray[np.uint8]], _Bar]:
    from matplotlib.colors import ListedColormap, to_rgb

    codes = sorted({int(code) for layer in layers for code in np.unique(layer[np.isfinite(layer)])})[:12]
    palette = {code: to_rgb(CLASS_COLOURS[number % len(CLASS_COLOURS)]) for number, code in enumerate(codes)}
    painted = []
    for layer in layers:
        picture = _hatch(layer.shape)
        for code, colour in palette.items():
            picture[layer == code] = np.round(255 * np.asarray(colour))
        painted.append(_with_masks(sheet, picture, np.isfinite(layer)))
    colours = ListedColormap(list(palette.values()) or ["white"])
    return painted, _Bar(colours, 0, max(len(codes), 1), sheet.bands[0], tuple(codes))


def _hatch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Grey hatching: nothing was seen there."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    shade = np.where(((rows + columns) // 3) % 3 == 0, 0.82, 1.0)[..., None]
    return np.asarray(np.round(shade * np.array(UNOBSERVED)), dtype=np.uint8)


def _mask_colours(sheet: _Sheet) -> dict[str, str]:
    """The cube's masks, (y, x), and the colour of each."""
    names = [
        str(name)
        for name, variable in sheet.cube.data_vars.items()
        if variable.dims == ("y", "x") and variable.dtype == np.uint8 and name != MEASURED
    ]
    others = iter(OTHER_MASKS)
    colours = {name: MASK_COLOURS.get(name) or next(others, "") for name in names}
    return {name: colour for name, colour in colours.items() if colour}


def _with_masks(sheet: _Sheet, picture: NDArray[np.uint8], seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Masks over a picture: filled where nothing was seen, their edges drawn where something was."""
    from matplotlib.colors import to_rgb

    for name, colour in _mask_colours(sheet).items():
        mask = np.asarray(sheet.cube[name].values[:: sheet.factor, :: sheet.factor] == 1)
        inner = mask.copy()
        inner[1:] &= mask[:-1]
        inner[:-1] &= mask[1:]
        inner[:, 1:] &= mask[:, :-1]
        inner[:, :-1] &= mask[:, 1:]
        ink = np.round(255 * np.asarray(to_rgb(colour)))
        picture[mask & ~seen] = ink
        picture[mask & ~inner & seen] = ink
    return picture


# --- the page ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """Sizes in inches, from the top left corner."""

    columns: int
    cell: tuple[float, float]  # width and height of a picture
    caption: float  # height of the text over a picture
    header: float
    legend: float
    footer: float
    lines: int

    @classmethod
    def fitting(cls, sheet: _Sheet, shape: tuple[int, ...]) -> _Page:
        """The page whose shape is nearest to 4 by 3."""
        count = len(sheet.times)
        tall = shape[0] / shape[1] * sheet.aspect
        inner = WIDTH_IN - 2 * MARGIN_IN
        caption = 0.36 if any(_label(sheet, int(index)) for index in sheet.times) else 0.21
        best: tuple[float, int, float] | None = None
        for columns in range(1, min(count, 8) + 1):
            wide = min((inner - (columns - 1) * GAP_IN) / columns, 7.0 / tall)
            lines = -(-count // columns)
            high = lines * (wide * tall + caption + GAP_IN)
            used = columns * (wide + GAP_IN) / inner
            empty = (lines * columns - count) / count
            score = abs(math.log(high / (0.72 * inner))) + abs(math.log(used)) + 1.5 * empty
            if best is None or score < best[0]:
                best = score, columns, wide
        _, columns, wide = best or (0.0, 1, inner)
        return cls(
            columns=columns,
            cell=(wide, wide * tall),
            caption=caption,
            header=0.86,
            legend=0.62,
            footer=0.12 + 0.16 * len(_left_out(sheet)),
            lines=-(-count // columns),
        )

    @property
    def height(self) -> float:
        """Of the whole page."""
        pictures = self.lines * (self.cell[1] + self.caption + GAP_IN)
        return self.header + pictures + self.legend + self.footer + MARGIN_IN / 2

    def box(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A box as fractions of the page, from the lower left corner."""
        return (
            left / WIDTH_IN,
            1 - (top + height) / self.height,
            width / WIDTH_IN,
            height / self.height,
        )

    def point(self, left: float, top: float) -> tuple[float, float]:
        """A point as fractions of the page."""
        return left / WIDTH_IN, 1 - top / self.height


def _header(figure: Any, page: _Page, sheet: _Sheet) -> None:
    cube = sheet.cube
    title = str(cube.attrs.get("title") or "Cube")
    figure.text(*page.point(MARGIN_IN, 0.42), _plain(title, 100), fontsize=13.5, fontweight="bold", color=INK)
    name = "/".join(str(cube.attrs[key]) for key in ("recipe", "place") if cube.attrs.get(key))
    lengths = " \N{MULTIPLICATION SIGN} ".join(str(cube.sizes[dim]) for dim in ("time", "band", "y", "x"))
    size = f"{lengths} (time, band, y, x)"
    facts = [name, size, _crs(sheet)]
    if len(sheet.times) < cube.sizes["time"]:
        facts.append(f"{len(sheet.times)} of {cube.sizes['time']} times, evenly chosen")
    if sheet.is_colour:
        facts.append(f"{', '.join(sheet.bands)} as red, green, blue")
    figure.text(
        *page.point(MARGIN_IN, 0.64),
        _plain("   ·   ".join(fact for fact in facts if fact), 170),
        fontsize=8,
        color=MUTED,
    )


def _crs(sheet: _Sheet) -> str:
    from pyproj import CRS

    from glacier_core.cube import LOCAL_CRS, grid_of

    grid = grid_of(sheet.cube)
    if grid.crs in ("", LOCAL_CRS):
        return f"no CRS, {grid.resolution:g} m a pixel" if sheet.metres else "no CRS, no pixel size"
    crs = CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    if crs.is_geographic:
        return f"{':'.join(authority) if authority else crs.name}, {grid.resolution:.3g}° a pixel"
    return f"{':'.join(authority) if authority else crs.name}, {grid.resolution:g} m a pixel"


def _thumbnail(figure: Any, page: _Page, sheet: _Sheet, place: int, index: int, picture: NDArray[np.uint8]) -> None:
    row, column = divmod(place, page.columns)
    wide, high = page.cell
    left = MARGIN_IN + column * (wide + GAP_IN)
    top = page.header + row * (high + page.caption + GAP_IN)
    room = max(int(wide * 12.5), 8)
    figure.text(
        *page.point(left, top + 0.15), _plain(_date(sheet, index), room), fontsize=8, fontweight="bold", color=INK
    )
    label = _label(sheet, index, most=int(room * 1.4))
    if label:
        figure.text(*page.point(left, top + 0.3), _plain(label, int(room * 1.4)), fontsize=6, color=MUTED)
    axes = figure.add_axes(page.box(left, top + page.caption, wide, high))
    axes.imshow(picture, aspect="auto", interpolation="antialiased")
    axes.set_axis_off()


def _date(sheet: _Sheet, index: int) -> str:
    if not sheet.cube.attrs.get("dated", 1):
        return _text(sheet, "frame", index) or f"image {index + 1}"
    days = sheet.cube["time"].values.astype("datetime64[D]")
    shown = str(days[index])
    if len(days) > 1 and (days == days.astype("datetime64[Y]")).all():
        return shown[:4]
    return shown[:7] if len(days) > 1 and (days == days.astype("datetime64[M]")).all() else shown


def _label(sheet: _Sheet, index: int, *, most: int = 80) -> str:
    """What is known of an image: the first things that fit."""
    parts = [text for name in SHOWN_LABELS if (text := _text(sheet, name, index)) != "unknown"]
    if "shift_x_px" in sheet.cube:
        x, y = (float(sheet.cube[f"shift_{axis}_px"].values[index]) for axis in "xy")
        parts.insert(0, _shift(sheet, index, x, y))
    known = list(dict.fromkeys(part for part in parts if part))
    while len(known) > 1 and len(", ".join(known)) > most:
        known.pop()
    return ", ".join(known)


def _shift(sheet: _Sheet, index: int, x: float, y: float) -> str:
    verdict = _text(sheet, "alignment", index)
    if verdict != "aligned":
        return verdict if verdict == "reference" else "shift unknown"
    return f"{'moved' if sheet.cube.attrs.get('shifts_applied', 1) else 'off by'} {x:+.2f}, {y:+.2f} px".replace(
        "-", "\N{MINUS SIGN}"
    )


def _text(sheet: _Sheet, name: str, index: int) -> str:
    return str(sheet.cube[name].values[index]) if name in sheet.cube and sheet.cube[name].dims == ("time",) else ""


def _legend(figure: Any, page: _Page, sheet: _Sheet, bar: _Bar | None) -> None:
    top = page.header + page.lines * (page.cell[1] + page.caption + GAP_IN) + 0.06
    left = MARGIN_IN
    if bar is not None:
        _colour_bar(figure, page, bar, left, top)
        left += 3.6
    left = _scale_bar(figure, page, sheet, left, top)
    swatches = [(name.replace("_", " "), colour) for name, colour in _mask_colours(sheet).items()]
    swatches.append(("not seen", "#{:02x}{:02x}{:02x}".format(*UNOBSERVED)))
    for name, colour in swatches:
        axes = figure.add_axes(page.box(left, top + 0.08, 0.16, 0.13))
        axes.set_facecolor(colour)
        axes.set(xticks=[], yticks=[])
        figure.text(*page.point(left + 0.22, top + 0.19), name, fontsize=7.5, color=INK)
        left += 0.46 + 0.068 * len(name)


def _colour_bar(figure: Any, page: _Page, bar: _Bar, left: float, top: float) -> None:
    axes = figure.add_axes(page.box(left, top + 0.08, 3.2, 0.13))
    axes.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=bar.colours, extent=(bar.low, bar.high, 0, 1))
    axes.set_yticks([])
    axes.grid(visible=False)
    if bar.classes:
        axes.set_xticks([number + 0.5 for number in range(len(bar.classes))], [str(code) for code in bar.classes])
    axes.tick_params(length=2, labelsize=7, pad=1.5)
    axes.set_xlabel(_plain(bar.label, 50), fontsize=7.5, labelpad=1)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scale_bar(figure: Any, page: _Page, sheet: _Sheet, left: float, top: float) -> float:
    """Draw the scale bar, as long as on the pictures; where the next entry begins."""
    pixels = sheet.cube.sizes["x"]
    length = nice_length(pixels * (sheet.metres or 1.0))
    inches = length / (sheet.metres or 1.0) / pixels * page.cell[0]
    label = length_label(length) if sheet.metres else f"{length:g} px"
    axes = figure.add_axes(page.box(left, top + 0.1, inches, 0.09))
    axes.axis("off")
    axes.plot([0, 0, 1, 1], [1, 0, 0, 1], color=INK, lw=1.1, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.text(*page.point(left + inches + 0.08, top + 0.19), label, fontsize=7.5, color=INK)
    return left + inches + 0.34 + 0.075 * len(label)


def _left_out(sheet: _Sheet) -> list[str]:
    entries = json.loads(sheet.cube.attrs.get("left_out", "[]"))
    if not entries:
        return []
    lines = [f"Left out: {len(entries)}", *(f"{entry['frame']}: {entry['reason']}" for entry in entries[:LISTED])]
    return lines + ([f"and {len(entries) - LISTED} more"] if len(entries) > LISTED else [])


def _footer(figure: Any, page: _Page, sheet: _Sheet) -> None:
    lines = _left_out(sheet)
    top = page.height - page.footer - MARGIN_IN / 4
    if lines:
        figure.add_artist(_rule(page, top))
    for number, line in enumerate(lines):
        figure.text(
            *page.point(MARGIN_IN, top + 0.18 + 0.16 * number),
            _plain(line, 190),
            fontsize=7.5,
            color=INK if number == 0 else MUTED,
            fontweight="bold" if number == 0 else "normal",
        )


def _rule(page: _Page, top: float) -> Any:
    from matplotlib.lines import Line2D

    (x0, y), (x1, _) = page.point(MARGIN_IN, top), page.point(WIDTH_IN - MARGIN_IN, top)
    return Line2D([x0, x1], [y, y], color=FAINT, lw=0.8)


def _plain(text: str, most: int) -> str:
    """Dollar signs would start mathematics."""
    return shortened(text, most).replace("$", "\\$")
