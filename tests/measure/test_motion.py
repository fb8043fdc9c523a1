"""Displacement, velocity, its error over stable ground, and predicted images."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.measure.motion import (
    Displacements,
    Tracking,
    average,
    compare,
    frame_errors,
    over_stable_ground,
    pairs_of,
    read_given,
    track,
)
from glacier_core.measure.motion.consistency import consistent
from glacier_core.settings import Settings
from tests.measure.warped_images import Image, Motion, moved, smooth_motion, texture

MOTION = Settings().data / "motion"
LIMIT_PX = 0.1


def needs(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (MOTION / folder).is_dir(), reason=f"GLACIER_DATA holds no motion/{folder}")


def missed(field: Displacements, motion: Motion) -> NDArray[np.float64]:
    """Errors of the reliable vectors, in pixels."""
    dx, dy = motion(*np.meshgrid(field.rows, field.columns, indexing="ij"))
    return np.asarray(np.hypot(field.dx_px - dx, field.dy_px - dy)[field.reliable])


# --- tracking ---------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(dx=st.floats(-5, 5), dy=st.floats(-5, 5), seed=st.integers(0, 99))
def test_a_shift_is_found_to_a_part_of_a_pixel(dx: float, dy: float, seed: int) -> None:
    first = texture((128, 144), seed=seed)
    second = moved(first, lambda rows, columns: (np.full_like(columns, dx), np.full_like(rows, dy)))
    field = track(first, second, settings=Tracking(template_px=32, search_px=8))
    assert field.reliable.mean() > 0.6
    inside = field.reliable[1:-1, 1:-1]
    assert np.abs(field.dx_px[1:-1, 1:-1][inside] - dx).max() < LIMIT_PX
    assert np.abs(field.dy_px[1:-1, 1:-1][inside] - dy).max() < LIMIT_PX


def test_a_smooth_motion_is_found_under_other_light_and_noise() -> None:
    first = texture((256, 256))
    motion = smooth_motion(first.shape)
    second = moved(first, motion)
    tilt = np.linspace(0.7, 1.4, 256, dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, 0.1, first.shape).astype(np.float32)
    field = track(first, second * tilt + 5 * tilt[:, None] + noise)
    assert field.reliable.mean() > 0.9
    assert np.median(missed(field, motion)) < LIMIT_PX / 2


def test_a_second_pass_resolves_what_differs_within_a_template() -> None:
    first = texture((256, 256), seed=3)

    def sheared(
        rows: NDArray[np.float64], columns: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return 6 * np.sin(np.pi * rows / 256), np.zeros_like(columns)

    second = moved(first, sheared)
    once, twice = (np.median(missed(track(first, second, settings=Tracking(passes=n)), sheared)) for n in (1, 2))
    assert twice < once
    assert twice < LIMIT_PX


def test_images_that_have_nothing_in_common_give_no_reliable_vectors() -> None:
    field = track(texture((192, 192), seed=1), texture((192, 192), seed=2))
    assert field.reliable.mean() < 0.05


def test_clouds_and_ground_that_is_not_asked_for_are_left_out() -> None:
    first = texture((192, 256))
    second = moved(first, smooth_motion(first.shape))
    clear = np.ones(first.shape, dtype=bool)
    clear[:, :90] = False
    first[:, :90] = np.nan
    where = np.zeros(first.shape, dtype=bool)
    where[:100] = True
    field = track(first, second, second_seen=clear, where=where)
    assert not np.isfinite(field.dx_px[:, field.columns < 80]).any()
    assert not np.isfinite(field.dx_px[field.rows > 101]).any()
    assert field.reliable[field.rows < 90][:, field.columns > 130].all()


def test_the_median_test_refuses_what_does_not_fit_its_neighbours() -> None:
    dx = np.tile(np.linspace(0, 1, 9, dtype=np.float32), (9, 1))
    dy = np.zeros_like(dx)
    dx[4, 4] += 2
    dy[0, :] = np.nan
    fits = consistent(dx, dy)
    assert not fits[4, 4]
    assert not fits[0].any()
    assert fits[1:].sum() == 8 * 9 - 1


@pytest.mark.parametrize(
    "spoilt",
    [{"template_px": 7}, {"template_px": 33}, {"search_px": 1}, {"step_px": 0}],
    ids=str,
)
def test_sizes_that_cannot_be_tracked_with_are_refused(spoilt: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Tracking(**spoilt)


def test_images_that_make_no_pair_are_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        track(texture((64, 64)), texture((64, 65)))
    with pytest.raises(DataError, match="smaller template"):
        track(texture((40, 64)), texture((40, 64)))


# --- velocity ---------------------------------------------------------------------------------------------------


def field_of(dx: object, *, reliable: object = True) -> Displacements:
    values = np.atleast_2d(np.asarray(dx, dtype=np.float32))
    one = np.ones_like(values)
    return Displacements(
        rows=np.arange(len(values), dtype=float),
        columns=np.arange(values.shape[1], dtype=float),
        dx_px=values,
        dy_px=-2 * values,
        correlation=one,
        peak_ratio=2 * one,
        round_trip_px=0 * one,
        reliable=np.broadcast_to(np.asarray(reliable), values.shape),
    )


def test_pairs_count_by_the_square_of_their_separation() -> None:
    mean = average([field_of([[2.0]]), field_of([[4.4]])], days=[10, 20])
    # (0.2 · 100 + 0.22 · 400) / 500
    assert mean.vx[0, 0] == pytest.approx(0.216)
    assert mean.vy[0, 0] == pytest.approx(-0.432)
    assert mean.speed[0, 0] == pytest.approx(0.216 * math.sqrt(5))
    assert mean.pairs[0, 0] == 2
    assert np.isnan(mean.spread[0, 0])


def test_a_pair_that_contradicts_the_others_does_not_count() -> None:
    fields = [field_of([[1.0, 1.0]]), field_of([[1.01, 1.0]]), field_of([[0.99, 1.0]]), field_of([[9.0, 1.0]])]
    mean = average(fields, days=[10] * 4)
    assert mean.vx[0].tolist() == pytest.approx([0.1, 0.1])
    assert mean.pairs[0].tolist() == [3, 4]


def test_the_scatter_of_pairs_is_the_error_of_a_component() -> None:
    rng = np.random.default_rng(0)
    shape, days = (30, 30), [10.0] * 60
    fields = [
        replace(field_of(rng.normal(0, 0.4, shape)), dy_px=rng.normal(0, 0.4, shape).astype(np.float32)) for _ in days
    ]
    mean = average(fields, days=days)
    assert np.median(mean.spread) == pytest.approx(0.04, rel=0.03)


def test_vectors_that_too_few_pairs_agree_on_are_unknown() -> None:
    fields = [field_of([[1.0, 1.0]]), field_of([[1.0, 1.0]], reliable=[[True, False]])]
    mean = average(fields, days=[10, 10], fewest_pairs=2)
    assert np.isfinite(mean.vx[0]).tolist() == [True, False]
    assert mean.pairs[0].tolist() == [2, 0]


def test_pairs_that_cannot_be_averaged_are_refused() -> None:
    with pytest.raises(DataError, match="separation"):
        average([], days=[])
    with pytest.raises(DataError, match="separation"):
        average([field_of([[1.0]])], days=[0])
    with pytest.raises(DataError, match="grid"):
        average([field_of([[1.0]]), field_of([[1.0, 2.0]])], days=[1, 1])


def test_stable_ground_gives_median_and_nmad() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 100.0, np.nan], dtype=np.float32)
    y = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=np.float32)
    found = over_stable_ground(x, y, stable=np.array([True, True, True, True, True, True]))
    # deviations from 3: 2, 1, 0, 1, 97; their median is 1
    assert (found.n, found.median_x, found.nmad_x) == (5, 3.0, 1.4826)
    assert (found.median_y, found.nmad_y) == (0.0, 0.0)
    assert found.nmad == pytest.approx(1.4826 / math.sqrt(2))
    nothing = over_stable_ground(x, y, stable=np.zeros(6, dtype=bool))
    assert nothing.n == 0
    assert nothing.to_json()["median_x"] is None


def test_a_field_is_compared_with_a_given_one() -> None:
    given_x = np.array([[3.0, 6.0, 9.0, np.nan]], dtype=np.float32)
    given_y = np.array([[4.0, 8.0, 12.0, 1.0]], dtype=np.float32)
    found = compare(given_x * 2, given_y * 2, given_x=given_x, given_y=given_y)
    assert (found.n, found.bias_x, found.bias_y, found.speed_bias) == (3, 6.0, 8.0, 10.0)
    assert found.correlation == pytest.approx(1.0)
    assert compare(given_x * np.nan, given_y, given_x=given_x, given_y=given_y).to_json()["bias_x"] is None
    with pytest.raises(DataError, match="one shape"):
        compare(given_x, given_y, given_x=given_x[:, :2], given_y=given_y)


def test_pairs_lie_between_two_separations_and_are_thinned_evenly() -> None:
    times = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in (0, 5, 12, 30)]
    assert pairs_of(times, shortest_days=6, longest_days=20, most=0) == [(0, 2), (1, 2), (2, 3)]
    assert pairs_of(times, shortest_days=6, longest_days=20, most=2) == [(0, 2), (2, 3)]


def test_a_given_field_is_read_at_places_of_another_grid(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 3, "height": 2, "count": 1, "dtype": "float32", "crs": "EPSG:32607"}
    profile["transform"] = rasterio.Affine(60, 0, 500_000, 0, -60, 6_700_000)
    for name, factor in (("vx", 1.0), ("vy", -1.0)):
        with rasterio.open(tmp_path / f"20180304-20180405_{name}.tif", "w", **profile) as file:
            file.write(factor * np.arange(6, dtype=np.float32).reshape(2, 3), 1)
    field = read_given(tmp_path, files="*.tif", units="m/yr")
    x, y = np.array([500_070.0, 500_170.0, 499_000.0]), np.array([6_699_990.0, 6_699_930.0, 6_699_990.0])
    east, north = field.at(x, y, crs="EPSG:32607")
    assert east[:2].tolist() == [1.0, 5.0]
    assert north[:2].tolist() == [-1.0, -5.0]
    assert np.isnan(east[2])


# --- predicted images -------------------------------------------------------------------------------------------


def test_errors_of_an_image_are_those_of_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.image import structural_similarity_index_measure

    truth = texture((48, 56), seed=1)
    predicted = truth + 0.4 * texture((48, 56), seed=2)
    errors = frame_errors(predicted, truth, seen=np.ones(truth.shape, dtype=bool), data_range=4.0)
    assert errors["mae"] == pytest.approx(float(np.abs(predicted - truth).mean()), rel=1e-5)
    assert errors["rmse"] == pytest.approx(float(np.sqrt(((predicted - truth) ** 2).mean())), rel=1e-5)
    _, similarity = structural_similarity_index_measure(
        torch.from_numpy(predicted)[None, None],
        torch.from_numpy(truth)[None, None],
        data_range=4.0,
        return_full_image=True,
    )
    # ours leaves out the pixels whose window reaches beyond the image
    assert errors["ssim"] == pytest.approx(float(similarity[0, 0, 5:-5, 5:-5].mean()), abs=1e-4)


def test_what_was_not_seen_does_not_count_in_an_images_errors() -> None:
    truth = texture((40, 40))
    predicted = truth.copy()
    predicted[:, :10] += 5
    truth[:, :10] = np.nan
    errors = frame_errors(predicted, truth, seen=np.isfinite(truth), data_range=4.0)
    assert errors["mae"] == 0
    assert errors["ssim"] == pytest.approx(1)
    assert math.isnan(frame_errors(predicted, truth, seen=np.zeros((40, 40), dtype=bool), data_range=4.0)["mae"])
    with pytest.raises(DataError, match="one shape"):
        frame_errors(predicted, truth[:20], seen=np.isfinite(truth), data_range=4.0)


# --- real images ------------------------------------------------------------------------------------------------


def perito_moreno() -> Image:
    from PIL import Image as Images

    with Images.open(MOTION / "perito_moreno/20200207.jpg") as picture:
        return np.asarray(picture, dtype=np.float32)[350:750, 500:1000, 1]


def parvati() -> Image:
    return np.asarray(np.load(MOTION / "parvati_ndsi/frame_0.npy")[0, 200:600, 300:800], dtype=np.float32)


def daugaard_jensen() -> Image:
    with rasterio.open(MOTION / "daugaard_jensen_sar/DJ_before.tiff") as file:
        return np.asarray(file.read(1, window=((500, 900), (300, 800))), dtype=np.float32)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs(name)) for name in ("perito_moreno", "parvati_ndsi", "daugaard_jensen_sar")],
)
def test_a_known_warp_of_real_images_is_found(name: str) -> None:
    image = {"perito_moreno": perito_moreno, "parvati_ndsi": parvati, "daugaard_jensen_sar": daugaard_jensen}[name]()
    motion = smooth_motion(image.shape)
    field = track(image, moved(image, motion) * 0.8 + 10)
    assert field.reliable.mean() > 0.8
    assert np.median(missed(field, motion)) < LIMIT_PX / 2


@needs("kaskawulsh_velocity")
def test_a_given_velocity_over_bedrock() -> None:
    import geopandas

    from glacier_core.labels import rasterize

    folder = MOTION / "kaskawulsh_velocity"
    field = read_given(folder, files="*.tif", units="m/day")
    bedrock = rasterize(geopandas.read_file(folder / "bedrock_V2.shp"), field.grid)
    found = over_stable_ground(field.east / 365.25, field.north / 365.25, stable=bedrock)
    assert (found.median_x, found.median_y) == pytest.approx((-0.0146, -0.0293), abs=1e-4)
    assert (found.nmad_x, found.nmad_y) == pytest.approx((0.0434, 0.0543), abs=1e-4)
