"""Rows of plain values have the same inputs, read at once or by way of Arrow."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad.serve import runtime
from tollad.serve.plain import plain_inputs
from tollad.serve.runtime import Runtime
from tollad.tables.schema import Column

COLUMNS = (
    Column("n", "number"),
    Column("c", "category", ("Bonn", None), (2, 1)),
    Column("d", "date", zone=""),
    Column("left out", "drop"),
)
VALUES = {
    "n": st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.booleans(), st.none()),
    "c": st.one_of(
        st.text(max_size=4), st.sampled_from(["Bonn", " Bonn ", "NA", "TRUE", "\x1fUlm", "A\u030a"]), st.none()
    ),
    "d": st.one_of(
        st.dates().map(str),
        st.datetimes(),
        st.datetimes().map(str),
        st.sampled_from(["2024-02-30", "", "soon", datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))]),
        st.none(),
    ),
}


def outcome(rows):
    try:
        inputs = Runtime(None, ("n", "c", "d"), COLUMNS, True, {"kind": "table"}).feed(rows)
    except (ValueError, TypeError) as error:
        return str(error)
    return {name: values.tolist() for name, values in inputs.items()}


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=3))
def test_the_same_inputs_or_the_same_refusal(rows):
    found = outcome(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "plain_inputs", lambda *_: None)
        np.testing.assert_equal(found, outcome(rows))


def test_a_plain_row_is_read_at_once():
    rows = [{"n": 1, "c": "true", "d": "2024-02-29"}, {"n": 2.5, "c": None, "d": None}]
    found = plain_inputs(rows, COLUMNS)
    np.testing.assert_equal(
        {name: values.tolist() for name, values in found.items()},
        {"n": [1.0, 2.5], "c": ["true", ""], "d": [19782.0, np.nan]},
    )


@pytest.mark.parametrize(
    "rows",
    [
        [{"n": 1, "c": "Bonn"}],
        [[1, "Bonn", None]],
        [{"n": float("inf"), "c": "", "d": None}],
        [{"n": 1, "c": "Köln", "d": None}],
        [{"n": True, "c": "", "d": None}, {"n": 1.0, "c": "", "d": None}],
    ],
)
def test_all_else_is_read_in_the_usual_way(rows):
    assert plain_inputs(rows, COLUMNS) is None
