"""`cube`: the imagery of a recipe becomes cubes, one a place, in memory that does not grow with them.

A frame that cannot be read or cannot be aligned is left out and reported; it is no error of the run. A place of which
nothing remains is. What is built is published in the store under the digest of the recipe's part and of the files that
it was read from, so that the same command again finds it.
"""

from __future__ import annotations

import difflib
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import (
    ConfigurationError,
    DataError,
    GlacierError,
    SceneError,
    ServiceUnavailableError,
    StoreError,
    UnitError,
)
from glacier_core.recipes import (
    Coregistration,
    CubeRecipe,
    ExtentRecipe,
    FolderScenes,
    Recipe,
    SimulatedScenes,
    Simulation,
    StacScenes,
    TargetGrid,
)
from glacier_core.settings import Settings
from glacier_core.steps.running import Step
from glacier_core.store import Output, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.prepare.coregistration import Alignment
    from glacier_core.sources.reading import SceneTrouble
    from glacier_core.sources.series import Frame, Series

log = logging.getLogger("glacier")

STAGE = "cube"
CUBE = "cube.zarr"
REPORT = "cube.json"
PROGRESS_SECONDS = 5.0
SHARE_OF_MEMORY = 3
"""The pixels that are read take this part of the allowance: as much again is packed and compressed beside them."""
MEBIBYTE = 2**20
SIMULATED_YEAR = 2020
SWAPS = 10
NOTHING_SEEN = "nothing is seen in it: all cloud, or no data"
LARGEST_PART_BEYOND = 0.5
"""A frame of which more is clipped on packing is none of the quantity that it is said to be."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CubeReport:
    """One cube: what it holds, and what was left out of it."""

    place: str
    """Name of the place."""
    path: str
    """Folder or URL of the Zarr group."""
    dims: dict[str, int]
    """Lengths of time, band, y and x."""
    crs: str
    """Authority code or name of the CRS; empty where the imagery has none."""
    resolution: float
    """Pixel size in units of the CRS, or in pixels."""
    bands: list[str]
    """Names of the bands."""
    quantities: list[str]
    """What each band measures."""
    dates: list[str]
    """Time of each image, ISO 8601; empty where only the order is known."""
    bytes: int
    """Bytes in the store."""
    raw_bytes: int
    """Bytes of the pixels before packing and compression."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    """Frames that are not in it: {frame, reason}."""
    shifts: list[dict[str, Any]] = field(default_factory=list)
    """How each frame was laid on the reference: {frame, verdict, dx_px, dy_px, residual_px, correlation, reason}."""
    reused: bool = False
    """Whether it was there already."""

    def to_json(self) -> dict[str, Any]:
        """A plain object."""
        return asdict(self)


@dataclass(frozen=True)
class CubesBuilt:
    """What `build_cubes` made, and what it could not."""

    cubes: list[CubeReport]
    """One a place."""
    failed: list[dict[str, str]]
    """Places of which no cube could be made: {place, reason}."""


def build_cubes(
    recipe: Recipe,
    store: Store,
    *,
    places: Sequence[str] = (),
    catalog: str = "",
    progress: Progress | None = None,
) -> CubesBuilt:
    """Build the cubes of a recipe, or find those that are built already.

    Args:
        recipe: of the kind `cube`; or of the kind `extent`, whose scenes become one cube a glacier.
        store: where they are kept.
        places: names of the places wanted; empty: all.
        catalog: a STAC catalog that replaces the recipe's, or empty.
        progress: is told how far it is, now and then.

    Raises:
        ConfigurationError: a place or a band is unknown, or the source is not there.
        DataError: not one cube could be made.
        ServiceUnavailableError, StoreError: a service or the store refuses.
    """
    from glacier_core.sources.opening import files_digest

    say = progress or log.info
    step = Step(store=store, run="", stage=STAGE)
    noticed: dict[str, list[dict[str, str]]] = {}

    def on_trouble(name: str, trouble: SceneTrouble) -> None:
        entry = {"frame": trouble.scene, "reason": f"left out of its day: {trouble.reason}"}
        noticed.setdefault(name, []).append(entry)

    cube_recipe, found = _series_of(recipe, step, catalog, on_trouble)
    files = files_digest(cube_recipe)
    built: list[CubeReport] = []
    failed: list[dict[str, str]] = []
    chosen = _chosen(found, places)
    for number, series in enumerate(chosen, start=1):
        head = f"{series.name} ({number} of {len(chosen)})"
        try:
            building = _Building(cube_recipe, series, functools.partial(_said, say, head), noticed)
            built.append(_build(step, building, files))
        except (ConfigurationError, ServiceUnavailableError, StoreError):
            raise
        except GlacierError as error:
            failed.append({"place": series.name, "reason": str(error)})
    if not built:
        raise DataError(
            f"no cube of '{recipe.name}' could be built ({failed[0]['place']}: {failed[0]['reason']})"
            if failed
            else f"the imagery of '{recipe.name}' holds no frame",
            do="check imagery, years, season and data",
        )
    return CubesBuilt(built, failed)


def _said(say: Progress, head: str, text: str) -> None:
    say(f"{head}: {text}")


def cubes_built(store: Store, name: str) -> list[tuple[str, str]]:
    """The cubes that were built last: (`<recipe>/<place>`, path).

    Args:
        store: where they are kept.
        name: `<recipe>/<place>`, or a recipe for all of its places.
    """
    recipe, _, place = name.partition("/")
    index = store.pointer(_index(recipe)).read() or {}
    found = []
    for known in sorted(index.get("places", [])):
        value = store.pointer(_pointer(recipe, known)).read() if place in ("", known) else None
        output = store.find(value["stage"], value["digest"]) if value else None
        if output is not None:
            found.append((f"{recipe}/{known}", output.path(CUBE)))
    return found


def _index(recipe: str) -> str:
    return f"cubes/{recipe}"


def _pointer(recipe: str, place: str) -> str:
    return f"cubes/{recipe}/{place}"


def _point(store: Store, recipe: str, place: str, output: Output) -> None:
    """Remember a cube as the latest of its place: it is found by name then, and kept."""
    pointer = store.pointer(_pointer(recipe, place))
    pointer.swap(pointer.read(), {"stage": output.stage, "digest": output.digest})
    index = store.pointer(_index(recipe))
    for _ in range(SWAPS):
        known = index.read() or {}
        places = sorted({*known.get("places", []), place})
        if places == known.get("places") or index.swap(known or None, {"places": places}):
            return


def count_cubes(recipe: CubeRecipe, *, store: Store, catalog: str = "") -> dict[str, Any]:
    """What `build_cubes` would read: cubes, frames, pixels and bytes before compression; nothing is read or written."""
    _, found = _series_of(recipe, Step(store=store, run="", stage="check"), catalog, None)
    pixels = sum(len(series.frames) * series.grid.width * series.grid.height for series in found)
    samples = sum(len(s.frames) * s.grid.width * s.grid.height * len(s.bands) for s in found)
    return {
        "recipe": recipe.name,
        "kind": recipe.kind,
        "cubes": len(found),
        "frames": sum(len(series.frames) for series in found),
        "left_out": sum(len(series.troubles) for series in found),
        "pixels": pixels,
        "bytes": samples * 4,
    }


def _series_of(
    recipe: Recipe, step: Step, catalog: str, on_trouble: Callable[[str, SceneTrouble], None] | None
) -> tuple[CubeRecipe, list[Series]]:
    """The recipe as one of the kind `cube`, and its series, cut to its years and season and composited."""
    from glacier_core.sources.opening import open_series

    if isinstance(recipe, ExtentRecipe):
        recipe = cube_recipe_of(recipe)
    if not isinstance(recipe, CubeRecipe):
        raise ConfigurationError(
            f"recipe '{recipe.name}' is of the kind '{recipe.kind}'", expected="kind cube or extent"
        )
    catalog, outlines = _archive(recipe, step, catalog)
    opened = open_series(recipe, catalog=catalog, outlines=outlines, on_trouble=on_trouble)
    series = [_within(each, recipe) for each in opened]
    return recipe, [composited(each, recipe.composite) for each in series if each.frames or each.troubles]


def cube_recipe_of(recipe: ExtentRecipe) -> CubeRecipe:
    """The cubes of the scenes that a recipe of the kind `extent` is about: one a glacier, all scenes of its seasons."""
    imagery = recipe.imagery
    common: dict[str, Any] = {
        "bands": imagery.all_bands(),
        "mask": imagery.mask,
        "max_cloud_percent": imagery.max_cloud_percent,
    }
    scenes: SimulatedScenes | StacScenes | FolderScenes
    if imagery.source == "folder":
        scenes = FolderScenes(source="folder", files=imagery.files, date_pattern=imagery.date_pattern, **common)
    elif imagery.source == "stac":
        scenes = StacScenes(source="stac", catalog=imagery.catalog, collection=imagery.collection, **common)
    else:
        scenes = SimulatedScenes(source="simulated", simulation=imagery.simulation or Simulation(), **common)
    return CubeRecipe(
        name=recipe.name,
        kind="cube",
        title=recipe.title,
        data=recipe.data,
        imagery=scenes,
        glaciers=recipe.glaciers,
        years=recipe.years,
        season=recipe.season,
        grid=TargetGrid(resolution=imagery.resolution_m),
    )


def _archive(recipe: CubeRecipe, step: Step, catalog: str) -> tuple[str, str]:
    """The catalog and the outlines of a simulated archive, made in the store if it is not there; else the catalog."""
    imagery = recipe.imagery
    if not isinstance(imagery, SimulatedScenes) or recipe.data:
        return catalog, ""
    from glacier_core.steps.planning import simulated_archive

    first, last = recipe.years or (SIMULATED_YEAR, SIMULATED_YEAR)
    season = recipe.season or ExtentRecipe.model_fields["season"].default
    archive = simulated_archive(step, imagery.simulation, years=range(first, last + 1), season=season)
    return catalog or archive.path("catalog.json"), archive.path("outlines.gpkg")


def _chosen(found: Sequence[Series], places: Sequence[str]) -> list[Series]:
    names = [series.name for series in found]
    for place in places:
        if place not in names:
            near = difflib.get_close_matches(place, names, n=3, cutoff=0.5)
            raise ConfigurationError(
                f"place '{place}' is not among {len(names)}",
                expected=" or ".join(f"'{name}'" for name in near) or f"one of {', '.join(names[:10])}",
                do="correct --place",
            )
    return [series for series in found if not places or series.name in places]


def _within(series: Series, recipe: CubeRecipe) -> Series:
    """The series without the days that are not wanted."""
    if not series.dated:
        return series
    kept = tuple(frame for frame in series.frames if recipe.wants(frame.time.date()))
    return replace(series, frames=kept)


def composited(series: Series, every: str) -> Series:
    """A series with one frame a month or year: the median of what was seen in it.

    Args:
        series: the frames.
        every: monthly, yearly, or none for the series as it is.
    """
    if every == "none" or not series.dated:
        return series
    groups: dict[Any, list[Frame]] = {}
    for frame in series.frames:
        start = frame.time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        groups.setdefault(start if every == "monthly" else start.replace(month=1), []).append(frame)
    label = "%Y-%m" if every == "monthly" else "%Y"
    frames = tuple(_composite(start.strftime(label), start, frames) for start, frames in sorted(groups.items()))
    return replace(series, frames=frames, attrs={**series.attrs, "composite": f"{every} median"})


def _composite(name: str, start: Any, frames: Sequence[Frame]) -> Frame:
    from glacier_core.sources.series import Frame

    def read(rows: slice) -> NDArray[np.float32]:
        import warnings

        import numpy as np

        images, reasons = [], []
        for frame in frames:
            try:
                images.append(frame.read(rows))
            except SceneError as error:
                reasons.append(f"{frame.id}: {error}")
        if not images:
            raise SceneError(f"none of {len(frames)} frames of {name} can be read ({'; '.join(reasons[:2])})")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # pixels that no frame shows
            return np.asarray(np.nanmedian(np.stack(images), axis=0), dtype=np.float32)

    labels = {"frames": str(len(frames))}
    for key in frames[0].labels:
        labels[key] = ", ".join(dict.fromkeys(frame.labels[key] for frame in frames if frame.labels[key]))
    return Frame(id=name, time=start, read=read, labels=labels)


def _build(step: Step, building: _Building, files: str) -> CubeReport:
    from glacier_core.sources.opening import fingerprint

    recipe, series = building.recipe, building.series
    passing = [trouble for trouble in series.troubles if trouble.temporary]
    if passing:
        # published, a cube without them would be reused long after the service is back
        raise UnitError(f"{series.name}: {passing[0].reason}", do="run the same command again later")
    part = {
        "name": recipe.name,
        "title": recipe.title,
        "imagery": recipe.imagery.model_dump(mode="json"),
        "years": recipe.years,
        "season": recipe.season,
        "grid": recipe.grid.model_dump(mode="json"),
        "composite": recipe.composite,
        "coregistration": recipe.coregistration.model_dump(mode="json") if recipe.coregistration else None,
        "series": fingerprint(series, files=files),
    }

    def make(attempt: Any) -> None:
        attempt.write_json(REPORT, building.run(attempt.path(CUBE)))

    made = step.made
    output = step.build(STAGE, part=part, inputs=[], make=make)
    _point(step.store, recipe.name, series.name, output)
    kept = output.read_json(REPORT)
    size = sum(entry.size for name, entry in output.objects.items() if name.startswith(CUBE))
    return CubeReport(**kept, path=output.path(CUBE), bytes=size, reused=step.made == made)


class _Building:
    """One cube in the making."""

    def __init__(
        self, recipe: CubeRecipe, series: Series, say: Progress, noticed: Mapping[str, list[dict[str, str]]]
    ) -> None:
        from glacier_core.cube.schema import packing_of

        self.recipe = recipe
        self.series = series
        self.path = ""
        self.noticed = noticed  # on reading, by the name of the series
        self.left_out = [{"frame": t.scene, "reason": t.reason} for t in series.troubles]
        self.frames = list(series.frames)
        self.alignments: dict[str, Alignment] = {}
        self.whole_bytes = 4 * len(series.bands) * series.grid.height * series.grid.width
        self.budget = recipe.memory_mb * MEBIBYTE // SHARE_OF_MEMORY
        self._seen: dict[str, int] = {}  # pixels of each frame that were read
        self._limits = packing_of(series.quantities)[0].limits
        self._say = say
        self._last_word = time.monotonic()

    def run(self, path: str) -> dict[str, Any]:
        """Align, write to `path`, and say what came of it."""
        self.path = path
        if self.recipe.coregistration:
            self._align(self.recipe.coregistration)
        while True:
            self._require_frames()
            failed = self._write()
            if not failed:
                return self._report()
            # an unreadable frame shows only when it is read: the cube is begun again without it
            self._leave_out(failed)

    def _require_frames(self) -> None:
        if not self.frames:
            reasons = [f"{entry['frame']}: {entry['reason']}" for entry in self.left_out]
            raise UnitError(
                f"no usable frame is left of {self.series.name}" + (f" ({'; '.join(reasons[:3])})" if reasons else ""),
                expected="at least one",
            )

    def _leave_out(self, reasons: dict[str, str]) -> None:
        self.left_out += [{"frame": frame, "reason": reason} for frame, reason in reasons.items()]
        self.frames = [frame for frame in self.frames if frame.id not in reasons]

    def _align(self, wanted: Coregistration) -> None:
        import numpy as np

        from glacier_core.prepare.coregistration import align_series

        self._require_frames()
        band = self._band(wanted.band)
        rows = slice(0, self.series.grid.height)
        failed: dict[str, str] = {}
        where = self._where(wanted.where)

        def read(index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
            frame = self.frames[index]
            self._now_and_then(f"comparing {frame.id}")
            try:
                image = frame.read(rows)[band]
            except SceneError as error:
                failed[frame.id] = str(error)
                image = np.full(self.series.grid.shape, np.nan, np.float32)
            return image, where

        found = align_series(
            read,
            len(self.frames),
            reference=self._reference(wanted.reference),
            model=wanted.model,
            largest_shift_px=wanted.largest_shift_px,
            largest_error_px=wanted.largest_error_px,
        )
        self.alignments = {frame.id: alignment for frame, alignment in zip(self.frames, found, strict=True)}
        refused = {id_: f"not aligned: {each.reason}" for id_, each in self.alignments.items() if not each.usable}
        self._leave_out((refused if wanted.apply else {}) | failed)

    def _where(self, name: str) -> NDArray[np.bool_] | None:
        """Where frames are compared."""
        import numpy as np

        if not name:
            return None
        if name not in self.series.masks:
            known = ", ".join(self.series.masks) or "none: this source has no masks"
            raise ConfigurationError(f"coregistration.where is '{name}'", expected=f"one of {known}")
        return np.asarray(self.series.masks[name] == 1)

    def _band(self, name: str) -> int:
        if name and name not in self.series.bands:
            raise ConfigurationError(
                f"coregistration.band is '{name}'", expected=f"one of {', '.join(self.series.bands)}"
            )
        return self.series.bands.index(name) if name else 0

    def _reference(self, wanted: str) -> int | None:
        if not wanted:
            return None
        for index, frame in enumerate(self.frames):
            if wanted == frame.id or frame.time.isoformat().startswith(wanted):
                return index
        near = difflib.get_close_matches(wanted, [frame.id for frame in self.frames], n=1)
        raise ConfigurationError(
            f"coregistration.reference is '{wanted}', which is no frame of {self.series.name}",
            expected=f"'{near[0]}'" if near else "the id or the date of a frame",
        )

    def _write(self) -> dict[str, str]:
        """Write the cube; which frames could not be read, and why."""
        import numpy as np

        writer = self._begin()
        failed: dict[str, str] = {}
        self._seen = dict.fromkeys((frame.id for frame in self.frames), 0)
        times, rows, _ = writer.block
        height = self.series.grid.height
        strips = self._strips(times, rows)
        done = 0
        with ThreadPoolExecutor(self._readers()) as pool:
            for first in range(0, len(self.frames), times):
                frames = self.frames[first : first + times]
                for top, bottom in strips:
                    pixels = np.full(
                        (len(frames), len(self.series.bands), bottom - top, self.series.grid.width),
                        np.nan,
                        np.float32,
                    )
                    self._fill(pool, frames, slice(top, bottom), pixels, failed)
                    if not failed:
                        writer.write(
                            slice(first, first + len(frames)),
                            slice(top, bottom),
                            slice(0, self.series.grid.width),
                            pixels,
                        )
                    done += len(frames) * (bottom - top)
                    self._now_and_then(f"{100 * done // (len(self.frames) * height)} % of {len(self.frames)} frames")
        empty = {frame: NOTHING_SEEN for frame, seen in self._seen.items() if not seen and frame not in failed}
        if not failed and not empty:
            writer.close()
        return failed | empty

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        frames: Sequence[Frame],
        rows: slice,
        pixels: NDArray[np.float32],
        failed: dict[str, str],
    ) -> None:
        lock = threading.Lock()

        def one(index: int) -> None:
            frame = frames[index]
            if frame.id in failed:
                return
            try:
                pixels[index] = self._fitting(frame, self._read(frame, rows))
            except SceneError as error:
                with lock:
                    failed[frame.id] = str(error)

        for done in [pool.submit(one, index) for index in range(len(frames))]:
            done.result()

    def _read(self, frame: Frame, rows: slice) -> NDArray[np.float32]:
        alignment = self.alignments.get(frame.id)
        applied = self.recipe.coregistration is not None and self.recipe.coregistration.apply
        if alignment is None or alignment.verdict == "reference" or not applied:
            return frame.read(rows)
        from glacier_core.prepare.coregistration import warp_to_reference

        # a strip of the reference may come from anywhere in the frame
        whole = frame.read(slice(0, self.series.grid.height))
        return warp_to_reference(whole, alignment)[:, rows]

    def _fitting(self, frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same pixels, unless they are no values of the quantity that they are said to be."""
        import numpy as np

        low, high = self._limits
        seen = int(np.isfinite(pixels).sum())
        beyond = int(((pixels < low) | (pixels > high)).sum())
        self._seen[frame.id] += seen
        if beyond > LARGEST_PART_BEYOND * seen:
            raise SceneError(
                f"{100 * beyond // seen} % of the values of {frame.id} are beyond what "
                f"{' and '.join(dict.fromkeys(self.series.quantities))} can be",
                expected=f"{low:g} to {high:g}",
                do="state the quantities, the scale and the offset of the imagery",
            )
        return pixels

    def _readers(self) -> int:
        beside = max(1, self.budget // max(self.whole_bytes, 1))
        return max(1, min(Settings().thread_count(), beside))

    def _strips(self, times: int, rows: int) -> list[tuple[int, int]]:
        """(top, bottom) of what is read at a time: the whole height where so many frames fit."""
        height = self.series.grid.height
        fitting = max(self.budget * height // max(times * self.whole_bytes, 1), 1)
        tall = height if fitting >= height else max(fitting // rows, 1) * rows
        return [(top, min(top + tall, height)) for top in range(0, height, tall)]

    def _begin(self) -> Any:
        from glacier_core.cube import create_cube
        from glacier_core.cube.encoding import CHUNK
        from glacier_core.cube.schema import packing_of

        series = self.series
        packing, units = packing_of(series.quantities)
        height = series.grid.height
        labels = {"frame": [frame.id for frame in self.frames]}
        for key in self.frames[0].labels:
            labels[key] = [frame.labels.get(key, "") for frame in self.frames]
        return create_cube(
            self.path,
            grid=series.grid,
            times=[_instant(frame) for frame in self.frames],
            bands=series.bands,
            packing=packing,
            band_units=units if len(set(series.quantities)) > 1 else (),
            labels=labels | self._verdicts(),
            numbers=self._shifts(),
            masks=series.masks,
            attrs=self._attributes(),
            strip_bytes=self.budget * CHUNK // max(height, CHUNK),
        )

    def _attributes(self) -> dict[str, Any]:
        series = self.series
        return {
            "title": self.recipe.title or self.recipe.name,
            "recipe": self.recipe.name,
            "place": series.name,
            "source": self.recipe.imagery.source,
            "dated": int(series.dated),
            **({"shifts_applied": int(self.recipe.coregistration.apply)} if self.recipe.coregistration else {}),
            "quantities": json.dumps(list(series.quantities)),
            "left_out": json.dumps(self.left_out, ensure_ascii=False),
            **series.attrs,
        }

    def _verdicts(self) -> dict[str, list[str]]:
        if not self.alignments:
            return {}
        return {"alignment": [self.alignments[frame.id].verdict for frame in self.frames]}

    def _shifts(self) -> dict[str, tuple[list[float], dict[str, Any]]]:
        if not self.alignments:
            return {}
        found = [self.alignments[frame.id] for frame in self.frames]
        return {
            "shift_x_px": ([each.dx_px for each in found], {"units": "1", "long_name": "pixels moved to the right"}),
            "shift_y_px": ([each.dy_px for each in found], {"units": "1", "long_name": "pixels moved down"}),
            "shift_residual_px": (
                [each.residual_px for each in found],
                {"units": "1", "long_name": "standard error of the shift in pixels"},
            ),
            "shift_correlation": (
                [each.correlation for each in found],
                {"units": "1", "long_name": "correlation with the reference once aligned"},
            ),
        }

    def _report(self) -> dict[str, Any]:
        series, grid = self.series, self.series.grid
        return {
            "place": series.name,
            "dims": {
                "time": len(self.frames),
                "band": len(series.bands),
                "y": grid.height,
                "x": grid.width,
            },
            "crs": _crs_name(grid.crs),
            "resolution": grid.resolution,
            "bands": list(series.bands),
            "quantities": list(series.quantities),
            "dates": [frame.time.strftime("%Y-%m-%dT%H:%M:%SZ") for frame in self.frames] if series.dated else [],
            "raw_bytes": len(self.frames) * self.whole_bytes,
            "left_out": self.left_out + self.noticed.get(series.name, []),
            "shifts": [
                {"frame": id_, **{k: v for k, v in each.to_json().items() if k != "matrix"}}
                for id_, each in self.alignments.items()
            ],
        }

    def _now_and_then(self, text: str) -> None:
        if time.monotonic() - self._last_word > PROGRESS_SECONDS:
            self._last_word = time.monotonic()
            self._say(text)


def _instant(frame: Frame) -> Any:
    import numpy as np

    return np.datetime64(frame.time.replace(tzinfo=None), "ns")


def _crs_name(crs: str) -> str:
    """A CRS as people name it: an authority code where it has one."""
    if not crs or ":" in crs[:8]:
        return crs
    from pyproj import CRS

    found = CRS.from_user_input(crs)
    code = found.to_authority()
    return ":".join(code) if code else str(found.name)
