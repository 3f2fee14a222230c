"""Files a user has, as streams of blocks: CSV, Parquet, NumPy arrays and standard input.

A table is read block by block, so that its size on disk is no limit. Text stays text until somebody asks for
numbers: only the caller knows which columns are features, and an error can still name the line a value stands on.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import io
import itertools
import os
import re
import shlex
import sys
import tokenize
import zipfile
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

BLOCK_ROWS = 16384
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ",", ".data": ","}
_PARQUET = (".parquet", ".pq")
_ARRAYS = (".npy", ".npz")
_CHUNK_BYTES = 1 << 22
_MAX_RECORD_BYTES = 1 << 26
_LOOKS_LIKE = {
    b"PAR1": "it looks like a Parquet file",
    b"\x93NUMPY": "it looks like an NPY file",
    b"PK\x03\x04": "it looks like a ZIP archive, perhaps an Excel sheet or an NPZ file",
    b"\x89PNG": "it looks like a PNG image",
    b"\xff\xd8\xff": "it looks like a JPEG image",
    b"\xff\xfe": "it looks like UTF-16; save it as UTF-8",
    b"\xfe\xff": "it looks like UTF-16; save it as UTF-8",
}
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)

# A piece of a table, and the line of the file on which each of its rows begins (None: the format has no lines).
_Part = tuple[pa.Table, NDArray[np.int64] | None]


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
    """

    path: str
    names: tuple[str, ...]
    first_row: int
    table: pa.Table
    lines: NDArray[np.int64] | None

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
    """

    path: str
    names: tuple[str, ...]
    block_rows: int
    _parts: Callable[[], Iterator[_Part]]

    def __iter__(self) -> Iterator[Block]:
        first_row = 0
        for part, lines in self._parts():
            table = pa.table([_with_nulls(column) for column in part.columns], names=part.column_names)
            for start in range(0, table.num_rows, self.block_rows):
                rows = table.slice(start, self.block_rows)
                its_lines = None if lines is None else lines[start : start + self.block_rows]
                yield Block(self.path, self.names, first_row, rows, its_lines)
                first_row += rows.num_rows


def open_table(
    path: str | os.PathLike[str], *, header: bool = True, block_rows: int = BLOCK_ROWS, key: str | None = None
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

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no readable table with at least one row. Only the beginning is read here; what is wrong further
        down is raised while iterating.

    Examples
    --------
    >>> sys.stdin = io.TextIOWrapper(io.BytesIO(b"age,city\\n31,Bonn\\n?,Oslo\\n"))
    >>> for block in open_table("-"):
    ...     print(block.names, to_numbers(block, ["age"]).tolist())
    ('age', 'city') [[31.0], [nan]]
    """
    path = os.fspath(path)
    if block_rows < 1:
        raise ValueError(f"block_rows must be at least 1, not {block_rows}")
    label = "standard input" if path == "-" else path
    ending = ".csv" if path == "-" else _ending(path)
    parts: Callable[[], Iterator[_Part]]
    if ending in _ARRAYS:
        parts = partial(_array_parts, path, read_array(path, key), block_rows)
    elif key is not None:
        raise ValueError(f"{label}: holds no arrays with names, so the key {key!r} means nothing; leave it out")
    elif ending in _PARQUET:
        parts = partial(_parquet_parts, path, block_rows)
    else:
        parts = partial(_text_parts, path, label, _SEPARATORS[ending], header)

    stream = parts()
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{label}: has column names but no rows; give a table with at least one row")
    names = tuple(first[0].column_names)
    if path == "-":
        parts = _once(label, itertools.chain([first], stream))
    return TableSource(label, names, block_rows, parts)


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
        raise ValueError(f"{path}: is no {ending[1:].upper()} file, or damaged or cut short ({error})") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: holds values of type {array.dtype}; save real numbers or booleans")
    if array.ndim < 2:
        raise ValueError(f"{path}: holds an array of shape {array.shape}; it needs rows and columns")
    if array.size == 0:
        raise ValueError(f"{path}: holds an empty array of shape {array.shape}; it needs at least one row and column")
    return array


def to_numbers(block: Block, names: Sequence[str]) -> NDArray[np.float64]:
    """The columns `names` of a block as numbers; missing values are NaN, true and false are 1 and 0.

    Returns
    -------
    ndarray of float64, shape (n_rows, len(names))
        Without infinite values.

    Raises
    ------
    ValueError
        If there is no such column, or a value that is no finite number; names the file, line and column.
    """
    numbers = np.empty((len(block), len(names)))
    for j, name in enumerate(names):
        numbers[:, j] = _column_numbers(block, name)
    return numbers


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


