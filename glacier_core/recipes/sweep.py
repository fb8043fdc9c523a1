"""The part `sweep` of a recipe: which of its keys are searched, between which values, and by what trials are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from glacier_core.recipes.parts import Part

# what trials are judged by, what they are called and where they run: with one of these changed they cannot be compared
_FIXED = ("name", "kind", "title", "data", "split", "measure", "batches", "sweep")


class Range(Part):
    """Values between two ends; whole numbers where both ends are."""

    low: int | float
    high: int | float
    log: bool = Field(default=False, description="equal factors are equally likely")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low is {self.low:g} and high {self.high:g}, expected low < high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low:g}, expected more than 0 where log is true")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Sweep(Part):
    """The search of `glacier sweep`."""

    trials: int = Field(default=200, ge=1, description="trainings, those that fail or are cut included")
    pruning: Literal["median", "hyperband", "none"] = Field(
        default="median", description="how trials are cut that fall behind others at the same epoch"
    )
    metric: str = Field(
        default="",
        description="figure of an epoch that judges, of the validation set; empty: validation_loss, or what does not "
        "depend on the loss where that is searched",
    )
    seed: int = Field(default=0, ge=0, description="everything follows from it")
    space: dict[str, Range | tuple[Any, ...]] = Field(
        default={}, description="recipe key to {low, high, log} or a list of values; empty: rate, batch, width and loss"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key, values in self.space.items():
            if key.split(".")[0] in _FIXED:
                raise ValueError(f"'{key}' cannot be searched: trials would be judged by different things")
            if isinstance(values, tuple) and not values:
                raise ValueError(f"'{key}' has no values to choose from")
        return self


def default_space(losses: tuple[str, ...]) -> Mapping[str, Range | tuple[Any, ...]]:
    """What is searched where the recipe says nothing else.

    Args:
        losses: those that serve the recipe's kind of network.
    """
    return {
        "training.learning_rate": Range(low=1e-7, high=1e-2, log=True),
        "training.batch": Range(low=2, high=32, log=True),
        "model.width": (8, 16, 32),
        "training.loss": losses,
    }
