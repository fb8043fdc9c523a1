"""Prediction of scenes of any size in constant memory: tile by tile, each with a halo that is cropped.

The halo covers everything that a tile's pixels depend on, and tiles start where the network's coarse pixels start, so
that tiles give what the whole image gives. What is read is of one size wherever the scene is large enough: at its
edges the window reaches further inwards instead. A network that averages over what it is given (`unet_scse`) thus does
so over equal areas, and its result depends on the scene and on `tile` alone.

Shapes: C bands or classes, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.inference.engines import Engine, engine_for
from glacier_core.models import device_of, tiling_of
from glacier_core.prepare import Normalisation
from glacier_core.training import ModelSpec, choose_precision, tune_allocator

Image = NDArray[np.float32]


class Read(Protocol):
    """Reads a window of the scene."""

    def __call__(self, rows: slice, columns: slice, /) -> Image:
        """(bands, rows, columns) in physical values; NaN where nothing was seen."""
        ...


TILES_AT_ONCE = 2
"""Tiles side by side in a window: one halo serves them all, at the price of memory."""

Write = Callable[[slice, slice, Image], None]


def predict_tiled(
    model: nn.Module,
    spec: ModelSpec,
    *,
    shape: tuple[int, int],
    read: Read,
    write: Write,
    tile: int = 512,
    halo: int | None = None,
    precision: str = "auto",
) -> None:
    """Class probabilities of a scene, tile by tile, rows of tiles from north to south.

    Memory depends on `tile` alone. Each pixel is written once, and NaN where any band is NaN.

    Args:
        model: the network, on the device where it shall run.
        spec: its description.
        shape: rows and columns of the scene.
        read: gives the bands (C, h, w) of a window.
        write: takes the class probabilities (C, h, w) float32 of a window; windows do not overlap.
        tile: rows that are written at a time, a multiple of the network's stride, and half as many as columns.
        halo: pixels read around a tile; the network's own if None. A smaller one changes results near tile edges.
        precision: auto (bf16 where the device computes with it), fp32 or bf16.

    Raises:
        ConfigurationError: the tile or the halo is no multiple of the network's stride, or the network knows no
            normalisation of images.
        DataError: the image has another number of bands or another size than was asked for.
    """
    stride, own_halo = tiling_of(model)
    halo = own_halo if halo is None else halo
    if tile < stride or tile % stride or halo < 0 or halo % stride:
        raise ConfigurationError(
            f"tile {tile} and halo {halo}", expected=f"multiples of {stride}, the stride of model '{spec.name}'"
        )
    if spec.normalisation is None:
        raise ConfigurationError(f"model '{spec.name}' has no normalisation of bands", expected="one for images")
    tune_allocator()
    chosen = choose_precision(precision, device=device_of(model))
    engine = engine_for(model, channels=len(spec.bands), precision=chosen, pixels=shape[0] * shape[1])
    for rows, inner_rows in _tiles(shape[0], tile=tile, halo=halo, stride=stride):
        for columns, inner_columns in _tiles(shape[1], tile=TILES_AT_ONCE * tile, halo=halo, stride=stride):
            image = _checked(read(rows, columns), spec, rows, columns)
            inner = (
                slice(inner_rows.start - rows.start, inner_rows.stop - rows.start),
                slice(inner_columns.start - columns.start, inner_columns.stop - columns.start),
            )
            found = _probability(engine, spec.normalisation, image, inner=inner, classes=len(spec.classes))
            write(inner_rows, inner_columns, found)


def predict_image(model: nn.Module, spec: ModelSpec, image_CHW: Image, *, precision: str = "auto") -> Image:  # noqa: N803
    """Class probabilities (classes, H, W) float32 of one image (bands, H, W), NaN where any band is NaN.

    Raises:
        DataError: the image has another number of bands.
    """
    height, width = image_CHW.shape[-2:]
    result = np.empty((len(spec.classes), height, width), dtype=np.float32)

    def read(rows: slice, columns: slice) -> Image:
        return image_CHW[:, rows, columns]

    def write(rows: slice, columns: slice, found: Image) -> None:
        result[:, rows, columns] = found

    predict_tiled(model, spec, shape=(height, width), read=read, write=write, precision=precision)
    return result


def _tiles(size: int, *, tile: int, halo: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Along one side: what is read, and what of it is written."""
    window = tile + 2 * halo
    # the last start may leave less than a stride to pad, as the network pads the whole image
    last_start = max(0, -(-(size - window) // stride) * stride)
    for first in range(0, size, tile):
        start = min(max(0, first - halo), last_start)
        yield slice(start, min(start + window, size)), slice(first, min(first + tile, size))


def _probability(
    engine: Engine, normalisation: Normalisation, image: Image, *, inner: tuple[slice, slice], classes: int
) -> Image:
    """Class probabilities of the inner part of a window."""
    unseen = np.isnan(image[:, *inner]).any(axis=0)
    if unseen.all():
        return np.full((classes, *unseen.shape), np.nan, dtype=np.float32)
    scores = engine(torch.from_numpy(normalisation.apply(image)[None]))[0]
    found: Image = scores[:, *inner].softmax(dim=0).numpy()
    found[:, unseen] = np.nan
    return found


def _checked(image: Image, spec: ModelSpec, rows: slice, columns: slice) -> Image:
    expected = (len(spec.bands), rows.stop - rows.start, columns.stop - columns.start)
    if image.shape != expected:
        raise DataError(
            f"the window read is {image.shape}", expected=f"{expected}: bands {', '.join(spec.bands)}, rows, columns"
        )
    return image
