"""The page, the catalog and the animation that every kind of product has."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from glacier_core.errors import DataError
from glacier_core.report.animation import write_animation
from glacier_core.report.line_plots import Series, plot_series
from glacier_core.report.metric_names import metric_name, stratum_of
from glacier_core.report.product_catalog import ProductItem, write_product_catalog
from glacier_core.report.product_page import Figure, ProductPage, Table, write_product_page
from tests.report.page_checks import checked


def score(value: float, *, n: int = 12, unit: str = "px") -> dict[str, Any]:
    sure = n >= 8
    return {
        "value": value,
        "low": value - 0.2 if sure else None,
        "high": value + 0.2 if sure else None,
        "n": n,
        "unit": unit,
    }


def sample_page(folder: Path, **changes: Any) -> ProductPage:
    """A page of a calving front with everything on it."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (120, 320, 3), dtype=np.uint8)).save(folder / "fronts.png")
    values: dict[str, Any] = {
        "title": "Calving fronts of <Helheim>",
        "shows": "Calving fronts, not glacier area.",
        "facts": [
            ("images", 42),
            ("mean retreat", "\N{MINUS SIGN}210 m/yr"),
            ("imagery", "Landsat 5, 7 and 8, chips rectified to the flow"),
        ],
        "figures": [Figure("fronts.png", "Front positions, 1985 to 2016; pixels of 30 m.", "Lines on an image")],
        "tables": [
            Table(
                "Positions",
                ["glacier", "date", "advance (m)"],
                [["Helheim", "2001-07-01", -12.34567], ["Crane", "2002", None]],
            ),
            Table("Counts", ["sensor", "images"], [[f"S{k}", k] for k in range(20)], note="All of them."),
        ],
        "model": {"name": "greenland-front", "version": "3", "alias": "", "promoted": False},
        "scores": {
            "front_distance/mean": score(1.87),
            "front_missing": score(0.0, unit="%"),
            "front_distance/mean@sensor=LT05": score(2.31, n=4),
        },
        "baselines": {
            "least-cost path": {"front_distance/mean": score(6.4)},
            "mean front": {"front_distance/mean": score(4.1)},
        },
        "files": [("fronts.gpkg", "Front lines, one a date"), ("a b.csv", "Positions & lengths")],
        "lineage": [
            {"stage": "plan", "digest": "ab", "inputs": [], "packages": {"numpy": "2"}, "image": "", "threads": 1}
        ],
        "withheld": [{"unit": "x", "state": "withheld", "reason": "too few frames"}],
        "notes": ["Chips have no CRS: distances are in pixels."],
        "headline": "front_distance/mean",
        "lower_is_better": True,
        "recipe": "name: greenland-front\n",
    }
    return ProductPage(**{**values, **changes})


def written(folder: Path, page: ProductPage) -> str:
    return (folder / write_product_page(folder, page)).read_text(encoding="utf-8")


def test_a_page_is_self_contained_and_says_everything(tmp_path: Path) -> None:
    text = written(tmp_path, sample_page(tmp_path))
    checker = checked(text)
    assert {link for link in checker.links if not link.startswith("data:")} == {
        "fronts.png",
        "fronts.gpkg",
        "a%20b.csv",
    }
    assert checker.scripts == 1
    assert "default-src 'none'" in text
    for said in (
        "not glacier area",
        "\N{MINUS SIGN}210 m/yr",
        "1.870 px",
        "6.400 px",
        "\N{MINUS SIGN}12.35",
        "too few frames",
        "sensor: LT05",
        "n = 4",
    ):
        assert said in text, said
    assert "Unpromoted model" in text
    assert "&lt;Helheim&gt;" in text
    assert "<Helheim>" not in text


def test_less_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    text = written(tmp_path, sample_page(tmp_path))
    assert text.index(">mean front<") < text.index(">least-cost path<")
    assert "Less is better" in text


def test_a_page_of_nothing_but_a_title_is_a_page(tmp_path: Path) -> None:
    text = written(tmp_path, ProductPage(title="Empty", shows="Nothing."))
    checked(text)
    assert "No score is known" in text
    assert "None: every unit gave a result." in text


def test_pictures_beyond_the_room_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glacier_core.report.product_page.PICTURE_BYTES", 10)
    text = written(tmp_path, sample_page(tmp_path))
    assert "Too large for this page" in text
    assert "data:image" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figures": [Figure("absent.png", "", "")]}, "absent.png is no picture"),
        ({"figures": [Figure("fronts.tif", "", "")]}, "fronts.tif is no picture"),
        ({"tables": [Table("T", ["a", "b"], [[1]])]}, "'T' has 1 cells"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_product_page(tmp_path, sample_page(tmp_path, **change))


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=40)))
def test_whatever_a_table_holds_stays_text(tmp_path_factory: pytest.TempPathFactory, name: str, cell: object) -> None:
    folder = tmp_path_factory.mktemp("page")
    page = ProductPage(title=name, shows=name, facts=[(name, cell)], tables=[Table(name, [name], [[cell]], note=name)])
    # characters that no file holds are no matter of the page
    page_text = written(folder, page) if name.isprintable() and str(cell).isprintable() else ""
    checked(page_text)


