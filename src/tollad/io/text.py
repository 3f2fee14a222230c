"""Separated text as pieces of tables that know their lines: cut at record ends, so that no size is too large.

Arrow's own stream reader skips blank lines and quoted line breaks when it counts rows; here the line in a message is
the line in an editor.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, TextIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from tollad.tables.schema import MISSING

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)

# What separates values in text that people have, and how a message calls many of them.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

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
_NULL = b"\xc0\x80"
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")

# What is done with a row that cannot be read: its number in the file, from 0; its line, None where the file has no
# lines; what is wrong with it; and its text.
Reject: TypeAlias = Callable[[int, int | None, str, str], None]


class Part(NamedTuple):
    """A piece of a table.

    Attributes
    ----------
    lines : ndarray of int64 or None
        The line of the file on which each of its rows begins; None: the format has no lines.
    numbers : ndarray of int64 or None
        The number of each row in the file, from 0; None: no row was left out before.
    """

    table: pa.Table
    lines: NDArray[np.int64] | None = None
    numbers: NDArray[np.int64] | None = None


def text_parts(
    path: str,
    label: str,
    separator: str,
    header: bool,
    numeric: Collection[str] = (),
    reject: Reject | None = None,
    spooled: BinaryIO | None = None,
) -> Iterator[Part]:
    """Yield successive pieces of a text file, "-" for standard input, as columns of strings.

    Parameters
    ----------
    path : str
    label : str
        What messages call the file.
    separator : str
        One character.
    header : bool
        Whether the first record holds the names; else they are x1, x2, ...
    numeric : collection of str
        Columns to read as float64, in each piece that has nothing else in them; it may change between two pieces.
    reject : callable, optional
        Is told of records that cannot be read, which are then left out; by default they are errors.
    spooled : binary file, optional
        What standard input held, to be read from its beginning instead.

    Raises
    ------
    ValueError
        For an empty file, damaged gzip data, bytes that are no UTF-8 text, ragged rows and quotes that never close,
        with the line; and for duplicated names.
    """
    names: list[str] = []
    n_before = 0
    with _byte_stream(path, spooled) as stream:
        for first_line, text, masked, problem in _chunks(stream, label, separator, skip=reject is not None):
            if problem:
                if reject is None or not names:
                    raise ValueError(f"{label}, line {first_line}: {problem}; correct the line")
                reject(n_before, first_line, problem, _shown(text))
                n_before += 1
                continue
            lines = _record_lines(text, masked, first_line)
            if not lines.size:
                continue
            if not names:
                names, end = _names(text, masked, label, separator, lines, header)
                if header:
                    text, masked, lines = text[end:], masked[end:], lines[1:]
                if not lines.size:
                    continue
            whole = text.endswith((b"\r", b"\n"))
            bad: dict[int, tuple[str, str]] = {}
            if reject is not None:
                bad = _undecodable(text, masked)
                if bad:
                    text = text.decode(errors="replace").encode()
            hint = "" if whole else "; the text ends within this line"
            table, ragged = _parse(text, label, separator, lines, names, numeric, skip=reject is not None, hint=hint)
            numbers = n_before + np.arange(len(lines))
            n_before += len(lines)
            for row, why in sorted((ragged | bad).items()):
                assert reject is not None
                reject(int(numbers[row]), int(lines[row]), *why)
            yield _without(Part(table, lines, numbers), bad, ragged) if bad or ragged else Part(table, lines, numbers)
    if not names:
        raise ValueError(f"{label}: is empty")


def _names(
    text: bytes, masked: bytes, label: str, separator: str, lines: NDArray[np.int64], header: bool
) -> tuple[list[str], int]:
    """Return the names of the columns, by the first record, and where it ends."""
    start = len(masked) - len(masked.lstrip(b"\r\n"))
    line_break = _LINE_BREAK.search(masked, start)
    end = line_break.end() if line_break else len(text)
    if _undecodable(text[start:end], masked[start:end]):
        raise ValueError(f"{label}, line {lines[0]}: is no UTF-8 text; {_guess(text[:8])}")
    names = _parse(text[start:end] + b"\n", label, separator, lines, None)[0].column_names
    if len(names) == 1:
        _check_separator(text[start:end].decode(), label, separator)
    return distinct_names(label, names) if header else numbered(len(names)), end


def _check_separator(record: str, label: str, separator: str) -> None:
    """Raise ValueError for a first record of one value that looks like several, separated by something else."""
    bare = re.sub('"[^"]*"', "", record)
    found = max((other for other in _SEPARATORS if other != separator), key=bare.count)
    if found not in bare:
        return
    endings = {",": " or as a .csv file", "\t": " or as a .tsv file"}
    raise ValueError(
        f"{label}: looks separated by {_SEPARATORS[found]}, but is read as separated by {_SEPARATORS[separator]}; save "
        f"it with {_SEPARATORS[separator]}{endings.get(found, '')}, or put quotes around what is one value"
    )


def _without(part: Part, bad: Collection[int], ragged: Collection[int]) -> Part:
    """Return a piece without its bad records; the ragged ones are not in the table, but have lines and numbers."""
    assert part.lines is not None
    assert part.numbers is not None
    records = np.arange(len(part.lines))
    is_bad, is_ragged = np.isin(records, [*bad]), np.isin(records, [*ragged])
    good = ~(is_bad | is_ragged)
    return Part(part.table.filter(pa.array(~is_bad[~is_ragged])), part.lines[good], part.numbers[good])


def standard_input() -> BinaryIO:
    """Return standard input as a binary file; OSError if it was closed from the beginning."""
    stream: TextIO | None = sys.stdin
    if stream is None:
        raise OSError("cannot read standard input: it is closed; name a file, or pipe the rows into the command")
    return stream.buffer


@contextlib.contextmanager
def _byte_stream(path: str, spooled: BinaryIO | None) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file or of standard input, decompressed if they are gzipped."""
    with contextlib.ExitStack() as stack:
        raw: io.BufferedReader[Any]
        if path == "-":
            given: Any = standard_input() if spooled is None else spooled
            if spooled is not None:
                spooled.seek(0)
            raw = io.BufferedReader(given)
            stack.callback(raw.detach)  # standard input is not ours to close
        else:
            raw = stack.enter_context(open(path, "rb"))
        if path.lower().endswith(".gz") or raw.peek(2).startswith(b"\x1f\x8b"):
            yield stack.enter_context(gzip.GzipFile(fileobj=raw))
        else:
            yield raw


