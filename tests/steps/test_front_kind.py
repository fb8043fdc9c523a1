"""The kind `front` through all stages on small images, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from glacier_core import Store, steps
from glacier_core.errors import ConfigurationError
from glacier_core.measure.fronts import FrontBaseline
from glacier_core.recipes import FrontRecipe, load_recipe, parse_recipe
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.kinds.front.summing import summary
from glacier_core.steps.running import Step
from glacier_pipelines.choosing import RECIPES
from tests.sources.caffe_files import drawn_scene, write_scene

SIDE = 64
Make = Callable[..., FrontRecipe]


class Run:
    """The stages of a run in this process."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.common = {"store": self.store.url, "run": "r"}

    def prepared(self, recipe: FrontRecipe, purpose: str, model: str = "") -> list[str]:
        batches = steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        ingested = [steps.ingest(**self.common, batch=batch) for batch in batches]
        return [steps.prepare(**self.common, ingested=found) for found in ingested]

    def trained(self, recipe: FrontRecipe) -> str:
        labelled = [steps.label(**self.common, prepared=found) for found in self.prepared(recipe, "train")]
        sampled = steps.sample(**self.common, labelled=labelled)
        evaluated = steps.evaluate(**self.common, trained=steps.train(**self.common, sampled=sampled))
        gated = steps.gate(**self.common, registered=steps.register(**self.common, evaluated=evaluated))
        return steps.promote(**self.common, gated=gated)

    def monitored(self, recipe: FrontRecipe, model: str) -> Path:
        predicted = [steps.predict(**self.common, prepared=found) for found in self.prepared(recipe, "monitor", model)]
        measured = [steps.measure(**self.common, predicted=found) for found in predicted]
        return Path(steps.report(**self.common, aggregated=steps.aggregate(**self.common, measured=measured)))

    def scores(self, chain: str) -> dict[str, Any]:
        stage, _, digest = self._chain(chain)["evaluate"].partition("/")
        return dict(self.store.read(stage, digest).read_json("scores.json"))

    def _chain(self, reference: str) -> dict[str, Any]:
        stage, _, digest = reference.partition("/")
        return dict(self.store.read(stage, digest).read_json("chain.json"))


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("GLACIER_TRACKING", raising=False)
    return Run(tmp_path_factory.mktemp("run"))


def simulated(**changes: Any) -> FrontRecipe:
    value: dict[str, Any] = {
        "name": "twin",
        "kind": "front",
        "imagery": {"source": "simulated_fronts", "places": 3, "frames": 2, "size": SIDE},
        "target": {"of": "sides", "width_px": 5},
        "view": {"window": "image", "contrast_px": 12, "mirrored": True, "warp": True},
        "split": {"by": "named", "test_places": ["place-03"], "train": 0.4, "validation": 0.4},
        "model": {"name": "unet", "width": 4, "depth": 2},
        "training": {"batch": 4, "epochs": 1, "steps_per_epoch": 6, "learning_rate": 0.02, "augmentation": []},
        "measure": {"resamples": 100},
        **changes,
    }
    return parse_recipe(value, origin="test", kind=FrontRecipe)


@pytest.fixture
def drawn(tmp_path: Path) -> Make:
    """Four places of two images each, with fronts drawn dark on white; the last place has none."""
    for place in "abcd":
        for year in (2020, 2021):
            row = 28 + ord(place) % 5 + (year - 2020) * 2
            image = np.full((SIDE, SIDE), 60, np.uint8)
            image[row:] = 180
            line = np.full((SIDE, SIDE), 255, np.uint8)
            line[row, 4:60] = 0
            Image.fromarray(image).save(tmp_path / f"{place}_{year}-07-01_seen.png")
            if place != "d":
                Image.fromarray(line).save(tmp_path / f"{place}_{year}-07-01_drawn.png")

    def made(**changes: Any) -> FrontRecipe:
        imagery = {"source": "frames", "files": "*_seen.png", "bands": ["grey"], "place_pattern": "^([a-d])_"}
        value: dict[str, Any] = {
            "data": str(tmp_path),
            "imagery": {**imagery, **changes.pop("imagery", {})},
            "labels": {"lines": "{name}_drawn.png", "name_pattern": "(.*)_seen"},
            "split": {"by": "named", "test_places": ["c"], "train": 0.4, "validation": 0.4},
            **changes,
        }
        return simulated(**value)

    return made


