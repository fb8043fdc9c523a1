"""The recipe `parvati-motion` against a STAC API with signed links, on loopback: NDSI sequences of scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glacier_core import MotionRecipe, Store, load_recipe, steps
from glacier_core.recipes import Simulation
from glacier_core.samples.frame_sequences import FrameScale, FrameSequences, FrameWindow, Shown
from glacier_core.sources.simulated import simulate
from glacier_pipelines.choosing import RECIPES
from tests.sources.stac_server import StacServer, signing_by
from tests.steps.test_signed_api import items_of

SPEC = Simulation(seed=1002, places=1, glaciers_per_place=1, scenes_per_year=6, size=192)


def test_parvati_makes_sequences_of_ndsi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    simulate(archive, spec=SPEC, years=range(2016, 2019), season=("07-01", "09-30"))
    recipe = load_recipe(
        RECIPES / "parvati-motion.yaml",
        overrides=[
            f"data={json.dumps(str(archive))}",
            "imagery.collection=sentinel-2-l2a",
            "imagery.bands=[B03,B11]",
            "imagery.mask=SCL",
            "imagery.max_cloud_percent=100",
            "shows={ndsi: [B03, B11], floor: 0}",
            "years=[2016,2018]",
            'season=["07-01","09-30"]',
            "box=null",
            "glaciers={outlines: outlines.gpkg}",
            "grid={}",
            "coregistration={band: B03, largest_error_px: 1.0}",
            "sequences={inputs: 2, outputs: 1, least_seen: 0.05}",
            "split={by: time, train_to: 2016-12-31, validation_to: 2017-12-31}",
            "training.chip=32",
            "batches=1",
        ],
        kind=MotionRecipe,
    )
    store = Store(tmp_path / "store")
    common = {"store": store.url, "run": "r"}
    with StacServer(archive, items_of(archive), page=2) as server, signing_by(server, monkeypatch):
        (batch,) = steps.plan(**common, recipe=recipe.model_dump_json(), purpose="train", catalog=server.api)
        prepared = steps.prepare(**common, ingested=steps.ingest(**common, batch=batch))
        sampled = steps.sample(**common, labelled=[steps.label(**common, prepared=prepared)])
    stage, _, digest = sampled.partition("/")
    stage, _, digest = store.read(stage, digest).read_json("chain.json")["sample"].partition("/")
    samples = store.read(stage, digest).read_json("samples.json")
    assert samples["train"]
    assert samples["validation"]
    assert -0.1 < samples["scale"]["centre"] < 1
    source = FrameSequences(
        [FrameWindow.from_json(window) for window in samples["train"]],
        shown=Shown(**{**samples["shown"], "bands": tuple(samples["shown"]["bands"])}),
        inputs=2,
        size=32,
        scale=FrameScale(**samples["scale"]),
    )
    values = source.values(source.windows[0])
    assert values.shape == (3, 32, 32)
    assert np.nanmin(values) >= 0
    assert np.nanmax(values) <= 1
    assert np.isfinite(source[0].past).all()
