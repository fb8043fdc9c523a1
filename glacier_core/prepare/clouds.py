"""Which pixels a scene shows clearly, from its scene classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glacier_core.sources.scene_classes import CLOUDY, UNSEEN


def clear_mask(scene_class: NDArray[np.uint8], *, dilation_pixels: int = 0) -> NDArray[np.bool_]:
    """Where the surface is seen, by the scene classification.

    Snow and ice (11), water (6), land (5), vegetation (4), unclassified (7) and dark areas (2, mostly shade of the
    terrain) count as clear.

    Args:
        scene_class: (..., y, x), codes of `glacier_core.sources.scene_classes`: Sentinel-2's, into which the flags of
            other collections are translated when they are read.
        dilation_pixels: clouds and their shadows grow by this many pixels, for their edges are thin and seldom flagged.

    Returns:
        (..., y, x), true where clear.
    """
    cloudy = _among(scene_class, CLOUDY)
    for _ in range(dilation_pixels):
        cloudy = _grown(cloudy)
    return ~(cloudy | _among(scene_class, UNSEEN))


def _among(scene_class: NDArray[np.uint8], codes: tuple[int, ...]) -> NDArray[np.bool_]:
    # a few comparisons of bytes are ten times faster than a table
    found = np.asarray(scene_class == codes[0])
    for code in codes[1:]:
        found |= scene_class == code
    return found


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and the four neighbours of each of its pixels (100 times faster than scipy's general dilation)."""
    grown = mask.copy()
    grown[..., 1:, :] |= mask[..., :-1, :]
    grown[..., :-1, :] |= mask[..., 1:, :]
    grown[..., 1:] |= mask[..., :-1]
    grown[..., :-1] |= mask[..., 1:]
    return grown
