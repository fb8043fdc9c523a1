"""Recipes of the kind `front`: calving fronts from SAR and optical images."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from glacier_core.recipes.imagery import Caffe, SimulatedFronts
from glacier_core.recipes.learning import LearningRecipe
from glacier_core.recipes.parts import Part


class FrontLabels(Part):
    """Where the true fronts are. Images of source caffe and simulated ones bring their own."""

    lines: str = Field(
        default="",
        description="pictures of drawn front lines below `data`, one an image; {frame} stands for the image's id, "
        "{name} for what name_pattern finds in it. Empty: there are none, or the source has its own",
    )
    name_pattern: str = Field(default="", description="regular expression whose first group is {name}; empty: the id")

    @field_validator("name_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"labels.name_pattern is no regular expression ({error})") from None
        if pattern and not groups:
            raise ValueError("labels.name_pattern has no group")
        return pattern


class FrontTarget(Part):
    """What the network learns to see."""

    of: Literal["sides", "zones", "line"] = Field(
        default="sides",
        description="sides: a band on the ocean's and one on the glacier's side of the front; zones: rock, glacier and "
        "ocean, where labels have them; line: the front itself, widened",
    )
    width_px: float = Field(default=8.0, gt=0, le=100, description="width of each band, of the line to either side")


class FrontView(Part):
    """How the network looks at an image."""

    sees: Literal["contrast", "values"] = Field(
        default="contrast",
        description="contrast: each band stretched image by image, and its local contrast beside it; values: the "
        "numbers, normalised over the training set",
    )
    contrast_px: float = Field(default=24.0, gt=0, description="radius within which local contrast is made equal")
    reduce: int = Field(default=1, ge=1, le=16, description="images are made smaller by this factor first")
    window: Literal["image", "chip"] = Field(
        default="chip", description="a training sample: a whole image, or a chip of `training.chip`"
    )
    warp: bool = Field(
        default=False,
        description="training samples are also scaled, turned a little, sheared, shifted, mirrored across the flow, "
        "blurred, noised and hazed",
    )
    mirrored: bool = Field(
        default=False, description="predictions are means over the image and its mirror image across the flow"
    )


class FrontLine(Part):
    """How a front line is made of what the network says."""

    presence: float = Field(default=0.3, gt=0, lt=1, description="least probability of the front's surroundings")
    largest_gap_px: float = Field(default=20.0, gt=0, description="pieces further apart are not joined")
    smoothing_px: float = Field(default=1.0, ge=0, description="standard deviation of the smoothing along the line")
    shared: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the mean over all images of the place in what the network says of each: where one image "
        "tells little, the front is where it usually is",
    )
    within_box: bool = Field(
        default=False, description="only inside the image's bounding box, where labels have one (CaFFe)"
    )


class Flow(Part):
    """The direction in which the glacier flows, for advance and retreat."""

    upstream: Literal["down", "up", "left", "right"] = Field(
        default="down", description="edge of the image that the glacier comes from"
    )
    box_px: tuple[float, float] | None = Field(
        default=None,
        description="first and last pixel, across the flow, of the box in which the mean position is taken; absent: "
        "the range that half of the fronts reach across",
    )
    centre_px: float | None = Field(
        default=None, description="pixel, across the flow, of the centre line; absent: the box's middle"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.box_px and not self.box_px[0] < self.box_px[1]:
            raise ValueError("flow.box_px ends before it begins")
        return self


class FrontRecipe(LearningRecipe):
    """The kind `front`."""

    kind: Literal["front"]
    labels: FrontLabels = FrontLabels()
    target: FrontTarget = FrontTarget()
    view: FrontView = FrontView()
    line: FrontLine = FrontLine()
    flow: Flow = Flow()
    overlapping: tuple[tuple[str, ...], ...] = Field(
        default=(), description="groups of series that show the same ground where their images have no coordinates"
    )
    units: Literal["auto", "px", "m"] = Field(
        default="auto", description="of distances; auto: metres where the pixel size is known, else pixels"
    )
    strata: tuple[Literal["place", "sensor", "season", "resolution", "code"], ...] = Field(
        default=("place", "sensor", "season"),
        description="scores are also given for each place, sensor, season (month of the year), resolution, or code "
        "(what the label `code` of the images says, such as path and row)",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.target.of == "zones" and not self.has_zones:
            raise ValueError(f"target 'zones' needs zones, which source '{self.imagery.source}' does not have")
        if self.split.by not in ("place", "named"):
            raise ValueError(f"split.by is '{self.split.by}'; fronts are split by place or named places")
        return self

    @property
    def has_zones(self) -> bool:
        """Whether the source has zones beside its fronts."""
        return isinstance(self.imagery, Caffe | SimulatedFronts)

    @property
    def has_labels(self) -> bool:
        """Whether true fronts are known."""
        return self.has_zones or bool(self.labels.lines)
