"""Training sequences whose base forecasts were made without the years that they forecast.

A baseline knows the years that it was fitted on better than those to come. A network that learnt to correct it there
would correct too little later. So the training years are taken in blocks: for each block all baselines are fitted on
the others, and the block's sequences start from them (cross-fitting, as in stacked regression: Wolpert 1992,
doi:10.1016/S0893-6080(05)80023-1). Blocks of several years leave slow changes unknown, as the years to come will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError
from glacier_core.measure.ice_cover import FieldSums, field_sums, fit_climate
from glacier_core.samples import issues_of, tiles_of
from glacier_core.steps.kinds.ice_cover.fields import Fields, Window

if TYPE_CHECKING:
    from glacier_core.samples import SequenceSample
    from glacier_core.steps.kinds.ice_cover.regions import Region

BASES = ("climatology", "climatology10", "damped_anomaly", "trend", "trend_damped_anomaly")
"""Baselines that a network may correct."""
FEWEST_CELLS = 0.1
"""Part of a training window that must be cells of the region."""
VALIDATION_WINDOWS = 48
"""Windows by which training is judged after each epoch, spread over the validation period."""


@dataclass(frozen=True)
class Item:
    """One sequence."""

    fields: int
    """Number of the fields that it is made from."""
    issue: int
    """Row of the last month that is known."""
    window: Window
    """Part of the region."""


class Sequences:
    """Sequences by number; see `glacier_core.samples.SequenceSource`.

    Args:
        fields: regions beside climates.
        items: the sequences.
        lookback: months that are known.
    """

    def __init__(self, fields: Sequence[Fields], items: Sequence[Item], *, lookback: int) -> None:
        self._fields = tuple(fields)
        self._items = tuple(items)
        self._lookback = lookback

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int, /) -> SequenceSample:
        item = self._items[index]
        return self._fields[item.fields].sample(item.issue, lookback=self._lookback, window=item.window)


def scale_of(region: Region) -> float:
    """Typical anomaly of the training months: root mean square over cells and months."""
    taught = region.series.values_NP[region.taught]
    months = region.series.months[region.taught]
    squares, count = 0.0, 0
    for month in np.unique(months):
        own = taught[months == month]
        seen = np.isfinite(own)
        mean = np.where(seen, own, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        squares += float((np.where(seen, own - mean, 0) ** 2).sum(dtype=np.float64))
        count += int(seen.sum())
    return max(float(np.sqrt(squares / max(count, 1))), 1e-3)


def choose_bases(region: Region, recipe: Any) -> tuple[str, ...]:
    """By lead the baseline with the least squared error over the validation months, fitted on the training months."""
    if recipe.base != "best":
        return (recipe.base,) * int(recipe.leads)
    climate = fit_climate(region.series, region.taught, leads=recipe.leads, threshold=recipe.threshold)
    fields = Fields(region, climate, bases=("climatology",) * recipe.leads, scale=1.0)
    return tuple(
        min(BASES, key=lambda name: _squared(fields, recipe, name, lead)) for lead in range(1, recipe.leads + 1)
    )


def _squared(fields: Fields, recipe: Any, name: str, lead: int) -> float:
    region, total = fields.region, FieldSums()
    for issue in region.issues("validation", lookback=recipe.lookback, lead=lead):
        total += field_sums(
            fields.baseline(name, issue, lead),
            region.series.values_NP[issue + lead],
            region.area_P,
            threshold=recipe.threshold,
        )
    return total.squared / total.area if total.area else float("inf")


def training_sequences(region: Region, recipe: Any, *, bases: Sequence[str], scale: float) -> Sequences:
    """Windows of the training period, each beside a climate that was fitted without its block of years.

    Raises:
        ConfigurationError: too few frames.
    """
    windows = _windows(region, recipe.training.chip)
    years = region.series.years
    fields: list[Fields] = []
    items: list[Item] = []
    for block in blocks_of(region, years_at_once=recipe.held_out_years):
        hidden = region.taught & np.isin(years, block)
        parts = ["train" if mine else "" for mine in hidden]
        try:
            issues = issues_of(parts, part="train", lookback=recipe.lookback, leads=recipe.leads)
        except ConfigurationError:
            continue  # the first block may be shorter than a window
        climate = fit_climate(region.series, region.taught & ~hidden, leads=recipe.leads, threshold=recipe.threshold)
        items += [Item(len(fields), issue, window) for issue in _wanted(region, recipe, issues) for window in windows]
        fields.append(Fields(region, climate, bases=bases, scale=scale))
    if not items:
        raise ConfigurationError(
            f"the training period of {region.name} has too few frames",
            expected=f"blocks of {recipe.held_out_years} years with {recipe.leads} months to forecast",
            do="add months, or lower lookback, leads or held_out_years",
        )
    return Sequences(fields, items, lookback=recipe.lookback)


def validation_sequences(region: Region, recipe: Any, *, bases: Sequence[str], scale: float) -> Sequences:
    """Windows of the validation period beside a climate of the training period.

    Raises:
        ConfigurationError: too few frames.
    """
    climate = fit_climate(region.series, region.taught, leads=recipe.leads, threshold=recipe.threshold)
    issues = issues_of(region.parts, part="validation", lookback=recipe.lookback, leads=recipe.leads)
    windows = _windows(region, recipe.training.chip)
    items = [Item(0, issue, window) for issue in _wanted(region, recipe, issues) for window in windows]
    step = max(1, round(len(items) / VALIDATION_WINDOWS))
    while step > 1 and len(windows) % step == 0:
        step += 1  # else the same places would be looked at each month
    return Sequences([Fields(region, climate, bases=bases, scale=scale)], items[::step], lookback=recipe.lookback)


def blocks_of(region: Region, *, years_at_once: int) -> list[NDArray[np.int64]]:
    """The training years in blocks of about equal length that follow each other; at least two."""
    years = np.unique(region.series.years[region.taught])
    number = max(2, round(len(years) / years_at_once))
    return [block for block in np.array_split(years, min(number, len(years))) if len(block)]


def _wanted(region: Region, recipe: Any, issues: Sequence[int]) -> list[int]:
    return [issue for issue in issues if region.is_target(issue, recipe.leads).any()]


def _windows(region: Region, size: int) -> list[Window]:
    """Windows that hold cells enough; the fullest one if none does."""
    whole = region.window()
    inside = region.on_grid(np.ones(len(region.cells_P), np.float32))
    found = [Window(rows, columns) for rows, columns in tiles_of(whole.rows, whole.columns, size=size)]
    full = [float(inside[window.rows, window.columns].mean()) for window in found]
    chosen = [window for window, part in zip(found, full, strict=True) if part >= FEWEST_CELLS]
    return chosen or [found[int(np.argmax(full))]]
