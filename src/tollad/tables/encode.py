"""Encode a table as a matrix in two steps: one code for each value, then the columns of the matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import TEXT
from tollad.tables.categories import warn_of_known_levels
from tollad.tables.frames import known_columns
from tollad.tables.schema import CYCLES, MAX_LEVELS, Column, Where, category_column, outputs_of
from tollad.tables.times import days_of
from tollad.tables.values import composed, read_as


def encode(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> NDArray[np.float64]:
    """Return rows as numbers, (n, m), with the columns of `encoding`.

    A number stays as it is, NaN where missing. A category becomes 1 in the column of its level, or in "(other)" if no
    training row had the level. With more than `MAX_LEVELS` levels it becomes ``-log((count + 1) / (n_training_rows +
    n_levels))``. There, a level with a single training row counts as unseen: by Good and Turing, unseen levels are
    about as frequent in new rows as levels with a single row are in training rows. A date becomes the days since the
    median, sine and cosine of each cycle, and whether it is missing; if it is, the others are 0.

    Parameters
    ----------
    table : pyarrow.Table
        Any number of rows, with the columns in any order. Dropped columns may be missing.
    columns : sequence of Column
        From `fit_columns`.
    where : callable, optional
        As in `fit_columns`.

    Raises
    ------
    ValueError
        For missing or additional columns, infinite numbers, and values of another kind than the column's.

    Examples
    --------
    >>> from tollad.tables.survey import fit_columns
    >>> table = pa.table({"age": [31.0, None, 40.0], "city": ["Bonn", "Lima", "Bonn"]})
    >>> encode(table, fit_columns(table))
    array([[31.,  1.,  0.,  0.],
           [nan,  0.,  1.,  0.],
           [40.,  1.,  0.,  0.]])
    """
    return encode_codes(to_codes(table, columns, where=where), columns)


def to_codes(table: pa.Table, columns: Sequence[Column], *, where: Where = "row {}".format) -> NDArray[np.float64]:
    """Return one code for each value of the columns that are not dropped: (n, k), the first step of `encode`.

    The code of a number is the number, NaN where missing. The code of a category is the index of its level in
    `Column.levels`, or the number of levels for an unknown one. The code of a date is its days since 1970-01-01 in
    local time, NaN where missing.

    Parameters
    ----------
    table, columns, where
        As in `encode`. The median and the cycles of dates are not needed.

    Raises
    ------
    ValueError
        As `encode` does.
    """
    by_name = known_columns(table, columns)
    kept = [column for column in columns if column.kind != "drop"]
    codes = np.empty((table.num_rows, len(kept)))
    for number, column in enumerate(kept):
        codes[:, number] = _code(column, read_as(column, by_name[column.name], where))
    return codes


def encode_codes(codes: NDArray[np.float64], columns: Sequence[Column]) -> NDArray[np.float64]:
    """Return the matrix that `encode` returns, (n, m), from the codes, (n, k): the second step of `encode`."""
    kept = [column for column in columns if column.kind != "drop"]
    widths = [len(outputs_of(column)) for column in kept]
    matrix = np.zeros((len(codes), sum(widths)))
    for number, (column, width, end) in enumerate(zip(kept, widths, np.cumsum(widths), strict=True)):
        _fill(matrix[:, end - width : end], column, codes[:, number])
    return matrix


def recount(
    columns: Sequence[Column], blocks: Iterable[NDArray[np.float64]]
) -> tuple[list[Column], dict[int, NDArray[np.int64]]]:
    """Learn the levels of categories again, from some of the rows only. Return the new columns and the new indices.

    The kinds of columns and the constants of dates stay. Levels that these rows lack become unknown.

    Parameters
    ----------
    columns : sequence of Column
    blocks : iterable of ndarray, (b, k)
        Codes of the rows to learn from.

    Returns
    -------
    columns : list of Column
    indices : dict of int to ndarray of int64, (number of old levels + 1,)
        For `recode`. For each category, by the index of its column among the k: the new index of each old level.

    Examples
    --------
    >>> columns = [Column("city", "category", ("Bonn", "Oslo"), (2, 1))]
    >>> recounted, indices = recount(columns, [np.array([[1.0]])])
    >>> recounted[0].levels, recode(np.array([[0.0], [1.0], [2.0]]), indices).tolist()
    (('Oslo',), [[1.0], [0.0], [1.0]])
    """
    kept = [column for column in columns if column.kind != "drop"]
    counts = {j: np.zeros(len(column.levels), np.int64) for j, column in enumerate(kept) if column.kind == "category"}
    for block in blocks:
        for j, counted in counts.items():
            counted += np.bincount(block[:, j].astype(np.int64), minlength=len(counted))
    new, indices = [*kept], {}
    for j, counted in counts.items():
        column = kept[j]
        present = {level: int(n) for level, n in zip(column.levels, counted, strict=True) if n}
        new[j] = category_column(column.name, present)
        index = {level: number for number, level in enumerate(new[j].levels)}
        indices[j] = np.array([*(index.get(level, len(index)) for level in column.levels), len(index)])
    by_name = {column.name: column for column in new}
    return [by_name.get(column.name, column) for column in columns], indices


def recode(codes: NDArray[np.float64], indices: Mapping[int, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Change codes to the new indices that `recount` returned."""
    changed = codes.copy()
    for j, index in indices.items():
        changed[:, j] = index[codes[:, j].astype(np.int64)]
    return changed


def _code(column: Column, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the values of a column, from `read_as`, as one number each."""
    if column.kind == "category":
        # Levels of older models are not normalised. `index_in` treats null as a level like any other.
        found = pc.index_in(values, value_set=composed(pa.array(column.levels, TEXT)))
        if found.null_count:
            warn_of_known_levels(column, values.filter(found.is_null()).drop_null().unique())
        return found.fill_null(len(column.levels)).to_numpy()
    return values.to_numpy() if column.kind == "number" else days_of(values)


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
        # Weekday and day of the year are constant within a day.
        days = codes if cycle == "hour" else np.floor(codes)
        angle = 2 * np.pi * np.mod(days / CYCLES[cycle], 1)
        out[:, 1 + 2 * j], out[:, 2 + 2 * j] = np.sin(angle), np.cos(angle)
    out[missing] = 0
    out[:, -1] = missing


def _fill_category(out: NDArray[np.float64], column: Column, codes: NDArray[np.int64]) -> None:
    n_levels = len(column.levels)
    if n_levels <= MAX_LEVELS:
        out[np.arange(len(out)), codes] = 1
    else:
        counts = np.array([*column.counts, 0])
        shown = np.where(counts > column.unseen, counts, 0)
        out[:, 0] = -np.log((shown + 1) / (counts.sum() + n_levels))[codes]
