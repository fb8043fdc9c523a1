"""What people look at: tables, plots, the timelapse, vectors, rasters, pages and the catalog of the products."""

from glacier_core.report.inputs import ReportInputs, TrainingInputs, YearImage
from glacier_core.report.products import write_products
from glacier_core.report.samples import draw_sample
from glacier_core.report.training_page import write_training_report

__all__ = ["ReportInputs", "TrainingInputs", "YearImage", "draw_sample", "write_products", "write_training_report"]
