"""Products of glacier movement: velocity maps, rasters, predicted images."""

from __future__ import annotations

from glacier_core.report.motion.forecasts import draw_forecast
from glacier_core.report.motion.maps import VelocityMap, draw_velocity
from glacier_core.report.motion.rasters import write_velocity_raster
from glacier_core.report.motion.series import draw_pairs, write_frames

__all__ = ["VelocityMap", "draw_forecast", "draw_pairs", "draw_velocity", "write_frames", "write_velocity_raster"]
