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
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

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

# A piece of a table, and the line of the file on which each of its rows begins (None: the format has no lines).
Part: TypeAlias = tuple[pa.Table, NDArray[np.int64] | None]


def text_parts(path: str, label: str, separator: str, header: bool) -> Iterator[Part]:
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

    Raises
    ------
    ValueError
        For an empty file, damaged gzip data, bytes that are no UTF-8 text, ragged rows and quotes that never close,
        with the line; for duplicated names.
    """
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
                    names, text, lines = distinct_names(label, names), text[end:], lines[1:]
                else:
                    names = numbered(len(names))
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
    line, more = 1, text
    while more:
        if b"\0" in text:
            raise ValueError(f"{label}: is no text; {_guess(head)}")
        masked, unclosed = _mask_quoted_breaks(text, separator)
        # A carriage return at the very end may be the first half of a line break.
        end = max(masked.rfind(b"\n"), masked.rfind(b"\r", 0, -1)) + 1
        # Doubling keeps the cost of a long record linear, although its beginning is scanned again.
        more = _read(stream, label, _CHUNK_BYTES if end else max(_CHUNK_BYTES, len(text)))
        if (not more and unclosed is not None) or (not end and len(text) > _MAX_RECORD_BYTES):
            line += _count_breaks(text, unclosed or 0)
            problem = f"is over {_MAX_RECORD_BYTES >> 20} MiB" if unclosed is None else "opens quotes that never close"
            raise ValueError(f"{label}, line {line}: {problem}; correct the line")
        if not more:
            end = len(text)
        try:
            text[:end].decode()
        except UnicodeDecodeError as error:
            line += _count_breaks(text, error.start)
            raise ValueError(f"{label}, line {line}: is no UTF-8 text; {_guess(head)}") from None
        yield line, text[:end], masked[:end]
        line += _count_breaks(text, end)
        text = text[end:] + more


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


def distinct_names(label: str, names: Sequence[str]) -> list[str]:
    trimmed = [name.strip() for name in names]
    twice = [name for name, count in Counter(trimmed).items() if count > 1]
    if twice or not trimmed:
        problem = f"has several columns called {' and '.join(map(repr, twice))}" if twice else "has no columns"
        raise ValueError(f"{label}: {problem}; give each column its own name")
    return trimmed


def numbered(n_columns: int) -> list[str]:
    return [f"x{j}" for j in range(1, n_columns + 1)]
