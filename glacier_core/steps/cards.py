"""What travels with a registered model for people to read: its card, sample pictures, an input example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import ExtentRecipe
from glacier_core.steps.evaluating import THRESHOLD, Case
from glacier_core.steps.imagery import IMAGE
from glacier_core.steps.plans import gather
from glacier_core.steps.predicting import Predictor
from glacier_core.steps.running import Step
from glacier_core.store import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 3


def model_card(step: Step, recipe: ExtentRecipe, chain: dict[str, Any], model: Output) -> str:
    """The model card (Mitchell et al. 2019, doi 10.1145/3287560.3287596) as Markdown."""
    spec = model.read_json("model.json")
    scores = model.read_json("scores.json")
    split = model.read_json("split.json")
    training = step.read(chain["train"]).read_json("training.json")
    lines = [
        f"# {recipe.name}",
        "",
        f"{recipe.title or 'Glacier extent'}.",
        f"Network `{spec['name']}`, width {spec['width']}, depth {spec['depth']}, bands {', '.join(spec['bands'])}.",
        "",
        "## Intended use",
        f"Glacier extent from {recipe.imagery.source} imagery at {recipe.imagery.resolution_m:g} m,",
        f"season {recipe.season[0]} to {recipe.season[1]}. Not for other sensors, bands or seasons.",
        "",
        "## Data",
        f"{len(split['train'])} glaciers trained, {len(split['validation'])} validated, {len(split['test'])} tested,",
        f"split by {recipe.split.by}. Outlines within {recipe.labels.tolerance_days} days of the image count as truth"
        + ("; older ones were trained on too and are called stale." if recipe.labels.train_on_stale else "."),
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


def input_example(step: Step, chain: dict[str, Any]) -> NDArray[np.float32]:
    """One chip of the validation set, (1, band, y, x), physical values, NaN where nothing was seen."""

    from glacier_core.cube import read_image

    samples = step.read(chain["sample"]).read_json("samples.json")
    spec = step.read(chain["train"]).read_json("model.json")
    chip = samples["chips"]["validation"][0]
    image = read_image(step.read(chip["image"]).path(IMAGE), bands=spec["bands"])
    rows = slice(chip["row"], chip["row"] + chip["size"])
    columns = slice(chip["column"], chip["column"] + chip["size"])
    return image[None, :, rows, columns]


def sample_pictures(step: Step, chain: dict[str, Any], folder: Path) -> list[Path]:
    """True colour with truth and prediction for some test units: the worst, the middle and the best by area error."""
    from glacier_core.report import draw_sample

    plan, entries = gather(step, chain["label"])
    rows = step.read(chain["evaluate"]).read_json("rows.json")
    ranked = sorted(rows, key=lambda row: abs(row["area_km2"] - row["true_area_km2"]) / max(row["true_area_km2"], 1e-9))
    chosen = [ranked[index] for index in sorted({0, len(ranked) // 2, len(ranked) - 1})][:PICTURES]
    by_unit = {entry["unit"]: entry for entry in entries}
    predictor = Predictor(step, chain["train"])
    pictures = []
    for row in chosen:
        case = Case.read(step, plan, by_unit[row["unit"]], predictor)
        path = folder / f"{row['unit']}.png"
        draw_sample(
            path,
            rgb=[case.bands[band] for band in plan.recipe.imagery.rgb],
            truth=case.truth & case.domain,
            predicted=(case.probability >= THRESHOLD) & case.domain,
            title=row["unit"],
        )
        pictures.append(path)
    return pictures
