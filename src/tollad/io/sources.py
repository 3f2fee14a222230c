"""Files of tables as streams of blocks: CSV, Excel, JSON lines, Parquet, NumPy arrays and standard input.

A table is read block by block, so that it may be larger than memory. Text stays text: only a whole column tells its
kind (`tollad.tables.survey`), and an error can name the line of a value.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.io.arrays import MAX_GIB, array_parts, check_exists, read_array
from tollad.io.dialect import Dialect, in_plain_form, learn_dates
from tollad.io.excel import excel_parts
from tollad.io.jsonlines import json_parts
from tollad.io.parquet import parquet_parts
from tollad.io.text import Piece, Reject, like_values, text_parts
from tollad.tables.frames import category_names, index_names
from tollad.tables.schema import MISSING, Column
from tollad.tables.values import READABLE
from tollad.warn import warn

BLOCK_ROWS = 16384

_PLAIN = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?", re.ASCII)

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ",", ".data": ","}
_JSON = (".jsonl", ".ndjson")
_EXCEL = (".xlsx", ".xlsm")
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
    "": "let its name say what it is, as table.csv does",
}


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

    def where(self, row: int) -> str:
        """Return the place of a row of the block: ``'data.csv, line 7'`` or ``'data.parquet, row 6'``, from 1."""
        if self.lines is None:
            return f"{self.path}, row {self.first_row + row + 1}"
        return f"{self.path}, {'row' if self.path.lower().endswith(_EXCEL) else 'line'} {self.lines[row]}"

    def select(self, names: Sequence[str]) -> pa.Table:
        """Return some columns with decimal points and dates like 2024-12-31; ValueError as in `in_plain_form`."""
        return in_plain_form(self.table.select(names), self.dialect, self.where)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the column of that name; ValueError if there is none."""
        if name not in self.names:
            raise ValueError(_no_such_column(self.path, self.names, name))
        return self.table.column(name)


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
        missing = pa.array([*MISSING, *self.dialect.missing], pa.string())
        missing_numbers = [word for word in self.dialect.missing if _PLAIN.fullmatch(word)]
        for part in self._parts():
            table = pa.table(
                [_with_nulls(column, missing, missing_numbers) for column in part.table.columns],
                names=part.table.column_names,
            )
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
    if key is not None and ending not in (*_ARRAYS, *_EXCEL):
        raise ValueError(f"{label}: holds no arrays with names, so the key {key!r} means nothing; leave it out")
    parts: Callable[[], Iterator[Piece]]
    if ending in _ARRAYS:
        parts = partial(array_parts, path, read_array(path, key, max_gib=max_gib), block_rows)
    elif ending in _PARQUET:
        parts = partial(parquet_parts, path, block_rows)
    elif ending in _EXCEL:
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


def _ending(path: str) -> str:
    """Return the ending of an existing file in lower case, without .gz."""
    check_exists(path)
    name = path.lower()
    ending = PurePath(name.removesuffix(".gz")).suffix
    if ending in (*_SEPARATORS, *_JSON) or (ending in (*_EXCEL, *_PARQUET, *_ARRAYS) and not name.endswith(".gz")):
        return ending
    text, binary = ", ".join((*_SEPARATORS, *_JSON)), ", ".join((*_EXCEL, *_PARQUET, *_ARRAYS))
    remedy = f"{_OTHER[ending]}; " if ending in _OTHER else ""
    raise ValueError(
        f"{path}: unknown kind of file; {remedy}known endings are {text} (each also with .gz) and {binary}"
    )


def _no_such_column(path: str, names: Sequence[str], wanted: str) -> str:
    similar = difflib.get_close_matches(wanted, names)
    if similar:
        return f"{path}: has no column {wanted!r}; did you mean {' or '.join(map(repr, similar))}?"
    known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"{path}: has no column {wanted!r}; it has {known}"


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


def _with_nulls(column: pa.ChunkedArray, words: pa.Array, numbers: Sequence[str]) -> pa.ChunkedArray:
    """Return a column in which all missing values are null and text has the type string.

    `numbers` are those of the words that are numbers: -999 stands for -999.0, too, also in columns of numbers.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    kinds = pa.types
    if kinds.is_string(column.type):
        text = pc.ascii_trim_whitespace(column)
        missing = pc.is_in(text, words)
        if numbers:
            missing = pc.or_(missing, pc.match_substring_regex(text, f"^({'|'.join(map(_spellings, numbers))})$"))
    elif numbers and (kinds.is_floating(column.type) or kinds.is_integer(column.type) or kinds.is_decimal(column.type)):
        values = column.cast(pa.float64(), safe=False)
        missing = pc.or_(pc.is_nan(values), pc.is_in(values, pa.array([*map(float, numbers)])))
    elif kinds.is_floating(column.type):
        missing = pc.is_nan(column)
    else:
        return column
    return pc.if_else(missing, pa.scalar(None, column.type), column)


def _spellings(number: str) -> str:
    """Return the pattern of the ways to write a plain number: 5 is also 05 and 5.00."""
    sign, whole, decimals = _PLAIN.fullmatch(number).groups()  # type: ignore[union-attr]
    decimals = (decimals or "").rstrip("0")
    rest = rf"\.{decimals}0*" if decimals else r"(\.0*)?"
    return f"{'-' if sign == '-' else '[+]?'}0*{whole.lstrip('0')}{rest}"
