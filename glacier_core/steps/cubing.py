"""`cube`: the imagery of a recipe becomes cubes, one a place, in memory that does not grow with them.

A frame that cannot be read or cannot be aligned is left out and reported; it is no error of the run. A place of which
nothing remains is. What is built is published in the store under the digest of the recipe's part and of the files that
it was read from, so that the same command again finds it.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from glacier_core.errors import (
    ConfigurationError,
    DataError,
    GlacierError,
    ServiceUnavailableError,
    StoreError,
    UnitError,
)
from glacier_core.recipes import (
    CubeRecipe,
    ExtentRecipe,
    FolderScenes,
    LearningRecipe,
    Recipe,
    SimulatedScenes,
    Simulation,
    StacScenes,
    TargetGrid,
)
from glacier_core.steps.compositing import composited
from glacier_core.steps.cube_building import Building, Progress, frames_at_a_time, pixels_at_a_time
from glacier_core.steps.running import Step
from glacier_core.store import Output, Store

if TYPE_CHECKING:
    from glacier_core.sources.reading import SceneTrouble
    from glacier_core.sources.series import Series

log = logging.getLogger("glacier")

STAGE = "cube"
CUBE = "cube.zarr"
REPORT = "cube.json"
SIMULATED_YEAR = 2020
SWAPS = 10

Notice = Callable[[str, str, str], None]
"""Is told a series, a frame and the reason why it was left out."""


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
        recipe: of the kind `cube`; of the kind `extent`, whose scenes become one cube a glacier; or of another kind
            that learns from series.
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

    def notice(name: str, frame: str, reason: str) -> None:
        noticed.setdefault(name, []).append({"frame": frame, "reason": reason})

    cube_recipe, found = series_of(recipe, step, catalog=catalog, notice=notice)
    files = files_digest(cube_recipe)
    built: list[CubeReport] = []
    failed: list[dict[str, str]] = []
    chosen = _chosen(found, places)
    for number, series in enumerate(chosen, start=1):
        head = f"{series.name} ({number} of {len(chosen)})"
        try:
            building = Building(cube_recipe, series, functools.partial(_said, say, head), noticed)
            built.append(_report(step, building, files))
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
    _, found = series_of(recipe, Step(store=store, run="", stage="check"), catalog=catalog)
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


def series_of(
    recipe: Recipe, step: Step, *, catalog: str = "", notice: Notice | None = None
) -> tuple[CubeRecipe, list[Series]]:
    """The recipe as one of the kind `cube`, and its series, cut to its years and season and composited.

    Args:
        recipe: of the kind `cube`, or of one that is made of cubes.
        step: the running stage, in whose store a simulated archive is made.
        catalog: a STAC catalog that replaces the recipe's, or empty.
        notice: is told a series, a frame and the reason when, on reading, one of several that make an image is left
            out.

    Raises:
        ConfigurationError: the recipe is of another kind, or its source is not there.
        DataError: nothing in it can be used.
        ServiceUnavailableError: it cannot be reached.
    """
    from glacier_core.sources.opening import open_series

    tell = notice or (lambda *_: None)
    if isinstance(recipe, ExtentRecipe):
        recipe = cube_recipe_of(recipe)
    if isinstance(recipe, LearningRecipe):
        recipe = recipe.cubes()
    if not isinstance(recipe, CubeRecipe):
        raise ConfigurationError(
            f"recipe '{recipe.name}' is of the kind '{recipe.kind}'", expected="one that is made of images"
        )
    catalog, outlines = _archive(recipe, step, catalog)

    def on_trouble(name: str, trouble: SceneTrouble) -> None:
        tell(name, trouble.scene, f"left out of its day: {trouble.reason}")

    opened = open_series(recipe, catalog=catalog, outlines=outlines, on_trouble=on_trouble)
    series = [_within(each, recipe) for each in opened]
    return recipe, [
        composited(
            each,
            recipe.composite,
            allowance=pixels_at_a_time(recipe) // frames_at_a_time(recipe, each),
            left_out=functools.partial(tell, each.name),
        )
        for each in series
        if each.frames or each.troubles
    ]


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
    from glacier_core.steps.archives import simulated_archive

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


def build_cube(step: Step, building: Building, *, files: str) -> Output:
    """The published cube of one series, made now if it is not there; the latest of its place from now on.

    Args:
        step: the running stage.
        building: the series and how it becomes a cube.
        files: what the files behind it are told by, from `sources.opening.files_digest`.

    Raises:
        UnitError: images are missing for a reason that will pass.
        DataError: no image of it can be used.
    """
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

    output = step.build(STAGE, part=part, inputs=[], make=make)
    _point(step.store, recipe.name, series.name, output)
    return output


def _report(step: Step, building: Building, files: str) -> CubeReport:
    made = step.made
    output = build_cube(step, building, files=files)
    kept = output.read_json(REPORT)
    size = sum(entry.size for name, entry in output.objects.items() if name.startswith(CUBE))
    return CubeReport(**kept, path=output.path(CUBE), bytes=size, reused=step.made == made)
