"""Contact sheets: what is drawn of which cube, and that unseen ground is never taken for something seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from glacier_core.cube import create_cube
from glacier_core.cube.schema import packing_of
from glacier_core.errors import ConfigurationError, DataError, StoreError
from glacier_core.grids import Grid
from glacier_core.report.contact_sheet import draw_contact_sheet

UTM = Grid(crs="EPSG:32645", transform=(30.0, 0.0, 500_000.0, 0.0, -30.0, 3_100_000.0), width=60, height=40)
DEGREES = Grid(crs="EPSG:4326", transform=(0.001, 0.0, 86.0, 0.0, -0.001, 60.04), width=60, height=40)
LOCAL = Grid(crs="", transform=(1.0, 0.0, 0.0, 0.0, -1.0, 40.0), width=60, height=40)
HATCH = (124, 132, 138)


def write(
    path: Path,
    pixels: NDArray[np.float32],
    *,
    bands: Sequence[str],
    quantities: Sequence[str],
    grid: Grid = UTM,
    masks: Mapping[str, NDArray[np.uint8]] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> str:
    packing, units = packing_of(quantities)
    days = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=16 * number) for number in range(len(pixels))]
    writer = create_cube(
        str(path),
        grid=grid,
        times=[np.datetime64(day.replace(tzinfo=None), "ns") for day in days],
        bands=bands,
        packing=packing,
        band_units=units if len(set(quantities)) > 1 else (),
        labels={"frame": [f"frame {number}" for number in range(len(pixels))], "sensor": ["OLI"] * len(pixels)},
        masks=masks or {},
        attrs={"title": "A test", "quantities": json.dumps(list(quantities)), **(attrs or {})},
    )
    writer.write(slice(0, len(pixels)), slice(0, grid.height), slice(0, grid.width), pixels)
    writer.close()
    return str(path)


def noise(*shape: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def has_colour(picture: Path, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(np.asarray(Image.open(picture).convert("RGB")).astype(int) - colour).max(axis=-1) < 3).any())


@pytest.mark.parametrize(
    ("bands", "quantity", "grid"),
    [
        (("blue", "green", "red", "nir"), "reflectance", UTM),
        (("vx", "vy"), "velocity", UTM),
        (("height",), "height", DEGREES),
        (("zones",), "class", LOCAL),
        (("hh",), "backscatter", UTM),
        (("ndsi",), "index", LOCAL),
    ],
)
def test_every_quantity_is_drawn(tmp_path: Path, grid: Grid, bands: tuple[str, ...], quantity: str) -> None:
    pixels = noise(3, len(bands), 40, 60)
    if quantity == "class":
        pixels = np.floor(pixels * 4)
    cube = write(tmp_path / "c.zarr", pixels, bands=bands, quantities=[quantity] * len(bands), grid=grid)
    out = draw_contact_sheet(cube, tmp_path / "sheet.png")
    picture = Image.open(out)
    assert picture.width == 1650
    assert np.asarray(picture.convert("L")).std() > 5


def test_unseen_ground_is_grey_and_masks_have_their_colour(tmp_path: Path) -> None:
    pixels = np.ones((2, 1, 40, 60), np.float32)
    whole = draw_contact_sheet(
        write(tmp_path / "a.zarr", pixels, bands=["ice"], quantities=["ice_fraction"]), tmp_path / "a.png"
    )
    pixels[:, :, :20] = np.nan
    land = np.zeros((40, 60), np.uint8)
    land[:10] = 1
    part = draw_contact_sheet(
        write(tmp_path / "b.zarr", pixels, bands=["ice"], quantities=["ice_fraction"], masks={"land": land}),
        tmp_path / "b.png",
    )
    brown = (0x8D, 0x7B, 0x68)
    seen, unseen = (np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3) for path in (whole, part))
    counts = [int((np.abs(picture.astype(int) - HATCH).max(axis=-1) < 3).sum()) for picture in (seen, unseen)]
    assert counts[1] > 20 * counts[0]  # the legend alone, and a quarter of the pictures
    assert has_colour(part, brown)
    assert not has_colour(whole, brown)


def test_a_long_series_is_thinned_evenly(tmp_path: Path) -> None:
    cube = write(tmp_path / "c.zarr", noise(100, 1, 40, 60), bands=["x"], quantities=["probability"])
    few = draw_contact_sheet(cube, tmp_path / "few.png", times=4)
    many = draw_contact_sheet(cube, tmp_path / "many.png")
    assert Image.open(few).size != Image.open(many).size


def test_the_same_cube_gives_the_same_bytes(tmp_path: Path) -> None:
    cube = write(
        tmp_path / "c.zarr", noise(2, 3, 40, 60), bands=["red", "green", "blue"], quantities=["reflectance"] * 3
    )
    first, second = (draw_contact_sheet(cube, tmp_path / name).read_bytes() for name in ("1.png", "2.png"))
    assert first == second


def test_what_was_left_out_is_listed(tmp_path: Path) -> None:
    pixels = noise(1, 1, 40, 60)
    plain = write(tmp_path / "a.zarr", pixels, bands=["x"], quantities=["index"])
    entries = [{"frame": f"f{number}", "reason": "costs $5 and $6"} for number in range(9)]
    listed = write(
        tmp_path / "b.zarr", pixels, bands=["x"], quantities=["index"], attrs={"left_out": json.dumps(entries)}
    )
    heights = [Image.open(draw_contact_sheet(cube, tmp_path / "s.png")).height for cube in (plain, listed)]
    assert heights[1] > heights[0] + 100


def test_a_cube_of_nothing_but_gaps_is_drawn(tmp_path: Path) -> None:
    pixels = np.full((1, 2, 40, 60), np.nan, np.float32)
    for name, bands, quantities in (
        ("a", ["vx", "vy"], ["velocity"] * 2),
        ("b", ["h", "t"], ["height", "temperature"]),
        ("c", ["k", "l"], ["class"] * 2),
    ):
        cube = write(tmp_path / f"{name}.zarr", pixels, bands=bands, quantities=quantities)
        assert has_colour(draw_contact_sheet(cube, tmp_path / f"{name}.png"), HATCH)


def test_wrong_bands_and_absent_cubes_are_refused(tmp_path: Path) -> None:
    cube = write(tmp_path / "c.zarr", noise(1, 2, 40, 60), bands=["a", "b"], quantities=["index"] * 2)
    for bands in (["c"], ["a", "b"]):
        with pytest.raises(ConfigurationError, match="one or three of a, b"):
            draw_contact_sheet(cube, tmp_path / "s.png", bands=bands)
    with pytest.raises(DataError):
        draw_contact_sheet(str(tmp_path / "absent.zarr"), tmp_path / "s.png")


def test_a_damaged_chunk_and_a_sheet_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    cube = write(tmp_path / "c.zarr", noise(1, 1, 40, 60), bands=["a"], quantities=["index"])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        draw_contact_sheet(cube, tmp_path / "absent" / "s.png")
    (chunk,) = (tmp_path / "c.zarr" / "imagery").glob("c.*")
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(StoreError, match="damaged"):
        draw_contact_sheet(cube, tmp_path / "s.png")
