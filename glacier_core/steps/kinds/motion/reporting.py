"""Products of glacier movement: maps, rasters, tables, predicted images, the page and the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.recipes import dump_recipe
from glacier_core.report.naming import file_name
from glacier_core.report.product_catalog import ProductItem, write_product_catalog
from glacier_core.report.product_page import Figure, ProductPage, Table, write_product_page
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.motion.forecasting import baseline_frames
from glacier_core.steps.kinds.motion.images import Images, images_of
from glacier_core.steps.kinds.motion.measuring import PLACE, VELOCITY, velocities_in
from glacier_core.steps.kinds.motion.predicting import FRAMES, frames_in
from glacier_core.steps.kinds.series import metres_per_pixel
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.store import Output
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWS = "Glacier movement: velocity tracked in images, and the next image as a network predicts it"
DRAWN_PLACES = 12
"""Places with pictures on the page; the others have their files in the folder."""
PICTURES = 3
"""Test places that the page about a model shows."""
BEHIND = 7
"""Images at most that the picture behind a velocity map is the median of."""
ANIMATED = 24
"""Images of an animation at most."""
TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True)
class _Place:
    """All that is drawn of one unit."""

    unit: SeriesUnit
    images: Images
    told: Mapping[str, Any]
    pairs: Sequence[Mapping[str, Any]]
    stem: str
    entry: Entry


def write_products(step: Step, plan: Plan, entries: Sequence[Entry], aggregated: Output, folder: Path) -> str:
    """Everything that a person looks at; the page's name. See `Kind.products`."""
    done = [entry for entry in entries if entry["state"] == "done"]
    figures, items, files, places = [], [], [], []
    for number, entry in enumerate(done):
        unit = plan.units[entry["unit"]]
        kept = step.read(entry["refs"]["measure"]).read_json(PLACE)
        images = images_of(step, plan.recipe, entry)
        place = _Place(unit, images, kept["place"], kept["pairs"], file_name(unit.name), entry)
        places.append(place)
        drawn, made = _draw(step, plan, place, folder)
        figures += drawn if number < DRAWN_PLACES else []
        files += made
        items.append(_item(plan, place, made))
    files += _tables(aggregated, folder)
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
        _draw_next(step.read(made), images_of(step, plan.recipe, entry), plan, folder / name)
        names.append(name)
    return names


def _draw(step: Step, plan: Plan, place: _Place, folder: Path) -> tuple[list[Figure], list[tuple[str, str]]]:
    """Figures of a place and the files that were written."""
    from glacier_core.report.motion import (
        VelocityMap,
        draw_pairs,
        draw_velocity,
        write_frames,
        write_velocity_raster,
    )

    told, images, name = place.told, place.images, place.unit.name
    factor, unit = float(told["per_px_day"]), str(told["speed_unit"])
    mean, on_ice = velocities_in(step.read(place.entry["refs"]["measure"]).read_bytes(VELOCITY))
    layers = _layers(mean, factor)
    period = f"{_day(told['first'])} to {_day(told['last'])}"
    for sub in ("velocity", "pairs", "next", "images"):
        (folder / sub).mkdir(exist_ok=True)
    made = {key: f"{key}/{place.stem}" for key in ("velocity", "pairs", "next", "images")}
    draw_velocity(
        folder / f"{made['velocity']}.png",
        VelocityMap(
            title=f"{name}, mean of {told['pairs']} pairs, {period}",
            image=_without_clouds(images),
            rows=mean.rows,
            columns=mean.columns,
            right=_where(on_ice, layers["vx"]),
            down=_where(on_ice, -layers["vy"]),
            spread=_where(on_ice, layers["spread"]),
            unit=unit,
            pixel_size_m=metres_per_pixel(place.unit.grid, plan.recipe),
        ),
    )
    write_velocity_raster(
        folder / f"{made['velocity']}.tif",
        grid=place.unit.grid,
        rows=mean.rows,
        columns=mean.columns,
        layers=layers,
        unit=unit,
    )
    draw_pairs(folder / f"{made['pairs']}.png", place.pairs, title=f"{name}, all pairs", factor=factor, unit=unit)
    _draw_next(step.read(place.entry["refs"]["predict"]), images, plan, folder / f"{made['next']}.png")
    numbers = range(len(images.times))[-ANIMATED:]
    write_frames(
        folder / f"{made['images']}.gif",
        [images.read(number, number + 1)[0] for number in numbers],
        [f"{images.times[number]:%Y-%m-%d}" for number in numbers],
    )
    speeds = f"Velocity of {name} in {unit}, mean of {told['pairs']} pairs, {period}"
    figures = [
        Figure(f"{made['velocity']}.png", f"{speeds}; vectors that failed a test are left out.", f"Map: {speeds}"),
        Figure(
            f"{made['pairs']}.png",
            f"Median speed of {name} in each pair, over what both images show: clouds hide other parts each time.",
            f"Speed of {name} through time",
        ),
        Figure(
            f"{made['next']}.png",
            f"The last image of {name} as it came and as the network predicted it from those before.",
            f"Predicted and observed image of {name}",
        ),
        Figure(f"{made['images']}.gif", f"The images of {name}.", f"Animation of the images of {name}"),
    ]
    files = [
        (f"{made['velocity']}.tif", f"{name}: v, vx (east), vy (north), spread in {unit}, pairs; one pixel a vector"),
        (f"{made['velocity']}.png", f"{name}: velocity map"),
        (f"{made['pairs']}.png", f"{name}: speed of each pair"),
        (f"{made['next']}.png", f"{name}: predicted and observed image"),
        (f"{made['images']}.gif", f"{name}: the images one after the other"),
    ]
    return figures, files


