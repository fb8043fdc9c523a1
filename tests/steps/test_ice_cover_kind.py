"""The kind `ice_cover` through all stages, on simulated sea ice; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import xarray as xr
import yaml

from glacier_core import Store, parse_recipe, steps
from glacier_core.errors import ConfigurationError
from glacier_core.grids import Grid
from glacier_core.measure.ice_cover import BASELINES, MonthlySeries, fit_climate, month_number
from glacier_core.recipes import IceCoverRecipe
from glacier_core.steps.kinds import kind_of
from glacier_core.steps.kinds.ice_cover.fields import KNOWN, PAST, Fields, Window
from glacier_core.steps.kinds.ice_cover.folds import blocks_of, scale_of, training_sequences
from glacier_core.steps.kinds.ice_cover.regions import Region
from glacier_pipelines.choosing import RECIPES


def recipe_of(**changes: Any) -> IceCoverRecipe:
    value = yaml.safe_load((RECIPES / "simulated-ice-cover.yaml").read_text(encoding="utf-8"))
    value |= {"name": "small", "leads": 2, "lookback": 3, "members": 10, "hindcasts": 13, "held_out_years": 3}
    value["imagery"] |= {"years": 18, "size": 40, **changes.pop("imagery", {})}
    value["model"] |= {"width": 4, "depth": 2, **changes.pop("model", {})}
    value["training"] |= {"chip": 32, "batch": 2, "epochs": 1, "steps_per_epoch": 3, "precision": "fp32"}
    value["split"] = {"by": "time", "train_to": "1988-12-31", "validation_to": "1989-12-31"}
    value["measure"] = {"resamples": 100}
    return parse_recipe({**value, **changes}, origin="test", kind=IceCoverRecipe)


class Run:
    """The stages of a run in this process, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.common = {"store": self.store.url, "run": "r"}

    def prepared(self, recipe: IceCoverRecipe, purpose: str, model: str = "") -> list[str]:
        batches = steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        ingested = [steps.ingest(**self.common, batch=batch) for batch in batches]
        return [steps.prepare(**self.common, ingested=found) for found in ingested]

    def trained(self, recipe: IceCoverRecipe) -> str:
        labelled = [steps.label(**self.common, prepared=found) for found in self.prepared(recipe, "train")]
        sampled = steps.sample(**self.common, labelled=labelled)
        evaluated = steps.evaluate(**self.common, trained=steps.train(**self.common, sampled=sampled))
        gated = steps.gate(**self.common, registered=steps.register(**self.common, evaluated=evaluated))
        return steps.promote(**self.common, gated=gated)

    def monitored(self, recipe: IceCoverRecipe, model: str) -> Path:
        predicted = [steps.predict(**self.common, prepared=found) for found in self.prepared(recipe, "monitor", model)]
        measured = [steps.measure(**self.common, predicted=found) for found in predicted]
        return Path(steps.report(**self.common, aggregated=steps.aggregate(**self.common, measured=measured)))

    def scores(self) -> dict[str, Any]:
        found = next(note["facts"] for note in self.store.notes("r").values() if "baselines" in note["facts"])
        return dict(found)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, IceCoverRecipe, Path]:
    """The products of a model that was trained a little."""
    run, recipe = Run(tmp_path_factory.mktemp("ice-cover")), recipe_of()
    run.trained(recipe)
    return run, recipe, run.monitored(recipe, "small/1")


def test_every_lead_is_scored_beside_every_baseline_in_blocks_of_twelve_months(
    done: tuple[Run, IceCoverRecipe, Path],
) -> None:
    scores = done[0].scores()
    assert set(scores["baselines"]) == set(BASELINES)
    for lead in (1, 2):
        for metric in ("mae", "rmse", "r2", "ssim", "iiee", "crps", "spread_skill", "coverage", "rmse_against_best"):
            score = scores["scores"][f"{metric}/lead{lead}"]
            assert np.isfinite(score["value"]), metric
            assert score["n"] == 8
            assert score["low"] <= score["value"] <= score["high"]
    assert "rmse/lead1@season=DJF" in scores["scores"]
    rmse = scores["scores"]["rmse/lead1"]["value"]
    assert rmse < scores["baselines"]["persistence"]["rmse/lead1"]["value"]


