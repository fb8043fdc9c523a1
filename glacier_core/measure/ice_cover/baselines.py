"""Forecasts that any model must beat, fitted cell by cell on given years alone.

- persistence: the last month that was seen stays.
- climatology: the mean of the target's calendar month; climatology10: of the ten last fitted years alone.
- anomaly_persistence: climatology, and the last anomaly (difference from its own month's mean) in full.
- damped_anomaly: the last anomaly times its regression coefficient, one for each cell, calendar month and lead
  (Van den Dool 2006, Empirical Methods in Short-Term Climate Prediction, ISBN 978-0-19-920278-2, chapter 3).
- trend: a straight line through the years of each calendar month, which goes on.
- trend_damped_anomaly: the line, and the last difference from it, damped by a coefficient between 0 and 1 (with the
  line taken out little is left to grow); the reference forecast of sea ice outlooks (Niraula and Goessling 2021,
  doi:10.1029/2021JC017784).

All forecasts are cut to 0 to 1. A month that is missing (a gap, the pole hole, a season that is not observed) is stood
for by the last one that was seen, also where coefficients are fitted; without any the anomaly is taken as zero.

Shapes: N months, P cells, L leads, 12 calendar months.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import ConfigurationError
from glacier_core.measure.ice_cover.months import MONTHS, Floats, MonthlySeries, carried_on

BASELINES = (
    "persistence",
    "climatology",
    "climatology10",
    "anomaly_persistence",
    "damped_anomaly",
    "trend",
    "trend_damped_anomaly",
)
RECENT_YEARS = 10
FEWEST_YEARS = 5
"""Of each calendar month that is forecast: fewer give no mean worth the name."""
ANOMALY_REACH = 7
"""Months for which an anomaly stands for those that were not seen: from April to the next melt season."""
VALUE_REACH = 11
RIDGE = 1e-4
"""Variance that is added where damping is fitted, so that cells that hardly vary get no wild coefficient."""


@dataclass(frozen=True)
class Climate:
    """What was fitted cell by cell: (12, P) for each calendar month, (L, 12, P) for each lead as well."""

    mean: Floats
    """Mean of the fitted years."""
    recent: Floats
    """Mean of the last ten of them."""
    spread: Floats
    """Standard deviation around the mean."""
    often: Floats
    """Part of the years with at least the threshold of ice."""
    level: Floats
    """The line in `year`."""
    slope: Floats
    """Its change a year."""
    year: float
    """Mean of the fitted years."""
    damping: Floats
    """Coefficient of the anomaly by lead and target month."""
    trend_damping: Floats
    """Coefficient of the difference from the line, 0 to 1."""

    @property
    def leads(self) -> int:
        """Leads that damping was fitted for."""
        return len(self.damping)

    def cells(self, chosen: NDArray[np.intp]) -> Climate:
        """The same of some cells."""
        own = {name: getattr(self, name)[..., chosen] for name in _FIELDS}
        return Climate(year=self.year, **own)

    def line(self, months_N: NDArray[np.int64], years_N: NDArray[np.int64]) -> Floats:  # noqa: N803 - shape suffixes
        """The straight line in given months: (N, P)."""
        ahead = (years_N - self.year).astype(np.float32)[:, None]
        found: Floats = self.level[months_N] + self.slope[months_N] * ahead
        return found


_FIELDS = ("mean", "recent", "spread", "often", "level", "slope", "damping", "trend_damping")


def fit_climate(series: MonthlySeries, rows: NDArray[np.bool_], *, leads: int, threshold: float = 0.15) -> Climate:
    """Means, lines and damping of a series.

    Args:
        series: months in a row.
        rows: (N,) the months that may be used; what the others hold changes nothing.
        leads: months ahead.
        threshold: ice is where the fraction reaches it.

    Raises:
        ConfigurationError: no calendar month has been seen in five years.
    """
    rows = rows & series.seen
    counts = np.bincount(series.months[rows], minlength=MONTHS)
    if not rows.any() or counts.max() < FEWEST_YEARS:
        raise ConfigurationError(
            f"{int(counts.max(initial=0))} years of a calendar month are too few frames to fit a climatology",
            expected=f"at least {FEWEST_YEARS}",
            do="add months, or move split.train_to",
        )
    used = MonthlySeries(series.first, np.where(rows[:, None], series.values_NP, np.float32(np.nan)))
    year = float(series.years[rows].mean())
    last = int(series.years[rows].max())
    recent = rows & (series.years > last - RECENT_YEARS)
    per_month = [
        _month(used.values_NP[mine], np.asarray(series.years[mine] - year, np.float64), threshold)
        for mine in _by_month(series, rows)
    ]
    mean, spread, often, level, slope = (np.stack(found) for found in zip(*per_month, strict=True))
    means = [_mean(used.values_NP[mine]) for mine in _by_month(series, recent)]
    own = {"mean": mean, "spread": spread, "often": often, "level": level, "slope": slope}
    blank = np.zeros((leads, *mean.shape), np.float32)
    climate = Climate(recent=_filled(np.stack(means), mean), year=year, damping=blank, trend_damping=blank, **own)
    known = Known.of(used, climate)
    return Climate(
        recent=climate.recent,
        year=year,
        damping=_damping(known.anomaly, used, mean[series.months], leads),
        trend_damping=_damping(known.departure, used, climate.line(series.months, series.years), leads).clip(0, 1),
        **own,
    )


@dataclass(frozen=True)
class Known:
    """What is known at each month: the last values seen, and how they differ from what was to be expected."""

    value: Floats
    """(N, P) the last value seen, NaN without any."""
    anomaly: Floats
    """(N, P) the last anomaly seen, 0 without any."""
    departure: Floats
    """(N, P) the last difference from the line, 0 without any."""

    @classmethod
    def of(cls, series: MonthlySeries, climate: Climate) -> Known:
        """What a series tells beside a climate."""
        values = series.values_NP
        anomaly = values - climate.mean[series.months]
        departure = values - climate.line(series.months, series.years)
        return cls(
            value=carried_on(values, reach=VALUE_REACH),
            anomaly=np.nan_to_num(carried_on(anomaly, reach=ANOMALY_REACH)),
            departure=np.nan_to_num(carried_on(departure, reach=ANOMALY_REACH)),
        )


def forecast(name: str, *, series: MonthlySeries, climate: Climate, known: Known, issue: int, lead: int) -> Floats:
    """A baseline's forecast, (P,), 0 to 1.

    Args:
        name: one of BASELINES.
        series: months in a row; those after `issue` are not looked at.
        climate: fitted before.
        known: `Known.of` the two.
        issue: row of the last month that is known.
        lead: months ahead, from 1.

    Raises:
        ConfigurationError: there is no such baseline.
    """
    month = (series.first + issue + lead) % MONTHS
    year = 1970 + (series.first + issue + lead) // MONTHS
    mean = climate.mean[month]
    line = climate.level[month] + climate.slope[month] * np.float32(year - climate.year)
    if name == "persistence":
        found = _filled(known.value[issue], mean)
    elif name == "climatology":
        found = mean
    elif name == "climatology10":
        found = climate.recent[month]
    elif name == "anomaly_persistence":
        found = mean + known.anomaly[issue]
    elif name == "damped_anomaly":
        found = mean + climate.damping[lead - 1, month] * known.anomaly[issue]
    elif name == "trend":
        found = line
    elif name == "trend_damped_anomaly":
        found = line + climate.trend_damping[lead - 1, month] * known.departure[issue]
    else:
        raise ConfigurationError(f"baseline '{name}' is unknown", expected=f"one of {', '.join(BASELINES)}")
    return np.asarray(found.clip(0, 1), dtype=np.float32)


def _by_month(series: MonthlySeries, rows: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    return [rows & (series.months == month) for month in range(MONTHS)]


def _month(
    values_YP: Floats,  # noqa: N803 - shape suffixes
    years_Y: NDArray[np.float64],  # noqa: N803 - shape suffixes
    threshold: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Mean, spread, part of the years with ice, level and slope of one calendar month; zero where nothing was seen."""
    seen = np.isfinite(values_YP)
    count = np.maximum(seen.sum(axis=0), 1)
    values = np.where(seen, values_YP, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / count
    ahead = np.where(seen, years_Y[:, None], 0.0)
    middle = ahead.sum(axis=0) / count
    apart = np.where(seen, ahead - middle, 0.0)
    differences = np.where(seen, values - mean, 0.0)
    slope = (apart * differences).sum(axis=0) / np.maximum((apart**2).sum(axis=0), 1.0)
    spread = np.sqrt((differences**2).sum(axis=0) / count)
    often = (values >= threshold).sum(axis=0) / count
    level = mean - slope * middle
    return _single(mean), _single(spread), _single(often), _single(level), _single(slope)


def _single(found: NDArray[np.float64]) -> Floats:
    return found.astype(np.float32)


def _mean(values_YP: Floats) -> Floats:  # noqa: N803 - shape suffixes
    """Mean of the years; NaN where nothing was seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values_YP, axis=0, dtype=np.float64), dtype=np.float32)


def _filled(found: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isfinite(found), found, otherwise)


def _damping(known_NP: Floats, used: MonthlySeries, expected_NP: Floats, leads: int) -> Floats:  # noqa: N803
    """Regression of what came on what was known, through the origin: (L, 12, P)."""
    found = np.zeros((leads, MONTHS, known_NP.shape[1]), np.float32)
    for lead in range(1, leads + 1):
        for month in range(MONTHS):
            targets = np.flatnonzero(used.seen & (used.months == month))
            targets = targets[targets >= lead]
            came = used.values_NP[targets] - expected_NP[targets]
            before = np.where(np.isfinite(came), known_NP[targets - lead], 0)
            came = np.nan_to_num(came)
            power = np.maximum((before**2).sum(axis=0), 0) + RIDGE * max(len(targets), 1)
            found[lead - 1, month] = (before * came).sum(axis=0) / power
    return found
