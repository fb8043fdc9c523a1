"""Dated frames: a folder of images of the same places, one file an image, the date in its name.

A file becomes a frame of its place's series. What the files themselves tell (CRS, transform, nodata, alpha, band names)
is used; what they do not tell is stated. Rules that hold for every folder:

- a series has one size and one grid, that of most of its files; files of another one are left out, with the reason;
- frames are put in order of time, whatever the order of the names;
- of files of one date that hold the same bytes or pixels one is kept; files of one date with different pixels are both
  kept, in order of their names (two passes in a day, two sensors);
- a file without a date or place in its name, an empty or damaged one is left out, with the reason, which is told with
  the series of its place where that is known;
- a frame's id is its file's name without ending; where several of a series share that, the path below the folder.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.dates_in_names import DATE_GROUPS, ISO_DATE, compile_date_pattern, moment_of
from glacier_core.sources.pictures import IMAGE_ENDINGS, Affine6, Picture, open_picture
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
"""Undated frames are counted in days from here."""
SAME_GRID_PX = 0.01
"""Grids whose corners are less than this part of a pixel apart are one."""
GREY_PICTURE = 3
"""Channels that a grey picture may be saved with."""
READ_ROWS = 1024
UNORDERED = "the stated order does not name it"
MASK_UNKNOWN = 255


@dataclass(frozen=True)
class FrameNames:
    """What the names of the files tell: date, place, order."""

    date_pattern: str = ISO_DATE
    """Regular expression with the groups year and month, day or doy (hour, minute, second may follow). Its other named
    groups become labels of the frame. Empty: no name holds a date, see `date` and `order`."""
    date: date | None = None
    """Date of every file, where the names hold none but it is known."""
    order: tuple[str, ...] = ()
    """Undated: names of the files, with or without ending, in order of time. Empty: the names' own order, in which
    frame_2 stands before frame_10."""
    place_pattern: str = ""
    """Regular expression whose group `place` (else its first group, else the whole match) tells the place: a series for
    each. Empty: all files show one place."""
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """A place's name -> what `place_pattern` finds there, where several codes show one place: neighbouring Landsat
    path/rows of one glacier, for example. Codes that are not listed are places of their own."""


@dataclass(frozen=True)
class FramePixels:
    """What the numbers of the files mean, as far as the files do not say."""

    bands: tuple[str, ...] = ()
    """Names of the first bands of each file; the others are not read. Empty: all, named as the file does. One name also
    fits pictures that hold grey in three equal channels."""
    quantities: tuple[str, ...] = ("digital_number",)
    """What the bands measure, as in `Series`: one for all, or one a band."""
    nodata: float | None = None
    """Where all bands have this number, nothing was seen; beside what the file itself calls nodata."""
    scale: float = 1.0
    """Physical value = number · scale + offset."""
    offset: float = 0.0
    """See `scale`."""
    pixel_size_m: float | None = None
    """Pixel size of images that have no georeference."""
    crs: str = ""
    """CRS of files that have coordinates but do not name their CRS, as GMT grids."""
    mask: str = ""
    """File of a mask beside the images, `{place}` standing for the place: 1 where it is above half of its greatest
    value. Empty: none."""


@dataclass(frozen=True)
class _Named:
    """A file whose name has been understood."""

    path: Path
    moment: datetime
    code: str  # what place_pattern found
    labels: Mapping[str, str]


_Told = list[tuple[str | None, SceneTrouble]]
"""What is left out, each with the place it shows; None where that is not known."""


def open_frames(
    folder: Path, *, files: str = "*", names: FrameNames | None = None, pixels: FramePixels | None = None
) -> list[Series]:
    """The series of a folder, one a place, in order of the places' names.

    Only headers are read here; a frame's file is read when it is asked for.

    Args:
        folder: where the files are.
        files: glob below the folder. Files that are no images (`IMAGE_ENDINGS`) are passed over, and the mask.
        names: what the names tell; None: an ISO date, all files one place.
        pixels: what the numbers mean; None: digital numbers, bands as in the files.

    Raises:
        ConfigurationError: the folder does not exist, holds no usable image, or what was stated does not fit it.
    """
    names, pixels = names or FrameNames(), pixels or FramePixels()
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigurationError(f"folder {folder} does not exist", expected="a folder of images", do="check the path")
    told: _Told = []
    by_place: dict[str, list[tuple[_Named, Picture]]] = defaultdict(list)
    for named in _named(_found(folder, files, pixels.mask), names, told):
        place = _place_of(named.code, names)
        try:
            picture = open_picture(named.path)
        except SceneError as error:
            told.append((place, SceneTrouble(named.path.name, str(error))))
        else:
            by_place[place].append((named, picture))
    if not by_place:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for _, trouble in told[:3])
        raise ConfigurationError(
            f"folder {folder} holds no usable image ({reasons or f'no image matches {files}'})",
            expected="PNG, JPEG, GeoTIFF, .npy or .grd files",
            do="check the files' pattern and the date and place patterns",
        )
    for _, trouble in told:
        log.warning("%s is left out: %s", trouble.scene, trouble.reason)
    # what belongs to no series that there is (no place, or none of its files serves) is told once, with the first
    first = min(by_place)
    of_place: dict[str, list[SceneTrouble]] = defaultdict(list)
    for known, trouble in told:
        of_place[first if known is None or known not in by_place else known].append(trouble)
    found = []
    for place, entries in sorted(by_place.items()):
        mask = _mask_path(folder, pixels.mask, place)
        series = _series(place, entries, folder=folder, names=names, pixels=pixels, mask=mask)
        found.append(replace(series, troubles=(*of_place[place], *series.troubles)))
    return found


def grid_of(picture: Picture, *, pixel_size_m: float | None = None, crs: str = "") -> Grid:
    """The grid of an image: its own, or a local one whose unit is the pixel, or the metre where its size is known.

    Args:
        picture: the image.
        pixel_size_m: size of a pixel of an image without coordinates.
        crs: CRS of an image that has coordinates and does not name their CRS.
    """
    size = pixel_size_m or 1.0
    local: Affine6 = (size, 0.0, 0.0, 0.0, -size, picture.height * size)
    transform = picture.transform or local
    known = picture.crs or (crs if picture.transform is not None else "")
    return Grid(crs=known, transform=transform, width=picture.width, height=picture.height)


# --- names ------------------------------------------------------------------------------------------------------


def _found(folder: Path, files: str, mask: str) -> list[Path]:
    masks = set(folder.glob(re.sub(r"\{place\}", "*", mask))) if mask else set()
    return sorted(
        path
        for path in folder.glob(files)
        if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS and path not in masks
    )


def _named(paths: Sequence[Path], names: FrameNames, told: _Told) -> list[_Named]:
    """The files whose names are understood, in order of time; the others are told."""
    dated = names.date is None and bool(names.date_pattern)
    pattern = compile_date_pattern(names.date_pattern, months=True) if dated else None
    place_pattern = _compiled_place(names.place_pattern)
    if pattern is None and names.date is None:
        paths, unnamed = _in_stated_order(paths, names.order)
        for path in unnamed:
            told.append((_place_in(path, place_pattern, names), SceneTrouble(path.name, UNORDERED)))
    understood: list[_Named] = []
    counts: Counter[str] = Counter()
    for path in paths:
        code = _code(path, place_pattern)
        place = _place_in(path, place_pattern, names)
        moment: datetime | None = FIRST_DAY + timedelta(days=counts[place or ""])
        if names.date is not None:
            moment = datetime(names.date.year, names.date.month, names.date.day, tzinfo=UTC)
        labels: dict[str, str] = {}
        if pattern is not None:
            found = pattern.search(path.name)
            moment = moment_of(found) if found else None
            labels = {key: text or "" for key, text in found.groupdict().items()} if found else {}
        if moment is None:
            told.append((place, SceneTrouble(path.name, "its name holds no date")))
        elif code is None or place is None:
            told.append((None, SceneTrouble(path.name, "its name holds no place")))
        else:
            counts[place] += 1
            kept = {key: text for key, text in labels.items() if key not in DATE_GROUPS}
            understood.append(_Named(path, moment, code, {"file": path.name, **kept}))
    return sorted(understood, key=lambda named: (named.moment, natural(named.path.name)))


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people do: frame_2 before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _in_stated_order(paths: Sequence[Path], order: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The files in their order, and those that it does not name."""
    if not order:
        return sorted(paths, key=lambda path: natural(path.name)), []
    by_name = {**{path.stem: path for path in paths}, **{path.name: path for path in paths}}
    missing = [name for name in order if name not in by_name]
    if missing:
        raise ConfigurationError(
            f"the stated order names {', '.join(missing)}",
            expected=f"files of the folder: {', '.join(path.name for path in paths[:8])}",
        )
    chosen = [by_name[name] for name in order]
    return chosen, [path for path in paths if path not in chosen]


