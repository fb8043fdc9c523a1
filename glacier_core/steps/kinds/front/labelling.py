"""The true fronts of a unit's images: drawn lines, CaFFe's fronts and zones, or the simulation's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import SceneError, WithheldError
from glacier_core.recipes import Caffe, SimulatedFronts
from glacier_core.steps.running import log, reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glacier_core.recipes import FrontRecipe
    from glacier_core.steps.plans import Plan
    from glacier_core.steps.running import Step
    from glacier_core.units import SeriesUnit

LABELS = "labels.json"
FEWEST_POINTS = 5


@dataclass(frozen=True)
class Truth:
    """What is known of an image."""

    line: NDArray[np.float64]
    """Row and column of its front."""
    zones: NDArray[np.uint8] | None = None
    """Codes of its zones, as of CaFFe."""
    box: tuple[slice, slice] | None = None
    """Rows and columns inside which its front lies."""


Reader = Callable[[], Truth]


def labelled(step: Step, plan: Plan, unit: SeriesUnit) -> str:
    """The reference of a unit's truth: `labels.json` is {image: {line, box, zones}}, `zones` the name of a picture.

    Raises:
        WithheldError: no image of it has a front.
    """
    readers, version = _readers(plan.recipe, unit)
    if not readers:
        raise WithheldError(f"{unit.unit_id} has no image whose front is drawn")

    def make(attempt: Any) -> None:
        from glacier_core.labels.fronts import oriented
        from glacier_core.labels.zones import zones_picture

        found = {}
        for number, (frame, read) in enumerate(sorted(readers.items())):
            try:
                truth = read()
            except SceneError as error:
                log.warning("[label] %s has no front: %s", frame, error)
                continue
            if len(truth.line) < FEWEST_POINTS:
                log.warning("[label] %s has a front of %d points", frame, len(truth.line))
                continue
            name = f"zones/{number:04d}.png" if truth.zones is not None else ""
            if truth.zones is not None:
                attempt.write_bytes(name, zones_picture(truth.zones))
            line = oriented(truth.line, upstream=plan.recipe.flow.upstream)
            box = truth.box and [[part.start, part.stop] for part in truth.box]
            found[frame] = {"line": line.round(3).tolist(), "box": box, "zones": name}
        if not found:
            raise WithheldError(f"{unit.unit_id} has no image whose front is drawn")
        attempt.write_json(LABELS, found)

    part = {
        "unit": unit.unit_id,
        "frames": list(unit.frames),
        "grid": unit.grid.to_json(),
        "upstream": plan.recipe.flow.upstream,
        "files": version,
    }
    return reference(step.build("label", part=part, inputs=[], make=make))


def box_of(label: dict[str, Any]) -> tuple[slice, slice] | None:
    """The bounding box of an image, from its label."""
    if not label["box"]:
        return None
    rows, columns = (slice(*part) for part in label["box"])
    return rows, columns


def _readers(recipe: FrontRecipe, unit: SeriesUnit) -> tuple[dict[str, Reader], Any]:
    """What reads the truth of each image, and what tells that it would be another one."""
    if isinstance(recipe.imagery, SimulatedFronts):
        return _simulated(recipe.imagery, unit), recipe.imagery.model_dump(mode="json")
    if isinstance(recipe.imagery, Caffe):
        return _caffe(recipe, recipe.imagery, unit.frames)
    return _drawn(recipe, unit)


def _simulated(imagery: SimulatedFronts, unit: SeriesUnit) -> dict[str, Reader]:
    from glacier_core.sources.simulated.fronts import front_truth

    def reader(frame: str) -> Reader:
        def read() -> Truth:
            truth = front_truth(imagery, place=unit.name, number=int(frame.rpartition("-")[2]))
            return Truth(line=truth.line, zones=truth.zones)

        return read

    return {frame: reader(frame) for frame in unit.frames}


def _caffe(recipe: FrontRecipe, imagery: Caffe, frames: Sequence[str]) -> tuple[dict[str, Reader], Any]:
    import numpy as np

    from glacier_core.labels.fronts import trace_mask
    from glacier_core.sources.caffe import CaffeScene, list_scenes, read_box, read_front, read_zones
    from glacier_core.sources.series import file_version

    root = Path(recipe.path(imagery.location) if imagery.location else recipe.data)
    wanted = set(frames)
    scenes = [scene for scene in list_scenes(root) if scene.id in wanted]

    def reader(scene: CaffeScene) -> Reader:
        def read() -> Truth:
            front = read_front(scene)
            zones = read_zones(scene) if scene.files["zones"] else None
            box = read_box(scene.box) if scene.box else None
            return Truth(line=trace_mask(np.asarray(front == 1)), zones=zones, box=box)

        return read

    files = [
        path
        for scene in scenes
        for path in (*scene.files["fronts"], *scene.files["zones"], *([scene.box] if scene.box else []))
    ]
    return (
        {scene.id: reader(scene) for scene in scenes if scene.files["fronts"]},
        [(path.name, file_version(path)) for path in sorted(files)],
    )


def _drawn(recipe: FrontRecipe, unit: SeriesUnit) -> tuple[dict[str, Reader], Any]:
    from glacier_core.sources.series import file_version

    def reader(path: Path) -> Reader:
        return lambda: Truth(line=_drawn_line(path, unit.grid.shape))

    found = {}
    for frame in unit.frames:
        named = re.search(recipe.labels.name_pattern, frame) if recipe.labels.name_pattern else None
        name = named[1] if named else frame
        path = Path(recipe.data) / recipe.labels.lines.replace("{frame}", frame).replace("{name}", name)
        if recipe.labels.lines and path.is_file():
            found[frame] = path
    readers = {frame: reader(path) for frame, path in found.items()}
    return readers, [(path.name, file_version(path)) for path in found.values()]


def _drawn_line(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The line of a picture that shows it in its rarer colour, dark on bright or bright on dark."""
    import numpy as np

    from glacier_core.labels.fronts import trace_mask
    from glacier_core.sources.pictures import open_picture

    picture = open_picture(path)
    if picture.shape != shape:
        raise SceneError(f"{path.name} has {picture.shape} pixels", expected=f"{shape}, as its image")
    band = picture.read(slice(0, picture.height))[0]
    low, high = float(np.nanmin(band)), float(np.nanmax(band))
    bright = band > (low + high) / 2
    drawn = bright if np.count_nonzero(bright) * 2 < bright.size else ~bright
    if high <= low or np.count_nonzero(drawn) * 4 > drawn.size:
        raise SceneError(f"{path.name} shows no line", expected="a thin line of one colour on another one")
    return trace_mask(drawn & np.isfinite(band))
