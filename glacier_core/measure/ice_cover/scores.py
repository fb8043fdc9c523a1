"""How well a forecast field matches what was observed: sums over cells, weighted by their true area.

Each field gives plain sums, so that months pool, and so that a bootstrap of whole years needs nothing but them.

- MAE, RMSE and R² over cells and months together.
- IIEE, the integrated ice-edge error: the area where forecast and observation disagree on whether there is ice, in its
  parts overestimated and underestimated (Goessling et al. 2016, doi:10.1002/2015GL067232). As a fraction it is divided
  by the observed extent. The extent error is their difference; binary accuracy the area where both agree.
- SSIM: the map of `glacier_core.measure.similarity`, averaged by cell area.

Shapes: P cells, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from glacier_core.errors import DataError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FieldSums:
    """Sums over the cells that were observed, weighted by cell area; areas in km²."""

    area: float = 0.0
    """Area of the cells."""
    absolute: float = 0.0
    """|forecast - observed|."""
    squared: float = 0.0
    """Its square."""
    observed: float = 0.0
    """Observed fraction: the area of ice (or melt)."""
    observed_squared: float = 0.0
    """Its square, for R²."""
    forecast: float = 0.0
    """Forecast fraction: the area that was forecast."""
    over: float = 0.0
    """Ice in the forecast only."""
    under: float = 0.0
    """Ice in the observation only."""
    extent: float = 0.0
    """Observed extent: area of cells with ice."""
    area_gap: float = 0.0
    """|forecast - observed| of the month's whole area of ice (or melt)."""
    extent_gap: float = 0.0
    """The same of its extent."""
    similarity: float = 0.0
    """SSIM times area."""
    similarity_area: float = 0.0
    """Area for which there is an SSIM."""

    def __add__(self, other: FieldSums) -> FieldSums:
        return FieldSums(**{own.name: getattr(self, own.name) + getattr(other, own.name) for own in fields(self)})

    def to_json(self) -> dict[str, float]:
        """A plain object that `from_json` takes back; rounded to 1e-6 km²."""
        return {name: round(value, 6) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, float]) -> FieldSums:
        """The inverse of `to_json`."""
        return cls(**value)


def field_sums(
    forecast_P: Floats,  # noqa: N803 - shape suffixes
    observed_P: Floats,  # noqa: N803 - shape suffixes
    area_P: NDArray[np.float64],  # noqa: N803 - shape suffixes
    *,
    threshold: float,
    similarity_P: Floats | None = None,  # noqa: N803 - shape suffixes
) -> FieldSums:
    """The sums of one field.

    Args:
        forecast_P: fractions.
        observed_P: fractions; NaN where nothing was observed.
        area_P: true area of the cells, km².
        threshold: ice is where the fraction reaches it.
        similarity_P: SSIM at each cell, NaN where there is none; None: it is left out.

    Raises:
        DataError: the shapes differ, or the forecast is not finite where something was observed.
    """
    if not forecast_P.shape == observed_P.shape == area_P.shape:
        raise DataError(
            f"forecast, observation and area have the shapes {forecast_P.shape}, {observed_P.shape}, {area_P.shape}",
            expected="one shape",
        )
    seen = np.isfinite(observed_P)
    forecast, observed = forecast_P[seen].astype(np.float64), observed_P[seen].astype(np.float64)
    area = area_P[seen]
    if not np.isfinite(forecast).all():
        raise DataError("the forecast is not finite where something was observed", expected="fractions")
    # thresholds compare at the precision of the fields: 0.15 as float32 lies above 0.15
    ice, true = forecast_P[seen] >= np.float32(threshold), observed_P[seen] >= np.float32(threshold)
    error = forecast - observed
    shown = np.zeros(len(area), bool) if similarity_P is None else np.isfinite(similarity_P[seen])
    alike = np.zeros(len(area)) if similarity_P is None else np.nan_to_num(similarity_P[seen])
    return FieldSums(
        area=float(area.sum()),
        absolute=float(area @ np.abs(error)),
        squared=float(area @ error**2),
        observed=float(area @ observed),
        observed_squared=float(area @ observed**2),
        forecast=float(area @ forecast),
        over=float(area @ (ice & ~true)),
        under=float(area @ (true & ~ice)),
        extent=float(area @ true),
        area_gap=abs(float(area @ error)),
        extent_gap=abs(float(area @ ice.astype(np.float64) - area @ true.astype(np.float64))),
        similarity=float((area * shown) @ alike),
        similarity_area=float(area @ shown),
    )
