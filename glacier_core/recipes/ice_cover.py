"""Recipes of the kind `ice_cover`: monthly forecasts of sea ice or of surface melt, as corrections to a baseline."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.learning import LearningRecipe, Loss, Model, Split, Training

MONTHS = 12


class ForecastModel(Model):
    """A network that corrects the base forecast."""

    name: str = Field(default="convlstm", description="a name of the model registry")
    width: int = Field(default=16, ge=1, le=256, description="channels of the first level")
    depth: int = Field(default=3, ge=1, le=6, description="number of times that the resolution is halved, or of layers")


class ForecastTraining(Training):
    """Training of such a network."""

    batch: int = Field(default=2, ge=1)
    epochs: int = Field(default=4, ge=1, description="at most")
    patience: int = Field(default=4, ge=1, description="epochs without a better validation loss before it stops")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    loss: Loss = "mse_mae"
    augmentation: tuple[Literal["flip", "rotate"], ...] = Field(
        default=(), description="not used: a place of the region stays where it is"
    )


class PeriodSplit(Split):
    """Periods that follow each other."""

    by: Literal["time"] = Field(default="time", description="time: periods that follow each other")
    train_to: dt.date | None = Field(default=dt.date(1996, 12, 31), description="last day of training")
    validation_to: dt.date | None = Field(default=dt.date(1999, 12, 31), description="last day of validation")


class IceCoverRecipe(LearningRecipe):
    """The kind `ice_cover`."""

    kind: Literal["ice_cover"]
    lookback: int = Field(default=12, ge=2, le=60, description="months that the network sees")
    leads: int = Field(default=6, ge=1, le=24, description="months ahead, from 1")
    target_months: tuple[int, ...] = Field(
        default=(), description="calendar months that are forecast, 1 to 12; empty: all"
    )
    threshold: float = Field(default=0.15, gt=0, lt=1, description="ice (or melt) is where the fraction reaches it")
    base: Literal["best", "climatology", "climatology10", "damped_anomaly", "trend", "trend_damped_anomaly"] = Field(
        default="best", description="baseline that the network corrects; best: at each lead, by the validation period"
    )
    held_out_years: int = Field(
        default=6, ge=1, le=30, description="training years at a time whose base forecasts are made without them"
    )
    members: int = Field(default=20, ge=10, le=200, description="members of a forecast")
    hindcasts: int = Field(default=24, ge=0, le=600, description="last observed months that are forecast for the page")
    split: PeriodSplit = PeriodSplit()
    model: ForecastModel = ForecastModel()
    training: ForecastTraining = ForecastTraining()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        wrong = [month for month in self.target_months if not 1 <= month <= MONTHS]
        if wrong:
            raise ValueError(f"target_months holds {wrong[0]}, expected months from 1 to 12")
        if self.composite == "yearly":
            raise ValueError("forecasts are monthly; composite 'yearly' leaves no months")
        return self