def test_simulated_images_become_fronts_positions_and_a_page(bench: Run) -> None:
    recipe = simulated()
    scores = bench.scores(bench.trained(recipe))
    assert set(scores["baselines"]) == {"sobel_path", "mean_front", "otsu"}
    model = scores["model"]
    assert model["front_distance/mean"]["unit"] == "m"
    assert model["front_missing"]["value"] == 0
    assert {"front_distance/caffe", "front_distance/along", "front_distance/hausdorff95"} <= set(model)
    assert {"iou/ocean_side", "accuracy/front_box", "front_distance/mean@sensor=radar"} <= set(model)

    folder = bench.monitored(recipe, "twin/1")
    table = pd.read_csv(folder / "fronts.csv")
    assert len(table) == 6
    assert set(table["length_unit"]) == {"m"}
    assert (table.groupby("series")["advance"].first() == 0).all()
    assert table[table["series"] == "place-01"]["flags"].str.contains("trained_on").all()
    assert not table[table["series"] == "place-03"]["flags"].str.contains("trained_on").any()
    assert table["distance_to_drawn"].notna().all()
    lines = geopandas.read_file(folder / "fronts.gpkg")
    assert lines.crs.to_epsg() == 3413
    assert len(lines) == 6
    items = sorted((folder / "items").glob("**/*.json"))
    assert json.loads(items[0].read_text(encoding="utf-8"))["geometry"]["type"] == "LineString"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "unpromoted" in page
    assert "Calving fronts" in page
    for name in ("positions.png", "fronts_place-01.png", "fronts_place-01.gif"):
        assert (folder / name).stat().st_size > 1000


def test_drawn_lines_become_truth_and_images_without_a_scale_stay_in_pixels(bench: Run, drawn: Make) -> None:
    # the line is learned itself, from chips
    recipe = drawn(
        target={"of": "line", "width_px": 3},
        view={"window": "chip", "sees": "values"},
        training={"chip": 32, "batch": 4, "epochs": 1, "steps_per_epoch": 4},
    )
    scores = bench.scores(bench.trained(recipe))["model"]
    assert scores["front_distance/mean"]["unit"] == "px"
    assert scores["front_distance/mean"]["n"] == 1
    assert scores["front_distance/median"]["n"] == 2
    assert scores["front_distance/mean"]["low"] is None
    assert scores["front_distance/predicted_from_drawn"]["low"] is None
    assert scores["front_unsure"]["n"] == 2
    assert "iou/front" in scores
    folder = bench.monitored(recipe, "twin/1")
    table = pd.read_csv(folder / "fronts.csv")
    # a place without drawn lines gets fronts too
    assert set(table["series"]) == {"a", "b", "c", "d"}
    assert table[table["series"] == "d"]["distance_to_drawn"].isna().all()
    assert geopandas.read_file(folder / "fronts.gpkg").crs is None
    assert "in pixels" in (folder / "report.html").read_text(encoding="utf-8")


def caffe(folder: Path, **changes: Any) -> FrontRecipe:
    names = [
        ("COL_2013-02-06_TSX_7_1_111", "test"),
        ("Crane_2002-11-09_ERS_20_2_061", "train"),
        ("Crane_2004-11-09_ERS_20_2_061", "train"),
        ("JAC_2015-12-23_TSX_6_1_005", "train"),
        ("JAC_2016-12-23_TSX_6_1_005", "val"),
        ("Mapple_2011-10-13_TSX_7_1_053", "train"),
    ]
    for number, (name, split) in enumerate(names):
        write_scene(folder, name, drawn_scene(number, height=48, width=64), split=split)
    boxes = folder / "bounding_boxes"
    boxes.mkdir()
    (boxes / "COL_2013-02-06_TSX_7_1_111.txt").write_text("Bounding Box\n2,2\n60,2\n60,46\n2,46\n", encoding="utf-8")
    recipe = "crane-front" if changes.pop("crane", False) else "caffe-front"
    tiny = [
        "training.chip=32",
        "training.epochs=1",
        "training.steps_per_epoch=2",
        "training.batch=4",
        "model.width=4",
        "model.depth=2",
        "model.name=unet",
        "measure.resamples=100",
    ]
    return load_recipe(RECIPES / f"{recipe}.yaml", overrides=[f"data={folder}", *tiny], kind=FrontRecipe)


