"""Class maps drawn and written: colours, legends, polygons, plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glacier_core.grids import Grid
from glacier_core.measure import pixel_areas
from glacier_core.report import classes as report

NAMES = ("rock", "clean_ice", "lichen", "snow")
GRID = Grid(crs="EPSG:32645", transform=(30.0, 0.0, 480_000.0, 0.0, -30.0, 3_100_000.0), width=30, height=20)


@pytest.fixture
def codes() -> np.ndarray:
    found = np.zeros(GRID.shape, np.uint8)
    found[5:15, 5:15] = 1
    found[:3] = 3
    found[18:, 25:] = 255
    return found


def test_each_class_has_a_colour_of_its_own() -> None:
    for names in (NAMES, ("ice", "clean_ice", "glacier"), tuple(f"c{number}" for number in range(15))):
        colours = report.class_colours(names)
        assert len(set(colours)) == len(names)
        assert all(0 <= part <= 255 for colour in colours for part in colour)


def test_a_legend_names_what_occurs_and_nothing_else(codes: np.ndarray) -> None:
    painted, legend = report.draw_classes(codes, NAMES, unknown="not labelled")
    assert [text for text, _ in legend] == ["rock", "clean ice", "snow", "not labelled"]
    for text, colour in legend[:1]:
        assert (painted[10, 20] == colour).all(), text


def test_changes_are_named_from_what_to_what(codes: np.ndarray) -> None:
    later = codes.copy()
    later[5:15, 5:10] = 0
    painted, legend = report.draw_change(codes, later, NAMES)
    assert [text for text, _ in legend] == ["as before", "clean ice → rock", "not seen"]
    assert (painted[10, 7] == legend[1][1]).all()
    assert (painted[10, 12] == legend[0][1]).all()


def test_polygons_cover_the_pixels_of_their_class(codes: np.ndarray) -> None:
    found = report.class_polygons(codes, GRID, pixel_areas(GRID), names=NAMES, series="a", period="2020")
    assert str(found.crs) == "EPSG:4326"
    by_class = found.groupby("class")["area_km2"].sum()
    assert by_class["clean_ice"] == pytest.approx(100 * 9e-4, rel=2e-3)
    assert by_class["snow"] == pytest.approx(90 * 9e-4, rel=2e-3)
    assert "lichen" not in by_class


def test_plots_and_sheets_are_pictures(tmp_path: Path, codes: np.ndarray) -> None:
    table = np.array([[5.0, 0.2, 0, 0], [0.5, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    report.plot_areas(tmp_path / "a.png", table, periods=["1", "2", "3", "4"], names=NAMES, unit="km2", title="Areas")
    report.plot_transitions(
        tmp_path / "t.png", table, names=NAMES, unit="px", before="1", after="2", title="What became of what"
    )
    pixels, legend = report.draw_classes(codes, NAMES)
    panels = [report.MapSheet("image", pixels), report.MapSheet("classes", pixels, legend)]
    report.draw_sheet(tmp_path / "s.png", panels, title="A")
    for name in ("a.png", "t.png", "s.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 150


def test_an_image_that_shows_nothing_is_drawn_as_unseen() -> None:
    nothing = np.full((4, 5), np.nan, np.float32)
    assert report.true_colour([nothing] * 3).shape == (4, 5, 3)
