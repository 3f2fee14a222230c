"""Tables as people have them: one encoding whatever they come from, and every mistake by the useful words."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad.io import sources
from tollad.tables.columns import MAX_LEVELS, Column, decode, describe, encode, encoding, fit_columns, to_arrow, typed

UTC = dt.UTC
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


# One encoding, whatever a table comes from

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
        "csv": sources.read_table(sources.open_table(path)).table,
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


# Numbers


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
        (pa.array([2**63], pa.uint64()), [2.0**63]),
    ],
)
def test_numbers(values, numbers):
    column = fit_one(values)
    assert column == Column("x", "number")
    np.testing.assert_array_equal(encode(table(x=values), [column])[:, 0], numbers)


@pytest.mark.parametrize("word", [*sources.MISSING, "  ", " ? "])
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


# Categories


def test_levels_are_ordered_by_count_then_name():
    column = fit_one(["b", "a", None, "c", "c ", None, None])
    assert (column.levels, column.counts) == ((None, "c", "a", "b"), (3, 2, 1, 1))
    assert names(column) == ["x=(missing)", "x=c", "x=a", "x=b", "x=(other)"]
    assert encode_one(column, ["a", None, "d"]) == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_no_training_row_is_other():
    values = ["a", "b", "a"]
    column = fit_one(values)
    assert [row[-1] for row in encode_one(column, values)] == [0, 0, 0]
    assert [row[-1] for row in encode_one(column, ["c", None, "A"])] == [1, 1, 1]


def test_one_category_is_allowed():
    column = fit_one(["a"] * 30)
    assert describe([column]) == ["x: category, 1 level one-hot"]
    assert encode_one(column, ["a", "b"]) == [[1, 0], [0, 1]]


def test_many_levels_become_their_rarity():
    values = [f"s{i:02}" for i in range(MAX_LEVELS)] + ["s00"]
    np.testing.assert_array_equal(encode_one(fit_one(values), values[:-1]), np.eye(MAX_LEVELS, MAX_LEVELS + 1))
    values += [None, "s01", "s00"]
    column, n = fit_one(values), len(values)
    assert (names(column), encoding([column]).indicator.tolist()) == (["x: rarity"], [False])
    assert describe([column]) == [f"x: category, {MAX_LEVELS + 1} levels by rarity"]
    expected = [-math.log(count / (n + MAX_LEVELS + 1)) for count in (4, 3, 2, 2, 1)]
    np.testing.assert_allclose(np.ravel(encode_one(column, ["s00", "s01", "s02", None, "new"])), expected)


# Dates


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


def test_all_missing_rows_of_any_type_can_be_scored():
    columns = fit_columns(table(n=[1], c=["a"], d=[DAY]))
    assert not any(isinstance(name, float) for name in encoding(columns).names)
    for nothing in (pa.nulls(2), pa.array([math.nan] * 2), pa.array(["", "NA"])):
        np.testing.assert_array_equal(
            encode(table(n=nothing, c=nothing, d=nothing), columns), [[math.nan, 0, 1, 0, 1]] * 2
        )


# Kinds by name


def test_dropped_columns_are_kept_in_mind_and_need_not_be_there():
    columns = fit_columns(table(id=[[1], [2]], x=[1, 2]), {"id": "drop"})
    assert describe(columns) == ["id: drop", "x: number"]
    assert encoding(columns).origin.tolist() == [1]
    assert encode(table(id=["any"], x=[3]), columns).tolist() == encode(table(x=[3]), columns).tolist() == [[3]]


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


def test_unknown_names_and_kinds():
    with fails("'aeg'", "'age'"):
        fit_columns(table(age=[1], x=[1]), {"aeg": "number"})
    with fails("'zzz'", "'age', 'x'"):
        fit_columns(table(age=[1], x=[1]), {"zzz": "number"})
    with fails("column 'age'", "'text'", "'number', 'category', 'date', 'drop'"):
        fit_columns(table(age=[1]), {"age": "text"})


# Nothing silently wrong


@pytest.mark.parametrize(
    ("values", "row", "shown", "kind"),
    [
        ([*map(str, range(19)), "3O"], 19, "'3O'", "number"),
        ([None, "?", "x1", *["1"] * 40, "x2"], 2, "'x1'", "number"),
        ([f"{i},5" for i in range(20)], 0, "'0,5'", "number"),
        ([f"{i} %" for i in range(20)], 0, "'0 %'", "number"),
        ([*map(str, range(40)), "1,234.5", "12 %"], 40, "'1,234.5'", "number"),
        ([*["2021-03-01"] * 30, "unknown"], 30, "'unknown'", "date"),
        ([*["2021-03-01 10:00+02:00"] * 30, "2021-03-01 25:00"], 30, "'2021-03-01 25:00'", "date"),
        (["12/31/2020"] * 20, 0, "'12/31/2020'", "date"),
        (["2021-03-01", "1.2.2021 10:00"] * 10, 1, "'1.2.2021 10:00'", "date"),
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
    remedies = ("correct it", "columns={'x': 'category'}", "--column x=category", "--column x=drop")
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


def test_an_identifier_is_no_category():
    values = [f"id{i}" for i in range(20)]
    for column in (values, [*values, None]):
        with fails("column 'x'", "identifier", "columns={'x': 'drop'}", "--column x=drop"):
            fit_one(column)
    assert fit_one([*values, "id0"]).kind == fit_one(values[:19]).kind == "category"


def test_remedies_are_quoted_for_the_shell():
    with fails("--column 'my column=drop'"):
        fit_columns(pa.table({"my column": pa.nulls(2)}))


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


@settings(max_examples=25)
@given(tables())
def test_typed_rows_are_the_same_rows(original: pa.Table):
    """From text as well as from a frame; and what was understood is understood again."""
    columns = fit_columns(original)
    text = pa.table({name: original[name].cast(pa.string()) for name in reversed(original.column_names)})
    for table_ in (original, text):
        rows = typed(table_, columns)
        assert rows.column_names == original.column_names
        assert [str(type_) for type_ in rows.schema.types] == [
            *["double"] * 4, "large_string", *["timestamp[us]"] * 2
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
        "3: number",
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
    block = sources.read_table(sources.open_table(path))
    columns = fit_columns(block.table, where=block.where)
    assert columns == fit_columns(to_arrow(frame))
    np.testing.assert_array_equal(encode(block.table, columns), encode(to_arrow(frame), columns))
