"""Files of tables as streams of blocks: CSV, Excel, JSON lines, Parquet, NumPy arrays and standard input.

A table is read block by block, so that it may be larger than memory. Text stays text: only a whole column tells its
kind (`tollad.tables.survey`), and an error can name the line of a value.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from tollad.io.arrays import MAX_GIB, array_parts, check_exists, read_array
from tollad.io.blocks import Block
from tollad.io.dialect import Dialect, learn_dates
from tollad.io.excel import EXCEL, excel_parts
from tollad.io.jsonlines import json_parts
from tollad.io.missing import MissingValues
from tollad.io.parquet import parquet_parts
from tollad.io.pictures import ENDINGS as IMAGE_ENDINGS
from tollad.io.skipped import Reject
from tollad.io.text import Piece, like_values, text_parts
from tollad.tables.frames import category_names, index_names
from tollad.tables.schema import Column
from tollad.tables.values import READABLE
from tollad.warn import warn

BLOCK_ROWS = 16384

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ",", ".data": ","}
_JSON = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_ARRAYS = (".npy", ".npz")
# Remedies for files of other kinds, by their endings.
_OTHER = {
    **dict.fromkeys((".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz"), "unpack it first, or compress it by gzip"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), "save it as .xlsx or as CSV"),
    ".json": "write one object a line, as jq -c '.[]' does, and let the name end in .jsonl",
    **dict.fromkeys(
        (".feather", ".arrow", ".orc", ".h5", ".hdf5", ".sav", ".dta", ".sas7bdat", ".pkl", ".pickle"),
        "read it with pandas, and save it as Parquet",
    ),
    **dict.fromkeys(IMAGE_ENDINGS, "give the folder that the image lies in"),
    "": "let its name say what it is, as table.csv does",
}


@dataclass(frozen=True)
class TableSource:
    """A table as an iterable of blocks in file order; made by `open_table`.

    Each iteration reads the file anew. Standard input can be read only once.

    Attributes
    ----------
    numeric : set of str
        Columns of text that are read as float64, which is faster, in each piece of the file where they hold only
        numbers. Both types of blocks mean the same. The set is empty at first; a caller who knows the columns fills it.
    dialect : Dialect
        How the text is written.
    index : frozenset of str
        Columns of a Parquet file that hold the index of a pandas frame; they are no features.
    categories : frozenset of str
        Columns of a Parquet file whose type is one of categories, whatever their values are.
    """

    path: str
    names: tuple[str, ...]
    block_rows: int
    numeric: set[str]
    dialect: Dialect
    _parts: Callable[[], Iterator[Piece]]
    index: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()

    def named_like(self, fitted: Collection[str]) -> TableSource:
        """Return the table with the names of a fit where its own differ from them in outer spaces, which no file keeps.

        A frame keeps them: pandas reads " b" from a first line "a, b".
        """
        spaced = {name.strip(): name for name in fitted}
        return replace(self, names=tuple(name if name in fitted else spaced.get(name, name) for name in self.names))

    def with_categories(self, table: pa.Table, asked: Collection[str]) -> pa.Table:
        """Return some columns, in which categories have a type of categories, but for those whose kind is `asked`."""
        for place, name in enumerate(table.column_names):
            if name in self.categories and name not in asked:
                table = table.set_column(place, name, table.column(place).dictionary_encode())
        return table

    def learn_dates(self, names: Sequence[str], rows: pa.Table | None = None) -> None:
        """Note the formats of dates in columns of text, from `rows` or, by default, from the first block.

        Columns of a Parquet file, which have types of their own, are left as they are.
        """
        if not self.path.lower().endswith((*_PARQUET, *_ARRAYS)):
            rows = next(iter(self)).table if rows is None else rows
            learn_dates(self.dialect, rows.select(names), self.path)

    def __iter__(self) -> Iterator[Block]:
        first_row = 0
        missing = MissingValues(self.dialect.missing)
        for part in self._parts():
            table = pa.table([missing.as_nulls(column) for column in part.table.columns], names=self.names)
            for start in range(0, table.num_rows, self.block_rows):
                chosen = slice(start, start + self.block_rows)
                rows = table.slice(start, self.block_rows)
                lines, numbers = (None if known is None else known[chosen] for known in part[1:])
                if numbers is not None:
                    first_row = int(numbers[0])
                    numbers = None if numbers[-1] - first_row == len(numbers) - 1 else numbers
                yield Block(self.path, self.names, first_row, rows, lines, numbers, self.dialect)
                first_row += rows.num_rows


def open_table(
    path: str | os.PathLike[str],
    *,
    header: bool = True,
    block_rows: int = BLOCK_ROWS,
    key: str | None = None,
    reject: Reject | None = None,
    spooled: BinaryIO | None = None,
    dialect: Dialect | None = None,
    max_gib: float = MAX_GIB,
) -> TableSource:
    """Open a table: CSV and its relatives (also gzipped), JSON lines, Excel, Parquet, an NPY or NPZ array.

    Parameters
    ----------
    path : path-like
        The ending tells the format; ``"-"`` is CSV on standard input.
    header : bool, default=True
        Whether the first line of a text file holds the column names. If not, they are x1, x2, ..., as for arrays.
        Blank lines are skipped.
    block_rows : int, default=16384
        The most rows of one block, >= 1.
    key : str, optional
        Name of the array in an NPZ file, or of the sheet in a workbook, that holds several.
    reject : callable, optional
        Called for each row of text that cannot be read, with its number in the file from 0, its line, the reason and
        its text. The row is then left out. By default such a row is an error.
    spooled : binary file, optional
        Stored standard input, which can be read again.
    dialect : Dialect, optional
        How the text is written. The separator is guessed by default.
    max_gib : float, default 1
        Limit of the unpacked size of an NPZ file or workbook, in GiB.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no readable table with at least one row. Only the beginning is read here. Errors further down are
        raised while iterating.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tollad.io.blocks import column_as_strings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "people.csv")
    ...     _ = path.write_text("age,city\\n31,Bonn\\n?,Oslo\\n")
    ...     for block in open_table(path):
    ...         print(block.names, column_as_strings(block, "age"), block.where(1))  # doctest: +ELLIPSIS
    ('age', 'city') ['31', None] ...people.csv, line 3
    """
    path = os.fspath(path)
    if block_rows < 1:
        raise ValueError(f"block_rows must be at least 1, not {block_rows}")
    label = "standard input" if path == "-" else path
    ending = ".csv" if path == "-" else _ending(path)
    dialect = Dialect() if dialect is None else replace(dialect, dates={**dialect.dates})
    numeric: set[str] = set()
    if key is not None and ending not in (*_ARRAYS, *EXCEL):
        raise ValueError(f"{label}: holds no arrays with names, so the key {key!r} means nothing; leave it out")
    parts: Callable[[], Iterator[Piece]]
    if ending in _ARRAYS:
        parts = partial(array_parts, path, read_array(path, key, max_gib=max_gib), block_rows)
    elif ending in _PARQUET:
        parts = partial(parquet_parts, path, block_rows)
    elif ending in EXCEL:
        parts = partial(excel_parts, path, header, block_rows, key, reject, max_gib, dialect.decimal)
    elif ending in _JSON:
        parts = partial(json_parts, path, block_rows, reject, dialect.decimal)
    else:
        parts = partial(text_parts, path, label, _SEPARATORS[ending], header, numeric, reject, spooled, dialect)

    stream = parts()
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{label}: has column names but no rows; give a table with at least one row")
    names = tuple(first.table.column_names)
    begun = itertools.chain([first], stream)
    read = _begun(label, begun, None if path == "-" and spooled is None else parts)
    schema = first.table.schema
    categories = category_names(schema).intersection(names)
    return TableSource(
        label, names, block_rows, numeric, dialect, read, frozenset(index_names(schema)), frozenset(categories)
    )


def may_lack_header(source: TableSource) -> bool:
    """Return whether the first line of a text file, which was taken for the column names, looks like a row."""
    return like_values(source.names) and not source.path.lower().endswith(_PARQUET)


def warn_of_lost_row(source: TableSource) -> None:
    """Warn where `may_lack_header` is true."""
    if may_lack_header(source):
        warn(
            f"{source.path}: the first line, taken for the names of the columns, holds numbers only; if it is a row, "
            "read the file with header=False"
        )


def warn_of_names_like_a_row(source: TableSource, columns: Sequence[Column]) -> None:
    """Warn if the names of all columns look like their values, so that the first line may be a row.

    The name of a category is one of its levels, that of a number is a number, and that of a date is a date. Of numbers
    alone, `warn_of_lost_row` warns.
    """
    kept = [column for column in columns if column.kind != "drop"]
    like = [
        column.name in column.levels if column.kind == "category" else re.match(READABLE[column.kind], column.name)
        for column in kept
    ]
    mixed = any(column.kind != "number" for column in kept)
    if mixed and all(like) and not source.path.lower().endswith(_PARQUET):
        warn(
            f"{source.path}: the first line, taken for the names of the columns, looks like the rows below it; if it "
            "is one, read the file with header=False"
        )


def read_table(source: TableSource) -> Block:
    """Return all rows of a source as one block in memory."""
    blocks = list(source)
    lines = [block.lines for block in blocks if block.lines is not None]
    table = pa.concat_tables([block.table for block in blocks])
    return Block(source.path, source.names, 0, table, np.concatenate(lines) if lines else None, dialect=source.dialect)


def _ending(path: str) -> str:
    """Return the ending of an existing file in lower case, without .gz."""
    check_exists(path)
    name = path.lower()
    ending = PurePath(name.removesuffix(".gz")).suffix
    if ending in (*_SEPARATORS, *_JSON) or (ending in (*EXCEL, *_PARQUET, *_ARRAYS) and not name.endswith(".gz")):
        return ending
    text, binary = ", ".join((*_SEPARATORS, *_JSON)), ", ".join((*EXCEL, *_PARQUET, *_ARRAYS))
    remedy = f"{_OTHER[ending]}; " if ending in _OTHER else ""
    raise ValueError(
        f"{path}: unknown kind of file; {remedy}known endings are {text} (each also with .gz) and {binary}"
    )


def _begun(
    label: str, begun: Iterator[Piece], anew: Callable[[], Iterator[Piece]] | None
) -> Callable[[], Iterator[Piece]]:
    """The first call resumes the open stream; later calls reopen the file, or fail without `anew`."""
    unread = [begun]

    def read() -> Iterator[Piece]:
        if unread:
            return unread.pop()
        if anew is None:
            raise ValueError(f"{label}: can be read only once; save it to a file first")
        return anew()

    return read