def test_caffe_is_scored_by_its_zones_boxes_and_official_split(bench: Run, tmp_path: Path) -> None:
    recipe = caffe(tmp_path)
    scores = bench.scores(bench.trained(recipe))["model"]
    assert {"iou/ocean", "iou/glacier", "iou/rock", "accuracy/front_box", "front_missing"} <= set(scores)
    assert scores["front_missing"]["n"] == 1
    if "front_distance/caffe" in scores:
        assert scores["front_distance/caffe"]["unit"] == "m"


def test_crane_is_held_out_with_its_whole_time_series(tmp_path: Path) -> None:
    recipe = caffe(tmp_path, crane=True)
    step = Step(store=Store(tmp_path / "store"), run="", stage="plan")
    survey = kind_of("front").survey(step, recipe, purpose="train", catalog="")
    assert [name.partition("-")[0] for name in survey.split["test"]] == ["Crane"]
    assert [name.partition("-")[0] for name in survey.split["validation"]] == ["Mapple"]
    official = kind_of("front").survey(
        step, load_recipe(RECIPES / "caffe-front.yaml", overrides=[f"data={tmp_path}"]), purpose="train", catalog=""
    )
    assert [name.partition("-")[0] for name in official.split["test"]] == ["COL"]
    assert official.split["validation_images"] == {"JAC-TSX-6m": ["JAC_2016-12-23_TSX_6_1_005"]}


@pytest.mark.parametrize("name", ["caffe-front", "crane-front"])
def test_the_original_settings_are_repeated_exactly(name: str) -> None:
    training = load_recipe(RECIPES / f"{name}.yaml", kind=FrontRecipe).training
    assert (training.loss, training.optimizer, training.learning_rate) == ("dice", "adam", 1e-4)
    assert (training.batch, training.patience) == (16, 5)


def test_metres_without_a_pixel_size_are_refused(tmp_path: Path, drawn: Make) -> None:
    step = Step(store=Store(tmp_path / "store"), run="", stage="plan")
    with pytest.raises(ConfigurationError, match="nothing tells the pixel size"):
        kind_of("front").survey(step, drawn(units="m"), purpose="monitor", catalog="")
    known = drawn(units="m", imagery={"pixel_size_m": 30})
    assert len(kind_of("front").survey(step, known, purpose="monitor", catalog="").units) == 4


def test_places_that_overlap_may_not_serve_two_sets(tmp_path: Path, drawn: Make) -> None:
    step = Step(store=Store(tmp_path / "store"), run="", stage="plan")
    kind = kind_of("front")
    with pytest.raises(ConfigurationError, match="the split leaks"):
        kind.survey(step, drawn(overlapping=[["a", "c"]]), purpose="train", catalog="")
    with pytest.raises(ConfigurationError, match="overlapping names the series 'x'"):
        kind.survey(step, drawn(overlapping=[["a", "x"]]), purpose="train", catalog="")
    with pytest.raises(ConfigurationError, match="split names the place 'x'"):
        kind.survey(step, drawn(split={"by": "named", "test_places": ["x"]}), purpose="train", catalog="")
    with pytest.raises(ConfigurationError, match="no true fronts"):
        kind.survey(step, drawn(labels={}), purpose="train", catalog="")


def test_a_part_of_the_places_may_be_evaluated_though_overlapping_names_others(tmp_path: Path, drawn: Make) -> None:
    step = Step(store=Store(tmp_path / "store"), run="", stage="plan")
    found = kind_of("front").survey(step, drawn(overlapping=[["a", "x"], ["b", "c"]]), purpose="evaluate", catalog="")
    places = {unit.unit_id: unit.place for unit in found.units}
    assert places["b"] == places["c"]
    assert len(set(places.values())) == 3


