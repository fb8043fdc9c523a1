"""The products of glacier classification: maps, change, areas, polygons, animation, the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.recipes import ClassesRecipe, dump_recipe
from glacier_core.steps.kinds.classes.featuring import FEATURES
from glacier_core.steps.kinds.classes.measuring import (
    AREAS,
    CHANGE_COLUMNS,
    CHANGES,
    MAPS,
    UNDATED,
    Maps,
    area_unit,
    pixel_sizes,
    read_maps,
)
from glacier_core.steps.kinds.classes.scoring import Case, cases_of, classes_of
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.provenance import lineage, withheld
from glacier_core.steps.running import Step, reference
from glacier_core.steps.tables import from_parquet
from glacier_core.store import Output

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray
    from PIL.Image import Image

    from glacier_core.report.product_catalog import ProductItem
    from glacier_core.report.product_page import Figure, Table

PICTURES = 4
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
    for name, table in (("areas", areas), ("changes", changes)):
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    done = [entry for entry in entries if entry["state"] == "done"]
    figures: list[Figure] = []
    items: list[ProductItem] = []
    patches: list[GeoDataFrame] = []
    files = [("areas.csv", "area of each class, series and year"), ("changes.csv", "what became of what")]
    for number, entry in enumerate(done):
        made = _Series(step, plan, entry, areas, changes, folder)
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
        model={**{key: plan.model[key] for key in ("name", "version", "alias")}, "promoted": plan.promoted()},
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
        panels = [MapSheet("image", _photo(plan.recipe, case.channels))]
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


def _photo(recipe: ClassesRecipe, channels: dict[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
    """True colour where the bands tell it, else the first three bands."""
    from glacier_core.report.classes import true_colour

    common = {recipe.features.common_name(band): band for band in reversed(list(channels))}
    bands = [common[name] for name in ("red", "green", "blue") if name in common]
    if len(bands) < 3:
        bands = (list(recipe.spectral_bands()) or list(channels))[:3]
    bands = (bands * 3)[:3] if len(bands) < 3 else bands
    return true_colour([channels[band] for band in bands])


class _Drawn:
    """What was written of one series."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.items: list[ProductItem] = []
        self.patches: list[GeoDataFrame] = []
        self.files: list[tuple[str, str]] = []


