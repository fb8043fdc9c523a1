"""Which instrument a month comes from, and how months are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glacier_core.sources.nsidc.months import Month, Period, missing_months
from glacier_core.sources.nsidc.sensors import RECORD_DATES, SENSORS, index_sensor, sensor_by_date, sensor_named

MONTHS = st.builds(Month, st.integers(1978, 2100), st.integers(1, 12))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("seaice_conc_monthly_nh_197811_n07_v04r00.nc", "n07"),
        ("seaice_conc_monthly_icdr_nh_202101_f18_v02r00.nc", "f18"),
        ("sic_psn25_202409_F17_icdr_v03r00.nc", "f17"),
        ("sic_psn25_202501_am2_icdr_v03r00.nc", "am2"),
        ("Nimbus-7 > Nimbus-7", "n07"),
        ("DMSP 5D-2/F8 > Defense Meteorological Satellite Program-F8", "f08"),
        ("AMSR2 > Advanced Microwave Scanning Radiometer 2", "am2"),
    ],
)
def test_names_and_attributes_tell_the_sensor(text: str, code: str) -> None:
    assert sensor_named(text) == SENSORS[code]


@pytest.mark.parametrize("text", ["", "sic_psn25_197811-202412_v05r00.nc", "SSM/I > Special Sensor Microwave/Imager"])
def test_what_tells_no_sensor(text: str) -> None:
    assert sensor_named(text) is None


@pytest.mark.parametrize(
    ("month", "code"),
    [
        ("1978-11", "n07"),
        ("1987-07", "n07"),
        ("1987-09", "f08"),
        ("1991-12", "f08"),
        ("1992-01", "f11"),
        ("1995-10", "f13"),
        ("2007-12", "f13"),
        ("2008-01", "f17"),
    ],
)
def test_the_index_changes_sensors_at_its_dates(month: str, code: str) -> None:
    assert index_sensor(Month.parse(month), version="v3.0") == SENSORS[code]


def test_before_the_record_there_is_no_sensor() -> None:
    assert sensor_by_date(Month(1970, 1), RECORD_DATES) == "unknown"


@given(MONTHS)
def test_months_are_read_as_they_are_written(month: Month) -> None:
    assert Month.parse(str(month)) == month
    assert month < month.following
    assert month.start < month.following.start


@given(first=MONTHS, steps=st.integers(0, 40), data=st.data())
def test_each_month_of_a_period_is_present_or_missing(first: Month, steps: int, data: st.DataObject) -> None:
    months = [first]
    for _ in range(steps):
        months.append(months[-1].following)
    present = data.draw(st.lists(st.sampled_from(months), min_size=1, unique=True))
    period = Period.parse((str(months[0]), str(months[-1])))
    missing = [trouble.scene for trouble in missing_months(present, period=period)]
    assert sorted([*missing, *map(str, present)]) == list(map(str, months))
