"""Small tables of mixed columns, and what is made of one column: shared by the tests of tables."""

from __future__ import annotations

import datetime as dt
import re

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from tollad.tables.encode import encode
from tollad.tables.schema import Column, encoding
from tollad.tables.survey import fit_columns

DAY = dt.date(2021, 3, 1)


def table(**columns: object) -> pa.Table:
    return pa.table(
        {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    )


def fit_one(values: object, kind: str | None = None) -> Column:
    (column,) = fit_columns(table(x=values), None if kind is None else {"x": kind})
    return column


def encode_one(column: Column, values: object) -> list[list[float]]:
    return encode(table(x=values), [column]).tolist()


def names(column: Column) -> list[str]:
    return list(encoding([column]).names)


def fails(*words: str):
    """Raise ONE line that holds all the words, in this order."""
    return pytest.raises(ValueError, match=r"\A[^\n]*" + r"[^\n]*".join(map(re.escape, words)) + r"[^\n]*\Z")


def dates(n: int, step: dt.timedelta) -> list[dt.datetime]:
    return [dt.datetime(2020, 1, 1) + i * step for i in range(n)]


VALUES = {
    "int": st.integers(-(2**53), 2**53),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "text": st.sampled_from(["Bonn", "Sankt Gallen", "007", "1.0", "x=1", "Zürich", "a,b", 'say "a"', "True"]),
    "when": st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
    "day": st.dates(dt.date(1700, 1, 1), dt.date(2200, 1, 1)),
}

FIRST = {"int": 1, "float": 0.5, "bool": True, "text": "Bonn", "when": dt.datetime(2000, 1, 1, 7), "day": DAY}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Mixed columns with missing values; each has at least one value, and the first column all."""
    n = draw(st.integers(1, 12))
    columns = {"id": pa.array(range(n))}
    for name, values in VALUES.items():
        rest = draw(st.lists(st.none() | values, min_size=n - 1, max_size=n - 1))
        columns[name] = pa.array([FIRST[name], *rest])
    return pa.table(columns)
