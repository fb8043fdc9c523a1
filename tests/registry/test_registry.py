"""The registry on a SQLite database: versions, aliases, files, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacier_core.errors import ConfigurationError, ServiceUnavailableError, StoreError
from glacier_core.prepare import Normalisation
from glacier_core.registry import ModelVersionRef, Registration, Registry
from glacier_core.registry.talking import make_database

BANDS = ("B02", "B03", "B04")
SCORES = {
    "model": {"iou/glacier": {"value": 0.93, "low": 0.91, "high": 0.95, "n": 9, "unit": "1"}},
    "baselines": {"ndsi_0.4": {"iou/glacier": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 9, "unit": "1"}}},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network, as `train` leaves it."""
    import torch

    from glacier_core.training import ModelSpec, save_model

    folder = tmp_path_factory.mktemp("network")
    spec = ModelSpec(
        name="unet",
        bands=BANDS,
        classes=("other", "glacier"),
        width=4,
        depth=1,
        normalisation=Normalisation(bands=BANDS, mean=(0.3, 0.3, 0.3), std=(0.2, 0.2, 0.2)),
        kind="extent",
    )
    torch.manual_seed(0)
    save_model(str(folder), state=spec.build().state_dict(), spec=spec)
    (folder / "calibration.json").write_text('{"quantile": 1.5}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def registration(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Registration:
    picture = tmp_path_factory.mktemp("pictures") / "unit.png"
    picture.write_bytes(b"\x89PNG")
    return Registration(
        name="demo",
        folder=network,
        digest="d1",
        params={"model.width": "4"},
        history=[{"epoch": 1, "loss": 0.9, "lr": 0.1}, {"epoch": 2, "loss": 0.5, "lr": float("nan"), "note": "x"}],
        scores=SCORES,
        artifacts={"recipe.yaml": "name: demo\n", "inputs.json": "{}"},
        pictures=[picture],
        card="# demo\n\nA card.\n",
        headline="iou/glacier",
    )


@pytest.fixture(scope="module")
def template(registration: Registration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with demo/1 (digest d1), made once: MLflow takes seconds to lay its tables out."""
    folder = tmp_path_factory.mktemp("tracking")
    Registry(f"sqlite:///{folder / 'mlflow.db'}").register(registration)
    return folder


@pytest.fixture
def registry(template: Path, tmp_path: Path) -> Registry:
    """A copy of the template: tests may change it."""
    copy = tmp_path / "mlflow.db"
    copy.write_bytes((template / "mlflow.db").read_bytes())
    return Registry(f"sqlite:///{copy}")


@pytest.fixture
def more(registry: Registry) -> Callable[[str], ModelVersionRef]:
    """Adds a version of another digest without logging a whole run."""

    def add(digest: str) -> ModelVersionRef:
        first = registry.resolve("demo/1")
        tags = {"glacierflow.digest": digest, "glacierflow.scores": "{}"}
        registry.client().create_model_version("demo", source=first.source, tags=tags, await_creation_for=0)
        found = registry.find("demo", digest=digest)
        assert found is not None
        return found

    return add


def runs_of(registry: Registry) -> list[Any]:
    client = registry.client()
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_a_version_has_its_digest_scores_and_files(registry: Registry, network: Path) -> None:
    found = registry.find("demo", digest="d1")
    assert found is not None
    assert (found.name, found.version, found.alias, found.gate) == ("demo", "1", None, "")
    assert found.scores == SCORES["model"]
    assert found.headline == "iou/glacier"
    folder = found.folder()
    for file in network.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    assert registry.find("demo", digest="other") is None


def test_the_pyfunc_predicts_what_the_network_predicts(registry: Registry) -> None:
    import mlflow

    from glacier_core.inference import predict_image
    from glacier_core.training import load_model

    found = registry.resolve("demo/1")
    pyfunc = mlflow.pyfunc.load_model(found.source)
    image = np.random.default_rng(0).random((1, 3, 16, 20), dtype=np.float32)
    image[0, 1, :4] = np.nan
    result = pyfunc.predict(image)
    model, spec = load_model(str(found.folder()))
    np.testing.assert_allclose(result[0], predict_image(model, spec, image[0]), atol=1e-6)
    assert result.shape == (1, 2, 16, 20)
    assert np.isnan(result[0, :, :4]).all()
    signature = pyfunc.metadata.signature
    assert signature.inputs.inputs[0].shape == (-1, 3, -1, -1)
    assert signature.outputs.inputs[0].shape == (-1, 2, -1, -1)
    example = pyfunc.metadata.load_input_example(found.source)
    assert example.shape[:2] == (1, 3)
    np.testing.assert_allclose(example, 0.3)


def test_nothing_is_pickled(template: Path) -> None:
    names = {path.name for path in (template / "mlflow-artifacts").rglob("*") if path.is_file()}
    assert {"MLmodel", "pyfunc.py", "weights.safetensors", "model.json", "input_example.json", "card.md"} <= names
    assert {"recipe.yaml", "inputs.json", "environment.json", "scores.json", "unit.png"} <= names
    assert not [name for name in names if Path(name).suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")]


def test_the_run_has_parameters_curves_and_scores(registry: Registry) -> None:
    client = registry.client()
    (run,) = runs_of(registry)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model.width": "4"}
    assert run.data.metrics["iou/glacier"] == 0.93
    assert run.data.metrics["baseline/ndsi_0.4/iou/glacier"] == 0.6
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.9), (2, 0.5)]
    assert "note" not in run.data.metrics
    assert client.get_model_version("demo", "1").description == "# demo\n\nA card.\n"


def test_the_same_digest_is_registered_once(registry: Registry, registration: Registration) -> None:
    assert registry.register(registration).version == "1"
    assert len(registry.versions("demo")) == 1


def test_another_digest_is_another_version(registry: Registry, registration: Registration) -> None:
    second = registry.register(replace(registration, digest="d2", card="x" * 6000))
    assert second.version == "2"
    assert [ref.version for ref in registry.versions()] == ["2", "1"]
    assert len(registry.client().get_model_version("demo", "2").description or "") == 5000


def test_a_registration_that_fails_leaves_no_version(
    registry: Registry, registration: Registration, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"model\.json"):
        registry.register(replace(registration, digest="d3", folder=tmp_path / "empty"))
    assert registry.find("demo", digest="d3") is None
    assert sorted(run.info.status for run in runs_of(registry)) == ["FAILED", "FINISHED"]


def test_promotion_moves_the_aliases(registry: Registry, more: Callable[[str], ModelVersionRef]) -> None:
    first, second = registry.resolve("demo"), more("d2")
    assert registry.champion("demo") is None
    registry.promote(first, by="gate", why="first")
    registry.challenge(second)
    assert registry.resolve("demo@challenger").version == "2"
    assert registry.resolve("demo").version == "1"
    registry.promote(second, by="gate", why="better")
    assert registry.resolve("demo@champion").version == "2"
    assert registry.resolve("demo@previous").version == "1"
    assert [ref.alias for ref in registry.versions("demo")] == ["champion", "previous"]
    registry.promote(second, by="gate", why="again")
    assert registry.resolve("demo@previous").version == "1"
    tags = registry.client().get_model_version("demo", "2").tags
    assert (tags["glacierflow.promoted.by"], tags["glacierflow.promoted.why"]) == ("gate", "better")
    registry.promote(first, by="a person", why="rolled back")
    assert [ref.aliases for ref in registry.versions("demo")] == [("previous",), ("champion",)]


def test_a_version_that_failed_the_gate_never_becomes_champion(registry: Registry) -> None:
    ref = registry.resolve("demo/1")
    registry.judge(ref, passed=False, reason="does not beat the baseline")
    with pytest.raises(ConfigurationError, match="has failed the gate"):
        registry.promote(ref, by="a person", why="I like it")
    assert registry.champion("demo") is None
    assert registry.resolve("demo/1").gate == "failed"
    registry.judge(ref, passed=True, reason="on more units")
    registry.promote(registry.resolve("demo/1"), by="gate", why="on more units")
    assert registry.champion("demo") is not None
    registry.judge(registry.resolve("demo/1"), passed=False, reason="a later champion is better")
    assert registry.resolve("demo/1").gate == "passed"


def test_what_is_not_registered_is_named_with_what_is(registry: Registry) -> None:
    for model, message in (
        ("demo@champion", "demo/1"),
        ("demo/7", "demo/1"),
        ("dmo/1", "did you mean 'demo'"),
        ("demo@", "name@alias, name/version or name"),
        ("a' OR 1=1", "name@alias"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            registry.resolve(model)
    assert registry.versions("a' OR 1=1") == []


def test_reading_makes_no_database(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    assert registry.versions() == []
    assert registry.champion("demo") is None
    with pytest.raises(ConfigurationError, match="glacier train demo"):
        registry.resolve("demo@champion")
    assert list(tmp_path.iterdir()) == []


def test_the_client_says_what_the_tables_say(
    registry: Registry, more: Callable[[str], ModelVersionRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading MLflow's tables directly is a short cut; this fails when MLflow lays them out differently."""
    more("d2")
    gone = more("d3")
    registry.client().delete_model_version("demo", gone.version)
    registry.promote(registry.resolve("demo/1"), by="gate", why="x")
    registry.judge(registry.resolve("demo/2"), passed=False, reason="x")
    direct = registry.versions()
    assert [(ref.version, ref.alias, ref.gate) for ref in direct] == [("2", None, "failed"), ("1", "champion", "")]

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("no such table")

    monkeypatch.setattr("glacier_core.registry.versions.sqlite3.connect", refuse)
    assert registry.versions() == direct
    assert registry.versions("demo") == direct


def test_a_tracking_uri_may_have_options(registry: Registry) -> None:
    assert Registry(f"{registry.tracking}?timeout=20").resolve("demo/1").digest == "d1"


def test_looking_up_imports_no_mlflow(registry: Registry) -> None:
    code = (
        "import sys; from glacier_core.registry import Registry;"
        f"ref = Registry({registry.tracking!r}).resolve('demo/1');"
        "assert ref.digest == 'd1';"
        "heavy = [name for name in ('mlflow', 'torch', 'pandas', 'sqlalchemy', 'scipy') if name in sys.modules];"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unreachable_server_is_named(registration: Registration) -> None:
    registry = Registry("http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailableError, match=r"http://127\.0\.0\.1:9.*GLACIER_TRACKING"):
        registry.resolve("demo@champion")
    with pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9"):
        registry.register(registration)


def test_a_database_that_cannot_be_made_is_one_line(registration: Registration, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    registry = Registry(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    with pytest.raises(StoreError, match="MLflow database") as caught:
        registry.register(registration)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, only text " * 40, encoding="utf-8")
    with pytest.raises(StoreError, match=r"mlflow\.db"):
        Registry(f"sqlite:///{tmp_path / 'mlflow.db'}").versions()


def test_the_card_and_scores_survive_as_json(registry: Registry) -> None:
    assert json.loads(json.dumps(dict(registry.resolve("demo").scores))) == SCORES["model"]


class FakeMlflow:
    """MLflow that lays out a database in a way that the test says."""

    def __init__(self, lay_out: Callable[[Path], None]) -> None:
        self.lay_out = lay_out

    def MlflowClient(self, *, tracking_uri: str, registry_uri: str) -> None:  # noqa: N802
        assert tracking_uri == registry_uri
        self.lay_out(Path(tracking_uri.removeprefix("sqlite:///")))


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    def killed(path: Path) -> None:
        path.write_bytes(b"half of the tables")
        raise KeyboardInterrupt

    database = tmp_path / "mlflow.db"
    with pytest.raises(KeyboardInterrupt):
        make_database(FakeMlflow(killed), f"sqlite:///{database}")
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_make_a_database_at_once_one_yields(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"

    def slower(path: Path) -> None:
        path.write_bytes(b"ours")
        database.write_bytes(b"theirs")

    make_database(FakeMlflow(slower), f"sqlite:///{database}")
    assert database.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [database]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An MLflow tracking server on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 's.db'}", "--artifacts-destination", str(tmp_path / "a")]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.slow
def test_a_tracking_server_does_what_a_database_does(server: str, registration: Registration, network: Path) -> None:
    registry = Registry(server)
    assert registry.versions() == []
    first = registry.register(registration)
    assert registry.register(registration).version == first.version == "1"
    second = registry.register(replace(registration, digest="d2"))
    registry.promote(first, by="gate", why="first")
    registry.promote(second, by="gate", why="better")
    assert [(ref.version, ref.alias) for ref in registry.versions()] == [("2", "champion"), ("1", "previous")]
    folder = registry.resolve("demo@previous").folder()
    assert (folder / "weights.safetensors").read_bytes() == (network / "weights.safetensors").read_bytes()
    assert registry.versions("other") == []
