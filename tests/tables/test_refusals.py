"""What is refused, or warned of, and by which words: values, columns and tables."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from columns import DAY, encode_one, fails, fit_one, names, table
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad.tables.encode import encode
from tollad.tables.frames import to_arrow
from tollad.tables.schema import MAX_LEVELS
from tollad.tables.survey import fit_columns


def test_a_kind_given_by_name_is_enforced():
    with fails("row 1, column 'x': 'a'", "number"):
        fit_one(["1", "a"], "number")
    with fails("row 0, column 'x': 'a'", "date"):
        fit_one(["a"], "date")
    with fails("row 0, column 'x': '2021-03-01'", "number"):
        fit_one([DAY], "number")
    with fails("row 0, column 'x': '20210301'", "date"):
        fit_one([20210301], "date")
    with fails("column 'x'", "date32", "into text"):
        fit_one([DAY], "category")
    assert len(fit_one([f"s{i}" for i in range(50)], "category").levels) == 50


@pytest.mark.parametrize("values", [["1.5", "TRUE", "2.5"], ["TRUE", "false", "7"], ["0", "TRUE", "-1e3"]])
def test_true_and_false_among_other_numbers_are_no_numbers(values):
    """They may be read as 1 and 0 beside these only, or where it is asked for."""
    with fails(f"row {values.index('TRUE')}, column 'x': 'TRUE' is not a number", "category"):
        fit_one(values)
    assert fit_one(values, "number").kind == "number"
    assert fit_one(["1", "TRUE", None, "0.0", "false"]).kind == "number"


def test_unknown_names_and_kinds():
    with fails("'aeg'", "'age'"):
        fit_columns(table(age=[1], x=[1]), {"aeg": "number"})
    with fails("'zzz'", "'age', 'x'"):
        fit_columns(table(age=[1], x=[1]), {"zzz": "number"})
    with fails("column 'age'", "'text'", "'number', 'category', 'date', 'drop'"):
        fit_columns(table(age=[1]), {"age": "text"})


@pytest.mark.parametrize(
    ("values", "row", "shown", "kind"),
    [
        ([*map(str, range(19)), "3O"], 19, "'3O'", "number"),
        ([None, "?", "x1", *["1"] * 40, "x2"], 2, "'x1'", "number"),
        ([*map(str, range(40)), "1,234.5", "12 %"], 40, "'1,234.5'", "number"),
        ([*["2021-03-01"] * 30, "unknown"], 30, "'unknown'", "date"),
        ([*["2021-03-01 10:00+02:00"] * 30, "2021-03-01 25:00"], 30, "'2021-03-01 25:00'", "date"),
        ([*["2021-03-01"] * 30, "1.2.2021 10:00"], 30, "'1.2.2021 10:00'", "date"),
        (["2021-03-01", "2023-02-30"], 1, "'2023-02-30'", "date"),
        (["ERR"] * 30 + [str(i / 7) for i in range(33)], 0, "'ERR'", "number"),
        (
            [*(str(dt.date(2020, 1, 1) + i * dt.timedelta(1)) for i in range(40)), *["?", "soon"] * 9],
            41,
            "'soon'",
            "date",
        ),
    ],
)
def test_a_column_nearly_of_one_kind_is_no_category(values, row, shown, kind):
    remedies = ("correct ", "columns={'x': 'category'}", "columns={'x': 'drop'}")
    with fails(f"row {row}, column 'x': {shown}", kind, *remedies):
        fit_one(values)
    with fails(f"line {row + 2}, column 'x'"):
        fit_columns(table(x=values), where=lambda row: f"line {row + 2}")
    assert fit_one(values, "category").kind == "category"


WRITTEN = r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"


@settings(max_examples=50)
@given(
    st.lists(st.text() | st.from_regex(WRITTEN, fullmatch=True) | st.sampled_from(["1e999", "NAN", "-nan", "inf", "+"]))
)
def test_any_text_is_encoded_or_refused_in_one_line(values: list[str]):
    column, problem = None, None
    try:
        column = fit_one(pa.array(values, pa.string()))
    except ValueError as error:
        problem = error
    if column is None:
        assert type(problem) is ValueError
        assert "\n" not in str(problem)
        return
    matrix = encode(table(x=values), [column])
    assert matrix.shape == (len(values), len(names(column)))
    assert not np.isinf(matrix).any()
    assert column.kind == "number" or not np.isnan(matrix).any()
    assert column.kind != "category" or not matrix[:, -1].any() or len(column.levels) > MAX_LEVELS


@pytest.mark.parametrize(
    "values",
    [
        [*map(str, range(18)), "a"],  # too few to judge
        [*["1"] * 18, "a", "b"],  # nine tenths
        [*["true"] * 40, "unknown"],
        ["192.168.0.1", "10.0.0.1"] * 20,
        ["1.2.3", "1.2.4"] * 20,
        ["1-2", "3-4"] * 20,
        [*["1"] * 10, *["2021-03-01"] * 10],
        ["none"] * 30 + [str(i) for i in range(32)],  # as many codes as levels can be
        ["none"] * 34 + [str(i) for i in range(33)],  # fewer than half
    ],
)
def test_other_columns_of_text_are_categories(values):
    assert fit_one(values).kind == "category"


def test_all_texts_that_are_no_numbers_are_named_at_once():
    values = [*map(str, range(60)), "#DIV/0!", "#REF!", "#DIV/0!"]
    with fails(
        "row 60, column 'x': '#DIV/0!' is not a number",
        "nor is '#REF!'; correct them, or mark them as missing with pandas.read_csv(na_values=['#DIV/0!', '#REF!'])",
    ):
        fit_one(values)
    with fails("nor are 20 other texts; correct them, or mark them as missing, or make"):
        fit_one([*map(str, range(600)), *(f"x{k}" for k in range(21))])


def test_categories_that_differ_in_case_only_are_warned_of():
    with pytest.warns(UserWarning, match="column 'x' holds 'Bonn' and 'BONN', which differ only in upper and lower"):
        assert len(fit_one(["Bonn", "BONN", "Oslo"] * 20).levels) == 3


@pytest.mark.parametrize("other", ["O\u200bslo", "\u2060Oslo", "Oslo\u00ad", "Oslo\ufeff"])
def test_categories_that_look_alike_are_warned_of(other):
    with pytest.warns(UserWarning, match=r"which differ only in .* or in invisible characters"):
        assert len(fit_one(["Bonn", "Oslo", other] * 20).levels) == 3


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "9999-12-31 23:59:59"])
def test_a_date_that_stands_for_none_is_named(day):
    values = [*["2024-03-01"] * 40, day]
    with fails(f"row 40, column 'x': '{day}' is so far off", f"pandas.read_csv(na_values=['{day}'])", "'date'"):
        fit_one(values)
    assert fit_one(values, "date").kind == "date"


def test_an_identifier_is_no_category():
    values = [f"id{i}" for i in range(20)]
    for column in (values, [*values, None]):
        with fails("column 'x'", "identifier", "columns={'x': 'drop'}"):
            fit_one(column)
    with fails("nearly every row (20 of 22 are distinct)", "identifier"):
        fit_one([*values, "id0", "id0"])
    assert fit_one([*values, "id0", "id0", "id0"]).kind == fit_one(values[:19]).kind == "category"


def test_all_columns_that_cannot_be_learnt_from_are_named_at_once():
    values = [f"id{i}" for i in range(20)]
    with pytest.raises(
        ValueError, match=r"^3 columns .*columns=\{'a': 'drop', 'b': 'drop', 'd': 'drop'\}\n- column 'a'"
    ):
        fit_columns(table(a=values, b=pa.nulls(20), c=[1, 2] * 10, d=[[1]] * 20))


@pytest.mark.parametrize(
    ("learnt", "given", "words"),
    [
        ([1, 2], ["1", "x"], ("row 1, column 'x': 'x'", "number")),
        ([1, 2], [None, DAY], ("row 1, column 'x': '2021-03-01'", "number")),
        (["1", "2"], ["1", None, "1,5"], ("row 2, column 'x': '1,5'", "number")),
        ([True, False], ["yes"], ("row 0, column 'x': 'yes'", "number")),
        ([DAY], ["2023-02-28", "2023-02-30"], ("row 1, column 'x': '2023-02-30'", "date")),
        ([DAY], ["28.02.2023"], ("row 0, column 'x': '28.02.2023'", "date")),
        ([DAY], [math.nan, 5.0], ("row 1, column 'x': '5'", "date")),
        ([DAY], [dt.timedelta(1)], ("row 0, column 'x'", "date")),
        (["Bonn"], [None, 5], ("row 1, column 'x': '5' is int64", "category of texts")),
        (["Bonn"], [True], ("row 0, column 'x': 'true' is bool", "category of texts")),
        (["Bonn"], [DAY], ("row 0, column 'x': '2021-03-01' is date32", "category of texts")),
        ([1.0], [1.0, math.inf], ("row 1, column 'x'", "infinite")),
        ([1.0], ["1", "-inf"], ("row 1, column 'x'", "infinite")),
        ([1.0], ["1e999"], ("row 0, column 'x'", "infinite")),
        ([1.0], [[1.0]], ("column 'x'", "list")),
    ],
)
def test_values_of_another_kind_than_was_learnt(learnt, given, words):
    column = fit_one(learnt)
    with fails(*words):
        encode_one(column, given)


def test_a_bad_value_is_named_by_where_it_stands():
    column = fit_one([1])
    with fails("data.csv, line 902, column 'x': 'bad'"):
        encode(table(x=["1"] * 900 + ["bad", "1", "worse"]), [column], where=lambda row: f"data.csv, line {row + 2}")
    with fails("row 150, column 'x': '" + "a" * 5, "..."):
        encode(table(x=["1"] * 150 + ["a" * 500]), [column])


def test_columns_are_found_by_name():
    columns = fit_columns(table(a=[1], b=["x"], c=[2]))
    with fails("lacks", "'a', 'c'"):
        encode(table(b=["x"]), columns)
    with fails("not fitted on", "'e', 'd'"):
        encode(table(c=[2], e=[1], b=["x"], d=[1], a=[1]), columns)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (pa.nulls(3), ("column 'x'", "no value", "columns={'x': 'drop'}")),
        (pa.array(["", "NA"]), ("column 'x'", "no value")),
        (pa.array([math.nan]), ("column 'x'", "no value")),
        (pa.array([1.0, math.inf]), ("row 1, column 'x'", "infinite")),
        (pa.array(["1", "-Infinity"]), ("row 1, column 'x'", "infinite")),
        (pa.array([[1]]), ("column 'x'", "list")),
        (pa.array([{"a": 1}]), ("column 'x'", "struct")),
        (pa.array([b"a"]), ("column 'x'", "binary")),
        (pa.array([pa.MonthDayNano([1, 2, 3])]), ("column 'x'", "interval")),
        (pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([[1]])), ("column 'x'", "list")),
        (pa.array([], pa.string()), ("no row",)),
    ],
)
def test_columns_that_nothing_can_be_learnt_from(bad, words):
    with fails(*words):
        fit_one(bad)


def test_tables_that_nothing_can_be_learnt_from():
    with fails("no column is left"):
        fit_columns(table(x=[1]), {"x": "drop"})
    with fails("at least one column and one row"):
        fit_columns(to_arrow(pd.DataFrame()))
    with fails("several columns called 'a'"):
        fit_columns(to_arrow(pd.DataFrame([[1, 2]], columns=["a", "a"])))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.Series([1, "a", None], dtype=object), ("int and str",)),
        (pd.Series([1 + 1j]), ("complex128",)),
        (pd.Series([10**30], dtype=object), ("int", "too large")),
        (pl.Series([1], dtype=pl.Int128), ("Int128",)),
    ],
)
def test_columns_that_mix_types_or_have_strange_ones(values, words):
    frame = pl.DataFrame({"x": values}) if isinstance(values, pl.Series) else pd.DataFrame({"x": values})
    with fails("column 'x'", *words):
        to_arrow(frame)


@pytest.mark.parametrize(
    ("texts", "what"),
    [(("mm", "kg"), "seems to hold units or names"), (("a", "b"), "repeats the names of the columns")],
)
def test_a_line_that_is_no_row_is_named_as_one(texts, what):
    numbers = [f"{k}.5" for k in range(30)]
    columns = {"a": [*numbers, texts[0]], "b": [*numbers, texts[1]], "c": ["x", "y", "z"] * 10 + ["c"]}
    with fails(f"row 30: '{texts[0]}' in column 'a', '{texts[1]}' in column 'b' are no numbers", what, "remove it"):
        fit_columns(table(**columns))
    nameless = {{"b": "Unnamed: 2"}.get(name, name): texts for name, texts in columns.items()}
    with fails("seems to hold the names of the columns, so remove what stands above it"):
        fit_columns(table(**nameless))
    columns["a"] = ["?!", *numbers]  # a slip of its own
    with pytest.raises(ValueError, match=r"^2 columns cannot .*\n- row 0, column 'a': '\?!'.*\n- row 30, column 'b'"):
        fit_columns(table(**columns))
