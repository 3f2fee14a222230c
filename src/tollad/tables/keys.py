"""Warnings about whole numbers that are no measurements: row numbers, keys, days, and codes too long for a float64."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import TEXT
from tollad.tables.refusals import as_dates, option
from tollad.warn import warn

# Fewer values than this may look like a key by chance.
ENOUGH = 20
_MOST_KEPT = 100_000
# A column is named like a key by its last word, by its first word, or by its whole name.
_LAST = {"id", "uid", "uuid", "guid", "pk", "key", "nr", "no", "idx", "rowid"}
_FIRST = {"id", "uuid", "guid", "pk"}
_THINGS = (
    "account|article|batch|booking|case|client|customer|device|document|employee|event|invoice|item|line|loan|member|"
    "message|object|order|passenger|patient|person|policy|product|record|row|sample|serial|session|student|supplier|"
    "ticket|transaction|user|vendor"
)
_WHOLE = re.compile(rf"index|({_THINGS}) ?(id|key|no|nr|num|number|index)|.*[a-z](nr|nummer)")
# Units of time per second, and the beginning of 2001 in seconds since 1970. Whole numbers from there to twice that may
# be times.
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SINCE_2001 = 978_307_200
_FIRST_WITH_TIME = 1900_01_01_00_00_00
_FIRST_MONTH, _LAST_MONTH = 1900_01, 2099_12
# Excel counts days from the end of 1899. Here they are those of the years 1980 to 2099.
_EXCEL_DAYS = (29_221, 73_050)
_NAMES_OF_DAYS = {"date", "datum", "fecha", "data", "day", "tag", "time", "zeit", "zeitpunkt", "datetime", "timestamp"}


def names_key(name: str) -> bool:
    """Return whether the name of a column says that it holds keys or row numbers.

    Examples
    --------
    >>> [names_key(name) for name in ("customer_id", "PassengerId", "order no.", "userid", "Kundennr", "index")]
    [True, True, True, True, True, True]
    >>> [names_key(name) for name in ("price_cents", "paid", "no_of_rooms", "grid", "body mass index", "x")]
    [False, False, False, False, False, False]
    """
    words = _words_of(name)
    if not words:
        return False
    return words[-1] in _LAST or words[0] in _FIRST or _WHOLE.fullmatch(" ".join(words)) is not None


def _words_of(name: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name))
    return [word.lower() for word in words]


def is_key(name: str, values: NDArray[Any]) -> bool:
    """Return whether a column is a key by its name and its values: 20 or more, whole and all different.

    Missing values do not count.

    Examples
    --------
    >>> values = np.random.default_rng(0).permutation(100) * 7
    >>> is_key("customer_id", values), is_key("price_cents", values), is_key("customer_id", values % 9)
    (True, False, False)
    """
    if not names_key(name):
        return False
    values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return len(values) >= ENOUGH and are_whole(values) and len(np.unique(values)) == len(values)


def time_unit(numbers: NDArray[Any]) -> str | None:
    """Return the unit in which whole numbers count the time since 1970; None unless all are of the years 2001 to 2031.

    Examples
    --------
    >>> time_unit(1_700_000_000_000 + np.arange(20)), time_unit(np.arange(20))
    ('ms', None)
    """
    numbers = numbers.astype(np.float64)
    return next(
        (
            unit
            for unit, parts in _UNITS.items()
            if ((_SINCE_2001 * parts <= numbers) & (numbers < 2 * _SINCE_2001 * parts)).all()
        ),
        None,
    )


def looks_like_key(values: NDArray[Any]) -> bool:
    """Return whether numbers look like row numbers or keys, which say nothing about a new row, see `KeySample`.

    Examples
    --------
    >>> looks_like_key(np.arange(100.0)), looks_like_key(np.arange(100) % 50)
    (True, False)
    """
    sample = KeySample()
    return sample.add(values) and sample.looks_like_key()


class KeySample:
    """Numbers of a column of any length, by which it looks like row numbers or keys or not.

    Keys are 20 or more, all whole and different. Besides, they rise or fall from row to row, or fill at least half of
    their range, or all have the same number of digits, six or more.

    At most 100,000 numbers are kept: those with the lowest hashes. Equal numbers have equal hashes, so both copies of a
    number are kept or neither is; if a share s of the kept ones has a copy, about the same share of all has.

    Attributes
    ----------
    kept : ndarray, (k,)

    Examples
    --------
    >>> sample = KeySample()
    >>> [sample.add(np.arange(n, n + 10**5, 1.0)) for n in (0, 10**5)], len(sample.kept) <= 10**5
    ([True, True], True)
    >>> sample.looks_like_key(), sample.add(np.arange(0, 10**5, 1.0))
    (True, False)
    """

    def __init__(self) -> None:
        self.kept: NDArray[np.float64] = np.empty(0)
        self._n, self._shift = 0, np.uint64(0)
        self._rises = self._falls = True
        self._last = np.empty(0)
        self._range = (np.inf, -np.inf)

    def add(self, values: NDArray[Any]) -> bool:
        """Take the next numbers, without missing ones; return whether all numbers so far may be keys."""
        if not len(values):
            return True
        numbers = values.astype(np.float64) + 0.0
        if not are_whole(numbers):
            return False
        steps = np.diff(np.concatenate([self._last, numbers]))
        self._rises, self._falls = self._rises and bool((steps > 0).all()), self._falls and bool((steps < 0).all())
        self._last, self._n = numbers[-1:], self._n + len(numbers)
        self._range = min(self._range[0], numbers.min()), max(self._range[1], numbers.max())
        self.kept = np.concatenate([self.kept, numbers[self._are_kept(numbers)]])
        while len(self.kept) > _MOST_KEPT:
            self._shift += np.uint64(1)
            self.kept = self.kept[self._are_kept(self.kept)]
        return self._rises or self._falls or len(np.unique(self.kept)) == len(self.kept)

    def looks_like_key(self) -> bool:
        """Return whether the numbers look like keys, if `add` returned true for all of them."""
        if self._n < ENOUGH:
            return False
        low, high = self._range
        dense = high - low < 2 * self._n
        return self._rises or self._falls or dense or (low >= 1e5 and len(str(int(low))) == len(str(int(high))))

    def _are_kept(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whose hash (MurmurHash3's finalizer) begins with enough zeros."""
        bits = numbers.view(np.uint64)
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(factor)
        bits = bits ^ (bits >> np.uint64(33))
        return (bits & ((np.uint64(1) << self._shift) - np.uint64(1))) == 0