@pytest.mark.parametrize(
    ("metric", "name", "stratum"),
    [
        ("iou/glacier", "IoU of ice", ""),
        ("mae/lead3", "MAE, lead 3", ""),
        ("front_distance/mean@sensor=LT05", "Front distance, mean", "sensor: LT05"),
        ("iou/debris_cover@season=late_summer", "IoU, debris cover", "season: late_summer"),
        ("rmse_against_best/lead2", "RMSE against the best baseline, lead 2", ""),
        ("some_new_thing", "Some new thing", ""),
    ],
)
def test_metrics_have_readable_names(metric: str, name: str, stratum: str) -> None:
    assert metric_name(metric)[0] == name
    assert stratum_of(metric) == stratum


SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1.23456789, 1], [0, 0]]]}


def test_the_catalog_is_valid_with_and_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "velocity").mkdir()
    (tmp_path / "velocity/v.tif").write_bytes(b"x")
    items = [
        ProductItem(
            "pair/1",
            date(2020, 1, 1),
            date(2020, 1, 4),
            geometry=SQUARE,
            assets={"v": ("velocity/v.tif", "image/tiff", "speed")},
        ),
        ProductItem(
            "pair 2",
            datetime(2020, 1, 4, 5, tzinfo=UTC),
            datetime(2020, 1, 9, tzinfo=UTC),
            properties={"glacier:median_m_per_yr": 3.5},
        ),
    ]
    files = write_product_catalog(
        tmp_path, name="perito-moreno-motion", title="Perito Moreno", kind="motion", items=items
    )
    assert files[0] == "catalog.json"
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    catalog.validate()
    found = {item.id: item for item in catalog.get_items()}
    assert found.keys() == {"pair/1", "pair 2"}
    for item in found.values():
        item.validate()
        assert item.properties["glacier:kind"] == "motion"
        for asset in item.get_assets().values():
            assert Path(asset.get_absolute_href() or "").exists()
    assert found["pair/1"].bbox == [0.0, 0.0, 1.234568, 1.0]
    assert found["pair 2"].geometry is None
    assert all((tmp_path / name).exists() for name in files)
    text = (tmp_path / "catalog.json").read_text()
    assert str(tmp_path) not in text


def test_a_catalog_of_nothing_is_valid(tmp_path: Path) -> None:
    assert write_product_catalog(tmp_path, name="n", title="", kind="front", items=[]) == ["catalog.json"]
    pystac.Catalog.from_file(str(tmp_path / "catalog.json")).validate()
    assert json.loads((tmp_path / "catalog.json").read_text())["title"] == "n"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([ProductItem("a", date(2020, 1, 1), date(2020, 1, 1))] * 2, "two items of the catalog are called a"),
        ([ProductItem("a", date(2020, 1, 2), date(2020, 1, 1))], "ends before it starts"),
        ([ProductItem("a", date(2020, 1, 1), date(2020, 1, 1), assets={"k": ("../x", "", "")})], "inside the products"),
    ],
)
def test_items_that_make_no_sense_are_refused(tmp_path: Path, items: list[ProductItem], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_product_catalog(tmp_path, name="n", title="", kind="front", items=items)


def test_an_animation_keeps_its_pictures_and_their_times(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 40), (k * 60, 90, 200 - k * 40)) for k in range(4)]
    write_animation(tmp_path / "a.gif", pictures, milliseconds=500)
    with Image.open(tmp_path / "a.gif") as found:
        frames = [
            (frame.convert("RGB").getpixel((5, 5)), frame.info["duration"]) for frame in ImageSequence.Iterator(found)
        ]
        assert found.size == (64, 40)
    assert [duration for _, duration in frames] == [500, 500, 500, 1450]
    for (colour, _), picture in zip(frames, pictures, strict=True):
        wanted = picture.getpixel((5, 5))
        assert isinstance(colour, tuple)
        assert isinstance(wanted, tuple)
        assert math.dist(colour, wanted) < 12


def test_a_large_animation_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glacier_core.report.animation.LARGEST_BYTES", 15_000)
    rng = np.random.default_rng(0)
    write_animation(tmp_path / "a.gif", [Image.fromarray(rng.integers(0, 255, (120, 120, 3), dtype=np.uint8))] * 3)
    assert (tmp_path / "a.gif").stat().st_size <= 15_000
    with Image.open(tmp_path / "a.gif") as found:
        assert found.width < 120


@pytest.mark.parametrize("sizes", [[], [(3, 3), (4, 4)]])
def test_an_animation_needs_pictures_of_one_size(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    with pytest.raises(DataError):
        write_animation(tmp_path / "a.gif", [Image.new("RGB", size) for size in sizes])


def test_lines_are_drawn_with_gaps_bands_and_dates(tmp_path: Path) -> None:
    days = [date(2020, month, 1) for month in range(1, 7)]
    lines = {
        "model": Series(days, [1, 2, math.nan, 4, 5, 6], low=[0, 1, math.nan, 3, 4, 5], high=[2, 3, math.nan, 5, 6, 7]),
        "persistence": Series(days, [2] * 6, points=False),
    }
    for name in ("a", "b"):
        labels = {"title": "T", "x_label": "date", "y_label": "retreat (m)"}
        plot_series(tmp_path / f"{name}.png", lines, **labels, note="mind this")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as found:
        assert found.width == 2000


@pytest.mark.parametrize("lines", [{}, {"a": Series([1, 2], [1])}])
def test_lines_that_cannot_be_drawn_are_refused(tmp_path: Path, lines: dict[str, Series]) -> None:
    with pytest.raises(DataError):
        plot_series(tmp_path / "a.png", lines, title="", x_label="", y_label="")
