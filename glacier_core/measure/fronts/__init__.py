"""Calving fronts: lines out of maps, distances between lines, positions along the flow, baselines."""

from glacier_core.measure.fronts.baselines import FrontBaseline, fit_front_baselines
from glacier_core.measure.fronts.distances import FrontError, compare_fronts, pooled_error
from glacier_core.measure.fronts.lines import (
    front_of_band,
    front_of_sides,
    front_of_zones,
    likely_between,
    probability_along,
    smoothed,
)
from glacier_core.measure.fronts.paths import least_cost_path
from glacier_core.measure.fronts.positions import FlowFrame, box_position, centre_position, common_box

__all__ = [
    "FlowFrame",
    "FrontBaseline",
    "FrontError",
    "box_position",
    "centre_position",
    "common_box",
    "compare_fronts",
    "fit_front_baselines",
    "front_of_band",
    "front_of_sides",
    "front_of_zones",
    "least_cost_path",
    "likely_between",
    "pooled_error",
    "probability_along",
    "smoothed",
]
