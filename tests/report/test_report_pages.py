"""The pages: self-contained, escaped, honest about what is not known."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import box

from glacier_core.recipes import ExtentRecipe
from glacier_core.report import ReportInputs, TrainingInputs, draw_sample, write_products, write_training_report
from glacier_core.report.frames import Frame, Strip
from glacier_core.report.maps import overview_map
from glacier_core.report.overview import overview_of
from glacier_core.report.page import PICTURE_BYTES, Gallery
from glacier_core.report.pictures import Stretch, nice_length, shrunk
from glacier_core.report.svg import Drawing, ticks
from glacier_core.report.training_page import markdown
from tests.report.page_checks import checked

MakeInputs = Callable[..., ReportInputs]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, module_inputs: ReportInputs) -> tuple[str, list[str]]:
    folder = tmp_path_factory.mktemp("page")
    files = write_products(folder, module_inputs)
    return (folder / "report.html").read_text(), files


def test_the_page_is_self_contained_and_well_formed(page: tuple[str, list[str]]) -> None:
    text, files = page
    checker = checked(text)
    assert checker.scripts == 2
    assert {link for link in checker.links if not link.startswith("data:")} <= set(files)
    assert "default-src 'none'" in text
    assert len(text) < 8_000_000


def test_the_page_runs_its_own_script_only(page: tuple[str, list[str]]) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", page[0], flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}'" in page[0]


def test_the_page_says_what_a_reader_must_know(page: tuple[str, list[str]]) -> None:
    for text in ("NDSI tuned", "0.957", "0.745", "90 % interval", "nothing clear", "scene X cannot be read", "km²"):
        assert text in page[0], text
    assert "Unpromoted model" not in page[0]
    assert "Stale labels" not in page[0]


def test_an_unpromoted_model_is_called_so(make_inputs: MakeInputs, tmp_path: Path) -> None:
    model = {"name": "demo", "version": "2", "alias": "", "promoted": False}
    write_products(tmp_path, make_inputs(count=1, model=model))
    page = (tmp_path / "report.html").read_text()
    assert "Unpromoted model" in page
    assert "demo/2 · unpromoted" in page


def test_stale_labels_give_no_accuracy(make_inputs: MakeInputs, tmp_path: Path) -> None:
    stale = {"iou_stale/glacier": {"value": 0.8, "low": None, "high": None, "n": 5, "unit": "1"}}
    inputs = make_inputs(count=1, years=(2024, 2024), scores=stale, baselines={"NDSI": stale})
    write_products(tmp_path, inputs)
    page = (tmp_path / "report.html").read_text()
    assert "Stale labels" in page
    assert "fewer than 8 independent glaciers" in page
    assert "beside the outlines" in page


def test_names_cannot_break_out_of_the_page(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(count=2)
    evil = "</script><script>alert('x')</script>\"'><b>$x$"
    baselines = {evil: inputs.baselines["NDSI tuned"]}
    write_products(tmp_path, replace(inputs, outlines=inputs.outlines.assign(name=evil), baselines=baselines))
    page = (tmp_path / "report.html").read_text()
    assert checked(page).scripts == 2
    assert "<script>alert" not in page
    assert "<b>$x$" not in page


def test_unknown_scores_and_trends_are_dashes(make_inputs: MakeInputs, tmp_path: Path) -> None:
    inputs = make_inputs(count=2)
    trends = inputs.trends.assign(
        slope_km2_per_yr=math.nan, slope_low=math.nan, slope_high=math.nan, p_value=math.nan, retreat_m_per_yr=math.nan
    )
    areas = inputs.areas.assign(terminus_retreat_m=math.nan)
    write_products(tmp_path, replace(inputs, trends=trends, areas=areas, scores={}, baselines={}))
    page = (tmp_path / "report.html").read_text()
    checked(page)
    shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search(r"\bnan\b|\bNone\b|\bNaN\b", shown)


def test_pictures_stay_within_their_room(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=1)
    glacier = overview_of(inputs).glaciers[0]
    images = [inputs.image(glacier.glacier_id, row.year) for row in glacier.rows]
    frames = [Frame.of(row, image) for row, image in zip(glacier.rows, images, strict=True) if image is not None]
    strip = Strip(glacier=glacier, frames=tuple(frames))
    whole = Gallery()
    whole.show(strip)
    sizes = [len(year["picture"]) for year in whole.glaciers[glacier.glacier_id]["years"].values()]
    assert whole.bytes_left == PICTURE_BYTES - sum(sizes)
    tight = Gallery(bytes_left=sizes[0] + 10)
    tight.show(strip)
    years = list(tight.glaciers[glacier.glacier_id]["years"].values())
    assert ["picture" in year for year in years] == [True, False, False]
    assert all(year["path"] for year in years)


def test_outlines_stop_where_nothing_was_seen(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=1)
    row = overview_of(inputs).glaciers[0].rows[0]
    image = inputs.image(str(inputs.areas["glacier_id"].iloc[0]), row.year)
    assert image is not None
    seen = np.ones_like(image.observed)
    seen[:, :40] = False
    frame = Frame.of(row, replace(image, observed=seen, ice=image.ice & seen))
    assert frame.edge
    assert min(x for line in frame.edge for x, _ in line) > 40.5
    assert min(x for line in frame.shape for x, _ in line) == 40


@pytest.mark.parametrize(("longitude", "latitude"), [(86.5, 28.0), (179.98, -44.0), (10.0, 89.7), (-60.0, -72.0)])
def test_the_map_works_anywhere_on_earth(make_inputs: MakeInputs, longitude: float, latitude: float) -> None:
    inputs = make_inputs(count=2)
    shapes = [box(x, latitude, x + 0.02, latitude + 0.01) for x in (longitude, (longitude + 0.06 + 180) % 360 - 180)]
    outlines = inputs.outlines.set_geometry(shapes, crs="EPSG:4326")
    drawn = overview_map(overview_of(inputs).glaciers, outlines)
    assert drawn is not None
    numbers = [float(text) for text in re.findall(r'(?:x|y|cx|cy|x1|y1)="(-?[\d.]+)"', drawn.drawing)]
    assert all(math.isfinite(number) and -20 < number < 700 for number in numbers)
    assert "°" in drawn.drawing
    assert "km" in drawn.drawing or " m<" in drawn.drawing


def test_far_glaciers_are_symbols_that_do_not_overlap(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(count=8)
    drawn = overview_map(overview_of(inputs).glaciers, inputs.outlines)
    assert drawn is not None
    assert not drawn.outlines
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', drawn.drawing)
    placed = [tuple(float(part) for part in circle) for circle in circles]
    assert len(placed) == 8
    for number, (x, y, radius) in enumerate(placed):
        for other_x, other_y, other in placed[:number]:
            assert math.hypot(x - other_x, y - other_y) > radius + other - 1


def test_the_training_page_shows_verdict_scores_and_card(
    recipe: ExtentRecipe, training_values: dict[str, Any], tmp_path: Path
) -> None:
    picture = tmp_path / "unit.png"
    ice = np.zeros((40, 50), dtype=bool)
    ice[10:30, 10:40] = True
    bands = [np.where(ice, 0.8, 0.2).astype(np.float32)] * 3
    draw_sample(picture, rgb=bands, truth=ice, predicted=np.roll(ice, 3, axis=0), title="unit <1>")
    with Image.open(picture) as opened:
        assert opened.width > 3 * 300
    values = {**training_values, "recipe": recipe, "pictures": [picture], "alias": ""}
    assert write_training_report(tmp_path, TrainingInputs(**values)) == ["training.html"]
    page = (tmp_path / "training.html").read_text()
    checked(page)
    for text in (
        "Not passed",
        "too few glaciers",
        "Unpromoted",
        "validation loss",
        "data:image/png",
        "best baseline: NDSI &gt; 0.4",
    ):
        assert text in page, text
    assert "<script>alert" not in page


def test_model_cards_are_escaped_markdown() -> None:
    shown = markdown("# <b>T</b>\n\ntext `a<b` more\n\n- one\n- two\n\n| a | b |\n|---|---|\n| <i> | 2 |\n")
    assert "<h3>&lt;b&gt;T&lt;/b&gt;</h3>" in shown
    assert "<code>a&lt;b</code>" in shown
    assert "<li>two</li>" in shown
    assert "<td>&lt;i&gt;</td><td>2</td>" in shown


def test_drawings_escape_text_and_attributes() -> None:
    drawing = Drawing(10, 10, label='"><script>', kind="chart")
    drawing.add("text", text="<b>", title="<i>", data_name='"onload="x')
    shown = drawing.markup()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert 'data-name="&#34;onload=&#34;x"' in shown


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_inside_and_few(low: float, span: float, most: int) -> None:
    high = low + span
    found = ticks(low, high, most=most)
    assert len(found) <= most
    assert all(low - 1e-6 * span <= value <= high + 1e-6 * span for value in found)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-2, 1e7))
def test_scale_bars_are_round_and_fit(span: float) -> None:
    length = nice_length(span)
    assert span / 9 <= length <= span / 3 * 1.001


def test_what_was_not_seen_is_grey_whatever_the_stretch() -> None:
    rgb = np.full((8, 8, 3), 0.5, dtype=np.float32)
    rgb[:4] = np.nan
    rgb[7] = 0.1
    shown = Stretch.of([rgb]).apply(rgb)
    assert np.ptp(shown[:4].astype(int), axis=-1).max() < 20
    assert shown[:4].max() < 150
    small = shrunk(rgb, longest=4)
    assert small.shape == (4, 4, 3)
    assert np.isnan(small[:2]).all()
    assert np.isfinite(small[2:]).all()
