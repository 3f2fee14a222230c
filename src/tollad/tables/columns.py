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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""Words that stand for a missing value."""

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

    Numbers, booleans, durations and times of day (in seconds) are numbers; dates and timestamps are dates; what has the
    type of a category (of pandas, polars or Arrow) is one, be its values numbers. Text is what
    all its values are: numbers (or true and false), dates as in ISO 8601, else categories. Outer spaces do not count,
    the words of `MISSING` are missing values, and a date without a time zone is taken for UTC.

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
    by_name, kinds = _by_name(table), {str(name): kind for name, kind in (kinds or {}).items()}
    check_kinds(table.column_names, kinds)
    if not table.num_rows:
        raise ValueError("the table has no row to learn from; give at least one column and one row")
    surveys = [Survey(name, kinds.get(name), keep_days=True) for name in by_name]
    for survey in surveys:
        survey.add(by_name[survey.name], where)
    return [survey.column() for survey in surveys]


def check_kinds(names: Sequence[str], kinds: Mapping[str, str]) -> None:
    """Raise ValueError for unknown names or kinds, and if all columns are to be dropped."""
    for name, kind in kinds.items():
        if name not in names:
            similar = difflib.get_close_matches(str(name), names) or names[:10]
            raise ValueError(f"a kind is given for column {name!r}, which is not there; there is {_listed(similar)}")
        if kind not in get_args(Kind):
            raise ValueError(f"column {name!r}: {kind!r} is no kind of column; the kinds are {_listed(get_args(Kind))}")
    if all(kinds.get(name) == "drop" for name in names):
        raise ValueError("no column is left to learn from; give at least one column and one row")


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
    return expand(condense(table, columns, where=where), columns)


def condense(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> NDArray[np.float64]:
    """Return rows as one number a column that is not dropped, (n, k), from which `expand` makes what `encode` returns.

    A number is itself, NaN where missing; a category the place of its level among `Column.levels`, or their number if
    it is not among them; a date its days since 1970-01-01 UTC, NaN where missing.

    Parameters
    ----------
    table, columns, where
        As in `encode`. Of the columns, the median and the cycles of dates are not asked for.

    Raises
    ------
    ValueError
        As `encode` does.
    """
    by_name = _known(table, columns)
    kept = [column for column in columns if column.kind != "drop"]
    codes = np.empty((table.num_rows, len(kept)))
    for number, column in enumerate(kept):
        codes[:, number] = _code(column, _read_as(column, by_name[column.name], where))
    return codes


def expand(codes: NDArray[np.float64], columns: Sequence[Column]) -> NDArray[np.float64]:
    """Return what `encode` returns, (n, m), from what `condense` returned, (n, k)."""
    kept = [column for column in columns if column.kind != "drop"]
    widths = [len(_outputs(column)) for column in kept]
    matrix = np.zeros((len(codes), sum(widths)))
    for number, (column, width, end) in enumerate(zip(kept, widths, np.cumsum(widths), strict=True)):
        _fill(matrix[:, end - width : end], column, codes[:, number])
    return matrix


def recount(
    columns: Sequence[Column], blocks: Iterable[NDArray[np.float64]]
) -> tuple[list[Column], dict[int, NDArray[np.int64]]]:
    """Return the columns as they would be had only some of their rows been there, and the new places of their levels.

    Kinds of columns and constants of dates stay; levels that none of the rows has are unknown from now on.

    Parameters
    ----------
    columns : sequence of Column
    blocks : iterable of ndarray, (b, k)
        The rows that count, as `condense` returns them.

    Returns
    -------
    columns : list of Column
    places : dict of int to ndarray of int64, (number of old levels + 1,)
        For each category, by its place among the k columns, the new place of each old level: for `recode`.

    Examples
    --------
    >>> columns = [Column("city", "category", ("Bonn", "Oslo"), (2, 1))]
    >>> recounted, places = recount(columns, [np.array([[1.0]])])
    >>> recounted[0].levels, recode(np.array([[0.0], [1.0], [2.0]]), places).tolist()
    (('Oslo',), [[1.0], [0.0], [1.0]])
    """
    kept = [column for column in columns if column.kind != "drop"]
    counts = {j: np.zeros(len(column.levels), np.int64) for j, column in enumerate(kept) if column.kind == "category"}
    for block in blocks:
        for j, counted in counts.items():
            counted += np.bincount(block[:, j].astype(np.int64), minlength=len(counted))
    new, places = [*kept], {}
    for j, counted in counts.items():
        column = kept[j]
        present = {level: int(n) for level, n in zip(column.levels, counted, strict=True) if n}
        new[j] = _category(column.name, present)
        place = {level: number for number, level in enumerate(new[j].levels)}
        places[j] = np.array([*(place.get(level, len(place)) for level in column.levels), len(place)])
    by_name = {column.name: column for column in new}
    return [by_name.get(column.name, column) for column in columns], places


def recode(codes: NDArray[np.float64], places: Mapping[int, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return what `condense` would return for the columns that `recount` returned."""
    changed = codes.copy()
    for j, place in places.items():
        changed[:, j] = place[codes[:, j].astype(np.int64)]
    return changed


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


