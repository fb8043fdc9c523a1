"""The stages' frames with a kind that knows nothing of glaciers: every stage asks the kind, and keeps what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacier_core import Store, steps
from glacier_core.steps.models import open_registry
from glacier_core.steps.versions import STAGE_VERSIONS
from tests.steps.tiny_kind import TinyKind, TinyRecipe

Make = Callable[..., TinyRecipe]


class Run:
    """The stages of a run in this process, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.common = {"store": self.store.url, "run": "r"}

    def prepared(self, recipe: TinyRecipe, purpose: str, model: str = "") -> list[str]:
        batches = steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        ingested = [steps.ingest(**self.common, batch=batch) for batch in batches]
        return [steps.prepare(**self.common, ingested=found) for found in ingested]

    def labelled(self, recipe: TinyRecipe, purpose: str, model: str = "") -> list[str]:
        return [steps.label(**self.common, prepared=found) for found in self.prepared(recipe, purpose, model)]

    def trained(self, recipe: TinyRecipe) -> str:
        sampled = steps.sample(**self.common, labelled=self.labelled(recipe, "train"))
        evaluated = steps.evaluate(**self.common, trained=steps.train(**self.common, sampled=sampled))
        gated = steps.gate(**self.common, registered=steps.register(**self.common, evaluated=evaluated))
        return steps.promote(**self.common, gated=gated)

    def monitored(self, recipe: TinyRecipe, model: str) -> Path:
        predicted = [steps.predict(**self.common, prepared=found) for found in self.prepared(recipe, "monitor", model)]
        measured = [steps.measure(**self.common, predicted=found) for found in predicted]
        return Path(steps.report(**self.common, aggregated=steps.aggregate(**self.common, measured=measured)))

    def read(self, reference: str) -> Any:
        stage, _, digest = reference.partition("/")
        return self.store.read(stage, digest)

    def chain(self, reference: str) -> dict[str, Any]:
        return dict(self.read(reference).read_json("chain.json"))

    def facts(self, stage: str) -> dict[str, Any]:
        return next(note["facts"] for note in self.store.notes("r").values() if note["stage"] == stage)

    def refused(self, recipe: TinyRecipe, *said: str, purpose: str = "train", model: str = "") -> None:
        with pytest.raises(SystemExit) as ended:
            steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        assert ended.value.code == 2
        for text in said:
            assert text in self.errors()[-1], self.errors()[-1]

    def errors(self) -> list[str]:
        found = [note["error"]["message"] for note in self.store.notes("r").values() if note["error"]]
        assert all("\n" not in message for message in found)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("GLACIER_TRACKING", raising=False)
    return Run(tmp_path)


