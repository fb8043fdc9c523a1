"""The CaFFe benchmark: SAR images of calving fronts with zones and fronts drawn by hand.

Gourmelon et al. (2022), Earth System Science Data 14, 4287-4313, https://doi.org/10.5194/essd-14-4287-2022; data:
https://doi.org/10.1594/PANGAEA.940950. The layout is `{sar_images,zones,fronts}/{train,val,test}/` and
`bounding_boxes/`. A file is named `Glacier_YYYY-MM-DD_SENSOR_RESOLUTION_QUALITY_ORBIT`, with `_zones` or `_front` after
it for labels. The authors' preparation cuts images into patches whose names go on with
`__PADDEDBOTTOM_PADDEDRIGHT_NUMBER_ROW_COLUMN`: zeros added below and to the right of the image, the patch's number
(column by column), and its upper left pixel. In patches, fronts are thickened by a 5 x 5 dilation.

Splits. `official`: the folders; the publication tests on Columbia (COL) and Mapple (122 of 681 images), and its
validation set is a tenth of the training images, so that validation and training show the same glaciers. `crane`: no
glacier is in two sets: the test is Crane, held out with its whole time series; validation is Mapple, another glacier of
the Antarctic Peninsula; training is on the other five.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.grids import Grid
from glacier_core.sources.pictures import open_picture
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Frame, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Split = Literal["train", "val", "test"]
SplitScheme = Literal["official", "crane"]
Layer = Literal["sar_images", "zones", "fronts"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
LAYERS: tuple[Layer, ...] = ("sar_images", "zones", "fronts")
HELD_OUT: Mapping[str, Split] = {"Crane": "test", "Mapple": "val"}
"""Glaciers that the scheme `crane` keeps out of training, and what they serve for."""
GLACIERS: Mapping[str, str] = {
    "COL": "Columbia, Alaska",
    "Crane": "Crane, Antarctic Peninsula",
    "DBE": "Dinsmoore-Bombardier-Edgeworth, Antarctic Peninsula",
    "JAC": "Jakobshavn Isbrae, Greenland",
    "Jorum": "Jorum, Antarctic Peninsula",
    "Mapple": "Mapple, Antarctic Peninsula",
    "SI": "Sjögren Inlet, Antarctic Peninsula",
}
"""What the short names stand for."""
ZONES: Mapping[int, str] = {0: "no information", 64: "rock", 127: "glacier", 254: "ocean"}
"""Codes of the zones; ocean includes ice mélange, no information is outside the swath, in shadow or layover."""
FRONT = 255
"""Code of the calving front; 0 elsewhere."""
_SUFFIX: Mapping[Layer, str] = {"sar_images": "", "zones": "_zones", "fronts": "_front"}
_NAME = re.compile(
    r"(?P<glacier>[A-Za-z][A-Za-z0-9-]*)_(?P<day>\d{4}-\d\d-\d\d)_(?P<sensor>[A-Za-z0-9-]+)"
    r"_(?P<resolution>\d+)_(?P<quality>\d+)_(?P<orbit>[A-Za-z0-9]+)(?:_(?P<label>zones|front))?"
    r"(?:__(?P<bottom>\d+)_(?P<right>\d+)_(?P<number>\d+)_(?P<row>\d+)_(?P<column>\d+))?"
)


@dataclass(frozen=True)
class CaffePatch:
    """Where a patch lies in its image."""

    padded_bottom: int
    """Rows of zeros that were added below the image."""
    padded_right: int
    """Columns of zeros that were added to the right of it."""
    number: int
    """Counts the patches of an image from 0, down the first column, then down the next."""
    row: int
    """First row in the padded image."""
    column: int
    """First column in the padded image."""


@dataclass(frozen=True)
class CaffeName:
    """What a file's name tells."""

    glacier: str
    """Short name, see `GLACIERS`."""
    day: date
    """Day of acquisition."""
    sensor: str
    """Satellite: ERS, RSAT, ENVISAT, PALSAR, TSX, TDX or S1."""
    resolution_m: int
    """Pixel size in metres."""
    quality: int
    """How well the front can be seen: 1 very well, 6 hardly."""
    orbit: str
    """Relative orbit (track), with its zeros."""
    label: Literal["", "zones", "front"] = ""
    """What the file holds; empty: the image."""
    patch: CaffePatch | None = None
    """Where it lies in its image; None: it is the whole image."""

    @classmethod
    def parse(cls, name: str) -> CaffeName:
        """What a name tells, with or without `.png`.

        Raises:
            SceneError: it is no name of CaFFe's.
        """
        found = _NAME.fullmatch(name.removesuffix(".png").removesuffix(".PNG"))
        day = _day(found["day"]) if found else None
        if found is None or day is None:
            raise SceneError(
                f"{name} is no name of CaFFe's", expected="Glacier_YYYY-MM-DD_SENSOR_RESOLUTION_QUALITY_ORBIT"
            )
        cut = [found[part] for part in ("bottom", "right", "number", "row", "column")]
        return cls(
            glacier=found["glacier"],
            day=day,
            sensor=found["sensor"],
            resolution_m=int(found["resolution"]),
            quality=int(found["quality"]),
            orbit=found["orbit"],
            label="zones" if found["label"] == "zones" else "front" if found["label"] else "",
            patch=CaffePatch(*map(int, cut)) if found["number"] else None,
        )

    @property
    def scene(self) -> str:
        """Name of the whole image that it belongs to."""
        return f"{self.glacier}_{self.day.isoformat()}_{self.sensor}_{self.resolution_m}_{self.quality}_{self.orbit}"

    def __str__(self) -> str:
        """The name, without ending; the inverse of `parse`."""
        patch = self.patch
        place = (
            f"__{patch.padded_bottom}_{patch.padded_right}_{patch.number}_{patch.row}_{patch.column}" if patch else ""
        )
        return self.scene + (f"_{self.label}" if self.label else "") + place


