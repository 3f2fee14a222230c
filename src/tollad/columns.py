"""Columns: tables as people have them, as one matrix of numbers, decided column by column on the training rows.

A number stays as it is. A category becomes one indicator a level or, when it has many, the rarity of its value. A date
becomes days and the cycles it shows. What was decided is kept as plain constants, so that the same table gives the same
matrix whether it comes as a pandas or polars frame, as an Arrow table, or as a file of text.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import reprlib
import shlex
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.sources import MISSING

Kind: TypeAlias = Literal["number", "category", "date", "drop"]
Where: TypeAlias = Callable[[int], str]

# With more levels than this a category is one column of rarities.
MAX_LEVELS = 32
_FIRST_DAY, _LAST_DAY = -700_000, 2_900_000  # the years 1 to 9999, which a calendar can show

# From so many values on, a column nearly all of one kind is taken for that kind with slips, and one of nothing but
# distinct texts for an identifier. Fewer values may look so by chance.
_ENOUGH = 20
_NEARLY = 0.95
# With more distinct numbers than a category can have levels, a smaller share of them is enough: codes repeat.
_MOSTLY = 0.5

_TEXT = pa.large_string()
# In days. A year is the calendar's average, so that the phase of a date is true to a day or two.
_CYCLES = {"hour": 1.0, "weekday": 7.0, "day of year": 365.2425}

# What is read as each kind of value; and what people write for it, too, but cannot be read without a guess: decimal
# commas, thousands separators, per cent, and day and month in an order that nobody tells.
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_DATE = r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
_READ = {"number": rf"^({_NUMBER}|[+-]?(?i:inf|infinity)|(?i:true|false))$", "date": rf"^{_DATE}$"}
_WRITTEN = {
    "number": rf"^({_NUMBER}|[+-]?[0-9][0-9.,]*(,[0-9]+(\.[0-9]+)?| ?%))$",
    "date": rf"^({_DATE}|([0-9]{{1,2}}[-/.]){{2}}[0-9]{{4}}( .*)?|[0-9]{{4}}([-/.][0-9]{{1,2}}){{2}}([T ].*)?)$",
}
_LIKE = {"number": "number like 1234.5", "date": "date like 2024-12-31 or 2024-12-31 17:30:00"}


@dataclass(frozen=True)
class Column:
    """What was learnt of a column, as plain constants.

    Attributes
    ----------
    levels, counts : tuple of str or None, tuple of int
        Of a category: the values among the training rows, the most frequent first and equally frequent ones by name,
        and how many rows have each. None is a missing value, a level like any other.
    first, median, last : float
        Of a date: among the training values, in days since 1970-01-01 UTC.
    cycles : tuple of {"hour", "weekday", "day of year"}
        Of a date: those that the training values show, by a time other than midnight, or a span of a week or a year.
    """

    name: str
    kind: Kind
    levels: tuple[str | None, ...] = ()
    counts: tuple[int, ...] = ()
    first: float = 0.0
    median: float = 0.0
    last: float = 0.0
    cycles: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the constants as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the column whose constants these are: the way back from `to_json`."""
        constants: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
        return cls(**constants)


@dataclass(frozen=True)
class Encoding:
    """What the m columns of an encoded matrix are.

    Attributes
    ----------
    names : tuple of m str
        Such as ``age``, ``city=Paris``, ``city=(other)``, ``street: rarity``, ``when: trend``, ``when: hour sin``.
    origin : ndarray of int64, (m,)
        Number of the `Column` that each is made of.
    indicator : ndarray of bool, (m,)
        Which hold nothing but 0 and 1.
    """

    names: tuple[str, ...]
    origin: NDArray[np.int64]
    indicator: NDArray[np.bool_]


def to_arrow(X: Any) -> pa.Table | None:
    """Return a pandas or polars frame, an Arrow table or a record batch as an Arrow table; None for anything else.

    The index of a pandas frame is left out; names become text. ValueError for a column that mixes types or has one that
    Arrow lacks.
    """
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if not (hasattr(X, "iloc") or hasattr(X, "to_arrow")) or not hasattr(X, "columns"):
        return None
    series = [X.iloc[:, j] for j in range(X.shape[1])] if hasattr(X, "iloc") else X.get_columns()
    names = [str(name) for name in X.columns]
    return pa.table([_to_array(*named) for named in zip(names, series, strict=True)], names=names)


