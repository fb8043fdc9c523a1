"""What a network sees of a region: the past as anomalies, and what is known of each lead beforehand.

All of it follows from a climate that was fitted on given months: change them, and base forecasts and inputs change with
them. Everything is divided by one scale, the typical anomaly of the training months.

Shapes: T past months, L leads, C and K channels, P cells, H rows, W columns of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glacier_core.measure.ice_cover import MONTHS, Climate, Known, forecast

if TYPE_CHECKING:
    from glacier_core.samples import SequenceSample
    from glacier_core.steps.kinds.ice_cover.regions import Region

Floats = NDArray[np.float32]

PAST = ("anomaly", "seen")
"""Channels of the past."""
BESIDE = ("climatology", "climatology10", "damped_anomaly", "trend", "trend_damped_anomaly")
"""Forecasts that the network sees, as differences from the base."""
KNOWN = (
    *BESIDE,
    "base",
    "mean",
    "spread",
    "often",
    "last_anomaly",
    "year_anomaly",
    "before_last_anomaly",
    "same_month_anomaly",
    "region_anomaly",
    "region_year_anomaly",
    "month_sine",
    "month_cosine",
    "lead",
    "inside",
)
"""Channels that are known of each lead."""
YEARS_BACK = 3
"""Years whose same calendar month is averaged."""


@dataclass(frozen=True)
class Window:
    """A part of the region's grid."""

    rows: slice
    """Rows."""
    columns: slice
    """Columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Fields:
    """A region beside one climate, from which samples and forecasts are made.

    Args:
        region: the region.
        climate: fitted on some of its months.
        bases: by lead the baseline that the network corrects.
        scale: typical anomaly.
    """

    def __init__(self, region: Region, climate: Climate, *, bases: Sequence[str], scale: float) -> None:
        self.region = region
        self.climate = climate
        self.bases = tuple(bases)
        self.scale = scale
        self.known = Known.of(region.series, climate)
        self._whole = region.series.values_NP - climate.mean[region.series.months]
        self._region_means = [
            [self._region_mean(rows) for rows in self._rows_back(issue, 1)[:2]] for issue in range(len(region.series))
        ]

    @property
    def leads(self) -> int:
        """Leads."""
        return len(self.bases)

    def baseline(self, name: str, issue: int, lead: int) -> Floats:
        """A baseline's forecast, (P,)."""
        return forecast(name, series=self.region.series, climate=self.climate, known=self.known, issue=issue, lead=lead)

    def base(self, issue: int, lead: int) -> Floats:
        """The forecast that the network corrects, (P,)."""
        return self.baseline(self.bases[lead - 1], issue, lead)

    def past(self, issue: int, lookback: int, window: Window) -> Floats:
        """(T, C, H, W) up to the month of issue."""
        rows = slice(issue - lookback + 1, issue + 1)
        anomaly = self._whole[rows]
        seen = np.isfinite(anomaly)
        return np.stack(
            [
                self.region.on_grid(self._scaled(anomaly, seen), window),
                self.region.on_grid(seen.astype(np.float32), window),
            ],
            axis=1,
        )

    def ahead(self, issue: int, lead: int, window: Window) -> tuple[Floats, Floats]:
        """What is known of a lead, (K, H, W), and the base forecast, (1, H, W)."""
        region, climate, series = self.region, self.climate, self.region.series
        month = (series.first + issue + lead) % MONTHS
        base = self.base(issue, lead)
        fields = [self.baseline(name, issue, lead) - base for name in BESIDE]
        fields += [base, climate.mean[month], climate.spread[month]]
        fields = [field / np.float32(self.scale) for field in fields] + [climate.often[month]]
        fields += [self._anomaly(rows) for rows in self._rows_back(issue, lead)]
        turn = 2 * np.pi * month / MONTHS
        constants = [*self._region_means[issue], np.sin(turn), np.cos(turn), lead / 12]
        fields += [np.full_like(base, value) for value in constants]
        fields.append(np.ones_like(base))
        return region.on_grid(np.stack(fields), window), region.on_grid(base[None] / np.float32(self.scale), window)

    def sample(self, issue: int, *, lookback: int, window: Window) -> SequenceSample:
        """The window of a training or validation sequence; months that were not seen do not count."""
        from glacier_core.samples import SequenceSample

        region = self.region
        ahead = [self.ahead(issue, lead, window) for lead in range(1, self.leads + 1)]
        came = region.series.values_NP[issue + 1 : issue + 1 + self.leads]
        counts = np.isfinite(came) & region.is_target(issue, self.leads)[:, None]
        weight = counts * (region.area_P / region.area_P.mean()).astype(np.float32)
        return SequenceSample(
            past=self.past(issue, lookback, window),
            known=np.stack([known for known, _ in ahead]),
            base=np.stack([base for _, base in ahead]),
            future=region.on_grid(self._scaled(came, counts), window)[:, None],
            weight=region.on_grid(weight.astype(np.float32), window)[:, None],
        )

    def _scaled(self, values: Floats, where: NDArray[np.bool_]) -> Floats:
        """Values in units of the scale; 0 elsewhere."""
        return np.asarray(np.where(where, values, 0) / self.scale, np.float32)

    def _rows_back(self, issue: int, lead: int) -> list[list[int]]:
        """Rows of the last month, the one before, the last year, and the target's calendar month of years before."""
        same = [issue + lead - MONTHS * back for back in range(1, YEARS_BACK + 1 + lead // MONTHS)]
        year = list(range(max(0, issue - MONTHS + 1), issue + 1))
        return [[issue], year, [max(issue - 1, 0)], [row for row in same if 0 <= row <= issue]]

    def _anomaly(self, rows: Sequence[int]) -> Floats:
        """Mean anomaly of some months, in units of the scale; the last seen one where a single month is asked for."""
        if len(rows) == 1:
            return np.asarray(self.known.anomaly[rows[0]] / self.scale, np.float32)
        if not rows:
            return np.zeros(len(self.region.area_P), np.float32)
        own = self._whole[rows]
        seen = np.isfinite(own)
        mean = np.where(seen, own, np.float32(0)).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        return np.asarray(mean / self.scale, np.float32)

    def _region_mean(self, rows: Sequence[int]) -> float:
        """The same as one number for the whole region."""
        area = self.region.area_P
        return float(self._anomaly(rows) @ area / area.sum()) * 10
