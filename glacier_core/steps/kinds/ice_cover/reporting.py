"""Products of ice-cover forecasts: files, tables, the page and the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glacier_core.recipes import dump_recipe
from glacier_core.report.naming import file_name
from glacier_core.report.product_catalog import ProductItem, write_product_catalog
from glacier_core.report.product_page import Figure, ProductPage, Table, write_product_page
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.ice_cover.drawing import NAMES, Place, draw_beside, error_figures, region_products
from glacier_core.steps.kinds.ice_cover.learning import region_of
from glacier_core.steps.kinds.ice_cover.measuring import MEASURES
from glacier_core.steps.kinds.ice_cover.predicting import FORECAST, forecast_in
from glacier_core.steps.kinds.ice_cover.scoring import ALIKE
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.store import Output


def write_products(step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
    """Everything that a person looks at; the page's name. See `Kind.products`."""
    figures: list[Figure] = []
    files: list[tuple[str, str]] = []
    items: list[ProductItem] = []
    places = [_place(step, plan, entry) for entry in entries if entry["state"] == "done"]
    for place in places:
        drawn, made, found = region_products(plan, place, folder)
        figures, files, items = figures + drawn, files + made, items + found
    scores = step.read(plan.model["reference"]).read_json("scores.json")
    figures += error_figures(scores, folder)
    files += _tables(aggregated, folder)
    files += [
        (name, "STAC catalog or item of the products")
        for name in write_product_catalog(
            folder, name=plan.recipe.name, title=plan.recipe.title, kind=plan.recipe.kind, items=items
        )
    ]
    return write_product_page(folder, _page(step, plan, entries, aggregated, places, (figures, files), scores))


def draw_pictures(step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
    """A month of the test beside its forecasts at the first, a middle and the last lead. See `Kind.pictures`."""
    from glacier_core.steps.kinds.ice_cover.predicting import predicted
    from glacier_core.steps.networks import Network

    names = []
    for entry in [entry for entry in entries if entry["state"] == "done"][:4]:
        unit = plan.units[entry["unit"]]
        made = step.read(predicted(step, plan, unit, entry, Network(step, weights)))
        place = Place(region_of(step, plan, entry), forecast_in(made.read_bytes(FORECAST)), {}, file_name(unit.name))
        name = f"{place.stem}-beside.png"
        if draw_beside(place, plan, folder / name):
            names.append(name)
    return names


def _place(step: Step, plan: Plan, entry: Entry) -> Place:
    forecast = forecast_in(step.read(entry["refs"]["predict"]).read_bytes(FORECAST))
    told = step.read(entry["refs"]["measure"]).read_json(MEASURES)
    return Place(region_of(step, plan, entry), forecast, told, file_name(entry["unit"]))


def _tables(aggregated: Output, folder: Path) -> list[tuple[str, str]]:
    """The aggregated tables as Parquet and CSV."""
    from glacier_core.steps.tables import from_parquet

    found = []
    what = {"forecasts": "area and extent ahead, 10^6 km2", "hindcasts": "forecasts of months that have come"}
    for name, text in what.items():
        content = aggregated.read_bytes(f"{name}.parquet")
        (folder / f"{name}.parquet").write_bytes(content)
        from_parquet(content).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        found += [(f"{name}.parquet", text), (f"{name}.csv", text)]
    return found


def _page(
    step: Step,
    plan: Plan,
    entries: Sequence[Entry],
    aggregated: Output,
    places: Sequence[Place],
    made: tuple[Sequence[Figure], Sequence[tuple[str, str]]],
    scores: Mapping[str, Any],
) -> ProductPage:
    names = dict.fromkeys(NAMES.get(place.region.quantity, place.region.quantity) for place in places)
    rows = [
        (row["unit"], row["target"], row["lead"], row["extent"], row["extent_low"], row["extent_high"], row["area"],
         row["area_low"], row["area_high"])
        for place in places
        for row in place.told["forecasts"]
    ]  # fmt: skip
    columns = (
        "region", "month", "lead, months", "extent, 10\u2076 km\u00b2", "low", "high", "area, 10\u2076 km\u00b2", "low",
        "high",
    )  # fmt: skip
    recipe = plan.recipe
    note = f"Extent: cells of at least {recipe.threshold:.0%}. Intervals of {recipe.measure.confidence:.0%}."
    return ProductPage(
        title=plan.recipe.title or plan.recipe.name,
        shows=f"{' and '.join(names) or 'Ice cover'}, not glacier area: monthly forecasts with members",
        facts=_facts(plan, places),
        figures=made[0],
        tables=[Table("Forecast", columns, rows, note)] if rows else [],
        model={
            "name": plan.model["name"],
            "version": plan.model["version"],
            "alias": plan.model["alias"],
            "promoted": plan.promoted(),
        },
        scores=scores["model"],
        baselines=scores["baselines"],
        files=made[1],
        lineage=lineage(step, [reference(aggregated), plan.model["reference"]]),
        withheld=withheld(plan, entries),
        notes=_notes(plan, places),
        headline=plan.kind.headline,
        lower_is_better=True,
        recipe=dump_recipe(plan.recipe),
    )


def _facts(plan: Plan, places: Sequence[Place]) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [("members", plan.recipe.members)]
    for place in places[:1]:
        facts.append(("last month known", place.forecast.issue))
        if place.told["forecasts"]:
            row = place.told["forecasts"][0]
            facts.append((f"extent in {row['target']}", f"{row['extent']:.2f} \u00b7 10\u2076 km\u00b2"))
            facts.append(("its interval", f"{row['extent_low']:.2f} to {row['extent_high']:.2f}"))
    return facts


def _notes(plan: Plan, places: Sequence[Place]) -> list[str]:
    import numpy as np

    members = (
        "The network corrects the baseline that was best in the validation months; members are its forecast with the "
        "errors of those months laid on, stretched so that their intervals covered those months as they should."
    )
    drawn = [place for place in places if place.forecast.leads]
    alike = [place.region.name for place in drawn if not np.ptp(place.forecast.members, axis=1).any()]
    return [
        members,
        *[f"{name}: {ALIKE}; they are all alike, and their intervals say nothing." for name in alike],
        "Sea ice and melt are cover of the sea and of the ice sheet; nothing here is the area of a glacier.",
        f"Scores are of months after {plan.recipe.split.validation_to}, in blocks of twelve months.",
    ]