def fit_columns(
    table: pa.Table, kinds: Mapping[str, str] | None = None, *, where: Where = "row {}".format
) -> list[Column]:
    """Decide what each column is, and learn its constants.

    Numbers, booleans, durations and times of day (in seconds) are numbers; dates and timestamps are dates. Text is what
    all its values are: numbers (or true and false), dates as in ISO 8601, else categories. Outer spaces do not count,
    the words of `tollad.sources.MISSING` are missing values, and a date without a time zone is taken for UTC.

    Text that is mostly numbers, or mostly dates, but not all, is refused and not guessed: it is more likely a column of
    numbers with a slip than a category. "Mostly" is 95 % of its values, of which there are 20 or more; or half of them,
    if the numbers are more than `MAX_LEVELS` different ones, for codes repeat.

    Parameters
    ----------
    table : pyarrow.Table
        Training rows.
    kinds : mapping of str to {"number", "category", "date", "drop"}, optional
        What columns are, by name, whatever they look like: codes made of digits are categories, say.
    where : callable, optional
        Says where a row, counted from 0, stands; for messages.

    Returns
    -------
    list of Column
        In the order of the table; those dropped are among them.

    Raises
    ------
    ValueError
        For a table without rows or columns, names that are not distinct, unknown names or kinds in `kinds`, a column
        without a value or of nested values, infinite numbers, a text column most of whose values are numbers or dates,
        and one of 20 values or more that are all different texts.

    Examples
    --------
    >>> table = pa.table({"age": ["31", "?", "4.5"], "city": ["Bonn", "Oslo", "Bonn"]})
    >>> columns = fit_columns(table)
    >>> describe(columns)
    ['age: number', 'city: category, 2 levels one-hot']
    >>> encoding(columns).names
    ('age', 'city=Bonn', 'city=Oslo', 'city=(other)')
    >>> encode(pa.table({"age": [40, 50], "city": ["Oslo", "Rome"]}), columns).tolist()
    [[40.0, 0.0, 1.0, 0.0], [50.0, 0.0, 0.0, 1.0]]
    """
    by_name, kinds = _by_name(table), kinds or {}
    for name, kind in kinds.items():
        if name not in by_name:
            similar = difflib.get_close_matches(str(name), by_name) or list(by_name)[:10]
            raise ValueError(f"a kind is given for column {name!r}, which is not there; there is {_listed(similar)}")
        if kind not in get_args(Kind):
            raise ValueError(f"column {name!r}: {kind!r} is no kind of column; the kinds are {_listed(get_args(Kind))}")
    if not table.num_rows or all(kinds.get(name) == "drop" for name in by_name):
        lacking = "no column is left" if table.num_rows else "the table has no row"
        raise ValueError(f"{lacking} to learn from; give at least one column and one row")
    return [_fit_column(name, column, kinds.get(name), where) for name, column in by_name.items()]


