"""The kind `motion` through all stages, on simulated glaciers whose motion is known; and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import yaml
from PIL import Image

from glacier_core import MotionRecipe, Store, parse_recipe, steps
from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.kinds.motion.scoring import by_place, region_of, scores_of
from glacier_core.steps.kinds.motion.sequences import ground_of, part_of_run, runs_of, with_ground
from glacier_core.steps.models import open_registry
from glacier_core.steps.running import Step
from glacier_core.units import SeriesUnit
from glacier_pipelines.choosing import RECIPES


def recipe_of(**changes: Any) -> MotionRecipe:
    value = yaml.safe_load((RECIPES / "simulated-motion.yaml").read_text(encoding="utf-8"))
    value |= {"name": "small", "batches": 1, "measure": {"resamples": 100}}
    value["imagery"] |= {"places": 4, "size": 128, "frames": 5, "fastest_px_per_day": 0.1, **changes.pop("imagery", {})}
    value["sequences"] = {"inputs": 2, "outputs": 1, **changes.pop("sequences", {})}
    value["model"] |= {"width": 4}
    value["training"] |= {"chip": 32, "batch": 4, "epochs": 1, "steps_per_epoch": 3, "precision": "fp32"}
    value["split"] = {"by": "named", "validation_places": ["place-02"], "test_places": ["place-03", "place-04"]}
    return parse_recipe({**value, **changes}, origin="test", kind=MotionRecipe)


class Run:
    """The stages of a run in this process, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.common = {"store": self.store.url, "run": "r"}

    def prepared(self, recipe: MotionRecipe, purpose: str, model: str = "") -> list[str]:
        batches = steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        ingested = [steps.ingest(**self.common, batch=batch) for batch in batches]
        return [steps.prepare(**self.common, ingested=found) for found in ingested]

    def trained(self, recipe: MotionRecipe) -> str:
        labelled = [steps.label(**self.common, prepared=found) for found in self.prepared(recipe, "train")]
        sampled = steps.sample(**self.common, labelled=labelled)
        evaluated = steps.evaluate(**self.common, trained=steps.train(**self.common, sampled=sampled))
        gated = steps.gate(**self.common, registered=steps.register(**self.common, evaluated=evaluated))
        return steps.promote(**self.common, gated=gated)

    def monitored(self, recipe: MotionRecipe, model: str) -> Path:
        predicted = [steps.predict(**self.common, prepared=found) for found in self.prepared(recipe, "monitor", model)]
        measured = [steps.measure(**self.common, predicted=found) for found in predicted]
        return Path(steps.report(**self.common, aggregated=steps.aggregate(**self.common, measured=measured)))

    def refused(self, recipe: MotionRecipe, *said: str) -> None:
        with pytest.raises(SystemExit) as ended:
            self.prepared(recipe, "train")
        assert ended.value.code == 2
        errors = [note["error"]["message"] for note in self.store.notes("r").values() if note["error"]]
        for text in said:
            assert text in errors[-1], errors[-1]
        assert "\n" not in errors[-1]

    def facts(self, stage: str) -> dict[str, Any]:
        return next(note["facts"] for note in self.store.notes("r").values() if note["stage"] == stage)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, MotionRecipe, Path]:
    """A trained model and the products made with it."""
    run, recipe = Run(tmp_path_factory.mktemp("motion")), recipe_of()
    run.trained(recipe)
    return run, recipe, run.monitored(recipe, "small/1")


def test_scores_stand_beside_the_baselines_and_displacement_beside_the_truth(
    done: tuple[Run, MotionRecipe, Path],
) -> None:
    facts = done[0].facts("evaluate")
    model, baselines = facts["scores"], facts["baselines"]
    assert facts["headline"] == {"metric": "mae/lead1", "lower_is_better": True}
    assert model["windows/lead1"]["value"] == 2 * 3
    assert model["mae/lead1"]["n"] == 2
    for metric in ("mae/lead1", "rmse/lead1", "ssim/lead1", "mae/lead1@place=place-03"):
        assert {metric} <= model.keys() & baselines["no_change"].keys() & baselines["mean_of_inputs"].keys()
    assert model["displacement_error/median"]["unit"] == "px"
    assert model["displacement_error/median"]["value"] <= 0.1
    assert baselines["no_motion"]["displacement_error/median"]["value"] > 1


