"""Tables as CSV whose bytes depend on the numbers alone: fixed decimals, sorted rows, LF line ends."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glacier_core.report.inputs import ReportInputs

AREAS_FILE = "glacier_area_by_year.csv"
RETREAT_FILE = "terminus_retreat_by_year.csv"
TRENDS_FILE = "glacier_trends.csv"

# decimals: 1e-4 km² is one Sentinel-2 pixel
_AREAS: Mapping[str, int | None] = {
    "glacier_id": None,
    "year": 0,
    "area_km2": 4,
    "area_low_km2": 4,
    "area_high_km2": 4,
    "clear_fraction": 4,
    "scenes": None,
    "model": None,
    "flags": None,
}
_RETREAT: Mapping[str, int | None] = {"glacier_id": None, "year": 0, "terminus_retreat_m": 1}
_TRENDS: Mapping[str, int | None] = {
    "glacier_id": None,
    "slope_km2_per_yr": 6,
    "slope_low": 6,
    "slope_high": 6,
    "p_value": 6,
    "retreat_m_per_yr": 2,
}


def write_tables(folder: Path, inputs: ReportInputs) -> list[str]:
    """Write the tables of areas, terminus retreat and trends; unknown numbers are empty.

    Returns:
        The files' names.
    """
    areas = inputs.areas.sort_values(["glacier_id", "year"]).to_dict("records")
    _write(folder / AREAS_FILE, areas, _AREAS)
    _write(folder / RETREAT_FILE, areas, _RETREAT)
    _write(folder / TRENDS_FILE, inputs.trends.sort_values("glacier_id").to_dict("records"), _TRENDS)
    return [AREAS_FILE, RETREAT_FILE, TRENDS_FILE]


def _write(path: Path, rows: Sequence[Mapping[Any, Any]], columns: Mapping[str, int | None]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(name), decimals) for name, decimals in columns.items()])


def _cell(value: Any, decimals: int | None) -> str:
    if decimals is None:
        return value if isinstance(value, str) else ""
    if value is None or not math.isfinite(value):
        return ""
    # adding zero after rounding turns -0.0 into 0.0
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}"
