"""CaFFe's layout: names, patches, labels, boxes, splits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacier_core.errors import ConfigurationError, SceneError
from glacier_core.settings import Settings
from glacier_core.sources.caffe import (
    CaffeName,
    CaffePatch,
    CaffeScene,
    arrange,
    list_scenes,
    open_caffe,
    read_box,
    read_front,
    read_mosaic,
    read_zones,
    scenes_by_split,
)
from glacier_core.sources.reading import SceneTrouble
from tests.sources.caffe_files import drawn_scene, write_box, write_scene

FIXTURE = Settings().data / "front/caffe_layout"
CRANE = "Crane_2007-09-22_ENVISAT_20_1_467"
COLUMBIA = "COL_2020-03-08_S1_20_3_094"
JAKOBSHAVN = "JAC_2015-12-23_TSX_6_1_005"

patches = st.builds(CaffePatch, *(st.integers(0, 5000) for _ in range(5)))
names = st.builds(
    CaffeName,
    glacier=st.sampled_from(["COL", "Crane", "DBE", "JAC", "Jorum", "Mapple", "SI"]),
    day=st.dates(min_value=date(1992, 1, 1), max_value=date(2030, 12, 31)),
    sensor=st.sampled_from(["ERS", "RSAT", "ENVISAT", "PALSAR", "TSX", "TDX", "S1"]),
    resolution_m=st.integers(1, 100),
    quality=st.integers(1, 6),
    orbit=st.integers(0, 999).map(lambda number: f"{number:03d}"),
    label=st.sampled_from(["", "zones", "front"]),
    patch=st.none() | patches,
)


def only_scene(root: Path) -> CaffeScene:
    (scene,) = list_scenes(root)
    return scene


# --- names ------------------------------------------------------------------------------------------------------


@given(names)
def test_a_name_survives_writing_and_parsing(name: CaffeName) -> None:
    assert CaffeName.parse(str(name)) == name
    assert CaffeName.parse(f"{name}.png") == name
    assert CaffeName.parse(name.scene) == replace(name, label="", patch=None)


def test_what_the_name_of_a_patch_tells() -> None:
    name = CaffeName.parse(f"{CRANE}_zones__93_102_8_1024_0.png")
    assert name == CaffeName(
        "Crane", date(2007, 9, 22), "ENVISAT", 20, 1, "467", "zones", CaffePatch(93, 102, 8, 1024, 0)
    )
    assert name.scene == CRANE


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Crane.png",
        "Crane_2007-13-22_ERS_20_1_467.png",
        f"{CRANE}_rock.png",
        f"{CRANE}__1_2_3.png",
        f"x {CRANE}.png",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SceneError, match="no name of CaFFe's"):
        CaffeName.parse(name)


# --- patches ----------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(20, 70),
    width=st.integers(20, 70),
    patch=st.sampled_from([16, 20]),
    overlap=st.sampled_from([0, 8]),
)
def test_patches_become_the_image_again(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, patch: int, overlap: int
) -> None:
    root = tmp_path_factory.mktemp("caffe")
    layers = drawn_scene(1, height=height, width=width)
    write_scene(root, CRANE, layers, patch=patch, overlap=overlap)
    scene = only_scene(root)
    mosaic = arrange(scene.files["sar_images"])
    assert (mosaic.height, mosaic.width, mosaic.missing) == (height, width, ())
    np.testing.assert_array_equal(read_mosaic(mosaic, slice(0, height)), layers["sar_images"])
    np.testing.assert_array_equal(read_mosaic(mosaic, slice(7, 19)), layers["sar_images"][7:19])
    np.testing.assert_array_equal(read_zones(scene), layers["zones"])
    np.testing.assert_array_equal(read_front(scene), layers["fronts"] == 255)


def test_whole_and_cut_scenes_are_the_same_series(tmp_path: Path) -> None:
    layers = drawn_scene(2, height=300, width=420)
    write_scene(tmp_path / "whole", CRANE, layers)
    write_scene(tmp_path / "cut", CRANE, layers, patch=128, overlap=64)
    (whole,), (cut,) = (open_caffe(tmp_path / kind) for kind in ("whole", "cut"))
    assert whole == cut
    assert whole.grid.transform == (20.0, 0.0, 0.0, 0.0, -20.0, 6000.0)
    np.testing.assert_array_equal(whole.frames[0].read(slice(40, 90)), cut.frames[0].read(slice(40, 90)))


def test_a_missing_patch_is_unknown_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layers = drawn_scene(3, height=64, width=64)
    write_scene(tmp_path, CRANE, layers, patch=32)
    for path in tmp_path.rglob("*__0_0_2_0_32.png"):  # the upper right quarter of the image and of its labels
        path.unlink()
    (series,) = open_caffe(tmp_path)
    pixels = series.frames[0].read(slice(0, 64))[0]
    unknown = np.zeros((64, 64), bool)
    unknown[:32, 32:] = True
    np.testing.assert_array_equal(np.isnan(pixels), unknown)
    assert series.frames[0].labels["missing_patches"] == "1"
    assert "lacks 1 patches (2)" in caplog.text
    scene = only_scene(tmp_path)
    zones, front = read_zones(scene), read_front(scene)
    assert (zones[unknown] == 0).all()
    assert (front[unknown] == 255).all()
    np.testing.assert_array_equal(zones[~unknown], layers["zones"][~unknown])
    np.testing.assert_array_equal(front[~unknown], (layers["fronts"] == 255)[~unknown])


def test_the_last_column_may_be_missing_in_part_and_the_size_is_still_known(tmp_path: Path) -> None:
    layers = drawn_scene(3, height=96, width=64)
    write_scene(tmp_path, CRANE, layers, patch=32)
    for number, row, column in ((1, 32, 0), (2, 64, 0), (5, 64, 32)):
        for path in tmp_path.rglob(f"*__0_0_{number}_{row}_{column}.png"):
            path.unlink()
    mosaic = arrange(only_scene(tmp_path).files["sar_images"])
    assert (mosaic.height, mosaic.width, mosaic.missing) == (96, 64, (1, 2, 5))


def test_patches_that_disagree_are_refused(tmp_path: Path) -> None:
    layers = drawn_scene(4, height=48, width=48)
    write_scene(tmp_path, CRANE, layers, patch=32, overlap=16)
    first, second = sorted((tmp_path / "sar_images/train").iterdir())[:2]
    second.write_bytes(first.read_bytes())
    (series,) = open_caffe(tmp_path)
    with pytest.raises(SceneError, match="does not agree"):
        series.frames[0].read(slice(0, 48))


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("__0_0_1_32_0", "differ in size or padding"),  # another padding
        ("__16_16_7_32_0", "contradict"),  # another number
        ("__16_16_1_33_0", "contradict"),  # another place
        ("", "whole and in patches"),
    ],
)
def test_positions_that_contradict_each_other_are_refused(tmp_path: Path, rename: str, message: str) -> None:
    write_scene(tmp_path, CRANE, {"sar_images": drawn_scene(5, height=48, width=48)["sar_images"]}, patch=32)
    write_scene(tmp_path, COLUMBIA, {"sar_images": drawn_scene(5, height=48, width=48)["sar_images"]})
    folder = tmp_path / "sar_images/train"
    (folder / f"{CRANE}__16_16_1_32_0.png").rename(folder / f"{CRANE}{rename}.png")
    (series,) = open_caffe(tmp_path)
    assert series.name == "COL-S1-20m"
    (trouble,) = series.troubles
    assert trouble.scene == CRANE
    assert message in trouble.reason


# --- series -----------------------------------------------------------------------------------------------------


def test_a_series_for_each_glacier_sensor_resolution_and_size(tmp_path: Path) -> None:
    small, large = (drawn_scene(seed, height=40 + 8 * seed, width=48) for seed in (0, 1))
    for day in ("2007-09-22", "2003-01-02"):
        write_scene(tmp_path, f"Crane_{day}_ENVISAT_20_1_467", small)
    write_scene(tmp_path, "Crane_2008-01-01_ENVISAT_20_2_467", large, split="val")
    write_scene(tmp_path, "Crane_2009-01-01_TSX_7_1_065", large)
    write_scene(tmp_path, COLUMBIA, small, split="test")
    series = open_caffe(tmp_path)
    assert {one.name: len(one.frames) for one in series} == {
        "COL-S1-20m": 1,
        "Crane-ENVISAT-20m": 2,
        "Crane-ENVISAT-20m-48x48": 1,
        "Crane-TSX-7m": 1,
    }
    frames = series[1].frames
    assert [frame.time for frame in frames] == [datetime(2003, 1, 2, tzinfo=UTC), datetime(2007, 9, 22, tzinfo=UTC)]
    assert frames[1].labels == {
        "glacier": "Crane",
        "sensor": "ENVISAT",
        "resolution_m": "20",
        "quality": "1",
        "orbit": "467",
        "split": "train",
        "scene": CRANE,
        "missing_patches": "0",
    }
    assert [one.name for one in open_caffe(tmp_path, splits=["test"])] == ["COL-S1-20m"]
    assert [one.name for one in open_caffe(tmp_path, splits=["val"])] == ["Crane-ENVISAT-20m"]


def test_splits(tmp_path: Path) -> None:
    layers = drawn_scene(0, height=40, width=48)
    folders = {CRANE: "val", COLUMBIA: "test", "Mapple_2009-01-01_TSX_7_1_065": "test", JAKOBSHAVN: "train"}
    for name, split in folders.items():
        write_scene(tmp_path, name, layers, split=split)
    write_scene(tmp_path, "SI_2009-01-01_TSX_7_1_065", layers, split="val")
    scenes = list_scenes(tmp_path)
    assert scenes_by_split(scenes) == {
        "train": [JAKOBSHAVN],
        "val": [CRANE, "SI_2009-01-01_TSX_7_1_065"],
        "test": [COLUMBIA, "Mapple_2009-01-01_TSX_7_1_065"],
    }
    apart = scenes_by_split(scenes, scheme="crane")
    assert apart == {
        "train": [COLUMBIA, JAKOBSHAVN, "SI_2009-01-01_TSX_7_1_065"],
        "val": ["Mapple_2009-01-01_TSX_7_1_065"],
        "test": [CRANE],
    }
    glaciers = [{CaffeName.parse(name).glacier for name in members} for members in apart.values()]
    assert sum(map(len, glaciers)) == len(set.union(*glaciers)), "no glacier is in two sets"
    with pytest.raises(ConfigurationError, match="official or crane"):
        scenes_by_split(scenes, scheme="other")  # type: ignore[arg-type]


def test_an_image_in_two_folders_counts_once(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_scene(tmp_path, CRANE, drawn_scene(0, height=40, width=48), split=split)
    troubles: list[SceneTrouble] = []
    (scene,) = list_scenes(tmp_path, troubles=troubles)
    assert scene.folder == "train"
    assert [(trouble.scene, trouble.reason) for trouble in troubles] == [
        (CRANE, "it lies in test and in train; that one counts")
    ]


def test_bad_files_are_told_and_left_out(tmp_path: Path) -> None:
    write_scene(tmp_path, CRANE, drawn_scene(0, height=40, width=48))
    folder = tmp_path / "sar_images/train"
    (folder / f"{COLUMBIA}.png").write_bytes(b"")
    (folder / "holiday.png").write_bytes(b"no radar")
    (series,) = open_caffe(tmp_path)
    reasons = {trouble.scene: trouble.reason for trouble in series.troubles}
    assert set(reasons) == {COLUMBIA, "holiday.png"}
    assert "is empty" in reasons[COLUMBIA]


@pytest.mark.parametrize("kind", ["stitched", "separate"])
def test_what_is_left_out_is_told_with_its_glacier(tmp_path: Path, kind: Literal["stitched", "separate"]) -> None:
    layers = drawn_scene(0, height=64, width=32)
    for name in (COLUMBIA, CRANE):
        write_scene(tmp_path, name, layers, patch=32)
    write_scene(tmp_path, CRANE, layers, patch=32, split="val")
    folder = tmp_path / "sar_images/train"
    broken = "Crane_2008-09-22_ENVISAT_20_1_467"
    (folder / f"{broken}__0_0_1_32_0.png").write_bytes(b"")
    (folder / f"{JAKOBSHAVN}.png").write_bytes(b"")
    (folder / "holiday.png").write_bytes(b"no radar")
    told = {one.name: sorted(trouble.scene for trouble in one.troubles) for one in open_caffe(tmp_path, patches=kind)}
    if kind == "stitched":
        # no name of CaFFe's, and a glacier without any usable image
        assert told == {"COL-S1-20m": [JAKOBSHAVN, "holiday.png"], "Crane-ENVISAT-20m": [CRANE, broken]}
    else:
        assert told == {
            "COL-S1-20m-row0-column0": [JAKOBSHAVN, "holiday.png"],
            "COL-S1-20m-row32-column0": [],
            "Crane-ENVISAT-20m-row0-column0": [CRANE],
            "Crane-ENVISAT-20m-row32-column0": [broken],
        }


@pytest.mark.parametrize(
    ("layer", "message"), [("zones", r"zones of .* hold the codes 13.*0, 64, 127, 254"), ("fronts", "no file")]
)
def test_labels_that_do_not_serve(tmp_path: Path, layer: str, message: str) -> None:
    layers = drawn_scene(0, height=40, width=48)
    layers["zones"][3, 3] = 13
    layers.pop("fronts")
    write_scene(tmp_path, CRANE, layers)
    scene = only_scene(tmp_path)
    with pytest.raises(SceneError, match=message):
        read_zones(scene) if layer == "zones" else read_front(scene)


def test_no_layout_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not hold CaFFe's layout"):
        open_caffe(tmp_path / "absent")
    (tmp_path / "sar_images").mkdir()
    with pytest.raises(ConfigurationError, match="holds no image"):
        open_caffe(tmp_path)
    write_scene(tmp_path, CRANE, drawn_scene(0, height=40, width=48))
    with pytest.raises(ConfigurationError, match="no usable image in test"):
        open_caffe(tmp_path, splits=["test"])


# --- boxes ------------------------------------------------------------------------------------------------------


@given(
    left=st.integers(0, 400),
    top=st.integers(0, 400),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    order=st.randoms(),
)
@settings(max_examples=25, deadline=None)
def test_a_box_is_what_its_corners_span(
    tmp_path_factory: pytest.TempPathFactory, left: int, top: int, width: int, height: int, order: object
) -> None:
    root = tmp_path_factory.mktemp("boxes")
    corners = [(float(x), float(y)) for x in (left, left + width) for y in (top, top + height)]
    order.shuffle(corners)  # type: ignore[attr-defined]
    rows, columns = read_box(write_box(root, CRANE, corners=corners))
    assert (rows, columns) == (slice(top, top + height), slice(left, left + width))


def test_a_scene_knows_its_box(tmp_path: Path) -> None:
    write_scene(tmp_path, CRANE, drawn_scene(0, height=40, width=48))
    assert only_scene(tmp_path).box is None
    write_box(tmp_path, CRANE, corners=[(-3.2, 30.4), (-3.2, 5.0), (44.0, 5.0), (44.0, 30.4)])
    box = only_scene(tmp_path).box
    assert box is not None
    assert read_box(box) == (slice(5, 30), slice(0, 44)), "a corner outside the image counts as its edge"
    box.write_text("x,y\n1,2\n3,4\n")
    with pytest.raises(SceneError, match="2 corners"):
        read_box(box)


@pytest.mark.parametrize("ending", ["", "_bb", "__0_0_0_0_0"])
def test_a_box_is_not_that_of_a_longer_orbit(tmp_path: Path, ending: str) -> None:
    scene = "Crane_2007-09-22_ENVISAT_20_1_14"
    corners = [(1.0, 1.0), (1.0, 9.0), (9.0, 1.0), (9.0, 9.0)]
    write_scene(tmp_path, scene, drawn_scene(0, height=40, width=48))
    write_box(tmp_path, f"{scene}2", corners=corners)
    assert only_scene(tmp_path).box is None
    own = write_box(tmp_path, f"{scene}{ending}", corners=corners)
    assert only_scene(tmp_path).box == own


# --- the published layout ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not FIXTURE.is_dir(), reason=f"GLACIER_DATA holds no front/caffe_layout ({FIXTURE})")
def test_the_published_layout_is_read() -> None:
    scenes = list_scenes(FIXTURE)
    assert [scene.id for scene in scenes] == ["Crane_2002-11-09_ERS_20_2_061", CRANE, JAKOBSHAVN]
    assert [len(scene.files["zones"]) for scene in scenes] == [1, 1, 1]
    # its patches are of 32 pixels under names of 256: they do not make up images, and are read one by one
    series = open_caffe(FIXTURE, patches="separate")
    assert [one.name for one in series] == [
        "Crane-ENVISAT-20m-row1024-column0",
        "Crane-ERS-20m-row0-column0",
        "JAC-TSX-6m-row384-column1024",
    ]
    assert all(one.frames[0].read(slice(0, 32)).shape == (1, 32, 32) for one in series)
    with pytest.raises(ConfigurationError, match="read separately"):
        open_caffe(FIXTURE)
