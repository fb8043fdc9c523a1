"""Recipes of the kind `classes`: glacier classification from optical imagery and terrain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.imagery import SimulatedScenes, StacScenes
from glacier_core.recipes.learning import LearningRecipe
from glacier_core.recipes.parts import Part

ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
IndexName = Literal["ndsi", "ndsii", "ndwi", "ndmi", "ndvi", "red_swir_ratio", "nir_swir_ratio"]
TerrainFeature = Literal["elevation", "slope", "aspect"]
MOST_CLASSES = 15
"""What became of what is told in one byte: first class times their number plus the second, and 255 for unknown."""

COMMON_NAMES: Mapping[str, str] = {
    "swir1": "swir16",
    "swir2": "swir22",
    "swir": "swir16",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B08": "nir",
    "B8A": "nir",
    "B11": "swir16",
    "B12": "swir22",
    "nir08": "nir",
}
"""What bands are called whose names are not those of what they see."""


class ClassLabels(Part):
    """Where the truth comes from: outlines, a raster of classes, a mask beside the images, or the simulation."""

    outlines: str = Field(
        default="", description="vector file of dated outlines: the last class inside them, the first one outside"
    )
    box: tuple[float, float, float, float] | None = Field(
        default=None,
        description="west, south, east, north in degrees of the ground on which the outlines are complete; elsewhere "
        "nothing is labelled. Absent: everywhere",
    )
    raster: str = Field(
        default="",
        description="rasters of classes below `data`; {place}, {year} and {frame} stand for the series, the year and "
        "the image",
    )
    codes: dict[int, ClassName] = Field(
        default_factory=dict, description="number in the raster -> class; other numbers are unlabelled"
    )
    mask: str = Field(
        default="",
        description="mask of the cube (`mask` for source frames): the last class inside it, the first outside",
    )
    optional: tuple[ClassName, ...] = Field(
        default=(), description="classes that may be absent from the labels; any other must occur"
    )
    tolerance_days: int = Field(
        default=200, ge=0, description="largest distance between an outline's date and the image; older ones are stale"
    )
    train_on_stale: bool = Field(
        default=False, description="train on outlines beyond the tolerance too, and call them stale"
    )

    @model_validator(mode="after")
    def _one_truth(self) -> Self:
        chosen = [name for name in ("outlines", "raster", "mask") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"labels.{' and labels.'.join(chosen)} both are the truth; keep one of them")
        if bool(self.raster) != bool(self.codes):
            raise ValueError("labels.raster and labels.codes go together: what the raster's numbers mean")
        return self


class Heights(Part):
    """Heights of the ground beside the imagery, and what the model sees of them."""

    files: str = Field(
        default="", description="glob of DEMs below `data`; {place} stands for the series. Empty: the simulation's"
    )
    collection: str = Field(
        default="", description="source stac: collection of DEMs in the imagery's catalog, such as cop-dem-glo-30"
    )
    features: tuple[TerrainFeature, ...] = Field(
        default=("elevation", "slope"), description="aspect becomes two channels, its sine and cosine"
    )
    correct: bool = Field(
        default=False,
        description="C-correction of reflectance for the terrain's light; needs the sun's position with each image",
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        if not self.features and not self.correct:
            raise ValueError("terrain has no features and corrects nothing; leave it out")
        if self.files and self.collection:
            raise ValueError("terrain.files and terrain.collection both are the heights; keep one of them")
        return self


class Features(Part):
    """What the model sees beside each other on one grid."""

    bands: tuple[str, ...] = Field(default=(), description="bands of the imagery that the model sees; empty: all")
    indices: tuple[IndexName, ...] = Field(default=(), description="spectral indices beside the bands")
    common_names: dict[str, str] = Field(
        default_factory=dict,
        description="band -> what it sees (blue, green, red, nir, swir16), where names do not tell",
    )
    place: bool = Field(
        default=False,
        description="two channels with the distance from the image's middle, where labels hold what lies in the middle",
    )

    def common_name(self, band: str) -> str:
        """What a band sees, as the indices name it."""
        return self.common_names.get(band, COMMON_NAMES.get(band, band))


class ClassesRecipe(LearningRecipe):
    """The kind `classes`: each pixel one of several surfaces."""

    kind: Literal["classes"]
    classes: tuple[ClassName, ...] = Field(
        default=("other", "glacier"),
        min_length=2,
        max_length=MOST_CLASSES,
        description="names of the classes, in order of their numbers",
    )
    labels: ClassLabels = ClassLabels()
    features: Features = Features()
    terrain: Heights | None = Field(default=None, description="absent: the model sees no terrain")
    dates: int = Field(
        default=1,
        ge=1,
        le=12,
        description="images that the model sees together: the classified one and those before it",
    )
    members: int = Field(
        default=1,
        ge=1,
        le=10,
        description="networks trained from seeds that follow each other; the mean of their probabilities counts",
    )
    views: Literal[1, 8] = Field(
        default=1, description="8: predictions are means over the square's eight turns and reflections"
    )
    overlapping: tuple[tuple[str, ...], ...] = Field(
        default=(), description="groups of series that show the same ground where their images have no coordinates"
    )

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names one twice")
        unknown = sorted({*self.labels.optional, *self.labels.codes.values()} - {*self.classes})
        if unknown:
            raise ValueError(f"labels name {', '.join(unknown)}, which classes does not list")
        simulated = isinstance(self.imagery, SimulatedScenes)
        if not simulated and not (self.labels.outlines or self.labels.raster or self.labels.mask):
            raise ValueError("labels name no truth: outlines, raster or mask")
        if self.terrain and not (self.terrain.files or self.terrain.collection) and not simulated:
            raise ValueError("terrain needs 'files', the DEMs beside the imagery, or 'collection'")
        if self.terrain and self.terrain.collection and not isinstance(self.imagery, StacScenes):
            raise ValueError("terrain.collection is one of the imagery's catalog, and the imagery has none")
        return self

    @model_validator(mode="after")
    def _truth_serves_one_set(self) -> Self:
        raster = self.labels.raster
        still = raster if raster and not {"{year}", "{frame}"} & {*re.findall(r"{\w+}", raster)} else ""
        still = self.labels.outlines or self.labels.mask or still
        if self.split.by == "time" and still:
            raise ValueError(
                f"split by time, and one truth ({still}) labels the same ground in every period: the test would ask "
                "for labels that were learnt by heart. Split by place or by name (several series, such as 'boxes'), or "
                "give labels.raster with {year} or {frame}"
            )
        return self

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        bands = tuple(getattr(self.imagery, "bands", ()))
        unknown = sorted({*self.features.bands, *self.features.common_names} - {*bands}) if bands else []
        if unknown:
            raise ValueError(f"features name band {', '.join(unknown)}, which the imagery lacks ({', '.join(bands)})")
        turning = {"flip", "rotate"} & {*self.training.augmentation}
        if self.terrain and "aspect" in self.terrain.features and (turning or self.views == 8):
            raise ValueError(
                "terrain.features has aspect, which does not turn with the image: leave flip and rotate out of "
                "training.augmentation, and views at 1"
            )
        named = [name for group in self.overlapping for name in group]
        if len(set(named)) != len(named):
            raise ValueError("overlapping names a series in two groups; join them")
        return self

    def spectral_bands(self) -> tuple[str, ...]:
        """Bands of the imagery that the model sees; empty: all that the images have."""
        return self.features.bands or tuple(getattr(self.imagery, "bands", ()))
