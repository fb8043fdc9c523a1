"""Where pixels come from: one part a source, told apart by `source`. Recipes of several kinds are made of them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from glacier_core.recipes.parts import FolderFile, Part, Simulation

DATE_PATTERN = r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
CACHE = "folder in which files of a server are kept, which it cannot be read without; relative to the working directory"
Quantity = Literal[
    "reflectance",
    "digital_number",
    "probability",
    "temperature",
    "ice_fraction",
    "melt_fraction",
    "backscatter",
    "height",
    "velocity",
    "index",
    "class",
]


class _Scenes(Part):
    """What every source of georeferenced scenes has."""

    bands: tuple[str, ...] = Field(min_length=1, description="bands of the cube, in its order")
    mask: str = Field(default="", description="scene classification band (SCL, QA_PIXEL); empty: nothing is masked")
    max_cloud_percent: float = Field(default=100.0, ge=0, le=100, description="scenes with more cloud are not read")


class SimulatedScenes(_Scenes):
    """Scenes of the simulated glaciers."""

    source: Literal["simulated"]
    simulation: Simulation = Simulation()


class StacScenes(_Scenes):
    """Scenes of a STAC API or a static catalog."""

    source: Literal["stac"]
    catalog: str = Field(min_length=1, description="STAC API, static catalog, or folder of items; URL or path")
    collection: str = Field(default="", description="STAC collection; empty: any")


class FolderScenes(_Scenes):
    """Scenes that lie as GeoTIFFs in the recipe's `data`."""

    source: Literal["folder"]
    files: tuple[FolderFile, ...] = Field(min_length=1, description="the files of a scene")
    date_pattern: str = Field(default=DATE_PATTERN, description="finds the date in a name: year and month, day or doy")


class Frames(Part):
    """Dated pictures of the same places in a folder, one file an image, with or without a georeference."""

    source: Literal["frames"]
    files: str = Field(default="*", min_length=1, description="glob below `data`: PNG, JPEG, GeoTIFF, .npy or .grd")
    bands: tuple[str, ...] = Field(
        default=(), description="names of the first bands; empty: all, as the files name them"
    )
    quantities: tuple[Quantity, ...] = Field(
        default=("digital_number",), min_length=1, description="what the bands measure: one for all, or one a band"
    )
    date_pattern: str = Field(
        default=DATE_PATTERN,
        description="finds the date in a name: year and month, day or doy; empty: names hold none",
    )
    date: dt.date | None = Field(default=None, description="the date of all files where names hold none")
    order: tuple[str, ...] = Field(default=(), description="undated files in order of time; empty: in order of names")
    place_pattern: str = Field(default="", description="regular expression that finds the place; empty: one place")
    places: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="a place's name, and what `place_pattern` finds there"
    )
    nodata: float | None = Field(default=None, description="where all bands have this number, nothing was seen")
    scale: float = Field(default=1.0, description="physical value = number * scale + offset")
    offset: float = Field(default=0.0, description="see scale")
    pixel_size_m: float | None = Field(default=None, gt=0, description="pixel size where the files do not tell it")
    crs: str = Field(default="", description="CRS of files that have coordinates and do not name their CRS")
    mask: str = Field(default="", description="file of a mask below `data`; {place} stands for the place")


class _Monthly(Part):
    """What every source of NSIDC's monthly grids has."""

    location: str = Field(default="", description="folder, or base URL to fetch from; empty: `data`")


class SeaIceIndex(_Monthly):
    """Monthly sea ice concentration of the NSIDC Sea Ice Index, as GeoTIFFs or as the published pictures."""

    source: Literal["sea_ice_index"]
    form: Literal["geotiff", "png"] = Field(default="geotiff", description="which files of the index")
    hemisphere: Literal["north", "south"] = "north"
    cache: str = Field(default="", description=CACHE)


class SeaIceRecord(_Monthly):
    """Monthly sea ice concentration of the NOAA/NSIDC climate data record (NetCDF)."""

    source: Literal["sea_ice_record"]
    hemisphere: Literal["north", "south"] = "north"
    near_real_time: str = Field(default="", description="location of the months that have no final version yet")
    cache: str = Field(default="", description=CACHE)


class AntarcticMelt(_Monthly):
    """Monthly fractions of melt days from the daily grids of NSIDC's Antarctica Today."""

    source: Literal["antarctic_melt"]
    min_valid_days: int = Field(default=10, ge=1, description="a month with fewer valid days is no month")


