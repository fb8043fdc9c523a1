"""The whole way, from a recipe to the products, as a user goes it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import jsonschema
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import xarray as xr

from glacier_pipelines.choosing import RECIPES
from tests.pipelines.commands import Finished, run_json

pytestmark = pytest.mark.xdist_group("pipeline")
SCHEMA = json.loads((RECIPES.parent / "schema" / "result.json").read_text(encoding="utf-8"))


def products(finished: Finished) -> Path:
    return Path(finished.result["report"]).parent


def test_the_result_fits_its_schema(finished: Finished) -> None:
    result = finished.result
    jsonschema.validate(result, SCHEMA)
    assert result["recipe"] == "tiny"
    assert result["units"] == {"done": 12, "failed": 0, "withheld": 0}
    # one test glacier: no interval, and so no automatic promotion
    assert result["model"] == {"name": "tiny", "version": "1", "alias": ""}
    assert result["scores"]["iou/glacier"]["low"] is None
    assert {"ndsi_0.4", "ndsi_tuned"} <= result["baselines"].keys()
    assert result["reused"] == []


def test_progress_goes_to_standard_error(finished: Finished) -> None:
    assert "[train] epoch" in finished.stderr
    assert "KFP Executor" not in finished.stderr


def test_every_product_is_there_and_opens(finished: Finished) -> None:
    folder = products(finished)
    areas = pd.read_csv(folder / "glacier_area_by_year.csv")
    assert {
        "glacier_id",
        "year",
        "area_km2",
        "area_low_km2",
        "area_high_km2",
        "clear_fraction",
        "scenes",
        "model",
        "flags",
    } <= set(areas.columns)
    assert len(areas) == 12
    assert (areas["area_low_km2"] <= areas["area_km2"]).all()
    assert (areas["area_km2"] <= areas["area_high_km2"]).all()
    assert areas["flags"].str.contains("unpromoted").all()
    for name in ("glacier_retreat_graph.png", "glacier_retreat_timelapse.gif", "report.html"):
        assert (folder / name).stat().st_size > 1000
    outlines = geopandas.read_file(folder / "outlines.gpkg")
    assert outlines.crs is not None
    assert {"rgi_id", "src_date", "area_km2"} <= set(outlines.columns)
    assert len(geopandas.read_parquet(folder / "outlines.parquet")) == len(outlines)
    masks = sorted((folder / "masks").rglob("*.tif"))
    assert len(masks) == 12
    with rasterio.open(masks[0]) as mask:
        assert mask.crs.to_epsg() == 32645
    catalog = pystac.read_file(str(folder / "catalog.json"))
    assert isinstance(catalog, pystac.Catalog)
    items = list(catalog.get_items(recursive=True))
    assert items
    for item in items:
        assert all(Path(asset.get_absolute_href() or "").exists() for asset in item.assets.values())


def test_masks_and_table_agree(finished: Finished) -> None:
    folder = products(finished)
    areas = pd.read_csv(folder / "glacier_area_by_year.csv")
    clear = areas[areas["clear_fraction"] > 0.999]
    for row in clear.itertuples():
        with rasterio.open(folder / "masks" / str(row.glacier_id) / f"{row.year}.tif") as mask:
            counted = float(np.sum(mask.read(1) == 1)) * abs(mask.transform.a * mask.transform.e) / 1e6
        assert counted == pytest.approx(row.area_km2, rel=2e-3, abs=1e-4)


def test_cubes_open_georeferenced_in_xarray(finished: Finished) -> None:
    stage = Path(finished.store.url.removeprefix("file://")) / "stages" / "prepare"
    cube = next(stage.rglob("image.zarr"))
    dataset = xr.open_zarr(cube, decode_coords="all", chunks=None)
    assert dataset["imagery"].dims == ("time", "band", "y", "x")
    assert "crs_wkt" in dataset["spatial_ref"].attrs
    assert 0 < float(dataset["imagery"].mean()) < 1.5


def test_a_second_run_makes_nothing_again(finished: Finished, tiny_recipe: Path) -> None:
    code, again, stderr = run_json(["run", str(tiny_recipe), "--store", finished.store.url], tiny_recipe.parent)
    assert code == 0, stderr
    assert again["products"] == finished.result["products"]
    made = set(again["seconds"]) - set(again["reused"])
    assert made == {"plan", "promote"}


def test_the_page_about_the_training_is_delivered(finished: Finished) -> None:
    pages = [Path(folder) / "training.html" for folder in finished.result["products"]]
    assert any(page.exists() for page in pages)


def test_an_unpromoted_version_monitors_when_named(finished: Finished, tiny_recipe: Path) -> None:
    code, result, stderr = run_json(
        ["monitor", str(tiny_recipe), "--store", finished.store.url, "--model", "tiny/1"], tiny_recipe.parent
    )
    assert code == 0, stderr
    assert result["model"] == finished.result["model"]
    code, _, stderr = run_json(["monitor", str(tiny_recipe), "--store", finished.store.url], tiny_recipe.parent)
    assert code == 2
    assert "champion" in stderr.strip().splitlines()[-1]


def test_evaluate_scores_a_model_on_other_data(finished: Finished, tiny_recipe: Path, tmp_path: Path) -> None:
    from glacier_core import ExtentRecipe, load_recipe
    from glacier_core.sources.simulated import simulate

    recipe = load_recipe(
        tiny_recipe, overrides=["imagery.simulation.seed=1001", "imagery.simulation.places=1"], kind=ExtentRecipe
    )
    assert recipe.imagery.simulation is not None
    simulate(tmp_path / "other", spec=recipe.imagery.simulation, years=recipe.year_range(), season=recipe.season)
    code, result, stderr = run_json(
        [
            "evaluate",
            str(tiny_recipe),
            *("--model", "tiny/1", "--data", str(tmp_path / "other"), "--store", finished.store.url),
        ],
        tiny_recipe.parent,
    )
    assert code == 0, stderr
    jsonschema.validate(result, SCHEMA)
    assert result["scores"]["iou/glacier"]["n"] == 1
    assert result["units"]["done"] == 3


def test_a_later_version_is_held_against_the_champion(finished: Finished, tiny_recipe: Path) -> None:
    from glacier_core.steps.models import open_registry

    registry = open_registry(finished.store)
    registry.promote(registry.resolve("tiny/1"), by="a person", why="the first that there is")
    code, trained, stderr = run_json(
        ["train", str(tiny_recipe), "--store", finished.store.url, "--set", "training.seed=1"], tiny_recipe.parent
    )
    assert code == 0, stderr
    # one test glacier decides nothing: the champion stays
    assert trained["model"] == {"name": "tiny", "version": "2", "alias": "challenger"}
    assert {"ingest", "prepare", "label", "sample"} <= set(trained["reused"])
    code, monitored, stderr = run_json(["monitor", str(tiny_recipe), "--store", finished.store.url], tiny_recipe.parent)
    assert code == 0, stderr
    assert monitored["model"] == {"name": "tiny", "version": "1", "alias": "champion"}
    areas = pd.read_csv(Path(monitored["report"]).parent / "glacier_area_by_year.csv")
    assert not areas["flags"].fillna("").str.contains("unpromoted").any()
