"""The smallest kind of work there can be, bright pixels of dated images: it tries the frames of the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glacier_core.cube import open_cube
from glacier_core.errors import WithheldError
from glacier_core.prepare import Normalisation, fit_normalisation
from glacier_core.recipes import LearningRecipe
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.contract import Entry, Fitted, Row
from glacier_core.steps.kinds.series import SeriesKind
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.store import Output
from glacier_core.units import SeriesUnit

THRESHOLD = 0.5
BANDS = ("light",)


class TinyRecipe(LearningRecipe):
    """Recipes of the kind."""

    kind: Literal["tiny"]


@dataclass(frozen=True)
class Pictures:
    """All frames of some cubes as chips."""

    cubes: tuple[str, ...]

    def _frames(self) -> NDArray[np.float32]:
        return np.concatenate([open_cube(cube)["imagery"].values for cube in self.cubes])

    def __len__(self) -> int:
        return len(self._frames())

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        image = self._frames()[index].astype(np.float32)
        return image, (image[0] > THRESHOLD).astype(np.uint8)


class TinyKind(SeriesKind):
    """Where is it bright?"""

    recipe = TinyRecipe
    headline = "error/bright"
    lower_is_better = True
    fewest_frames = 2

    def label(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """The number of bright pixels; a place that is named `dark` has no truth."""
        if unit.name == "dark":
            raise WithheldError("dark has no label")
        cube = step.read(entry["refs"]["prepare"]).path(CUBE)

        def make(attempt: Any) -> None:
            attempt.write_json("bright.json", int((open_cube(cube)["imagery"].values > THRESHOLD).sum()))

        return reference(step.build("label", part={"t": THRESHOLD}, inputs=[entry["refs"]["prepare"]], make=make))

    def sample_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.sample_part`."""
        return {"split": plan.split}

    def sample(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.sample`."""
        cubes = {
            part: [entry["refs"]["prepare"] for entry in entries if plan.units[entry["unit"]].part in (part, "all")]
            for part in ("train", "validation")
        }
        seen = Pictures(_paths(step, cubes["train"]))
        normalisation = fit_normalisation((seen[index][0] for index in range(len(seen))), bands=BANDS)
        attempt.write_json("samples.json", {"cubes": cubes, "normalisation": normalisation.to_json()})

    def fit(
        self,
        step: Step,
        plan: Plan,
        samples: Output,
        *,
        checkpoints: str,
        track: Callable[[int, dict[str, float]], None],
    ) -> Fitted:
        """See `Kind.fit`."""
        from glacier_core.training import ModelSpec, train

        value = samples.read_json("samples.json")
        normalisation = Normalisation.from_json(value["normalisation"])
        recipe = plan.recipe
        trained = train(
            model=recipe.model,
            training=recipe.training,
            bands=1,
            classes=2,
            train=Pictures(_paths(step, value["cubes"]["train"])),
            validation=Pictures(_paths(step, value["cubes"]["validation"])),
            normalisation=normalisation,
            checkpoints=checkpoints,
            track=track,
            threads=1,
        )
        spec = ModelSpec(
            name=recipe.model.name,
            bands=BANDS,
            classes=("other", "bright"),
            width=recipe.model.width,
            depth=recipe.model.depth,
            normalisation=normalisation,
            split=plan.split["hash"],
            kind="tiny",
        )
        return Fitted(trained=trained, spec=spec, files={"notes.txt": b"kept beside the weights"})

    def score_part(self, plan: Plan) -> dict[str, Any]:
        """See `Kind.score_part`."""
        return {"split": plan.split}

    def score(
        self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any, *, weights: str, calibration: str | None
    ) -> None:
        """See `Kind.score`."""
        network = Network(step, weights)
        assert network.read_bytes("notes.txt").startswith(b"kept")
        if calibration:
            assert step.read(calibration).read_json("calibration.json") == {"kept": True}
        rows = []
        for entry in entries:
            unit = plan.units[entry["unit"]]
            predicted = step.read(self.predict(step, plan, unit, entry, network)).read_json("bright.json")
            truth = step.read(entry["refs"]["label"]).read_json("bright.json")
            for time in unit.times:
                if unit.part == "test" or self.period_of(plan.split, time) == "test" == unit.part.replace(
                    "all", "test"
                ):
                    row = {"unit": unit.unit_id, "time": time}
                    rows.append({**row, "error": {"model": abs(predicted - truth), "none": truth}})
        attempt.write_json("rows.json", rows)
        attempt.write_json("calibration.json", {"kept": True})
        scores = {who: {self.headline: _mean(rows, who)} for who in ("model", "none")}
        # one baseline has nothing to say of what the gate compares
        baselines = {"none": scores["none"], "mute": {}}
        attempt.write_json("scores.json", {"model": scores["model"], "baselines": baselines})

    def contest(self, rows: Sequence[Row], who: str) -> dict[str, float]:
        """See `Kind.contest`."""
        if who == "mute":
            return {}
        return {f"{row['unit']} {row['time']}": -float(row["error"][who]) for row in rows}

    def predict(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Any) -> str:
        """See `Kind.predict`."""
        cube = step.read(entry["refs"]["prepare"]).path(CUBE)

        def make(attempt: Any) -> None:
            from glacier_core.inference import predict_image

            module, spec = network.load()
            images = open_cube(cube)["imagery"].values
            masks = [predict_image(module, spec, image.astype(np.float32))[1] > THRESHOLD for image in images]
            attempt.write_json("bright.json", int(np.sum(masks)))

        inputs = [entry["refs"]["prepare"], network.reference]
        return reference(step.build("predict", part={}, inputs=inputs, make=make))

    def measure(self, step: Step, plan: Plan, unit: SeriesUnit, entry: Entry) -> str:
        """See `Kind.measure`."""
        found = step.read(entry["refs"]["predict"]).read_json("bright.json")

        def make(attempt: Any) -> None:
            attempt.write_json("row.json", {"unit": unit.unit_id, "bright": found})

        return reference(step.build("measure", part={}, inputs=[entry["refs"]["predict"]], make=make))

    def aggregate(self, step: Step, plan: Plan, entries: Sequence[Entry], attempt: Any) -> None:
        """See `Kind.aggregate`."""
        rows = [step.read(entry["refs"]["measure"]).read_json("row.json") for entry in entries]
        attempt.write_bytes("bright.csv", pd.DataFrame(rows).to_csv(index=False).encode())

    def products(self, step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
        """See `Kind.products`."""
        (folder / "bright.csv").write_bytes(aggregated.read_bytes("bright.csv"))
        (folder / "report.html").write_text("<p>bright</p>", encoding="utf-8")
        return "report.html"

    def pictures(self, step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
        """See `Kind.pictures`."""
        from PIL import Image

        Image.new("L", (4, 4)).save(folder / "sample.png")
        return ["sample.png"]


def _paths(step: Step, references: Sequence[str]) -> tuple[str, ...]:
    return tuple(step.read(found).path(CUBE) for found in references)


def _mean(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, Any]:
    value = float(np.mean([row["error"][who] for row in rows]))
    return {"value": value, "low": None, "high": None, "n": len(rows), "unit": "px"}
