"""`register`, `gate`, `promote`: a trained network becomes a model version, and perhaps the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import Recipe, dump_recipe
from glacier_core.settings import Settings
from glacier_core.steps.fitting import check_fit
from glacier_core.steps.plans import Plan, read_plan
from glacier_core.steps.running import Step, log, reference, running
from glacier_core.steps.versions import data_versions
from glacier_core.store import Output, Store

MODEL_FILES = ("weights.safetensors", "model.json", "calibration.json", "scores.json", "split.json")
"""What every model has; a kind may keep more beside its weights."""
LEFT_BEHIND = ("history.json", "training.json")
"""What `train` keeps of the training itself."""


def tracking_uri(store: Store) -> str:
    """The MLflow tracking server: the setting, or SQLite beside a store on this machine."""
    configured = Settings().tracking
    if configured:
        return configured
    parts = urlsplit(store.url)
    if parts.scheme not in ("", "file"):
        raise ConfigurationError(
            f"no MLflow tracking server is set for the store {store.url}",
            expected="GLACIER_TRACKING=<URI>",
            do="set it; only a store on this machine has a tracking database beside it",
        )
    return f"sqlite:///{Path(parts.path).resolve().parent / 'mlflow.db'}"


def register(*, store: str, run: str, evaluated: str) -> str:
    """Register the trained network with its scores, calibration and card in MLflow.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        evaluated: the chain that `evaluate` returned.
    """
    with running(store=store, run=run, stage="register") as step:
        chain = step.read_chain(evaluated)
        plan = read_plan(step, chain["plan"])
        model = _model(step, plan.recipe, chain)
        version = _registered(step, plan, chain, model)
        return step.publish_chain({**chain, "model": reference(model), "version": f"{version.name}/{version.version}"})


def gate(*, store: str, run: str, registered: str) -> str:
    """Decide whether the new version may become champion.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        registered: the chain that `register` returned.
    """
    with running(store=store, run=run, stage="gate") as step:
        from glacier_core.steps.gating import verdict_of  # gating itself imports the registry from here

        chain = step.read_chain(registered)
        verdict = verdict_of(step, chain)
        log.info(
            "[gate] %s: %s",
            "passed" if verdict.read_json("verdict.json")["passed"] else "not passed",
            verdict.read_json("verdict.json")["reason"],
        )
        return step.publish_chain({**chain, "gate": reference(verdict)})


def promote(*, store: str, run: str, gated: str) -> str:
    """Give the new version the alias that the gate's verdict allows.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        gated: the chain that `gate` returned.

    Returns:
        The chain; its `alias` is champion, challenger, or empty for a version that products call unpromoted.
    """
    with running(store=store, run=run, stage="promote") as step:
        chain = step.read_chain(gated)
        verdict = step.read(chain["gate"]).read_json("verdict.json")
        registry = open_registry(step.store)
        version = registry.resolve(chain["version"])
        if verdict["decided"]:
            registry.judge(version, passed=verdict["passed"], reason=verdict["reason"])
        if version.alias == "champion":
            alias = "champion"
        elif verdict["passed"]:
            registry.promote(version, by="gate", why=verdict["reason"])
            alias = "champion"
        elif registry.champion(version.name) is not None:
            registry.challenge(version)
            alias = "challenger"
        else:
            alias = ""
        log.info("[promote] %s %s", chain["version"], f"is {alias}" if alias else "stays without alias")
        step.facts = {"model": {"name": version.name, "version": str(version.version), "alias": alias}}
        return step.publish_chain({**chain, "alias": alias})


def open_registry(store: Store) -> Any:
    """The MLflow registry that goes with the store."""
    from glacier_core.registry import Registry

    return Registry(tracking_uri(store))


def import_model(step: Step, model: str, recipe: Recipe) -> dict[str, Any]:
    """The model version that `name@alias` or `name/version` names, with its files in the store.

    Returns:
        {name, version, alias, reference, weights}: `reference` is the model's output in the store, `weights` that of
        the network alone.

    Raises:
        ConfigurationError: there is no such version, or it does not fit the recipe.
    """
    version = open_registry(step.store).resolve(model)
    found = step.store.find("model", version.digest)
    if found is None:
        found = _imported(step, version)
    check_fit(f"model {model}", found.read_json("model.json"), recipe)
    trained = next((link for link in found.record["inputs"] if link.startswith("train/")), "")
    stage, _, digest = trained.partition("/")
    at_hand = bool(trained) and step.store.find(stage, digest) is not None
    return {
        "name": version.name,
        "version": version.version,
        "alias": version.alias or "",
        "reference": reference(found),
        "weights": trained if at_hand else reference(found),
    }


def champion_of(step: Step, recipe: Recipe) -> dict[str, Any]:
    """The reigning champion of a recipe as `import_model` describes it; empty where there is none.

    Raises:
        ConfigurationError: the champion does not fit the recipe, so that nothing can be held against it.
    """
    version = open_registry(step.store).champion(recipe.name)
    return {} if version is None else import_model(step, f"{version.name}/{version.version}", recipe)


def _imported(step: Step, version: Any) -> Output:
    with step.store.attempt("model", version.digest) as attempt:
        folder = version.folder()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            attempt.put(path.name, path)
        return attempt.publish(part={"name": version.name, "version": version.version}, inputs=[], version=0)


def _model(step: Step, recipe: Recipe, chain: dict[str, Any]) -> Output:
    """The network, its calibration and its scores in one folder: what is registered, and what predicts elsewhere."""
    trained, evaluated, samples = (step.read(chain[stage]) for stage in ("train", "evaluate", "sample"))

    def make(attempt: Any) -> None:
        for output, names in (
            (trained, [name for name in trained.files() if name not in LEFT_BEHIND]),
            (evaluated, ("calibration.json", "scores.json")),
        ):
            for name in names:
                attempt.write_bytes(name, output.read_bytes(name))
        # stores forget where things came from, and the model is taken to other stores
        made_from = {"outputs": list(samples.inputs), "versions": data_versions(recipe.kind)}
        attempt.write_json("split.json", {**samples.read_json("split.json"), "made_from": made_from})

    inputs = [chain["train"], chain["evaluate"], chain["sample"]]
    return step.build("model", part={"name": recipe.name}, inputs=inputs, make=make)


def _registered(step: Step, plan: Plan, chain: dict[str, Any], model: Output) -> Any:
    import tempfile

    from glacier_core.registry import Registration

    recipe = plan.recipe
    registry = open_registry(step.store)
    known = registry.find(recipe.name, digest=model.digest)
    if known is not None:
        return known
    step.made += 1
    with tempfile.TemporaryDirectory(prefix="glacier-model-") as name:
        folder = Path(name)
        for file in model.files():
            (folder / file).write_bytes(model.read_bytes(file))
        from glacier_core.steps.cards import model_card, sample_pictures

        pictures = folder / "pictures"
        pictures.mkdir()
        version = registry.register(
            Registration(
                name=recipe.name,
                folder=folder,
                digest=model.digest,
                params=flat({"model": recipe.model.model_dump(), "training": recipe.training.model_dump()}),
                history=step.read(chain["train"]).read_json("history.json"),
                scores=json.loads(model.read_bytes("scores.json")),
                artifacts={
                    "recipe.yaml": dump_recipe(recipe),
                    "inputs.json": json.dumps(chain, indent=1, sort_keys=True),
                    "split.json": model.read_bytes("split.json").decode(),
                },
                pictures=sample_pictures(step, chain, pictures),
                card=model_card(step, plan, chain, model),
                headline=plan.kind.headline,
            )
        )
    log.info("[register] %s version %s", version.name, version.version)
    return version


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values by dotted keys, as MLflow takes parameters."""
    keys: dict[str, str] = {}
    for key, found in value.items():
        keys |= flat(found, f"{prefix}{key}.") if isinstance(found, dict) else {f"{prefix}{key}": str(found)}
    return keys
