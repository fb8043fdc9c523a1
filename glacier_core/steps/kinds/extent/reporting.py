"""The products of glacier extent: tables, graphs, masks, outlines, the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.extent.cases import THRESHOLD, Case
from glacier_core.steps.kinds.extent.grounds import Grounds
from glacier_core.steps.kinds.extent.imagery import IMAGE
from glacier_core.steps.kinds.extent.inputs import outlines_of
from glacier_core.steps.kinds.extent.measuring import AREAS, TRENDS
from glacier_core.steps.kinds.extent.predicting import PREDICTION
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_parquet
from glacier_core.store import Output

PAGE = "report.html"
PICTURES = 3


def write_products(
    step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path, grounds: Grounds
) -> str:
    """Write the products into a folder; the name of the page to open first."""
    from glacier_core import report

    model = step.read(plan.model["reference"])
    scores = model.read_json("scores.json")
    outlines = outlines_of(plan)
    chosen = {unit.glacier_id for unit in plan.units.values()}
    inputs = report.ReportInputs(
        recipe=plan.recipe,
        areas=from_parquet(aggregated.read_bytes(AREAS)),
        trends=from_parquet(aggregated.read_bytes(TRENDS)),
        outlines=outlines[outlines["glacier_id"].isin(chosen)],
        model={
            "name": plan.model["name"],
            "version": plan.model["version"],
            "alias": plan.model["alias"],
            "promoted": plan.promoted(),
        },
        scores=scores["model"],
        baselines=scores["baselines"],
        lineage=lineage(step, [reference(aggregated), plan.model["reference"]]),
        image=_Images(step, plan, entries, grounds).year,
        withheld=withheld(plan, entries),
    )
    report.write_products(folder, inputs)
    return PAGE


def draw_pictures(step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
    """True colour with truth and prediction for some test units: the worst, the middle and the best by area error."""
    from glacier_core.report import draw_sample

    network = Network(step, weights)
    tested = [entry for entry in entries if entry["state"] == "done" and plan.units[entry["unit"]].part == "test"]

    def error(entry: Entry) -> float:
        case = Case.read(step, plan, entry, network)
        return float(abs(case.estimate().area_km2 - case.true_area_km2) / max(case.true_area_km2, 1e-9))

    ranked = sorted(tested, key=error)
    names = []
    for entry in [ranked[index] for index in sorted({0, len(ranked) // 2, len(ranked) - 1})][:PICTURES]:
        case = Case.read(step, plan, entry, network)
        names.append(f"{case.unit}.png")
        draw_sample(
            folder / names[-1],
            rgb=[case.bands[band] for band in plan.recipe.imagery.rgb],
            truth=case.truth & case.domain,
            predicted=(case.probability >= THRESHOLD) & case.domain,
            title=case.unit,
        )
    return names


class _Images:
    """The year's image, prediction and domain of a glacier, read when they are drawn."""

    def __init__(self, step: Step, plan: Plan, entries: Sequence[Entry], grounds: Grounds) -> None:
        self.step = step
        self.plan = plan
        self.entries = {entry["unit"]: entry for entry in entries}
        self.grounds = grounds

    def year(self, glacier_id: str, year: int) -> Any:
        """What is known of a glacier in a year, or None."""
        import numpy as np

        from glacier_core.cube import read_image
        from glacier_core.report import YearImage

        entry = self.entries.get(f"{glacier_id}_{year}")
        if entry is None or entry["state"] != "done":
            return None
        unit = self.plan.units[entry["unit"]]
        prepared = self.step.read(entry["refs"]["prepare"])
        probability = read_image(self.step.read(entry["refs"]["predict"]).path(PREDICTION))[0]
        rgb = read_image(prepared.path(IMAGE), bands=self.plan.recipe.imagery.rgb)
        domain = self.grounds.of(unit).domain
        return YearImage(
            rgb=np.moveaxis(rgb, 0, -1),
            ice=(probability >= THRESHOLD) & domain,
            probability=probability,
            observed=np.isfinite(probability),
            domain=domain,
            grid=unit.grid,
            acquired=prepared.read_json("scenes.json")["used"],
        )