def look_like_days(numbers: NDArray[Any]) -> bool:
    """Return whether whole numbers are all days of the years 1900 to 2099, such as 20240131; `ENOUGH` or more of them.

    The time of day may follow, as in 20240131173000, or the day may lack, as in 202401.

    Examples
    --------
    >>> look_like_days(np.array([20240131, 20240201] * 10)), look_like_days(np.arange(20240120, 20240150))
    (True, False)
    """
    if len(numbers) < ENOUGH or not are_whole(numbers):
        return False
    numbers = numbers.astype(np.float64)
    if numbers.min() < _FIRST_MONTH:
        return False
    if numbers[0] >= _FIRST_WITH_TIME:
        numbers, rest = np.divmod(numbers, 10**6)
        hours, rest = np.divmod(rest, 10000)
        if not ((hours < 24) & (rest // 100 < 60) & (rest % 100 < 60)).all():
            return False
    elif numbers[0] <= _LAST_MONTH:
        numbers = 100 * numbers + 1
    years, rest = np.divmod(numbers, 10000)
    months, days = np.divmod(rest, 100)
    return all(
        ((low <= x) & (x <= high)).all() for x, low, high in ((years, 1900, 2099), (months, 1, 12), (days, 1, 31))
    )


def are_whole(numbers: NDArray[Any]) -> bool:
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def warn_of_key(name: str, numbers: NDArray[Any], remedy: str) -> None:
    """Warn of a column for whose numbers `looks_like_key` is true."""
    unit, what = time_unit(numbers), "row numbers and keys"
    if unit is not None:
        what = "row numbers, keys and times since 1970"
        remedy = f"make times of it with pandas.to_datetime(frame[{name!r}], unit={unit!r}), or {remedy}"
    warn(
        f"column {name!r} holds another whole number in every row, as {what} do: if new rows go on with higher or "
        f"lower ones, these lie outside of what was learnt and become anomalies; {remedy}"
    )


def warn_of_left_out_key(name: str) -> None:
    """Warn of a column for which `is_key` is true."""
    warn(
        f"column {name!r} is a key by its name, with another whole number in every row; it is left out; keep it with "
        f"{option(name, 'number')}"
    )


def warn_of_days(name: str, numbers: NDArray[Any]) -> None:
    """Warn of numbers for which `look_like_days` is true."""
    form, what, end = "%Y%m%d", "days", "a month"
    if numbers[0] >= _FIRST_WITH_TIME:
        form = "%Y%m%d%H%M%S"
    elif numbers[0] <= _LAST_MONTH:
        form, what, end = "%Y%m", "months", "a year"
    warn(
        f"column {name!r} holds whole numbers that are {what}, as {int(numbers[0])} is, and jump at the end of {end}; "
        f"read them as dates with {as_dates(name, form)}"
    )


def are_excel_days(name: str, n: int, low: float, high: float) -> bool:
    """Return whether a column named like a date holds days as Excel counts them.

    Parameters
    ----------
    name : str
    n : int
    low, high : float
        Number and range of its values.

    Examples
    --------
    >>> are_excel_days("order date", 30, 45292, 45657.25), are_excel_days("price", 30, 45292, 45657)
    (True, False)
    """
    first, last = _EXCEL_DAYS
    return n >= ENOUGH and first <= low and high <= last and not _NAMES_OF_DAYS.isdisjoint(_words_of(name))


def warn_of_excel_days(name: str, number: float) -> None:
    """Warn of numbers for which `are_excel_days` is true."""
    warn(
        f"column {name!r} holds numbers such as {number:.15g}, which are days since 1899 if they come from Excel; make "
        f"dates of them with pandas.to_datetime(frame[{name!r}], unit='D', origin='1899-12-30'), or keep them with "
        f"{option(name, 'number')}"
    )


def warn_of_codes(name: str, example: str) -> None:
    """Warn of texts that may be codes and are read as numbers: whole numbers that begin with 0, and 123E45."""
    held = "whole numbers that begin with 0" if example.isdigit() else "digits around an 'e'"
    warn(
        f"column {name!r} holds {held}, as codes do: {example!r} is read as {float(example):.15g}; "
        f"make it a category with {option(name, 'category')}, or keep it with {option(name, 'number')}"
    )


def warn_of_rounding(name: str, remedy: str) -> None:
    """Warn of whole numbers for which `are_rounded` is true."""
    warn(
        f"column {name!r} holds whole numbers beyond 2**53, which are rounded to the nearest of 53 bits, so that "
        f"different ones become equal; {remedy}"
    )


def are_rounded(column: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    """Return whether whole numbers, as given and as read, are too large for a float64 to tell apart."""
    beyond = pc.greater(pc.abs(numbers), 2.0**53).fill_null(False)
    if not pc.any(beyond).as_py():
        return False
    if column.type == TEXT:
        return bool(pc.any(pc.match_substring_regex(column.filter(beyond), "^[+-]?[0-9]+$")).as_py())
    return bool(pa.types.is_integer(column.type) or pa.types.is_decimal(column.type))
