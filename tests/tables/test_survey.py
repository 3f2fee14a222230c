"""What a column is does not depend on the blocks in which it passes by."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad.tables.encode import encode, encode_codes, to_codes
from tollad.tables.one_column import Survey
from tollad.tables.schema import Column, date_column
from tollad.tables.survey import fit_columns


def in_blocks(values: list[str | None], sizes: list[int], asked: str | None) -> Column:
    """Survey a column as a file of any size is surveyed: once, or twice if the first time was not enough."""
    for counted in (False, True):
        survey, start = Survey("x", asked, counted=counted, keep_days=True), 0
        for size in [*sizes, len(values)]:
            block = values[start : start + size]
            if block:
                survey.add(
                    pa.chunked_array([pa.array(block, pa.string())]), lambda row, start=start: f"row {start + row}"
                )
            start += size
        if not survey.again:
            return survey.column()
    raise AssertionError("the second time is enough")


def outcome(survey, *arguments) -> object:
    try:
        return survey(*arguments)
    except ValueError as error:
        return str(error)


cells = st.one_of(
    st.none(),
    st.sampled_from(["1", "2.5", "x", "True", "false", "2024-01-01", "2024-02-29 12:00", "2023-01-01T00:00Z", "?"]),
)
columns = st.one_of(
    st.lists(cells, min_size=1, max_size=60),
    st.tuples(
        st.lists(st.sampled_from([*map(str, range(40))]), min_size=20, max_size=80), st.lists(cells, max_size=3)
    ).map(lambda parts: [*parts[0], *parts[1]]),
)


@given(
    values=columns,
    sizes=st.lists(st.integers(1, 20), max_size=6),
    asked=st.sampled_from([None, None, "number", "date", "category"]),
)
def test_blocks_change_nothing(values, sizes, asked):
    table = pa.table({"x": pa.array(values, pa.string())})
    kinds = {} if asked is None else {"x": asked}
    whole = outcome(lambda: fit_columns(table, kinds)[0])
    assert outcome(in_blocks, values, sizes, asked) == whole


def test_numbers_are_not_counted_until_a_text_turns_up():
    survey = Survey("x")
    for block in (["1", "2"], ["3", "x"], ["y"]):
        assert not survey.again
        survey.add(pa.chunked_array([block]), "row {}".format)
        if block == ["1", "2"]:
            assert survey.is_number
        else:
            break
    assert survey.again
    assert not survey.is_number


def test_levels_without_end_are_refused():
    survey = Survey("x", most_levels=100)
    survey.add(pa.chunked_array([[f"v{i}" for i in range(100)]]), "row {}".format)
    with pytest.raises(ValueError, match=r"column 'x' holds more than 100 different texts.* columns={'x': 'drop'}"):
        survey.add(pa.chunked_array([["another"]]), "row {}".format)


def test_codes_become_what_is_encoded():
    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, 200).astype("timedelta64[D]")
    table = pa.table(
        {
            "number": pa.array([None if i % 9 == 0 else float(i) for i in range(200)]),
            "few": pa.array([None if i % 7 == 0 else f"v{i % 5}" for i in range(200)]),
            "gone": pa.array(["x"] * 200),
            "many": pa.array([f"v{i}" for i in rng.integers(0, 60, 200)]),
            "date": pa.array(days).filter(pa.array(np.ones(200, bool))),
        }
    )
    columns = fit_columns(table, {"gone": "drop"})
    codes = to_codes(table, columns)
    assert codes.shape == (200, 4)
    np.testing.assert_array_equal(encode_codes(codes, columns), encode(table, columns))
    known = columns[-1]
    seen = codes[:, -1]
    assert known == date_column(Column("date", "date", zone=""), seen.min(), np.sort(seen)[99], seen.max(), hours=False)