def test_a_kind_goes_through_all_stages(bench: Run, tiny_recipe: Make, frames: Path) -> None:
    recipe = tiny_recipe()
    chain = bench.chain(promoted := bench.trained(recipe))
    verdict = bench.read(chain["gate"]).read_json("verdict.json")
    # six frames of two places: fewer than eight units decide nothing
    assert (verdict["decided"], verdict["baseline"], chain["alias"]) == (False, "none", "")
    model = bench.read(chain["model"])
    assert {"weights.safetensors", "notes.txt", "split.json", "calibration.json"} <= set(model.files())
    assert "history.json" not in model.files()
    assert model.read_json("model.json")["extra"]["inputs"]["bands"] == ["light"]
    page = Path(steps.training_report(**bench.common, promoted=promoted)) / "training.html"
    text = page.read_text(encoding="utf-8")
    assert "glacier" not in text.replace("glacierflow", "").split("<details")[0].lower().split("</style>")[-1]
    folder = bench.monitored(recipe, "bright/1")
    assert len((folder / "bright.csv").read_text(encoding="utf-8").splitlines()) == 5
    assert bench.facts("report")["page"] == "report.html"
    assert bench.facts("evaluate")["headline"] == {"metric": "error/bright", "lower_is_better": True}
    version = open_registry(bench.store).resolve("bright/1")
    assert (version.headline, version.scores["error/bright"]["unit"]) == ("error/bright", "px")
    scored = steps.score(**bench.common, labelled=bench.labelled(recipe, "evaluate", "bright/1"))
    rows = bench.read(bench.chain(scored)["evaluate"]).read_json("rows.json")
    # of the data that it was trained on, only what it has not seen; of other data, all
    assert {row["unit"] for row in rows} == {"c", "d"}
    for path in frames.iterdir():
        np.save(path, 1 - np.load(path))
    scored = steps.score(**bench.common, labelled=bench.labelled(recipe, "evaluate", "bright/1"))
    rows = bench.read(bench.chain(scored)["evaluate"]).read_json("rows.json")
    assert {row["unit"] for row in rows} == {"a", "b", "c", "d"}

    registry = open_registry(bench.store)
    registry.promote(registry.resolve("bright/1"), by="a person", why="the first")
    # a champion that sees other bands is refused before anything is done
    bench.refused(tiny_recipe(imagery={"bands": ["dark"]}), "trained on bands light", "has dark")
    bench.refused(tiny_recipe(imagery={"scale": 2.0}), "trained on scale")
    bench.refused(tiny_recipe(imagery={"bands": ["dark"]}), "light", purpose="monitor", model="bright/1")
    # the next one starts from the first one's weights
    begun = {**recipe.model.model_dump(), "weights": bench.read(chain["train"]).path("weights.safetensors")}
    second = bench.chain(bench.trained(tiny_recipe(model=begun)))
    verdict = bench.read(second["gate"]).read_json("verdict.json")
    assert (verdict["champion"], second["alias"]) == ("1", "challenger")
    assert verdict["differences"]["champion"]["n"] == 6


