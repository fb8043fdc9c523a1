"""Where pixels and outlines come from: catalogs, folders, NSIDC, CaFFe, velocity, DEMs, the simulated glacier."""

from glacier_core.sources.folder import index_folder
from glacier_core.sources.opening import open_series
from glacier_core.sources.scene_series import scene_series
from glacier_core.sources.series import Frame, Series
from glacier_core.sources.stac import (
    CatalogSource,
    SceneItem,
    SceneTrouble,
    choose_scenes,
    native_grid,
    open_catalog,
    read_scenes,
)

__all__ = [
    "CatalogSource",
    "Frame",
    "SceneItem",
    "SceneTrouble",
    "Series",
    "choose_scenes",
    "index_folder",
    "native_grid",
    "open_catalog",
    "open_series",
    "read_scenes",
    "scene_series",
]