def front_row(image: int, *, model: float | None, path: float | None) -> dict[str, Any]:
    def error(distance: float | None) -> dict[str, Any] | None:
        names = ("symmetric", "directed", "along", "hausdorff95", "total")
        return None if distance is None else {**dict.fromkeys(names, distance), "directed_points": 1, "points": 2}

    return {
        "place": "a",
        "frame": f"{image}",
        "time": "2020-07-01T00:00:00",
        "sensor": "",
        "resolution_m": "",
        "code": "",
        "metres": 10.0,
        "length_unit": "m",
        "diagonal_px": 100.0,
        "sure": image % 2 == 0,
        "errors": {"model": error(model), "path": error(path)},
        "counts": {},
    }


def test_who_misses_the_hard_images_wins_nothing() -> None:
    # without its hardest image the model would have 1 px, and the baseline 4
    rows = [front_row(0, model=1, path=2), front_row(1, model=None, path=6)]
    kind = kind_of("front")
    assert kind.contest(rows, "model") == {"a": -(1 + 100) / 2 * 10}
    assert kind.contest(rows, "path") == {"a": -(2 + 6) / 2 * 10}
    scores = summary(rows, recipe=simulated(), who=["path"])
    assert scores["model"]["front_distance/mean"]["value"] == pytest.approx(505)
    assert scores["model"]["front_distance/caffe"]["value"] == pytest.approx(5)
    assert (scores["model"]["front_missing"]["value"], scores["model"]["front_unsure"]["value"]) == (1, 1)
    assert scores["baselines"]["path"]["front_distance/mean"]["value"] == pytest.approx(40)


def test_below_eight_places_no_distance_has_an_interval() -> None:
    rows = [front_row(number, model=1 + number % 3, path=4) for number in range(20)]
    found = summary(rows, recipe=simulated(), who=["path"])["model"]
    assert all(score["low"] is None for name, score in found.items() if name.startswith("front_distance"))
    places = [{**row, "place": f"{number % 9}"} for number, row in enumerate(rows)]
    found = summary(places, recipe=simulated(), who=["path"])["model"]
    assert found["front_distance/predicted_from_drawn"]["low"] is not None


def test_baselines_look_inside_the_true_box_where_the_model_does(bench: Run, tmp_path: Path) -> None:
    from glacier_core.steps.kinds.front import images
    from glacier_core.steps.plans import Plan

    rows = slice(2, 47)
    known = images.KnownImage(
        frame="one",
        told={},
        label={"line": [[20.0, 10.0], [20.0, 40.0]], "box": [[rows.start, rows.stop], [5, 45]]},
        shape=(60, 80),
        read=lambda: np.zeros((60, 80), np.float32),
    )
    boxed = Plan.__new__(Plan)
    object.__setattr__(boxed, "recipe", simulated(line={"within_box": True}))
    window = images.window_of(boxed, known)
    assert window == (rows, slice(5, 45))
    rule = FrontBaseline("mean_front", ((0.5, 0.0), (0.5, 1.0)))
    assert images.drawn_by(rule, known.read(), window).tolist() == [[24.5, 5.0], [24.5, 45.0]]
    object.__setattr__(boxed, "recipe", simulated())
    assert images.window_of(boxed, known) == (slice(0, 60), slice(0, 80))


def test_a_model_that_was_fed_otherwise_does_not_fit(drawn: Make) -> None:
    from glacier_core.steps.kinds.front.learning import view_of

    kind, recipe = kind_of("front"), drawn()
    spec: dict[str, Any] = {"bands": ["grey_stretched"], "extra": {"imagery_bands": ["grey"], "view": view_of(recipe)}}
    kind.check_model(spec, recipe)
    with pytest.raises(ConfigurationError, match="the model was fed with"):
        kind.check_model(spec, drawn(view={"reduce": 2}))
    with pytest.raises(ConfigurationError, match="needs band red"):
        kind.check_model({**spec, "extra": {**spec["extra"], "imagery_bands": ["red"]}}, recipe)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": {"of": "zones"}}, "target 'zones' needs zones"),
        ({"split": {"by": "time", "train_to": "2020-01-01", "validation_to": "2021-01-01"}}, "split by place or named"),
        ({"labels": {"lines": "a.png", "name_pattern": "("}}, "no regular expression"),
        ({"labels": {"lines": "a.png", "name_pattern": "a"}}, "has no group"),
        ({"flow": {"box_px": [9, 3]}}, "ends before it begins"),
    ],
)
def test_recipes_that_make_no_sense_say_why(drawn: Make, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        drawn(**changes)
