"""Imports point one way: pipelines, components, steps, and inside the core only upwards in the list of parts."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (
    "errors",
    "settings",
    "lifetimes",
    "grids",
    "recipes",
    "store",
    "sources",
    "units",
    "cube",
    "prepare",
    "labels",
    "samples",
    "models",
    "training",
    "inference",
    "measure",
    "registry",
    "report",
    "steps",
)
PACKAGES = {"glacier_core": "glacier_core", "components": "glacier_components", "pipelines": "glacier_pipelines"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "glacier_core").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted((ROOT / "glacier_core").rglob("*.py")), ids=lambda path: str(path.name))
def test_the_core_imports_upwards_only(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        return
    assert own in PARTS, f"{own} has no place in the order of parts"
    for name in imported(path):
        root, _, rest = name.partition(".")
        assert root not in ("kfp", "glacier_components", "glacier_pipelines"), f"{path} imports {name}"
        if root == "glacier_core" and rest:
            other = rest.split(".")[0]
            if other in PARTS:
                assert PARTS.index(other) <= PARTS.index(own), f"{path} imports {name}, which stands below {own}"


@pytest.mark.parametrize("path", sorted((ROOT / "components").glob("*.py")), ids=lambda path: str(path.name))
def test_components_know_only_the_stages(path: Path) -> None:
    for name in imported(path):
        assert name.split(".")[0] in ("kfp", "glacier_components", "glacier_core"), f"{path} imports {name}"
        if name.startswith("glacier_core"):
            assert name in ("glacier_core", "glacier_core.steps")


def test_the_core_imports_without_kfp_and_without_heavy_packages() -> None:
    heavy = ["kfp", "torch", "mlflow", "rasterio", "geopandas", "odc.stac", "matplotlib"]
    code = (
        f"import sys; sys.modules['kfp'] = None; import glacier_core, glacier_core.steps; "
        f"sys.exit(','.join(name for name in {heavy[1:]} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
