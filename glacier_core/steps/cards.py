"""What travels with a registered model for people to read: its card, sample pictures, an input example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glacier_core.steps.plans import Plan, gather
from glacier_core.steps.running import Step
from glacier_core.store import Output


def model_card(step: Step, plan: Plan, chain: dict[str, Any], model: Output) -> str:
    """The model card (Mitchell et al. 2019, doi 10.1145/3287560.3287596) as Markdown."""
    recipe = plan.recipe
    spec = model.read_json("model.json")
    scores = model.read_json("scores.json")
    split = model.read_json("split.json")
    training = step.read(chain["train"]).read_json("training.json")
    counts = ", ".join(
        f"{len(split[part])} {done}"
        for part, done in (("train", "trained"), ("validation", "validated"), ("test", "tested"))
    )
    lines = [
        f"# {recipe.name}",
        "",
        f"{recipe.title or plan.kind.intended_use(recipe)}".rstrip(".") + ".",
        f"Network `{spec['name']}`, width {spec['width']}, depth {spec['depth']}, bands {', '.join(spec['bands'])}.",
        "",
        "## Intended use",
        plan.kind.intended_use(recipe),
        "",
        "## Data",
        f"{counts}; split by {recipe.split.by}.",
        "",
        "## Training",
        f"Best epoch {training['best_epoch']} of {training['stopped_epoch']}, {training['precision']},",
        f"{training['threads']} threads, {training['seconds']:g} s.",
        "",
        "## Scores on the test set",
        "| who | metric | value | interval | n |",
        "|---|---|---|---|---|",
    ]
    for who, found in (("model", scores["model"]), *scores["baselines"].items()):
        for metric, value in found.items():
            interval = "" if value["low"] is None else f"{value['low']:.3f} to {value['high']:.3f}"
            shown = "unknown" if value["value"] is None else f"{value['value']:.3f}"
            unit = f" {value['unit']}" if value["unit"] not in ("", "1") else ""
            lines.append(f"| {who} | {metric} | {shown}{unit} | {interval} | {value['n']} |")
    return "\n".join(lines) + "\n"


def sample_pictures(step: Step, chain: dict[str, Any], folder: Path) -> list[Path]:
    """Some test samples as the kind draws them: seen, true, predicted."""
    plan, entries = gather(step, chain["label"])
    done = [entry for entry in entries if entry["state"] == "done"]
    return [folder / name for name in plan.kind.pictures(step, plan, done, chain["train"], folder)]
