"""Files a user has, as streams of blocks: CSV, Parquet, NumPy arrays and standard input.

A table is read block by block, so that its size on disk is no limit. Text stays text: what a column is can only be told
from all of it (`tollad.tables.survey`), and an error can still name the line that a value stands on.
"""

from __future__ import annotations

import difflib
import itertools
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.io.text import Part, Reject, distinct_names, like_values, numbered, text_parts
from tollad.tables.frames import index_names
from tollad.tables.schema import MISSING
from tollad.warn import warn

BLOCK_ROWS = 16384

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ",", ".data": ","}
_PARQUET = (".parquet", ".pq")
_ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Block:
    """Successive rows of a table.

    Attributes
    ----------
    path : str
        The file, as messages name it.
    names : tuple of str
        Column names, distinct.
    first_row : int
        Number of the block's first row in the file, from 0.
    table : pyarrow.Table
        The columns. Those of a text file are strings, spaces kept. Missing values are null.
    lines : ndarray of int64, shape (n_rows,), or None
        The line of the file on which each row begins, from 1. None for files without lines.
    numbers : ndarray of int64, shape (n_rows,), or None
        Number of each row in the file, from 0, where rows were left out; None if they follow `first_row`.
    """

    path: str
    names: tuple[str, ...]
    first_row: int
    table: pa.Table
    lines: NDArray[np.int64] | None
    numbers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def where(self, row: int) -> str:
        """Where a row of this block stands: ``'data.csv, line 7'`` or ``'data.parquet, row 6'``, counted from 1."""
        if self.lines is None:
            return f"{self.path}, row {self.first_row + row + 1}"
        return f"{self.path}, line {self.lines[row]}"

    def column(self, name: str) -> pa.ChunkedArray:
        """The column of that name; ValueError if there is none."""
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
        Columns of text to be read as float64 wherever a piece of the file has nothing else in them: faster, and blocks
        of either type are understood alike. Empty at first, to be filled by who knows what the columns are.
    index : frozenset of str
        Columns that hold the index of a pandas frame, in a Parquet file: no features.
    """

    path: str
    names: tuple[str, ...]
    block_rows: int
    numeric: set[str]
    _parts: Callable[[], Iterator[Part]]
    index: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Block]:
        first_row = 0
        for part in self._parts():
            table = pa.table([_with_nulls(column) for column in part.table.columns], names=part.table.column_names)
            for start in range(0, table.num_rows, self.block_rows):
                chosen = slice(start, start + self.block_rows)
                rows = table.slice(start, self.block_rows)
                lines, numbers = (None if known is None else known[chosen] for known in part[1:])
                if numbers is not None:
                    first_row = int(numbers[0])
                    numbers = None if numbers[-1] - first_row == len(numbers) - 1 else numbers
                yield Block(self.path, self.names, first_row, rows, lines, numbers)
                first_row += rows.num_rows


def open_table(
    path: str | os.PathLike[str],
    *,
    header: bool = True,
    block_rows: int = BLOCK_ROWS,
    key: str | None = None,
    reject: Reject | None = None,
    spooled: BinaryIO | None = None,
) -> TableSource:
    """Open a table: CSV and its relatives (also gzipped), Parquet, a 2-D NPY or NPZ array, or standard input.

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
        Name of the array in an NPZ file that holds several.
    reject : callable, optional
        Is told of each row of text that cannot be read (its number in the file from 0, its line, what is wrong, and its
        text), which is then left out; by default such a row is an error.
    spooled : binary file, optional
        What standard input held; it can then be read again.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no readable table with at least one row. Only the beginning is read here; what is wrong further
        down is raised while iterating.

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
    parts: Callable[[], Iterator[Part]]
    numeric: set[str] = set()
    if ending in _ARRAYS:
        parts = partial(_array_parts, path, read_array(path, key), block_rows)
    elif key is not None:
        raise ValueError(f"{label}: holds no arrays with names, so the key {key!r} means nothing; leave it out")
    elif ending in _PARQUET:
        parts = partial(_parquet_parts, path, block_rows)
    else:
        parts = partial(text_parts, path, label, _SEPARATORS[ending], header, numeric, reject, spooled)

    stream = parts()
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{label}: has column names but no rows; give a table with at least one row")
    names = tuple(first.table.column_names)
    begun = itertools.chain([first], stream)
    read = _begun(label, begun, None if path == "-" and spooled is None else parts)
    return TableSource(label, names, block_rows, numeric, read, frozenset(index_names(first.table.schema)))


def may_lack_header(source: TableSource) -> bool:
    """Return whether the first line of a text file, which was taken for the column names, is more like a row."""
    return like_values(source.names) and not source.path.lower().endswith(_PARQUET)


def warn_of_lost_row(source: TableSource) -> None:
    """Warn where `may_lack_header` is true."""
    if may_lack_header(source):
        warn(
            f"{source.path}: the first line, taken for the names of the columns, holds numbers only; if it is a row, "
            "read the file with header=False"
        )


def read_table(source: TableSource) -> Block:
    """All rows of a source as one block, in memory."""
    blocks = list(source)
    lines = [block.lines for block in blocks if block.lines is not None]
    table = pa.concat_tables([block.table for block in blocks])
    return Block(source.path, source.names, 0, table, np.concatenate(lines) if lines else None)


