"""Which pixels a scene shows clearly."""

from __future__ import annotations

import numpy as np

from glacier_core.prepare import clear_mask
from tests.prepare.cube_scenes import CLOUD, SNOW_OR_ICE


def test_clear_is_what_the_classification_calls_surface() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(1, 12)
    assert np.flatnonzero(~clear_mask(codes)[0]).tolist() == [0, 1, 3, 8, 9, 10]


def test_clouds_grow_but_only_in_their_own_scene_and_missing_data_do_not() -> None:
    classes = np.full((2, 7, 7), SNOW_OR_ICE, dtype=np.uint8)
    classes[0, 3, 3] = CLOUD
    classes[1, 0, 0] = 0
    clear = clear_mask(classes, dilation_pixels=2)
    rows, columns = np.indices((7, 7))
    np.testing.assert_array_equal(~clear[0], np.abs(rows - 3) + np.abs(columns - 3) <= 2)
    assert (~clear[1]).sum() == 1
