"""Weights from outside: by name and shape, other bands, and files that are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from glacier_core.errors import DataError
from glacier_core.models import build_model, load_weights

torch.set_num_threads(1)

FIRST = "down.0.0.weight"


def network(*, bands: int = 3, classes: int = 2, seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("unet", bands=bands, classes=classes, width=width, depth=1).eval()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("form", ["safetensors", "pt", "envelope", "wrapped"])
def test_what_fits_is_taken(tmp_path: Path, form: str) -> None:
    given, taking = network(seed=1), network(seed=2)
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    state = given.state_dict()
    if form == "safetensors":
        save_file(state, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": {f"module.model.{name}": value for name, value in state.items()}}, path)
    else:
        torch.save({"model": state} if form == "envelope" else state, path)
    assert not same(taking, given)
    report = load_weights(taking, str(path))
    assert same(taking, given)
    assert set(report.taken) == set(state)
    assert report.left == report.unknown == report.adapted == ()


@pytest.mark.parametrize("bands", [1, 2, 5, 6])
def test_another_number_of_bands_is_adapted(tmp_path: Path, bands: int) -> None:
    given, taking = network(bands=3), network(bands=bands, seed=2)
    save_file(given.state_dict(), tmp_path / "weights.safetensors")
    report = load_weights(taking, str(tmp_path / "weights.safetensors"))
    assert report.adapted == (FIRST,)
    assert not report.left
    one, other = given.state_dict()[FIRST], taking.state_dict()[FIRST]
    torch.testing.assert_close(other[:, 0] * bands / 3, one[:, 0])
    if bands % 3 == 0:
        # an image whose bands are repeated gives what it gave
        image = torch.rand(1, 3, 8, 8)
        torch.testing.assert_close(taking(image.repeat(1, bands // 3, 1, 1)), given(image))


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    state = network(classes=5).state_dict()
    state["decoder.weight"] = torch.zeros(3)
    taking = network(classes=2, seed=2)
    head = taking.state_dict()["head.weight"].clone()
    save_file(state, tmp_path / "weights.safetensors")
    report = load_weights(taking, str(tmp_path / "weights.safetensors"))
    assert report.unknown == ("decoder.weight",)
    assert report.left == ("head.weight", "head.bias")
    torch.testing.assert_close(taking.state_dict()["head.weight"], head)
    assert FIRST in report.taken


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"layer1.0.weight": torch.zeros(3, 3)}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"no weight in .* fits the network"):
        load_weights(network(), str(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_truncated_file_is_refused_and_nothing_changes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("pt"):
        torch.save(network(seed=1).state_dict(), path)
    else:
        save_file(network(seed=1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    taking = network(seed=2)
    with pytest.raises(DataError, match="damaged") as refused:
        load_weights(taking, str(path))
    assert "\n" not in str(refused.value)
    assert same(taking, network(seed=2))


class Harmful:
    """Would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_nothing_is_run_by_reading(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"weight": Harmful(trace)}))
    else:
        torch.save({"weight": Harmful(trace)}, path)
    with pytest.raises(DataError, match="more than weights"):
        load_weights(network(), str(path))
    assert not trace.exists()


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    state["head.bias"][0] = torch.nan
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"'head.bias' .* is not finite"):
        load_weights(network(), str(tmp_path / "weights.safetensors"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no weights"):
        load_weights(network(), str(tmp_path / "nothing.safetensors"))
