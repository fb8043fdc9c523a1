"""What every kind of recipe that trains a model has: the network, its training, the split, the measures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.cube import CubeRecipe
from glacier_core.recipes.parts import Part
from glacier_core.recipes.series import SeriesRecipe
from glacier_core.recipes.sweep import Sweep

Loss = Literal[
    "dice_cross_entropy",
    "cross_entropy",
    "dice",
    "focal",
    "tversky",
    "boundary",
    "mse",
    "mae",
    "mse_mae",
    "ssim",
    "mse_ssim",
    "adversarial",
]

NETWORKS: Mapping[str, str] = {
    "unet": "segmentation",
    "unet_scse": "segmentation",
    "unet_aspp": "segmentation",
    "cnn3d": "segmentation",
    "convlstm": "forecast",
    "lstm": "forecast",
    "lstm_attention": "forecast",
    "transformer": "forecast",
    "autoencoder": "forecast",
    "gan": "forecast",
}
"""The networks that there are, and what each does; `glacier_core.models.MODELS` makes them."""
LOSSES: Mapping[str, str] = {
    "dice_cross_entropy": "segmentation",
    "cross_entropy": "segmentation",
    "dice": "segmentation",
    "focal": "segmentation",
    "tversky": "segmentation",
    "boundary": "segmentation",
    "mse": "forecast",
    "mae": "forecast",
    "mse_mae": "forecast",
    "ssim": "forecast",
    "mse_ssim": "forecast",
    "adversarial": "forecast",
}
"""The losses, and what the networks do that they teach."""


class Split(Part):
    """Training, validation and test sets that share no place and no time."""

    by: Literal["place", "easting", "northing", "named", "time"] = Field(
        default="place",
        description="place: what overlaps stays together; easting, northing: parts of one image; named: places are "
        "listed; time: periods that follow each other",
    )
    train: float = Field(default=0.6, gt=0, lt=1, description="fraction of the glaciers or places")
    validation: float = Field(default=0.2, gt=0, lt=1, description="fraction of the glaciers or places")
    test: float = Field(default=0.2, gt=0, lt=1, description="fraction of the glaciers or places")
    gap_m: float = Field(default=0.0, ge=0, description="width of the strip between two parts that serves neither")
    seed: int = 0
    validation_places: tuple[str, ...] = Field(default=(), description="by named: places of the validation set")
    test_places: tuple[str, ...] = Field(
        default=(), description="by named: places of the test set; all others serve training"
    )
    train_to: dt.date | None = Field(default=None, description="by time: last day of training")
    validation_to: dt.date | None = Field(default=None, description="by time: last day of validation")
    test_to: dt.date | None = Field(default=None, description="by time: last day of the test; absent: no end")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test sum to {total:g}, expected 1")
        shared = sorted({*self.validation_places} & {*self.test_places})
        if shared:
            raise ValueError(f"{', '.join(shared)} serves validation and test; a place serves one set")
        if self.by == "named" and not self.test_places:
            raise ValueError("split by named places needs 'test_places'")
        if self.by == "time":
            if self.train_to is None or self.validation_to is None:
                raise ValueError("split by time needs 'train_to' and 'validation_to'")
            ends = [end for end in (self.train_to, self.validation_to, self.test_to) if end]
            if ends != sorted(set(ends)):
                raise ValueError("train_to, validation_to and test_to follow each other")
        return self


class Model(Part):
    """Which network."""

    name: str = Field(default="unet", description="a name of the model registry")
    width: int = Field(default=16, ge=1, le=256, description="channels of the first level")
    depth: int = Field(default=3, ge=1, le=6, description="number of times that the resolution is halved, or of layers")
    weights: str = Field(
        default="",
        description="safetensors file of weights to start from, relative to `data`; what fits by name and shape is "
        "taken",
    )


class Training(Part):
    """How the network is trained."""

    chip: int = Field(default=128, ge=32, description="rows and columns of a chip")
    batch: int = Field(default=16, ge=1)
    epochs: int = Field(default=30, ge=1, description="at most")
    steps_per_epoch: int = Field(default=40, ge=1)
    patience: int = Field(default=6, ge=1, description="epochs without a better validation loss before it stops")
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "constant", "step"] = Field(
        default="cosine", description="cosine: warm-up, then half a cosine; step: a tenth after each third of the steps"
    )
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float = Field(default=1.0, ge=0, description="largest norm of the gradient; 0: as it is")
    accumulate: int = Field(default=1, ge=1, description="parts in which a batch passes through the network")
    loss: Loss = "dice_cross_entropy"
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: classes count by the inverse of their frequency in the training set"
    )
    augmentation: tuple[Literal["flip", "rotate", "brightness", "holes", "noise", "shift", "bend"], ...] = Field(
        default=("flip", "rotate", "brightness", "holes"),
        description="random changes of training samples; empty: none; holes: as masked clouds leave them",
    )
    adversarial_weight: float = Field(default=0.01, ge=0, description="loss adversarial: weight beside reconstruction")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where the processor has it"
    )
    compile: bool = Field(default=False, description="torch.compile the network: minutes at the start, faster steps")
    processes: int = Field(default=1, ge=1, description="DDP processes on this machine")
    seed: int = 0


class Measure(Part):
    """How intervals and scores are made."""

    confidence: float = Field(default=0.9, gt=0, lt=1, description="coverage of the intervals")
    min_clear: float = Field(default=0.5, ge=0, le=1, description="units with less clear area are flagged, not scored")
    resamples: int = Field(default=2000, ge=100, description="bootstrap resamples")


class LearningRecipe(SeriesRecipe):
    """What recipes share whose models learn from series of images: classes, front, motion, ice_cover."""

    split: Split = Split()
    model: Model = Model()
    training: Training = Training()
    measure: Measure = Measure()
    sweep: Sweep = Sweep()
    batches: int = Field(default=2, ge=1, le=500, description="number of batches that units are packed into")

    def cubes(self) -> CubeRecipe:
        """The recipe of its cubes alone, under the same name."""
        shared = {name: getattr(self, name) for name in CubeRecipe.model_fields if name != "kind"}
        return CubeRecipe(kind="cube", **shared)
