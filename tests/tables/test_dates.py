"""Dates: their cycles, their zones and the way back."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from columns import DAY, dates, encode_one, fails, fit_one, names, table

from tollad.tables.decode import decode, typed
from tollad.tables.encode import encode
from tollad.tables.frames import to_arrow
from tollad.tables.schema import describe
from tollad.tables.survey import fit_columns
from tollad.tables.values import unreadable


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


BERLIN = pa.array([1_600_000_000], pa.timestamp("s", "Europe/Berlin"))  # 2020-09-13 14:26:40 there, a Sunday
LOCAL = dt.datetime(2020, 9, 13, 14, 26, 40)


def test_times_are_those_of_the_clock_in_the_zone_of_the_column():
    column = fit_one(BERLIN)
    assert (column.zone, column.median) == ("Europe/Berlin", (LOCAL - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1))
    for form in (
        BERLIN.cast(pa.timestamp("ns", "America/New_York")),
        ["2020-09-13T14:26:40+02:00"],
        ["2020-09-13 14:26:40.000000000+0200"],
        ["2020/09/13 08:26:40-04"],
        ["2020-09-13 12:26:40Z"],
    ):
        assert encode_one(column, form) == encode_one(column, BERLIN)
    frame = pd.DataFrame({"x": pd.DatetimeIndex(["2020-09-13 14:26:40"], tz="Europe/Berlin")})
    assert fit_columns(to_arrow(frame)) == [column]
    assert describe([column])[0].endswith("trend, hour, in Europe/Berlin time")


@pytest.mark.parametrize("text", [False, True])
def test_daylight_saving_time_shifts_no_cycle(text):
    """Half past midnight is that in summer and in winter, and a Monday is a Monday."""
    days = pd.date_range("2024-01-01 00:30", periods=53, freq="7D", tz="Europe/Berlin")
    rows = [str(day) for day in days] if text else pa.array(days)
    column = fit_one(rows)
    assert column.offsets == ((60, 120) if text else ())
    matrix = np.array(encode_one(column, rows))
    np.testing.assert_allclose(matrix[:, 1:5], np.tile(matrix[:1, 1:5], (53, 1)), atol=1e-9)
    np.testing.assert_allclose(np.diff(matrix[:, 0]), 7)


ZONED = {
    "of type": pa.array([dt.datetime(2024, 1, 1, 5)], pa.timestamp("us", "UTC")),
    "Z": ["2024-01-01 05:00Z"],
    "offset": ["2024-01-01T05:00+01:00"],
}
NAIVE = {"text": ["2024-01-01 05:00"], "day": ["2024-01-01"], "of type": [dt.datetime(2024, 1, 1, 5)], "date": [DAY]}


@pytest.mark.parametrize("zoned", ZONED.values(), ids=ZONED)
@pytest.mark.parametrize("naive", NAIVE.values(), ids=NAIVE)
def test_times_with_a_zone_and_without_are_not_compared(zoned, naive):
    with fails("row 0, column 'x': the time has no time zone", "learnt with one"):
        encode_one(fit_one(zoned), naive)
    with fails("row 0, column 'x': the time has a time zone", "learnt without one"):
        encode_one(fit_one(naive), zoned)
    if isinstance(zoned, list):  # else it is no single row that is at fault
        assert unreadable(table(x=zoned), [fit_one(naive)]).keys() == {0}


def test_a_column_with_zones_here_and_none_there_is_refused():
    with fails("row 2, column 'x': the time has no time zone, but times above have one"):
        fit_one(["2024-01-01 05:00Z", None, "2024-01-01 05:00"])
    with fails("row 1, column 'x': the time has a time zone, but times above have none"):
        fit_one(["2024-01-01 05:00", "2024-01-01 05:00Z"])


def test_an_offset_of_another_place_is_refused():
    """An hour more or less is the same place in another season."""
    column = fit_one(["2024-01-01 05:00+01:00"])
    encode_one(column, ["2024-07-01 05:00+02:00"])
    for other in (["2024-01-01 05:00-05:00"], pa.array([dt.datetime(2024, 1, 1)], pa.timestamp("us", "Asia/Tokyo"))):
        with fails("row 0, column 'x': the time is", "from UTC, but the column was learnt with +01:00; convert"):
            encode_one(column, other)


@pytest.mark.parametrize("zoned", [*ZONED.values(), BERLIN], ids=[*ZONED, "Berlin"])
def test_typed_times_keep_their_zone(zoned):
    columns = fit_columns(table(x=zoned))
    rows = typed(table(x=zoned), columns)
    assert fit_columns(rows) == columns
    np.testing.assert_array_equal(encode(rows, columns), encode(table(x=zoned), columns))


def test_a_column_of_an_older_model_takes_all_times_in_utc():
    column = replace(fit_one(BERLIN), zone=None)
    assert encode_one(column, BERLIN) == encode_one(column, ["2020-09-13 12:26:40"])


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_too_far_off_for_microseconds_are_refused(unit, zone):
    """They would come back as other times: 2^60 seconds as 1970."""
    for far in (2**60, -(2**62), 2**63 - 1):
        times = pa.array([0, 10**6, far], pa.int64()).cast(pa.timestamp(unit, zone))
        with pytest.raises(ValueError, match="row 2, column 't': the date is not in the years 1 to 9999"):
            fit_columns(pa.table({"t": times}))


@pytest.mark.parametrize(("unit", "seconds"), [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)])
def test_durations_of_any_length_are_seconds(unit, seconds):
    lengths = [0, 1000, 2**60, -(2**62)]
    table = pa.table({"t": pa.array(lengths, pa.int64()).cast(pa.duration(unit))})
    encoded = encode(table, fit_columns(table))
    np.testing.assert_allclose(encoded[:, 0], np.array(lengths) * seconds, rtol=1e-12)
