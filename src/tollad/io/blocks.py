"""Blocks of rows of a table, and how their columns are found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.dialect import Dialect, in_plain_form
from tollad.io.excel import EXCEL


@dataclass(frozen=True)
class Block:
    """Successive rows of a table.

    Attributes
    ----------
    path : str
        Name of the file in messages.
    names : tuple of str
        Column names, distinct.
    first_row : int
        Number of the block's first row in the file, from 0.
    table : pyarrow.Table
        The columns. Those of a text file are strings, with their spaces. Missing values are null.
    lines : ndarray of int64, shape (n_rows,), or None
        The line of the file on which each row begins, from 1. None for files without lines.
    numbers : ndarray of int64, shape (n_rows,), or None
        Number of each row in the file, from 0, if rows were left out; None if the rows follow `first_row` without gaps.
    dialect : Dialect
        How the text is written.
    """

    path: str
    names: tuple[str, ...]
    first_row: int
    table: pa.Table
    lines: NDArray[np.int64] | None
    numbers: NDArray[np.int64] | None = None
    dialect: Dialect = field(default_factory=Dialect)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the number of each row in the file, from 0: (n_rows,)."""
        return np.arange(self.first_row, self.first_row + len(self)) if self.numbers is None else self.numbers

    def where(self, row: int) -> str:
        """Return the place of a row of the block: ``'data.csv, line 7'`` or ``'data.parquet, row 6'``, from 1."""
        if self.lines is None:
            return f"{self.path}, row {self.first_row + row + 1}"
        return f"{self.path}, {'row' if self.path.lower().endswith(EXCEL) else 'line'} {self.lines[row]}"

    def select(self, names: Sequence[str]) -> pa.Table:
        """Return some columns with decimal points and dates like 2024-12-31; ValueError as in `in_plain_form`."""
        return in_plain_form(self.table.select(names), self.dialect, self.where)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the column of that name; ValueError if there is none."""
        if name not in self.names:
            raise ValueError(_no_such_column(self.path, self.names, name))
        return self.table.column(name)


def column_as_strings(block: Block, name: str) -> list[str | None]:
    """Return the values of a column as text, None where missing: for labels and identifiers.

    Raises
    ------
    ValueError
        If there is no such column, or its values (lists, raw bytes, ...) have no text.
    """
    column = block.column(name)
    try:
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        raise ValueError(f"{block.path}, column {name!r}: values of type {column.type} have no text") from None
    return texts


def resolve_column(path: str, names: Sequence[str], wanted: str) -> str:
    """Return the column that a user calls `wanted`: by its name, or by a negative number that counts from the end.

    Raises
    ------
    ValueError
        If there is none; the message begins with `path` and lists similar names.

    Examples
    --------
    >>> resolve_column("data.csv", ["x1", "x2", "x3"], "-1")
    'x3'
    """
    if wanted in names:
        return wanted
    if re.fullmatch("-[1-9][0-9]{0,8}", wanted) and -int(wanted) <= len(names):
        return names[int(wanted)]
    raise ValueError(_no_such_column(path, names, wanted))


def _no_such_column(path: str, names: Sequence[str], wanted: str) -> str:
    similar = difflib.get_close_matches(wanted, names)
    if similar:
        return f"{path}: has no column {wanted!r}; did you mean {' or '.join(map(repr, similar))}?"
    known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"{path}: has no column {wanted!r}; it has {known}"
