"""The products of one series of classified images: maps, change, areas, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glacier_core.recipes import ClassesRecipe
from glacier_core.steps.kinds.classes.featuring import FEATURES
from glacier_core.steps.kinds.classes.measuring import MAPS, UNDATED, Maps, area_unit, pixel_sizes, read_maps
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.product_parts import footprint
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray
    from PIL.Image import Image

    from glacier_core.report.product_catalog import ProductItem
    from glacier_core.report.product_page import Figure


class Drawn:
    """What was written of one series."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.items: list[ProductItem] = []
        self.patches: list[GeoDataFrame] = []
        self.files: list[tuple[str, str]] = []


class SeriesDrawing:
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
        self.drawn = Drawn()

    def write(self) -> Drawn:
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
        return photo(self.recipe, dict(zip(pixels.bands, clearest, strict=True)))

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
        caption = f"{self.unit.name}: area of each class by year, {unit_shown(unit)}"
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
        self.drawn.figures.append(
            Figure(picture, f"{title}: areas by class before and after, {unit_shown(unit)}", caption)
        )

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
                geometry=footprint(self.unit.grid),
                properties={**figures, "glacier:model": self.model, "glacier:dated": period != UNDATED},
                assets={
                    "classes": (raster, "image/tiff; application=geotiff; profile=cloud-optimized", "class map"),
                    "picture": (sheet, "image/png", "image and class map"),
                },
            )
        )


def photo(recipe: ClassesRecipe, channels: dict[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
    """True colour where the bands tell it, else the first three bands."""
    from glacier_core.report.classes import true_colour

    common = {recipe.features.common_name(band): band for band in reversed(list(channels))}
    bands = [common[name] for name in ("red", "green", "blue") if name in common]
    if len(bands) < 3:
        bands = (list(recipe.spectral_bands()) or list(channels))[:3]
    bands = (bands * 3)[:3] if len(bands) < 3 else bands
    return true_colour([channels[band] for band in bands])


def _shown(period: str) -> str:
    return "" if period == UNDATED else period


def unit_shown(unit: str) -> str:
    """A unit of area as people read it."""
    return {"km2": "km²", "px": "pixels"}[unit]
