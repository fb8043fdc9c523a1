"""The products of glacier classification: maps, change, areas, polygons, animation, the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.recipes import ClassesRecipe, dump_recipe
from glacier_core.steps.kinds.classes.drawing import SeriesDrawing, photo, unit_shown
from glacier_core.steps.kinds.classes.measuring import AREAS, CHANGE_COLUMNS, CHANGES, UNDATED
from glacier_core.steps.kinds.classes.scoring import Case, cases_of, classes_of
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.product_parts import model_told, table_files
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_parquet
from glacier_core.store import Output

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame

    from glacier_core.report.product_catalog import ProductItem
    from glacier_core.report.product_page import Figure, Table

PICTURES = 4
TABLES = {"areas": "area of each class, series and year", "changes": "what became of what"}
MOST_ROWS = 400
"""Of the table of changes on the page, the largest ones; all stand in the file."""
MOST_FIGURES = 4
"""Series whose maps stand on the page; the maps of the others are linked."""


def write_products(step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
    """See `Kind.products`."""
    from glacier_core.report.classes import write_polygons
    from glacier_core.report.product_catalog import write_product_catalog
    from glacier_core.report.product_page import ProductPage, write_product_page

    recipe: ClassesRecipe = plan.recipe
    areas, changes = (from_parquet(aggregated.read_bytes(name)) for name in (AREAS, CHANGES))
    files = table_files(aggregated, folder, TABLES)
    done = [entry for entry in entries if entry["state"] == "done"]
    figures: list[Figure] = []
    items: list[ProductItem] = []
    patches: list[GeoDataFrame] = []
    for number, entry in enumerate(done):
        made = SeriesDrawing(step, plan, entry, areas, changes, folder)
        drawn = made.write()
        files += drawn.files
        items += drawn.items
        patches += drawn.patches
        if number < MOST_FIGURES:
            figures += drawn.figures
    if patches:
        import pandas as pd

        stamp = max(item.end.isoformat()[:10] for item in items)
        files.append((write_polygons(folder, pd.concat(patches), stamp=f"{stamp}T00:00:00"), "patches, EPSG:4326"))
    title = recipe.title or recipe.name
    write_product_catalog(folder, name=recipe.name, title=title, kind=recipe.kind, items=items)
    files.append(("catalog.json", "STAC catalog of the maps"))
    scores = step.read(plan.model["reference"]).read_json("scores.json")
    page = ProductPage(
        title=title,
        shows="Surface classes: the likeliest surface of each pixel, as a network sees it in optical images. "
        "Areas of classes are no glacier inventory.",
        facts=_facts(recipe, areas, plan),
        figures=figures,
        tables=_tables(areas, changes),
        model=model_told(plan),
        scores=scores["model"],
        baselines=scores["baselines"],
        files=files,
        lineage=lineage(step, [reference(aggregated), plan.model["reference"]]),
        withheld=withheld(plan, entries),
        notes=_notes(areas),
        headline=plan.kind.headline,
        recipe=dump_recipe(recipe),
    )
    return write_product_page(folder, page)


def draw_pictures(step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
    """Image, truth and prediction of some test images: the worst, the best and some between, by accuracy."""
    from glacier_core.report.classes import MapSheet, draw_classes, draw_sheet

    cases = list(cases_of(step, plan, entries, "test", Network(step, weights)))
    ranked = sorted(cases, key=_accuracy)
    chosen = sorted({round(part * (len(ranked) - 1)) for part in np.linspace(0, 1, min(PICTURES, len(ranked)))})
    names: list[str] = []
    for number in chosen:
        case = ranked[number]
        predicted = classes_of(case.probability) if case.probability is not None else case.truth
        truth = np.where(predicted == 255, np.uint8(255), case.truth)
        panels = [MapSheet("image", photo(plan.recipe, case.channels))]
        for title, codes, unknown in (
            ("truth", truth, "not seen or not labelled"),
            ("predicted", predicted, "not seen"),
        ):
            pixels, legend = draw_classes(codes, plan.recipe.classes, unknown=unknown)
            panels.append(MapSheet(title, pixels, legend))
        names.append(f"sample-{len(names) + 1}.png")
        note = f"{100 * _accuracy(case):.0f} % of the pixels agree"
        draw_sheet(folder / names[-1], panels, title=f"{case.series} {case.time[:10]}".strip(), note=note)
    return names


def _accuracy(case: Case) -> float:
    if case.probability is None:
        return 0.0
    found = classes_of(case.probability)
    known = (found != 255) & (case.truth != 255)
    return float((found == case.truth)[known].mean()) if known.any() else 0.0


def _facts(recipe: ClassesRecipe, areas: pd.DataFrame, plan: Plan) -> list[tuple[str, object]]:
    periods = sorted({str(period) for period in areas["period"]})
    span = periods[0] if len(periods) == 1 else f"{periods[0]} to {periods[-1]}"
    return [
        ("series", areas["series"].nunique()),
        ("years" if span != UNDATED else "dates", span),
        ("classes", len(recipe.classes)),
        ("model", plan.model_name()),
    ]


def _tables(areas: pd.DataFrame, changes: pd.DataFrame) -> list[Table]:
    from glacier_core.report.product_page import Table

    unit = unit_shown(str(areas["area_unit"].iloc[0]))
    found = [
        Table(
            title="Area of each class",
            columns=(
                "series",
                "year",
                "class",
                f"area ({unit})",
                "part of what was seen",
                f"not seen ({unit})",
                "images",
            ),
            rows=[
                tuple(row[name] for name in ("series", "period", "class", "area", "part_of_seen", "unseen", "images"))
                for row in areas.to_dict("records")
            ],
            note="Overlapping series count the same ground more than once.",
        )
    ]
    moved = changes[changes["from_class"] != changes["to_class"]]
    if len(moved):
        moved = moved.sort_values("area", ascending=False)
        found.append(
            Table(
                title="What became of what",
                columns=("series", "from", "to", "class before", "class after", f"area ({unit})"),
                rows=[tuple(row[name] for name in CHANGE_COLUMNS[:-1]) for row in moved.to_dict("records")][:MOST_ROWS],
                note="Pixels known in both years; noise of the classification is part of every change.",
            )
        )
    return found


def _notes(areas: pd.DataFrame) -> list[str]:
    notes = ["A year's map shows the class with the highest mean probability in the year's clear images."]
    if (areas["area_unit"] == "px").any():
        notes.append("The imagery tells no pixel size: areas are counted in pixels.")
    if (areas["flags"] != "").any():
        notes.append("Years flagged 'cloudy' have no image as clear as the recipe asks for.")
    return notes
