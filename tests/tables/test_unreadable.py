"""Which rows of a table cannot be read: those, and only those, that `encode` refuses."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad.tables.encode import encode
from tollad.tables.schema import Column
from tollad.tables.values import unreadable

WILD = st.sampled_from(
    [
        "1",
        "-2.5",
        "x",
        "",
        "?",
        "inf",
        "1e999",
        "2024-02-30",
        "2024-02-29",
        "2024-01-01 12:00",
        "true",
        " 7 ",
        "1,5",
        None,
    ]
)


@given(columns=st.lists(st.tuples(WILD, WILD, WILD), min_size=1, max_size=12))
def test_unreadable_rows_are_those_that_encode_refuses(columns):
    table = pa.table(
        dict(zip("abc", map(list, zip(*columns, strict=True)), strict=True)),
        pa.schema([(n, pa.string()) for n in "abc"]),
    )
    known = [Column("a", "number"), Column("b", "date", cycles=("hour",)), Column("c", "category", ("x",), (3,))]
    refused = {}
    for row in range(table.num_rows):
        try:
            encode(table.slice(row, 1), known, where=lambda row: "")
        except ValueError as error:
            refused[row] = str(error).removeprefix(", ").rpartition(";")[0]
    assert unreadable(table, known) == refused


def test_a_column_of_another_type_is_no_matter_of_rows():
    for column, values, words in [
        (Column("a", "number"), pa.array([0], pa.timestamp("us")), "is not a number"),
        (Column("a", "category", ("x",), (1,)), pa.array([1.5]), "the column is a category of texts"),
        (Column("a", "number"), pa.array([[1]]), "values of type list"),
    ]:
        with pytest.raises(ValueError, match=words):
            unreadable(pa.table({"a": values}), [column])
