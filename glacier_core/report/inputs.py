"""What the report is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.grids import Grid
from glacier_core.recipes import ExtentRecipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from geopandas import GeoDataFrame
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class YearImage:
    """One glacier in one year; arrays are (y, x) on `grid`."""

    rgb: NDArray[np.float32]
    """True colour (y, x, 3): reflectance or digital numbers, NaN where nothing was seen."""
    ice: NDArray[np.bool_]
    """Predicted ice inside the glacier's domain."""
    probability: NDArray[np.float32]
    """Predicted probability of ice, 0 to 1, NaN where nothing was seen."""
    observed: NDArray[np.bool_]
    """Where the year's image shows the ground."""
    domain: NDArray[np.bool_]
    """Where this glacier is measured."""
    grid: Grid
    """Pixel grid."""
    acquired: list[str] = field(default_factory=list)
    """Scenes behind the image, as ids or ISO dates."""


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """Everything that the products of a `monitor` run are made from."""

    recipe: ExtentRecipe
    """The recipe."""
    areas: pd.DataFrame
    """One row a glacier and year: glacier_id, year, area_km2, area_low_km2, area_high_km2, clear_fraction (0 to 1),
    scenes and flags (joined by ';'), model ("name/version"), terminus_retreat_m (NaN if unknown)."""
    trends: pd.DataFrame
    """One row a glacier: glacier_id, slope_km2_per_yr, slope_low, slope_high, p_value, retreat_m_per_yr; NaN where
    there are too few years."""
    outlines: GeoDataFrame
    """Outlines of the recipe's glaciers (EPSG:4326): glacier_id, name, date, area_km2, RGI's other columns."""
    model: Mapping[str, Any]
    """name, version, alias, promoted."""
    scores: Mapping[str, Mapping[str, Any]]
    """Metric: {value, low, high, n, unit}; low and high are None where there are too few independent units."""
    baselines: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Name of the baseline: scores as above."""
    lineage: Sequence[Mapping[str, Any]]
    """Outputs behind the products: stage, digest, inputs, packages, image, threads."""
    image: Callable[[str, int], YearImage | None]
    """The picture of a glacier in a year; None where there is none. Called once a unit."""
    withheld: Sequence[Mapping[str, str]] = ()
    """Units without a result: unit, state, reason."""


@dataclass(frozen=True, eq=False)
class TrainingInputs:
    """Everything that the page about a training run is made from."""

    recipe: Any
    """The recipe, of any kind that trains a model."""
    version: str
    """Registered version, such as demo/3."""
    alias: str
    """Alias that the version received; empty: unpromoted."""
    history: Sequence[Mapping[str, Any]]
    """One row an epoch: epoch, losses, learning rate, scores."""
    scores: Mapping[str, Any]
    """{"model": scores, "baselines": {name: scores}} as in `ReportInputs`."""
    verdict: Mapping[str, Any]
    """The gate's verdict: passed, reason, differences {against: score}, n."""
    rows: Sequence[Mapping[str, Any]]
    """What was found on each test item; those that measure areas hold unit, glacier_id, year, stale, clear_fraction,
    area_km2, area_low_km2, area_high_km2, true_area_km2."""
    split: Mapping[str, Any]
    """Lists of units or periods: train, validation, test; and the split's hash."""
    pictures: Sequence[Path]
    """Sample pictures (PNG)."""
    card: str
    """The model card as Markdown."""
    headline: str = ""
    """The metric that stands for the model; empty: the IoU of ice."""
    lower_is_better: bool = False
    """Whether less of it is better."""
