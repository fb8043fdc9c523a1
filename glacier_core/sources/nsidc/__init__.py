"""NSIDC's monthly grids, each opened as a series: Sea Ice Index, sea ice concentration record, Antarctic melt."""

from glacier_core.sources.nsidc.index import sea_ice_index
from glacier_core.sources.nsidc.melt import MeltMonth, antarctic_grids, antarctic_melt, melt_months
from glacier_core.sources.nsidc.polar import GRIDS, Hemisphere, cell_areas_km2
from glacier_core.sources.nsidc.record import sea_ice_record

__all__ = [
    "GRIDS",
    "Hemisphere",
    "MeltMonth",
    "antarctic_grids",
    "antarctic_melt",
    "cell_areas_km2",
    "melt_months",
    "sea_ice_index",
    "sea_ice_record",
]