def test_two_places_promote_nothing(done: tuple[Run, MotionRecipe, Path]) -> None:
    run, _, _ = done
    assert {version.alias for version in open_registry(Store(run.store.url)).versions("small")} == {None}


def test_the_products_are_maps_rasters_tables_a_page_and_a_catalog(
    done: tuple[Run, MotionRecipe, Path],
) -> None:
    _, recipe, folder = done
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Simulated glaciers" in page
    assert "unpromoted" in page
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    items = list(catalog.get_items())
    assert [item.id for item in items] == [f"place-0{number}" for number in (1, 2, 3, 4)]
    for item in items:
        for asset in item.assets.values():
            assert (Path(str(item.get_self_href())).parent / asset.href).resolve().is_file()
    places = pd.read_csv(folder / "places.csv")
    assert places["speed_unit"].tolist() == ["m/yr"] * 4
    # 0.1 px/day of 10 m
    assert places["p95_speed"].between(320, 400).all()
    assert places["stable_nmad"].max() < 0.1 / 8 * 10 * 365.25
    assert len(pd.read_parquet(folder / "pairs.parquet")) == 4 * 7
    assert recipe.title in catalog.description


def test_the_raster_is_a_georeferenced_velocity_fast_in_the_middle(
    done: tuple[Run, MotionRecipe, Path],
) -> None:
    from glacier_core.sources.simulated.motion import velocity_of

    _, recipe, folder = done
    with rasterio.open(folder / "velocity/place-01.tif") as file:
        assert file.descriptions == ("v", "vx", "vy", "spread", "pairs")
        assert file.crs.to_epsg() == 32643
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        speed, east, north = file.read([1, 2, 3])
        x, y = rasterio.transform.xy(file.transform, *np.mgrid[: file.height, : file.width])
    columns = np.reshape((np.array(x) - 300_000) / 10 - 0.5, speed.shape)
    rows = np.reshape((3_600_000 - np.array(y)) / 10 - 0.5, speed.shape)
    vx, vy = (part * 3652.5 for part in velocity_of(recipe.imagery, 0, rows=rows, columns=columns))  # type: ignore[arg-type]
    known = np.isfinite(speed)
    assert known.mean() > 0.5
    assert np.median(np.abs(east - vx)[known]) < 40
    assert np.median(np.abs(north + vy)[known]) < 40
    assert np.allclose(np.hypot(east, north)[known], speed[known], rtol=1e-5)


def test_a_second_run_makes_nothing_anew(done: tuple[Run, MotionRecipe, Path]) -> None:
    run, recipe, folder = done
    assert run.monitored(recipe, "small/1") == folder
    last = {note["stage"]: note for note in run.store.notes("r").values()}
    assert all(last[stage]["reused"] for stage in ("ingest", "predict", "measure", "aggregate", "report"))


# --- sets share nothing -----------------------------------------------------------------------------------------


