"""Products of glacier movement: maps, rasters, tables, predicted images, the page and the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from glacier_core.recipes import dump_recipe
from glacier_core.report.naming import file_name
from glacier_core.report.product_catalog import ProductItem, write_product_catalog
from glacier_core.report.product_page import Figure, ProductPage, Table, write_product_page
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.motion.drawing import Place, day, draw_next, draw_place
from glacier_core.steps.kinds.motion.images import images_of
from glacier_core.steps.kinds.motion.measuring import PLACE
from glacier_core.steps.kinds.product_parts import footprint, model_told, table_files
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.store import Output

SHOWS = "Glacier movement: velocity tracked in images, and the next image as a network predicts it"
DRAWN_PLACES = 12
"""Places with pictures on the page; the others have their files in the folder."""
PICTURES = 3
"""Test places that the page about a model shows."""
TABLES = {
    "places": "velocity of each place",
    "pairs": "displacement of each pair, px",
    "given": "against the given velocity, m/yr",
}
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_products(step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
    """Everything that a person looks at; the page's name. See `Kind.products`."""
    done = [entry for entry in entries if entry["state"] == "done"]
    figures, items, files, places = [], [], [], []
    for number, entry in enumerate(done):
        unit = plan.units[entry["unit"]]
        kept = step.read(entry["refs"]["measure"]).read_json(PLACE)
        images = images_of(step, plan.recipe, entry)
        place = Place(unit, images, kept["place"], kept["pairs"], file_name(unit.name), entry)
        places.append(place)
        drawn, made = draw_place(step, plan, place, folder)
        figures += drawn if number < DRAWN_PLACES else []
        files += made
        items.append(_item(plan, place, made))
    files += table_files(aggregated, folder, TABLES)
    files += [
        (name, "STAC catalog or item of the products")
        for name in write_product_catalog(
            folder, name=plan.recipe.name, title=plan.recipe.title, kind=plan.recipe.kind, items=items
        )
    ]
    return write_product_page(folder, _page(step, plan, entries, aggregated, places, figures, files))


def draw_pictures(step: Step, plan: Plan, entries: Sequence[Entry], weights: str, folder: Path) -> list[str]:
    """The last sequence of a few test places: seen, true, predicted. See `Kind.pictures`."""
    from glacier_core.steps.kinds.motion.predicting import predicted
    from glacier_core.steps.networks import Network

    tested = [entry for entry in entries if plan.units[entry["unit"]].part in ("test", "all")]
    network = Network(step, weights)
    names = []
    for entry in tested[:PICTURES]:
        unit = plan.units[entry["unit"]]
        made = predicted(step, plan, unit, entry, network)
        name = f"{file_name(unit.name)}-next.png"
        draw_next(step.read(made), images_of(step, plan.recipe, entry), plan, folder / name)
        names.append(name)
    return names


def _item(plan: Plan, place: Place, made: Sequence[tuple[str, str]]) -> ProductItem:
    media = {".tif": TIFF, ".png": "image/png", ".gif": "image/gif"}
    told = place.told
    figures = {
        "glacier:median_speed": told["median_speed"],
        "glacier:p95_speed": told["p95_speed"],
        "glacier:stable_nmad": told.get("stable_nmad"),
    }
    return ProductItem(
        id=place.stem,
        start=datetime.fromisoformat(told["first"]),
        end=datetime.fromisoformat(told["last"]),
        geometry=footprint(place.unit.grid),
        properties={
            **{key: value for key, value in figures.items() if value is not None},
            "glacier:speed_unit": told["speed_unit"],
            "glacier:pairs": told["pairs"],
            "glacier:model": plan.model_name(),
            "glacier:promoted": plan.promoted(),
        },
        assets={
            f"{Path(href).parent.name}-{Path(href).suffix[1:]}": (href, media[Path(href).suffix], text)
            for href, text in made
        },
    )


