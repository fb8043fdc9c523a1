"""Areas with intervals, trends, fronts; scores, baselines and the bootstrap."""

from glacier_core.measure.areas import AreaEstimate, estimate_area, pixel_areas
from glacier_core.measure.baselines import Baseline, fit_baselines, otsu_threshold
from glacier_core.measure.intervals import Calibration, calibrate
from glacier_core.measure.scores import (
    Counts,
    Score,
    bootstrap,
    bootstrap_counts,
    bootstrap_groups,
    bootstrap_sums,
    paired_difference,
)
from glacier_core.measure.terminus import FlowLine, flow_line, terminus_position
from glacier_core.measure.trend import Trend, TrendTest, mann_kendall, theil_sen

__all__ = [
    "AreaEstimate",
    "Baseline",
    "Calibration",
    "Counts",
    "FlowLine",
    "Score",
    "Trend",
    "TrendTest",
    "bootstrap",
    "bootstrap_counts",
    "bootstrap_groups",
    "bootstrap_sums",
    "calibrate",
    "estimate_area",
    "fit_baselines",
    "flow_line",
    "mann_kendall",
    "otsu_threshold",
    "paired_difference",
    "pixel_areas",
    "terminus_position",
    "theil_sen",
]
