"""Words and numbers of a file that stand for missing values."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tollad.tables.schema import MISSING

_PLAIN = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?", re.ASCII)


class MissingValues:
    """What stands for a missing value in a file: the usual words (`MISSING`), and `words` that the user added.

    A word that is a number stands for that number however it is written, in columns of numbers, too: -999 is -999.0.

    Examples
    --------
    >>> MissingValues(["-999"]).as_nulls(pa.chunked_array([["-999.0", "?", "7"]])).to_pylist()
    [None, None, '7']
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = pa.array([*MISSING, *words], pa.string())
        numbers = [word for word in words if _PLAIN.fullmatch(word)]
        self._numbers = pa.array([*map(float, numbers)], pa.float64())
        self._spellings = f"^({'|'.join(map(_spellings, numbers))})$" if numbers else None

    def as_nulls(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column in which all missing values are null and text has the type string."""
        types = pa.types
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if types.is_large_string(column.type) or types.is_string_view(column.type):
            column = column.cast(pa.string())
        kind = column.type
        if types.is_string(kind):
            text = pc.ascii_trim_whitespace(column)
            missing = pc.is_in(text, self._words)
            if self._spellings is not None:
                missing = pc.or_(missing, pc.match_substring_regex(text, self._spellings))
        elif len(self._numbers) and (types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind)):
            values = column.cast(pa.float64(), safe=False)
            missing = pc.or_(pc.is_nan(values), pc.is_in(values, self._numbers))
        elif types.is_floating(kind):
            missing = pc.is_nan(column)
        else:
            return column
        return pc.if_else(missing, pa.scalar(None, kind), column)


def _spellings(number: str) -> str:
    """Return the pattern of the ways to write a plain number: 5 is also 05 and 5.00."""
    sign, whole, decimals = _PLAIN.fullmatch(number).groups()  # type: ignore[union-attr]
    decimals = (decimals or "").rstrip("0")
    rest = rf"\.{decimals}0*" if decimals else r"(\.0*)?"
    return f"{'-' if sign == '-' else '[+]?'}0*{whole.lstrip('0')}{rest}"
