"""Documentation that names every key of a recipe, and every command and exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from glacier_core import Recipe, errors, parse_recipe
from glacier_pipelines.command import app

ROOT = Path(__file__).parents[2]


def keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part)


def test_every_recipe_key_is_documented() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    assert set(keys(Recipe)) <= documented, set(keys(Recipe)) - documented


def test_the_recipe_of_the_documentation_is_valid(tmp_path: Path) -> None:
    import yaml

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
