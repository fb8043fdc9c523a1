"""Documentation that names every key of a recipe, and every command and exit code."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from glacier_core import CubeRecipe, errors, parse_recipe
from glacier_core.recipes import KINDS
from glacier_pipelines.choosing import RECIPES
from glacier_pipelines.command import app

ROOT = Path(__file__).parents[2]


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from parts(inner)


def keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for part in parts(field.annotation):
            yield from keys(part)


@pytest.mark.parametrize("kind", KINDS)
def test_every_recipe_key_is_documented(kind: str) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    assert kind in documented
    assert set(keys(KINDS[kind])) <= documented, set(keys(KINDS[kind])) - documented


def test_the_cube_recipes_of_the_documentation_are_valid() -> None:
    text = (ROOT / "docs" / "cubes.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(examples) > 3
    for example in examples:
        value = yaml.safe_load(example.replace("${GLACIER_DATA}", "/data"))
        assert parse_recipe(value, origin="docs", kind=CubeRecipe).name.startswith("my-")


def test_the_table_of_cubes_names_every_shipped_cube_recipe() -> None:
    text = (ROOT / "docs" / "cubes.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`glacier cube ([a-z-]+)`", text))
    shipped = {path.stem for path in RECIPES.glob("*.yaml")}
    cubes = {path.stem for path in RECIPES.glob("*.yaml") if "kind: cube" in path.read_text(encoding="utf-8")}
    assert cubes <= named <= shipped


def test_the_recipe_of_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0].replace("${GLACIER_DATA}", "/data")
    assert parse_recipe(yaml.safe_load(example), origin="docs").name == "my-glacier"


def test_the_readme_names_every_command_and_exit_code() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"glacier {command.callback.__name__}" in text
    for code in (errors.EXIT_DONE, errors.EXIT_INVALID, errors.EXIT_PARTIAL, errors.EXIT_UNREACHABLE):
        assert f"| {code} |" in text