def test_products_are_files_that_others_open(done: tuple[Run, IceCoverRecipe, Path]) -> None:
    _, recipe, folder = done
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Sea ice cover, not glacier area" in text
    table = pd.read_csv(folder / "forecasts.csv")
    assert list(table["lead"]) == [1, 2]
    assert (table["extent_low"] <= table["extent_high"]).all()
    with rasterio.open(folder / "forecast" / "simulated_sea_ice-lead1.tif") as file:
        layers = dict(zip(file.descriptions, file.read(), strict=True))
        area = float(np.nansum(layers["forecast"])) * 625 / 1e6
        assert file.tags()["lead_months"] == "1"
    assert area == pytest.approx(table["area"][0], rel=0.1)
    known = np.isfinite(layers["low"])
    assert (layers["low"][known] <= layers["high"][known] + 1e-6).all()
    with xr.open_dataset(folder / "forecast" / "simulated_sea_ice.nc", engine="h5netcdf") as data:
        assert data.sizes["member"] == recipe.members
        assert str(data["time"].values[0])[:7] == table["target"][0]
        assert np.nanmax(np.abs(data["forecast"][0] - layers["forecast"])) < 2e-3
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    assert sorted(item.properties["glacier:lead_months"] for item in catalog.get_items()) == [1, 2]
    hindcasts = pd.read_csv(folder / "hindcasts.csv")
    assert set(hindcasts["lead"]) == {1, 2}
    assert hindcasts["issue"].min() >= "1989-12"


def region_of(values: np.ndarray, *, train: int, validation: int, targets: range = range(1, 13)) -> Region:
    """A region of 8 x 8 cells from 1980 on, in periods of so many years."""
    series = MonthlySeries(month_number("1980-01"), values.astype(np.float32))
    parts = tuple(
        "train" if year < 1980 + train else "validation" if year < 1980 + train + validation else "test"
        for year in series.years
    )
    grid = Grid("EPSG:3411", (25_000.0, 0.0, 0.0, 0.0, -25_000.0, 0.0), width=8, height=8)
    cells = np.arange(values.shape[1])
    area = np.full(len(cells), 600.0)
    land = np.zeros((8, 8), bool)
    return Region("here", grid, "ice_fraction", "ice_fraction", series, cells, area, parts, frozenset(targets), land)


