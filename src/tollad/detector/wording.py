"""Say in words why a value is unusual: how rare a category is, or which cycle of a date stands out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.detector.usual import Usual
from tollad.tables.schema import CLOCKS, CYCLES, MAX_LEVELS, Column, Encoding, encoding
from tollad.warn import printable

_MOST_LETTERS = 40
_PLAIN_BELOW = 1e15
# Day 0, 1970-01-01, was a Thursday.
_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")


def worded(value: Any, digits: int = 4) -> str:
    """Return a value as text: numbers rounded to significant digits, long texts shortened.

    Examples
    --------
    >>> worded(47_104.2), worded(0.000123456), worded(1.5e20), worded(None)
    ('47100', '0.0001235', '1.5e+20', 'missing')
    """
    if is_missing(value):
        return "missing"
    if _is_number(value):
        short = f"{float(value):.{digits}g}"
        # People read 47100 more easily than 4.71e+04.
        return f"{float(short):.{max(digits, 15)}g}" if "e+" in short and abs(float(value)) < _PLAIN_BELOW else short
    text = printable(str(value).removesuffix(" 00:00:00"))  # a date without a time of day
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "..."


def is_missing(value: Any) -> bool:
    """Return whether a value is None or NaN."""
    return value is None or (_is_number(value) and bool(np.isnan(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # NumPy's among them


def compared(seen: Any, expected: Any) -> str:
    """Return text such as ``"3, expected about 41"``, with enough digits to show the difference.

    Examples
    --------
    >>> compared(3.0, 41.234567), compared(1000.01, 1000.02), compared("Lima", "Bonn"), compared("Lima", None)
    ('3, expected about 41.23', '1000.01, expected about 1000.02', 'Lima, expected Bonn', 'Lima, expected missing')
    """
    about = "" if expected is None or isinstance(expected, str) else "about "
    for digits in (4, 6, 9, 17):
        words = worded(seen, digits), worded(expected, digits)
        if words[0] != words[1]:
            return f"{words[0]}, expected {about}{words[1]}"
    return f"{worded(seen, 9)}, as expected"


@dataclass(frozen=True)
class Wording:
    """What is unusual about the values of a frame of mixed columns.

    Attributes
    ----------
    columns : sequence of Column, (k,)
    seen, expected : ndarray of float64, (n, m)
        The encoded rows, and their reconstructions.
    parts : ndarray of float64, (n, m) or (n, m + number of flags)
        Part of each encoded column in the score, and of each flag of a missing value.
    values, decoded : ndarray, (n, k)
        The rows as values, and the decoded reconstructions.
    usual : Usual
        What the training rows had in each column.
    in_words : frozenset of str
        The columns that were given as true and false.
    """

    columns: Sequence[Column]
    seen: NDArray[np.float64]
    expected: NDArray[np.float64]
    parts: NDArray[np.float64]
    values: NDArray[Any]
    decoded: NDArray[Any]
    usual: Usual
    in_words: frozenset[str] = frozenset()

    def __call__(self, row: int, number: int) -> str:
        """Return the words for one column of one row."""
        column, value, decoded = self.columns[number], self.values[row, number], self.decoded[row, number]
        outputs = np.flatnonzero(self._layout.origin == number)
        missing = is_missing(value)
        gap = self.usual.gap(number, missing=missing)
        if missing:
            return gap or compared(value, decoded)
        words = self._unlike(row, number, outputs, value, decoded)
        if not gap:
            return words
        if column.kind == "category":
            return f"{worded(value)}, {gap}"
        # The value itself is of interest only if it is rare among the few that there are.
        flag, (shown, _, others) = self.usual.flags[number], words.partition(", ")
        own = self.parts[row, outputs[outputs != flag]].sum()
        is_odd = own > self.parts[row, flag] and others != "as expected"
        return f"{shown}, {gap}; {others}" if is_odd else f"{shown}, {gap}"

    def _unlike(self, row: int, number: int, outputs: NDArray[np.intp], value: Any, decoded: Any) -> str:
        """Return the words for a value that is not missing, without whether others are."""
        column = self.columns[number]
        if column.kind == "category":
            if len(column.levels) > MAX_LEVELS:
                return f"{worded(value)}, {_rarity(column, value)}"
            if value not in column.levels:
                return f"{worded(value)}, seen in no training row, expected {worded(decoded)}"
            if value == decoded:
                share = np.clip(self.expected[row, outputs[column.levels.index(value)]], 0, 1)
                return f"{worded(value)}, {_rarity(column, value)}, expected with probability {share:.2f}"
        if column.kind == "date" and column.cycles:
            return self._date(row, column, outputs, value, decoded)
        if column.clock:
            return _clocks(column.clock, value, decoded)
        if column.kind == "number":
            in_words = column.words or column.name in self.in_words
            return self.usual.truth(number, value, decoded, in_words=in_words) or compared(value, decoded)
        return compared(value, decoded)

    @cached_property
    def _layout(self) -> Encoding:
        return encoding(self.columns)

    def _date(self, row: int, column: Column, outputs: NDArray[np.intp], value: Any, decoded: Any) -> str:
        """Describe the most unusual part of a date, in local time: the day, or the position in one of its cycles."""
        parts = self.parts[row, outputs]
        by_cycle = {cycle: parts[1 + 2 * j : 3 + 2 * j].sum() for j, cycle in enumerate(column.cycles)}
        cycle = max(by_cycle, key=by_cycle.__getitem__)
        if by_cycle[cycle] <= parts[0]:
            return compared(value, decoded)
        waves = outputs[1 + 2 * column.cycles.index(cycle) :][:2]
        seen, expected = (_phase(*matrix[row, waves]) for matrix in (self.seen, self.expected))
        words = _place(cycle, seen), _place(cycle, expected)
        if words[0] == words[1]:
            return f"{worded(value)}, {words[0]} is unusual for such a row"
        return f"{worded(value)}, {words[0]}, expected about {words[1].removeprefix('hour ')}"


def _clocks(clock: str, seen: float | None, expected: float) -> str:
    """Compare two times of day, or two durations, given in seconds.

    Examples
    --------
    >>> _clocks("durations", 90.0, 41.234567), _clocks("times of day", 3661.0, 80_000.4), _clocks("durations", None, 5)
    ('90 s, expected about 41.23 s', '01:01:01, expected about 22:13:20', 'missing, expected about 5 s')
    """
    if clock == CLOCKS[0]:
        was, should = compared(seen, expected).split(", ")
        return f"{was}{'' if seen is None else ' s'}, {should}{'' if should == 'as expected' else ' s'}"
    words = ["missing" if time is None else _time_of_day(time) for time in (seen, expected)]
    return f"{words[0]}, expected about {words[1]}" if words[0] != words[1] else f"{words[0]}, as expected"


def _time_of_day(seconds: float) -> str:
    return str(dt.timedelta(seconds=round(min(max(seconds, 0), 86399)))).zfill(8)


def _rarity(column: Column, value: Any) -> str:
    counts = dict(zip(column.levels, column.counts, strict=True))
    count, n = counts.get(value, 0), sum(column.counts)
    if not count:
        return "seen in no training row"
    word = "rare: " if count <= max(1, n // 100) else ""
    return f"{word}{count:,} of {n:,} training rows"


def _phase(sine: float, cosine: float) -> float:
    return float(np.arctan2(sine, cosine) / (2 * np.pi) % 1)


def _place(cycle: str, phase: float) -> str:
    """Return a position in a cycle in words.

    Examples
    --------
    >>> _place("hour", 3 / 24), _place("weekday", 3 / 7), _place("day of year", 0.5)
    ('hour 03', 'Sunday', 'early July')
    """
    # A full hour may be just below the integer by rounding.
    if cycle == "hour":
        return f"hour {int(phase * 24 + 1e-6) % 24:02}"
    if cycle == "weekday":
        return _WEEKDAYS[round(phase * 7) % 7]
    day = dt.date(2001, 1, 1) + dt.timedelta(days=min(364, round(phase * CYCLES[cycle])))
    third = ("early", "mid", "late")[min(2, (day.day - 1) // 10)]
    return f"{third} {day:%B}"
