"""Casts of Arrow columns to numbers and timestamps."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

TEXT = pa.large_string()


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
