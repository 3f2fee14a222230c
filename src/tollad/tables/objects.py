"""Arrays of Python objects, and of true and false, as numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRUTHS = (bool, np.bool_)


def with_objects(rows: Any) -> Any:
    """Return a list of lists that holds texts, true or false as an array of objects.

    NumPy would make texts of all values, and 1 and 0 of true and false. Other rows are returned as they are. ValueError
    for lists of different lengths.
    """
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
        return rows
    lengths = [*map(len, rows)]
    other = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
    if other is not None:
        raise ValueError(
            f"row {other} has {lengths[other]} values, and row 0 has {lengths[0]}; give rows of one length"
        )
    if not any(isinstance(value, (str, *_TRUTHS)) for row in rows for value in row):
        return rows
    return np.array(rows, dtype=object)


def numbers_of(
    rows: NDArray[Any], names: Sequence[str] | None = None, truths: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Return an array of objects, (n, d), as float64. Arrays of numbers, or of more axes, are returned as they are.

    Parameters
    ----------
    rows : ndarray
    names : sequence of str, (d,), optional
        Of the columns, for messages; by default x1 to xd.
    truths : ndarray of bool, (d,), optional
        In which columns true and false may stand for 1 and 0. By default, in those that hold no other numbers.

    Raises
    ------
    ValueError, TypeError
        For a value that is no number, and for true or false in a column of other numbers; with its row and column.

    Examples
    --------
    >>> numbers_of(np.array([[1.5, True], [None, 0]], dtype=object)).tolist()
    [[1.5, 1.0], [nan, 0.0]]
    >>> numbers_of(np.array([[1.5], [True]], dtype=object))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: row 1, column 'x1': True stands among other numbers than 0 and 1; ...
    """
    if rows.ndim != 2 or rows.dtype.kind not in "Ob":
        return rows
    numbers = rows.astype(np.float64) if rows.dtype.kind == "b" else _as_floats(rows, names)
    if rows.dtype.kind == "b":
        given = np.ones(rows.shape, dtype=np.bool_)
    else:
        given = np.array([isinstance(value, _TRUTHS) for value in rows.flat], dtype=np.bool_).reshape(rows.shape)
    if not given.any():
        return numbers
    may = (np.isin(numbers, (0, 1)) | np.isnan(numbers)).all(0) if truths is None else truths
    if (wrong := given & ~may).any():
        row, column = np.argwhere(wrong)[0].tolist()
        among = "stands among other numbers than 0 and 1" if truths is None else "is no number like those of the fit"
        raise ValueError(
            f"{_place(row, column, names)}: {bool(rows[row, column])} {among}; correct it, or mark it as missing (NaN)"
        )
    return numbers


def _as_floats(rows: NDArray[np.object_], names: Sequence[str] | None) -> NDArray[np.float64]:
    pandas = sys.modules.get("pandas")
    if pandas is not None:  # its NA is no number to NumPy
        rows = np.where(pandas.isna(rows), np.nan, rows)
    try:
        return rows.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        for row, column in np.ndindex(rows.shape):
            try:
                rows[row : row + 1, column].astype(np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(
                    f"{_place(row, column, names)}: {error}; an array holds numbers, and a frame, such as "
                    "pandas.DataFrame, may hold texts and dates, too"
                ) from None
        raise


def _place(row: int, column: int, names: Sequence[str] | None) -> str:
    return f"row {row}, column {names[column] if names is not None else f'x{column + 1}'!r}"
