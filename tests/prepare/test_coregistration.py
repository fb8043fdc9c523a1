"""Co-registration: what it finds is right, and what it cannot find it refuses."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError, DataError, SceneError
from glacier_core.prepare.coregistration import Alignment, align_pair, align_series, warp_to_reference
from glacier_core.prepare.coregistration.alignment import as_matrix, reference_alignment
from glacier_core.prepare.coregistration.pairs import align_prepared
from tests.prepare.terrain_scenes import Scene, make_scene, seen_from_above

MOTION = Path(os.environ.get("GLACIER_DATA", "../shared/data")) / "motion"
SIDE = 400
SEEDS = range(10)
SHIFTS = [(3.37, -7.81), (-11.5, 4.25), (0.0, 0.0), (0.5, 0.5), (-0.31, 12.9), (17.2, 16.1), (-5.0, -3.0), (1.6, -0.2)]
SHIFTS += [(-14.44, -9.73), (8.05, 0.49)]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(SIDE, seed=seed) for seed in SEEDS]


def error_px(alignment: Alignment, shift: tuple[float, float]) -> float:
    return math.hypot(alignment.dx_px - shift[0], alignment.dy_px - shift[1])


def shifted(dx: float, dy: float, matrix: NDArray[np.float64] | None = None) -> Alignment:
    full = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float64) if matrix is None else matrix
    return Alignment(
        matrix=as_matrix(full),
        dx_px=dx,
        dy_px=dy,
        residual_px=0.0,
        spread_px=0.0,
        correlation=1.0,
        verdict="aligned",
        reason="",
    )


class TestPairs:
    def test_clean_frames_are_aligned_within_a_twentieth_of_a_pixel(self, scenes: list[Scene]) -> None:
        for seed, scene, shift in zip(SEEDS, scenes, SHIFTS, strict=True):
            reference, _ = scene.frame(seed=seed)
            moving, _ = scene.frame(dx=shift[0], dy=shift[1], seed=100 + seed)
            found = align_pair(reference, moving)
            assert found.verdict == "aligned", found.reason
            assert error_px(found, shift) <= 0.05
            assert found.windows_agreeing >= 5
            assert found.correlation > 0.5

    def test_clouds_known_to_the_mask_and_a_gradient_of_light(self, scenes: list[Scene]) -> None:
        for seed, scene, shift in zip(SEEDS, scenes, SHIFTS, strict=True):
            reference, clear = scene.frame(cloud=0.3, gradient=0.2, seed=seed)
            moving, moving_clear = scene.frame(dx=shift[0], dy=shift[1], cloud=0.3, gradient=0.2, seed=100 + seed)
            found = align_pair(reference, moving, reference_seen=clear, moving_seen=moving_clear)
            assert found.verdict == "aligned", found.reason
            assert error_px(found, shift) <= 0.1

    def test_clouds_that_no_mask_knows_are_outvoted_or_the_frame_is_refused(self, scenes: list[Scene]) -> None:
        aligned = 0
        for seed, scene, shift in zip(SEEDS, scenes, SHIFTS, strict=True):
            reference, _ = scene.frame(cloud=0.3, gradient=0.2, seed=seed)
            moving, _ = scene.frame(dx=shift[0], dy=shift[1], cloud=0.3, gradient=0.2, seed=100 + seed)
            found = align_pair(reference, moving)
            if found.usable:
                aligned += 1
                assert error_px(found, shift) <= 0.1
        # half of such a small frame is hidden in one or the other: a few windows are left
        assert aligned >= 7

    def test_another_place_and_all_cloud_are_refused(self, scenes: list[Scene]) -> None:
        for seed in SEEDS:
            reference, _ = scenes[seed].frame(seed=seed)
            elsewhere, _ = scenes[seed - 1].frame(seed=100 + seed)
            overcast, _ = scenes[seed].frame(cloud=1.0, seed=200 + seed)
            for moving in (elsewhere, overcast):
                found = align_pair(reference, moving)
                assert found.verdict == "refused"
                assert found.reason
                assert math.isnan(found.dx_px)

    def test_the_same_input_gives_the_same_answer(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[0].frame()
        moving, _ = scenes[0].frame(dx=2.3, dy=1.1, seed=1)
        assert align_pair(reference, moving) == align_pair(reference, moving)
        kept = reference.copy()
        align_pair(reference, moving)
        assert np.array_equal(reference, kept)

    def test_the_way_back_is_the_inverse(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[1].frame()
        moving, _ = scenes[1].frame(dx=6.7, dy=-4.2, seed=1)
        there, back = align_pair(reference, moving), align_pair(moving, reference)
        assert there.dx_px == pytest.approx(-back.dx_px, abs=0.05)
        assert there.dy_px == pytest.approx(-back.dy_px, abs=0.05)

    def test_what_is_warped_lies_on_the_reference(self, scenes: list[Scene]) -> None:
        reference, moving = scenes[2].ground(), scenes[2].ground(5.4, -3.3)
        warped = warp_to_reference(moving[None], align_pair(reference, moving))[0]
        known = np.isfinite(warped)
        assert known.mean() > 0.9
        before = np.abs(moving - reference)[known].mean()
        assert np.abs(warped - reference)[known].mean() < 0.1 * before

    def test_unseen_pixels_and_their_outline_have_no_say(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[3].frame()
        moving, _ = scenes[3].frame(dx=7.3, dy=2.6, seed=1)
        hole = np.zeros((SIDE, SIDE), dtype=bool)
        hole[60:200, 150:330] = True
        # the same outline in both frames, at the same place: it would say that nothing has moved
        reference[hole], moving[hole] = np.nan, np.nan
        found = align_pair(reference, moving)
        assert found.verdict == "aligned", found.reason
        assert error_px(found, (7.3, 2.6)) <= 0.05

    def test_a_glacier_that_moves_is_masked_or_noticed(self, scenes: list[Scene]) -> None:
        glacier = np.zeros((SIDE, SIDE), dtype=bool)
        glacier[:, 120:280] = True
        for seed, motion in ((4, 3.3), (5, 0.4)):
            shift = SHIFTS[seed]
            reference, _ = scenes[seed].frame()
            ground, _ = scenes[seed].frame(dx=shift[0], dy=shift[1], seed=1)
            ice, _ = scenes[seed].frame(dx=shift[0] + motion, dy=shift[1] + motion / 3, seed=1)
            moving = np.where(glacier, ice, ground)
            # where the ice lies in either frame: in the moving one it lies 30 pixels around, too
            stable = cv2.dilate(glacier.astype(np.uint8), np.ones((1, 31), np.uint8)) == 0
            assert align_pair(reference, moving).verdict == "refused"
            found = align_pair(reference, moving, reference_seen=stable, moving_seen=stable)
            assert found.verdict == "aligned", found.reason
            assert error_px(found, shift) <= 0.1

    def test_a_deck_of_clouds_that_moves_as_one_is_noticed(self, scenes: list[Scene]) -> None:
        deck = np.zeros((SIDE, SIDE), dtype=bool)
        deck[:, : SIDE // 2] = True
        reference = np.where(deck, scenes[7].frame()[0] + 0.4, scenes[6].frame()[0])
        moving = np.where(deck, scenes[7].frame(dx=9, dy=4, seed=1)[0] + 0.4, scenes[6].frame(dx=1, dy=2, seed=1)[0])
        found = align_pair(reference, moving)
        assert found.verdict == "refused"

    def test_contrast_turned_round_is_refused(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[8].frame()
        moving, _ = scenes[8].frame(dx=2, dy=3, seed=1)
        assert align_pair(reference, np.float32(1) - moving).verdict == "refused"

    def test_a_pattern_that_repeats_is_no_ground_to_align_on(self) -> None:
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
        for seed in range(4):
            dx, dy = 11.3 - 5 * seed, 4.1 * seed - 6
            noise = np.random.default_rng(seed).normal(0, 0.01, (2, SIDE, SIDE))
            frames = [
                0.5 + 0.2 * np.sin(2 * np.pi * (x + move_x) / 17) + 0.2 * np.sin(2 * np.pi * (y + move_y) / 23)
                for move_x, move_y in ((0.0, 0.0), (dx, dy))
            ]
            found = align_pair(
                *((frame + extra).astype(np.float32) for frame, extra in zip(frames, noise, strict=True))
            )
            assert not found.usable or error_px(found, (dx, dy)) <= 0.1

    def test_noise_makes_no_false_answer(self, scenes: list[Scene]) -> None:
        for seed, noise in ((0, 0.05), (1, 0.1), (2, 0.2), (3, 0.4), (4, 1.0)):
            reference, _ = scenes[seed].frame(noise=noise, seed=seed)
            moving, _ = scenes[seed].frame(dx=3.3, dy=-2.2, noise=noise, seed=100 + seed)
            found = align_pair(reference, moving)
            assert not found.usable or error_px(found, (3.3, -2.2)) <= 0.1

    def test_a_shift_beyond_what_is_allowed_is_refused(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[9].frame()
        moving, _ = scenes[9].frame(dx=40, dy=5, seed=1)
        assert align_pair(reference, moving, largest_shift_px=20).verdict == "refused"
        assert error_px(align_pair(reference, moving, largest_shift_px=64), (40, 5)) <= 0.05

    def test_negative_numbers_such_as_decibels(self, scenes: list[Scene]) -> None:
        reference, moving = (
            10 * np.log10(np.maximum(scenes[0].frame(dx=dx, seed=seed)[0], 1e-3)) for dx, seed in ((0.0, 0), (4.6, 1))
        )
        assert error_px(align_pair(reference, moving), (4.6, 0)) <= 0.05

    @pytest.mark.parametrize(
        "moving",
        [
            np.full((SIDE, SIDE), np.nan, dtype=np.float32),
            np.full((SIDE, SIDE), 0.4, dtype=np.float32),
            np.zeros((SIDE, SIDE), dtype=np.float32),
            np.full((SIDE, SIDE), np.inf, dtype=np.float32),
            np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32),
        ],
        ids=["nothing", "constant", "zero", "infinite", "noise"],
    )
    def test_frames_that_show_nothing_are_refused(self, scenes: list[Scene], moving: Image) -> None:
        reference, _ = scenes[0].frame()
        assert align_pair(reference, moving).verdict == "refused"
        assert align_pair(moving, reference).verdict == "refused"
        assert align_pair(moving, moving.copy()).verdict == "refused" or np.isfinite(moving).all()

    @pytest.mark.parametrize("side", [1, 2, 7, 31, 60, 95])
    def test_frames_too_small_to_check_are_refused(self, scenes: list[Scene], side: int) -> None:
        reference = scenes[0].ground()[:side, :side]
        found = align_pair(reference, reference)
        assert found.verdict == "refused"
        assert "too small" in found.reason

    @pytest.mark.parametrize("shape", [(96, 96), (100, 400), (400, 130), (257, 193)])
    def test_small_and_narrow_frames_are_right_or_refused(self, scenes: list[Scene], shape: tuple[int, int]) -> None:
        rows, columns = shape
        reference, moving = scenes[0].frame()[0], scenes[0].frame(dx=2.4, dy=-1.7, seed=1)[0]
        found = align_pair(reference[:rows, :columns], moving[:rows, :columns])
        assert not found.usable or error_px(found, (2.4, -1.7)) <= 0.1

    def test_a_mask_that_leaves_nothing_is_refused(self, scenes: list[Scene]) -> None:
        reference, _ = scenes[0].frame()
        nothing = np.zeros((SIDE, SIDE), dtype=bool)
        assert align_pair(reference, reference, moving_seen=nothing).verdict == "refused"
        left = nothing.copy()
        left[:, :200] = True
        assert align_pair(reference, reference, reference_seen=left, moving_seen=~left).verdict == "refused"

    def test_frames_of_different_sizes_are_an_error(self) -> None:
        image = np.zeros((100, 100), dtype=np.float32)
        with pytest.raises(DataError, match="equal shapes"):
            align_pair(image, image[:50])
        with pytest.raises(DataError, match="equal shapes"):
            align_pair(image, image, moving_seen=np.ones((50, 50), dtype=bool))
        with pytest.raises(DataError, match="one band"):
            align_pair(image[None], image[None])

    def test_limits_that_make_no_sense_are_an_error(self) -> None:
        image = np.zeros((100, 100), dtype=np.float32)
        with pytest.raises(ConfigurationError, match="translation or affine"):
            align_pair(image, image, model="homography")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="largest_shift_px"):
            align_pair(image, image, largest_shift_px=-1)
        with pytest.raises(ConfigurationError, match="largest_error_px"):
            align_pair(image, image, largest_error_px=math.nan)


class TestAffine:
    def test_scale_rotation_and_shear(self) -> None:
        # made at three times the resolution and averaged, so that the map's own interpolation leaves no trace
        fine, side = 3, 500
        ground = make_scene(side * fine // 2, seed=40, margin=150)
        wide = ground.ground()
        big = np.asarray(cv2.resize(wide, (side * fine, side * fine), interpolation=cv2.INTER_LANCZOS4), np.float32)
        for seed, (turn, scale, shear) in enumerate([(0.4, 1.003, 0.0), (-0.3, 0.997, 0.002), (0.0, 1.0, -0.004)]):
            angle = math.radians(turn)
            linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            truth = np.eye(3)
            truth[:2, :2] = linear @ np.array([[1, shear], [0, 1]])
            middle = np.full(2, (side - 1) / 2)
            truth[:2, 2] = middle - truth[:2, :2] @ middle + (3.6 - seed, -2.3)
            moving, reference = (self._seen(big, matrix, fine, side) for matrix in (truth, np.eye(3)))
            rng = np.random.default_rng(seed)
            noisy = moving + rng.normal(0, 0.005, moving.shape).astype(np.float32)
            inner = slice(20, -20)
            found = align_pair(reference[inner, inner], noisy[inner, inner], model="affine")
            assert found.verdict == "aligned", found.reason
            corners = np.array([[0, 459, 0, 459], [0, 0, 459, 459], [1, 1, 1, 1]], dtype=np.float64)
            moved = np.eye(3)
            moved[:2, 2] = 20
            expected = (np.linalg.inv(moved) @ truth @ moved)[:2] @ corners
            assert np.abs(np.asarray(found.matrix) @ corners - expected).max() <= 0.1
            # one shift for all does not describe it, and is not pretended to
            assert align_pair(reference[inner, inner], noisy[inner, inner]).verdict == "refused"

    def test_another_place_and_all_cloud_are_refused(self, scenes: list[Scene]) -> None:
        for seed in range(3):
            reference = scenes[seed].frame()[0]
            for moving in (scenes[seed + 1].frame(seed=1)[0], scenes[seed].frame(cloud=1.0, seed=2)[0]):
                assert align_pair(reference, moving, model="affine").verdict == "refused"

    @staticmethod
    def _seen(big: Image, matrix: NDArray[np.float64], fine: int, side: int) -> Image:
        """What a frame shows whose coordinates the matrix takes to the reference's."""
        to_fine = np.array([[fine, 0, (fine - 1) / 2], [0, fine, (fine - 1) / 2], [0, 0, 1]])
        back = to_fine @ matrix @ np.linalg.inv(to_fine)
        x, y = np.meshgrid(np.arange(side * fine), np.arange(side * fine))
        at_x, at_y = ((back[row, 0] * x + back[row, 1] * y + back[row, 2]).astype(np.float32) for row in (0, 1))
        turned = cv2.remap(big, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


class TestSeries:
    @staticmethod
    def frames(scene: Scene, *, elsewhere: Scene) -> tuple[list[Image], list[tuple[float, float]]]:
        shifts = [(0.0, 0.0), (2.3, -1.6), (-4.8, 3.1), (0.0, 0.0), (6.2, 0.7), (-1.4, -5.5)]
        images = [scene.frame(dx=dx, dy=dy, seed=number)[0] for number, (dx, dy) in enumerate(shifts)]
        images[3] = elsewhere.frame(seed=9)[0]
        return images, shifts

    def test_each_frame_has_its_verdict(self, scenes: list[Scene], caplog: pytest.LogCaptureFixture) -> None:
        images, shifts = self.frames(scenes[0], elsewhere=scenes[1])
        found = align_series(lambda number: (images[number], None), len(images), reference=0)
        assert [one.verdict for one in found] == ["reference", "aligned", "aligned", "refused", "aligned", "aligned"]
        for number in (1, 2, 4, 5):
            assert error_px(found[number], shifts[number]) <= 0.05
        assert "frame 3 is left out" in caplog.text
        assert found[3].to_json()["dx_px"] is None
        assert found[1].to_json()["verdict"] == "aligned"

    def test_the_clearest_frame_is_the_reference(self, scenes: list[Scene]) -> None:
        scene = scenes[2]
        covers = [0.3, 0.2, 0.5, 0.0, 0.4]
        pairs = [scene.frame(dx=number, cloud=cover, seed=number) for number, cover in enumerate(covers)]
        found = align_series(lambda number: pairs[number], len(pairs))
        assert found[3].verdict == "reference"
        # clouds that no mask knows make a frame unlike the others
        found = align_series(lambda number: (pairs[number][0], None), len(pairs))
        assert found[3].verdict == "reference"

    def test_what_does_not_match_the_reference_is_aligned_through_a_neighbour(self, scenes: list[Scene]) -> None:
        # the surface changes by and by: the last frame has nothing in common with the first, but with the one before
        first, last = scenes[3], scenes[4]
        shares = [0.0, 0.25, 0.5, 0.75, 1.0]
        shifts = [(0.0, 0.0), (1.2, 3.4), (-2.5, 0.8), (3.3, -1.1), (0.6, 2.2)]
        images = []
        for number, (share, (dx, dy)) in enumerate(zip(shares, shifts, strict=True)):
            mixed = (1 - share) * first.ground(dx, dy) + share * last.ground(dx, dy)
            images.append(seen_from_above(mixed, noise=0.003, seed=number)[0])
        assert align_pair(images[0], images[4]).verdict == "refused"
        found = align_series(lambda number: (images[number], None), len(images), reference=0)
        assert found[4].verdict == "aligned", found[4].reason
        assert "through frame" in found[4].reason
        for alignment, shift in zip(found, shifts, strict=True):
            assert not alignment.usable or error_px(alignment, shift) <= 0.2

    def test_a_frame_that_contradicts_its_neighbours_is_taken_out(
        self, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = [scenes[5].frame(dx=number, dy=-number, seed=number)[0] for number in range(6)]
        calls: list[float] = []

        def deceived(*args: object, **options: object) -> Alignment:
            found = align_prepared(*args, **options)  # type: ignore[arg-type]
            calls.append(found.dx_px)
            # the third frame's result against the reference is off by two pixels, and looks as good as the others
            return shifted(found.dx_px + 2, found.dy_px) if len(calls) == 4 else found

        monkeypatch.setattr("glacier_core.prepare.coregistration.series.align_prepared", deceived)
        found = align_series(lambda number: (images[number], None), 6, reference=0)
        assert [one.usable for one in found] == [True, True, True, False, True, True]
        assert "contradict" in found[3].reason

    def test_bad_frames_are_recorded(self, scenes: list[Scene]) -> None:
        good = [scenes[6].frame(dx=number, seed=number)[0] for number in range(3)]

        def read(number: int) -> tuple[Image, Mask | None]:
            if number == 3:
                raise SceneError("frame 3 is truncated")
            bad: dict[int, Image] = {4: good[0][:200], 5: np.full_like(good[0], np.nan)}
            return bad[number] if number in bad else good[number], None

        found = align_series(read, 6, reference=0)
        assert [one.usable for one in found] == [True, True, True, False, False, False]
        assert "truncated" in found[3].reason
        assert "size" in found[4].reason
        assert align_series(read, 6)[3].verdict == "refused"

    def test_no_usable_reference_is_an_error(self) -> None:
        nothing = np.full((200, 200), np.nan, dtype=np.float32)
        with pytest.raises(DataError, match="no frame of the series shows anything"):
            align_series(lambda _: (nothing, None), 3)
        with pytest.raises(DataError, match="the reference, cannot be used"):
            align_series(lambda _: (nothing, None), 3, reference=1)
        with pytest.raises(DataError, match="at least one frame"):
            align_series(lambda _: (nothing, None), 0)
        with pytest.raises(ConfigurationError, match="0 to 2"):
            align_series(lambda _: (nothing, None), 3, reference=3)

    def test_few_frames_are_held_at_a_time(self, scenes: list[Scene]) -> None:
        import tracemalloc

        ground = scenes[7].ground()

        def peak(count: int) -> int:
            tracemalloc.start()
            align_series(lambda number: (seen_from_above(ground, seed=number)[0], None), count)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return used

        # a longer series keeps a thumbnail a frame and no more
        assert peak(10) < peak(4) + 10 * 2 * 128 * 128 * 4 + ground.nbytes


def smooth(rows: int, columns: int, *, dx: float = 0.0, dy: float = 0.0) -> Image:
    """A surface without fine detail, moved by (-dx, -dy), from its formula."""
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    x, y = x + dx, y + dy
    return np.asarray(2 + np.sin(x / 9) * np.cos(y / 11) + 0.01 * x - 0.02 * y, dtype=np.float32)


class TestWarping:
    @given(dx=st.integers(-50, 50), dy=st.integers(-50, 50), seed=st.integers(0, 5))
    @settings(max_examples=40, deadline=None)
    def test_whole_pixels_are_moved_exactly(self, dx: int, dy: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        image = rng.normal(size=(2, 40, 45)).astype(np.float32)
        image[rng.random(image.shape) < 0.1] = np.nan
        expected = np.full_like(image, np.nan)
        for row in range(40):
            for column in range(45):
                if 0 <= row - dy < 40 and 0 <= column - dx < 45:
                    expected[:, row, column] = image[:, row - dy, column - dx]
        assert np.array_equal(warp_to_reference(image, shifted(dx, dy)), expected, equal_nan=True)

    @given(dx=st.floats(-8, 8), dy=st.floats(-8, 8))
    @settings(max_examples=40, deadline=None)
    def test_a_shift_lands_where_the_formula_says(self, dx: float, dy: float) -> None:
        moving, reference = smooth(60, 70, dx=dx, dy=dy), smooth(60, 70)
        warped = warp_to_reference(moving, shifted(dx, dy))
        known = np.isfinite(warped)
        assert known[12:-12, 12:-12].all()
        # bilinear at the rim: at most an eighth of the curvature; cubic inside
        assert np.abs(warped - reference)[known].max() < 3e-3
        assert np.abs(warped - reference)[12:-12, 12:-12].max() < 3e-4

    @given(dx=st.floats(-5, 5), dy=st.floats(-5, 5))
    @settings(max_examples=25, deadline=None)
    def test_there_and_back(self, dx: float, dy: float) -> None:
        image = smooth(60, 70)
        back = warp_to_reference(warp_to_reference(image, shifted(dx, dy)), shifted(-dx, -dy))
        known = np.isfinite(back)
        assert known.sum() > 0.6 * known.size
        assert np.abs(back - image)[known].max() < 6e-3
        assert np.abs(back - image)[16:-16, 16:-16].max() < 6e-4

    @given(dx=st.floats(-4, 4), dy=st.floats(-4, 4), seed=st.integers(0, 20))
    @settings(max_examples=40, deadline=None)
    def test_no_unknown_pixel_is_blended_in(self, dx: float, dy: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        image = np.ones((50, 50), dtype=np.float32)
        holes = rng.random(image.shape) < 0.05
        image[holes] = np.nan
        for matrix in (None, np.array([[1.01, 0.02, dx], [-0.01, 0.99, dy]])):
            warped = warp_to_reference(image, shifted(dx, dy, matrix))
            assert np.allclose(warped[np.isfinite(warped)], 1, atol=1e-5)

    def test_the_rim_of_a_gap_is_at_most_a_pixel(self) -> None:
        image = np.ones((40, 40), dtype=np.float32)
        image[20, 20] = np.nan
        warped = warp_to_reference(image, shifted(0.5, 0.0))
        assert np.argwhere(np.isnan(warped[2:-2, 3:-3])).tolist() == [[18, 17], [18, 18]]

    def test_each_band_has_gaps_of_its_own(self) -> None:
        image = np.ones((2, 40, 40), dtype=np.float32)
        image[0, 10, 10] = np.nan
        warped = warp_to_reference(image, shifted(0.25, 0.25))
        assert np.isnan(warped[0, 10, 10])
        assert np.isfinite(warped[1, 5:-5, 5:-5]).all()

    def test_the_matrix_takes_the_frame_to_the_reference(self) -> None:
        image = np.zeros((60, 60), dtype=np.float32)
        image[20, 30] = 1
        matrix = np.array([[1.0, 0.0, 4.0], [0.25, 1.0, 2.5]])
        x, y = matrix @ [30, 20, 1]
        warped = warp_to_reference(image, shifted(0, 0, matrix))
        row, column = np.unravel_index(np.nanargmax(warped), warped.shape)
        assert (column, row) == (x, y)

    @given(dx=st.floats(-6, 6), dy=st.floats(-6, 6))
    @settings(max_examples=15, deadline=None)
    def test_both_ways_to_compute_agree(self, dx: float, dy: float) -> None:
        image = np.random.default_rng(0).normal(size=(50, 60)).astype(np.float32)
        image[12, 30] = np.nan
        # a stretch too small to matter takes the other way
        nearly = np.array([[1 + 1e-12, 0, dx], [0, 1, dy]])
        one, other = warp_to_reference(image, shifted(dx, dy)), warp_to_reference(image, shifted(0, 0, nearly))
        assert np.array_equal(np.isnan(one), np.isnan(other))
        assert np.nanmax(np.abs(one - other), initial=0) < 1e-4

    def test_the_reference_stays_as_it_is(self) -> None:
        image = smooth(30, 30)[None]
        image[0, 3, 4] = np.nan
        assert np.array_equal(warp_to_reference(image, reference_alignment()), image, equal_nan=True)

    def test_a_refused_frame_is_not_warped(self, scenes: list[Scene]) -> None:
        refused = align_pair(scenes[0].ground(), scenes[1].ground())
        with pytest.raises(DataError, match="leave it out"):
            warp_to_reference(scenes[1].ground(), refused)
        with pytest.raises(DataError, match="band, y, x"):
            warp_to_reference(np.zeros(5, dtype=np.float32), reference_alignment())


def grey(path: Path) -> Image:
    from PIL import Image as Pictures

    with Pictures.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=np.float32)


@pytest.mark.skipif(not MOTION.is_dir(), reason=f"GLACIER_DATA holds no motion ({MOTION})")
class TestRealFrames:
    @pytest.mark.parametrize("model", ["translation", "affine"])
    def test_the_synthetic_shift_of_a_sar_pair_is_found(self, model: str) -> None:
        before, after = (grey(MOTION / "daugaard_jensen_sar" / f"DJ_{name}.tiff") for name in ("before", "after"))
        found = align_pair(before, after, model=model)  # type: ignore[arg-type]
        assert found.verdict == "aligned", found.reason
        assert error_px(found, (-8, -3)) < 1e-3

    def test_a_moving_glacier_alone_is_no_ground_to_align_on(self) -> None:
        names = ["20200207.jpg", "20200227.jpg"]
        frames = [grey(MOTION / "perito_moreno" / name) for name in names]
        seen = [frame > 8 for frame in frames]
        moved = align_pair(frames[0], frames[1], reference_seen=seen[0], moving_seen=seen[1])
        assert moved.verdict == "refused"
        # and a shift given to a frame itself is found, with its mask
        wide: Callable[[int, int], Image] = lambda x, y: frames[0][100 + y : 1100 + y, 300 + x : 1500 + x]  # noqa: E731
        found = align_pair(wide(0, 0), wide(7, -5), reference_seen=wide(0, 0) > 8, moving_seen=wide(7, -5) > 8)
        assert error_px(found, (7, -5)) < 0.02
