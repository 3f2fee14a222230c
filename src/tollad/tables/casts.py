"""Casts of Arrow columns to the types that columns are read as."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

TEXT = pa.large_string()


def to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.float64(), safe=False)


def to_timestamp(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)


def tried(read: Callable[[pa.ChunkedArray], pa.ChunkedArray], column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return what a column reads as; None if some value cannot be read so."""
    try:
        # Arrow builds an error for each value that it cannot read. Trying the first hundred rows saves seconds.
        read(column[:100])
        return read(column)
    except pa.ArrowInvalid:
        return None
