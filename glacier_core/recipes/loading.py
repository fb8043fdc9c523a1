"""Recipes from YAML and back: overrides, environment variables, and one clear line for whatever is wrong."""

from __future__ import annotations

import difflib
import json
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from glacier_core.errors import ConfigurationError
from glacier_core.recipes.classes import ClassesRecipe
from glacier_core.recipes.cube import CubeRecipe
from glacier_core.recipes.extent import ExtentRecipe
from glacier_core.recipes.front import FrontRecipe
from glacier_core.recipes.ice_cover import IceCoverRecipe
from glacier_core.recipes.motion import MotionRecipe
from glacier_core.recipes.parts import Recipe

KINDS: Mapping[str, type[Recipe]] = {
    "extent": ExtentRecipe,
    "classes": ClassesRecipe,
    "front": FrontRecipe,
    "motion": MotionRecipe,
    "ice_cover": IceCoverRecipe,
    "cube": CubeRecipe,
}
"""The class of each kind of recipe."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


@typing.overload
def parse_recipe(value: Mapping[str, Any], *, origin: str, overrides: Sequence[str] = ...) -> Recipe: ...


@typing.overload
def parse_recipe(
    value: Mapping[str, Any], *, origin: str, overrides: Sequence[str] = ..., kind: type[AnyRecipe]
) -> AnyRecipe: ...


def parse_recipe(
    value: Mapping[str, Any], *, origin: str, overrides: Sequence[str] = (), kind: type[Recipe] = Recipe
) -> Recipe:
    """A validated recipe from plain data.

    Args:
        value: the recipe as a mapping.
        origin: where it came from, for messages.
        overrides: `key.subkey=value` assignments (values as YAML) that are laid over it.
        kind: the class that it must be of; by default any.

    Raises:
        ConfigurationError: unknown keys (near ones are suggested), wrong types or values, another kind.
    """
    merged = _overridden(dict(value), overrides)
    named = str(merged.get("kind"))
    if named not in KINDS:
        near = difflib.get_close_matches(named, KINDS, n=1)
        raise ConfigurationError(
            f"{origin}: kind is {merged.get('kind')!r}" + (f", did you mean '{near[0]}'?" if near else ""),
            expected=f"one of {', '.join(KINDS)}",
            do="correct 'kind'",
        )
    if isinstance(merged.get("data"), str):
        merged["data"] = _expanded(merged["data"], origin)
    found = KINDS[named]
    try:
        recipe = found.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(f"{origin}: {_first_problem(error, found)}", do="correct the recipe") from None
    if not isinstance(recipe, kind):
        wanted = next(name for name, known in KINDS.items() if known is kind)
        raise ConfigurationError(f"{origin} is of the kind '{named}'", expected=f"a recipe of the kind '{wanted}'")
    return recipe


@typing.overload
def load_recipe(path: str | Path, *, overrides: Sequence[str] = ...) -> Recipe: ...


@typing.overload
def load_recipe(path: str | Path, *, overrides: Sequence[str] = ..., kind: type[AnyRecipe]) -> AnyRecipe: ...


def load_recipe(path: str | Path, *, overrides: Sequence[str] = (), kind: type[Recipe] = Recipe) -> Recipe:
    """A validated recipe from a YAML file.

    Args:
        path: the file.
        overrides: see `parse_recipe`.
        kind: see `parse_recipe`.

    Raises:
        ConfigurationError: the file is absent, is not YAML, or does not describe a recipe.
    """
    file = Path(path)
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"recipe file {file} does not exist", do="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"recipe file {file} cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"recipe file {file} is not YAML ({error})", do="correct it") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"recipe file {file} holds {type(value).__name__}", expected="a mapping of keys")
    return parse_recipe(value, origin=file.name, overrides=overrides, kind=kind)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML; `load_recipe` gives an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_from_json(text: str) -> Recipe:
    """The recipe that `model_dump_json` wrote.

    Raises:
        ConfigurationError: it is none.
    """
    value = json.loads(text)
    return parse_recipe(value if isinstance(value, dict) else {}, origin="recipe")


def _overridden(value: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for assignment in overrides:
        key, sign, text = assignment.partition("=")
        if not sign or not key:
            raise ConfigurationError(f"--set {assignment}", expected="key=value, such as training.epochs=5")
        target = value
        *parents, last = key.split(".")
        for parent in parents:
            inner = target.get(parent)
            target[parent] = dict(inner) if isinstance(inner, dict) else {}
            target = target[parent]
        target[last] = yaml.safe_load(text)
    return value


def _expanded(text: str, origin: str) -> str:
    """Environment variables written as ${NAME} or ${NAME:-default}, replaced."""

    def replace(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = os.environ.get(name, default)
        if found is None:
            raise ConfigurationError(
                f"{origin}: data names the environment variable {name}, which is not set", do=f"set {name}"
            )
        return found

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}", replace, text)


def _first_problem(error: ValidationError, recipe: type[BaseModel]) -> str:
    problem = error.errors()[0]
    location, known = _place(problem["loc"], recipe)
    place = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{place}'{_nearest(location[-1], known)}"
    if problem["type"] == "missing":
        return f"key '{place}' is missing"
    if problem["type"] == "union_tag_not_found":
        return f"key '{place}.{_bare(problem['ctx']['discriminator'])}' is missing"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        return f"{place}.{_bare(context['discriminator'])} is '{context['tag']}'{_nearest(str(context['tag']), tags)}"
    message = problem["msg"].removeprefix("Value error, ")
    shown = repr(problem["input"]) if not isinstance(problem["input"], dict | BaseModel) else ""
    return f"{place or 'recipe'}: {message}" + (f", got {shown}" if shown and len(shown) < 80 else "")


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean '{near[0]}'?" if near else f", expected one of {', '.join(known)}"


def _bare(discriminator: str) -> str:
    return str(discriminator).strip("'")


def _place(location: Sequence[int | str], recipe: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The keys that lead to a problem, without pydantic's marks of which alternative it tried; and the keys there."""
    parts: list[type[BaseModel]] = [recipe]
    named: list[str] = []
    for number, step in enumerate(location):
        tagged = [part for part in parts if _tag(part) == step and named and step not in part.model_fields]
        if tagged:
            parts = tagged
            continue
        named.append(str(step))
        if isinstance(step, str) and number < len(location) - 1:
            annotations = [part.model_fields[step].annotation for part in parts if step in part.model_fields]
            parts = [inner for annotation in annotations for inner in _models(annotation)]
    return named, list(dict.fromkeys(key for part in parts for key in part.model_fields))


def _tag(part: type[BaseModel]) -> object:
    field = part.model_fields.get("source")
    options = typing.get_args(field.annotation) if field else ()
    return options[0] if len(options) == 1 else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every part that an annotation names."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _models(inner)
