"""The schema of a table: kind and constants of each column, and the columns of the matrix that encodes it.

A number stays as it is. A category becomes one indicator for each level or, if it has many levels, the rarity of its
value. A date becomes days, and sine and cosine of its cycles.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tollad.warn import listed

MISSING = (
    *("", "?", "-", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>"),
    *("NaN", "nan", "-nan", "-NaN", "NaT", "null", "NULL", "None"),
)
"""Words that stand for a missing value."""

Kind: TypeAlias = Literal["number", "category", "date", "drop"]
Where: TypeAlias = Callable[[int], str]
"""Maps a row number, from 0, to the words for its place in a message."""

# With more levels than this a category is one column of rarities.
MAX_LEVELS = 32
CLOCKS = ("durations", "times of day")
"""What the numbers of a column may be besides plain ones: they are read in seconds."""
AS_WRITTEN = "as written"
"""The zone of times that give only their offset from UTC."""
# Lengths in days. A year has the calendar's average length, so that the phase of a date is right within a day or two.
CYCLES = {"hour": 1.0, "weekday": 7.0, "day of year": 365.2425}


@dataclass(frozen=True)
class Column:
    """Kind and constants of a column, learnt from training rows.

    Attributes
    ----------
    name : str
    kind : {"number", "category", "date", "drop"}
    levels, counts : tuple of str or None, tuple of int
        For a category: the values among the training rows, most frequent first, ties by name; and how many rows have
        each. None stands for a missing value, which is a level like any other.
    unseen : int
        For a category encoded by rarity: levels with at most this many training rows are encoded as unseen ones. It is
        1, so that the network meets unseen levels in training about as often as in new rows; 0 in older models.
    first, median, last : float
        For a date: first, median and last training value, in days since 1970-01-01 in local time.
    zone : str or None
        For a date: the time zone of the training values, "" if they had none, `AS_WRITTEN` if they were text with
        offsets. None in older models, which read all times in UTC.
    offsets : tuple of int
        For a date whose zone is `AS_WRITTEN`: the lowest and the highest offset from UTC, in minutes.
    truths : bool
        For a number: whether true and false are read as 1 and 0. False if the training values were other numbers.
    clock : {"", "durations", "times of day"} or None
        For a number: what the training values were, by their type; "" if they were plain numbers. None in older models,
        and where no type tells.
    words : bool
        For a number: whether the training values were true and false, which then are shown so.
    cycles : tuple of {"hour", "weekday", "day of year"}
        For a date: the hour if some time is not midnight, the weekday if the values span a week, and the day of the
        year if they span a year.

    Examples
    --------
    >>> column = Column("city", "category", ("Bonn", "Oslo"), (2, 1))
    >>> Column.from_json(column.to_json()) == column
    True
    """

    name: str
    kind: Kind
    levels: tuple[str | None, ...] = ()
    counts: tuple[int, ...] = ()
    unseen: int = 0
    first: float = 0.0
    median: float = 0.0
    last: float = 0.0
    cycles: tuple[str, ...] = ()
    zone: str | None = None
    offsets: tuple[int, ...] = ()
    truths: bool = True
    clock: str | None = None
    words: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the constants as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the column from the constants that `to_json` returned."""
        constants: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items()}
        return cls(**constants)


@dataclass(frozen=True)
class Encoding:
    """The m columns of an encoded matrix.

    Attributes
    ----------
    names : tuple of m str
        Such as ``age``, ``city=Paris``, ``city=(other)``, ``street: rarity``, ``when: trend``, ``when: hour sin``.
    origin : ndarray of int64, (m,)
        Index of the `Column` that each of the m encodes.
    indicator : ndarray of bool, (m,)
        Which columns hold only 0 and 1.
    """

    names: tuple[str, ...]
    origin: NDArray[np.int64]
    indicator: NDArray[np.bool_]


def check_kinds(names: Sequence[str], kinds: Mapping[str, str]) -> None:
    """Raise ValueError for unknown names or kinds, and if all columns are to be dropped."""
    for name, kind in kinds.items():
        if name not in names:
            similar = difflib.get_close_matches(str(name), names) or names[:10]
            raise ValueError(
                f"a kind is given for column {name!r}, which is not there; there is {listed(similar, most=10)}"
            )
        if kind not in get_args(Kind):
            raise ValueError(
                f"column {name!r}: {kind!r} is no kind of column; the kinds are {listed(get_args(Kind), most=10)}"
            )
    if all(kinds.get(name) == "drop" for name in names):
        raise ValueError("no column is left to learn from; give at least one column and one row")


def encoding(columns: Sequence[Column]) -> Encoding:
    """Return the columns of the matrices of `encode`."""
    outputs = [(number, *output) for number, column in enumerate(columns) for output in outputs_of(column)]
    numbers, names, indicators = zip(*outputs, strict=True)
    return Encoding(names, np.array(numbers, np.int64), np.array(indicators, np.bool_))


def describe(columns: Sequence[Column]) -> list[str]:
    """Describe columns, one line each, such as ``'when: date from 2020-01-01 to 2023-05-04, trend, hour, weekday'``."""
    lines = []
    for column in columns:
        details = ""
        if column.kind == "category":
            how = "one-hot" if len(column.levels) <= MAX_LEVELS else "by rarity"
            details = f", {len(column.levels)} level{'s' * (len(column.levels) > 1)} {how}"
        elif column.kind == "date":
            first, last = (np.datetime64(int(day // 1), "D") for day in (column.first, column.last))
            details = ", ".join([f" from {first} to {last}", "trend", *column.cycles])
            details += f", in {column.zone} time" if column.zone and column.zone != AS_WRITTEN else ""
        elif column.clock:
            details = f", {column.clock} in seconds"
        lines.append(f"{column.name}: {column.kind}{details}")
    return lines


def category_column(name: str, counts: Mapping[str | None, int]) -> Column:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, pair[0]))
    levels, n_rows = zip(*ordered, strict=True)
    return Column(name, "category", levels, n_rows, unseen=int(len(levels) > MAX_LEVELS))


def number_columns(names: Sequence[str], truths: NDArray[np.bool_] | None, *, clock: str | None = "") -> list[Column]:
    """Return columns of numbers, plain ones by default.

    `truths` says which of them take true and false, (d,); None means all.
    """
    may = [True] * len(names) if truths is None else truths.tolist()
    return [Column(name, "number", truths=each, clock=clock) for name, each in zip(names, may, strict=True)]


def date_column(column: Column, first: float, median: float, last: float, *, hours: bool) -> Column:
    """Return a column of dates with its days since 1970-01-01. `hours` says whether some have a time of day."""
    shown = {"hour": hours, "weekday": last - first >= 7, "day of year": last - first >= 365}
    cycles = tuple(cycle for cycle in CYCLES if shown[cycle])
    return replace(column, first=first, median=median, last=last, cycles=cycles)


def outputs_of(column: Column) -> list[tuple[str, bool]]:
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
