from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core import CubeRecipe, ExtentRecipe, dump_recipe, load_recipe, parse_recipe
from glacier_core.errors import ConfigurationError
from glacier_core.recipes import recipe_from_json

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


def parsed(**changes: Any) -> ExtentRecipe:
    return parse_recipe(minimal(**changes), origin="test.yaml", kind=ExtentRecipe)


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


def test_the_original_setting_of_extents_is_shipped() -> None:
    recipe = load_recipe(next(path for path in RECIPES if path.stem == "gangotri"), kind=ExtentRecipe)
    assert tuple(recipe.imagery.all_bands()) == recipe.imagery.rgb == ("B04", "B03", "B02")
    assert recipe.training.chip == 128


def test_overrides_reach_nested_keys_and_are_validated(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(minimal()), encoding="utf-8")
    assert load_recipe(path, overrides=["training.epochs=3"], kind=ExtentRecipe).training.epochs == 3
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


def cube(imagery: dict[str, Any], **keys: Any) -> CubeRecipe:
    value = {"name": "small", "kind": "cube", "imagery": imagery, **keys}
    return parse_recipe(value, origin="test.yaml", kind=CubeRecipe)


FRAMES = {"source": "frames", "bands": ["a"]}


@pytest.mark.parametrize(
    ("imagery", "keys", "said"),
    [
        ({"source": "satellite"}, {}, "imagery.source is 'satellite', expected one of simulated, stac"),
        ({"source": "velocty"}, {}, "did you mean 'velocity'?"),
        ({"bands": ["a"]}, {}, "key 'imagery.source' is missing"),
        ({"source": "stac", "bands": ["a"]}, {"years": [2020, 2020]}, "key 'imagery.catalog' is missing"),
        ({**FRAMES, "pixelsize_m": 3}, {}, "unknown key 'imagery.pixelsize_m', did you mean 'pixel_size_m'?"),
        ({**FRAMES, "quantities": ["heat"]}, {}, "imagery.quantities.0"),
        ({"source": "folder", "bands": ["a"], "files": [{"patern": "x"}]}, {}, "'imagery.files.0."),
        (FRAMES, {"glaciers": {"ids": ["a"]}}, "leave 'glaciers' out"),
        (FRAMES, {"grid": {"resolution": 10}}, "leave 'grid' out"),
        (FRAMES, {"coregistration": {"modle": "affine"}}, "did you mean 'model'?"),
        (FRAMES, {"years": [2021, 2020]}, "earlier one first"),
        (FRAMES, {"composite": "yearly", "coregistration": {}}, "keep one of the two"),
        ({"source": "simulated", "bands": ["B04"]}, {}, "needs 'years'"),
    ],
)
def test_a_wrong_cube_recipe_is_refused_in_one_line(imagery: dict[str, Any], keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cube(imagery, **keys)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is of the kind 'extent'"):
        parse_recipe(minimal(), origin="test.yaml", kind=CubeRecipe)


@given(day=st.dates(date(1990, 1, 1), date(2030, 12, 31)))
def test_a_season_across_new_year_is_the_rest_of_its_complement(day: date) -> None:
    winter = cube(FRAMES, season=["10-01", "04-30"], years=[2000, 2010])
    summer = cube(FRAMES, season=["05-01", "09-30"], years=[2000, 2010])
    ends = day.year + (day.month >= 10)
    assert winter.wants(day) == (not 5 <= day.month <= 9 and 2000 <= ends <= 2010)
    assert summer.wants(day) == (5 <= day.month <= 9 and 2000 <= day.year <= 2010)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.stem))
def test_shipped_recipes_survive_the_trip_through_json(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe_from_json(recipe.model_dump_json()) == recipe