def matches(values: Sequence[str | None], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Which values equal one of `wanted`: as numbers if both are numbers, else as text without outer spaces.

    Examples
    --------
    >>> matches(["1.0", "10", " normal", "True", None], ["1", "normal", "true"]).tolist()
    [True, False, True, True, False]
    """
    targets = {_comparable(text) for text in wanted}
    hits = {text for text in set(values) if text is not None and _comparable(text) in targets}
    return np.array([text in hits for text in values], dtype=np.bool_)


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


def _distinct_names(label: str, names: Sequence[str]) -> list[str]:
    trimmed = [name.strip() for name in names]
    twice = [name for name, count in Counter(trimmed).items() if count > 1]
    if twice or not trimmed:
        problem = f"has several columns called {' and '.join(map(repr, twice))}" if twice else "has no columns"
        raise ValueError(f"{label}: {problem}; give each column its own name")
    return trimmed


def _numbered(n_columns: int) -> list[str]:
    return [f"x{j}" for j in range(1, n_columns + 1)]


def _no_such_column(path: str, names: Sequence[str], wanted: str) -> str:
    similar = difflib.get_close_matches(wanted, names)
    if similar:
        return f"{path}: has no column {wanted!r}; did you mean {' or '.join(map(repr, similar))}?"
    known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
    return f"{path}: has no column {wanted!r}; it has {known}"


def _once(label: str, parts: Iterator[_Part]) -> Callable[[], Iterator[_Part]]:
    unread = [parts]

    def read() -> Iterator[_Part]:
        if not unread:
            raise ValueError(f"{label}: can be read only once; save it to a file first")
        return unread.pop()

    return read


def _array_parts(path: str, array: NDArray[Any], block_rows: int) -> Iterator[_Part]:
    if array.ndim != 2:
        raise ValueError(f"{path}: holds an array of shape {array.shape}; a table has two dimensions")
    # Arrow knows neither foreign byte orders nor long doubles.
    dtype = np.dtype(np.float64) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    names = _numbered(array.shape[1])
    for start in range(0, len(array), block_rows):
        columns = np.ascontiguousarray(array[start : start + block_rows].T, dtype=dtype)
        yield pa.table([pa.array(column) for column in columns], names=names), None


def _npz_member(path: str, key: str | None) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: is no NPZ file, or damaged or cut short ({error})") from error
    if key is None and len(names) == 1:
        return names[0]
    if key in names:
        return key
    problem = "holds several arrays" if key is None else f"holds no array {key!r}"
    raise ValueError(f"{path}: {problem}; choose one by its key: {', '.join(map(repr, names)) or '(there are none)'}")


def _parquet_parts(path: str, block_rows: int) -> Iterator[_Part]:
    from pyarrow import parquet  # slow to import: it brings clients of cloud storage

    try:
        with parquet.ParquetFile(path) as file:
            names = _distinct_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(block_rows):
                yield pa.table(batch.columns, names=names), None
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: is no Parquet file, or damaged or cut short ({error})") from error


def _text_parts(path: str, label: str, separator: str, header: bool) -> Iterator[_Part]:
    names: list[str] = []
    with _byte_stream(path) as stream:
        for first_line, text, masked in _chunks(stream, label, separator):
            lines = _record_lines(masked, first_line)
            if lines.size and not names:
                start = len(masked) - len(masked.lstrip(b"\r\n"))
                line_break = _LINE_BREAK.search(masked, start)
                end = line_break.end() if line_break else len(text)
                names = _parse(text[start:end] + b"\n", label, separator, lines, None).column_names
                if header:
                    names, text, lines = _distinct_names(label, names), text[end:], lines[1:]
                else:
                    names = _numbered(len(names))
            if lines.size:
                yield _parse(text, label, separator, lines, names), lines
    if not names:
        raise ValueError(f"{label}: is empty")


@contextlib.contextmanager
def _byte_stream(path: str) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file or of standard input, decompressed if they are gzipped."""
    with contextlib.ExitStack() as stack:
        raw: io.BufferedReader[Any]
        if path == "-":
            raw = io.BufferedReader(sys.stdin.buffer)
            stack.callback(raw.detach)  # standard input is not ours to close
        else:
            raw = stack.enter_context(open(path, "rb"))
        if path.lower().endswith(".gz") or raw.peek(2).startswith(b"\x1f\x8b"):
            yield stack.enter_context(gzip.GzipFile(fileobj=raw))
        else:
            yield raw


def _chunks(stream: io.BufferedIOBase, label: str, separator: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Cut a text into runs of whole records: (line it begins on, text, text with quoted line breaks masked)."""
    text = _read(stream, label, _CHUNK_BYTES)
    head, text = text[:8], text.removeprefix(b"\xef\xbb\xbf")
    line, ended = 1, False
    while True:
        if b"\0" in text:
            raise ValueError(f"{label}: is no text; {_guess(head)}")
        masked, unclosed = _mask_quoted_breaks(text, separator)
        # A carriage return at the very end may be the first half of a line break.
        end = len(text) if ended else max(masked.rfind(b"\n"), masked.rfind(b"\r", 0, -1)) + 1
        if (ended and unclosed is not None) or (end == 0 and len(text) > _MAX_RECORD_BYTES):
            line += _count_breaks(text, unclosed or 0)
            problem = "is longer than 64 MiB" if unclosed is None else "opens quotes that never close"
            raise ValueError(f"{label}, line {line}: {problem}; correct the line")
        try:
            text[:end].decode()
        except UnicodeDecodeError as error:
            line += _count_breaks(text, error.start)
            raise ValueError(f"{label}, line {line}: is no UTF-8 text; {_guess(head)}") from None
        yield line, text[:end], masked[:end]
        if ended:
            return
        line += _count_breaks(text, end)
        rest = text[end:]
        # Doubling keeps the cost of a long record linear, although its beginning is scanned again.
        more = _read(stream, label, max(_CHUNK_BYTES, len(rest)))
        text, ended = rest + more, not more


def _count_breaks(text: bytes, end: int) -> int:
    return text.count(b"\n", 0, end) + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)


def _read(stream: io.BufferedIOBase, label: str, size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{label}: the gzip data are damaged or cut short ({error})") from error


def _guess(head: bytes) -> str:
    return next((guess for magic, guess in _LOOKS_LIKE.items() if head.startswith(magic)), "save it as UTF-8 text")


def _mask_quoted_breaks(text: bytes, separator: str) -> tuple[bytes, int | None]:
    r"""Replace line breaks in quotes by \0, without changing the length; also where quotes open that never close.

    As in Arrow, quotes count only at the beginning of a value.
    """
    if b'"' not in text:
        return text, None
    plain = rb'(?:[^"]++|(?<![%b\r\n])(?!\A)"|"(?:[^"\r\n]++|"")*+")*+' % separator.encode()
    quoted_over_lines = re.compile(plain + rb'("(?:[^"]++|"")*+("|\Z))')
    masked, position = bytearray(text), 0
    while found := quoted_over_lines.match(text, position):
        position = found.end()
        masked[found.start(1) : position] = _LINE_BREAK.sub(lambda b: b"\0".rjust(len(b[0])), found[1])
        if not found[2]:
            return bytes(masked), found.start(1)
    return bytes(masked), None


def _record_lines(masked: bytes, first_line: int) -> NDArray[np.int64]:
    """The line on which each record begins that is not blank."""
    lines, line = [], first_line
    for record in masked.splitlines():
        if record:
            lines.append(line)
        line += 1 + record.count(b"\0")
    return np.array(lines, dtype=np.int64)


def _parse(text: bytes, label: str, separator: str, lines: NDArray[np.int64], names: list[str] | None) -> pa.Table:
    """Whole records as columns of strings; without `names` the first record holds them."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        return csv.read_csv(
            pa.BufferReader(text),
            # One block and one thread: otherwise Arrow does not number the rows.
            csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            csv.ConvertOptions(column_types=dict.fromkeys(names or (), pa.string()), check_utf8=False),
        )
    except pa.ArrowInvalid as error:
        if not ragged:
            raise ValueError(f"{label}, line {lines[0]} or below: cannot be read as a table ({error})") from error
        expected, found, line = ragged[0].expected_columns, ragged[0].actual_columns, lines[ragged[0].number - 1]
        raise ValueError(
            f"{label}, line {line}: expected {expected} values, found {found}; "
            "correct the line, and put quotes around values that hold the separator"
        ) from None


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


def _column_numbers(block: Block, name: str) -> NDArray[np.float64]:
    column = block.column(name)
    is_text = pa.types.is_string(column.type)
    words = pc.ascii_trim_whitespace(column) if is_text else column
    numbers = _cast(words)
    if numbers is None and is_text:
        # Truth values are rare in columns of numbers; only those that have them pay for them.
        words = pc.ascii_lower(words)
        words = pc.if_else(pc.equal(words, "true"), "1", pc.if_else(pc.equal(words, "false"), "0", words))
        numbers = _cast(words)
    if numbers is None and not is_text:
        raise ValueError(f"{block.path}, column {name!r}: {column.type} values are not numbers; {_remedy(name)}")
    if numbers is None:
        row = bisect_left(range(len(words)), True, key=lambda last: _cast(words[: last + 1]) is None)
        raise _bad_value(block, name, row, "is not a number")
    infinite = np.flatnonzero(np.isinf(numbers))
    if infinite.size:
        raise _bad_value(block, name, int(infinite[0]), "is infinite")
    return numbers


def _cast(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """A column as numbers, null as NaN; None if some value is no number."""
    try:
        numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException:
        return None
    return numbers


def _bad_value(block: Block, name: str, row: int, problem: str) -> ValueError:
    value = repr(block.column(name)[row].as_py())
    shown = value if len(value) <= 40 else value[:37] + "..."
    return ValueError(f"{block.where(row)}, column {name!r}: {shown} {problem}; {_remedy(name)}")


def _remedy(name: str) -> str:
    return f"correct it or drop the column with --drop {shlex.quote(name)}"


def _comparable(text: str) -> str | Decimal:
    """Equal values become equal objects. Decimal and not float, for which long identifiers are all alike."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return text.lower() if text.lower() in ("true", "false") else text
