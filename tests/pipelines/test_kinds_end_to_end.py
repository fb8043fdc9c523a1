"""Every kind of work the whole way on its simulated twin, as a user goes it, with as little training as can be."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pystac
import pytest

from glacier_core import load_recipe
from glacier_core.steps.kinds import kind_of
from glacier_pipelines.choosing import RECIPES
from tests.pipelines.commands import run_json

TWINS = ("simulated-classes", "simulated-front", "simulated-motion", "simulated-ice-cover")
SCHEMA = json.loads((RECIPES.parent / "schema" / "result.json").read_text(encoding="utf-8"))
LITTLE = ("--set", "training.epochs=1", "--set", "training.steps_per_epoch=2", "--set", "measure.resamples=100")


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_goes_the_whole_way(twin: str, tmp_path: Path) -> None:
    kind = kind_of(load_recipe(RECIPES / f"{twin}.yaml"))
    code, result, stderr = run_json(["run", twin, "--store", "store", *LITTLE], tmp_path)
    assert code == 0, stderr
    jsonschema.validate(result, SCHEMA)
    assert result["scores"][kind.headline]["value"] is not None
    assert any(kind.headline in found for found in result["baselines"].values())
    assert result["units"]["done"] > 0
    page = Path(result["report"])
    assert page.stat().st_size > 10_000
    catalog = pystac.read_file(str(page.parent / "catalog.json"))
    assert isinstance(catalog, pystac.Catalog)
    assert list(catalog.get_items(recursive=True))

    code, again, stderr = run_json(["run", twin, "--store", "store", *LITTLE], tmp_path)
    assert code == 0, stderr
    # `prepare` and `label` are nothing of their own where the cube itself is what they give
    assert set(again["seconds"]) - set(again["reused"]) <= {"plan", "promote", "prepare", "label"}

    code, scored, stderr = run_json(["evaluate", twin, "--model", f"{twin}/1", "--store", "store", *LITTLE], tmp_path)
    assert code == 0, stderr
    jsonschema.validate(scored, SCHEMA)
    # of the data that it was trained on, what it has not seen is what it was tested on
    assert scored["scores"][kind.headline]["value"] == pytest.approx(result["scores"][kind.headline]["value"])
