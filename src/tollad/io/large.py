"""Training tables beyond memory.

They are read twice: once to decide the kinds of columns, once to put the rows on disk.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.arrays import check_unchanged, fingerprint
from tollad.io.blocks import Block
from tollad.io.records import standard_input
from tollad.io.sources import TableSource
from tollad.tables import large as stored
from tollad.tables.encode import to_codes
from tollad.tables.large import LargeRows, RowFile, in_blocks, order_statistics, temporary_space
from tollad.tables.one_column import Survey
from tollad.tables.schema import Column, Where, check_kinds, date_column
from tollad.tables.stand_ins import warn_of_empty_rows
from tollad.tables.survey import decided


class Keep(Protocol):
    """Selects the rows of each block to learn from."""

    def __call__(self, block: Block) -> NDArray[np.bool_]: ...
    def check(self) -> None:
        """Raise ValueError if no block had such a row."""


# Most levels of a category: memory holds them all, and so does the model file.
MOST_LEVELS = 1 << 20
# Bytes of float64 for each byte of a text of numbers.
_EXPANSION, _EXPANSION_OF_GZIP = 2, 8
_SPOOLED_IN_MEMORY = 1 << 25
_COPIED = 1 << 20


@contextmanager
def spooled_input() -> Iterator[BinaryIO]:
    """Store standard input for repeated reading: in memory if it is small, else in a temporary file.

    Raises
    ------
    OSError
        If the folder for temporary files is full, or standard input is closed.
    """
    given = standard_input()
    with ExitStack() as stack:
        held: BinaryIO = io.BytesIO()
        while chunk := given.read(_COPIED):
            if held.tell() + len(chunk) > _SPOOLED_IN_MEMORY and isinstance(held, io.BytesIO):
                begun, held = held, stack.enter_context(tempfile.TemporaryFile(buffering=0, prefix="tollad-"))
                chunk = begun.getvalue() + chunk
            with temporary_space():
                while chunk:
                    chunk = chunk[held.write(chunk) :]
        yield held


def is_large(path: str, spooled: BinaryIO | None = None) -> bool:
    """Return whether a table is so large that its rows should stay on disk during a fit."""
    if path.lower().endswith((".parquet", ".pq")):
        from pyarrow import parquet  # slow to import, with its clients of cloud storage

        with open(path, "rb") as file:
            metadata = parquet.read_metadata(file)
        return 8 * metadata.num_rows * metadata.num_columns > stored.IN_MEMORY_BYTES
    if spooled is None:
        size, zipped = os.path.getsize(path), path.lower().endswith(".gz")
    else:
        read_so_far = spooled.tell()
        size, _, zipped = spooled.seek(0, os.SEEK_END), spooled.seek(0), spooled.read(2) == b"\x1f\x8b"
        spooled.seek(read_so_far)
    return size * (_EXPANSION_OF_GZIP if zipped else _EXPANSION) > stored.IN_MEMORY_BYTES


def large_rows(
    source: TableSource, names: Sequence[str], asked: Mapping[str, str], keep: Keep, *, named: bool = True
) -> tuple[LargeRows, int, list[Column]]:
    """Write the rows of a table to disk for a fit, read as by `fit_columns` and `to_codes` of `tollad.tables`.

    Only a block of rows and the levels of categories are in memory.

    Parameters
    ----------
    source : TableSource
        It is read twice; three times if a column looks like numbers or dates at first and turns out to be text.
    names : sequence of str
        The columns to learn from.
    asked : mapping of str to str
        Kinds of some columns, see `tollad.tables.survey.fit_columns`.
    keep : Keep
    named : bool, default True
        Whether the columns have names of their own.

    Returns
    -------
    rows : LargeRows
    n_read : int
        Number of rows of the table, kept or not.
    columns : list of Column

    Raises
    ------
    ValueError
        As `tollad.tables.survey.fit_columns`; for categories of over a million levels, and a file that changes.
    OSError
        If the folder for temporary files is full or too small.
    """
    check_kinds(names, asked)
    before = fingerprint(source.path)
    columns, n_read, n_kept = _survey(source, names, asked, keep)
    file = RowFile(sum(column.kind != "drop" for column in columns), n_kept)
    source.numeric.update(column.name for column in columns if column.kind == "number")
    for block in source:
        rows, where = _kept(block, names, keep)
        file.append(to_codes(rows, columns, where=where))
    check_unchanged(source.path, before if len(file) == n_kept else (-1, -1))
    columns = _with_dates(columns, file)
    if not asked and all(column.kind == "number" and not column.clock for column in columns):
        return LargeRows(file, names=names if named else None), n_read, columns
    return LargeRows(file, names=names, columns=columns), n_read, columns


def _survey(
    source: TableSource, names: Sequence[str], asked: Mapping[str, str], keep: Keep
) -> tuple[list[Column], int, int]:
    """Return the columns without the constants of dates, the number of rows, and the number of kept rows."""
    counted: set[str] = set()
    while True:
        surveys = [Survey(name, asked.get(name), counted=name in counted, most_levels=MOST_LEVELS) for name in names]
        n_read = n_kept = n_empty = 0
        for block in source:
            rows, where = _kept(block, names, keep)
            rows = source.with_categories(rows, asked)
            empty = np.ones(len(rows), dtype=np.bool_)
            for survey in surveys:
                empty &= survey.add(rows[survey.name], where)
            n_read, n_kept, n_empty = n_read + len(block), n_kept + len(rows), n_empty + int(empty.sum())
            if again := {survey.name for survey in surveys if survey.again}:
                counted |= again
                source.numeric.clear()
                break
            source.numeric.update(survey.name for survey in surveys if survey.is_number)
        else:
            keep.check()
            columns = decided(surveys, source.path)
            if len(columns) > 1:
                warn_of_empty_rows(n_empty)
            return columns, n_read, n_kept


def _kept(block: Block, names: Sequence[str], keep: Keep) -> tuple[pa.Table, Where]:
    """Return the rows of a block to learn from, and a function that names the place of each."""
    mask = keep(block)
    numbers = np.flatnonzero(mask)
    return block.select(names).filter(pa.array(mask)), lambda row: block.where(int(numbers[row]))


def _with_dates(columns: Sequence[Column], file: RowFile) -> list[Column]:
    """Return the columns with the constants of dates, from all dates on disk."""
    kept = [column for column in columns if column.kind != "drop"]
    dates = [number for number, column in enumerate(kept) if column.kind == "date"]
    if not dates:
        return [*columns]
    days = LargeRows(file, changes=[lambda rows: np.ascontiguousarray(rows[:, dates])])
    last = np.sum([np.isfinite(block).sum(0) for block in in_blocks(days)], axis=0) - 1
    hours = np.any([(block % 1 > 0).any(0) for block in in_blocks(days)], axis=0)
    ranked = order_statistics(days, np.stack([np.zeros_like(last), last // 2, last])).T.tolist()
    dated = {
        kept[number].name: date_column(kept[number], *constants, hours=bool(has_hours))
        for number, constants, has_hours in zip(dates, ranked, hours, strict=True)
    }
    return [dated.get(column.name, column) for column in columns]