@dataclass(frozen=True)
class CaffeScene:
    """One image and its labels."""

    name: CaffeName
    """The whole image's name."""
    folder: Split
    """Folder that it lies in."""
    files: Mapping[Layer, tuple[Path, ...]]
    """Its files by layer: one, or its patches; a layer that is absent has none."""
    box: Path | None
    """The file of its bounding box."""

    @property
    def id(self) -> str:
        """The image's name."""
        return self.name.scene


@dataclass(frozen=True)
class Mosaic:
    """How files make up one image."""

    height: int
    """Rows of the image, padding removed."""
    width: int
    """Columns of the image, padding removed."""
    parts: tuple[tuple[Path, int, int, int, int], ...]
    """File, first row, first column, rows and columns of each."""
    missing: tuple[int, ...] = ()
    """Numbers of patches that are not there; nothing is known of what only they show."""


def split_of(name: CaffeName, folder: Split, *, scheme: SplitScheme) -> Split:
    """The set that an image belongs to, see the module's text.

    Raises:
        ConfigurationError: there is no such scheme.
    """
    if scheme == "official":
        return folder
    if scheme != "crane":
        raise ConfigurationError(f"CaFFe has no split '{scheme}'", expected="official or crane")
    return HELD_OUT.get(name.glacier, "train")


def list_scenes(root: Path, *, troubles: list[SceneTrouble] | None = None) -> list[CaffeScene]:
    """Every image of the layout, in order of its name; an image that lies in several folders counts once.

    Args:
        root: the folder that holds `sar_images`, or its parent.
        troubles: takes what is left out: names that are none of CaFFe's, images that lie in a second folder too
            (which would leak from training into the test).

    Raises:
        ConfigurationError: there is no such layout, or no image in it.
    """
    root = _layout(root)
    troubles = [] if troubles is None else troubles
    files: dict[tuple[str, Split, Layer], list[Path]] = defaultdict(list)
    names: dict[str, CaffeName] = {}
    for layer in LAYERS:
        for split in SPLITS:
            for path in sorted((root / layer / split).glob("*.[pP][nN][gG]")):
                name = _parsed(path, troubles)
                if name is not None:
                    files[name.scene, split, layer].append(path)
                    names[name.scene] = name
    scenes: dict[str, CaffeScene] = {}
    for scene, split, layer in files:
        if layer != "sar_images":
            continue
        if scene in scenes:
            troubles.append(SceneTrouble(scene, f"it lies in {split} and in {scenes[scene].folder}; that one counts"))
            continue
        scenes[scene] = CaffeScene(
            name=CaffeName.parse(scene),
            folder=split,
            files={layer: tuple(files.get((scene, split, layer), ())) for layer in LAYERS},
            box=_box_path(root, scene),
        )
    if not scenes:
        raise ConfigurationError(f"{root} holds no image of CaFFe", expected="sar_images/{train,val,test}/*.png")
    return [scenes[scene] for scene in sorted(scenes)]


def scenes_by_split(scenes: Sequence[CaffeScene], *, scheme: SplitScheme = "official") -> dict[Split, list[str]]:
    """Names of the images of each set."""
    sets: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for scene in scenes:
        sets[split_of(scene.name, scene.folder, scheme=scheme)].append(scene.id)
    return sets


