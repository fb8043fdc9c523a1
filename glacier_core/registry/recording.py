"""What a registered version leaves in MLflow: a run with parameters, curves and files, and the pyfunc itself."""

from __future__ import annotations

import json
import math
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any

from glacier_core.registry.talking import SQLITE, database_path
from glacier_core.registry.versions import DIGEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

PYFUNC = Path(__file__).with_name("pyfunc.py")
# The network, and what it needs where it is served.
REQUIREMENTS = ("glacierflow", "mlflow", "numpy", "safetensors", "torch")
PACKAGES = (*REQUIREMENTS, "rasterio", "xarray", "zarr")
METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100


@dataclass(frozen=True)
class Registration:
    """A trained network with all that is kept about it."""

    name: str
    """The registered model and the experiment."""
    folder: Path
    """`weights.safetensors`, `model.json` and whatever else shall travel with the network."""
    digest: str
    """Digest of the model's output in the store."""
    params: Mapping[str, str]
    """What the training was told."""
    history: Sequence[Mapping[str, Any]]
    """One mapping an epoch; its numbers become curves."""
    scores: Mapping[str, Any]
    """{"model": {metric: score}, "baselines": {name: {metric: score}}}."""
    artifacts: Mapping[str, str]
    """Texts by file name, such as the recipe."""
    pictures: Sequence[Path]
    """Pictures to look at."""
    card: str
    """The model card as Markdown."""
    headline: str = ""
    """The score that stands for the network in lists."""


def record(mlflow: Any, client: MlflowClient, what: Registration, *, tracking: str) -> tuple[str, str]:
    """Log the run with the pyfunc among its artifacts.

    Args:
        mlflow: the package.
        client: its client.
        what: what to log.
        tracking: tracking URI.

    Returns:
        The run's id and the artifact URI of the pyfunc.
    """
    run = client.create_run(experiment_id(mlflow, client, what.name, tracking), tags={DIGEST_TAG: what.digest})
    run_id = str(run.info.run_id)
    try:
        for metrics, params in _batches(mlflow, what):
            client.log_batch(run_id, metrics=metrics, params=params)
        with tempfile.TemporaryDirectory(prefix="glacier-run-") as name:
            _write_files(mlflow, what, run_id, Path(name))
            client.log_artifacts(run_id, name)
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id, status="FINISHED")
    return run_id, f"{run.info.artifact_uri.rstrip('/')}/model"


def experiment_id(mlflow: Any, client: MlflowClient, name: str, tracking: str) -> str:
    """The id of an experiment, made where it is absent."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    location = None
    if tracking.startswith(SQLITE):
        # MLflow would put them into the folder that the command happens to run in
        location = (database_path(tracking).resolve().parent / "mlflow-artifacts" / name).as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except mlflow.exceptions.MlflowException:
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _batches(mlflow: Any, what: Registration) -> Iterator[tuple[list[Any], list[Any]]]:
    entities, now = mlflow.entities, int(time.time() * 1000)
    metrics = [
        entities.Metric(key, float(value), now, int(epoch.get("epoch", number)))
        for number, epoch in enumerate(what.history)
        for key, value in epoch.items()
        if is_number(value) and key != "epoch"
    ]
    contenders = [("", what.scores.get("model", {}))]
    contenders += [(f"baseline/{name}/", found) for name, found in what.scores.get("baselines", {}).items()]
    metrics += [
        entities.Metric(f"{prefix}{metric_key(metric)}", float(score["value"]), now, 0)
        for prefix, found in contenders
        for metric, score in found.items()
        if is_number(score["value"])
    ]
    params = [entities.Param(key, str(value)) for key, value in what.params.items()]
    for start in range(0, len(params), PARAMS_AT_ONCE):
        yield [], params[start : start + PARAMS_AT_ONCE]
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        yield metrics[start : start + METRICS_AT_ONCE], []


def is_number(value: object) -> bool:
    """Whether MLflow takes a value as a metric."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def metric_key(name: str) -> str:
    """The name with what MLflow does not take replaced."""
    return re.sub(r"[^\w\-. /:]", "_", name)


def _write_files(mlflow: Any, what: Registration, run_id: str, folder: Path) -> None:
    (folder / "card.md").write_text(what.card, encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps(what.scores, indent=1, sort_keys=True), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(_environment(), indent=1), encoding="utf-8")
    for name, text in what.artifacts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if what.pictures:
        (folder / "pictures").mkdir()
        for picture in what.pictures:
            copyfile(picture, folder / "pictures" / picture.name)
    network = folder / "network"
    network.mkdir()
    for file in sorted(what.folder.iterdir()):
        if file.is_file():
            copyfile(file, network / file.name)
    _save_pyfunc(mlflow, what, run_id, network=network, target=folder / "model")
    for file in network.iterdir():
        file.unlink()
    network.rmdir()


def _save_pyfunc(mlflow: Any, what: Registration, run_id: str, *, network: Path, target: Path) -> None:
    from mlflow.models import Model

    from glacier_core.registry.signatures import example_of, signature_of

    spec = json.loads((network / "model.json").read_text(encoding="utf-8"))
    mlflow.pyfunc.save_model(
        path=str(target),
        mlflow_model=Model(run_id=run_id, artifact_path=target.name),
        python_model=str(PYFUNC),
        artifacts={"network": str(network)},
        signature=signature_of(spec),
        input_example=example_of(spec),
        # given, so that MLflow does not spend a subprocess on guessing them
        pip_requirements=[f"{name}=={found.partition('+')[0]}" for name, found in _versions(REQUIREMENTS).items()],
        metadata={"bands": spec["bands"], "classes": spec["classes"], "digest": what.digest},
    )


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "packages": _versions(PACKAGES),
    }