def _page(
    step: Step,
    plan: Plan,
    entries: Sequence[Entry],
    aggregated: Output,
    places: Sequence[Place],
    figures: Sequence[Figure],
    files: Sequence[tuple[str, str]],
) -> ProductPage:
    scores = step.read(plan.model["reference"]).read_json("scores.json")
    units = sorted({str(place.told["speed_unit"]) for place in places})
    return ProductPage(
        title=plan.recipe.title or plan.recipe.name,
        shows=SHOWS,
        facts=_facts(places, units),
        figures=figures,
        tables=_page_tables(places),
        model=model_told(plan),
        scores=scores["model"],
        baselines=scores["baselines"],
        files=files,
        lineage=lineage(step, [reference(aggregated), plan.model["reference"]]),
        withheld=withheld(plan, entries),
        notes=_notes(plan, places),
        headline=plan.kind.headline,
        lower_is_better=True,
        recipe=dump_recipe(plan.recipe),
    )


def _facts(places: Sequence[Place], units: Sequence[str]) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("places", len(places)),
        ("pairs tracked", sum(int(place.told["pairs"]) for place in places)),
    ]
    if len(places) == 1 and places[0].told["median_speed"] is not None:
        told = places[0].told
        facts.append(("median speed", f"{told['median_speed']:.3g} {units[0]}"))
        facts.append(("95 % are slower than", f"{told['p95_speed']:.3g} {units[0]}"))
        if told.get("stable_nmad") is not None:
            facts.append(("NMAD over stable ground", f"{told['stable_nmad']:.2g} {units[0]}"))
    return facts


def _page_tables(places: Sequence[Place]) -> list[Table]:
    found = [
        Table(
            "Velocity",
            (
                "place", "from", "to", "unit", "pairs", "vectors", "with velocity", "median speed",
                "95th percentile", "spread of pairs", "stable: median x", "stable: median y", "stable: NMAD",
            ),
            [
                (
                    place.unit.name, day(told["first"]), day(told["last"]), told["speed_unit"], told["pairs"],
                    told["vectors"], told["known"], told["median_speed"], told["p95_speed"], told["median_spread"],
                    told.get("stable_median_x"), told.get("stable_median_y"), told.get("stable_nmad"),
                )
                for place in places
                for told in [place.told]
            ],
            "Spread is the scatter of the pairs around their median (standard deviation of a component); over stable "
            "ground every velocity is an error (x to the right, y down).",
        ),
        Table(
            "Pairs",
            (
                "place", "first", "second", "days", "vectors", "reliable", "median, px/day", "95th percentile, px/day",
                "stable vectors", "stable: median x, px", "stable: median y, px", "stable: NMAD, px",
            ),
            [
                (
                    place.unit.name, pair["first"], pair["second"], round(pair["days"], 2), pair["vectors"],
                    pair["reliable"], pair["median_px_per_day"], pair["p95_px_per_day"], pair.get("stable_n"),
                    pair.get("stable_median_x"), pair.get("stable_median_y"), pair.get("stable_nmad"),
                )
                for place in places
                for pair in place.pairs
            ],
            "A vector is reliable if its peak stands out, the match backward agrees, and its neighbours do.",
        ),
    ]  # fmt: skip
    given = [(place.unit.name, place.told["given"]) for place in places if "given" in place.told]
    if given:
        columns = ("n", "bias_x", "bias_y", "nmad_x", "nmad_y", "speed_bias", "correlation")
        heads = (
            "place",
            "vectors",
            "bias east",
            "bias north",
            "NMAD east",
            "NMAD north",
            "bias of speed",
            "correlation",
        )
        rows = [(name, *(one[column] for column in columns)) for name, one in given]
        found.append(Table("Against the given velocity, m/yr", heads, rows, "Ours less the given."))
    return found


def _notes(plan: Plan, places: Sequence[Place]) -> list[str]:
    notes = ["Velocity is tracked in the images; the model takes part in the predicted images alone."]
    if len(places) < 8:
        notes.append(
            f"Places: {len(places)}. The scores of the predicted images have no interval, and say nothing about "
            "other glaciers."
        )
    if any(place.told["speed_unit"] == "px/day" for place in places):
        notes.append("Speeds are in pixels a day: nothing tells the size of a pixel.")
    if not plan.recipe.ground.stable:
        notes.append("No stable ground is named: how far a shift between images enters the velocity is not known.")
    return notes
