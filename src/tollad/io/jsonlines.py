"""JSON lines as pieces of tables with their line numbers.

Each line is an object; its keys are the names of the columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tollad.io.records import byte_stream, looks_like, whole_lines
from tollad.io.skipped import Reject
from tollad.io.text import Piece, distinct_names
from tollad.warn import listed


def json_parts(path: str, block_rows: int, reject: Reject | None = None, decimal: str | None = None) -> Iterator[Piece]:
    """Yield successive pieces of a file of JSON lines as columns of text.

    Numbers keep their digits, and true and false become these words. A null, or a key that a line lacks, is a missing
    value. Blank lines are skipped.

    Parameters
    ----------
    path : str
    block_rows : int
        The most rows of a piece. The keys of the first one are the columns.
    reject : callable, optional
        Called for each line that cannot be read, which is then left out. By default such a line is an error.
    decimal : str, optional
        The sign before decimals in texts, which numbers then get, too. By default it is a point.

    Raises
    ------
    ValueError
        For an empty file, a line that is no object of numbers, texts and truth values, or a key that no line of the
        first piece has. The message names the line.
    """
    names: list[str] = []
    records: list[dict[str, str | None]] = []
    lines: list[int] = []
    numbers: list[int] = []
    n_before = 0

    def part() -> Piece:
        columns = [pa.array([record.get(name) for record in records], pa.string()) for name in names]
        return Piece(pa.table(columns, names=distinct_names(path, names)), np.array(lines), np.array(numbers))

    with byte_stream(path, None, None) as stream:
        for line, text in enumerate(whole_lines(stream, path), 1):
            if not text.strip():
                continue
            try:
                record = _record(text, decimal or ".")
                unknown = [name for name in record if names and name not in names]
                if unknown:
                    known = listed(names, most=10)
                    raise ValueError(f"the key {unknown[0]!r} is not among those of the first lines: {known}")
            except ValueError as error:
                if reject is None:
                    other = looks_like(text, "JSON") if line == 1 else ""
                    remedy = other if other and "looks like text" not in other else "correct the line"
                    raise ValueError(f"{path}, line {line}: {error}; {remedy}") from None
                reject(n_before, line, str(error), text.decode(errors="backslashreplace").rstrip("\r\n"))
            else:
                records.append(record)
                lines.append(line)
                numbers.append(n_before)
            n_before += 1
            if len(records) == block_rows:
                names = names or [*dict.fromkeys(name for record in records for name in record)]
                yield part()
                records, lines, numbers = [], [], []
    names = names or [*dict.fromkeys(name for record in records for name in record)]
    if records:
        yield part()
    elif not names:
        raise ValueError(f"{path}: is empty")


def _record(text: bytes, decimal: str) -> dict[str, str | None]:
    def written(number: str) -> str:
        return number.replace(".", decimal)

    try:
        record = json.loads(text, parse_int=str, parse_float=written, parse_constant=str, object_pairs_hook=_distinct)
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
    except json.JSONDecodeError as error:
        if text.strip() in (b"[", b"{"):
            raise ValueError("is the beginning of a list or an object; write one object a line") from None
        raise ValueError(f"is no JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError(f"is no JSON object but {_named(record)}; write one object a line")
    return {name: _value(name, value) for name, value in record.items()}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object as a dict; ValueError if a key occurs twice."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for name in record if [key for key, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return record


def _value(name: str, value: Any) -> str | None:
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        raise ValueError(f"the value of {name!r} holds a half of a character") from None
    if isinstance(value, (list, dict)):
        raise ValueError(f"the value of {name!r} is {_named(value)}, and a column holds numbers, texts or dates")
    if isinstance(value, bool):
        return "true" if value else "false"
    text: str | None = value  # numbers are read as their digits
    return text


def _named(value: object) -> str:
    return {dict: "an object", list: "a list", bool: "a truth value", type(None): "null"}.get(type(value), "a value")