class _Series:
    """Writes the products of one series."""

    def __init__(
        self, step: Step, plan: Plan, entry: Entry, areas: pd.DataFrame, changes: pd.DataFrame, folder: Path
    ) -> None:
        from glacier_core.report.naming import file_name

        self.recipe: ClassesRecipe = plan.recipe
        self.unit = plan.units[entry["unit"]]
        self.areas = areas[areas["series"] == self.unit.name]
        self.changes = changes[changes["series"] == self.unit.name]
        self.folder = folder
        self.features = step.read(entry["refs"]["prepare"]).path(FEATURES)
        self.maps: Maps = read_maps(step.read(entry["refs"]["measure"]).path(MAPS))
        self.model = plan.model_name() + ("" if plan.promoted() else " (unpromoted)")
        self.own = f"series/{file_name(self.unit.name)}"
        (folder / self.own).mkdir(parents=True, exist_ok=True)
        self.drawn = _Drawn()

    def write(self) -> _Drawn:
        """Maps of each period, their areas and changes."""
        frames = [self._period(number, period) for number, period in enumerate(self.maps.periods)]
        if len(frames) > 1:
            self._areas()
            self._change()
            self._animation(frames)
        return self.drawn

    def _period(self, number: int, period: str) -> Image:
        from glacier_core.report.classes import MapSheet, class_colours, draw_classes, draw_sheet, write_class_raster
        from glacier_core.report.product_page import Figure

        codes, names = self.maps.codes[number], self.recipe.classes
        raster, sheet = f"{self.own}/classes_{period}.tif", f"{self.own}/classes_{period}.png"
        tags = {"series": self.unit.name, "period": period, "model": self.model}
        write_class_raster(
            self.folder / raster, codes, self.unit.grid, names=names, colours=class_colours(names), tags=tags
        )
        pixels, legend = draw_classes(codes, names)
        panels = [MapSheet("clearest image", self._image(period)), MapSheet("classes", pixels, legend)]
        drawn = draw_sheet(self.folder / sheet, panels, title=f"{self.unit.name} {_shown(period)}".strip())
        self.drawn.files.append((raster, f"classes of {self.unit.name}, {period}"))
        if period == self.maps.periods[-1]:
            alt = f"Image and class map of {self.unit.name}, {_shown(period)}"
            self.drawn.figures.append(Figure(sheet, f"{self.unit.name}: image and classes, {_shown(period)}", alt))
        self._item(period, raster, sheet)
        if self.unit.grid.crs:
            from glacier_core.report.classes import class_polygons

            sizes = pixel_sizes(self.unit.grid, self.recipe)
            self.drawn.patches.append(
                class_polygons(codes, self.unit.grid, sizes, names=names, series=self.unit.name, period=period)
            )
        return drawn

    def _image(self, period: str) -> NDArray[np.uint8]:
        """The clearest image of a period."""
        from glacier_core.cube import open_cube, open_pixels

        stamps = [str(time)[:4] for time in open_cube(self.features)["time"].values]
        pixels = open_pixels(self.features)
        wanted = [number for number, stamp in enumerate(stamps) if period in (stamp, UNDATED)]
        images = [pixels.physical(times=slice(number, number + 1))[0] for number in wanted]
        clearest = max(images, key=lambda image: float(np.isfinite(image[0]).mean()))
        return _photo(self.recipe, dict(zip(pixels.bands, clearest, strict=True)))

    def _areas(self) -> None:
        from glacier_core.report.classes import plot_areas
        from glacier_core.report.product_page import Figure

        table = self.areas.pivot_table(index="period", columns="class", values="area", sort=False)
        table = table.reindex(columns=list(self.recipe.classes))
        file, unit = f"{self.own}/areas.png", area_unit(self.unit.grid, self.recipe)
        plot_areas(
            self.folder / file,
            table.to_numpy(dtype=np.float64),
            periods=[str(period) for period in table.index],
            names=self.recipe.classes,
            unit=unit,
            title=f"{self.unit.name}: area of each class",
            note="years differ in what was seen" if (self.areas["unseen"] > 0).any() else "",
        )
        caption = f"{self.unit.name}: area of each class by year, {_unit(unit)}"
        self.drawn.figures.append(Figure(file, caption, caption))

    def _change(self) -> None:
        from glacier_core.measure.classes import change_codes
        from glacier_core.report.classes import (
            MapSheet,
            draw_change,
            draw_classes,
            draw_sheet,
            plot_transitions,
            write_class_raster,
        )
        from glacier_core.report.product_page import Figure

        names, periods = self.recipe.classes, self.maps.periods
        first, last = self.maps.codes[0], self.maps.codes[-1]
        span = f"{periods[0]}_{periods[-1]}"
        panels = []
        for period, codes in ((periods[0], first), (periods[-1], last)):
            pixels, legend = draw_classes(codes, names)
            panels.append(MapSheet(period, pixels, legend))
        pixels, legend = draw_change(first, last, names)
        panels.append(MapSheet("change", pixels, legend))
        sheet = f"{self.own}/change_{span}.png"
        title = f"{self.unit.name}: {periods[0]} to {periods[-1]}"
        draw_sheet(self.folder / sheet, panels, title=title)
        caption = f"{title}: what became of what"
        self.drawn.figures.append(Figure(sheet, caption, caption))
        pairs = [f"{one} to {other}" for one in names for other in names]
        colours = [(number * 37 % 256, number * 91 % 256, number * 151 % 256) for number in range(len(pairs))]
        raster = f"{self.own}/change_{span}.tif"
        codes = change_codes(first, last, classes=len(names))
        tags = {"series": self.unit.name, "period": span, "model": self.model}
        write_class_raster(self.folder / raster, codes, self.unit.grid, names=pairs, colours=colours, tags=tags)
        self.drawn.files.append((raster, f"change of {self.unit.name}, code = first class * {len(names)} + second"))
        table = self._table(periods[0], periods[-1])
        picture, unit = f"{self.own}/transitions_{span}.png", area_unit(self.unit.grid, self.recipe)
        plot_transitions(
            self.folder / picture,
            table,
            names=names,
            unit=unit,
            before=periods[0],
            after=periods[-1],
            title="What became of what",
        )
        self.drawn.figures.append(Figure(picture, f"{title}: areas by class before and after, {_unit(unit)}", caption))

    def _table(self, before: str, after: str) -> NDArray[np.float64]:
        names = list(self.recipe.classes)
        table = np.zeros((len(names), len(names)))
        rows = self.changes[(self.changes["from_period"] == before) & (self.changes["to_period"] == after)]
        for one, other, area in zip(rows["from_class"], rows["to_class"], rows["area"], strict=True):
            table[names.index(one), names.index(other)] = area
        return table

    def _animation(self, frames: Sequence[Image]) -> None:
        from PIL import Image as Images

        from glacier_core.report.animation import write_animation
        from glacier_core.report.product_page import Figure

        size = (max(frame.width for frame in frames), max(frame.height for frame in frames))
        padded = []
        for frame in frames:
            sheet = Images.new("RGB", size, "white")
            sheet.paste(frame, (0, 0))
            padded.append(sheet)
        file = f"{self.own}/classes.gif"
        write_animation(self.folder / file, padded)
        caption = f"{self.unit.name}: images and classes through the years"
        self.drawn.figures.append(Figure(file, caption, caption))

    def _item(self, period: str, raster: str, sheet: str) -> None:
        from glacier_core.report.product_catalog import ProductItem

        year = int(period) if period != UNDATED else 1970
        rows = self.areas[self.areas["period"] == period]
        unit = area_unit(self.unit.grid, self.recipe)
        figures = {
            f"glacier:area_{unit}:{name}": float(area) for name, area in zip(rows["class"], rows["area"], strict=True)
        }
        self.drawn.items.append(
            ProductItem(
                id=f"{self.own.rpartition('/')[2]}-{period}",
                start=date(year, 1, 1),
                end=date(year, 12, 31),
                geometry=_footprint(self.unit.grid),
                properties={**figures, "glacier:model": self.model, "glacier:dated": period != UNDATED},
                assets={
                    "classes": (raster, "image/tiff; application=geotiff; profile=cloud-optimized", "class map"),
                    "picture": (sheet, "image/png", "image and class map"),
                },
            )
        )


def _footprint(grid: Any) -> dict[str, Any] | None:
    """The grid's outline in degrees; None where it has no CRS."""
    if not grid.crs:
        return None
    import shapely
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    mapped: dict[str, Any] = shapely.geometry.mapping(shapely.box(*to_degrees.transform_bounds(*grid.bounds)))
    return mapped


def _shown(period: str) -> str:
    return "" if period == UNDATED else period


def _unit(unit: str) -> str:
    return {"km2": "km²", "px": "pixels"}[unit]


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

    unit = _unit(str(areas["area_unit"].iloc[0]))
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