def encode(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> NDArray[np.float64]:
    """Return rows as numbers: (n, m), the m columns as `encoding` says.

    A number is itself, NaN where missing. A category is 1 in the column of its level, or in "(other)" if no training
    row had it; with more than `MAX_LEVELS` levels it is ``-log((count + 1) / (n_training_rows + n_levels))``. A date is
    the days since the median, sine and cosine of each cycle, and whether it is missing; if so, all others are 0.

    Parameters
    ----------
    table : pyarrow.Table
        Any number of rows, the columns in any order. Dropped columns may be there or not.
    columns : sequence of Column
        From `fit_columns`.
    where : callable, optional
        As in `fit_columns`.

    Raises
    ------
    ValueError
        For missing or additional columns, infinite numbers, and values of another kind than was learnt.
    """
    by_name = _known(table, columns)
    widths = [len(_outputs(column)) for column in columns]
    matrix = np.zeros((table.num_rows, sum(widths)))
    for column, width, end in zip(columns, widths, np.cumsum(widths), strict=True):
        if column.kind != "drop":
            _fill(matrix[:, end - width : end], column, _read_as(column, by_name[column.name], where))
    return matrix


def typed(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> pa.Table:
    """Return rows as they were understood, in one type a kind: numbers, timestamps in UTC, and text for categories.

    `fit_columns` and `encode` make the same of the result as of the table, but have nothing left to read or to refuse.

    Parameters
    ----------
    table, columns, where
        As in `encode`.

    Returns
    -------
    pyarrow.Table
        The columns in the order of `columns`; of those dropped no value is left.

    Raises
    ------
    ValueError
        As `encode` does.

    Examples
    --------
    >>> table = pa.table({"age": ["31", "?"], "seen": ["2024-02-29", "2024-03-01 12:00"]})
    >>> rows = typed(table, fit_columns(table))
    >>> [str(type) for type in rows.schema.types]
    ['double', 'timestamp[us]']
    """
    by_name = _known(table, columns)
    nothing = pa.nulls(table.num_rows)
    arrays = [nothing if column.kind == "drop" else _read_as(column, by_name[column.name], where) for column in columns]
    return pa.table(arrays, names=[column.name for column in columns])


def unreadable(table: pa.Table, columns: Sequence[Column]) -> dict[int, str]:
    """Return the rows that `encode` would refuse for a value, in ascending order, each with its reason.

    Parameters
    ----------
    table, columns
        As in `encode`.

    Raises
    ------
    ValueError
        As `encode` does, if no single row is at fault but the table or the type of a column.

    Examples
    --------
    >>> unreadable(pa.table({"age": ["31", "old", "?"]}), [Column("age", "number")])[1]
    "column 'age': 'old' is not a number like 1234.5, but the column is one of numbers"
    """
    by_name, found = _known(table, columns), dict[int, str]()
    for column in columns:
        if column.kind != "drop":
            # Of several reasons for one row, the first column's.
            found = _bad_values(column, by_name[column.name]) | found
    return dict(sorted(found.items()))


def _bad_values(column: Column, values: pa.ChunkedArray) -> dict[int, str]:
    """Return which values of a column `_read_as` refuses, and why."""

    def refused(rows: NDArray[np.int64]) -> ValueError | None:
        try:
            _read_as(column, values.take(pa.array(rows)), lambda row: "")
        except ValueError as error:
            return error
        return None

    rows = np.arange(len(values))
    error = refused(rows)
    if error is None:
        return {}
    values = _clean(column.name, values)
    if column.kind == "category" or _natural(values) not in ("category", "number"):
        raise error
    if values.type == _TEXT:
        looks_right = pc.match_substring_regex(values, _READ[column.kind]).fill_null(True)
    else:
        looks_right = pc.invert(pc.is_inf(values)).fill_null(True)
    # What looks wrong is mostly few texts over and over.
    suspects = np.flatnonzero(~looks_right.to_numpy())
    texts = values.take(pa.array(suspects)).to_pylist()
    first = dict(zip(reversed(texts), reversed(suspects.tolist()), strict=True))
    reasons = {text: refused(np.array([row])) for text, row in first.items()}
    found = {int(row): reasons[text] for row, text in zip(suspects, texts, strict=True)}
    # What looks right may still be the 30th of February, but seldom: halving finds it.
    waiting = [np.delete(rows, suspects)]
    while waiting:
        some = waiting.pop()
        if (error := refused(some)) is None:
            continue
        if len(some) == 1:
            found[int(some[0])] = error
        else:
            waiting += np.array_split(some, 2)
    said = {row: str(error) for row, error in found.items() if error is not None}
    return {row: text.removeprefix(", ").rpartition(";")[0] for row, text in said.items()}


def encoding(columns: Sequence[Column]) -> Encoding:
    """Return what the columns of the matrices are that `encode` makes."""
    outputs = [(number, *output) for number, column in enumerate(columns) for output in _outputs(column)]
    numbers, names, indicators = zip(*outputs, strict=True)
    return Encoding(names, np.array(numbers, np.int64), np.array(indicators, np.bool_))


def all_numbers(table: pa.Table) -> bool:
    """Whether every column is of a numeric or boolean type, so that nothing has to be decided."""
    types = pa.types
    return all(types.is_integer(t) or types.is_floating(t) or types.is_boolean(t) for t in table.schema.types)


def values_of(table: pa.Table, columns: Sequence[Column]) -> NDArray[np.object_]:
    """Return the values of a table as `typed` has them: (n, number of columns), None where missing or dropped."""
    values = np.full((table.num_rows, len(columns)), None, dtype=object)
    for number, column in enumerate(typed(table, columns).columns):
        values[:, number] = column.to_pylist()
    return values


def decode(matrix: NDArray[np.float64], columns: Sequence[Column]) -> NDArray[np.object_]:
    """Return encoded rows, or reconstructions of them, as values: (n, m) -> (n, number of columns).

    A number is itself, a category the level of the largest output (None for "(other)", and for categories of too many
    levels, of which only the rarity is known), a date its day as text.
    """
    made_of = encoding(columns).origin
    values = np.full((len(matrix), len(columns)), None, dtype=object)
    for number, column in enumerate(columns):
        outputs = matrix[:, made_of == number]
        if column.kind == "number":
            values[:, number] = outputs[:, 0]
        elif column.kind == "category" and len(column.levels) <= MAX_LEVELS:
            levels = np.array([*column.levels, None], dtype=object)
            values[:, number] = levels[outputs.argmax(1)]
        elif column.kind == "date":
            days = np.clip(outputs[:, 0] + column.median, _FIRST_DAY, _LAST_DAY)
            values[:, number] = days.astype("datetime64[D]").astype(str)
    return values


def describe(columns: Sequence[Column]) -> list[str]:
    """Return a line a column, such as ``'when: date from 2020-01-01 to 2023-05-04, trend, hour, weekday'``."""
    lines = []
    for column in columns:
        details = ""
        if column.kind == "category":
            how = "one-hot" if len(column.levels) <= MAX_LEVELS else "by rarity"
            details = f", {len(column.levels)} level{'s' * (len(column.levels) > 1)} {how}"
        elif column.kind == "date":
            first, last = (np.datetime64(int(day // 1), "D") for day in (column.first, column.last))
            details = ", ".join([f" from {first} to {last}", "trend", *column.cycles])
        lines.append(f"{column.name}: {column.kind}{details}")
    return lines


def _to_array(name: str, series: Any) -> Any:
    try:
        # from_pandas: a NaN among objects is a missing value and no float.
        return pa.array(series, from_pandas=True) if hasattr(series, "iloc") else series.to_arrow()
    except (pa.ArrowException, OverflowError) as error:
        types = {str(series.dtype)}
        if types == {"object"}:
            types = {type(value).__name__ for value in series.dropna()}
        raise ValueError(
            f"column {name!r} holds values of type {' and '.join(sorted(types))}, which cannot be read "
            f"({' '.join(str(error).split())}); make them all numbers, text or dates, or remove the column"
        ) from None


def _by_name(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise ValueError(f"the table has several columns called {_listed(twice)}; give each column its own name")
    return dict(zip(table.column_names, table.columns, strict=True))


def _known(table: pa.Table, columns: Sequence[Column]) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table by name, which are those of the fit."""
    by_name = _by_name(table)
    lacking = [column.name for column in columns if column.kind != "drop" and column.name not in by_name]
    unknown = sorted(by_name.keys() - {column.name for column in columns}, key=table.column_names.index)
    if lacking or unknown:
        problem = "lacks columns that the model was" if lacking else "has columns that the model was not"
        raise ValueError(f"the table {problem} fitted on: {_listed(lacking or unknown)}; give the columns of the fit")
    return by_name


def _fit_column(name: str, column: pa.ChunkedArray, asked: str | None, where: Where) -> Column:
    if asked == "drop":
        return Column(name, "drop")
    column = _clean(name, column)
    if pa.types.is_null(column.type):
        raise ValueError(f"column {name!r} has no value in any training row; drop it with {_option(name, 'drop')}")
    kind = asked or (_kind_of_text(name, column, where) if column.type == _TEXT else _natural(column))
    if kind == "category":
        return _fit_category(name, _texts(name, column), asked)
    values = _read(name, column, kind, where, choose=asked is None)
    if kind == "number":
        return Column(name, "number")
    days = np.sort(_days(values.drop_null()))
    first, median, last = days[[0, (len(days) - 1) // 2, -1]].tolist()
    shown = {"hour": (days % 1).any(), "weekday": last - first >= 7, "day of year": last - first >= 365}
    return Column(name, "date", (), (), first, median, last, tuple(cycle for cycle in _CYCLES if shown[cycle]))


def _kind_of_text(name: str, text: pa.ChunkedArray, where: Where) -> str:
    # Most columns of numbers and dates need no closer look than this.
    if _tried(_to_float, text) is not None:
        return "number"
    if _tried(_to_timestamp, text) is not None:
        return "date"
    counted = text.drop_null().value_counts()
    levels, counts = counted.field("values"), counted.field("counts").to_numpy()
    for kind in _READ:
        read, written = (
            pc.match_substring_regex(levels, patterns[kind]).to_numpy(zero_copy_only=False)
            for patterns in (_READ, _WRITTEN)
        )
        if read.all():
            return kind
        share = counts @ written / counts.sum()
        if (counts.sum() >= _ENOUGH and share >= _NEARLY) or (written.sum() > MAX_LEVELS and share >= _MOSTLY):
            slips = pc.is_in(text, value_set=levels.filter(pa.array(~read)))
            raise _refusal(name, text, pc.index(slips, True).as_py(), kind, where, choose=True)
    return "category"


def _fit_category(name: str, text: pa.ChunkedArray, asked: str | None) -> Column:
    counted = text.value_counts()
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    levels, counts = zip(*sorted(pairs, key=lambda pair: (-pair[1], pair[0] is None, pair[0])), strict=True)
    if asked is None and len(levels) - (None in levels) == len(text) - text.null_count >= _ENOUGH:
        raise ValueError(
            f"column {name!r} holds another text in every row, as an identifier does; drop it with "
            f"{_option(name, 'drop')}, or keep it as a category with {_option(name, 'category')}"
        )
    return Column(name, "category", levels, counts)


def _outputs(column: Column) -> list[tuple[str, bool]]:
    """Return the name of each column of the matrix, and whether it is an indicator."""
    name = column.name
    if column.kind == "drop":
        return []
    if column.kind == "number":
        return [(name, False)]
    if column.kind == "date":
        waves = [(f"{name}: {cycle} {wave}", False) for cycle in column.cycles for wave in ("sin", "cos")]
        return [(f"{name}: trend", False), *waves, (f"{name}: (missing)", True)]
    if len(column.levels) > MAX_LEVELS:
        return [(f"{name}: rarity", False)]
    levels = ["(missing)" if level is None else level for level in column.levels]
    return [(f"{name}={level}", True) for level in (*levels, "(other)")]


def _fill(out: NDArray[np.float64], column: Column, values: pa.ChunkedArray) -> None:
    """Write the values of a column, from `_read_as`, into zeros, (n, number of its outputs)."""
    if column.kind == "category":
        _fill_category(out, column, values)
        return
    if column.kind == "number":
        out[:, 0] = values.to_numpy()
        return
    days = _days(values)
    missing = np.isnan(days)
    out[:, 0] = days - column.median
    for j, cycle in enumerate(column.cycles):
        # A Tuesday is a Tuesday at any hour.
        place = days if cycle == "hour" else np.floor(days)
        angle = 2 * np.pi * np.mod(place / _CYCLES[cycle], 1)
        out[:, 1 + 2 * j], out[:, 2 + 2 * j] = np.sin(angle), np.cos(angle)
    out[missing] = 0
    out[:, -1] = missing


def _fill_category(out: NDArray[np.float64], column: Column, text: pa.ChunkedArray) -> None:
    n_levels = len(column.levels)
    # index_in finds null among the levels as it does any other; what is not among them gets the number after the last.
    codes = pc.index_in(text, value_set=pa.array(column.levels, _TEXT)).fill_null(n_levels).to_numpy()
    if n_levels <= MAX_LEVELS:
        out[np.arange(len(out)), codes] = 1
    else:
        counts = np.array([*column.counts, 0])
        out[:, 0] = -np.log((counts + 1) / (counts.sum() + n_levels))[codes]


def _read_as(column: Column, values: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
    """Return values as what was learnt of their column: float64, timestamps or text, null where missing."""
    values = _clean(column.name, values)
    if column.kind != "category":
        return _read(column.name, values, column.kind, where)
    # Numbers may be compared with levels that are numbers; with none of them the column has changed its type.
    has_kind = _natural(values) in ("number", "date")
    if has_kind and not any(re.match(_READ["number"], level or "") for level in column.levels):
        raise _refusal(column.name, values, _first(values), "category", where)
    return _texts(column.name, values)


def _clean(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with one type for text and null for all that is missing; of type null if everything is."""
    if pa.types.is_dictionary(column.type):
        # Arrow cannot unpack every dictionary; the others are strange types to us, too.
        with contextlib.suppress(pa.ArrowNotImplementedError):
            column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(_TEXT)
    if column.type == _TEXT:
        column = pc.ascii_trim_whitespace(column)
        missing = pc.is_in(column, value_set=pa.array(MISSING, _TEXT))
        column = pc.if_else(missing, pa.scalar(None, _TEXT), column)
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    if not _natural(column):
        raise ValueError(
            f"column {name!r} holds values of type {column.type}, which are no numbers, text or dates; "
            f"turn them into one of these, or drop the column with {_option(name, 'drop')}"
        )
    return column


def _natural(column: pa.ChunkedArray) -> str:
    """Return the kind of column that its type makes it; "" for nested, null and other strange types."""
    types = pa.types
    if column.type == _TEXT:
        return "category"
    if types.is_timestamp(column.type) or types.is_date(column.type):
        return "date"
    is_plain = types.is_primitive(column.type) and not types.is_interval(column.type)
    return "number" if is_plain or types.is_decimal(column.type) else ""


def _read(name: str, column: pa.ChunkedArray, kind: str, where: Where, *, choose: bool = False) -> pa.ChunkedArray:
    """Return a column as float64 or as timestamps in UTC; `choose` says that its kind may still be chosen."""
    if _natural(column) not in (kind, "category", ""):
        raise _refusal(name, column, _first(column), kind, where, choose=choose)
    read = _numbers if kind == "number" else _timestamps
    try:
        values = read(column)
    except pa.ArrowInvalid:
        row = bisect_left(range(len(column)), True, key=lambda last: _tried(read, column[: last + 1]) is None)
        raise _refusal(name, column, row, kind, where, choose=choose) from None
    if kind == "number" and pc.any(pc.is_inf(values)).as_py():
        at = f"{where(pc.index(pc.is_inf(values), True).as_py())}, column {name!r}"
        raise ValueError(f"{at}: the value is infinite; correct it, or mark it as missing")
    return values


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_time(column.type) or pa.types.is_duration(column.type):
        unit = pa.duration("us") if pa.types.is_duration(column.type) else pa.time64("us")
        return pc.divide(_to_float(column.cast(unit, safe=False).cast(pa.int64())), 1e6)
    if column.type == _TEXT and (numbers := _tried(_to_float, column)) is not None:
        return numbers
    return _to_float(_with_truths(column, "1", "0") if column.type == _TEXT else column)


def _timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type != _TEXT:
        return _to_timestamp(column).cast(pa.timestamp("us"))
    if (timestamps := _tried(_to_timestamp, column)) is not None:
        return timestamps
    column = pc.replace_substring_regex(pc.replace_substring(column, "/", "-"), r"(\.[0-9]{6})[0-9]+", r"\1")
    null, has_zone = pa.scalar(None, _TEXT), pc.match_substring_regex(column, r"[T ].*(Z|[+-][0-9:]+)$")
    in_utc = pc.if_else(has_zone, column, null).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    return pc.coalesce(in_utc, _to_timestamp(pc.if_else(has_zone, null, column)))


def _days(timestamps: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return timestamps as days since 1970-01-01 UTC, NaN where missing."""
    return _to_float(timestamps.cast(pa.int64())).to_numpy() / 86400e6


def _to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.float64(), safe=False)


def _to_timestamp(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)


def _tried(read: Callable[[pa.ChunkedArray], pa.ChunkedArray], column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return what a column reads as; None if some value cannot be read so."""
    try:
        # Arrow makes an error of each value that it cannot read: a look at the first saves seconds.
        read(column[:100])
        return read(column)
    except pa.ArrowInvalid:
        return None


def _texts(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text that is the same from a frame and from a file: 1 for 1.0, true for True."""
    if pa.types.is_temporal(column.type):
        raise ValueError(f"column {name!r}: values of type {column.type} are no categories; turn them into text first")
    return _with_truths(column, "true", "false") if column.type == _TEXT else column.cast(_TEXT)


def _with_truths(text: pa.ChunkedArray, true: str, false: str) -> pa.ChunkedArray:
    lower = pc.ascii_lower(text)
    return pc.if_else(pc.equal(lower, "true"), true, pc.if_else(pc.equal(lower, "false"), false, text))


def _first(column: pa.ChunkedArray) -> int:
    """Return the row of the first value that is not missing."""
    return pc.index(column.is_valid(), True).as_py()


def _refusal(
    name: str, column: pa.ChunkedArray, row: int, kind: str, where: Where, *, choose: bool = False
) -> ValueError:
    value = reprlib.repr(column[row : row + 1].cast(_TEXT)[0].as_py())
    if kind == "category":
        problem, remedy = f"is {column.type}, but the column is a category of texts", "give texts"
    elif choose:
        problem = f"is not a {_LIKE[kind]}, but most values of the column are {kind}s"
        remedy = (
            f"correct it, or make the column a category with {_option(name, 'category')}, "
            f"or leave it out with {_option(name, 'drop')}"
        )
    else:
        problem = f"is not a {_LIKE[kind]}, but the column is one of {kind}s"
        remedy = "correct it, or mark it as missing"
    return ValueError(f"{where(row)}, column {name!r}: {value} {problem}; {remedy}")


def _option(name: str, kind: str) -> str:
    """Say how to choose the kind of a column, in Python and on the command line."""
    return f"columns={{{name!r}: {kind!r}}} or --column {shlex.quote(f'{name}={kind}')}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
