"""Decode matrices to values, and convert a table to the types of its columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.tables.frames import known_columns
from tollad.tables.schema import MAX_LEVELS, Column, Where, encoding
from tollad.tables.values import FIRST_DAY, LAST_DAY, clock_of, read_as, typed_as


def typed(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> pa.Table:
    """Convert a table to the types of its columns: numbers, timestamps, and text for categories.

    `fit_columns` and `encode` give the same results for the converted table as for the original one.

    Parameters
    ----------
    table, columns, where
        As in `encode`.

    Returns
    -------
    pyarrow.Table
        The columns in the order of `columns`. Dropped columns are null.

    Raises
    ------
    ValueError
        As `encode` does.

    Examples
    --------
    >>> from tollad.tables.survey import fit_columns
    >>> table = pa.table({"age": ["31", "?"], "seen": ["2024-02-29", "2024-03-01 12:00"]})
    >>> rows = typed(table, fit_columns(table))
    >>> [str(type) for type in rows.schema.types]
    ['double', 'timestamp[us]']
    """
    by_name = known_columns(table, columns)
    nothing = pa.nulls(table.num_rows)
    arrays = [nothing if column.kind == "drop" else typed_as(column, by_name[column.name], where) for column in columns]
    return pa.table(arrays, names=[column.name for column in columns])


def values_of(table: pa.Table, columns: Sequence[Column]) -> NDArray[np.object_]:
    """Return the values of a table after `typed`: (n, number of columns), None where missing or dropped.

    Durations and times of day are in seconds, and true and false are 1 and 0.
    """
    values = np.full((table.num_rows, len(columns)), None, dtype=object)
    for number, column in enumerate(typed(table, columns).columns):
        is_number = clock_of(column.type) or pa.types.is_boolean(column.type)
        values[:, number] = (read_as(columns[number], column, str) if is_number else column).to_pylist()
    return values


def decode(matrix: NDArray[np.float64], columns: Sequence[Column]) -> NDArray[np.object_]:
    """Return encoded rows, or reconstructions of them, as values: (n, m) -> (n, number of columns).

    A number stays a number. A category becomes the level with the largest output, or None for "(other)" and where only
    its rarity was encoded. A date becomes its day as text.

    Parameters
    ----------
    matrix : ndarray of float64, (n, m)
        Rows from `tollad.tables.encode.encode`, or reconstructions of such rows.
    columns : sequence of Column
        The columns that the matrix was encoded with.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from tollad.tables.encode import encode
    >>> from tollad.tables.survey import fit_columns
    >>> table = pa.table({"age": [31.0, 25.0, 40.0], "city": ["Bonn", "Lima", "Bonn"]})
    >>> columns = fit_columns(table)
    >>> decode(encode(table, columns), columns).tolist()
    [[31.0, 'Bonn'], [25.0, 'Lima'], [40.0, 'Bonn']]
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
            days = np.clip(outputs[:, 0] + column.median, FIRST_DAY, LAST_DAY)
            values[:, number] = days.astype("datetime64[D]").astype(str)
    return values
