"""Where pixels and outlines come from: STAC catalogs, folders of GeoTIFFs, outline files, the simulated glacier."""

from glacier_core.sources.folder import index_folder
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
    "SceneItem",
    "SceneTrouble",
    "choose_scenes",
    "index_folder",
    "native_grid",
    "open_catalog",
    "read_scenes",
]
