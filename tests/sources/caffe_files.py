"""CaFFe's layout, drawn: SAR images, zones and fronts of any size, whole or cut into patches as the authors cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glacier_core.sources.caffe import CaffeName, CaffePatch, Layer

LABELS: Mapping[Layer, Any] = {"sar_images": "", "zones": "zones", "fronts": "front"}


def drawn_scene(seed: int, *, height: int, width: int) -> dict[Layer, NDArray[np.uint8]]:
    """An image and its labels: glacier above a wavy front, ocean below, rock at the left, nothing in a corner."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    front = (height / 2 + height / 8 * np.sin(columns / width * 6 + seed)).astype(int)
    zones = np.where(rows < front, 127, 254)
    zones[:, : width // 8] = 64
    zones[: height // 10, -width // 10 :] = 0
    return {
        "sar_images": random.integers(0, 256, (height, width), dtype=np.uint8),
        "zones": zones.astype(np.uint8),
        "fronts": np.where((rows == front) & (zones == 254), 255, 0).astype(np.uint8),
    }


def write_scene(
    root: Path,
    name: str,
    layers: Mapping[Layer, NDArray[np.uint8]],
    *,
    split: str = "train",
    patch: int = 0,
    overlap: int = 0,
) -> None:
    """The files of one scene: whole, or in patches of `patch` pixels that share `overlap` pixels."""
    for layer, pixels in layers.items():
        folder = root / layer / split
        folder.mkdir(parents=True, exist_ok=True)
        whole = replace(CaffeName.parse(name), label=LABELS[layer])
        if not patch:
            Image.fromarray(pixels).save(folder / f"{whole}.png")
            continue
        step = patch - overlap
        bottom, right = (_padding(size, patch, overlap) for size in pixels.shape)
        padded = np.pad(pixels, ((0, bottom), (0, right)))
        number = 0
        for column in range(0, padded.shape[1] - patch + 1, step):
            for row in range(0, padded.shape[0] - patch + 1, step):
                cut = replace(whole, patch=CaffePatch(bottom, right, number, row, column))
                Image.fromarray(padded[row : row + patch, column : column + patch]).save(folder / f"{cut}.png")
                number += 1


def write_box(root: Path, name: str, *, corners: list[tuple[float, float]]) -> Path:
    path = root / "bounding_boxes" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in corners))
    return path


def _padding(size: int, patch: int, overlap: int) -> int:
    """As the authors pad: to a multiple of the patch, or, with overlap, of the step beyond the first patch."""
    if overlap:
        return (patch - overlap) - (size - patch) % (patch - overlap)
    return -size % patch
