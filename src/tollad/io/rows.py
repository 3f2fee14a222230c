"""Blocks of rows of a file, each a table or an array for a detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Number of values in a block of images or series: 32 MB as float64.
_BLOCK_VALUES = 1 << 22

TableOrArray: TypeAlias = "pa.Table | NDArray[Any]"


@dataclass(frozen=True)
class RowBlock:
    """Successive rows of a file.

    Attributes
    ----------
    first_row : int
        Number of the first row in the file, from 0.
    rows : pyarrow.Table or ndarray
        Rows for the methods of a detector.
    column : str or None
        Name of the column that was asked for.
    values : list of n str or None
        The values of that column, None where missing; empty if no column was asked for.
    beside : dict of str to list of n str or None
        More columns that were asked for, by name.
    numbers : ndarray of int64, (n,), or None
        Number of each row in the file, from 0, if rows were left out; None if the rows follow `first_row` without gaps.
    lines : ndarray of int64, (n,), or None
        Line number on which each row begins, from 1; None if unknown.
    """

    first_row: int
    rows: TableOrArray
    column: str | None
    values: list[str | None]
    beside: dict[str, list[str | None]] = field(default_factory=dict, kw_only=True)
    numbers: NDArray[np.int64] | None = field(default=None, kw_only=True)
    lines: NDArray[np.int64] | None = field(default=None, kw_only=True)

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the number of each row in the file, from 0: (n,)."""
        return np.arange(self.first_row, self.first_row + len(self.rows)) if self.numbers is None else self.numbers


def rows_in_block(shape: Sequence[int]) -> int:
    """Return how many rows of a given shape, such as (C, H, W), are in a block."""
    return max(1, _BLOCK_VALUES // math.prod(shape))


def filter_rows(rows: TableOrArray, mask: NDArray[np.bool_]) -> TableOrArray:
    """Return the rows where the mask, (n,), is true."""
    return rows.filter(pa.array(mask)) if isinstance(rows, pa.Table) else rows[mask]


def take_rows(rows: TableOrArray, order: NDArray[np.intp]) -> TableOrArray:
    """Return a copy of the rows of these numbers, in this order."""
    return rows.take(pa.array(order)) if isinstance(rows, pa.Table) else rows[order]


def concat_rows(parts: Sequence[TableOrArray]) -> TableOrArray:
    """Concatenate tables, or arrays."""
    return pa.concat_tables(parts) if isinstance(parts[0], pa.Table) else np.concatenate(parts)


def with_names(rows: NDArray[np.float64], names: Sequence[str]) -> pa.Table:
    """Return an array as a table, so that scikit-learn finds the names of the columns."""
    return pa.table([pa.array(column) for column in rows.T], names=list(names))
