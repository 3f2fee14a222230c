"""A few rows of plain Python values as inputs of a graph, read directly: reading them through Arrow takes longer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.tables.schema import MISSING, Column

_FIRST = datetime(1970, 1, 1)
_MISSING = frozenset(MISSING)
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOTHING = type(None)
_MANY = 1 << 53


class _NotPlainError(Exception):
    """A value that must be read through Arrow."""


def plain_inputs(rows: Sequence[Any], columns: Sequence[Column]) -> dict[str, NDArray[Any]] | None:
    """Return the inputs of a graph of mixed columns, as `tollad.serve.runtime.Runtime.feed` does.

    Parameters
    ----------
    rows : sequence
        Mappings of names to values; anything else gives None.
    columns : sequence of Column

    Returns
    -------
    dict of str to ndarray, (n,), or None
        None if the rows must be read, or refused, through Arrow: those with other columns than at fit, or with a value
        that is no finite number, ASCII text, day like 2024-12-31, `datetime` without a zone, or None.
    """
    kept = [column for column in columns if column.kind != "drop"]
    names = {column.name for column in kept}
    if not all(isinstance(row, Mapping) and row.keys() == names for row in rows):
        return None
    try:
        return {column.name: _READ[column.kind](column, [row[column.name] for row in rows]) for column in kept}
    except (_NotPlainError, ValueError):
        return None


def _numbers(column: Column, values: list[Any]) -> NDArray[np.float64]:
    types = {*map(type, values)} - {_NOTHING}
    if not types <= {int, float} and not (types == {bool} and column.truths):
        raise _NotPlainError
    if any(value is not None and not (math.isfinite(value) and abs(value) < _MANY) for value in values):
        raise _NotPlainError
    return np.array(values, dtype=np.float64)


def _texts(column: Column, values: list[Any]) -> NDArray[np.object_]:
    return np.array([_text(value) for value in values], dtype=object)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str or not value.isascii():
        raise _NotPlainError
    text = value.strip()
    if text in _MISSING:
        return ""
    return lower if (lower := text.lower()) in ("true", "false") else text


def _days(column: Column, values: list[Any]) -> NDArray[np.float64]:
    types = {*map(type, values)} - {_NOTHING}
    if len(types) > 1 or column.zone != "":
        raise _NotPlainError
    return np.array([_day(value) for value in values], dtype=np.float64)


def _day(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is str and _DAY.fullmatch(value):
        return date.fromisoformat(value).toordinal() - _FIRST.toordinal()
    if type(value) is datetime and value.tzinfo is None:
        apart = value - _FIRST
        return ((apart.days * 86400 + apart.seconds) * 1_000_000 + apart.microseconds) / 86400e6
    raise _NotPlainError


_READ = {"number": _numbers, "category": _texts, "date": _days}
