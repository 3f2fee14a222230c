"""Cut a text of any size into whole records with their line numbers. Input is bytes, output is UTF-8."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from tollad.io.dialect import Recoded
from tollad.io.encodings import encoding_hint

_CHUNK_BYTES = 1 << 22
# Comments, names and the separator are recognised from this many bytes at the start of a file.
_BEGIN_BYTES = 1 << 16
_MAX_RECORD_BYTES = 1 << 26
_LOOKS_LIKE = {
    b"PAR1": "it looks like a Parquet file",
    b"\x93NUMPY": "it looks like an NPY file",
    b"PK\x03\x04": "it looks like a ZIP archive, perhaps an Excel sheet (.xlsx) or an NPZ file",
    b"\x89PNG": "it looks like a PNG image",
    b"\xff\xd8\xff": "it looks like a JPEG image",
    b"\xd0\xcf\x11\xe0": "it looks like an old Excel sheet (.xls); save it as .xlsx or as CSV",
    b"%PDF": "it looks like a PDF",
    b"SQLite": "it looks like an SQLite database",
    b"ARROW1": "it looks like an Arrow file; save it as Parquet",
    **dict.fromkeys(
        (b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"7z\xbc\xaf"),
        "it looks compressed; unpack it, or compress it by gzip",
    ),
}
_BREAK = rb"[ \t]*[\r\n]"
# A value with or without quotes.
_PART = rb"(\"[^\"\r\n]*\"|[^\"\s]\S*|)"


def _lines_of(mark: bytes) -> bytes:
    """Return the pattern of any number of blank lines and of comments after a mark.

    Like all patterns below, it matches in one way only: a hostile text is told from others in linear time.
    """
    return rb"(?:[ \t]*(?:" + mark + rb"[^\r\n]*)?[\r\n])*[ \t]*"


# Beginnings of texts that are no tables.
_NO_TABLES = (
    (re.compile(rb"\s*<(!doctype|html|table|\?xml)", re.IGNORECASE), "looks like a web page or XML; give a table"),
    (re.compile(rb"version https://git-lfs"), "is a pointer of Git LFS; fetch the file itself with: git lfs pull"),
    (
        re.compile(rb'\s*(\[\s*)?\{\s*"'),
        "looks like JSON; write one object a line, to a file whose name ends in .jsonl",
    ),
    (
        re.compile(_lines_of(rb"%") + rb"@relation\b", re.IGNORECASE),
        "looks like ARFF; read it with scipy.io.arff.loadarff, and save the rows as a table",
    ),
    (
        re.compile(rb"[+-]?[0-9.]+([ \t]+[0-9]+:[-+.0-9eE]+)+" + _BREAK),
        "looks like LIBSVM text; read it with sklearn.datasets.load_svmlight_file, and save the rows as a table",
    ),
    (
        re.compile(
            _lines_of(rb"--") + rb"((insert +into|create +table|drop +table) +\w|copy +\w\S* +\()", re.IGNORECASE
        ),
        "looks like SQL; export the table as CSV",
    ),
    (
        re.compile(rb"(---[\r\n]{1,2})?(- )?[\w ]+: [^\r\n]*[\r\n]{1,2}(- |  )[\w ]+: "),
        "looks like YAML; give a table",
    ),
    (
        re.compile(rb"\w+=" + _PART + rb"([ \t]+\w+=" + _PART + rb")+" + _BREAK),
        "looks like pairs key=value; write one JSON object a line, to a file whose name ends in .jsonl",
    ),
    (
        # A first line that is drawn, or a second one of three dashes or more, and a bar or a crossing.
        re.compile(
            rb"\s*[+|]?[-=+|:]{3,}" + _BREAK + rb"|[^\r\n]+(\r\n|\r|\n)(?=[^\r\n]*---)(?=[^\r\n]*[|+])[-+|: \t]+[\r\n]"
        ),
        "has drawn lines, as a report has; take them away, and the bars at both ends of the rows",
    ),
    (
        re.compile(rb"\s*%[^,;|\t\r\n]*[\r\n]{1,2}%"),
        "begins with comments after '%'; write '#' in its place, or remove them",
    ),
)
# A line before the names with which Excel states the separator.
_SAID_SEPARATOR = re.compile(rb'"?sep=([,;|\t])"?(\r\n|\r|\n)', re.IGNORECASE)
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_NULL = b"\xc0\x80"
LINE_BREAK = re.compile(rb"\r\n|\r|\n")


class ByteStream(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes: ...


def standard_input() -> BinaryIO:
    """Return standard input as a binary file; OSError if it was closed at the start of the program."""
    stream: TextIO | None = sys.stdin
    if stream is None:
        raise OSError("cannot read standard input: it is closed; name a file, or pipe the rows into the command")
    return stream.buffer


@contextlib.contextmanager
def byte_stream(path: str, spooled: BinaryIO | None, encoding: str | None) -> Iterator[ByteStream]:
    """Open the text of a file, or of standard input ("-"), decompressed and in UTF-8.

    Parameters
    ----------
    path : str
    spooled : binary file, optional
        Stored standard input, which is read from its beginning instead.
    encoding : str or None
        None: UTF-8, or UTF-16 or UTF-32 by its byte order mark.
    """
    with contextlib.ExitStack() as stack:
        raw: Any
        if path == "-":
            given: Any = standard_input() if spooled is None else spooled
            if spooled is not None:
                spooled.seek(0)
            raw = io.BufferedReader(given)
            stack.callback(raw.detach)  # standard input is not ours to close
        else:
            raw = stack.enter_context(open(path, "rb"))
        if path.lower().endswith(".gz") or raw.peek(2).startswith(b"\x1f\x8b"):
            raw = stack.enter_context(gzip.GzipFile(fileobj=raw))
        if encoding is None:
            with contextlib.suppress(EOFError, OSError, zlib.error):  # damaged gzip data: `read` reports it
                begin = raw.peek(4)
                encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if begin.startswith(mark)), None)
        yield raw if encoding is None else Recoded(raw, encoding)


class _Begun:
    """A stream whose beginning was read before and is given again."""

    def __init__(self, begin: bytes, stream: ByteStream) -> None:
        self._begin, self._stream = begin, stream

    def read(self, size: int) -> bytes:
        begin, self._begin = self._begin[:size], self._begin[size:]
        return begin or self._stream.read(size)


def begun(stream: ByteStream, label: str, *, header: bool, skip: bool) -> tuple[ByteStream, bytes, int, str]:
    """Skip the byte order mark and leading comments. Return the text, its beginning, its first line number, and "".

    Instead of "" the last value is the separator if a first line such as "sep=;", which Excel writes, states it.
    Comments begin with ``#``. A comment with as many values as the next line holds the names of the columns if that
    line holds a number, or if no space follows the ``#``. ValueError for other texts, such as a web page.
    """
    text = _read(stream, label, _BEGIN_BYTES, skip=skip).removeprefix(b"\xef\xbb\xbf")
    for begin, what in _NO_TABLES:
        if begin.match(text):
            raise ValueError(f"{label}: {what}")
    said = _SAID_SEPARATOR.match(text)
    start, line = (said.end(), 2) if said else (0, 1)
    names = start, line
    while text.startswith((b"#", b"\r", b"\n"), start):
        found = LINE_BREAK.search(text, start)
        if found is None:
            start += len(text[start:]) if text.startswith(b"#", start) else 0
            break
        if text.startswith(b"#", start):
            names = start, line
        start, line = found.end(), line + 1
    comment = text[names[0] :].splitlines()[0] if start else b""
    following = text[start:].partition(b"\n")[0].partition(b"\r")[0]
    if header and comment.startswith(b"#") and _are_names(comment, following):
        start, line = names
    return _Begun(text[start:], stream), text[start:], line, said[1].decode() if said else ""


def _are_names(comment: bytes, following: bytes) -> bool:
    separators = [mark for mark in (b",", b";", b"\t", b"|", b" ") if comment.strip(b"# ").count(mark)]
    alike = any(comment.strip(b"# ").count(mark) == following.strip().count(mark) for mark in separators)
    return alike and (bool(re.search(rb"(?:^|[,;\t| ])[+-]?[\d.]+(?:$|[,;\t| ])", following)) or comment[1:2] != b" ")


def record_chunks(
    stream: ByteStream, label: str, separator: str, line: int, *, skip: bool
) -> Iterator[tuple[int, bytes, bytes, str]]:
    """Cut a text into runs of whole records: (first line number, text, text with quoted line breaks masked, "").

    For a record that never ends, only its first line is yielded, and the last string is the reason.

    Parameters
    ----------
    stream, line
        From `begun`.
    label : str
        Name of the file in messages.
    separator : str
        One character.
    skip : bool
        Whether to yield records that cannot be read, with their reason. If not, they are errors.
    """
    more = text = _read(stream, label, _CHUNK_BYTES, skip=skip)
    head = text[:8]
    while text:
        # Where files were joined, their byte order marks stand before the first value of a line.
        text = text.replace(b"\n\xef\xbb\xbf", b"\n")
        if b"\0" in text:
            place = text.index(b"\0")
            if not head.startswith((b"\0", *_LOOKS_LIKE)) and head[1:2] != b"\0" and _is_plain(text):
                line += _count_breaks(text, place)
                raise ValueError(f"{label}, line {line}: holds a null byte, as no text does; remove it")
            raise ValueError(f"{label}: is no text; {guess(head, text)}")
        masked, unclosed = mask_quoted_breaks(text, separator)
        # A carriage return at the very end may be the first half of a CR LF.
        end = max(masked.rfind(b"\n"), masked.rfind(b"\r", 0, -1)) + 1
        # A long record is scanned again after each read. The amount read doubles, so that the time stays linear.
        more = more and _read(stream, label, _CHUNK_BYTES if end else max(_CHUNK_BYTES, len(text)), skip=skip)
        endless = (unclosed is not None and not more) or (not end and len(text) > _MAX_RECORD_BYTES)
        if not more and not endless:
            end = len(text)
        if not skip:
            try:
                text[:end].decode()
            except UnicodeDecodeError as error:
                line += _count_breaks(text, error.start)
                raise ValueError(f"{label}, line {line}: is no UTF-8 text; {guess(head, text)}") from None
        opened = line + _count_breaks(text, unclosed or 0)
        if end:
            yield line, text[:end], masked[:end], ""
            line += _count_breaks(text, end)
            text = text[end:]
        if endless:
            problem = f"is over {_MAX_RECORD_BYTES >> 20} MiB" if unclosed is None else "opens quotes that never close"
            line_break = LINE_BREAK.search(text)
            end = line_break.end() if line_break else len(text)
            yield opened, text[:end], b"", problem
            line += _count_breaks(text, end)
            text = text[end:]
        text += more


def _is_plain(text: bytes) -> bool:
    """Return whether a text is UTF-8, but for null bytes, without other signs that only steer machines."""
    if re.search(rb"[\x01-\x08\x0e-\x1f\x7f]", text):
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _count_breaks(text: bytes, end: int) -> int:
    return text.count(b"\n", 0, end) + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)


def _read(stream: ByteStream, label: str, size: int, *, skip: bool) -> bytes:
    try:
        read = stream.read(size)
        # If bad lines are skipped, a line with null bytes is skipped like one that is no UTF-8 text.
        return read.replace(b"\0", _NULL) if skip else read
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        if "Not a gzipped file" in str(error):
            raise ValueError(
                f"{label}: the gzip data are damaged, or none though the name ends in .gz; rename it"
            ) from None
        raise ValueError(f"{label}: the gzip data are damaged or cut short ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{label}: is no {error.encoding} text ({error.reason}); name the encoding it has") from None
    except UnicodeError as error:  # a missing byte order mark raises the plain class
        raise ValueError(f"{label}: cannot be decoded ({error}); name the encoding it has") from None


def looks_like(head: bytes, kind: str) -> str:
    """Return what a file that is no `kind` looks like, from its beginning; "" if nothing tells."""
    own = {"Parquet": b"PAR1", "NPY": b"\x93NUMPY", "NPZ": b"PK", "Excel": b"PK"}.get(kind, b"")
    if own and head.startswith(own):
        return ""
    known = next((what for magic, what in _LOOKS_LIKE.items() if head.startswith(magic)), "")
    if not known and head and _is_plain(head.rpartition(b"\n")[0] or head) and b"\0" not in head:
        known = "it looks like text; let its name end in .csv or in .jsonl"
    return known


def guess(head: bytes, text: bytes) -> str:
    """Return a guess at a file that is no UTF-8 text, from its beginning and some of its text, or a remedy."""
    for order, zeros in (("le", head[1::2]), ("be", head[::2])):
        if len(zeros) > 1 and not any(zeros):
            return f"it looks like UTF-16; name its encoding, as in encoding='utf-16-{order}'"
    known = next((kind for magic, kind in _LOOKS_LIKE.items() if head.startswith(magic)), None)
    return known or encoding_hint(text[:_BEGIN_BYTES])


def mask_quoted_breaks(text: bytes, separator: str) -> tuple[bytes, int | None]:
    r"""Replace line breaks in quotes by \0, without changing the length; also after quotes that never close.

    As in Arrow, quotes count only at the beginning of a value.
    """
    if b'"' not in text:
        return text, None
    # Two quotes in a row are one quote in the value. The pattern can match in one way only, so it never backtracks.
    # Possessive quantifiers would say so, but had faults in Python 3.11.
    quoted = re.compile(rb'(?:\A|(?<=[%b\r\n]))"[^"]*(?:""[^"]*)*("|\Z)' % re.escape(separator.encode()))
    masked = bytearray(text)
    for found in quoted.finditer(text):
        value = found[0]
        if b"\n" in value or b"\r" in value:
            masked[found.start() : found.end()] = LINE_BREAK.sub(lambda b: b"\0".rjust(len(b[0])), value)
        if not found[1]:
            return bytes(masked), found.start()
    return bytes(masked), None


def record_lines(text: bytes, masked: bytes, first_line: int) -> NDArray[np.int64]:
    """Return the first line number of each record that is not blank."""
    if masked == text and not (b"\r" in text or b"\n\n" in text or text.startswith(b"\n")):
        return np.arange(first_line, first_line + text.count(b"\n") + (not text.endswith(b"\n")))
    lines, line = [], first_line
    for record in masked.splitlines():
        if record:
            lines.append(line)
        line += 1 + record.count(b"\0")
    return np.array(lines, dtype=np.int64)


def undecodable(text: bytes, masked: bytes) -> dict[int, tuple[str, str]]:
    """Return the records that are no UTF-8 text, by number without blank records: the reason, and the text."""
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
            bad[number] = "is no UTF-8 text", as_text(raw)
        number += 1
    return bad


def as_text(raw: bytes) -> str:
    """Return a record as text, whatever its bytes are."""
    return raw.replace(_NULL, b"\0").rstrip(b"\r\n").decode(errors="backslashreplace")


def whole_lines(stream: ByteStream, label: str) -> Iterator[bytes]:
    """Yield the lines of a text, the last one even without a line break. ValueError for a line of over 64 MiB."""
    rest = b""
    while more := _read(stream, label, _CHUNK_BYTES, skip=False):
        *lines, rest = (rest + more).split(b"\n")
        yield from lines
        if len(rest) > _MAX_RECORD_BYTES:
            raise ValueError(f"{label}: holds a line of over {_MAX_RECORD_BYTES >> 20} MiB; cut it")
    if rest:
        yield rest


def with_tabs(text: bytes) -> bytes:
    """Replace the runs of spaces and tabs between the values of each line by one tab."""
    text = re.sub(rb'("[^"\r\n]*")|[ \t]+', lambda found: found[1] or b"\t", text)
    return re.sub(rb"\t+(?=[\r\n]|\Z)|(?:\A|(?<=[\r\n]))\t+", b"", text)
