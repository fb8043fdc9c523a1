"""Pictures and files of ice-cover forecasts."""

from glacier_core.report.ice_cover.files import LAYERS, write_forecast_netcdf, write_forecast_raster
from glacier_core.report.ice_cover.maps import Panel, draw_panels

__all__ = ["LAYERS", "Panel", "draw_panels", "write_forecast_netcdf", "write_forecast_raster"]