def test_training_sees_nothing_of_what_it_forecasts_nor_of_later_periods() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((16 * 12, 64), np.float32)
    recipe = recipe_of()
    other = values.copy()
    other[12 * 12 :] = rng.random(other[12 * 12 :].shape, np.float32)
    sequences = []
    for each in (values, other):
        region = region_of(each, train=12, validation=2)
        assert len(blocks_of(region, years_at_once=3)) == 4
        sequences.append(training_sequences(region, recipe, bases=("climatology", "trend"), scale=scale_of(region)))
    assert len(sequences[0]) == len(sequences[1]) > 90
    for number in (0, 50, len(sequences[0]) - 1):
        one, two = sequences[0][number], sequences[1][number]
        for name in ("past", "known", "base", "future", "weight"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
    # the base of a block does not know the block
    changed = values.copy()
    changed[6 * 12 : 9 * 12] = 1 - changed[6 * 12 : 9 * 12]
    hidden = training_sequences(region_of(changed, train=12, validation=2), recipe, bases=("climatology",) * 2, scale=1)
    plain = training_sequences(region_of(values, train=12, validation=2), recipe, bases=("climatology",) * 2, scale=1)
    middle = len(plain) * 5 // 8
    assert np.array_equal(hidden[middle].base, plain[middle].base)
    assert not np.array_equal(hidden[middle].future, plain[middle].future)


def test_a_sample_has_the_channels_that_are_named_and_leaves_out_what_was_not_seen() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((14 * 12, 64), np.float32)
    values[100] = np.nan
    region = region_of(values, train=12, validation=1, targets=range(4, 13))
    climate = fit_climate(region.series, region.taught, leads=3)
    fields = Fields(region, climate, bases=("trend",) * 3, scale=0.2)
    window = Window(slice(0, 8), slice(2, 8))
    sample = fields.sample(99, lookback=5, window=window)
    assert sample.past.shape == (5, len(PAST), 8, 6)
    assert sample.known.shape == (3, len(KNOWN), 8, 6)
    assert [float(one.max()) for one in sample.weight] == [0, 1, 1]  # May 1988 was not seen
    assert region.series.name(100) == "1988-05"
    wanted = region.on_grid(region.series.values_NP[101], window) / np.float32(0.2)
    assert np.allclose(sample.future[1, 0], wanted)
    assert fields.sample(94, lookback=5, window=window).weight.max(axis=(1, 2, 3)).tolist() == [1, 0, 0]
    field = np.asarray(rng.random((3, 64)), np.float32)
    assert np.array_equal(region.of_grid(region.on_grid(field), Window(slice(0, 8), slice(0, 8))), field)


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    recipe = recipe_of(
        lookback=50,
        leads=2,
        imagery={"years": 8},
        split={"by": "time", "train_to": "1981-12-31", "validation_to": "1984-12-31"},
    )
    with pytest.raises(SystemExit) as ended:
        run.trained(recipe)
    assert ended.value.code == 2
    message = [note["error"]["message"] for note in run.store.notes("r").values() if note["error"]][-1]
    assert "too few frames" in message
    assert "\n" not in message


def test_models_of_another_kind_are_refused_and_so_are_wrong_recipes(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run.trained(recipe_of(model={"name": "unet"}))
    assert ended.value.code == 2
    message = [note["error"]["message"] for note in run.store.notes("r").values() if note["error"]][-1]
    assert "unet" in message
    with pytest.raises(ConfigurationError, match="target_months"):
        recipe_of(target_months=[0, 13])
    with pytest.raises(ConfigurationError, match="yearly"):
        recipe_of(composite="yearly")
    with pytest.raises(ConfigurationError, match="members"):
        recipe_of(members=5)


def test_the_gate_compares_blocks_of_twelve_months() -> None:
    rows = [
        {"unit": f"here from {year}", "lead": lead, "sums": {who: {"squared": error, "area": 1.0}}}
        for year in (2000, 2001)
        for lead, error in ((1, 0.01), (2, 0.04))
        for who in ("model",)
    ]
    found = kind_of("ice_cover").contest(rows, "model")
    assert found == {"here from 2000": pytest.approx(-0.15), "here from 2001": pytest.approx(-0.15)}
    assert json.loads(json.dumps(found)) == found


def test_the_antarctic_recipe_takes_any_folder_of_the_sea_ice_index(tmp_path: Path) -> None:
    folder = tmp_path / "south"
    folder.mkdir()
    rng = np.random.default_rng(0)
    grid = Grid("EPSG:3412", (25_000.0, 0.0, -500_000.0, 0.0, -25_000.0, 500_000.0), width=40, height=40)
    distance = np.hypot(*np.meshgrid(np.arange(40) - 19.5, np.arange(40) - 19.5))
    for number in range(11 * 12):
        edge = 12 - 5 * np.cos(2 * np.pi * (number % 12 - 1) / 12) + rng.normal(0, 0.5)
        values = np.where(distance < 3, 2540, np.clip(1000 * (edge - distance) / 3, 0, 1000)).astype(np.uint16)
        name = f"S_{1980 + number // 12}{number % 12 + 1:02d}_concentration_v3.0.tif"
        options = {"width": 40, "height": 40, "count": 1, "dtype": "uint16", "crs": grid.crs}
        with rasterio.open(folder / name, "w", driver="GTiff", transform=grid.affine(), **options) as file:
            file.write(values, 1)
    value = yaml.safe_load((RECIPES / "antarctic-ice-cover.yaml").read_text(encoding="utf-8"))
    value |= {"data": str(folder), "leads": 2, "lookback": 3, "held_out_years": 3}
    value["imagery"].pop("cache")
    value["split"] = {"by": "time", "train_to": "1988-12-31", "validation_to": "1989-12-31"}
    run, recipe = Run(tmp_path), parse_recipe(value, origin="test", kind=IceCoverRecipe)
    labelled = [steps.label(**run.common, prepared=found) for found in run.prepared(recipe, "train")]
    samples = run.store.read(*steps.sample(**run.common, labelled=labelled).split("/"))
    chain = samples.read_json("chain.json") if "chain.json" in samples.files() else {"sample": ""}
    stage, _, digest = str(chain["sample"]).partition("/")
    found = run.store.read(stage, digest).read_json("samples.json")
    assert found["months"] == {"train": 108, "validation": 12, "test": 12}
    assert len(found["bases"]) == 2
    assert 0 < found["scale"] < 0.3
