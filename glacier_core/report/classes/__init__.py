"""Class maps drawn and written: beside the image, changed, as rasters with colours, as polygons, as plots."""

from __future__ import annotations

from glacier_core.report.classes.colours import class_colours
from glacier_core.report.classes.drawing import MapSheet, draw_change, draw_classes, draw_sheet, true_colour
from glacier_core.report.classes.plots import plot_areas, plot_transitions
from glacier_core.report.classes.rasters import write_class_raster
from glacier_core.report.classes.vectors import class_polygons, write_polygons

__all__ = [
    "MapSheet",
    "class_colours",
    "class_polygons",
    "draw_change",
    "draw_classes",
    "draw_sheet",
    "plot_areas",
    "plot_transitions",
    "true_colour",
    "write_class_raster",
    "write_polygons",
]