def test_sequences_of_two_sets_share_no_image_and_no_ground() -> None:
    recipe = recipe_of(
        split={"by": "time", "train_to": "2020-07-10", "validation_to": "2020-08-20", "gap_m": 100},
        sequences={"ground": "easting"},
        imagery={"places": 1, "frames": 14, "size": 256},
    )
    kind = kind_of(recipe)
    survey = kind.survey(Step(store=Store("memory://split"), run="r", stage="s"), recipe, purpose="train", catalog="")
    unit = survey.units[0]
    assert isinstance(unit, SeriesUnit)
    times = [datetime(2020, 6, 1, tzinfo=UTC) + timedelta(days=day) for day in (0, 8, 16, 32, 40, 48, 64, 72, 80, 96)]
    times += [datetime(2020, 9, 13, tzinfo=UTC) + timedelta(days=8 * number) for number in range(4)]
    images: dict[str, set[int]] = {"train": set(), "validation": set(), "test": set(), "": set()}
    for run in runs_of(recipe, 14):
        images[part_of_run(survey.split, unit, run, times)] |= set(range(run.first, run.end))
    grounds = {part: ground_of(survey.split, unit.name, part, unit.grid)[1] for part in ("train", "validation", "test")}
    assert all(images[part] for part in grounds)
    assert not images["train"] & images["validation"]
    assert not (images["train"] | images["validation"]) & images["test"]
    assert grounds["train"].stop + 9 <= grounds["validation"].start
    assert grounds["validation"].stop + 9 <= grounds["test"].start
    assert (grounds["train"].start, grounds["test"].stop) == (0, 256)


def test_ground_too_small_for_three_sets_is_refused() -> None:
    recipe = recipe_of(
        split={"by": "time", "train_to": "2020-06-20", "validation_to": "2020-07-05"}, sequences={"ground": "northing"}
    )
    series = kind_of(recipe).series(Step(store=Store("memory://x"), run="r", stage="s"), recipe)  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="too small to be split"):
        with_ground({"by": "time", "hash": ""}, recipe, series)


def test_a_place_counts_once_however_many_sequences_it_has() -> None:
    rows = [
        {"unit": unit, "what": "frame", "time": "2020-01-01", "sensor": "", "lead": 1}
        | {metric: {"model": value, "no_change": 2 * value} for metric in ("mae", "rmse", "ssim")}
        for unit, value in (("a", 1.0), ("a", 3.0), ("b", 5.0))
    ]
    assert by_place(rows, "model") == {"a": -2.0, "b": -5.0}
    scores = scores_of(rows, recipe_of().measure)
    assert scores["model"]["mae/lead1"]["value"] == 3.0
    assert scores["baselines"]["no_change"]["mae/lead1"]["n"] == 2
    assert scores["model"]["mae/lead1@place=a"]["value"] == 2.0


def test_scores_are_told_by_resolution_and_region() -> None:
    rows = [
        {"unit": unit, "what": "frame", "time": "2020-01-01", "sensor": "", "lead": 1}
        | {"resolution": resolution, "region": region}
        | {metric: {"model": value} for metric in ("mae", "rmse", "ssim")}
        for unit, resolution, region, value in (("a", "10 m", "N30E070", 1.0), ("b", "30 m", "S50W080", 5.0))
    ]
    model = scores_of(rows, recipe_of().measure)["model"]
    assert model["mae/lead1@resolution=30 m"]["value"] == 5.0
    assert model["mae/lead1@region=N30E070"]["value"] == 1.0
    # Perito Moreno, 73.1 W 50.5 S, on a grid of UTM zone 18 S
    there = Grid("EPSG:32718", (10.0, 0.0, 634_000.0, 0.0, -10.0, 4_406_000.0), width=100, height=100)
    assert region_of(there) == "S60W080"
    assert region_of(Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), width=9, height=9)) == ""


def test_a_changed_given_velocity_is_measured_against_anew(
    done: tuple[Run, MotionRecipe, Path], tmp_path: Path
) -> None:
    run, recipe, _ = done
    profile = {"driver": "GTiff", "width": 40, "height": 40, "count": 1, "dtype": "float32", "crs": "EPSG:32643"}
    profile["transform"] = rasterio.Affine(40, 0, 300_000, 0, -40, 3_600_000)
    only = recipe.model_copy(update={"imagery": recipe.imagery.model_copy(update={"places": 1})})
    compared = parse_recipe(
        {**only.model_dump(mode="json"), "given": {"location": str(tmp_path), "files": "*.tif", "units": "m/yr"}},
        origin="test",
        kind=MotionRecipe,
    )
    biases = []
    for speed in (0.0, 50.0):
        for name in ("vx", "vy"):
            with rasterio.open(tmp_path / f"20180304-20180405_{name}.tif", "w", **profile) as file:
                file.write(np.full((40, 40), speed, np.float32), 1)
        biases.append(pd.read_csv(run.monitored(compared, "small/1") / "given.csv")["bias_x"][0])
    assert biases[0] - biases[1] == pytest.approx(50, abs=0.1)


