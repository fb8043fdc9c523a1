"""`glacier cube` and `glacier preview` as a user runs them: what is built, what is left out, what is refused."""

from __future__ import annotations

import functools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import xarray as xr
import yaml
from numpy.typing import NDArray
from PIL import Image

from glacier_core.cube import open_cube
from glacier_core.errors import ConfigurationError
from glacier_core.settings import Settings
from glacier_core.steps.cubing import build_cubes
from glacier_core.store import Store
from glacier_pipelines.choosing import RECIPES
from glacier_pipelines.command import app, guarded
from tests.object_storage import Endpoint, s3
from tests.pipelines.commands import start
from tests.sources.nsidc.listing_server import ListingServer
from tests.sources.nsidc.nsidc_files import melt_day, write_record, write_season, write_tiff
from tests.sources.scene_files import make_item, numbers, write_catalog, write_raster

__all__ = ["s3"]

SCHEMA = json.loads((RECIPES.parent / "schema" / "cubes.json").read_text(encoding="utf-8"))
REAL = Settings().data.resolve()


@dataclass(frozen=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        assert self.out, self.err
        value: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(value, SCHEMA)
        return value


Glacier = Callable[..., Said]


@pytest.fixture
def glacier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Glacier:
    """The command, in this process and in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLACIER_STORE", str(tmp_path / "store"))

    def run(*arguments: str) -> Said:
        code = guarded(functools.partial(app, list(arguments)))
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


def refused(said: Said, *texts: str, code: int = 2) -> None:
    assert said.code == code, said
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1, said.err
    for text in texts:
        assert text in said.err


def ground(*, seed: int = 0, size: int = 96) -> NDArray[np.uint8]:
    rough = np.random.default_rng(seed).normal(size=(size // 8 + 1, size // 8 + 1))
    smooth = np.kron(rough, np.ones((8, 8)))[:size, :size]
    fine = np.random.default_rng(seed + 1).normal(size=(size, size))
    return np.clip(128 + 30 * smooth + 18 * fine, 1, 255).astype(np.uint8)


def write_frames(folder: Path, days: Sequence[str], *, size: int = 96, places: Sequence[str] = ("a",)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place in places:
        for number, day in enumerate(days):
            Image.fromarray(ground(seed=10 * number, size=size)).save(folder / f"{place}_{day}.png")
    return folder


def recipe_file(folder: Path, imagery: dict[str, Any] | None = None, **keys: Any) -> str:
    value = {
        "name": "small",
        "kind": "cube",
        "title": "Small",
        "data": str(folder),
        "imagery": {"source": "frames", "files": "*.png", "bands": ["grey"], **(imagery or {})},
        **keys,
    }
    path = folder.parent / "small.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return str(path)


DAYS = ("2020-01-05", "2020-02-10", "2020-12-20", "2021-01-15")


def test_what_cannot_be_used_is_left_out_and_told(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS)
    Image.fromarray(ground(size=64)).save(folder / "a_2020-03-01.png")
    (folder / "a_2020-04-01.png").write_bytes(b"")
    Image.fromarray(ground()).save(folder / "a_2020-13-45.png")
    whole = (folder / "a_2020-01-05.png").read_bytes()
    (folder / "a_2020-05-01.png").write_bytes(whole[: len(whole) // 2])  # a header, and half of the pixels
    recipe = recipe_file(folder)

    said = glacier("cube", recipe)
    assert said.code == 0, said.err
    for text in ("dims     time 4, band 1, y 96, x 96", "crs      none", "left out 4", "64 x 64", "no date", "bytes"):
        assert text in said.out, said.out
    (cube,) = glacier("cube", recipe, "--json").object["cubes"]
    assert cube["reused"]
    assert {entry["frame"][:12] for entry in cube["left_out"]} == {
        "a_2020-03-01", "a_2020-04-01", "a_2020-13-45", "a_2020-05-01",
    }  # fmt: skip
    opened = open_cube(cube["path"])
    assert [str(time)[:10] for time in opened["time"].values] == list(DAYS)
    assert [str(name) for name in opened["frame"].values] == [f"a_{day}" for day in DAYS]
    np.testing.assert_array_equal(opened["imagery"].values[2, 0], ground(seed=20))
    assert json.loads(opened.attrs["left_out"]) == cube["left_out"]


def test_a_second_call_reuses_and_a_changed_file_does_not(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2])
    recipe = recipe_file(folder)
    first, second = (glacier("cube", recipe, "--json").object["cubes"][0] for _ in range(2))
    assert (first["reused"], second["reused"]) == (False, True)
    assert first["path"] == second["path"]
    Image.fromarray(ground(seed=77)).save(folder / f"a_{DAYS[0]}.png")
    third = glacier("cube", recipe, "--json").object["cubes"][0]
    assert not third["reused"]
    assert third["path"] != first["path"]
    assert glacier("gc", "--older-than-days", "0").code == 0
    assert open_cube(third["path"]).sizes["time"] == 2  # what was built last is kept


def source_recipe(folder: Path, imagery: dict[str, Any], **keys: Any) -> str:
    """A recipe of any source."""
    path = Path(recipe_file(folder, **keys))
    path.write_text(
        yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")) | {"imagery": imagery}), encoding="utf-8"
    )
    return str(path)


def changed_with(glacier: Glacier, recipe: str, change: Callable[[], object]) -> NDArray[np.float32]:
    """The pixels after a change of what they are read from; before it, a second call must find the cube."""
    first, second = (glacier("cube", recipe, "--json").object["cubes"][0] for _ in range(2))
    assert (first["reused"], second["reused"]) == (False, True)
    change()
    third = glacier("cube", recipe, "--json").object["cubes"][0]
    assert not third["reused"]
    pixels: NDArray[np.float32] = open_cube(third["path"])["imagery"].values
    return pixels


def test_a_month_that_a_server_replaced_is_read_anew(glacier: Glacier, tmp_path: Path) -> None:
    month = tmp_path / "published" / "north" / "N_202301_concentration_v3.0.tif"
    write_tiff(month, value=300)
    with ListingServer(tmp_path / "published") as server:
        imagery = {"source": "sea_ice_index", "location": server.url, "cache": str(tmp_path / "cache")}
        recipe = source_recipe(tmp_path / "data", imagery)
        assert np.nanmax(changed_with(glacier, recipe, lambda: write_tiff(month, value=700))) == pytest.approx(0.7)


def test_a_near_real_time_folder_counts_too(glacier: Glacier, tmp_path: Path) -> None:
    write_record(tmp_path / "final" / "sic_psn25_202301_F17_v05r00.nc", [30], first="2023-01")
    month = tmp_path / "interim" / "sic_psn25_202302_F17_icdr_v03r00.nc"
    write_record(month, [40], first="2023-02")
    imagery = {
        "source": "sea_ice_record",
        "location": str(tmp_path / "final"),
        "near_real_time": str(tmp_path / "interim"),
    }
    recipe = source_recipe(tmp_path / "data", imagery)
    pixels = changed_with(glacier, recipe, lambda: write_record(month, [90], first="2023-02"))
    assert np.nanmax(pixels[1]) == pytest.approx(0.9)


def test_a_melt_zip_that_a_server_replaced_is_read_anew(glacier: Glacier, tmp_path: Path) -> None:
    path = tmp_path / "published" / "melt_season_1989_1990.zip"

    def write(melting: float) -> None:
        write_season(path, {date(1990, 1, day): melt_day(melting=melting) for day in range(1, 14)})

    write(0.2)
    with ListingServer(tmp_path / "published") as server:
        recipe = source_recipe(tmp_path / "data", {"source": "antarctic_melt", "location": server.url})
        few = (melt_day(melting=0.2) == 2).sum()
        assert np.nansum(changed_with(glacier, recipe, lambda: write(0.8)) > 0) > 1.5 * few


@pytest.mark.parametrize("remote", [True, False])
def test_a_datacube_that_was_written_anew_is_read_anew(glacier: Glacier, tmp_path: Path, remote: bool) -> None:  # noqa: FBT001
    url = f"memory://{tmp_path.name}/velocity.zarr" if remote else str(tmp_path / "velocity.zarr")

    def write(speed: float) -> None:
        values = np.full((1, 8, 8), speed, np.float32)
        cube = xr.Dataset(
            {
                name: (("mid_date", "y", "x"), values, {"units": "m/yr", "grid_mapping": "mapping"})
                for name in ("vx", "vy")
            }
            | {"mapping": ((), 0, {"spatial_epsg": 3413})},
            coords={
                "mid_date": np.array(["2020-01-01"], "datetime64[ns]"),
                "x": np.arange(8) * 120.0,
                "y": -np.arange(8) * 120.0,
            },
        )
        cube.to_zarr(url, mode="w")

    write(100)
    recipe = source_recipe(tmp_path / "data", {"source": "velocity", "location": url})
    assert changed_with(glacier, recipe, lambda: write(200)).max() == pytest.approx(200, rel=0.01)


def test_a_scene_that_was_rewritten_is_read_anew_though_its_item_does_not_tell(
    glacier: Glacier, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "B04.tif", numbers(1, 96, high=4000))
    write_catalog(tmp_path, [make_item("one", day="2020-08-01", links={"B04": str(path)})])
    imagery = {"source": "stac", "catalog": str(tmp_path / "catalog.json"), "bands": ["B04"]}
    recipe = source_recipe(tmp_path / "data", imagery, years=[2020, 2020])
    pixels = changed_with(glacier, recipe, lambda: write_raster(path, np.full((96, 96), 5000, np.uint16)))
    assert (np.nanmin(pixels), np.nanmax(pixels)) == pytest.approx((0.5, 0.5), abs=1e-3)


def test_files_of_a_folder_that_are_no_scenes_are_told(glacier: Glacier, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    write_raster(folder / "a_2020-08-01.tif", numbers(1, 96))
    (folder / "a_2020-08-02.tif").write_bytes(b"")
    (folder / "a_2020-08-03.tif").write_bytes(b"II*\0 no TIFF after all")
    recipe = source_recipe(
        folder, {"source": "folder", "bands": ["red"], "files": [{"pattern": "a_*.tif", "bands": ["red"]}]}
    )
    said = glacier("cube", recipe)
    assert said.code == 0, said.err
    assert "left out 2" in said.out
    (cube,) = glacier("cube", recipe, "--json").object["cubes"]
    assert [entry["frame"] for entry in cube["left_out"]] == ["a_2020-08-02.tif", "a_2020-08-03.tif"]


def test_no_usable_frame_is_refused_and_publishes_nothing(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2])
    for path in folder.glob("*.png"):
        path.write_bytes(path.read_bytes()[:2000])
    recipe = recipe_file(folder)
    refused(glacier("cube", recipe), "no usable frame is left of", "expected at least one")
    assert not list((tmp_path / "store").rglob("zarr.json"))
    for path in folder.glob("*.png"):
        path.write_bytes(b"")
    refused(glacier("cube", recipe), "no usable image")
    refused(glacier("cube", recipe, "--set", "data=/nowhere/at/all"), "does not exist")


def test_a_place_that_fails_leaves_the_others(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2], places=("east", "west"))
    for path in folder.glob("west*.png"):
        path.write_bytes(path.read_bytes()[:2000])
    recipe = recipe_file(folder, {"place_pattern": "^[a-z]+"})
    said = glacier("cube", recipe, "--json")
    assert said.code == 3, said.err
    assert [cube["place"] for cube in said.object["cubes"]] == ["east"]
    assert "no usable frame" in said.object["failed"][0]["reason"]
    refused(glacier("cube", recipe, "--place", "eats"), "place 'eats'", "expected 'east'")
    assert glacier("cube", recipe, "--place", "east").code == 0


def test_numbers_that_are_not_the_quantity_are_not_clipped_in_silence(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:1])
    recipe = recipe_file(folder, {"quantities": ["reflectance"]})
    refused(glacier("cube", recipe), "beyond what reflectance can be", "scale")
    assert glacier("cube", recipe, "--set", "imagery.scale=0.001").code == 0


def test_a_frame_in_which_nothing_is_seen_is_left_out(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2])
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(folder / f"a_{DAYS[2]}.png")
    (cube,) = glacier("cube", recipe_file(folder, {"nodata": 0}), "--json").object["cubes"]
    assert cube["dims"]["time"] == 2
    assert [entry["frame"] for entry in cube["left_out"]] == [f"a_{DAYS[2]}"]
    assert "nothing is seen" in cube["left_out"][0]["reason"]


def test_years_season_and_composites(glacier: Glacier, tmp_path: Path) -> None:
    recipe = recipe_file(write_frames(tmp_path / "frames", DAYS), season=["12-01", "01-31"])

    def dates(*changes: str) -> list[str]:
        arguments = [part for change in changes for part in ("--set", change)]
        return [text[:10] for text in glacier("cube", recipe, "--json", *arguments).object["cubes"][0]["dates"]]

    assert dates() == [DAYS[0], DAYS[2], DAYS[3]]
    # a season across New Year counts for the year in which it ends
    assert dates("years=[2021, 2021]") == [DAYS[2], DAYS[3]]
    assert dates("season=null", "composite=yearly") == ["2020-01-01", "2021-01-01"]
    (cube,) = glacier("cube", recipe, "--json", "--set", "season=null", "--set", "composite=yearly").object["cubes"]
    expected = np.median([ground(seed=10 * number) for number in range(3)], axis=0)
    np.testing.assert_array_equal(open_cube(cube["path"])["imagery"].values[0, 0], expected)


def test_a_composite_tells_the_frames_that_it_is_without(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2])
    whole = (folder / f"a_{DAYS[1]}.png").read_bytes()
    (folder / f"a_{DAYS[1]}.png").write_bytes(whole[: len(whole) // 2])
    (cube,) = glacier("cube", recipe_file(folder, composite="yearly"), "--json").object["cubes"]
    (entry,) = cube["left_out"]
    assert entry["frame"] == f"a_{DAYS[1]}"
    assert entry["reason"].startswith("left out of 2020: ")
    np.testing.assert_array_equal(open_cube(cube["path"])["imagery"].values[0, 0], ground())


def shifted_frames(folder: Path) -> Path:
    """The same ground three times, the second time moved, and once another place."""
    folder.mkdir()
    size, across, down = 256, 5, -3
    scene = ground(seed=3, size=size + 32)
    for day, (dx, dy) in {"2020-01-01": (0, 0), "2020-02-01": (across, down), "2020-03-01": (0, 0)}.items():
        picture = scene[16 - dy : 16 - dy + size, 16 - dx : 16 - dx + size]
        Image.fromarray(picture).save(folder / f"a_{day}.png")
    Image.fromarray(ground(seed=99, size=size)).save(folder / "a_2020-04-01.png")
    return folder


def test_shifts_are_applied_and_kept_and_a_stranger_is_left_out(glacier: Glacier, tmp_path: Path) -> None:
    folder = shifted_frames(tmp_path / "frames")
    recipe = recipe_file(folder, coregistration={"reference": "2020-01-01"})
    said = glacier("cube", recipe)
    assert said.code == 0, said.err
    assert "a_2020-04-01             refused" in said.out
    (cube,) = glacier("cube", recipe, "--json").object["cubes"]
    assert [entry["verdict"] for entry in cube["shifts"]] == ["reference", "aligned", "aligned", "refused"]
    assert cube["dims"]["time"] == 3
    opened = open_cube(cube["path"])
    np.testing.assert_allclose(opened["shift_x_px"].values, [0, -5, 0], atol=0.05)
    np.testing.assert_allclose(opened["shift_y_px"].values, [0, 3, 0], atol=0.05)
    first, second = opened["imagery"].values[:2, 0]
    known = np.isfinite(second)
    assert 0.9 < known.mean() < 1
    np.testing.assert_allclose(second[known], first[known], atol=12)
    (still,) = glacier("cube", recipe, "--json", "--set", "coregistration.apply=false").object["cubes"]
    assert still["dims"]["time"] == 4
    assert not np.allclose(open_cube(still["path"])["imagery"].values[1, 0][known], first[known], atol=12)
    refused(glacier("cube", recipe, "--set", "coregistration.band=nir"), "coregistration.band", "grey")
    refused(glacier("cube", recipe, "--set", "coregistration.reference=2019"), "coregistration.reference")


def test_a_broken_entry_of_a_zip_is_left_out(glacier: Glacier, tmp_path: Path) -> None:
    folder = tmp_path / "melt"
    path = write_season(
        folder / "melt_season_1989_1990.zip", {date(1990, 1, day): melt_day(seed=day) for day in range(1, 14)}
    )
    body = bytearray(path.read_bytes())
    at = body.index(b"antarctica_melt_19900107")
    name_length, extra_length = struct.unpack("<HH", body[at - 4 : at])
    at += name_length + extra_length
    body[at + 20 : at + 60] = bytes(40)
    path.write_bytes(bytes(body))
    recipe = recipe_file(folder, years=[1990, 1990])
    value = yaml.safe_load(Path(recipe).read_text(encoding="utf-8")) | {"imagery": {"source": "antarctic_melt"}}
    Path(recipe).write_text(yaml.safe_dump(value), encoding="utf-8")
    said = glacier("cube", recipe, "--json")
    assert said.code == 0, said.err
    (cube,) = said.object["cubes"]
    assert cube["dims"]["time"] == 1
    assert any("19900107" in entry["frame"] for entry in cube["left_out"]), cube["left_out"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut of the demo: one massif, one glacier, two years."""
    value = yaml.safe_load((RECIPES / "demo.yaml").read_text(encoding="utf-8"))
    value |= {"name": "twin", "years": [2016, 2017]}
    value["imagery"]["simulation"] |= {"places": 1, "glaciers_per_place": 1, "scenes_per_year": 1, "size": 128}
    folder = tmp_path_factory.mktemp("simulated")
    path = folder / "twin.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


def test_a_recipe_of_the_kind_extent_gives_a_cube_a_glacier(
    glacier: Glacier, simulated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GLACIER_STORE", str(simulated.parent / "store"))
    said = glacier("cube", str(simulated), "--json", "--set", "imagery.max_cloud_percent=100")
    assert said.code == 0, said.err
    (cube,) = said.object["cubes"]
    assert cube["dims"]["time"] == 2
    assert cube["bands"][:3] == ["B04", "B03", "B02"]
    assert cube["crs"].startswith("EPSG:32")
    opened = open_cube(cube["path"])
    assert np.nanmax(opened["imagery"].values) < 2
    near = cube["place"][:-1] + "Z"
    refused(
        glacier("cube", str(simulated), "--set", f"glaciers.ids=[{near}]"), f"'{near}'", f"'{cube['place']}'", "ids"
    )
    refused(glacier("cube", str(simulated), "--set", "imagery.bands=[B99]"), "B99")
    assert glacier("preview", f"twin/{cube['place']}", "--out", str(tmp_path / "sheet.png")).code == 0
    assert Image.open(tmp_path / "sheet.png").width > 1000


def test_wrong_recipes_get_one_line(glacier: Glacier, tmp_path: Path) -> None:
    recipe = recipe_file(write_frames(tmp_path / "frames", DAYS[:1]))
    refused(glacier("cube", recipe, "--set", "imagery.source=framse"), "imagery.source is 'framse'", "'frames'?")
    refused(glacier("cube", recipe, "--set", "imagery.bnads=[a]"), "unknown key 'imagery.bnads'", "'bands'?")
    refused(glacier("cube", recipe, "--set", "kind=cubes"), "kind is 'cubes'", "'cube'?")
    refused(glacier("cube", recipe, "--set", "box=[1, 2, 3, 4]"), "leave 'box' out")
    refused(glacier("cube", recipe, "--set", "imagery.date_pattern=x"), "date_pattern")
    refused(glacier("cube", recipe, "--catalog", "somewhere"), "no catalog")
    for command in ("run", "train", "monitor"):
        refused(glacier(command, recipe), "kind 'cube'", "use glacier cube")


def test_check_counts_frames(glacier: Glacier, tmp_path: Path) -> None:
    recipe = recipe_file(write_frames(tmp_path / "frames", DAYS))
    found = json.loads(glacier("check", recipe, "--json").out)
    assert (found["cubes"], found["frames"], found["pixels"], found["bytes"]) == (1, 4, 4 * 96**2, 16 * 96**2)
    assert not list((tmp_path / "store").rglob("zarr.json"))


def test_a_preview_is_drawn_of_a_path_a_place_or_a_recipe(glacier: Glacier, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", DAYS[:2], places=("east", "west"))
    recipe = recipe_file(folder, {"place_pattern": "^[a-z]+"})
    cubes = glacier("cube", recipe, "--json").object["cubes"]
    assert glacier("preview", cubes[0]["path"], "--out", "one.png").out.strip() == "one.png"
    assert glacier("preview", "small/west").out.strip() == "small-west.png"
    assert glacier("preview", "small", "--out", "sheets").out.split() == [
        "sheets/small-east.png",
        "sheets/small-west.png",
    ]
    refused(glacier("preview", "small", "--out", "all.png"), "several cubes")
    refused(glacier("preview", "smal"), "no cube is called 'smal'", "glacier cube smal")
    refused(glacier("preview", "small/west", "--band", "red"), "--band red", "grey")
    refused(glacier("preview", str(tmp_path / "nowhere.zarr")), "no cube")


def test_an_absent_bucket_is_one_line(s3: Endpoint, glacier: Glacier, tmp_path: Path) -> None:
    recipe = recipe_file(write_frames(tmp_path / "frames", DAYS[:1]))
    refused(glacier("cube", recipe, "--store", "s3://no-such-bucket/x"), "no-such-bucket")


def test_a_cube_on_s3(s3: Endpoint, glacier: Glacier, tmp_path: Path) -> None:
    recipe = recipe_file(write_frames(tmp_path / "frames", DAYS[:2]))
    said = glacier("cube", recipe, "--store", "s3://glacier/cubes", "--json")
    assert said.code == 0, said.err
    (cube,) = said.object["cubes"]
    assert cube["path"].startswith("s3://glacier/cubes")
    np.testing.assert_array_equal(open_cube(cube["path"])["imagery"].values[1, 0], ground(seed=10))
    assert glacier("cube", recipe, "--store", "s3://glacier/cubes", "--json").object["cubes"][0]["reused"]
    assert glacier("preview", "small", "--store", "s3://glacier/cubes").code == 0


# --- interrupted ------------------------------------------------------------------------------------------------


def many_frames(folder: Path, *, count: int = 120, size: int = 700) -> str:
    folder.mkdir()
    picture = Image.fromarray(np.kron(ground(size=100), np.ones((7, 7), np.uint8))[:size, :size])
    picture.save(folder / "first.png", compress_level=1)
    body = (folder / "first.png").read_bytes()
    (folder / "first.png").unlink()
    for number in range(count):
        (folder / f"a_{2000 + number // 12}-{number % 12 + 1:02d}-01.png").write_bytes(body)
    return recipe_file(folder, memory_mb=64)


def begun(process: subprocess.Popen[str], store: Path) -> None:
    """Wait until pixels are being written."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if any(store.glob("stages/cube/*/attempts/*/cube.zarr/imagery/c.*")):
            return
        time.sleep(0.01)
    pytest.fail(f"the build ended before it could be interrupted: {process.communicate()}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_build_leaves_nothing_and_the_next_one_is_whole(
    tmp_path: Path, glacier: Glacier, how: signal.Signals
) -> None:
    recipe = many_frames(tmp_path / "frames")
    process = start(["cube", recipe, "--json"], tmp_path)
    begun(process, tmp_path / "store")
    os.kill(process.pid, how)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert err.strip().splitlines()[-1] == "glacier: interrupted"
        assert not list((tmp_path / "store").glob("stages/cube/*/attempts/*"))
    assert not list((tmp_path / "store").rglob("_published.json"))
    assert not list((tmp_path / "store").glob("stages/cube/*/attempts/*/cube.zarr/zarr.json"))
    refused(glacier("preview", "small"), "no cube is called")
    (cube,) = glacier("cube", recipe, "--json").object["cubes"]
    opened = open_cube(cube["path"])["imagery"]
    assert opened.sizes["time"] == 120
    assert all(bool(np.isfinite(opened[index, 0, ::50, ::50]).all()) for index in range(0, 120, 17))


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A cube more than 20 times larger than the allowance takes little more than one of a single frame.

    So does the median of all its frames.
    """
    folder = tmp_path / "frames"
    folder.mkdir()
    frame = np.zeros((2048, 2048), np.float32)
    np.save(folder / "f_2000-01-01.npy", frame)
    for day in range(2, 23):
        (folder / f"f_2000-01-{day:02d}.npy").symlink_to(folder / "f_2000-01-01.npy")
    recipe = recipe_file(folder, {"files": "*.npy", "date_pattern": "", "quantities": ["height"]}, memory_mb=16)
    code = (
        "import sys\nfrom glacier_core import Store, load_recipe\nfrom glacier_core.steps.cubing import build_cubes\n"
        "from glacier_core.steps.running import peak_mb\n"
        "before = peak_mb()\n"
        "built = build_cubes(load_recipe(sys.argv[1], overrides=sys.argv[3:]), Store(sys.argv[2]))\n"
        "print(built.cubes[0].raw_bytes / 2**20, peak_mb())"
    )

    def peak(name: str, *overrides: str) -> tuple[float, float]:
        done = subprocess.run(
            [sys.executable, "-c", code, recipe, str(tmp_path / name), *overrides],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "GLACIER_THREADS": "2"},
        )
        raw, most = done.stdout.split()
        return float(raw), float(most)

    _, least = peak("one", "imagery.files=f_2000-01-01.npy")
    raw, most = peak("all")
    assert raw > 20 * 16
    assert most < least + 16, (least, most)
    _, median = peak(
        "median", "composite=yearly", r"imagery.date_pattern=(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    )
    assert median < least + 16, (least, median)


# --- real data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "place", "dims"),
    [
        ("parvati-frames", "frames", (4, 1, 800, 800)),
        ("kaskawulsh-velocity", "velocity", (1, 2, 602, 926)),
        ("greenland-frames", "008011", (10, 1, 300, 200)),
        ("caffe-images", "JAC-TSX-6m-row384-column1024", (1, 1, 32, 32)),
        ("glacier-heights", "baltoro_srtm_clip", (1, 1, 430, 860)),
        ("norway-cubes", "G006678E61661N", (1, 6, 128, 128)),
        ("jakobshavn-frames", "Kangerlussuaq", (1, 1, 700, 1600)),
        ("greenland-scene", "scenes", (1, 6, 509, 502)),
        ("daugaard-jensen-pair", "frames", (2, 1, 1950, 1450)),
    ],
)
def test_shipped_recipes_read_the_real_folders(
    glacier: Glacier, recipe: str, place: str, dims: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there (GLACIER_DATA)")
    monkeypatch.setenv("GLACIER_DATA", str(REAL))
    said = glacier("cube", recipe, "--place", place, "--json")
    assert said.code == 0, said.err
    (cube,) = said.object["cubes"]
    assert tuple(cube["dims"][name] for name in ("time", "band", "y", "x")) == dims
    assert np.isfinite(open_cube(cube["path"])["imagery"].values).mean() > 0.4


def test_build_cubes_is_public_and_typed(tmp_path: Path) -> None:
    from glacier_core import load_recipe

    recipe = load_recipe(recipe_file(write_frames(tmp_path / "frames", DAYS[:1])))
    built = build_cubes(recipe, Store(tmp_path / "store"))
    assert [report.place for report in built.cubes] == ["frames"]
    with pytest.raises(ConfigurationError, match="place 'x'"):
        build_cubes(recipe, Store(tmp_path / "store"), places=["x"])