def _chunks(
    stream: io.BufferedIOBase, label: str, separator: str, *, skip: bool
) -> Iterator[tuple[int, bytes, bytes, str]]:
    """Cut a text into runs of whole records: (line it begins on, text, text with quoted line breaks masked, "").

    What is no record, since it never ends, comes as its first line alone, and the last string says what is wrong.
    """
    more = text = _read(stream, label, _CHUNK_BYTES, skip=skip)
    head, text = text[:8], text.removeprefix(b"\xef\xbb\xbf")
    line = 1
    while text:
        if b"\0" in text:
            raise ValueError(f"{label}: is no text; {_guess(head)}")
        masked, unclosed = _mask_quoted_breaks(text, separator)
        # A carriage return at the very end may be the first half of a line break.
        end = max(masked.rfind(b"\n"), masked.rfind(b"\r", 0, -1)) + 1
        # Doubling keeps the cost of a long record linear, although its beginning is scanned again.
        more = more and _read(stream, label, _CHUNK_BYTES if end else max(_CHUNK_BYTES, len(text)), skip=skip)
        endless = (unclosed is not None and not more) or (not end and len(text) > _MAX_RECORD_BYTES)
        if not more and not endless:
            end = len(text)
        if not skip:
            try:
                text[:end].decode()
            except UnicodeDecodeError as error:
                line += _count_breaks(text, error.start)
                raise ValueError(f"{label}, line {line}: is no UTF-8 text; {_guess(head)}") from None
        opened = line + _count_breaks(text, unclosed or 0)
        if end:
            yield line, text[:end], masked[:end], ""
            line += _count_breaks(text, end)
            text = text[end:]
        if endless:
            problem = f"is over {_MAX_RECORD_BYTES >> 20} MiB" if unclosed is None else "opens quotes that never close"
            line_break = _LINE_BREAK.search(text)
            end = line_break.end() if line_break else len(text)
            yield opened, text[:end], b"", problem
            line += _count_breaks(text, end)
            text = text[end:]
        text += more


def _count_breaks(text: bytes, end: int) -> int:
    return text.count(b"\n", 0, end) + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)


def _read(stream: io.BufferedIOBase, label: str, size: int, *, skip: bool) -> bytes:
    try:
        read = stream.read(size)
        # Where bad lines are skipped, a line with null bytes is one of bytes that are no UTF-8 text.
        return read.replace(b"\0", _NULL) if skip else read
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
    # Two quotes in a row are one of the value. There is only one way to match, so nothing is tried twice, and no need
    # for possessive quantifiers, in which Python 3.11 had faults.
    quoted = re.compile(rb'(?:\A|(?<=[%b\r\n]))"[^"]*(?:""[^"]*)*("|\Z)' % re.escape(separator.encode()))
    masked = bytearray(text)
    for found in quoted.finditer(text):
        value = found[0]
        if b"\n" in value or b"\r" in value:
            masked[found.start() : found.end()] = _LINE_BREAK.sub(lambda b: b"\0".rjust(len(b[0])), value)
        if not found[1]:
            return bytes(masked), found.start()
    return bytes(masked), None


