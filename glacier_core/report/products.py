"""Writes all products of a `monitor` run. Each unit's arrays are read once, used for everything, and let go."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from glacier_core.report.catalog import write_catalog
from glacier_core.report.frames import Frame, Strip
from glacier_core.report.inputs import ReportInputs
from glacier_core.report.overview import Glacier, Overview, overview_of
from glacier_core.report.page import PAGE_FILE, Gallery, write_page
from glacier_core.report.plots import write_graph
from glacier_core.report.rasters import write_mask
from glacier_core.report.table import write_tables
from glacier_core.report.timelapse import SHOWN, write_timelapse
from glacier_core.report.vectors import (
    OutlineRecord,
    acquisition_date,
    outlines_frame,
    polygons_of,
    to_degrees,
    write_outlines,
)

log = logging.getLogger(__name__)


def write_products(folder: Path, inputs: ReportInputs) -> list[str]:
    """Write everything that a person or a program takes from a `monitor` run.

    The files: glacier_area_by_year.csv, terminus_retreat_by_year.csv, glacier_trends.csv, glacier_retreat_graph.png,
    glacier_retreat_timelapse.gif, outlines.gpkg, outlines.parquet, masks/<glacier>/<year>.tif, report.html,
    catalog.json and items/*.json. Equal inputs give equal tables, pixels and geometries.

    Args:
        folder: where to; made if it is absent.
        inputs: what was measured.

    Returns:
        The files' paths relative to `folder`, sorted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overview = overview_of(inputs)
    title = inputs.recipe.title or inputs.recipe.name
    note = unpromoted_note(inputs)
    files = write_tables(folder, inputs)
    records, strips, gallery = _units(folder, inputs, overview)
    if records:
        files += write_outlines(folder, outlines_frame(records, inputs.outlines))
    files.append(write_timelapse(folder, strips, title=title, note=note))
    confidence = inputs.recipe.measure.confidence
    files.append(write_graph(folder, overview, title=title, note=note, confidence=confidence))
    write_page(folder, inputs, overview=overview, gallery=gallery, files=files)
    files.append(PAGE_FILE)
    masks = [path.relative_to(folder).as_posix() for path in folder.glob("masks/*/*.tif")]
    items = write_catalog(
        folder, recipe=inputs.recipe, overview=overview, records=records, files=files, model=_version(inputs)
    )
    return sorted({*files, *masks, *items})


def unpromoted_note(inputs: ReportInputs) -> str:
    """A warning where the model never passed the gate; else empty."""
    if inputs.model.get("promoted"):
        return ""
    return f"Unpromoted model {_version(inputs)}: it has not passed the promotion gate."


def _units(folder: Path, inputs: ReportInputs, overview: Overview) -> tuple[list[OutlineRecord], list[Strip], Gallery]:
    """Masks, outlines and pictures, glacier by glacier, so that only one glacier's pictures are held at a time."""
    records: list[OutlineRecord] = []
    strips: list[Strip] = []
    gallery = Gallery()
    for glacier in overview.glaciers:
        found, frames = _glacier(folder, inputs, glacier)
        records += found
        strip = Strip(glacier=glacier, frames=tuple(frames))
        gallery.show(strip)
        if frames and len(strips) < SHOWN:
            strips.append(strip)
        if glacier.rank % 20 == 0 or glacier.rank == len(overview.glaciers):
            log.info("[report] %d of %d glaciers drawn", glacier.rank, len(overview.glaciers))
    return records, strips, gallery


def _glacier(folder: Path, inputs: ReportInputs, glacier: Glacier) -> tuple[list[OutlineRecord], Sequence[Frame]]:
    records, frames = [], []
    for row in glacier.rows:
        image = inputs.image(glacier.glacier_id, row.year)
        if image is None:
            continue
        write_mask(folder, row=row, glacier_id=glacier.glacier_id, image=image, model=_version(inputs))
        pixels = polygons_of(image.ice & image.observed)
        records.append(
            OutlineRecord(
                glacier=glacier,
                row=row,
                geometry=to_degrees(pixels, image),
                src_date=acquisition_date(inputs.recipe, row, image.acquired),
            )
        )
        frames.append(Frame.of(row, image))
    return records, frames


def _version(inputs: ReportInputs) -> str:
    return f"{inputs.model['name']}/{inputs.model['version']}"
