from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core import Recipe, dump_recipe, load_recipe, parse_recipe
from glacier_core.errors import ConfigurationError

RECIPES = sorted((Path(__file__).parents[2] / "pipelines" / "recipes").glob("*.yaml"))


def minimal(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "kind": "extent",
        "years": [2016, 2018],
        "imagery": {
            "source": "simulated",
            "simulation": {"seed": 1},
            "bands": ["B04"],
            "rgb": ["B04", "B03", "B02"],
            "resolution_m": 10,
        },
        **changes,
    }


def parsed(**changes: Any) -> Recipe:
    return parse_recipe(minimal(**changes), origin="test.yaml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.stem))
def test_shipped_recipes_load_and_are_named_after_their_file(path: Path) -> None:
    assert load_recipe(path).name == path.stem


@pytest.mark.parametrize("mark", ["\x85", "\n", "\u2028", "\x00", "\x1b"])
def test_a_title_is_one_line_of_text(mark: str) -> None:
    with pytest.raises(ConfigurationError, match="title"):
        parsed(title=f"Two{mark}lines")


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(1980, 2030),
    span=st.integers(0, 40),
    chip=st.integers(32, 512),
    rate=st.floats(1e-7, 1e-1),
    title=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff"), max_size=30),
    gap=st.floats(0, 1e4),
)
def test_a_recipe_survives_the_trip_through_yaml(
    tmp_path_factory: pytest.TempPathFactory, first: int, span: int, chip: int, rate: float, title: str, gap: float
) -> None:
    recipe = parsed(
        years=[first, first + span],
        title=title,
        training={"chip": chip, "learning_rate": rate},
        split={"gap_m": gap},
    )
    path = tmp_path_factory.mktemp("recipes") / "small.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"yeers": [2016, 2017]}, "unknown key 'yeers', did you mean 'years'?"),
        ({"training": {"epoch": 3}}, "unknown key 'training.epoch', did you mean 'epochs'?"),
        ({"kind": "glaciers"}, "kind is 'glaciers'"),
        ({"years": [2018, 2016]}, "earlier one first"),
        ({"years": None}, "years"),
        ({"season": ["13-01", "09-30"]}, "season"),
        ({"split": {"train": 0.9}}, "sum to"),
        ({"glaciers": {"ids": ["a"], "names": ["b"]}}, "keep one of them"),
        ({"imagery": {**minimal()["imagery"], "source": "stac"}}, "needs 'catalog'"),
        ({"name": "Not A Name"}, "name"),
        ({"data": "${NO_SUCH_VARIABLE_HERE}"}, "NO_SUCH_VARIABLE_HERE"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(**changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_key_is_named() -> None:
    value = minimal()
    del value["imagery"]
    with pytest.raises(ConfigurationError, match="'imagery' is missing"):
        parse_recipe(value, origin="test.yaml")


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list\n", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_recipe(tmp_path / "absent.yaml")


def test_overrides_reach_nested_keys_and_are_validated(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(minimal()), encoding="utf-8")
    assert load_recipe(path, overrides=["training.epochs=3"]).training.epochs == 3
    with pytest.raises(ConfigurationError, match="did you mean 'epochs'"):
        load_recipe(path, overrides=["training.epochz=3"])
    with pytest.raises(ConfigurationError, match="key=value"):
        load_recipe(path, overrides=["training.epochs"])


def test_a_season_across_new_year_ends_in_its_year() -> None:
    recipe = parsed(season=["12-01", "02-28"])
    start, end = recipe.season_of(2017)
    assert (start.isoformat(), end.isoformat()) == ("2016-12-01", "2017-02-28")
    assert recipe.mid_season(2017).year == 2017


def test_relative_paths_stand_below_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", "/data")
    recipe = parsed(data="${SOME_DATA}/x")
    assert recipe.path("a.gpkg") == "/data/x/a.gpkg"
    assert recipe.path("/b.gpkg") == "/b.gpkg"
    assert recipe.path("https://host/c") == "https://host/c"
