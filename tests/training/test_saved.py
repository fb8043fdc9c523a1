"""Networks on disk, and what this machine does well."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
import torch

from glacier_core import recipes
from glacier_core.errors import ConfigurationError, DataError
from glacier_core.training import ModelSpec, choose_precision, load_model, save_model, tune_allocator
from glacier_core.training.optimizing import learning_rate
from tests.training.chip_sources import NORMALISATION

CPU = torch.device("cpu")
SPEC = ModelSpec(
    name="unet",
    bands=NORMALISATION.bands,
    classes=("other", "glacier"),
    width=4,
    depth=2,
    normalisation=NORMALISATION,
    split="abc",
    kind="extent",
    extra={"rgb": [0, 1, 2]},
)


@pytest.mark.parametrize("scheme", ["folder", "memory"])
def test_a_network_comes_back_as_it_was(tmp_path: Path, scheme: str) -> None:
    torch.manual_seed(1)
    network = SPEC.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()(torch.randn(2, 3, 16, 16))
    folder = f"{tmp_path}/model/" if scheme == "folder" else f"memory://{tmp_path.name}/model"
    save_model(folder, state=network.state_dict(), spec=SPEC)
    found, spec = load_model(folder)
    assert spec == SPEC
    assert not found.training
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(found(image), network.eval()(image))


def test_only_safetensors_and_json_are_written(tmp_path: Path) -> None:
    save_model(str(tmp_path), state=SPEC.build().state_dict(), spec=SPEC)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]
    assert json.loads((tmp_path / "model.json").read_text())["bands"] == list(SPEC.bands)


@pytest.mark.parametrize("damage", ["truncated", "other network", "no json", "no field"])
def test_a_damaged_model_is_refused(tmp_path: Path, damage: str) -> None:
    save_model(str(tmp_path), state=SPEC.build().state_dict(), spec=SPEC)
    weights, description = tmp_path / "weights.safetensors", tmp_path / "model.json"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "other network":
        description.write_text(description.read_text().replace('"width": 4', '"width": 8'))
    else:
        description.write_text("{" if damage == "no json" else "{}")
    with pytest.raises(DataError, match="damaged"):
        load_model(str(tmp_path))


def test_a_forecast_network_comes_back_with_its_sizes_and_without_normalisation(tmp_path: Path) -> None:
    sizes = {"channels": 2, "known": 3, "outputs": 1}
    spec = ModelSpec("convlstm", ("ice",), (), 4, 1, None, kind="ice_cover", extra={"scale": 1.0}, sizes=sizes)
    save_model(str(tmp_path), state=spec.build().state_dict(), spec=spec)
    network, found = load_model(str(tmp_path))
    assert found == spec
    assert network(torch.zeros(1, 3, 2, 8, 8), torch.zeros(1, 2, 3, 8, 8)).shape == (1, 2, 1, 8, 8)


def test_a_description_from_before_there_were_sizes_is_read(tmp_path: Path) -> None:
    save_model(str(tmp_path), state=SPEC.build().state_dict(), spec=SPEC)
    description = tmp_path / "model.json"
    value = json.loads(description.read_text())
    del value["sizes"]
    description.write_text(json.dumps(value))
    assert load_model(str(tmp_path))[1] == SPEC


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        load_model(str(tmp_path / "nothing"))


def test_precision_is_what_was_asked_for() -> None:
    assert choose_precision("fp32", device=CPU).name == "fp32"
    assert choose_precision("bf16", device=CPU).name == "bf16"
    assert choose_precision("auto", device=CPU).name in ("fp32", "bf16")
    with pytest.raises(ConfigurationError, match="auto, fp32, bf16"):
        choose_precision("fp8", device=CPU)


def test_the_allocator_is_tuned_where_it_can_be() -> None:
    assert tune_allocator() is (platform.libc_ver()[0] == "glibc")


def test_the_learning_rate_rises_and_falls() -> None:
    plan = recipes.Training(epochs=10, steps_per_epoch=10, learning_rate=0.01)
    rates = [learning_rate(step, plan) for step in range(100)]
    assert max(rates) == pytest.approx(0.01)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-4
    assert learning_rate(0, recipes.Training(epochs=1, steps_per_epoch=1)) > 0


def test_the_learning_rate_stays_or_falls_in_steps() -> None:
    def rates(schedule: str) -> list[float]:
        given = {"epochs": 3, "steps_per_epoch": 4, "learning_rate": 0.01, "schedule": schedule}
        return [learning_rate(step, recipes.Training.model_validate(given)) for step in range(12)]

    assert rates("constant") == [0.01] * 12
    assert rates("step") == pytest.approx([0.01] * 4 + [0.001] * 4 + [0.0001] * 4)