def open_caffe(
    root: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    scheme: SplitScheme = "official",
    patches: Literal["stitched", "separate"] = "stitched",
) -> list[Series]:
    """The SAR images as series, one a glacier, sensor, resolution and size.

    Frames are labelled `glacier`, `sensor`, `resolution_m`, `quality`, `orbit`, `split` and `scene`. Numbers are the
    files' (0...255); CaFFe's images have no CRS, so that the grids are local ones in metres.

    Args:
        root: the folder that holds `sar_images`, or its parent.
        splits: sets that are wanted.
        scheme: how images are shared out among the sets.
        patches: `stitched`: patches become the image that they were cut from. `separate`: a series for each position.

    Raises:
        ConfigurationError: there is no such layout, no image in it, or none in these sets.
    """
    left_out: list[SceneTrouble] = []
    groups: dict[str, list[tuple[CaffeScene, Mosaic]]] = defaultdict(list)
    scenes = list_scenes(root, troubles=left_out)
    troubles = [(_group_of(trouble.scene), trouble) for trouble in left_out]
    for scene in scenes:
        if split_of(scene.name, scene.folder, scheme=scheme) not in splits:
            continue
        for position, files in _arranged(scene.files["sar_images"], patches):
            group = f"{_group_of(scene.id)}{position}"
            try:
                mosaic = arrange(files, stitch=patches == "stitched")
            except SceneError as error:
                troubles.append((group, SceneTrouble(scene.id, str(error))))
                continue
            groups[group].append((scene, mosaic))
    for _, trouble in troubles:
        log.warning("%s is left out: %s", trouble.scene, trouble.reason)
    if not groups:
        reasons = "; ".join(f"{trouble.scene}: {trouble.reason}" for _, trouble in troubles[:3])
        raise ConfigurationError(
            f"{root} holds no usable image in {', '.join(splits)} ({reasons or 'none there'})",
            do="check the splits; patches that do not make up whole images can be read separately",
        )
    of_group: dict[str, list[SceneTrouble]] = defaultdict(list)
    for group, trouble in troubles:
        of_group[_told_with(group, sorted(groups))].append(trouble)
    series = []
    for name in sorted(groups):
        # the size of what cannot be read is not known: it is told with the series of the most frequent one
        first, *others = _series(name, groups[name], scheme)
        series += [replace(first, troubles=tuple(of_group[name])), *others]
    return series


def read_zones(scene: CaffeScene) -> NDArray[np.uint8]:
    """The zones of an image (y, x), codes of `ZONES`; 0, no information, where a patch is missing.

    Raises:
        SceneError: the image has no zones, a file is damaged or holds other codes, or patches disagree.
    """
    return _read_labels(scene, "zones", codes=tuple(ZONES))


def read_front(scene: CaffeScene) -> NDArray[np.uint8]:
    """The calving front of an image (y, x): 1 on it, 0 elsewhere, 255 unknown where a patch is missing.

    Raises:
        SceneError: the image has no front, a file is damaged or holds other codes, or patches disagree.
    """
    import numpy as np

    codes = _read_labels(scene, "fronts", codes=(0, FRONT), unknown=1)
    return np.where(codes == 1, np.uint8(255), (codes == FRONT).astype(np.uint8))


def read_box(path: Path) -> tuple[slice, slice]:
    """The bounding box of an image: rows and columns inside which its front lies.

    The file holds a line of header and the four corners as `x,y`, in pixels from the upper left; which corner comes
    first differs between sources and does not matter here.

    Raises:
        SceneError: the file does not hold four corners.
    """
    corners = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SceneError(f"{path.name} cannot be read ({error.strerror})") from error
    for line in lines:
        numbers = [part for part in re.split(r"[,;\s]+", line.strip()) if part]
        try:
            x, y = (float(number) for number in numbers)
        except ValueError:
            continue
        corners.append((x, y))
    if len(set(corners)) != 4 or not all(math.isfinite(value) for corner in corners for value in corner):
        raise SceneError(f"{path.name} holds {len(set(corners))} corners", expected="four lines x,y")
    columns, rows = ([max(0, round(values)) for values in axis] for axis in zip(*corners, strict=True))
    return slice(min(rows), max(rows)), slice(min(columns), max(columns))


# --- patches ----------------------------------------------------------------------------------------------------