def test_a_model_in_another_store_is_not_scored_on_what_it_was_trained_on(
    bench: Run, tiny_recipe: Make, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe()
    bench.trained(recipe)
    monkeypatch.setenv("GLACIER_TRACKING", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def scored(where: str) -> set[str]:
        fresh = Run(tmp_path / where)
        chain = fresh.chain(steps.score(**fresh.common, labelled=fresh.labelled(recipe, "evaluate", "bright/1")))
        return {row["unit"] for row in fresh.read(chain["evaluate"]).read_json("rows.json")}

    assert scored("fresh") == {"c", "d"}
    # by other code, digests tell nothing about the data: names decide
    with monkeypatch.context() as patch:
        patch.setitem(STAGE_VERSIONS, "cube", STAGE_VERSIONS["cube"] + 1)
        assert scored("newer") == {"c", "d"}
    for path in frames.iterdir():
        np.save(path, 1 - np.load(path))
    assert scored("other") == {"a", "b", "c", "d"}


def test_checkpoints_belong_to_one_output_and_go_when_it_is_published(
    bench: Run, tiny_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def fit(self: TinyKind, *arguments: Any, checkpoints: str, track: Any) -> Any:
        found = tried(self, *arguments, checkpoints=checkpoints, track=track)
        folders.append(Path(checkpoints))
        assert any(folders[-1].iterdir())
        return found

    tried = TinyKind.fit
    monkeypatch.setattr(TinyKind, "fit", fit)
    sampled = steps.sample(**bench.common, labelled=bench.labelled(tiny_recipe(), "train"))
    steps.train(**bench.common, sampled=sampled)
    monkeypatch.setitem(STAGE_VERSIONS, "train", STAGE_VERSIONS["train"] + 1)
    steps.train(**bench.common, sampled=sampled)
    # what other code has trained is no start for this
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)


def test_a_series_with_too_few_frames_is_withheld_and_the_rest_is_done(bench: Run, tiny_recipe: Make) -> None:
    bench.prepared(tiny_recipe(), "monitor")
    (note,) = [note for note in bench.store.notes("r").values() if note["stage"] == "plan"]
    assert note["notes"] == [
        {"unit": "lone", "state": "withheld", "reason": "1 images, expected at least 2"},
    ]
    bench.refused(tiny_recipe(imagery={"files": "lone*"}), "leaves nothing to do", "expected at least 2")


def test_an_estimate_counts_and_says_what_training_would_be_split_into(bench: Run, tiny_recipe: Make) -> None:
    from glacier_core.steps.planning import estimate

    found = estimate(store=bench.store, recipe=tiny_recipe(), catalog="")
    assert (found["units"], found["left_out"], found["frames"]) == (4, 1, 12)
    assert (found["pixels"], found["bytes"]) == (12 * 32 * 32, 12 * 32 * 32 * 4)
    assert found["split"] == "1 train, 1 validation, 2 test"
    alone = estimate(store=bench.store, recipe=tiny_recipe(imagery={"files": "a_*"}), catalog="")
    assert alone["split"].startswith("none: split names the place 'b'")


def test_frames_that_come_later_make_new_work_for_their_series_alone(
    bench: Run, tiny_recipe: Make, frames: Path
) -> None:
    recipe = tiny_recipe(batches=1)

    def cubes() -> dict[str, str]:
        (manifest,) = bench.prepared(recipe, "monitor")
        return {unit["unit"]: unit["refs"]["ingest"] for unit in bench.read(manifest).read_json("units.json")["units"]}

    before = cubes()
    assert cubes() == before
    assert all(reference.startswith("cube/") for reference in before.values())
    (frames / "a_2020-01-01.npy").rename(frames / "a_2020-04-01.npy")
    after = cubes()
    assert before["a"] != after["a"]


def test_a_band_that_the_images_lack_is_named(bench: Run, tiny_recipe: Make) -> None:
    recipe = tiny_recipe(imagery={"bands": ["light", "swir"], "quantities": ["probability"]})
    labelled = bench.labelled(recipe, "train")
    with pytest.raises(SystemExit) as ended:
        steps.sample(**bench.common, labelled=labelled)
    assert ended.value.code == 2
    assert "no unit of recipe 'bright' is left" in bench.errors()[-1]
    assert "band" in bench.errors()[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"name": "convlstm"}}, ["convlstm", "segmentation network: unet"]),
        ({"model": {"name": "unett"}}, ["did you mean 'unet'"]),
        ({"training": {"loss": "mse"}}, ["training.loss is 'mse'"]),
        ({"model": {"weights": "absent.safetensors"}}, ["absent.safetensors does not exist"]),
        ({"split": {"by": "easting"}}, ["split.by is 'easting'"]),
        ({"split": {"by": "named", "test_places": ["dd"]}}, ["'dd'", "'d'"]),
        ({"split": {"by": "named", "test_places": ["d"]}}, ["no series to validation"]),
        (
            {"split": {"by": "time", "train_to": "2020-01-15", "validation_to": "2020-12-31"}},
            ["no image lies in the period of test"],
        ),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_before_any_work(
    bench: Run, tiny_recipe: Make, changes: dict[str, Any], said: Sequence[str]
) -> None:
    bench.refused(tiny_recipe(**changes), *said)
    assert not (bench.store.local_root or Path()).joinpath("stages", "cube").exists()


def test_a_model_of_another_kind_is_refused(tiny_recipe: Make) -> None:
    from glacier_core.errors import ConfigurationError
    from glacier_core.steps.fitting import check_fit

    spec = {"kind": "motion", "bands": ["light"], "extra": {}}
    with pytest.raises(ConfigurationError, match="of kind 'motion'"):
        check_fit("model m/1", spec, tiny_recipe())
    with pytest.raises(ConfigurationError, match="needs band swir"):
        check_fit("model m/1", {"kind": "tiny", "bands": ["swir"], "extra": {}}, tiny_recipe())


def test_a_split_by_time_serves_periods(bench: Run, tiny_recipe: Make) -> None:
    recipe = tiny_recipe(split={"by": "time", "train_to": "2020-01-31", "validation_to": "2020-02-28"})
    labelled = bench.labelled(recipe, "train")
    (manifest, *_) = labelled
    plan = bench.read(bench.read(manifest).read_json("units.json")["plan"]).read_json("plan.json")
    assert {unit["part"] for unit in plan["units"]} == {"all"}
    assert plan["split"]["train"][0] == "a:..2020-01-31"
    sampled = bench.chain(steps.sample(**bench.common, labelled=labelled))
    assert bench.read(sampled["sample"]).read_json("split.json") == json.loads(json.dumps(plan["split"]))
