"""Casts of Arrow columns to numbers and timestamps."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

TEXT = pa.large_string()


def to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.float64(), safe=False)


def to_timestamp(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)


def tried(read: Callable[[pa.ChunkedArray], pa.ChunkedArray], column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return `read(column)`; None if it fails for some value."""
    try:
        # Arrow builds an error for each value that it cannot read. Trying the first hundred rows saves seconds.
        read(column[:100])
        return read(column)
    except pa.ArrowInvalid:
        return None