def arrange(files: Sequence[Path], *, stitch: bool = True) -> Mosaic:
    """How the files of one layer of one image make it up, from their names and headers.

    Args:
        files: the one file of a whole image, or its patches.
        stitch: False: the only file is taken as it is, wherever it lay.

    Raises:
        SceneError: there is none, one is damaged, or their positions and paddings contradict each other.
    """
    if not files:
        raise SceneError("no file")
    pictures = [open_picture(path) for path in files]
    patches = [CaffeName.parse(path.name).patch for path in files]
    cut = [(patch, picture) for patch, picture in zip(patches, pictures, strict=True) if patch is not None]
    if not cut or not stitch:
        if len(files) > 1:
            raise SceneError(f"{files[0].name} and {files[1].name} are both the whole image")
        (picture,) = pictures
        return Mosaic(*picture.shape, parts=((picture.path, 0, 0, *picture.shape),))
    if len(cut) < len(files):
        raise SceneError(f"{files[0].name} is there whole and in patches")
    paddings = {(patch.padded_bottom, patch.padded_right) for patch, _ in cut}
    shapes = {picture.shape for _, picture in cut}
    if len(paddings) > 1 or len(shapes) > 1:
        raise SceneError("its patches differ in size or padding")
    rows, columns, missing = _lattice([patch for patch, _ in cut], shapes.pop())
    bottom, right = paddings.pop()
    if bottom >= rows or right >= columns:
        raise SceneError(f"its padding ({bottom} x {right}) is not smaller than it is ({rows} x {columns})")
    parts = tuple((picture.path, patch.row, patch.column, *picture.shape) for patch, picture in cut)
    return Mosaic(rows - bottom, columns - right, parts=parts, missing=missing)


def _lattice(patches: Sequence[CaffePatch], shape: tuple[int, int]) -> tuple[int, int, tuple[int, ...]]:
    """Rows and columns of the padded image, and the numbers of the patches that are missing.

    Patches are numbered down the columns, at the same step in both directions. So one that stands in a later column
    tells how many there are in each, even where those are missing.
    """
    across_all = math.gcd(*(patch.row for patch in patches), *(patch.column for patch in patches))
    # the step divides every position, and is no longer than a patch, else patches would leave gaps
    steps = [step for step in range(min(shape), 0, -1) if across_all % step == 0]
    for step in steps:
        down = _patches_down(patches, step)
        if down:
            across = max(patch.column for patch in patches) // step + 1
            missing = tuple(sorted(set(range(down * across)) - {patch.number for patch in patches}))
            return (down - 1) * step + shape[0], (across - 1) * step + shape[1], missing
    raise SceneError("the numbers and positions of its patches contradict each other, or leave gaps")