class Survey:
    """What a column is, decided by all of its values while they pass by: what `fit_columns` does for each column.

    Texts are counted only once some of them are neither numbers nor dates: memory holds no column of distinct numbers.
    If that turns out late, the texts that went by uncounted are needed after all, and the column has to pass again.

    Parameters
    ----------
    name : str
        Of the column.
    asked : {"number", "category", "date", "drop"}, optional
        As in `fit_columns`.
    counted : bool, default False
        Whether to count the texts from the first on, for a column that passes again.
    keep_days : bool, default False
        Whether to keep all dates in memory; otherwise their constants are left to `date_column`.
    most_levels : int, optional
        How many texts may be counted.

    Attributes
    ----------
    again : bool
        Whether the column has to pass again, with `counted`.
    """

    def __init__(
        self,
        name: str,
        asked: str | None = None,
        *,
        counted: bool = False,
        keep_days: bool = False,
        most_levels: int | None = None,
    ) -> None:
        self.name = name
        self.again = False
        self._asked, self._counting = asked, counted or asked == "category"
        self._days: list[NDArray[np.float64]] | None = [] if keep_days else None
        self._most_levels = most_levels
        self._kinds = ["number", "date"]  # what all texts so far can be read as
        self._any = False
        self._by_type = False  # whether the type of the values asks for a category, and not the user
        self._natural = ""
        self._counts: Counter[str | None] = Counter()
        self._refusals: dict[str, ValueError] = {}

    @property
    def is_number(self) -> bool:
        """Whether the column holds numbers, as far as one can tell."""
        return self._any and not self._counting and self._kind() == "number"

    def add(self, values: pa.ChunkedArray, where: Where) -> None:
        """Look at the next values; `where` says where one stands, counted from the first of them."""
        if self._asked == "drop":
            return
        if self._asked is None and _is_category(values.type):
            self._asked, self._counting, self._by_type = "category", True, True
        values = _clean(self.name, values)
        if pa.types.is_null(values.type):
            self._counts[None] += len(values)
            return
        self._natural = _natural(values)
        if values.type == _TEXT and self._asked is None:
            self._look(values, where)
        if self._asked == "category" or (self._counting and values.type == _TEXT):
            self._count(_texts(self.name, values) if self._asked else values)
        else:
            self._counts[None] += values.null_count
        self._any = True
        kind = self._kind()
        if kind not in ("category", *self._refusals):
            try:
                read = _read(self.name, values, kind, where, choose=self._asked is None)
            except ValueError as error:
                self._refusals[kind] = error
            else:
                if kind == "date" and self._days is not None:
                    self._days.append(_days(read.drop_null()))

    def column(self) -> Column:
        """Return what the column is, after its last value; ValueError as in `fit_columns`."""
        if self._asked == "drop":
            return Column(self.name, "drop")
        if not self._any:
            drop = _option(self.name, "drop")
            raise ValueError(f"column {self.name!r} has no value in any training row; drop it with {drop}")
        kind = self._kind()
        if kind == "category":
            if self._asked is None:
                self._refuse_slips()
            counts: Counter[str | None] = Counter()
            for level, count in self._counts.items():
                lower = None if level is None else level.lower()
                counts[lower if lower in ("true", "false") else level] += count
            return _fit_category(self.name, +counts, None if self._by_type else self._asked)
        if kind in self._refusals:
            raise self._refusals[kind]
        if kind == "number" or self._days is None:
            return Column(self.name, "number" if kind == "number" else "date")
        days = np.sort(np.concatenate(self._days))
        first, median, last = days[[0, (len(days) - 1) // 2, -1]].tolist()
        return date_column(self.name, first, median, last, hours=bool((days % 1).any()))

    def _kind(self) -> str:
        if self._asked is not None:
            return self._asked
        if self._natural != "category":
            return self._natural
        return self._kinds[0] if self._kinds else "category"

    def _look(self, text: pa.ChunkedArray, where: Where) -> None:
        """Strike out what not all texts can be read as, and note the first that cannot."""
        for kind in [*self._kinds]:
            # Most columns of numbers and dates need no closer look than this.
            if _tried(_to_float if kind == "number" else _to_timestamp, text) is not None:
                if kind == "date":
                    continue
                if "date" in self._kinds:
                    self._strike("date", text, _first(text), where)
                break
            levels = text.drop_null().unique()
            slips = levels.filter(pc.invert(pc.match_substring_regex(levels, _READ[kind])))
            if len(slips):
                self._strike(kind, text, pc.index(pc.is_in(text, value_set=slips), True).as_py(), where)
        if not self._kinds and not self._counting:
            self.again, self._counting = self._any, True

    def _strike(self, kind: str, text: pa.ChunkedArray, slip: int, where: Where) -> None:
        self._kinds.remove(kind)
        self._refusals[f"slip of a {kind}"] = _refusal(self.name, text, slip, kind, where, choose=True)

    def _count(self, text: pa.ChunkedArray) -> None:
        counted = text.value_counts()
        levels, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        self._counts.update(dict(zip(levels, counts, strict=True)))
        if self._most_levels is not None and len(self._counts) > self._most_levels:
            raise ValueError(
                f"column {self.name!r} holds more than {self._most_levels:,} different texts, too many to learn from "
                f"in constant memory; drop it with {_option(self.name, 'drop')}"
            )

    def _refuse_slips(self) -> None:
        """Raise for a column of nearly nothing but numbers, or dates: more likely with slips than a category."""
        texts = {level: count for level, count in self._counts.items() if level is not None}
        levels, counts = pa.array(texts, _TEXT), np.fromiter(texts.values(), np.int64)
        for kind, pattern in _WRITTEN.items():
            written = pc.match_substring_regex(levels, pattern).to_numpy(zero_copy_only=False)
            share = counts @ written / counts.sum()
            if (counts.sum() >= _ENOUGH and share >= _NEARLY) or (written.sum() > MAX_LEVELS and share >= _MOSTLY):
                raise self._refusals[f"slip of a {kind}"]


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


def _fit_category(name: str, counts: Mapping[str | None, int], asked: str | None) -> Column:
    n_values = sum(count for level, count in counts.items() if level is not None)
    if asked is None and len(counts) - (None in counts) == n_values >= _ENOUGH:
        raise ValueError(
            f"column {name!r} holds another text in every row, as an identifier does; drop it with "
            f"{_option(name, 'drop')}, or keep it as a category with {_option(name, 'category')}"
        )
    return _category(name, counts)


def _category(name: str, counts: Mapping[str | None, int]) -> Column:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, pair[0]))
    levels, n_rows = zip(*ordered, strict=True)
    return Column(name, "category", levels, n_rows)


