"""Numbers and days that programs write where there is no value, such as -999 and 1900-01-01."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tollad.tables.refusals import option
from tollad.warn import listed, warn

# Of fewer values, one may lie far from the others by chance.
_ENOUGH = 20
# A sum of fewer numbers may be equal to the next one by chance.
_LEAST_ADDED = 10

_NINES = [10.0**k - 1 for k in range(3, 10)]
_LIMITS = [-(2.0**15), 2.0**15 - 1, 2.0**16 - 1, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1]
NUMBERS = frozenset([*_NINES, *(-nine for nine in _NINES), *_LIMITS])
_DATES = ((1601, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1), (1970, 1, 1), (2099, 12, 31))
DAYS = frozenset(float((dt.date(*day) - dt.date(1970, 1, 1)).days) for day in _DATES)
"""Days since 1970-01-01 on which calendars and programs begin or end."""


class StandIns:
    """Tells a value that stands for none from real ones, block by block: it lies far from all others.

    Parameters
    ----------
    known : frozenset of float
        `NUMBERS` or `DAYS`.

    Attributes
    ----------
    n : int
    low, high : float
        Number and range of the values that are not known.

    Examples
    --------
    >>> stand_ins = StandIns(NUMBERS)
    >>> stand_ins.add(np.array([*np.linspace(1, 5, 30), -999, -999]))
    >>> stand_ins.found()
    (-999.0, 2)
    """

    def __init__(self, known: frozenset[float]) -> None:
        self._known = known
        self._counts: dict[float, int] = {}
        self.n, self.low, self.high = 0, np.inf, -np.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Take the next values, without missing ones."""
        for extreme in (np.min, np.max):
            while len(values) and (value := float(extreme(values))) in self._known:
                is_it = values == value
                self._counts[value] = self._counts.get(value, 0) + int(is_it.sum())
                values = values[~is_it]
        if len(values):
            self.n += len(values)
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def found(self) -> tuple[float, int] | None:
        """Return the most frequent stand-in, and how many rows have it; None if there is none.

        It is farther from the others than twice their range, or negative where no other is.
        """
        if self.n < _ENOUGH:
            return None
        reach = 2 * (self.high - self.low)
        strange = [
            (count, value)
            for value, count in self._counts.items()
            if value - self.high > reach or self.low - value > reach or value < 0 <= self.low
        ]
        count, value = max(strange, default=(0, 0.0))
        return (value, count) if count else None


def warn_of_stand_in(name: str, stand_ins: StandIns, *, is_named: bool = True) -> None:
    """Warn if a number stands for a missing value. `is_named` says whether the column is one of a frame."""
    if (found := stand_ins.found()) is not None:
        shown = f"{found[0]:.0f}"
        remedy = "put NaN in its place"
        if is_named:
            remedy = f"mark it as missing with frame[{name!r}].replace({shown}, numpy.nan), or keep it with "
            remedy += option(name, "number")
        warn(
            f"column {name!r} holds {shown} in {rows_of(found[1])}, far from all other values, as a code for a missing "
            f"value is; {remedy}"
        )


def warn_of_stand_in_day(name: str, stand_ins: StandIns) -> None:
    """Warn if a day, given in days since 1970-01-01, stands for a missing one."""
    if (found := stand_ins.found()) is not None:
        day = dt.date(1970, 1, 1) + dt.timedelta(days=found[0])
        warn(
            f"column {name!r} holds {day} in {rows_of(found[1])}, far from all other dates, as programs write it where "
            f"there is none; mark it as missing, or keep it with {option(name, 'date')}"
        )


def warn_of_totals(names: Sequence[str]) -> None:
    """Warn if some columns end with the sum of the rows above."""
    if names:
        noun = "column" if len(names) == 1 else "columns"
        warn(
            f"the last row is the sum of all others in {noun} {listed(names)}: totals are no sample, but "
            "are learnt as one; leave the row out"
        )


def warn_of_empty_rows(n_rows: int) -> None:
    """Warn of rows without any value, if there are some."""
    if n_rows:
        has, is_ = ("has", "is") if n_rows == 1 else ("have", "are")
        warn(f"{rows_of(n_rows)} {has} no value at all, but {is_} learnt as normal; leave such rows out")


def rows_of(n: int) -> str:
    """Return a number of rows in words."""
    return "1 row" if n == 1 else f"{n:,} rows"


class Total:
    """Tells whether the last of many numbers is the sum of all others, block by block.

    Examples
    --------
    >>> total = Total()
    >>> total.add(np.array([*np.arange(1.0, 31), 465.0]))
    >>> total.is_last()
    True
    """

    def __init__(self) -> None:
        self._n, self._sum, self._most, self._last, self._before = 0, 0.0, 0.0, np.nan, np.nan
        self._n_added = 0  # without zeros

    def add(self, values: NDArray[np.float64]) -> None:
        """Take the next values, NaN where missing."""
        before = np.concatenate([[self._last], values[:-1]]) if len(values) else values
        before = before[np.isfinite(before)]
        if len(values):
            self._last = float(values[-1])
        if len(before):
            with np.errstate(over="ignore", invalid="ignore"):
                self._n, self._sum = self._n + len(before), self._sum + float(before.sum())
            self._n_added += int(np.count_nonzero(before))
            self._most, self._before = max(self._most, float(np.abs(before).max())), float(before[-1])

    def is_last(self) -> bool:
        """Return whether the last number is the sum of the others, as written with few digits, and none is as large.

        The sum of a few numbers, where most are 0, may be equal by chance. Of numbers that double, as 1, 2, 4 and 8 do,
        each is about the sum of those above it.
        """
        if self._n < _ENOUGH or self._n_added < _LEAST_ADDED or not abs(self._last) > self._most:
            return False
        doubles = _is_sum(self._before, self._sum - self._before)
        return _is_sum(self._last, self._sum) and not doubles


def _is_sum(number: float, total: float) -> bool:
    return abs(number - total) <= 1e-4 * abs(number)
