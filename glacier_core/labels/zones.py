"""Zones as pictures: one grey PNG an image, its numbers the codes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def zones_picture(zones: NDArray[np.uint8]) -> bytes:
    """The PNG of codes (y, x)."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(zones).save(stream, format="PNG")
    return stream.getvalue()


def read_zones(path: str) -> NDArray[np.uint8]:
    """The codes (y, x) of a PNG at a path or URL."""
    import fsspec
    from PIL import Image

    with fsspec.open(path, "rb") as stream:
        return np.asarray(Image.open(stream), dtype=np.uint8)
