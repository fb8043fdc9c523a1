"""The products of calving fronts: tables, lines, plots, animations, the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.front.figures import drawn_figures
from glacier_core.steps.kinds.front.measuring import FRONTS, RATES, lines_of
from glacier_core.steps.kinds.front.scoring import scored_images
from glacier_core.steps.kinds.product_parts import model_told, table_files
from glacier_core.steps.networks import Network
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_parquet

if TYPE_CHECKING:
    import pandas as pd

    from glacier_core.steps.kinds.contract import Entry
    from glacier_core.steps.plans import Plan
    from glacier_core.store import Output

PICTURES = 3
PER_TABLE = 400


def write_products(step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
    """Write the products into a folder; the name of the page to open first."""
    from glacier_core.report.product_page import write_product_page

    table = from_parquet(aggregated.read_bytes(FRONTS))
    rates = from_parquet(aggregated.read_bytes(RATES))
    files = table_files(aggregated, folder, {"fronts": "position of every front", "rates": "advance per year"})
    done = [entry for entry in entries if entry["state"] == "done"]
    lines, items = _vectors(step, plan, done, table, folder)
    files += lines
    figures = drawn_figures(step, plan, done, table, folder)
    files += [(figure.file, figure.caption) for figure in figures]
    files += [(name, "STAC catalog of the fronts") for name in _catalog(plan, items, folder)[:1]]
    model = step.read(plan.model["reference"])
    roots = [reference(aggregated), plan.model["reference"]]
    page = _page(plan, table, rates, scores=model.read_json("scores.json"))
    return write_product_page(
        folder,
        page(figures=figures, files=files, lineage=lineage(step, roots), withheld=withheld(plan, entries)),
    )


def draw_pictures(step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
    """The best, the middle and the worst test image: seen, drawn, predicted."""
    from glacier_core.report.fronts import draw_comparison

    found = sorted(scored_images(step, plan, entries, Network(step, weights)), key=lambda one: one.distance_px)
    names = []
    for index in sorted({0, len(found) // 2, len(found) - 1})[:PICTURES]:
        if not found:
            break
        one = found[index]
        names.append(f"{one.frame}.png")
        draw_comparison(
            folder / names[-1],
            one.image,
            drawn=one.drawn,
            predicted=one.predicted,
            title=f"{one.frame}: {one.distance_px:.1f} px",
        )
    return names


def _vectors(
    step: Step, plan: Plan, entries: Sequence[Entry], table: pd.DataFrame, folder: Path
) -> tuple[list[tuple[str, str]], list[Any]]:
    """Files of lines, and the items of the catalog."""
    from glacier_core.report.fronts import line_features, write_line_files
    from glacier_core.report.fronts.lines import GEOPACKAGE
    from glacier_core.report.product_catalog import ProductItem

    told = {(row["series"], row["image"]): row for row in table.to_dict("records")}
    lines, items = [], []
    for entry in entries:
        unit = plan.units[entry["unit"]]
        for frame, line in sorted(lines_of(step, entry).items()):
            row: dict[str, Any] = {str(key): value for key, value in told[entry["unit"], frame].items()}
            geometry = line_features(line, unit.grid)
            lines.append((row, geometry, unit.grid.crs))
            moment = datetime.fromisoformat(row["time"])
            items.append(
                ProductItem(
                    id=f"{entry['unit']}_{frame}",
                    start=moment,
                    end=moment,
                    geometry=_degrees(geometry, unit.grid.crs),
                    properties={f"glacier:front_{key}": row[key] for key in ("position", "advance", "length_unit")},
                    assets={"fronts": (GEOPACKAGE, "application/geopackage+sqlite3", "front lines")},
                )
            )
    return write_line_files(folder, lines), items


def _degrees(geometry: Any, crs: str) -> dict[str, Any] | None:
    if not crs:
        return None
    import geopandas
    import shapely

    moved = geopandas.GeoSeries([geometry], crs=crs).to_crs("EPSG:4326").iloc[0]
    found: dict[str, Any] = shapely.geometry.mapping(moved)
    return found


def _catalog(plan: Plan, items: Sequence[Any], folder: Path) -> list[str]:
    from glacier_core.report.product_catalog import write_product_catalog

    recipe = plan.recipe
    return write_product_catalog(folder, name=recipe.name, title=recipe.title, kind=recipe.kind, items=items)


def _page(plan: Plan, table: pd.DataFrame, rates: pd.DataFrame, *, scores: dict[str, Any]) -> Any:
    """Makes the page of what is still to be given."""
    import functools

    from glacier_core.recipes import dump_recipe
    from glacier_core.report.product_page import ProductPage, Table

    recipe, unit = plan.recipe, table["length_unit"].iloc[0]
    known = table["distance_to_drawn"].dropna()
    notes = ["The model draws a front into every image, also into one that shows none: mind the flags."]
    if unit == "px":
        notes.append("The images have no pixel size that is known: lengths are in pixels, lines in image coordinates.")
    if table["flags"].str.contains("trained_on").any():
        notes.append(
            "Fronts flagged trained_on are of places that the model learned from: their accuracy says nothing."
        )
    facts: list[tuple[str, object]] = [
        ("fronts", len(table)),
        ("places", int(table["place"].nunique())),
        ("from", table["time"].min()[:10]),
        ("to", table["time"].max()[:10]),
    ]
    if len(known):
        facts.append(("median distance to drawn", f"{known.median():.2f} {unit}"))
    columns = ["series", "time", "sensor", "position", "centre_position", "advance", "distance_to_drawn", "flags"]
    headings = ["series", "date", "sensor"]
    headings += [f"{name} ({unit})" for name in ("position", "on centre line", "advance", "distance to drawn")]
    shown = table[columns].head(PER_TABLE)
    tables = [
        Table(
            f"Advance per year ({unit} a year)",
            ["series", "images", "first", "last", "rate", "low", "high"],
            [
                [row["series"], row["images"], row["first"], row["last"], *map(_number, _slopes(row))]
                for row in rates.to_dict("records")
            ],
            f"Theil-Sen slope with its {recipe.measure.confidence:.0%} interval; below zero: retreat",
        ),
        Table(
            "Fronts",
            [*headings, "flags"],
            [
                [
                    row["series"],
                    row["time"][:10],
                    row["sensor"],
                    *(_number(row[key]) for key in columns[3:7]),
                    row["flags"],
                ]
                for row in shown.to_dict("records")
            ],
            "" if len(table) <= PER_TABLE else f"the first {PER_TABLE} of {len(table)}; fronts.csv has all",
        ),
    ]
    return functools.partial(
        ProductPage,
        title=recipe.title or recipe.name,
        shows="Calving fronts: where glaciers end in the ocean on each date. Not glacier area.",
        facts=facts,
        tables=tables,
        model=model_told(plan),
        scores=scores["model"],
        baselines=scores["baselines"],
        notes=notes,
        headline="front_distance/mean",
        lower_is_better=True,
        recipe=dump_recipe(recipe),
    )


def _slopes(row: dict[Any, Any]) -> list[float]:
    return [row["rate_per_yr"], row["rate_low"], row["rate_high"]]


def _number(value: float) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), 2)
