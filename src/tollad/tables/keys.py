"""Find whole numbers that are no measurements: row numbers, keys, and codes too long for a float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import TEXT
from tollad.tables.values import option
from tollad.warn import warn

# Fewer values than this may look like a key by chance.
ENOUGH = 20


def looks_like_key(values: NDArray[Any]) -> bool:
    """Return whether numbers look like row numbers or keys, which tell nothing about a new row.

    They are 20 or more, whole, none missing and all different; and they rise or fall from row to row, or fill at least
    half of their range, or have six digits or more and equally many.

    Examples
    --------
    >>> looks_like_key(np.arange(100.0)), looks_like_key(np.arange(100) % 50)
    (True, False)
    """
    if len(values) < ENOUGH or not are_whole(values):
        return False
    steps = np.diff(values.astype(np.float64))
    if (steps > 0).all() or (steps < 0).all():
        return True
    ordered = np.sort(values).astype(np.float64)
    if (np.diff(ordered) == 0).any():
        return False
    dense = ordered[-1] - ordered[0] < 2 * len(values)
    return bool(dense or (ordered[0] >= 1e5 and len(str(int(ordered[0]))) == len(str(int(ordered[-1])))))


def look_like_days(numbers: NDArray[Any]) -> bool:
    """Return whether whole numbers are all days of the years 1900 to 2099, such as 20240131; `ENOUGH` or more of them.

    Examples
    --------
    >>> look_like_days(np.array([20240131, 20240201] * 10)), look_like_days(np.arange(20240120, 20240150))
    (True, False)
    """
    if len(numbers) < ENOUGH or not are_whole(numbers):
        return False
    years, rest = np.divmod(numbers.astype(np.float64), 10000)
    months, days = np.divmod(rest, 100)
    return all(
        ((low <= x) & (x <= high)).all() for x, low, high in ((years, 1900, 2099), (months, 1, 12), (days, 1, 31))
    )


def are_whole(numbers: NDArray[Any]) -> bool:
    return bool(np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all())


def warn_of_key(name: str, remedy: str) -> None:
    """Warn of numbers for which `looks_like_key` is true."""
    warn(
        f"column {name!r} holds another whole number in every row, as row numbers and keys do: new rows lie outside of "
        f"what was learnt and become anomalies; {remedy}"
    )


def warn_of_days(name: str) -> None:
    """Warn of numbers for which `look_like_days` is true."""
    warn(
        f"column {name!r} holds whole numbers that are days, as 20240131 is, and jump by 70 at the end of a month; "
        "give dates, in a file with date_format='%Y%m%d'"
    )


def warn_of_rounding(name: str, remedy: str) -> None:
    """Warn of whole numbers for which `are_rounded` is true."""
    warn(
        f"column {name!r} holds whole numbers beyond 2**53, which are rounded to the nearest of 53 bits, so that "
        f"different ones become equal; {remedy}, or give them as text if they are codes"
    )


def are_rounded(column: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    """Return whether whole numbers, as they were given and as they were read, are beyond what a float64 tells apart."""
    beyond = pc.greater(pc.abs(numbers), 2.0**53).fill_null(False)
    if not pc.any(beyond).as_py():
        return False
    if column.type == TEXT:
        return bool(pc.any(pc.match_substring_regex(column.filter(beyond), "^[+-]?[0-9]+$")).as_py())
    return bool(pa.types.is_integer(column.type))


def warn_of_keys(rows: pa.Table | NDArray[Any], names: Sequence[str]) -> None:
    """Warn of columns of a table of numbers, (n, d), that look like a key, or hold too large whole numbers."""
    for number, name in enumerate(names):
        if isinstance(rows, pa.Table):
            values, remedy = rows[name].to_numpy(), f"leave it out with {option(name, 'drop')}"
            keep = f", or keep it with {option(name, 'number')}"
        else:
            values, remedy, keep = rows[:, number], f"leave out column {number} of the array", ""
        if values.dtype.kind not in "iuf":
            continue
        if look_like_days(values):
            warn_of_days(name)
        elif looks_like_key(values):
            warn_of_key(name, remedy + keep)
        if values.dtype.kind in "iu" and (np.abs(values.astype(np.float64)) > 2.0**53).any():
            warn_of_rounding(name, remedy)