def _compiled_place(place_pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(place_pattern) if place_pattern else None
    except re.error as error:
        raise ConfigurationError(f"imagery.place_pattern is no regular expression ({error})") from None


def _code(path: Path, place_pattern: re.Pattern[str] | None) -> str | None:
    """What the pattern finds in a file's name; empty without a pattern, None where it finds nothing."""
    if place_pattern is None:
        return ""
    place = place_pattern.search(path.stem)
    if place is None:
        return None
    if "place" in place_pattern.groupindex:
        return place["place"] or ""
    return str(place[1] if place_pattern.groups else place[0])


def _place_in(path: Path, place_pattern: re.Pattern[str] | None, names: FrameNames) -> str | None:
    code = _code(path, place_pattern)
    return None if code is None else _place_of(code, names)


def _place_of(code: str, names: FrameNames) -> str:
    return next((place for place, codes in names.places.items() if code in codes), code)


# --- series -----------------------------------------------------------------------------------------------------


def _series(
    place: str,
    entries: Sequence[tuple[_Named, Picture]],
    *,
    folder: Path,
    names: FrameNames,
    pixels: FramePixels,
    mask: Path | None,
) -> Series:
    troubles: list[SceneTrouble] = []
    fitting = _of_one_grid(entries, troubles, pixels)
    fitting = _without_copies(fitting, troubles)
    picture = fitting[0][1]
    grid = grid_of(picture, pixel_size_m=pixels.pixel_size_m, crs=pixels.crs)
    bands = pixels.bands or picture.names
    usable = []
    for named, image in fitting:
        if pixels.bands or image.names == bands:
            usable.append((named, image))
        else:
            reason = f"its bands are {', '.join(image.names)}, expected {', '.join(bands)}"
            troubles.append(SceneTrouble(named.path.name, reason))
    frames = []
    for unique, (named, image) in zip(_ids([named.path for named, _ in usable], folder), usable, strict=True):
        read = functools.partial(_read_frame, image, len(bands), pixels)
        labels = {**named.labels, **({"place_code": named.code} if names.places else {})}
        frames.append(Frame(id=unique, time=named.moment, read=read, labels=labels))
    for trouble in troubles:
        log.warning("%s is left out: %s", trouble.scene, trouble.reason)
    return Series(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", place) or "frames",
        grid=grid,
        bands=bands,
        quantities=_quantities(pixels.quantities, bands),
        frames=tuple(frames),
        masks={"mask": _mask(mask, picture)} if mask else {},
        troubles=tuple(troubles),
        dated=names.date is not None or bool(names.date_pattern),
    )


def _ids(paths: Sequence[Path], folder: Path) -> list[str]:
    """A name for each file that no other has: as short as serves of stem, path below the folder, path with ending."""
    inside = [path.relative_to(folder) for path in paths]
    longer = [(path.stem, path.with_suffix("").as_posix(), path.as_posix()) for path in inside]
    taken = [0] * len(paths)
    while True:
        ids = [names[place] for names, place in zip(longer, taken, strict=True)]
        counts = Counter(ids)
        # a longer name may be another file's stem (a.png beside a.png.tif), so that all are looked at again
        shared = [n for n, name in enumerate(ids) if counts[name] > 1 and taken[n] < len(longer[n]) - 1]
        if not shared:
            return ids
        for n in shared:
            taken[n] += 1


def _quantities(quantities: Sequence[str], bands: Sequence[str]) -> tuple[str, ...]:
    if len(quantities) not in (1, len(bands)):
        raise ConfigurationError(
            f"{len(quantities)} quantities are stated for {len(bands)} bands ({', '.join(bands)})",
            expected="one for all, or one a band",
        )
    return tuple(quantities) if len(quantities) == len(bands) else tuple(quantities) * len(bands)


def _of_one_grid(
    entries: Sequence[tuple[_Named, Picture]], troubles: list[SceneTrouble], pixels: FramePixels
) -> list[tuple[_Named, Picture]]:
    """The files of the size and grid that most have; at a draw, those of the earliest."""
    (shape, _) = Counter(picture.shape for _, picture in entries).most_common(1)[0]
    same_size = []
    for named, picture in entries:
        if picture.shape == shape:
            same_size.append((named, picture))
        else:
            reason = f"it has {picture.height} x {picture.width} pixels, the others {shape[0]} x {shape[1]}"
            troubles.append(SceneTrouble(named.path.name, reason))
    grids = [grid_of(picture, pixel_size_m=pixels.pixel_size_m, crs=pixels.crs) for _, picture in same_size]
    counts = Counter(grids)  # in order of time: at a draw, the earliest grid is taken
    chosen = max(counts, key=lambda grid: sum(count for other, count in counts.items() if _agree(grid, other)))
    kept = []
    for entry, grid in zip(same_size, grids, strict=True):
        if _agree(grid, chosen):
            kept.append(entry)
        else:
            troubles.append(SceneTrouble(entry[0].path.name, "it lies on another grid than the others"))
    return kept


def _agree(first: Grid, second: Grid) -> bool:
    if first == second:
        return True
    a, _, _, _, e, _ = first.transform
    corners = zip(first.bounds, second.bounds, (a, e, a, e), strict=True)
    return first.crs == second.crs and all(abs(one - other) <= SAME_GRID_PX * abs(px) for one, other, px in corners)


def _without_copies(
    entries: Sequence[tuple[_Named, Picture]], troubles: list[SceneTrouble]
) -> list[tuple[_Named, Picture]]:
    """Of files of one date that hold the same image, the first."""
    shared = Counter(named.moment for named, _ in entries)
    seen: dict[tuple[datetime, str], Path] = {}
    kept = []
    for named, picture in entries:
        if shared[named.moment] > 1:
            key = (named.moment, _content(picture))
            original = seen.setdefault(key, named.path)
            if original != named.path:  # their names may well be the same, in two folders
                name = original.name if original.name != named.path.name else f"{original.parent.name}/{original.name}"
                troubles.append(SceneTrouble(named.path.name, f"it is the same image as {name}; one is kept"))
                continue
        kept.append((named, picture))
    return kept


def _content(picture: Picture) -> str:
    """A digest of an image's pixels; of the path where they cannot be read, which is told when they are asked for."""
    digest = hashlib.sha256(repr((picture.shape, picture.names)).encode())
    try:
        for start in range(0, picture.height, READ_ROWS):
            digest.update(picture.read(slice(start, min(start + READ_ROWS, picture.height))).tobytes())
    except SceneError:
        return str(picture.path)
    return digest.hexdigest()


def _read_frame(picture: Picture, count: int, pixels: FramePixels, rows: slice) -> NDArray[np.float32]:
    import numpy as np

    layers = picture.read(rows)
    if len(layers) < count:
        raise SceneError(f"{picture.path.name} has {len(layers)} bands", expected=f"{count}")
    if count == 1 and len(layers) == GREY_PICTURE and not _is_grey(layers):
        raise SceneError(f"{picture.path.name} is in colour, one band is named", expected="red, green, blue")
    layers = layers[:count]
    if pixels.nodata is not None:
        layers[:, (layers == np.float32(pixels.nodata)).all(axis=0)] = np.nan
    if (pixels.scale, pixels.offset) != (1.0, 0.0):
        layers = layers * np.float32(pixels.scale) + np.float32(pixels.offset)
    return layers


def _is_grey(layers: NDArray[np.float32]) -> bool:
    import numpy as np

    return all(np.array_equal(layer, layers[0], equal_nan=True) for layer in layers[1:])


# --- masks ------------------------------------------------------------------------------------------------------


def _mask_path(folder: Path, mask: str, place: str) -> Path | None:
    if not mask:
        return None
    path = folder / mask.replace("{place}", place)
    if "{place}" not in mask and not path.is_file():
        raise ConfigurationError(f"mask {path} does not exist", do="check the mask's name")
    return path


def _mask(path: Path, picture: Picture) -> NDArray[np.uint8]:
    """A mask (y, x): 1 yes, 0 no; 255 everywhere where one place of several has none."""
    import numpy as np

    if not path.exists():
        log.warning("mask %s does not exist", path.name)
        return np.full(picture.shape, MASK_UNKNOWN, np.uint8)
    try:
        drawn = open_picture(path)
        if drawn.shape != picture.shape:
            raise ConfigurationError(
                f"mask {path.name} has {drawn.height} x {drawn.width} pixels",
                expected=f"{picture.height} x {picture.width}, as {picture.path.name} has",
            )
        numbers = drawn.read(slice(0, drawn.height))[0]
    except SceneError as error:
        raise ConfigurationError(f"mask {error}", expected="an image of the frames' size") from None
    mask = np.zeros(picture.shape, np.uint8)
    known = np.isfinite(numbers)
    # a JPEG's black and white are only nearly so
    mask[known] = numbers[known] > max(float(numbers[known].max(initial=0.0)), 0.0) / 2
    mask[~known] = MASK_UNKNOWN
    return mask
