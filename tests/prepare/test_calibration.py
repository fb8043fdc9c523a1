"""Landsat Level 1 digital numbers become reflectance and brightness temperature."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from glacier_core.errors import SceneError
from glacier_core.prepare import LandsatCalibration, Sun
from glacier_core.settings import Settings

SCENE = Settings().data / "scenes/landsat_c2l2_greenland"
NAME = "LC08_L2SP_005009_20150710_20200908_02_T2"


def metadata(**changes: dict[str, Any]) -> dict[str, Any]:
    """What matters of a Landsat 8 Collection 2 Level 2 MTL file, which repeats that of its Level 1 scene."""
    groups: dict[str, Any] = {
        "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": "LC08_L2SP_X"},
        "IMAGE_ATTRIBUTES": {"SUN_AZIMUTH": "150.0", "SUN_ELEVATION": "30.0"},
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {
            "REFLECTANCE_MULT_BAND_4": "2.75e-05",
            "REFLECTANCE_ADD_BAND_4": "-0.2",
        },
        "LEVEL1_PROCESSING_RECORD": {"LANDSAT_PRODUCT_ID": "LC08_L1TP_X"},
        "LEVEL1_RADIOMETRIC_RESCALING": {
            "RADIANCE_MULT_BAND_4": "9.6662E-03",
            "RADIANCE_ADD_BAND_4": "-48.33104",
            "RADIANCE_MULT_BAND_10": "3.3420E-04",
            "RADIANCE_ADD_BAND_10": "0.10000",
            "REFLECTANCE_MULT_BAND_4": "2.0000E-05",
            "REFLECTANCE_ADD_BAND_4": "-0.100000",
        },
        "LEVEL1_THERMAL_CONSTANTS": {"K1_CONSTANT_BAND_10": "774.8853", "K2_CONSTANT_BAND_10": "1321.0789"},
    }
    for group, change in changes.items():
        groups[group] = {key: value for key, value in {**groups[group], **change}.items() if value is not None}
    return {"LANDSAT_METADATA_FILE": groups}


def test_reflectance_worked_by_hand() -> None:
    calibration = LandsatCalibration.from_mtl(json.dumps(metadata()))
    assert calibration.scene == "LC08_L1TP_X"
    assert calibration.sun == Sun(150.0, 30.0)
    # 15000 * 2e-5 - 0.1 = 0.2; over sin 30 degrees: 0.4
    found = calibration.toa_reflectance(np.array([15000, 5000, 0], np.uint16), band="B04")
    np.testing.assert_allclose(found, [0.4, 0.0, math.nan], atol=1e-6)
    assert found.dtype == np.float32
    # the sun overhead, at 30 degrees and below the horizon
    each = calibration.toa_reflectance(
        np.array([15000, 15000, 15000], np.uint16), band="4", sun_elevation_deg=np.array([90, 30, -1], np.float32)
    )
    np.testing.assert_allclose(each, [0.2, 0.4, math.nan], rtol=1e-6)


def test_brightness_temperature_worked_by_hand() -> None:
    calibration = LandsatCalibration.from_mtl(metadata())
    # L = 25000 * 3.342e-4 + 0.1 = 8.455; ln(774.8853 / 8.455 + 1) = ln 92.64815 = 4.528809; 1321.0789 / that = 291.706
    found = calibration.brightness_temperature(np.array([25000, 0], np.uint16), band="B10")
    np.testing.assert_allclose(found, [291.706, math.nan], atol=2e-3)
    # Planck's law the other way round
    temperature = np.array([250.0, 273.15, 300.0])
    radiance = 774.8853 / np.expm1(1321.0789 / temperature)
    numbers = ((radiance - 0.1) / 3.342e-4).astype(np.float32)
    np.testing.assert_allclose(calibration.brightness_temperature(numbers, band="10"), temperature, atol=1e-3)


def test_no_radiance_has_no_temperature() -> None:
    dark = metadata(LEVEL1_RADIOMETRIC_RESCALING={"RADIANCE_ADD_BAND_10": "-10"})
    found = LandsatCalibration.from_mtl(dark).brightness_temperature(np.array([10, math.nan], np.float32), band="10")
    assert np.isnan(found).all()


def test_the_enhanced_thematic_mapper_has_two_thermal_bands() -> None:
    calibration = LandsatCalibration.from_mtl(
        metadata(
            LEVEL1_RADIOMETRIC_RESCALING={
                "RADIANCE_MULT_BAND_6_VCID_1": "0.067",
                "RADIANCE_ADD_BAND_6_VCID_1": "-0.07",
            },
            LEVEL1_THERMAL_CONSTANTS={"K1_CONSTANT_BAND_6_VCID_1": "666.09", "K2_CONSTANT_BAND_6_VCID_1": "1282.71"},
        )
    )
    # L = 130 * 0.067 - 0.07 = 8.64; 1282.71 / ln(666.09 / 8.64 + 1) = 294.36
    found = calibration.brightness_temperature(np.array([130], np.uint8), band="B6_VCID_1")
    np.testing.assert_allclose(found, [294.36], atol=0.02)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("GROUP = LANDSAT", "_MTL.json"),
        ("[]", "_MTL.json"),
        (metadata(IMAGE_ATTRIBUTES={"SUN_ELEVATION": None}), "LC08_L1TP_X lack SUN_ELEVATION"),
        (metadata(IMAGE_ATTRIBUTES={"SUN_ELEVATION": "high"}), "something else than a number"),
        (metadata(IMAGE_ATTRIBUTES={"SUN_ELEVATION": "-3.5"}), "elevation -3.5"),
        (metadata(LEVEL1_RADIOMETRIC_RESCALING={"REFLECTANCE_ADD_BAND_4": None}), "lack REFLECTANCE_ADD_BAND_4"),
        (metadata(LEVEL1_RADIOMETRIC_RESCALING={"REFLECTANCE_MULT_BAND_4": None}), "no rescaling of Level 1"),
    ],
)
def test_metadata_that_cannot_be_used_are_one_line(broken: Any, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        LandsatCalibration.from_mtl(broken)


def test_a_band_without_numbers_names_those_that_have_some() -> None:
    with pytest.raises(SceneError, match="no reflectance of band B10; expected one of 4"):
        LandsatCalibration.from_mtl(metadata()).toa_reflectance(np.zeros(1), band="B10")
    with pytest.raises(SceneError, match="no thermal constants of band 4; expected one of 10"):
        LandsatCalibration.from_mtl(metadata()).brightness_temperature(np.zeros(1), band="4")


def test_the_sun_of_a_stac_item() -> None:
    item = {"id": "S", "properties": {"view:sun_azimuth": 158.5, "view:sun_elevation": 41.0}}
    assert Sun.of_item(item) == Sun(158.5, 41.0)
    with pytest.raises(SceneError, match="item S does not tell"):
        Sun.of_item({"id": "S", "properties": {"view:sun_azimuth": 158.5}})


@pytest.mark.skipif(not SCENE.is_dir(), reason=f"GLACIER_DATA holds no scenes/landsat_c2l2_greenland ({SCENE})")
def test_a_real_scene_agrees_with_its_own_limits_and_surface_temperature() -> None:
    import rasterio

    text = (SCENE / f"{NAME}_MTL.json").read_text(encoding="utf-8")
    calibration = LandsatCalibration.from_mtl(text)
    assert calibration.sun == Sun(177.8846007, 40.0015903)
    limits = json.loads(text)["LANDSAT_METADATA_FILE"]["LEVEL1_MIN_MAX_REFLECTANCE"]
    extremes = calibration.toa_reflectance(np.array([1, 65535], np.uint16), band="4", sun_elevation_deg=90.0)
    expected = [float(limits[f"REFLECTANCE_{end}_BAND_4"]) for end in ("MINIMUM", "MAXIMUM")]
    np.testing.assert_allclose(extremes, expected, atol=1e-5)

    def read(layer: str) -> Any:
        with rasterio.open(SCENE / f"{NAME}_{layer}.TIF") as dataset:
            return dataset.read(1).astype(np.float32)

    # the scene's thermal radiance at the sensor, in thousandths, back to the digital numbers that it came from
    factor, summand = calibration.radiance["10"]
    measured, surface = read("ST_TRAD"), read("ST_B10")
    there = (measured > 0) & (surface > 0)
    brightness = calibration.brightness_temperature((measured[there] * 1e-3 - summand) / factor, band="10")
    # ice is nearly black and the Arctic's air dry: the ground is a little warmer than it looks
    difference = surface[there] * 0.00341802 + 149 - brightness
    assert there.mean() > 0.3
    assert 0 < np.median(difference) < 5
    assert np.corrcoef(surface[there], brightness)[0, 1] > 0.95
