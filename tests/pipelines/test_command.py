"""The command's manners: wrong input gets one line and exit code 2, standard output only what was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from glacier_pipelines.choosing import RECIPES
from glacier_pipelines.result import Result

SCHEMA = json.loads((RECIPES.parent / "schema" / "result.json").read_text(encoding="utf-8"))


def glacier(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "glacier_pipelines.command", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
        timeout=120,
    )


def refused(done: subprocess.CompletedProcess[str], *said: str, code: int = 2) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for text in said:
        assert text in done.stderr


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom glacier_pipelines.command import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'kfp', 'torch', 'mlflow', 'rasterio', 'pandas', 'fsspec', 'numpy'} & set(sys.modules)\n"
        "sys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "train", "monitor", "check", "recipes", "index", "evaluate", "models", "gc"):
        assert command in done.stdout


def test_recipes_are_listed(tmp_path: Path) -> None:
    done = glacier("recipes", cwd=tmp_path)
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} == {path.stem for path in RECIPES.glob("*.yaml")}


def test_an_unknown_recipe_suggests_a_near_one(tmp_path: Path) -> None:
    refused(glacier("run", "dmo", cwd=tmp_path), "'dmo' is not known", "did you mean 'demo'?")


def test_a_wrong_recipe_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("kind: extent\nyeers: 3\n", encoding="utf-8")
    refused(glacier("check", "own.yaml", cwd=tmp_path), "own.yaml")
    refused(glacier("run", "absent.yaml", cwd=tmp_path), "absent.yaml does not exist")
    refused(glacier("run", "demo", "--set", "training.epochs", cwd=tmp_path), "key=value")


def test_a_store_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    refused(glacier("run", "demo", "--store", str(tmp_path / "file" / "store"), cwd=tmp_path), "store")
    refused(glacier("run", "demo", "--store", "memory://x", cwd=tmp_path), "memory")


def test_monitor_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "demo.yaml").read_text(encoding="utf-8"))
    recipe["imagery"]["simulation"].update(places=1, size=192, scenes_per_year=1)
    recipe["years"] = [2016, 2016]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**recipe, "name": "tiny"}), encoding="utf-8")
    done = glacier("monitor", "tiny.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "tiny" in done.stderr.strip().splitlines()[-1]


def test_check_counts_without_running(tmp_path: Path) -> None:
    done = glacier("check", "demo", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["units"] == found["glaciers"] * 9
    assert found["bytes"] > found["pixels"]


def test_result_objects_fit_the_schema(tmp_path: Path) -> None:
    from glacier_core import Store, load_recipe

    result = Result.of(load_recipe(RECIPES / "demo.yaml"), Store(tmp_path))
    score = {"value": 0.9, "low": None, "high": None, "n": 7, "unit": "1"}
    units = {"done": 2, "failed": 1, "withheld": 0}
    note = {"seconds": 1.0, "units": units, "notes": [], "error": None}
    result.absorb(
        [
            {**note, "stage": "label", "reused": True, "facts": {}},
            {
                **note,
                "stage": "evaluate",
                "reused": False,
                "facts": {"scores": {"iou/glacier": score}, "baselines": {}},
            },
        ],
        counted="label",
    )
    jsonschema.validate(result.to_json(), SCHEMA)
    assert result.reused == ["label"]
    assert result.exit_code == 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**result.to_json(), "extra": 1}, SCHEMA)


def score(value: float | None, unit: str = "px") -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "n": 9, "unit": unit}


@pytest.mark.parametrize(("less", "best"), [(True, "edges"), (False, "persistence")])
def test_the_best_baseline_stands_beside_the_scores(tmp_path: Path, *, less: bool, best: str) -> None:
    from glacier_core import Store, load_recipe

    result = Result.of(load_recipe(RECIPES / "demo.yaml"), Store(tmp_path))
    result.scores = {"distance/mean": score(1.5), "distance/mean@sensor=LT05": score(2.5)}
    result.baselines = {
        "edges": {"distance/mean": score(2.0)},
        "persistence": {"distance/mean": score(3.0)},
        "silent": {"distance/mean": score(None)},
    }
    result.headline = {"metric": "distance/mean", "lower_is_better": less}
    lines = result.lines()
    assert lines[:2] == ["score     distance/mean        1.500 px  n=9", "          and 1 more in the report"]
    (line,) = (line for line in lines if line.startswith("baseline"))
    assert line.endswith(f"({best})")
    jsonschema.validate(result.to_json(), SCHEMA)


def test_a_version_is_listed_with_the_score_that_stands_for_it() -> None:
    from types import SimpleNamespace

    from glacier_pipelines.choosing import version_line

    version = SimpleNamespace(
        name="fronts", version="3", alias="champion", headline="distance/mean", scores={"distance/mean": score(1.5)}
    )
    assert version_line(version).split() == ["fronts/3", "champion", "distance/mean", "1.500", "px"]
    version.headline, version.alias = "", None
    assert version_line(version).split() == ["fronts/3", "-"]


@pytest.mark.parametrize("command", ["run", "train", "monitor", "evaluate"])
def test_a_recipe_that_trains_no_model_is_refused(command: str, tmp_path: Path) -> None:
    model = ["--model", "m@champion"] if command == "evaluate" else []
    done = glacier(command, "perito-moreno-cube", *model, cwd=tmp_path)
    refused(done, "of the kind 'cube', which trains no model", "glacier cube perito-moreno-cube")


def test_check_refuses_a_network_of_another_kind(tmp_path: Path) -> None:
    refused(
        glacier("check", "demo", "--set", "model.name=convlstm", cwd=tmp_path), "convlstm", "segmentation network: unet"
    )


def test_gc_says_what_it_would_delete(tmp_path: Path) -> None:
    from glacier_core import Store

    store = Store(tmp_path / "store")
    store.publish_json("thing", {"of": "no product"})
    done = glacier("gc", "--store", store.url, "--older-than-days", "0", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("would delete 0 abandoned attempts, 1 outputs")
    glacier("gc", "--store", store.url, "--older-than-days", "0", cwd=tmp_path)
    assert not list((tmp_path / "store" / "stages").rglob("_published.json"))


def test_index_makes_a_catalog_of_a_folder(tmp_path: Path) -> None:
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    profile = {"driver": "GTiff", "dtype": "uint8", "count": 2, "width": 8, "height": 8, "crs": "EPSG:32645"}
    for name in ("scene_2016-08-01.tif", "scene_20170802.tif"):
        with rasterio.open(tmp_path / name, "w", transform=from_origin(5e5, 3e6, 30, 30), **profile) as dataset:
            dataset.write(np.ones((2, 8, 8), dtype=np.uint8))
    done = glacier("index", str(tmp_path), "--out", str(tmp_path / "catalog"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).exists()
    assert len(list((tmp_path / "catalog").rglob("*.json"))) >= 1
