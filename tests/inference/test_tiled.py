"""Tiles give what the whole image gives, each pixel once, in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from glacier_core.errors import ConfigurationError, DataError
from glacier_core.inference import predict_image, predict_tiled
from glacier_core.inference.tiled import TILES_AT_ONCE
from glacier_core.models import tiling_of
from glacier_core.models.unet_scse import SqueezeExcitation
from glacier_core.prepare import Normalisation
from glacier_core.training import ModelSpec

ROOT = Path(__file__).parents[2]
torch.set_num_threads(1)


def network(depth: int = 2, width: int = 4, name: str = "unet") -> tuple[nn.Module, ModelSpec]:
    """A network whose running statistics are those of its input, so that its answer is spread over 0 to 1."""
    spec = ModelSpec(
        name=name,
        bands=("red", "green"),
        classes=("other", "glacier"),
        width=width,
        depth=depth,
        normalisation=Normalisation(bands=("red", "green"), mean=(0.5, 0.5), std=(0.3, 0.3)),
    )
    torch.manual_seed(3)
    model = spec.build()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(2, 2, 32, 32))
    return model.eval(), spec


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((2, height, width), dtype=np.float32)


def tiled(
    model: nn.Module,
    spec: ModelSpec,
    image: NDArray[np.float32],
    *,
    tile: int,
    halo: int | None = None,
    precision: str = "fp32",
) -> NDArray[np.float32]:
    result = np.full((2, *image.shape[1:]), -1, dtype=np.float32)

    def write(rows: slice, columns: slice, found: NDArray[np.float32]) -> None:
        assert (result[:, rows, columns] == -1).all(), "a pixel was written twice"
        result[:, rows, columns] = found

    def read(rows: slice, columns: slice) -> NDArray[np.float32]:
        return image[:, rows, columns]

    predict_tiled(model, spec, shape=image.shape[1:], read=read, write=write, tile=tile, halo=halo, precision=precision)
    assert not (result == -1).any(), "a pixel was never written"
    return result


def whole(model: nn.Module, spec: ModelSpec, image: NDArray[np.float32]) -> NDArray[np.float32]:
    assert spec.normalisation is not None
    with torch.inference_mode():
        logits = model(torch.from_numpy(spec.normalisation.apply(image)[None]))
    found: NDArray[np.float32] = logits[0].softmax(0).numpy()
    return found


@given(
    name=st.sampled_from(["unet", "unet_aspp", "cnn3d"]),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(2, 8),
    depth=st.integers(1, 2),
)
@settings(max_examples=12, deadline=None)
def test_tiles_give_what_the_whole_image_gives(name: str, height: int, width: int, tile: int, depth: int) -> None:
    model, spec = network(depth, name=name)
    image = scene(height, width)
    np.testing.assert_allclose(tiled(model, spec, image, tile=8 * tile), whole(model, spec, image), atol=1e-5)


def test_gates_that_see_the_whole_window_see_windows_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model, spec = network(name="unet_scse")
    image = scene(150, 171)
    _, halo = tiling_of(model)
    shapes = set()

    def read(rows: slice, columns: slice) -> NDArray[np.float32]:
        shapes.add((rows.stop - rows.start, columns.stop - columns.start))
        return image[:, rows, columns]

    predict_tiled(model, spec, shape=image.shape[1:], read=read, write=lambda *_: None, tile=32, precision="fp32")
    for axis, side in enumerate((32 + 2 * halo, TILES_AT_ONCE * 32 + 2 * halo)):
        assert all(side - 4 < shape[axis] <= side for shape in shapes)
    # so that what differs from the whole image is the difference between means of large windows
    found, expected = tiled(model, spec, image, tile=32), whole(model, spec, image)
    assert expected[1].std() > 0.01
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_array_equal(tiled(model, spec, image, tile=32), found)
    # and nothing else
    monkeypatch.setattr(SqueezeExcitation, "squeeze", staticmethod(lambda x: x[..., :1, :1] * 0))
    np.testing.assert_allclose(tiled(model, spec, image, tile=32), whole(model, spec, image), atol=1e-5)


def test_tiles_give_the_same_in_half_precision() -> None:
    model, spec = network(depth=3)
    image = scene(200, 150)
    together = tiled(model, spec, image, tile=208, precision="bf16")
    assert together[1].std() > 0.01
    np.testing.assert_allclose(tiled(model, spec, image, tile=64, precision="bf16"), together, atol=1e-3)
    np.testing.assert_allclose(together, whole(model, spec, image), atol=0.05)


def test_without_the_halo_they_would_not() -> None:
    model, spec = network()
    image = scene(64, 64)
    _, halo = tiling_of(model)
    assert halo > 0
    assert np.abs(tiled(model, spec, image, tile=32, halo=0) - whole(model, spec, image)).max() > 1e-3


def test_what_was_not_seen_stays_unknown() -> None:
    model, spec = network()
    image = scene(64, 80)
    image[0, 10:20, 30:40] = np.nan
    image[:, 32:, 40:] = np.nan
    found = tiled(model, spec, image, tile=16)
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(np.isnan(image).any(0), found.shape))
    np.testing.assert_allclose(np.nansum(found, axis=0)[~np.isnan(image).any(0)], 1, rtol=1e-5)
    np.testing.assert_allclose(predict_image(model, spec, image, precision="fp32"), found, atol=1e-5)


@pytest.mark.parametrize(("tile", "halo"), [(30, 8), (32, 6), (0, 8), (32, -4)])
def test_misaligned_tiles_are_refused(tile: int, halo: int) -> None:
    model, spec = network()
    with pytest.raises(ConfigurationError, match="multiples of 4"):
        tiled(model, spec, scene(64, 64), tile=tile, halo=halo)


def test_a_network_without_normalisation_is_refused() -> None:
    model, spec = network()
    with pytest.raises(ConfigurationError, match="no normalisation"):
        tiled(model, replace(spec, normalisation=None), scene(16, 16), tile=16)


@pytest.mark.parametrize("wrong", [(3, 16, 16), (2, 16, 15)])
def test_another_number_of_bands_or_pixels_is_refused(wrong: tuple[int, int, int]) -> None:
    model, spec = network()
    answer: Callable[[slice, slice], NDArray[np.float32]] = lambda _rows, _columns: np.zeros(wrong, dtype=np.float32)  # noqa: E731
    with pytest.raises(DataError, match="bands red, green"):
        predict_tiled(model, spec, shape=(16, 16), read=answer, write=lambda *_: None)


SLACK_KB = 4096
PEAK = """
import json
from pathlib import Path
import numpy as np
from tests.inference.test_tiled import network
from glacier_core.inference import predict_tiled

def status(key):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])

model, spec = network()
written = 0

def read(rows, columns):
    y, x = np.ogrid[rows, columns]
    return np.stack([np.sin(y / 9) * np.cos(x / 7)] * 2).astype(np.float32)

def write(rows, columns, found):
    global written
    written += found[1].size

before, peaks = status("VmRSS"), []
for height, width in ((384, 384), (1536, 1920)):
    predict_tiled(model, spec, shape=(height, width), read=read, write=write, tile=128)
    peaks.append(status("VmHWM"))
print(json.dumps({"before": before, "peaks": peaks, "written": written}))
"""


def test_memory_does_not_grow_with_the_scene() -> None:
    # within a tenth at twenty times the size, also without what was there before, but for a few of Python's pages
    output = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, cwd=ROOT).stdout
    found = json.loads(output)
    once, twenty = found["peaks"]
    assert found["written"] == 21 * 384 * 384
    assert twenty < 1.1 * once
    assert twenty - found["before"] < 1.1 * (once - found["before"]) + SLACK_KB