def read_array(path: str | os.PathLike[str], key: str | None = None) -> NDArray[Any]:
    """Read an array of samples, such as images (n, H, W) or (n, C, H, W), from an NPY or NPZ file.

    Parameters
    ----------
    path : path-like
        An NPY file is memory-mapped, read-only; an NPZ file is read into memory.
    key : str, optional
        Name of the array in an NPZ file; needed if it holds several.

    Returns
    -------
    ndarray, shape (n, ...), of two dimensions or more
        Real numbers or booleans, in the file's own type.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no such array. Python objects are never unpickled.
    """
    path = os.fspath(path)
    ending = _ending(path)
    if ending not in _ARRAYS:
        raise ValueError(f"{path}: arrays of any shape are read from {' and '.join(_ARRAYS)} files only")
    member = _npz_member(path, key) if ending == ".npz" else None
    if key is not None and member is None:
        raise ValueError(f"{path}: holds one array without a name, so the key {key!r} means nothing; leave it out")
    try:
        if member is None:
            array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        else:
            with np.load(path, allow_pickle=False) as archive:
                array = archive[member]
    # A damaged header makes NumPy raise nearly anything: it is read as a Python literal, if need be through tokenize.
    except (ValueError, TypeError, SyntaxError, EOFError, tokenize.TokenError, zipfile.BadZipFile, zlib.error) as error:
        if "Python objects" in str(error) or "Object arrays" in str(error):
            raise ValueError(f"{path}: holds Python objects, which are never unpickled; save plain numbers") from None
        raise _damaged(path, ending[1:].upper(), error) from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: holds values of type {array.dtype}; save real numbers or booleans")
    if array.ndim < 2:
        raise ValueError(f"{path}: holds an array of shape {array.shape}; it needs rows and columns")
    if array.size == 0:
        raise ValueError(f"{path}: holds an empty array of shape {array.shape}; it needs at least one row and column")
    return array


def column_as_strings(block: Block, name: str) -> list[str | None]:
    """The values of a column as text, None where missing: for labels and identifiers.

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
    """The column that a user calls `wanted`: by its name, or by a negative number that counts from the end.

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
    """The ending of an existing file in lower case, without .gz."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; give a file")
    name = path.lower()
    ending = PurePath(name.removesuffix(".gz")).suffix
    if ending in _SEPARATORS or (ending in (*_PARQUET, *_ARRAYS) and not name.endswith(".gz")):
        return ending
    text, binary = ", ".join(_SEPARATORS), ", ".join((*_PARQUET, *_ARRAYS))
    raise ValueError(f"{path}: unknown kind of file; known endings are {text} (each also with .gz) and {binary}")


def _no_such_column(path: str, names: Sequence[str], wanted: str) -> str:
    similar = difflib.get_close_matches(wanted, names)
    if similar:
        return f"{path}: has no column {wanted!r}; did you mean {' or '.join(map(repr, similar))}?"
    known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"{path}: has no column {wanted!r}; it has {known}"


def _damaged(path: str, kind: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(f"{path}: is no {kind} file, or damaged or cut short ({reason})")


def _begun(
    label: str, begun: Iterator[Part], anew: Callable[[], Iterator[Part]] | None
) -> Callable[[], Iterator[Part]]:
    """The first call resumes the open stream; later calls reopen the file, or fail without `anew`."""
    unread = [begun]

    def read() -> Iterator[Part]:
        if unread:
            return unread.pop()
        if anew is None:
            raise ValueError(f"{label}: can be read only once; save it to a file first")
        return anew()

    return read


def _array_parts(path: str, array: NDArray[Any], block_rows: int) -> Iterator[Part]:
    if array.ndim != 2:
        raise ValueError(f"{path}: holds an array of shape {array.shape}; a table has two dimensions")
    # Arrow knows neither foreign byte orders nor long doubles.
    dtype = np.dtype(np.float64) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    names = numbered(array.shape[1])
    for start in range(0, len(array), block_rows):
        columns = np.ascontiguousarray(array[start : start + block_rows].T, dtype=dtype)
        yield Part(pa.table([pa.array(column) for column in columns], names=names))


def _npz_member(path: str, key: str | None) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except zipfile.BadZipFile as error:
        raise _damaged(path, "NPZ", error) from error
    if key is None and len(names) == 1:
        return names[0]
    if key in names:
        return key
    if not names:
        raise ValueError(f"{path}: holds no arrays; save one in it")
    problem = "holds several arrays" if key is None else f"holds no array {key!r}"
    raise ValueError(f"{path}: {problem}; choose one by its key: {', '.join(map(repr, names))}")


def _parquet_parts(path: str, block_rows: int) -> Iterator[Part]:
    from pyarrow import parquet  # slow to import: it brings clients of cloud storage

    try:
        # Buffered, a row group is read piece by piece; otherwise whole, and it may be the whole file.
        with parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False) as file:
            names = distinct_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(block_rows):
                yield Part(pa.table(batch.columns, names=names, metadata=file.schema_arrow.metadata))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, "Parquet", error) from error


def _with_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One sign for what is missing, null, and one type for text, string."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        missing = pc.is_in(pc.ascii_trim_whitespace(column), pa.array(MISSING))
    elif pa.types.is_floating(column.type):
        missing = pc.is_nan(column)
    else:
        return column
    return pc.if_else(missing, pa.scalar(None, column.type), column)
