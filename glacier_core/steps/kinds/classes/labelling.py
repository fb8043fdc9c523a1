"""`label`: the classes of each image of a unit, from outlines, a raster, a mask or the simulation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError, WithheldError
from glacier_core.recipes import ClassesRecipe
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.classes import truths
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray

LABELS = "classes.zarr"
TOLD = "labels.json"


class Labeller:
    """Makes the truth of units; what several units share is read once.

    Args:
        step: the running stage.
        plan: the plan.
    """

    def __init__(self, step: Step, plan: Plan) -> None:
        self._step = step
        self._recipe: ClassesRecipe = plan.recipe
        self._truth = truths.simulated_truth(step, plan.recipe) if truths.is_simulated(plan.recipe) else ""
        self._outlines: GeoDataFrame | None = None

    def unit(self, unit: SeriesUnit, entry: Mapping[str, Any]) -> str:
        """The unit's classes; their reference.

        Raises:
            WithheldError: no outline covers the unit.
        """
        cube = self._step.read(entry["refs"]["ingest"]).path(CUBE)
        labels = self._recipe.labels.model_dump(mode="json", exclude={"train_on_stale", "optional"})
        part = {
            "classes": list(self._recipe.classes),
            "labels": labels,
            "frames": list(unit.frames),
            "files": self._files(unit),
        }
        inputs = [entry["refs"]["ingest"], *([self._truth] if self._truth else [])]
        return reference(
            self._step.build("label", part=part, inputs=inputs, make=lambda attempt: self._write(unit, cube, attempt))
        )

    def _write(self, unit: SeriesUnit, cube: str, attempt: Any) -> None:
        import numpy as np

        from glacier_core.cube import IGNORED, PACKINGS, create_cube, open_cube
        from glacier_core.labels.classes import class_counts

        opened = open_cube(cube)
        dated = bool(opened.attrs.get("dated", 1))
        writer = create_cube(
            attempt.path(LABELS),
            grid=unit.grid,
            times=opened["time"].values,
            bands=["class"],
            packing=PACKINGS["class"],
            labels={"frame": list(opened["frame"].values)},
        )
        told = []
        frames = list(zip([str(name) for name in opened["frame"].values], opened["time"].values, strict=True))
        with writer, self._simulated() as truth:
            for first in range(0, len(frames), writer.block[0]):
                shown = frames[first : first + writer.block[0]]
                codes = np.empty((len(shown), 1, *unit.grid.shape), np.float32)
                for number, (frame, time) in enumerate(shown):
                    found, about = self._classes(unit, cube, frame, str(time)[:19] if dated else "", truth)
                    codes[number, 0] = np.where(found == IGNORED, np.nan, found.astype(np.float32))
                    counts = class_counts(found, classes=len(self._recipe.classes))
                    told.append({"frame": frame, "counts": counts, **about})
                writer.write(slice(first, first + len(shown)), slice(None), slice(None), codes)
        if not any(sum(found["counts"]) for found in told):
            absent = f": {told[0]['absent']} is not there" if "absent" in told[0] else ""
            raise WithheldError(f"{unit.name} has no labelled pixel{absent}")
        attempt.write_json(TOLD, told)

    @contextmanager
    def _simulated(self) -> Iterator[Path | None]:
        """The folder of the simulation's classes, on this machine; None where the truth is another."""
        if not self._truth:
            yield None
            return
        with self._step.read(self._truth).local() as folder:
            yield folder / "classes"

    def _classes(
        self, unit: SeriesUnit, cube: str, frame: str, time: str, truth: Path | None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Classes (y, x) of one image, and how old the truth is; `time` is empty where none is known."""
        import numpy as np

        from glacier_core.cube import IGNORED, open_pixels
        from glacier_core.labels.classes import classes_of_mask, read_class_raster

        labels, last = self._recipe.labels, len(self._recipe.classes) - 1
        fresh = {"stale": False, "age_days": 0}
        if labels.outlines:
            return self._of_outlines(unit, time)
        if labels.mask:
            return classes_of_mask(open_pixels(cube).read(labels.mask), inside=last), fresh
        path = truth / f"{frame}.tif" if truth else self._raster(unit, frame, time)
        if not path.is_file():
            # a year that nobody mapped
            return np.full(unit.grid.shape, IGNORED, np.uint8), {**fresh, "age_days": None, "absent": path.name}
        return read_class_raster(path, unit.grid, ids=self._ids()), fresh

    def _ids(self) -> dict[int, int]:
        """Number in a raster -> number of the class."""
        if self._truth:
            from glacier_core.sources.simulated import CLASSES

            names = dict(enumerate(CLASSES))
        else:
            names = self._recipe.labels.codes
        order = self._recipe.classes
        return {number: order.index(name) for number, name in names.items() if name in order}

    def _raster(self, unit: SeriesUnit, frame: str, time: str) -> Path:
        pattern = self._recipe.labels.raster.replace("{place}", unit.name).replace("{frame}", frame)
        if "{year}" in pattern and not time:
            raise ConfigurationError("labels.raster has {year}, and the images have no dates", do="leave {year} out")
        return Path(self._recipe.path(pattern.replace("{year}", time[:4])))

    def _of_outlines(self, unit: SeriesUnit, time: str) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        import geopandas
        import numpy as np
        import shapely

        from glacier_core.cube import IGNORED
        from glacier_core.labels import label_at, rasterize
        from glacier_core.labels.classes import classes_of_outlines

        if not unit.grid.crs:
            raise ConfigurationError(
                "labels are outlines, and the imagery has no CRS", expected="labels.mask or labels.raster"
            )
        near = self._near(unit)
        when = datetime.fromisoformat(time).replace(tzinfo=UTC) if time else datetime(1970, 1, 1, tzinfo=UTC)
        chosen = label_at(near, when=when, tolerance_days=self._recipe.labels.tolerance_days)
        codes = classes_of_outlines(chosen.outlines, unit.grid, inside=len(self._recipe.classes) - 1)
        if self._recipe.labels.box is not None:
            complete = geopandas.GeoDataFrame(geometry=[shapely.box(*self._recipe.labels.box)], crs="EPSG:4326")
            codes = np.where(rasterize(complete, unit.grid), codes, np.uint8(IGNORED))
        ages = [found.age_days for found in chosen.dates.values()]
        return codes, {"stale": not time or chosen.stale, "age_days": max(ages) if time and ages else None}

    def _near(self, unit: SeriesUnit) -> GeoDataFrame:
        """Outlines that touch the unit's window."""
        import geopandas
        import shapely

        from glacier_core.sources.outlines import read_outlines

        if self._outlines is None:
            self._outlines = read_outlines(self._recipe.path(self._recipe.labels.outlines))
        frame = self._outlines
        window = geopandas.GeoSeries([shapely.box(*unit.grid.bounds)], crs=unit.grid.crs).to_crs(frame.crs).iloc[0]
        near = frame[frame.intersects(window)]
        if near.empty:
            raise WithheldError(f"no outline of {self._recipe.labels.outlines} covers {unit.name}")
        return near

    def _files(self, unit: SeriesUnit) -> list[list[str]]:
        """What tells that the files of the truth have changed."""
        from glacier_core.sources.series import file_version

        labels = self._recipe.labels
        if labels.outlines:
            paths = [Path(self._recipe.path(labels.outlines))]
        elif labels.raster:
            stamps = unit.times or ("",)
            paths = [self._raster(unit, frame, time) for frame, time in zip(unit.frames, stamps, strict=True)]
        else:
            paths = []
        return sorted({path.name: [path.name, file_version(path)] for path in paths}.values())