class Caffe(Part):
    """The benchmark CaFFe: SAR images of calving fronts."""

    source: Literal["caffe"]
    location: str = Field(default="", description="folder that holds sar_images, zones and fronts; empty: `data`")
    splits: tuple[Literal["train", "val", "test"], ...] = Field(
        default=("train", "val", "test"), min_length=1, description="sets that are wanted"
    )
    scheme: Literal["official", "crane"] = Field(
        default="official", description="official: the published sets; crane: the glacier Crane held out of training"
    )
    patches: Literal["stitched", "separate"] = Field(
        default="stitched", description="patches become their image again, or stay a series for each position"
    )


class Velocity(Part):
    """Ice surface velocity: ITS_LIVE NetCDF or Zarr datacubes, or GeoTIFFs of the components."""

    source: Literal["velocity"]
    location: str = Field(default="", description="file, datacube or folder; empty: `data`")
    files: str = Field(default="*", description="glob of those files of a folder that are meant")
    bands: tuple[str, ...] = Field(default=("vx", "vy"), min_length=1, description="components: vx, vy, v, v_error")
    units: Literal["", "m/yr", "m/day"] = Field(default="", description="where the files do not tell")
    date: dt.date | None = Field(default=None, description="first day of what tells no date")


class Dem(Part):
    """Digital elevation models: heights in metres, one cube a file."""

    source: Literal["dem"]
    files: str = Field(min_length=1, description="glob below `data`")
    date: dt.date | None = Field(default=None, description="when the heights were measured; absent: unknown")


class SimulatedMotion(Part):
    """Frames of simulated glaciers that move by a known velocity, with stable ground beside them."""

    source: Literal["simulated_motion"]
    seed: int = Field(default=0, ge=0, description="everything follows from it")
    places: int = Field(default=8, ge=1, le=64, description="glaciers, each a series of its own")
    frames: int = Field(default=7, ge=2, le=60, description="images of a series")
    days: int = Field(default=8, ge=1, description="from one image to the next; every third gap is twice as long")
    size: int = Field(default=192, ge=96, le=2048, description="rows and columns of an image")
    pixel_size_m: float = Field(default=10.0, gt=0, description="pixel size in metres")
    fastest_px_per_day: float = Field(default=0.25, gt=0, le=4, description="speed of the glacier's centre")
    noise: float = Field(default=0.05, ge=0, le=1, description="noise, as part of the texture's own contrast")
    light: float = Field(default=0.2, ge=0, le=0.9, description="how much brightness changes from image to image")


class SimulatedFronts(Part):
    """Images of simulated calving fronts, as radar and as optical sensors see them, whose front lines are known."""

    source: Literal["simulated_fronts"]
    seed: int = Field(default=0, ge=0, description="everything follows from it")
    places: int = Field(default=8, ge=1, le=64, description="glaciers, each a series of its own")
    frames: int = Field(default=6, ge=1, le=200, description="images of a series, every second one radar")
    size: int = Field(default=128, ge=64, le=2048, description="rows and columns of an image")
    pixel_size_m: float | None = Field(default=30.0, gt=0, description="pixel size in metres; null: not known")
    looks: float = Field(default=4.0, gt=0, description="looks of the radar images: speckle falls with their number")
    melange: float = Field(default=0.4, ge=0, le=1, description="part of the ocean that ice melange covers")


class SimulatedIceCover(Part):
    """Months of simulated sea ice around a pole: a season, a trend, and anomalies that last and drift."""

    source: Literal["simulated_ice_cover"]
    seed: int = Field(default=0, ge=0, description="everything follows from it")
    first_year: int = Field(default=1980, ge=1900, le=2100, description="year of the first month")
    years: int = Field(default=24, ge=8, le=80, description="years of months")
    size: int = Field(default=64, ge=32, le=512, description="rows and columns of 25 km")
    memory: float = Field(default=0.85, ge=0, lt=1, description="part of an anomaly that is left after a month")
    drift_px: float = Field(default=2.5, ge=0, le=8, description="cells that anomalies drift eastward in a month")
    trend_px: float = Field(default=0.08, ge=0, le=2, description="cells that the edge draws back in a year")
    gap_months: int = Field(default=2, ge=0, le=24, description="months that are missing")


CubeImagery = Annotated[
    SimulatedScenes
    | StacScenes
    | FolderScenes
    | Frames
    | SeaIceIndex
    | SeaIceRecord
    | AntarcticMelt
    | Caffe
    | Velocity
    | Dem
    | SimulatedFronts
    | SimulatedIceCover
    | SimulatedMotion,
    Field(discriminator="source", description="where pixels come from"),
]
