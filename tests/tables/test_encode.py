"""One encoding whatever a table comes from."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from columns import DAY, encode_one, fails, fit_one, names, table, tables
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad.io.sources import open_table, read_table
from tollad.tables.decode import typed
from tollad.tables.encode import encode
from tollad.tables.frames import to_arrow
from tollad.tables.schema import AS_WRITTEN, MAX_LEVELS, MISSING, Column, describe, encoding
from tollad.tables.survey import fit_columns


@settings(max_examples=25)
@given(tables())
def test_frames_tables_and_text_are_encoded_alike(tmp_path_factory: pytest.TempPathFactory, original: pa.Table):
    frame, path = original.to_pandas(), tmp_path_factory.mktemp("rows") / "rows.csv"
    frame.to_csv(path, index=False)
    forms = {
        "pandas": frame,
        "pandas of Arrow": original.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.from_arrow(original),
        "batch": original.combine_chunks().to_batches()[0],
        "csv": read_table(open_table(path)).table,
        "dictionary": original.set_column(4, "text", original["text"].dictionary_encode()),
    }
    columns = fit_columns(original)
    assert [column.kind for column in columns] == ["number", "number", "number", "number", "category", "date", "date"]
    matrix, text = encode(original, columns), json.dumps([column.to_json() for column in columns])
    assert matrix.shape == (len(original), len(encoding(columns).names))
    for form, X in forms.items():
        arrow = to_arrow(X)
        assert json.dumps([column.to_json() for column in fit_columns(arrow)]) == text, form
        np.testing.assert_array_equal(encode(arrow, columns), matrix, err_msg=form)


@settings(max_examples=25)
@given(tables(), st.randoms(use_true_random=False))
def test_the_encoding_of_a_row_depends_on_nothing_else(original: pa.Table, random):
    columns = fit_columns(original)
    matrix = encode(original, columns)
    restored = [Column.from_json(record) for record in json.loads(json.dumps([c.to_json() for c in columns]))]
    assert restored == columns
    order = random.sample(range(len(original)), len(original))
    shuffled = original.take(order).select(random.sample(original.column_names, original.num_columns))
    np.testing.assert_array_equal(encode(shuffled, restored), matrix[order])
    for row in range(len(original)):
        np.testing.assert_array_equal(encode(original.slice(row, 1), columns), matrix[row : row + 1])
    assert encode(original.slice(0, 0), columns).shape == (0, matrix.shape[1])


@settings(max_examples=25)
@given(tables())
def test_the_layout_says_what_each_column_of_the_matrix_is(original: pa.Table):
    columns = fit_columns(original, {"int": "drop"})
    layout, matrix = encoding(columns), encode(original, columns)
    assert len(layout.names) == len(layout.origin) == len(layout.indicator) == matrix.shape[1]
    assert set(layout.origin.tolist()) == {0, 2, 3, 4, 5, 6}
    assert np.all(np.diff(layout.origin) >= 0)
    assert np.isin(matrix[:, layout.indicator], (0, 1)).all()
    assert all(name.startswith(columns[i].name) for name, i in zip(layout.names, layout.origin, strict=True))
    assert all(name.endswith("(missing)") or "=" in name for name in np.array(layout.names)[layout.indicator])
    assert len(describe(columns)) == len(columns)


def test_other_things_are_no_frames():
    others = (
        [[1.0]],
        np.eye(2),
        pd.Series([1]),
        pl.Series([1]),
        pl.LazyFrame({"x": [1]}),
        pa.array([1]),
        None,
        {"x": [1]},
    )
    assert [to_arrow(X) for X in others] == [None] * len(others)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1", " +2.5", "1e3", ".5", "3."], [1, 2.5, 1000, 0.5, 3]),
        (["True", "false", "TRUE", " 1"], [1, 0, 1, 1]),
        ([True, None, False], [1, math.nan, 0]),
        ([Decimal("1.50"), None], [1.5, math.nan]),
        (pa.array([1.5, math.nan], pa.float32()), [1.5, math.nan]),
        ([dt.time(1, 0, 0, 500000), None], [3600.5, math.nan]),
        (pa.array([90], pa.time32("s")), [90]),
        (pa.array([1_500_000_000], pa.time64("ns")), [1.5]),
        ([dt.timedelta(days=-1, microseconds=1), None], [-86399.999999, math.nan]),
    ],
)
def test_numbers(values, numbers):
    column = fit_one(values)
    assert (column.name, column.kind) == ("x", "number")
    np.testing.assert_array_equal(encode(table(x=values), [column])[:, 0], numbers)


@pytest.mark.parametrize("word", [*MISSING, "  ", " ? "])
def test_words_for_missing_values(word):
    assert fit_one(["1", word]).kind == "number"
    assert fit_one(["2020-01-01", word]).kind == "date"
    assert fit_one(["Bonn", word]).levels == ("Bonn", None)


def test_codes_of_digits_are_categories_when_asked():
    column = fit_one(["007", "7", "007"], "category")
    assert (column.levels, column.counts) == (("007", "7"), (2, 1))


@pytest.mark.parametrize(
    ("values", "levels"),
    [([3, 1, 3], ("3", "1")), (["3", "1", "3"], ("3", "1")), ([True, False, True], ("true", "false"))],
)
def test_what_has_the_type_of_a_category_is_one(values, levels):
    plain = pa.array(values)
    column = fit_one(plain.dictionary_encode())
    assert (column.kind, column.levels, column.counts) == ("category", levels, (2, 1))
    for later in (plain.dictionary_encode(), plain):
        assert encode(table(x=later), [column]).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    "values", [[1, 2, 2], [1.0, 2.0, 2.0], ["1", "2", "2"], pa.array(["1", "2", "2"]).dictionary_encode()]
)
def test_numbers_as_categories_are_the_same_from_every_type(values):
    column = fit_one(values, "category")
    assert (column.levels, column.counts) == (("2", "1"), (2, 1))
    for others in ([1, 2, 3, None], [1.0, 2.0, 1.5, math.nan], [" 1", "2", "3", "?"]):
        assert encode_one(column, others) == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("values", [[True, False, True], ["True", "FALSE", "true"]])
def test_booleans_as_categories(values):
    column = fit_one(values, "category")
    assert column.levels == ("true", "false")
    assert encode_one(column, [False]) == encode_one(column, ["False"]) == [[0, 1, 0]]


def test_levels_are_ordered_by_count_then_name():
    column = fit_one(["b", "a", None, "c", "c ", None, None])
    assert (column.levels, column.counts) == ((None, "c", "a", "b"), (3, 2, 1, 1))
    assert names(column) == ["x=(missing)", "x=c", "x=a", "x=b", "x=(other)"]
    assert encode_one(column, ["a", None, "d"]) == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_no_training_row_is_other():
    values = ["a", "b", "a"]
    column = fit_one(values)
    assert [row[-1] for row in encode_one(column, values)] == [0, 0, 0]
    assert [row[-1] for row in encode_one(column, ["c", None, "d"])] == [1, 1, 1]


def test_one_category_is_allowed():
    column = fit_one(["a"] * 30)
    assert describe([column]) == ["x: category, 1 level one-hot"]
    assert encode_one(column, ["a", "b"]) == [[1, 0], [0, 1]]


def test_many_levels_become_their_rarity():
    values = [f"s{i:02}" for i in range(MAX_LEVELS)] + ["s00"] * 5
    np.testing.assert_array_equal(encode_one(fit_one(values), values[:-5]), np.eye(MAX_LEVELS, MAX_LEVELS + 1))
    values += [None, "s01", "s00", *["s03"] * 4]
    column, n = fit_one(values), len(values)
    assert (names(column), encoding([column]).indicator.tolist()) == (["x: rarity"], [False])
    assert describe([column]) == [f"x: category, {MAX_LEVELS + 1} levels by rarity"]
    expected = [-math.log(count / (n + MAX_LEVELS + 1)) for count in (8, 3, 1, 1, 1)]
    np.testing.assert_allclose(np.ravel(encode_one(column, ["s00", "s01", "s02", None, "new"])), expected)


def test_all_missing_rows_of_any_type_can_be_scored():
    columns = fit_columns(table(n=[1], c=["a"], d=[DAY]))
    assert not any(isinstance(name, float) for name in encoding(columns).names)
    for nothing in (pa.nulls(2), pa.array([math.nan] * 2), pa.array(["", "NA"])):
        np.testing.assert_array_equal(
            encode(table(n=nothing, c=nothing, d=nothing), columns), [[math.nan, 0, 1, 0, 1]] * 2
        )


def test_dropped_columns_are_kept_in_mind_and_need_not_be_there():
    columns = fit_columns(table(id=[[1], [2]], x=[1, 2]), {"id": "drop"})
    assert describe(columns) == ["id: drop", "x: number"]
    assert encoding(columns).origin.tolist() == [1]
    assert encode(table(id=["any"], x=[3]), columns).tolist() == encode(table(x=[3]), columns).tolist() == [[3]]


@settings(max_examples=25)
@given(tables())
def test_typed_rows_are_the_same_rows(original: pa.Table):
    """From text and from a frame; to type typed rows again changes nothing."""
    columns = fit_columns(original)
    text = pa.table({name: original[name].cast(pa.string()) for name in reversed(original.column_names)})
    for table_ in (original, text):
        rows = typed(table_, columns)
        assert rows.column_names == original.column_names
        assert [str(type_) for type_ in rows.schema.types] == [
            *["double"] * 3, "bool", "large_string", *["timestamp[us]"] * 2
        ]  # fmt: skip
        assert fit_columns(rows) == columns
        np.testing.assert_array_equal(encode(rows, columns), encode(original, columns))
        assert typed(rows, columns).equals(rows)


def test_types_do_not_depend_on_the_rows():
    columns = fit_columns(table(n=[1], c=["a"], d=[DAY], x=[[1]]), {"x": "drop"})
    nothing = pa.nulls(1)
    for rows in (table(n=["?"], c=[""], d=["NA"]), table(d=nothing, c=nothing, n=nothing, x=nothing)):
        types = typed(rows, columns).schema.types
        assert [str(type_) for type_ in types] == ["double", "large_string", "timestamp[us]", "null"]
    with fails("file.csv, line 2, column 'n': 'no'", "correct it, or mark it as missing"):
        typed(table(n=["no"], c=["a"], d=["2021-03-01"]), columns, where=lambda row: f"file.csv, line {row + 2}")


@pytest.mark.filterwarnings("ignore:1 row has no value at all")
def test_types_of_frames():
    polars = pl.DataFrame({"c": ["a", "b"], "e": ["a", None]}, schema={"c": pl.Categorical, "e": pl.Enum(["a"])})
    assert [column.levels for column in fit_columns(to_arrow(polars))] == [("a", "b"), ("a", None)]
    pandas = pd.DataFrame(
        {
            0: pd.Series(["a", None], dtype="category"),
            1: pd.Series([1, None], dtype="Int64"),
            2: pd.Series(["a", math.nan], dtype=object),
            3: pd.to_timedelta([1, None], unit="h"),
        }
    ).set_index(pd.Index([7, 7]))
    columns = fit_columns(to_arrow(pandas))
    assert describe(columns) == [
        "0: category, 2 levels one-hot",
        "1: number",
        "2: category, 2 levels one-hot",
        "3: number, durations in seconds",
    ]
    np.testing.assert_array_equal(
        encode(to_arrow(pandas), columns), [[1, 0, 0, 1, 1, 0, 0, 3600], [0, 1, 0, math.nan, 0, 1, 0, math.nan]]
    )


def test_a_file_of_text_is_read_as_the_frame_that_wrote_it(tmp_path: Path):
    frame = pd.DataFrame(
        {"when": pd.date_range("2020-01-01", periods=60, freq="9h", tz="Europe/Berlin"), "ok": [True, None, False] * 20}
    )
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    block = read_table(open_table(path))
    columns = fit_columns(block.table, where=block.where)
    assert (columns[0].zone, columns[0].offsets) == (AS_WRITTEN, (60, 60))
    assert replace(columns[0], zone="Europe/Berlin", offsets=()) == fit_columns(to_arrow(frame))[0]
    np.testing.assert_array_equal(encode(block.table, columns), encode(to_arrow(frame), columns))


@pytest.mark.parametrize("written", ["Ko\u0308ln", " K\u00f6ln\u00a0", "\u2003Ko\u0308ln"])
def test_text_that_looks_the_same_is_the_same_level(written):
    """Accents may be characters of their own, and spaces need not be those of ASCII."""
    columns = fit_columns(table(city=["K\u00f6ln", "Bonn"] * 5))
    assert encode(table(city=[written]), columns).tolist() == encode(table(city=["K\u00f6ln"]), columns).tolist()
    older = [replace(columns[0], levels=("Ko\u0308ln", "Bonn"))]
    assert encode(table(city=[written]), older)[0, 0] == 1


@pytest.mark.parametrize(("learnt", "given"), [("Oslo", "OSLO"), ("Oslo", "O\u200bslo"), ("1", "1.0"), ("7", "007")])
def test_a_new_level_that_a_person_takes_for_a_known_one_is_warned_of(learnt, given):
    column = Column("city", "category", ("Bonn", learnt), (2, 1))
    with pytest.warns(UserWarning, match=re.escape(f"holds {given!r}, which no training row has, though")):
        assert encode(pa.table({"city": [given, "Rome"]}), [column]).tolist() == [[0, 0, 1]] * 2


@pytest.mark.parametrize("levels", [("Bonn", "05", "7.50"), ("05", "7.50", *map(str, range(100, 150)))])
@pytest.mark.parametrize("given", [[5, 7.5], [Decimal("5.00"), Decimal("7.5")]])
def test_a_number_is_the_level_of_its_value(levels, given):
    """As text and as a number: pandas makes 5 of the codes 05 of a file, and 5.0 if some are missing."""
    column = Column("code", "category", levels, (3,) * len(levels))
    expected = encode(pa.table({"code": ["05", "7.50"]}), [column])
    assert encode(pa.table({"code": given}), [column]).tolist() == expected.tolist()
    twice = Column("code", "category", ("5", "05"), (3, 3))
    assert encode(pa.table({"code": [5.0]}), [twice]).tolist() == [[1, 0, 0]]


def test_a_new_spelling_of_one_of_many_levels_is_warned_of():
    column = Column("shop", "category", tuple(map(str, range(40))), (3,) * 40)
    with pytest.warns(UserWarning, match=r"holds '5\.0', which no training row has, though some have '5'"):
        encode(pa.table({"shop": ["5.0"]}), [column])
