"""Recipes of the kind `motion`: glacier movement from co-registered sequences.

Displacement is tracked from image to image, and a network predicts the next image of a sequence. Original settings of
the prediction: sequences of NDSI, four images in, one out.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.imagery import SimulatedMotion
from glacier_core.recipes.learning import LearningRecipe, Loss, Model, Training
from glacier_core.recipes.parts import Part


class Shows(Part):
    """What of the images is tracked and predicted: one band, or the normalised difference of two."""

    band: str = Field(default="", description="the band; empty: the first")
    ndsi: tuple[str, str] | None = Field(
        default=None, description="green and shortwave infrared band: their normalised difference is taken instead"
    )
    floor: float | None = Field(default=None, description="values below become it; the original NDSI ended at 0")

    unseen_below: float | None = Field(
        default=None, description="values below were not seen, such as the black border of pictures"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.band and self.ndsi:
            raise ValueError("band and ndsi both say what is shown; keep one of them")
        return self


class Sequences(Part):
    """What the network sees and predicts."""

    inputs: int = Field(default=4, ge=2, le=24, description="images in")
    outputs: int = Field(default=1, ge=1, le=12, description="images out")
    least_seen: float = Field(
        default=0.5, gt=0, le=1, description="part of a patch that every image has to show, in training"
    )
    equal_light: bool = Field(
        default=False,
        description="each image first gets the brightness and contrast of the last one in, so that the network learns "
        "what moves and not the light; its prediction is in the light of the last image",
    )
    ground: Literal["all", "easting", "northing"] = Field(
        default="all",
        description="split by time: whether the three sets also lie on ground of their own, parts of the image along "
        "this axis as large as split says",
    )


class Tracked(Part):
    """How displacement is measured."""

    shortest_days: float = Field(default=1.0, gt=0, description="pairs closer in time are not tracked")
    longest_days: float = Field(default=400.0, gt=0, description="pairs further apart are not tracked")
    most_pairs: int = Field(default=40, ge=0, description="pairs of a series, spread over it; 0: all")
    template_px: int = Field(default=48, ge=8, le=512, multiple_of=2, description="rows and columns of a template")
    search_px: int = Field(default=12, ge=2, le=256, description="largest displacement along rows and columns")
    step_px: int = Field(default=16, ge=1, le=512, description="from one template to the next")
    contrast_px: float = Field(default=8.0, gt=0, description="radius within which mean and contrast are made equal")
    least_correlation: float = Field(default=0.3, ge=0, lt=1, description="below, a vector is unreliable")
    least_peak_ratio: float = Field(
        default=1.15, ge=1, description="height of the peak over the next one's; below, a vector is unreliable"
    )
    largest_round_trip_px: float = Field(
        default=0.5, gt=0, description="matches forward and backward may miss each other by this"
    )
    fewest_pairs: int = Field(default=1, ge=1, description="pairs that have to agree on a vector of the mean velocity")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest_days > self.longest_days:
            raise ValueError("shortest_days is above longest_days")
        return self


class Ground(Part):
    """Where the glacier is and where nothing moves."""

    glacier: str = Field(
        default="", description="mask of the series, or vector file below `data`; empty: all may be glacier"
    )
    stable: str = Field(
        default="",
        description="mask of the series, or vector file below `data`, of ground that does not move; `outside`: what is "
        "not glacier; empty: unknown",
    )
    margin_px: int = Field(default=8, ge=0, description="ground this near the glacier's edge is not called stable")
    correct: bool = Field(default=False, description="take the median over stable ground off each pair's displacements")

    @model_validator(mode="after")
    def _outside_of_what(self) -> Self:
        if self.stable == "outside" and not self.glacier:
            raise ValueError("stable ground 'outside' needs 'glacier'")
        if self.correct and not self.stable:
            raise ValueError("correct needs 'stable'")
        return self


class GivenVelocity(Part):
    """A velocity field that ours is compared with."""

    location: str = Field(min_length=1, description="ITS_LIVE NetCDF or datacube, or folder of GeoTIFFs of vx and vy")
    files: str = Field(default="*", description="glob of those files of a folder that are meant")
    units: Literal["", "m/yr", "m/day"] = Field(default="", description="where the files do not tell")


class SequenceModel(Model):
    """A network that predicts what comes next."""

    name: str = Field(default="convlstm", description="a name of the model registry")
    depth: int = Field(default=2, ge=1, le=6, description="number of layers")


class SequenceTraining(Training):
    """Training of such a network."""

    loss: Loss = "mse"
    augmentation: tuple[Literal["flip", "rotate"], ...] = Field(
        default=("flip", "rotate"), description="random changes of training samples; empty: none"
    )


class MotionRecipe(LearningRecipe):
    """The kind `motion`."""

    kind: Literal["motion"]
    shows: Shows = Shows()
    sequences: Sequences = Sequences()
    tracking: Tracked = Tracked()
    ground: Ground = Ground()
    given: GivenVelocity | None = Field(default=None, description="absent: nothing to compare with")
    units: Literal["auto", "px/day", "m/day", "m/yr"] = Field(
        default="auto", description="of speeds; auto: m/yr where the pixel size is known, else px/day"
    )
    model: SequenceModel = SequenceModel()
    training: SequenceTraining = SequenceTraining()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.sequences.ground != "all" and self.split.by != "time":
            raise ValueError(f"sequences.ground '{self.sequences.ground}' cuts images that are split by time")
        if self.imagery.source == "velocity":
            raise ValueError("imagery is a velocity field, and motion is measured in images; name the field in 'given'")
        return self

    @property
    def knows_truth(self) -> bool:
        """Whether the imagery is simulated, and its true motion known."""
        return isinstance(self.imagery, SimulatedMotion)