def _record_lines(text: bytes, masked: bytes, first_line: int) -> NDArray[np.int64]:
    """The line on which each record begins that is not blank."""
    if masked == text and not (b"\r" in text or b"\n\n" in text or text.startswith(b"\n")):
        return np.arange(first_line, first_line + text.count(b"\n") + (not text.endswith(b"\n")))
    lines, line = [], first_line
    for record in masked.splitlines():
        if record:
            lines.append(line)
        line += 1 + record.count(b"\0")
    return np.array(lines, dtype=np.int64)


def _undecodable(text: bytes, masked: bytes) -> dict[int, tuple[str, str]]:
    """The records, counted without blank ones, that are no UTF-8 text: what is wrong, and their text."""
    try:
        text.decode()
    except UnicodeDecodeError:
        pass
    else:
        return {}
    bad, number, start = {}, 0, 0
    for record in masked.splitlines(keepends=True):
        raw = text[start : start + len(record)]
        start += len(record)
        if not record.strip(b"\r\n"):
            continue
        try:
            raw.decode()
        except UnicodeDecodeError:
            bad[number] = "is no UTF-8 text", _shown(raw)
        number += 1
    return bad


def _shown(raw: bytes) -> str:
    """A record as text, whatever its bytes are."""
    return raw.replace(_NULL, b"\0").rstrip(b"\r\n").decode(errors="backslashreplace")


def _parse(
    text: bytes,
    label: str,
    separator: str,
    lines: NDArray[np.int64],
    names: list[str] | None,
    numeric: Collection[str] = (),
    *,
    skip: bool = False,
    hint: str = "",
) -> tuple[pa.Table, dict[int, tuple[str, str]]]:
    """Whole records as columns of strings, or numbers where all are; without `names` the first record holds them.

    Beside them, if they are to be skipped, the records that are ragged: what is wrong, and their text.
    """
    ragged: dict[int, tuple[str, str]] = {}

    def note(row: Any) -> str:
        problem = f"expected {row.expected_columns} values, found {row.actual_columns}"
        ragged[row.number - 1] = problem + (hint if row.number == len(lines) else ""), row.text
        return "skip" if skip else "error"

    def read(numeric: Collection[str]) -> pa.Table:
        types = {name: pa.float64() if name in numeric else pa.string() for name in names or ()}
        return csv.read_csv(
            pa.BufferReader(text),
            # One block and one thread: otherwise Arrow does not number the rows.
            csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            csv.ConvertOptions(column_types=types, check_utf8=False, null_values=MISSING),
        )

    if numeric:
        # What is no finite number is read again as text: `columns` says what it is, and on which line.
        with contextlib.suppress(pa.ArrowInvalid):
            table = read(numeric)
            if not any(pc.any(pc.is_inf(table[name])).as_py() for name in numeric if name in table.column_names):
                return table, ragged
        ragged.clear()
    try:
        return read(()), ragged
    except pa.ArrowInvalid as error:
        if not ragged:
            raise ValueError(f"{label}, line {lines[0]} or below: cannot be read as a table ({error})") from error
        (row, (problem, _)), *_ = ragged.items()
        raise ValueError(
            f"{label}, line {lines[row]}: {problem}; "
            "correct the line, and put quotes around values that hold the separator"
        ) from None


def distinct_names(label: str, names: Sequence[str]) -> list[str]:
    """Return the names of columns without outer spaces; ValueError, beginning with `label`, for none or equal ones."""
    trimmed = [name.strip() for name in names]
    twice = [name for name, count in Counter(trimmed).items() if count > 1]
    if twice or not trimmed:
        problem = f"has several columns called {' and '.join(map(repr, twice))}" if twice else "has no columns"
        row = ", or read it with header=False if its first line is a row" if like_values(trimmed) else ""
        raise ValueError(f"{label}: {problem}; give each column its own name{row}")
    return trimmed


def like_values(names: Sequence[str]) -> bool:
    """Return whether column names are numbers, as if a row stood in their place.

    Examples
    --------
    >>> like_values(["5.1", "", "3"]), like_values(["a", "3"])
    (True, False)
    >>> like_values(["0", "1", "2"])  # pandas' own names
    False
    """
    given = [name for name in names if name not in MISSING]
    counted = [str(j) for j in range(len(given))]
    return given != counted and all(NUMBER.fullmatch(name) for name in given)


def numbered(n_columns: int) -> list[str]:
    """Return the names of columns that have none: x1, x2 and so on."""
    return [f"x{j}" for j in range(1, n_columns + 1)]
