"""What MLflow is told of networks that forecast, and that it predicts what they predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from glacier_core.registry import Registration, Registry
from glacier_core.registry.signatures import example_of
from glacier_core.training import ModelSpec, load_model, save_model


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        name="convlstm",
        bands=("ice",),
        classes=(),
        width=4,
        depth=1,
        normalisation=None,
        kind="ice_cover",
        sizes={"channels": 2, "known": 3, "outputs": 1},
    )


def test_a_network_that_forecasts_is_served_by_mlflow(spec: ModelSpec, tmp_path: Path) -> None:
    import mlflow

    torch.manual_seed(0)
    folder = tmp_path / "network"
    state = {name: tensor + 0.01 for name, tensor in spec.build().state_dict().items()}
    save_model(str(folder), state=state, spec=spec)
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = registry.register(
        Registration(
            name="forecast",
            folder=folder,
            digest="d",
            params={},
            history=[],
            scores={"model": {}, "baselines": {}},
            artifacts={},
            pictures=[],
            card="",
        )
    )
    assert found.headline == ""
    pyfunc = mlflow.pyfunc.load_model(found.source)
    rng = np.random.default_rng(0)
    past = rng.random((1, 4, 2, 9, 11), dtype=np.float32)
    known = rng.random((1, 3, 3, 9, 11), dtype=np.float32)
    change = pyfunc.predict({"past": past, "known": known})
    network, _ = load_model(str(found.folder()))
    with torch.inference_mode():
        expected = network(torch.from_numpy(past), torch.from_numpy(known)).numpy()
    assert change.shape == (1, 3, 1, 9, 11)
    np.testing.assert_allclose(change, expected, atol=1e-6)
    assert np.abs(expected).max() > 0


def test_the_example_is_what_the_network_takes(spec: ModelSpec) -> None:
    example = example_of(spec.to_json())
    assert isinstance(example, dict)
    assert example["past"].shape[2] == 2
    assert example["known"].shape[2] == 3
    several = {"name": "cnn3d", "bands": ["a", "b"], "sizes": {"bands": 2, "classes": 3, "dates": 4}}
    image = example_of(several)
    assert isinstance(image, np.ndarray)
    assert image.shape[:2] == (1, 8)