def test_a_place_whose_images_turn_out_too_few_is_withheld(tmp_path: Path) -> None:
    for day in range(1, 7):
        values = np.random.default_rng(day).integers(1, 255, (96, 96), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"2020-01-{day:02d}.png")
    # its header is whole: only whoever reads the pixels finds out
    damaged = tmp_path / "2020-01-03.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    imagery = {"source": "frames", "files": "*.png", "bands": ["light"], "quantities": ["digital_number"]}
    recipe = frames_recipe(tmp_path, sequences={"inputs": 5, "outputs": 1}, imagery=imagery)
    run = Run(tmp_path)
    run.prepared(recipe, "train")
    told = [one for note in run.store.notes("r").values() for one in note["notes"]]
    assert [one["state"] for one in told] == ["withheld"]
    assert "5 of 6 images could be used; expected at least 6" in told[0]["reason"]


# --- what is refused --------------------------------------------------------------------------------------------


def test_metres_without_a_pixel_size_are_refused(tmp_path: Path) -> None:
    recipe = frames_recipe(tmp_path, units="m/yr")
    Run(tmp_path).refused(recipe, "nothing tells the pixel size", "imagery.pixel_size_m")


def test_a_band_that_the_images_lack_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).refused(recipe_of(shows={"ndsi": ["green", "swir16"]}), "shows band green, swir16")


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    Run(tmp_path).refused(recipe_of(sequences={"inputs": 6}), "5 images, expected at least 7")


def test_a_network_of_another_task_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).refused(recipe_of(model={"name": "unet"}), "unet", "convlstm")


def test_a_mask_that_is_not_there_is_named(done: tuple[Run, MotionRecipe, Path]) -> None:
    run, recipe, _ = done
    lost = recipe.model_copy(update={"ground": recipe.ground.model_copy(update={"glacier": "glaciers"})})
    with pytest.raises(SystemExit) as ended:
        run.monitored(lost, "small/1")
    assert ended.value.code == 2
    errors = [note["error"]["message"] for note in run.store.notes("r").values() if note["error"]]
    assert "'glaciers' is neither a mask of place-01" in errors[-1]
    assert "glacier" in errors[-1].partition("expected")[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shows": {"band": "a", "ndsi": ["a", "b"]}}, "keep one of them"),
        ({"ground": {"stable": "outside"}}, "needs 'glacier'"),
        ({"ground": {"correct": True}}, "needs 'stable'"),
        ({"tracking": {"shortest_days": 9, "longest_days": 8}}, "above longest_days"),
        ({"sequences": {"ground": "easting"}}, "split by time"),
        ({"tracking": {"template_px": 33}}, "template_px"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        recipe_of(**changes)


def test_a_velocity_field_is_no_imagery_of_motion() -> None:
    value = {"name": "x", "kind": "motion", "data": "/d", "imagery": {"source": "velocity"}}
    with pytest.raises(ConfigurationError, match="name the field in 'given'"):
        parse_recipe(value, origin="test")


def frames_recipe(folder: Path, **changes: Any) -> MotionRecipe:
    """Pictures without a georeference."""
    for day in range(1, 7):
        np.save(folder / f"2020-01-{day:02d}.npy", np.random.default_rng(day).random((96, 96)).astype(np.float32))
    value = json.loads(recipe_of().model_dump_json()) | {
        "data": str(folder),
        "imagery": {"source": "frames", "files": "*.npy", "bands": ["light"], "quantities": ["probability"]},
        "shows": {},
        "ground": {},
        "split": {"by": "time", "train_to": "2020-01-02", "validation_to": "2020-01-04"},
    }
    return parse_recipe({**value, **changes}, origin="test", kind=MotionRecipe)
