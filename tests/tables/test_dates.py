"""Dates: their cycles, their zones and the way back."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from columns import DAY, dates, encode_one, fit_one, names

from tollad.tables.decode import decode
from tollad.tables.frames import to_arrow
from tollad.tables.schema import describe
from tollad.tables.survey import fit_columns


def test_parts_of_a_date():
    training = dates(9, dt.timedelta(days=50, hours=6))
    column = fit_one(training)
    assert column.cycles == ("hour", "weekday", "day of year")
    assert describe([column]) == ["x: date from 2020-01-01 to 2021-02-06, trend, hour, weekday, day of year"]
    assert names(column) == [
        "x: trend",
        *(f"x: {cycle} {wave}" for cycle in column.cycles for wave in ("sin", "cos")),
        "x: (missing)",
    ]
    # The epoch is a Thursday and the 1st of January, 1970-01-04 18:00 a Sunday.
    (row,) = encode_one(column, [dt.datetime(1970, 1, 4, 18)])
    week, year = 2 * np.pi * 3 / 7, 2 * np.pi * 3 / 365.2425
    trend = (dt.datetime(1970, 1, 4, 18) - training[4]) / dt.timedelta(days=1)
    np.testing.assert_allclose(
        row, [trend, -1, 0, math.sin(week), math.cos(week), math.sin(year), math.cos(year), 0], atol=1e-12
    )
    assert encode_one(column, [None]) == [[0] * 7 + [1]]


def test_the_median_is_a_training_value():
    column = fit_one(["2020-01-04", None, "2020-01-01", "2020-01-03", "2020-01-09"])
    assert [row[0] for row in encode_one(column, ["2020-01-03", "2020-01-02"])] == [0, -1]


@pytest.mark.parametrize("trend", [0.0, 1e4, -1e4, 1e7, -1e7, 1e300, -1e300])
def test_what_a_network_makes_of_a_date_is_a_date_of_the_calendar(trend):
    """However far out: of the years 1 to 9999."""
    column = fit_one(dates(9, dt.timedelta(days=1)))
    outputs = np.array(encode_one(column, [None]))
    outputs[0, 0] = trend
    ((day,),) = decode(outputs, [column])
    shown = dt.date.fromisoformat(day)
    if abs(trend) < 1e6:
        assert shown == dt.date(2020, 1, 5) + dt.timedelta(days=trend)


@pytest.mark.parametrize(
    ("training", "cycles"),
    [
        ([DAY], ()),
        (dates(7, dt.timedelta(days=1)), ()),
        (dates(8, dt.timedelta(days=1)), ("weekday",)),
        (dates(25, dt.timedelta(hours=1)), ("hour",)),
        (dates(2, dt.timedelta(days=365)), ("weekday", "day of year")),
        (dates(3, dt.timedelta(days=200, hours=1)), ("hour", "weekday", "day of year")),
    ],
)
def test_a_cycle_is_used_when_the_training_rows_show_it(training, cycles):
    assert fit_one(training).cycles == cycles


def test_the_year_has_the_same_phase_in_every_year():
    column = fit_one(dates(2, dt.timedelta(days=400)))
    phases = np.array(encode_one(column, [dt.date(year, 7, 1) for year in range(1900, 2100)]))[:, 3:5]
    assert np.ptp(phases, axis=0).max() < 2 * np.pi * 2.5 / 365


def test_time_zones_are_converted_to_utc():
    berlin = pa.array([1_600_000_000], pa.timestamp("s", "Europe/Berlin"))  # 2020-09-13 14:26:40 there
    column = fit_one(berlin)
    assert column.median == 1_600_000_000 / 86400
    forms = [
        berlin.cast(pa.timestamp("ns", "America/New_York")),
        pa.array([dt.datetime(2020, 9, 13, 12, 26, 40)]),
        ["2020-09-13T14:26:40+02:00"],
        ["2020-09-13 14:26:40.000000000+0200"],
        ["2020/09/13 08:26:40-04"],
        ["2020-09-13 12:26:40Z"],
        [" 2020-09-13 12:26:40"],
    ]
    for form in forms:
        assert fit_one(form) == column
    assert encode_one(column, ["2020-09-14 12:26:40", "2020-09-13T12:26:40Z"])[0] == [
        1,
        *encode_one(column, berlin)[0][1:],
    ]
    zoned = pd.DataFrame({"x": pd.DatetimeIndex(["2020-09-13 14:26:40"], tz="Europe/Berlin")})
    assert fit_columns(to_arrow(zoned)) == [column]