def _patches_down(patches: Sequence[CaffePatch], step: int) -> int:
    """Number of patches in a column, if numbers and positions fit each other at this step; else 0."""
    places = [(patch.number, patch.row // step, patch.column // step) for patch in patches]
    least = max(row for _, row, _ in places) + 1
    told = {(number - row) / column for number, row, column in places if column}
    down = told.pop() if told else least
    fits = not told and down == int(down) and down >= least
    return int(down) if fits and all(number == row + column * down for number, row, column in places) else 0


def read_mosaic(mosaic: Mosaic, rows: slice) -> NDArray[np.float32]:
    """Rows [start, stop) of an image, (y, x) float32 as in the files; NaN where a patch is missing.

    Raises:
        SceneError: a file is damaged or not grey, or patches that overlap do not agree.
    """
    import numpy as np

    start, stop, _ = rows.indices(mosaic.height)
    image = np.full((stop - start, mosaic.width), np.nan, np.float32)
    for path, top, left, height, width in mosaic.parts:
        first, last = max(start, top), min(stop, top + height)
        if first >= last or left >= mosaic.width:
            continue
        layers = open_picture(path).read(slice(first - top, last - top))
        if len(layers) != 1:
            raise SceneError(f"{path.name} has {len(layers)} bands", expected="a grey picture")
        piece = layers[0, :, : mosaic.width - left]
        there = image[first - start : last - start, left : left + width]
        both = np.isfinite(there) & np.isfinite(piece)
        if (there[both] != piece[both]).any():
            raise SceneError(f"{path.name} does not agree with the patches that overlap it")
        np.copyto(there, piece, where=np.isfinite(piece))
    return image


# --- parts ------------------------------------------------------------------------------------------------------


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _layout(root: Path) -> Path:
    candidates: list[Path] = [root, *(sorted(root.iterdir()) if root.is_dir() else [])]
    for folder in candidates:
        if (folder / "sar_images").is_dir():
            return folder
    raise ConfigurationError(
        f"{root} does not hold CaFFe's layout",
        expected="a folder with sar_images, zones and fronts",
        do="check the path",
    )


def _parsed(path: Path, troubles: list[SceneTrouble]) -> CaffeName | None:
    try:
        return CaffeName.parse(path.name)
    except SceneError as error:
        troubles.append(SceneTrouble(path.name, str(error)))
        return None


def _box_path(root: Path, scene: str) -> Path | None:
    # the name ends in the orbit: that of orbit 14 must not take the box of orbit 142
    found = (root / "bounding_boxes").rglob(f"{scene}*.txt")
    own = sorted(path for path in found if path.stem == scene or path.stem.startswith(f"{scene}_"))
    return own[0] if own else None


def _group_of(scene: str) -> str:
    """What the series of an image is called, but for a patch's position; empty where its name tells nothing."""
    try:
        name = CaffeName.parse(scene)
    except SceneError:
        return ""
    return f"{name.glacier}-{name.sensor}-{name.resolution_m}m"


def _told_with(group: str, groups: Sequence[str]) -> str:
    """The group whose series tells a trouble: its own, one of another position there, else the first of all."""
    if group in groups:
        return group
    place = group.partition("-row")[0]
    return next((name for name in groups if place and name.partition("-row")[0] == place), groups[0])


def _arranged(files: Sequence[Path], patches: Literal["stitched", "separate"]) -> list[tuple[str, Sequence[Path]]]:
    """What of a series' name tells the position, and the files there."""
    if patches == "stitched":
        return [("", files)]
    positions: list[tuple[str, Sequence[Path]]] = []
    for path in files:
        patch = CaffeName.parse(path.name).patch
        positions.append((f"-row{patch.row}-column{patch.column}" if patch else "", [path]))
    return positions


def _series(name: str, entries: Sequence[tuple[CaffeScene, Mosaic]], scheme: SplitScheme) -> list[Series]:
    """A series for each size; those beyond the most frequent one have the size in their names."""
    sizes = Counter((mosaic.height, mosaic.width) for _, mosaic in entries)
    made = []
    for number, ((height, width), _) in enumerate(sizes.most_common()):
        members = [(scene, mosaic) for scene, mosaic in entries if (mosaic.height, mosaic.width) == (height, width)]
        members.sort(key=lambda member: (member[0].name.day, member[0].id))
        size_m = float(members[0][0].name.resolution_m)
        transform = (size_m, 0.0, 0.0, 0.0, -size_m, height * size_m)
        made.append(
            Series(
                name=name if number == 0 else f"{name}-{height}x{width}",
                grid=Grid(crs="", transform=transform, width=width, height=height),
                bands=("sar",),
                quantities=("digital_number",),
                frames=tuple(_frame(scene, mosaic, scheme) for scene, mosaic in members),
                attrs={
                    "source": "CaFFe, https://doi.org/10.1594/PANGAEA.940950",
                    "references": "https://doi.org/10.5194/essd-14-4287-2022",
                    "split_scheme": scheme,
                    "pixel_size_m": size_m,
                },
            )
        )
    return made


def _frame(scene: CaffeScene, mosaic: Mosaic, scheme: SplitScheme) -> Frame:
    name = scene.name
    if mosaic.missing:
        log.warning("%s lacks %d patches (%s)", scene.id, len(mosaic.missing), _few(mosaic.missing))
    return Frame(
        id=scene.id,
        time=datetime(name.day.year, name.day.month, name.day.day, tzinfo=UTC),
        read=functools.partial(_read_frame, mosaic),
        labels={
            "glacier": name.glacier,
            "sensor": name.sensor,
            "resolution_m": str(name.resolution_m),
            "quality": str(name.quality),
            "orbit": name.orbit,
            "split": split_of(name, scene.folder, scheme=scheme),
            "scene": scene.id,
            "missing_patches": str(len(mosaic.missing)),
        },
    )


def _read_frame(mosaic: Mosaic, rows: slice) -> NDArray[np.float32]:
    return read_mosaic(mosaic, rows)[None]


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")


def _read_labels(scene: CaffeScene, layer: Layer, *, codes: Sequence[int], unknown: int = 0) -> NDArray[np.uint8]:
    import numpy as np

    try:
        mosaic = arrange(scene.files[layer])
    except SceneError as error:
        raise SceneError(f"{layer} of {scene.id}: {error}") from error
    numbers = read_mosaic(mosaic, slice(0, mosaic.height))
    there = np.unique(numbers[np.isfinite(numbers)])
    others = sorted({int(code) for code in there} - set(codes))
    if others:
        raise SceneError(
            f"{layer} of {scene.id} hold the codes {_few(others)}", expected=", ".join(str(code) for code in codes)
        )
    return np.where(np.isfinite(numbers), numbers, unknown).astype(np.uint8)
