"""The kind `classes` through all stages on a few small images, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio

from glacier_core import Grid, Store, steps
from glacier_core.errors import ConfigurationError
from glacier_core.recipes import ClassesRecipe, parse_recipe
from glacier_core.steps.kinds import kind_of
from glacier_core.units import SeriesUnit

Make = Callable[..., ClassesRecipe]
SIDE = 32
CLASSES = ["rock", "ice", "snow"]
BRIGHT = np.array([[0.15, 0.2, 0.25], [0.45, 0.35, 0.05], [0.8, 0.7, 0.1]])
"""green, nir and swir1 of each class."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five places in three years: ice that shrinks around the middle, snow at the top, rock elsewhere."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for place in range(5):
        for year in range(2020, 2023):
            codes = np.zeros((SIDE, SIDE), np.uint8)
            codes[np.hypot(rows - 16, columns - 16) < 11 + place % 2 - (year - 2020)] = 1
            codes[rows < 5 + place] = 2
            pixels = BRIGHT[codes] + rng.normal(0, 0.01, (SIDE, SIDE, 3))
            pixels[28:, :4] = np.nan
            np.save(tmp_path / f"p{place}_{year}-08-15.npy", pixels.astype(np.float32))
            np.save(tmp_path / f"truth_p{place}_{year}.npy", codes + 10)
    return tmp_path


@pytest.fixture
def make(images: Path) -> Make:
    def made(**changes: Any) -> ClassesRecipe:
        value: dict[str, Any] = {
            "name": "surfaces",
            "kind": "classes",
            "data": str(images),
            "imagery": {
                "source": "frames",
                "files": "p*.npy",
                "bands": ["green", "nir", "swir1"],
                "quantities": ["reflectance"],
                "place_pattern": "^(p[0-9])_",
                "pixel_size_m": 30,
            },
            "classes": CLASSES,
            "labels": {"raster": "truth_{place}_{year}.npy", "codes": {10: "rock", 11: "ice", 12: "snow"}},
            "features": {"indices": ["ndsi"]},
            "split": {"by": "named", "validation_places": ["p3"], "test_places": ["p4"]},
            "model": {"name": "unet", "width": 4, "depth": 1},
            "training": {"chip": 32, "batch": 4, "epochs": 3, "steps_per_epoch": 25, "learning_rate": 0.02},
            "measure": {"resamples": 100},
            **changes,
        }
        return parse_recipe(value, origin="test", kind=ClassesRecipe)

    return made


