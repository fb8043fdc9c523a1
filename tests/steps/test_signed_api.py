"""The recipe `gangotri` against a STAC API with paging, faults and signed links that expire, all on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glacier_core import ExtentRecipe, Store, load_recipe, steps
from glacier_core.recipes import Simulation
from glacier_core.sources.simulated import simulate
from glacier_pipelines.choosing import RECIPES
from tests.sources.stac_server import BLOBS, Fault, StacServer, signing_by

SPEC = Simulation(seed=1002, places=1, glaciers_per_place=1, scenes_per_year=2, size=192)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "archive"
    simulate(folder, spec=SPEC, years=range(2016, 2018), season=("07-01", "09-30"))
    return folder


def items_of(archive: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(archive.rglob("*.json")):
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["type"] != "Feature":
            continue
        for asset in value["assets"].values():
            relative = (path.parent / asset["href"]).resolve().relative_to(archive.resolve())
            asset["href"] = f"{BLOBS}/{relative}"
        found.append({**value, "collection": "sentinel-2-l2a"})
    return found


def test_gangotri_reads_a_signed_api_that_falters(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(
        RECIPES / "gangotri.yaml",
        overrides=[
            f"data={json.dumps(str(archive))}",
            "years=[2016,2017]",
            'season=["07-01","09-30"]',
            "glaciers={outlines: outlines.gpkg, reference: reference.gpkg}",
            "imagery.max_cloud_percent=95",
            "batches=1",
        ],
        kind=ExtentRecipe,
    )
    with StacServer(archive, items_of(archive), page=1) as server, signing_by(server, monkeypatch):
        server.faults.extend([Fault("search", 429, headers={"Retry-After": "0"}), Fault("blob", 503, times=2)])
        store = Store(tmp_path / "store")
        common = {"store": store.url, "run": "r"}
        (batch,) = steps.plan(**common, recipe=recipe.model_dump_json(), purpose="monitor", catalog=server.api)
        server.revoke()
        ingested = steps.ingest(**common, batch=batch)
        stage, _, digest = ingested.partition("/")
        units = store.read(stage, digest).read_json("units.json")["units"]
        assert [unit["state"] for unit in units] == ["done", "done"]
        assert len(server.of("search")) > 2
        assert any(request.status == 503 for request in server.of("blob"))
        assert any(request.status == 429 for request in server.of("search"))
    (offline,) = steps.plan(**common, recipe=recipe.model_dump_json(), purpose="monitor", catalog=str(archive))
    again = steps.ingest(**common, batch=offline)
    stage, _, digest = again.partition("/")
    assert [unit["refs"] for unit in store.read(stage, digest).read_json("units.json")["units"]] == [
        unit["refs"] for unit in units
    ]
