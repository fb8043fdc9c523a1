"""A stage whose code changed and whose version did not would hand out old results as if they were new."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from glacier_core.steps.kinds import KINDS
from glacier_core.steps.versions import KIND_VERSIONS, STAGE_MODULES, STAGE_VERSIONS, kind_modules, version_of

CORE = Path(__file__).parents[2] / "glacier_core"
LOCK = Path(__file__).with_name("stage_fingerprints.json")


def fingerprint(modules: tuple[str, ...]) -> str:
    """A digest of the code without comments, docstrings and layout."""
    digest = hashlib.sha256()
    for module in modules:
        path = CORE / module
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        assert files, f"{module} holds no code"
        for file in files:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                    node.body = node.body[1:]
            digest.update(ast.dump(tree).encode())
        if path.is_dir():
            for template in sorted(found for found in path.rglob("*") if found.suffix in (".html", ".css", ".js")):
                digest.update(template.read_bytes())
    return digest.hexdigest()[:16]


def current() -> dict[str, dict[str, Any]]:
    """Every stage's version and code, and those of what each kind adds to the stages."""
    stages = {
        stage: {"version": STAGE_VERSIONS[stage], "code": fingerprint(modules)}
        for stage, modules in STAGE_MODULES.items()
    }
    kinds = {
        f"kind {kind}": {"version": dict(versions), "code": fingerprint(kind_modules(kind))}
        for kind, versions in KIND_VERSIONS.items()
    }
    return stages | kinds


def test_a_stage_whose_code_changed_has_a_new_version() -> None:
    found = current()
    kept = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    stale = [
        name
        for name, now in found.items()
        if name in kept and now["code"] != kept[name]["code"] and now["version"] == kept[name]["version"]
    ]
    if found != kept:
        proposal = LOCK.with_suffix(".new.json")
        proposal.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert not stale, (
        f"the code of {', '.join(stale)} changed: raise STAGE_VERSIONS or KIND_VERSIONS where results change, then "
        f"move {LOCK.stem}.new.json to {LOCK.name}"
    )
    assert found == kept, f"move {LOCK.stem}.new.json to {LOCK.name}"


def test_every_stage_names_its_modules() -> None:
    assert STAGE_VERSIONS.keys() == STAGE_MODULES.keys()


def test_every_kind_has_its_versions() -> None:
    assert KIND_VERSIONS.keys() == KINDS.keys()
    assert all(stage in STAGE_VERSIONS for versions in KIND_VERSIONS.values() for stage in versions)


def imported(kind: str) -> set[str]:
    """Modules below glacier_core that a kind's code takes what decides results from, such as `measure.fronts.lines`."""
    found = set()
    for file in sorted((CORE / "steps" / "kinds" / kind).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[:1] != ["glacier_core"]:
                continue
            if (node.module or "").split(".")[1:2] not in (["labels"], ["prepare"], ["samples"], ["measure"]):
                continue
            package = importlib.import_module(str(node.module))
            for alias in node.names:
                origin = str(getattr(getattr(package, alias.name), "__module__", None) or package.__name__)
                found.add(origin if origin.startswith("glacier_core.") else package.__name__)
    return {name.removeprefix("glacier_core.") for name in found}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_names_what_its_stages_use(kind: str) -> None:
    listed = [module.removesuffix(".py").replace("/", ".") for module in kind_modules(kind)]
    unlisted = [name for name in imported(kind) if not any(f"{name}.".startswith(f"{known}.") for known in listed)]
    packages = {name for name in unlisted if (CORE / name.replace(".", "/")).is_dir()}
    # a package's own name stands for constants alone
    assert not sorted(set(unlisted) - packages)


def test_a_kind_adds_to_the_version_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KIND_VERSIONS, "front", {"label": 2})
    assert version_of("label", "front") == STAGE_VERSIONS["label"] + 2
    assert version_of("label", "") == STAGE_VERSIONS["label"]
    assert version_of("train", "front") == STAGE_VERSIONS["train"]