class Run:
    """The stages of a run in this process."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.common = {"store": self.store.url, "run": "r"}

    def prepared(self, recipe: ClassesRecipe, purpose: str, model: str = "") -> list[str]:
        batches = steps.plan(**self.common, recipe=recipe.model_dump_json(), purpose=purpose, model=model)
        ingested = [steps.ingest(**self.common, batch=batch) for batch in batches]
        return [steps.prepare(**self.common, ingested=found) for found in ingested]

    def sampled(self, recipe: ClassesRecipe) -> str:
        labelled = [steps.label(**self.common, prepared=found) for found in self.prepared(recipe, "train")]
        return steps.sample(**self.common, labelled=labelled)

    def trained(self, recipe: ClassesRecipe) -> str:
        evaluated = steps.evaluate(**self.common, trained=steps.train(**self.common, sampled=self.sampled(recipe)))
        gated = steps.gate(**self.common, registered=steps.register(**self.common, evaluated=evaluated))
        return steps.promote(**self.common, gated=gated)

    def monitored(self, recipe: ClassesRecipe, model: str) -> Path:
        predicted = [steps.predict(**self.common, prepared=found) for found in self.prepared(recipe, "monitor", model)]
        measured = [steps.measure(**self.common, predicted=found) for found in predicted]
        return Path(steps.report(**self.common, aggregated=steps.aggregate(**self.common, measured=measured)))

    def read(self, reference: str) -> Any:
        stage, _, digest = reference.partition("/")
        return self.store.read(stage, digest)

    def chain(self, reference: str) -> dict[str, Any]:
        return dict(self.read(reference).read_json("chain.json"))

    def refused(self, do: Callable[[], object], *said: str) -> None:
        with pytest.raises(SystemExit) as ended:
            do()
        assert ended.value.code == 2
        found = [note["error"]["message"] for note in self.store.notes("r").values() if note["error"]]
        assert all("\n" not in message for message in found)
        for text in said:
            assert text in found[-1], found[-1]


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("GLACIER_TRACKING", raising=False)
    return Run(tmp_path_factory.mktemp("run"))


def test_images_become_class_maps_areas_and_change(bench: Run, make: Make) -> None:
    recipe = make(dates=2, members=2, views=8)
    chain = bench.chain(bench.trained(recipe))
    samples = bench.read(chain["sample"]).read_json("samples.json")
    # fitted on training places alone
    assert {chip["image"] for chip in samples["chips"]["train"]}.isdisjoint(
        chip["image"] for chip in samples["chips"]["validation"]
    )
    assert samples["normalisation"]["bands"][0] == "green@-1"
    assert samples["normalisation"]["bands"][4:] == ["green", "nir", "swir1", "ndsi"]
    scores = bench.read(chain["evaluate"]).read_json("scores.json")
    assert scores["model"]["iou/mean"]["value"] > 0.85
    assert {"majority", "nearest_mean", "maximum_likelihood"} == set(scores["baselines"])
    assert {"weights.safetensors", "member-1.safetensors"} <= set(bench.read(chain["model"]).files())

    folder = bench.monitored(recipe, "surfaces/1")
    areas = pd.read_csv(folder / "areas.csv")
    assert set(areas["area_unit"]) == {"km2"}
    seen = areas[areas["series"] == "p4"].groupby("period")["area"].sum()
    assert seen.to_numpy() == pytest.approx((SIDE**2 - 16) * 9e-4, rel=1e-6)
    ice = areas[(areas["class"] == "ice") & (areas["series"] == "p4")].set_index("period")["area"]
    assert ice[2022] < ice[2020]
    changes = pd.read_csv(folder / "changes.csv")
    # from each year to the next, and from the first to the last
    assert set(zip(changes["from_period"], changes["to_period"], strict=True)) == {
        (2020, 2021),
        (2021, 2022),
        (2020, 2022),
    }
    with rasterio.open(folder / "series" / "p4" / "classes_2022.tif") as raster:
        assert set(np.unique(raster.read(1))) <= {0, 1, 2, 255}
        assert raster.colormap(1)[1] == (86, 180, 233, 255)
        assert raster.tags()["classes"] == "0 rock; 1 ice; 2 snow"
    for name in ("areas.png", "change_2020_2022.png", "transitions_2020_2022.png", "classes.gif", "classes_2021.png"):
        assert (folder / "series" / "p4" / name).stat().st_size > 1000
    item = json.loads((folder / "items" / "p4-2022.json").read_text(encoding="utf-8"))
    assert item["geometry"] is None
    assert item["properties"]["glacier:area_km2:ice"] == pytest.approx(ice[2022], abs=1e-6)
    assert "no glacier inventory" in (folder / "report.html").read_text(encoding="utf-8")


def test_images_without_a_pixel_size_give_areas_in_pixels(make: Make) -> None:
    from glacier_core.grids import Grid
    from glacier_core.steps.kinds.classes.measuring import area_unit, pixel_sizes

    grid = Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 4.0), width=5, height=4)
    imagery = {**make().imagery.model_dump(), "pixel_size_m": None}
    recipe = make(imagery=imagery)
    assert area_unit(grid, recipe) == "px"
    assert pixel_sizes(grid, recipe).sum() * 5 == 20
    assert area_unit(grid, make()) == "km2"


def test_a_class_that_never_occurs_ends_the_run_in_one_line(bench: Run, make: Make) -> None:
    labels = {"raster": "truth_{place}_{year}.npy", "codes": {10: "rock", 11: "ice"}}
    bench.refused(lambda: bench.sampled(make(labels=labels)), "the class snow never occurs", "labels.optional")
    bench.sampled(make(labels={**labels, "optional": ["snow"]}))


def test_an_image_without_a_raster_is_unlabelled_and_a_series_without_any_is_withheld(
    bench: Run, make: Make, images: Path
) -> None:
    (images / "truth_p0_2021.npy").unlink()
    for path in images.glob("truth_p1_*"):
        path.unlink()
    (manifest,) = [steps.label(**bench.common, prepared=found) for found in bench.prepared(make(batches=1), "train")]
    found = {entry["unit"]: entry for entry in bench.read(manifest).read_json("units.json")["units"]}
    assert {name for name, entry in found.items() if entry["state"] == "done"} == {"p0", "p2", "p3", "p4"}
    assert found["p1"]["state"] == "withheld"
    assert "no labelled pixel: truth_p1_2020.npy is not there" in found["p1"]["reason"]
    told = bench.read(found["p0"]["refs"]["label"]).read_json("labels.json")
    assert [sum(image["counts"]) > 0 for image in told] == [True, False, True]


def test_simulated_truth_and_heights_are_read_from_a_store_that_is_no_folder(tmp_path: Path) -> None:
    from glacier_core.cube import IMAGERY, create_cube, open_pixels
    from glacier_core.steps.kinds.classes.featuring import FEATURES, prepared
    from glacier_core.steps.kinds.classes.labelling import LABELS, Labeller
    from glacier_core.steps.kinds.classes.truths import simulated_truth
    from glacier_core.steps.running import Step

    value = {
        "name": "twin",
        "kind": "classes",
        "years": [2020, 2020],
        "season": ["08-01", "08-31"],
        "imagery": {
            "source": "simulated",
            "simulation": {"seed": 1, "places": 1, "glaciers_per_place": 1, "scenes_per_year": 1, "size": 128},
            "bands": ["B03", "B11"],
        },
        "classes": ["rock", "vegetation", "water", "debris", "ice", "snow"],
        "terrain": {"features": ["elevation"]},
    }
    recipe = parse_recipe(value, origin="test", kind=ClassesRecipe)
    step = Step(store=Store(f"memory://{tmp_path.name}"), run="r", stage="label", kind="classes")
    _, _, digest = simulated_truth(step, recipe).partition("/")
    truth = step.store.read("simulate", digest)
    (scene,) = [Path(name).stem for name in truth.files() if name.startswith("classes/")]
    with truth.local() as folder, rasterio.open(folder / "classes" / f"{scene}.tif") as raster:
        codes = raster.read(1)
        grid = Grid(crs=str(raster.crs), transform=tuple(raster.transform)[:6], width=128, height=128)
    with step.store.attempt("cube", "c") as attempt:
        writer = create_cube(
            attempt.path("cube.zarr"),
            grid=grid,
            times=np.array(["2020-08-15"], "datetime64[ns]"),
            bands=["B03", "B11"],
            packing=None,
            labels={"frame": [scene]},
            attrs={"quantities": '["reflectance", "reflectance"]'},
        )
        with writer:
            writer.write(slice(1), slice(None), slice(None), np.full((1, 2, 128, 128), 0.5, np.float32))
        attempt.publish(part={}, inputs=[], version=1)
    plan: Any = SimpleNamespace(recipe=recipe, shared={"catalog": ""})
    unit = SeriesUnit(name="t", place=0, part="train", grid=grid, frames=(scene,), times=("2020-08-15T00:00:00Z",))
    entry = {"refs": {"ingest": "cube/c"}}
    labelled = step.read(Labeller(step, plan).unit(unit, entry))
    assert np.array_equal(open_pixels(labelled.path(LABELS)).read(IMAGERY)[0, 0], codes)
    pixels = open_pixels(step.read(prepared(step, plan, unit, entry)).path(FEATURES))
    assert pixels.bands == ("B03", "B11", "elevation")
    assert np.isfinite(pixels.physical(bands=("elevation",))).all()


def test_places_that_overlap_may_not_serve_two_sets(bench: Run, make: Make) -> None:
    recipe = make(overlapping=[["p2", "p4"]])
    bench.refused(lambda: bench.prepared(recipe, "train"), "the split leaks")


def test_a_band_that_the_images_lack_and_one_that_an_index_needs_are_named(bench: Run, make: Make) -> None:
    bench.refused(lambda: bench.prepared(make(features={"indices": ["ndvi"]}), "train"), "red", "features.common_names")


def test_a_model_of_other_classes_dates_or_channels_does_not_fit(make: Make) -> None:
    kind = kind_of("classes")
    spec = {"classes": CLASSES, "extra": {"dates": 1, "channels": ["green", "nir", "swir1", "ndsi"]}}
    kind.check_model(spec, make())
    with pytest.raises(ConfigurationError, match="knows the classes other"):
        kind.check_model({**spec, "classes": ["other", "ice", "snow"]}, make())
    with pytest.raises(ConfigurationError, match="sees 1 images"):
        kind.check_model(spec, make(dates=3))
    with pytest.raises(ConfigurationError, match="needs ndsi"):
        kind.check_model(spec, make(features={"indices": ["ndwi"]}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ["rock", "ice", "ice"]}, "names one twice"),
        ({"classes": ["rock", "ice"]}, "snow, which classes does not list"),
        ({"labels": {}}, "labels name no truth"),
        ({"labels": {"outlines": "a.gpkg", "mask": "mask"}}, "keep one of them"),
        ({"labels": {"raster": "a.tif"}}, "go together"),
        ({"features": {"bands": ["red"]}}, "red, which the imagery lacks"),
        ({"terrain": {}}, "needs 'files'"),
        ({"terrain": {"files": "d.tif", "features": []}}, "leave it out"),
        ({"terrain": {"files": "d.tif", "features": ["aspect"]}}, "does not turn with the image"),
        ({"overlapping": [["p1", "p2"], ["p2", "p3"]]}, "two groups"),
    ],
)
def test_recipes_that_make_no_sense_say_why(make: Make, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make(**changes)
