"""Separated text as pieces of tables with their line numbers.

It is cut at the ends of records, so it may have any size.

Arrow's own stream reader counts rows without blank lines and quoted line breaks. Here the line in a message is the line
in an editor.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from tollad.io.dialect import NUMBER_IN_TEXT, SEPARATORS, Dialect, guess_separator, other_separator
from tollad.io.records import (
    LINE_BREAK,
    as_text,
    begun,
    byte_stream,
    guess,
    mask_quoted_breaks,
    record_chunks,
    record_lines,
    undecodable,
    with_tabs,
)
from tollad.io.skipped import Reject
from tollad.tables.frames import is_nameless
from tollad.tables.schema import MISSING

# Other separators are looked for in this many bytes at the start of a file.
_LOOKED_AT = 1 << 14


class Piece(NamedTuple):
    """A piece of a table.

    Attributes
    ----------
    lines : ndarray of int64 or None
        Line number on which each row begins, from 1; None if the format has no lines.
    numbers : ndarray of int64 or None
        Number of each row in the file, from 0; None if no row was left out before.
    """

    table: pa.Table
    lines: NDArray[np.int64] | None = None
    numbers: NDArray[np.int64] | None = None


def text_parts(
    path: str,
    label: str,
    usual: str,
    header: bool,
    numeric: Collection[str] = (),
    reject: Reject | None = None,
    spooled: BinaryIO | None = None,
    dialect: Dialect | None = None,
) -> Iterator[Piece]:
    """Yield successive pieces of a text file, "-" for standard input, as columns of strings.

    Parameters
    ----------
    path : str
    label : str
        Name of the file in messages.
    usual : str
        Separator by the ending of the file. It is used if neither `dialect` nor the first lines tell.
    header : bool
        Whether the first record holds the names. If not, they are x1, x2, ...
    numeric : collection of str
        Columns to read as float64 in each piece where they hold only numbers. It may change between two pieces.
    reject : callable, optional
        Called for each record that cannot be read, which is then left out. By default such a record is an error.
    spooled : binary file, optional
        Stored standard input, which is read from its beginning instead.
    dialect : Dialect
        How the text is written. Decimal signs and dates stay as they are, except in `numeric`.

    Raises
    ------
    ValueError
        For an empty file, damaged gzip data, bytes that are no UTF-8 text, ragged rows, quotes that never close, and
        duplicated names. The message names the line.
    """
    names: list[str] = []
    n_before = 0
    skip, dialect = reject is not None, dialect or Dialect()
    with byte_stream(path, spooled, dialect.encoding) as stream:
        text_stream, begin, line, said = begun(stream, label, header=header, skip=skip)
        dialect = _with_separator(dialect, label, dialect.separator or said or _guessed(begin, usual))
        separator = str(dialect.separator)
        for first_line, text, masked, problem in record_chunks(text_stream, label, separator, line, skip=skip):
            if problem:
                if reject is None or not names:
                    raise ValueError(f"{label}, line {first_line}: {problem}; correct the line")
                reject(n_before, first_line, problem, as_text(text))
                n_before += 1
                continue
            if separator == " ":
                text = with_tabs(text)
                masked, _ = mask_quoted_breaks(text, "\t")
            lines = record_lines(text, masked, first_line)
            if not lines.size:
                continue
            if not names:
                names, end = _names(text, masked, label, dialect, lines, header)
                if header:
                    text, masked, lines = text[end:], masked[end:], lines[1:]
                if not lines.size:
                    continue
            yield _piece(text, masked, label, dialect, lines, names, numeric, n_before, reject)
            n_before += len(lines)
    if not names:
        raise ValueError(f"{label}: is empty")


def _with_separator(dialect: Dialect, label: str, separator: str) -> Dialect:
    """Return the dialect of a text with its separator; ValueError if that is the decimal sign, too."""
    if separator == dialect.decimal == ",":
        raise ValueError(
            f"{label}: commas separate its values, so that none can be the decimal sign, which was asked for or "
            "learnt at fit; read it with decimal='.', or name the separator, as in separator=';'"
        )
    return replace(dialect, separator=separator)


def _piece(
    text: bytes,
    masked: bytes,
    label: str,
    dialect: Dialect,
    lines: NDArray[np.int64],
    names: list[str],
    numeric: Collection[str],
    n_before: int,
    reject: Reject | None,
) -> Piece:
    """Return whole records as a piece, of which the first has the number `n_before`, without those to reject."""
    hint = "" if text.endswith((b"\r", b"\n")) else "; the text ends within this line"
    bad: dict[int, tuple[str, str]] = {}
    if reject is not None and (bad := undecodable(text, masked)):
        text = text.decode(errors="replace").encode()
    table, ragged = _parse(text, label, dialect, lines, names, numeric, skip=reject is not None, hint=hint)
    piece = Piece(table, lines, n_before + np.arange(len(lines)))
    if reject is None or not (bad or ragged):
        return piece
    for row, why in sorted((ragged | bad).items()):
        reject(n_before + row, int(lines[row]), *why)
    return _without(piece, bad, ragged)


def _names(
    text: bytes, masked: bytes, label: str, dialect: Dialect, lines: NDArray[np.int64], header: bool
) -> tuple[list[str], int]:
    """Return the names of the columns from the first record, and the place where it ends."""
    start = len(masked) - len(masked.lstrip(b"\r\n"))
    line_break = LINE_BREAK.search(masked, start)
    end = line_break.end() if line_break else len(text)
    if undecodable(text[start:end], masked[start:end]):
        raise ValueError(f"{label}, line {lines[0]}: is no UTF-8 text; {guess(text[:8], text)}")
    names = _parse(text[start:end] + b"\n", label, dialect, lines, None)[0].column_names
    if len(names) == 1:
        _check_separator(text[start:end].decode(), label, dialect.separator or ",")
        _check_other_separators(text[start:], label)
    return distinct_names(label, names) if header else numbered(len(names)), end


def _guessed(begin: bytes, usual: str) -> str:
    """Return the separator, guessed from the beginning of a text, whose last line may be cut."""
    end = max(begin.rfind(b"\n"), begin.rfind(b"\r")) + 1
    return guess_separator(begin[: end or len(begin)].decode(errors="replace"), usual)


def _check_separator(record: str, label: str, separator: str) -> None:
    """Raise ValueError if the first record has one value that looks like several with another separator."""
    bare = re.sub('"[^"]*"', "", record)
    found = max((other for other in SEPARATORS if other not in (separator, " ")), key=bare.count)
    if found not in bare:
        return
    raise ValueError(
        f"{label}: looks separated by {SEPARATORS[found]}, but is read as separated by {SEPARATORS[separator]}; "
        f"name the separator, as in separator={found!r}, or put quotes around what is one value"
    )


def _check_other_separators(text: bytes, label: str) -> None:
    """Raise ValueError if the records of one value look separated by a sign that is never guessed."""
    begin, _, _ = text[:_LOOKED_AT].rpartition(b"\n")
    sign = other_separator((begin if len(text) > _LOOKED_AT else text).decode(errors="replace"))
    if sign:
        remedy = f"name the separator, as in separator={sign!r}" if sign.isascii() else "write commas in its place"
        looks = SEPARATORS.get(sign, repr(sign))
        raise ValueError(f"{label}: looks separated by {looks}; {remedy}, or put quotes around what is one value")


def _without(part: Piece, bad: Collection[int], ragged: Collection[int]) -> Piece:
    """Return a piece without its bad records. Ragged records have lines and numbers, but are not in the table."""
    assert part.lines is not None
    assert part.numbers is not None
    records = np.arange(len(part.lines))
    is_bad, is_ragged = np.isin(records, [*bad]), np.isin(records, [*ragged])
    good = ~(is_bad | is_ragged)
    return Piece(part.table.filter(pa.array(~is_bad[~is_ragged])), part.lines[good], part.numbers[good])


def _parse(
    text: bytes,
    label: str,
    dialect: Dialect,
    lines: NDArray[np.int64],
    names: list[str] | None,
    numeric: Collection[str] = (),
    *,
    skip: bool = False,
    hint: str = "",
) -> tuple[pa.Table, dict[int, tuple[str, str]]]:
    """Parse whole records to columns of strings, or of numbers where all are.

    Without `names`, the first record holds them.

    If ragged records are to be skipped, they are returned, too: the reason, and the text.
    """
    ragged: dict[int, tuple[str, str]] = {}
    separator = "\t" if dialect.separator == " " else dialect.separator

    def note(row: Any) -> str:
        problem = wrong_number(row.expected_columns, row.actual_columns)
        ragged[row.number - 1] = problem + (hint if row.number == len(lines) else ""), row.text
        return "skip" if skip else "error"

    def read(numeric: Collection[str]) -> pa.Table:
        types = {name: pa.float64() if name in numeric else pa.string() for name in names or ()}
        return csv.read_csv(
            pa.BufferReader(text),
            # One block and one thread: otherwise Arrow does not number the rows.
            csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=note),
            csv.ConvertOptions(
                column_types=types,
                check_utf8=False,
                null_values=[*MISSING, *dialect.missing],
                decimal_point=dialect.decimal or ".",
            ),
        )

    if numeric:
        # A column with a value that is no finite number is read again as text, so that an error can show the value and
        # its line.
        with contextlib.suppress(pa.ArrowInvalid):
            table = read(numeric)
            columns = zip(table.column_names, table.columns, strict=True)
            if not any(pc.any(pc.is_inf(column)).as_py() for name, column in columns if name in numeric):
                return table, ragged
        ragged.clear()
    try:
        return read(()), ragged
    except pa.ArrowInvalid as error:
        if not ragged:
            raise ValueError(f"{label}, line {lines[0]} or below: cannot be read as a table ({error})") from error
        (row, (problem, record)), *_ = ragged.items()
        raise ValueError(f"{label}, line {lines[row]}: {problem}; {_remedy(record, names, separator or ',')}") from None


def wrong_number(expected: int, found: int) -> str:
    """Say that a row has another number of values than there are names.

    Examples
    --------
    >>> wrong_number(1, 3)
    'expected 1 value, found 3'
    """
    return f"expected {expected} value{'s' * (expected != 1)}, found {found}"


def _remedy(record: str, names: Sequence[str] | None, separator: str) -> str:
    """Return a remedy for a record with too many or too few values."""
    if names is not None and len(names) > 1 and separator not in record:
        return _no_row(record.strip())
    if names is not None and len(names) == 1 and separator in record:
        return f"if the first line, {names[0]!r}, is a title, remove what stands above the names of the columns"
    if names is not None and is_nameless(names[-1]) and record.count(separator) == len(names) - 2:
        return "the first line ends with a separator that the line lacks: let all lines end with as many, or none"
    n_more = 0 if names is None else record.count(separator) + 1 - len(names)
    if n_more > 0 and re.search(rf"(?:{re.escape(separator)} *){{{n_more}}}[\r\n]*\Z", record):
        return (
            f"the line ends with {'a separator' if n_more == 1 else 'separators'} that the first line lacks: let all "
            "lines end with as many, or none"
        )
    if names is not None and record.count(separator) == len(names) and re.match(r'"?1"?[^\w.]', record):
        return "R gives names to rows, which the first line lacks: write the table with row.names=FALSE"
    return "correct the line, and put quotes around values that hold the separator"


def _no_row(record: str) -> str:
    """Return what a line without a separator is, and what to do."""
    if record.startswith("#"):
        return "the line is a comment, and these may only stand above the names; remove it"
    if record in ("", "\x1a"):
        return f"the line holds {'the sign that ends a file in DOS' if record else 'spaces only'}; remove it"
    return "remove the line if it is a note and no row, or correct it"


def distinct_names(label: str, names: Sequence[str]) -> list[str]:
    """Return the names of columns without outer spaces. ValueError, beginning with `label`, for no names or equal ones.

    If several columns have no name, they get the names that pandas would give.
    """
    trimmed = [name.strip() for name in names]
    if trimmed.count("") > 1 and any(trimmed):
        trimmed = [name or f"Unnamed: {place}" for place, name in enumerate(trimmed)]
    twice = [name for name, count in Counter(trimmed).items() if count > 1]
    if len(trimmed) > 1 and not any(trimmed):
        raise ValueError(f"{label}: the first line holds no names; remove it if it is empty")
    if twice or not trimmed:
        problem = f"has several columns called {' and '.join(map(repr, twice))}" if twice else "has no columns"
        row = ", or read it with header=False if its first line is a row" if like_values(trimmed) else ""
        raise ValueError(f"{label}: {problem}; give each column its own name{row}")
    return trimmed


def like_values(names: Sequence[str]) -> bool:
    """Return whether column names are numbers, so that the line may be a row.

    Examples
    --------
    >>> like_values(["5.1", "", "3"]), like_values(["a", "3"])
    (True, False)
    >>> like_values(["0", "1", "2"])  # pandas' own names
    False
    """
    given = [name for name in names if name not in MISSING]
    counted = [str(j) for j in range(len(given))]
    return given != counted and all(NUMBER_IN_TEXT.fullmatch(name) for name in given)


def numbered(n_columns: int) -> list[str]:
    """Return names for columns without names: x1, x2 and so on."""
    return [f"x{j}" for j in range(1, n_columns + 1)]