def date_column(name: str, first: float, median: float, last: float, *, hours: bool) -> Column:
    """Return the constants of a date from those of its days since 1970-01-01 UTC; `hours`: not all are whole."""
    shown = {"hour": hours, "weekday": last - first >= 7, "day of year": last - first >= 365}
    return Column(name, "date", (), (), first, median, last, tuple(cycle for cycle in _CYCLES if shown[cycle]))


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


def _code(column: Column, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the values of a column, from `_read_as`, as one number each."""
    if column.kind == "category":
        # index_in finds null among the levels as it does any other.
        found = pc.index_in(values, value_set=pa.array(column.levels, _TEXT))
        return found.fill_null(len(column.levels)).to_numpy()
    return values.to_numpy() if column.kind == "number" else _days(values)


def _fill(out: NDArray[np.float64], column: Column, codes: NDArray[np.float64]) -> None:
    """Write the values of a column, from `_code`, into zeros, (n, number of its outputs)."""
    if column.kind == "category":
        _fill_category(out, column, codes.astype(np.int64))
        return
    if column.kind == "number":
        out[:, 0] = codes
        return
    missing = np.isnan(codes)
    out[:, 0] = codes - column.median
    for j, cycle in enumerate(column.cycles):
        # A Tuesday is a Tuesday at any hour.
        place = codes if cycle == "hour" else np.floor(codes)
        angle = 2 * np.pi * np.mod(place / _CYCLES[cycle], 1)
        out[:, 1 + 2 * j], out[:, 2 + 2 * j] = np.sin(angle), np.cos(angle)
    out[missing] = 0
    out[:, -1] = missing


def _fill_category(out: NDArray[np.float64], column: Column, codes: NDArray[np.int64]) -> None:
    n_levels = len(column.levels)
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


def _is_category(kind: pa.DataType) -> bool:
    """Whether the type says that values are categories whatever they look like, as that of pandas and polars does."""
    return pa.types.is_dictionary(kind) and not pa.types.is_temporal(kind.value_type)


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
    if kind == "date":
        days = _days(values)
        strange = np.flatnonzero((days < _FIRST_DAY) | (days > _LAST_DAY))
        if len(strange):
            at = f"{where(int(strange[0]))}, column {name!r}"
            raise ValueError(f"{at}: the date is not in the years 1 to 9999; correct it, or mark it as missing")
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
