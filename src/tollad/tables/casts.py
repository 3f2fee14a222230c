"""Casts of Arrow columns to numbers and timestamps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.large_string()
# Pattern of the texts that are read as numbers. A number is matched in one way only, so that a pattern of many numbers
# does not try all ways.
NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"


def to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.float64(), safe=False)


def to_timestamp(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times in microseconds; ArrowInvalid for those that are too far off for these."""
    # An unsafe cast drops what is below a microsecond. It would also let seconds overflow in silence.
    is_finer = getattr(column.type, "unit", None) == "ns"
    return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=not is_finer)


def tried(read: Callable[[pa.ChunkedArray], pa.ChunkedArray], column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return `read(column)`; None if it fails for some value."""
    try:
        # Arrow builds an error for each value that it cannot read. Trying the first hundred rows saves seconds.
        read(column[:100])
        return read(column)
    except pa.ArrowInvalid:
        return None


def spelt_as(levels: Sequence[str | None], numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, given as text, in the spelling of the level of the same value, if there is exactly one.

    So 5, or 5.0, is the level "5", "05" or "5.0" of codes that were learnt from text.

    Examples
    --------
    >>> spelt_as(["05", "6.0", "x", None], pa.chunked_array([["5", "6", "7", None]])).to_pylist()
    ['05', '6.0', '7', None]
    """
    known = pa.array(levels, TEXT)
    spelt = known.filter(pc.match_substring_regex(known, f"^{NUMBER}$").fill_null(False))
    values, counts = to_float(spelt).value_counts().flatten()
    single = values.filter(pc.equal(counts, 1))
    given = to_float(numbers)
    # A level that is spelt in the same way comes first.
    found = pc.and_(pc.is_in(given, value_set=single), pc.invert(pc.is_in(numbers, value_set=known)))
    return pc.if_else(found, spelt.take(pc.index_in(given, value_set=to_float(spelt))), numbers)
