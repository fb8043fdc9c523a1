"""Wrong input to the stages: one clear line and the right exit code, or a scene that is recorded and left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import yaml

from glacier_core import ExtentRecipe, Store, parse_recipe, steps
from glacier_core.recipes import Simulation
from glacier_core.sources.simulated import simulate
from glacier_pipelines.choosing import RECIPES

CLEAR, CLOUD = 5, 9


def classify(scene: Path, code: int) -> None:
    """Give every pixel of a scene one class."""
    with rasterio.open(scene / "SCL.tif") as dataset:
        profile = dataset.profile | {"driver": "GTiff"}
        shape = dataset.shape
    with rasterio.open(scene / "SCL.tif", "w", **profile) as dataset:
        dataset.write(np.full(shape, code, dtype=np.uint8), 1)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "archive"
    spec = Simulation(seed=1000, places=1, glaciers_per_place=1, scenes_per_year=2, size=192)
    simulate(folder, spec=spec, years=range(2016, 2018), season=("07-01", "09-30"))
    for scene in (folder / "scenes").iterdir():
        classify(scene, CLEAR)
    return folder


@pytest.fixture
def archive(untouched: Path, tmp_path: Path) -> Path:
    """A copy of the archive that a test may spoil."""
    return Path(shutil.copytree(untouched, tmp_path / "archive"))


def recipe_of(archive: Path, **changes: Any) -> ExtentRecipe:
    value = yaml.safe_load((RECIPES / "demo.yaml").read_text(encoding="utf-8"))
    value |= {"name": "small", "data": str(archive), "years": [2016, 2017], "batches": 1}
    imagery = changes.pop("imagery", {})
    value["imagery"] |= {"max_cloud_percent": 100, **imagery}
    return parse_recipe({**value, **changes}, origin="test", kind=ExtentRecipe)


class Bench:
    """A store, and the stages up to `prepare` on it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")

    def plan(self, recipe: ExtentRecipe, *, catalog: str = "") -> list[str]:
        return steps.plan(
            store=self.store.url, run="r", recipe=recipe.model_dump_json(), purpose="monitor", catalog=catalog
        )

    def prepared(self, recipe: ExtentRecipe) -> list[dict[str, Any]]:
        (batch,) = self.plan(recipe)
        ingested = steps.ingest(store=self.store.url, run="r", batch=batch)
        prepared = steps.prepare(store=self.store.url, run="r", ingested=ingested)
        units: list[dict[str, Any]] = self.read(prepared).read_json("units.json")["units"]
        return units

    def read(self, reference: str) -> Any:
        stage, _, digest = reference.partition("/")
        return self.store.read(stage, digest)

    def error(self) -> dict[str, Any]:
        (error,) = [note["error"] for note in self.store.notes("r").values() if note["error"]]
        assert "\n" not in error["message"]
        return dict(error)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sound_input_is_prepared(bench: Bench, untouched: Path) -> None:
    assert [unit["state"] for unit in bench.prepared(recipe_of(untouched))] == ["done", "done"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"years": [1999, 2000]}, "none of 1 outlines lies on the imagery of 1999 to 2000"),
        ({"season": ["01-01", "01-31"]}, "none of 1 outlines lies on the imagery"),
        ({"glaciers": {"outlines": "absent.gpkg"}}, "absent.gpkg"),
        ({"glaciers": {"ids": ["RGI2000-v7.0-G-99-00002"]}}, "RGI2000-v7.0-G-99-00001"),
        ({"glaciers": {"point": [0.0, 0.0]}}, "point"),
        ({"glaciers": {"aoi": [0.0, 0.0, 1.0, 1.0]}}, "aoi"),
    ],
    ids=["no scene in the years", "no scene in the season", "missing file", "unknown id", "point", "aoi"],
)
def test_a_plan_without_anything_to_do_is_refused(
    bench: Bench, untouched: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.plan(recipe_of(untouched, **changes))
    assert ended.value.code == 2
    assert said in bench.error()["message"]
    assert not (bench.store.local_root or Path()).joinpath("stages", "plan").exists()


def test_outlines_that_miss_the_imagery(bench: Bench, archive: Path) -> None:
    outlines = geopandas.read_file(archive / "outlines.gpkg")
    outlines.geometry = outlines.geometry.translate(xoff=20 if outlines.crs.is_geographic else 2e6)
    outlines.to_file(archive / "elsewhere.gpkg")
    with pytest.raises(SystemExit) as ended:
        bench.plan(recipe_of(archive, glaciers={"outlines": "elsewhere.gpkg"}))
    assert ended.value.code == 2
    assert "lies on the imagery" in bench.error()["message"]


def test_outlines_without_a_crs(bench: Bench, archive: Path) -> None:
    outlines = geopandas.read_file(archive / "outlines.gpkg")
    bare = outlines.set_crs(None, allow_override=True)
    bare.to_file(archive / "bare.shp")
    with pytest.raises(SystemExit) as ended:
        bench.plan(recipe_of(archive, glaciers={"outlines": "bare.shp"}))
    assert ended.value.code == 2
    assert "CRS" in bench.error()["message"]


def test_a_band_that_is_absent_ends_the_stage(bench: Bench, untouched: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.prepared(recipe_of(untouched, imagery={"bands": ["B04", "B99"]}))
    assert ended.value.code == 2
    assert "B99" in bench.error()["message"]


def test_a_catalog_out_of_reach_is_named(bench: Bench, untouched: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.plan(recipe_of(untouched), catalog="http://127.0.0.1:9/stac")
    assert ended.value.code == 4
    assert "127.0.0.1" in bench.error()["message"]
    assert "--catalog" in bench.error()["message"]


def scenes_of(archive: Path, year: int) -> list[Path]:
    found = sorted(path for path in (archive / "scenes").iterdir() if f"_{year}" in path.name)
    assert len(found) == 2
    return found


def test_a_truncated_scene_is_recorded_and_left_out(bench: Bench, archive: Path) -> None:
    spoiled = scenes_of(archive, 2016)[0]
    content = (spoiled / "B03.tif").read_bytes()
    (spoiled / "B03.tif").write_bytes(content[: len(content) // 3])
    units = bench.prepared(recipe_of(archive))
    assert [unit["state"] for unit in units] == ["done", "done"]
    record = bench.read(units[0]["refs"]["prepare"]).read_json("scenes.json")
    assert [entry["scene"] for entry in record["left_out"]] == [spoiled.name]
    assert record["used"] == [scenes_of(archive, 2016)[1].name]


def test_a_scene_that_is_all_cloud_is_recorded_and_left_out(bench: Bench, archive: Path) -> None:
    spoiled = scenes_of(archive, 2016)[1]
    classify(spoiled, CLOUD)
    units = bench.prepared(recipe_of(archive))
    record = bench.read(units[0]["refs"]["prepare"]).read_json("scenes.json")
    assert record["left_out"] == [{"scene": spoiled.name, "reason": "all cloud"}]
    assert units[0]["state"] == "done"


def test_a_year_that_is_all_cloud_is_withheld_and_the_rest_is_done(bench: Bench, archive: Path) -> None:
    for scene in scenes_of(archive, 2016):
        classify(scene, CLOUD)
    units = bench.prepared(recipe_of(archive))
    assert [unit["state"] for unit in units] == ["withheld", "done"]
    assert "all cloud" in units[0]["reason"]


def test_new_imagery_makes_new_work_and_nothing_else_does(bench: Bench, archive: Path) -> None:
    before = bench.prepared(recipe_of(archive))
    items = sorted((archive).rglob("*.json"))
    changed = next(path for path in items if path.stem == scenes_of(archive, 2017)[0].name)
    item = json.loads(changed.read_text(encoding="utf-8"))
    item["properties"]["updated"] = "2030-01-01T00:00:00Z"
    changed.write_text(json.dumps(item), encoding="utf-8")
    after = bench.prepared(recipe_of(archive))
    assert before[0]["refs"] == after[0]["refs"]
    assert before[1]["refs"]["ingest"] != after[1]["refs"]["ingest"]
