"""Which instrument a month of the passive microwave records comes from: as the file says, else by a table of dates."""

from __future__ import annotations

import re
from datetime import date

from glacier_core.sources.nsidc.months import Month

SENSORS = {
    "n07": "Nimbus-7 SMMR",
    "f08": "DMSP-F8 SSM/I",
    "f11": "DMSP-F11 SSM/I",
    "f13": "DMSP-F13 SSM/I",
    "f17": "DMSP-F17 SSMIS",
    "f18": "DMSP-F18 SSMIS",
    "ame": "Aqua AMSR-E",
    "am2": "GCOM-W1 AMSR2",
}
"""Names by the codes that file names use."""
UNKNOWN = "unknown"

# NSIDC-0051's user guide, table of sensors (https://nsidc.org/data/nsidc-0051); from 2025 on version 4 of the Sea Ice
# Index takes AMSR2 (https://nsidc.org/data/g02135)
INDEX_DATES = (
    (date(1978, 10, 26), "n07"),
    (date(1987, 8, 21), "f08"),
    (date(1991, 12, 19), "f11"),
    (date(1995, 9, 30), "f13"),
    (date(2008, 1, 1), "f17"),
)
AMSR2_IN_INDEX_4 = date(2025, 1, 1)
# G02202's platform table as its processing code keeps it (https://github.com/nsidc/seaice_ecdr, platform start dates)
RECORD_DATES = (
    (date(1978, 10, 25), "n07"),
    (date(1987, 7, 10), "f08"),
    (date(1991, 12, 3), "f11"),
    (date(1995, 10, 1), "f13"),
    (date(2008, 1, 1), "f17"),
)
MID_MONTH = 15


def sensor_by_date(month: Month, dates: tuple[tuple[date, str], ...]) -> str:
    """The instrument at work in the middle of a month, by a table of first days; `unknown` before the first."""
    day = date(month.year, month.month, MID_MONTH)
    codes = [code for first, code in dates if first <= day]
    return SENSORS[codes[-1]] if codes else UNKNOWN


def index_sensor(month: Month, *, version: str) -> str:
    """The instrument behind a month of the Sea Ice Index; `version` as its file names write it (v3.0, v4.0)."""
    if not version.startswith(("v1", "v2", "v3")) and date(month.year, month.month, MID_MONTH) >= AMSR2_IN_INDEX_4:
        return SENSORS["am2"]
    return sensor_by_date(month, INDEX_DATES)


def sensor_named(text: str) -> str | None:
    """The instrument that a file's name or attribute mentions by code (`_f17_`) or in words; None without any."""
    folded = text.lower()
    for code, name in SENSORS.items():
        platform, instrument = (part.lower() for part in name.split())
        if re.search(rf"(?<![a-z0-9]){code.replace('f0', 'f0?')}(?![a-z0-9])", folded) or platform in folded:
            return name
        if instrument in {"smmr", "amsr2", "amsr-e"} and instrument in folded:
            return name
    return None