def _draw_next(predicted: Output, images: Images, plan: Plan, path: Path) -> None:
    """The first of the last images out, beside what came."""
    from glacier_core.report.motion import draw_forecast

    outputs, inputs = plan.recipe.sequences.outputs, plan.recipe.sequences.inputs
    target = len(images.times) - outputs
    values = images.read(target - inputs, target + 1)
    simple = baseline_frames(values[:inputs])
    draw_forecast(
        path,
        last=simple["no_change"],
        mean=simple["mean_of_inputs"],
        came=values[inputs],
        predicted=frames_in(predicted.read_bytes(FRAMES)).last[0],
        titles=(
            f"last image in, {images.times[target - 1]:%Y-%m-%d}",
            f"came, {images.times[target]:%Y-%m-%d}",
            f"predicted for {images.times[target]:%Y-%m-%d}",
        ),
        label=" - ".join(images.shown.bands) if len(images.shown.bands) == 1 else "normalised difference",
    )


def _layers(mean: Any, factor: float) -> dict[str, NDArray[np.float32]]:
    """The bands of the raster, in the recipe's unit, vy towards the north."""
    return {
        "v": mean.speed * factor,
        "vx": mean.vx * factor,
        "vy": -mean.vy * factor,
        "spread": mean.spread * factor,
        "pairs": mean.pairs.astype("float32"),
    }


def _where(on_ice: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return np.where(on_ice, values, np.float32(np.nan)).astype(np.float32)


def _without_clouds(images: Images) -> NDArray[np.float32]:
    """(H, W): the median of some images spread over the record, so that clouds of single dates do not show."""
    import warnings

    import numpy as np

    numbers = sorted(set(np.linspace(0, len(images.times) - 1, BEHIND).round().astype(int).tolist()))
    stack = np.concatenate([images.read(number, number + 1) for number in numbers])
    with warnings.catch_warnings():
        # where no image shows anything, NaN is what is wanted
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.asarray(np.nanmedian(stack, axis=0), dtype=np.float32)


def _tables(aggregated: Output, folder: Path) -> list[tuple[str, str]]:
    """The aggregated tables as Parquet and CSV."""
    from glacier_core.steps.tables import from_parquet

    what = {
        "places": "velocity of each place",
        "pairs": "displacement of each pair, px",
        "given": "against the given velocity, m/yr",
    }
    found = []
    for name, text in what.items():
        if f"{name}.parquet" not in aggregated.files():
            continue
        content = aggregated.read_bytes(f"{name}.parquet")
        (folder / f"{name}.parquet").write_bytes(content)
        from_parquet(content).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        found += [(f"{name}.parquet", text), (f"{name}.csv", text)]
    return found


def _item(plan: Plan, place: _Place, made: Sequence[tuple[str, str]]) -> ProductItem:
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
        geometry=_footprint(place.unit),
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


def _footprint(unit: SeriesUnit) -> Mapping[str, Any] | None:
    """The grid's outline in degrees; None where the imagery has no CRS."""
    if not unit.grid.crs:
        return None
    from pyproj import Transformer

    left, bottom, right, top = unit.grid.bounds
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    forward = Transformer.from_crs(unit.grid.crs, "EPSG:4326", always_xy=True)
    return {"type": "Polygon", "coordinates": [[list(forward.transform(x, y)) for x, y in corners]]}


def _page(
    step: Step,
    plan: Plan,
    entries: Sequence[Entry],
    aggregated: Output,
    places: Sequence[_Place],
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
        model={
            "name": plan.model["name"],
            "version": plan.model["version"],
            "alias": plan.model["alias"],
            "promoted": plan.promoted(),
        },
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


def _facts(places: Sequence[_Place], units: Sequence[str]) -> list[tuple[str, object]]:
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


def _page_tables(places: Sequence[_Place]) -> list[Table]:
    found = [
        Table(
            "Velocity",
            (
                "place", "from", "to", "unit", "pairs", "vectors", "with velocity", "median speed",
                "95th percentile", "spread of pairs", "stable: median x", "stable: median y", "stable: NMAD",
            ),
            [
                (
                    place.unit.name, _day(told["first"]), _day(told["last"]), told["speed_unit"], told["pairs"],
                    told["vectors"], told["known"], told["median_speed"], told["p95_speed"], told["median_spread"],
                    told.get("stable_median_x"), told.get("stable_median_y"), told.get("stable_nmad"),
                )
                for place in places
                for told in [place.told]
            ],
            "Spread is the NMAD of the pairs around their mean; over stable ground every velocity is an error "
            "(x to the right, y down).",
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


def _notes(plan: Plan, places: Sequence[_Place]) -> list[str]:
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


def _day(text: str) -> str:
    return text[:10]
