"""Times with a zone and times without one. The two are never compared. Both are read as local wall-clock time.

A weekday and an hour are local: they shift neither with daylight saving time nor with the zone in which a file was
written.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import TEXT, to_float, to_timestamp, tried
from tollad.tables.schema import AS_WRITTEN, Column, Where

_OFFSET = r" ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)$"
_MICROSECONDS = pa.timestamp("us")
# In minutes: daylight saving time moves the offset of a place by an hour.
_DAYLIGHT_SAVING = 60


def has_zone(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which times have a time zone, null where missing."""
    if column.type == TEXT and tried(to_timestamp, column) is None:
        return pc.match_substring_regex(column, rf"[T ].*{_OFFSET}")
    return pc.if_else(column.is_valid(), bool(zone_of_type(column)), pa.scalar(None, pa.bool_()))


def zone_of_type(column: pa.ChunkedArray) -> str:
    """Return the time zone that the type of a column gives all values; "" for none, and for text."""
    return getattr(column.type, "tz", None) or ""


def instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as timestamps in UTC. Times without a zone stay as they are."""
    if column.type != TEXT:
        return to_timestamp(column).cast(_MICROSECONDS)
    return _read_text(column, lambda zoned: zoned.cast(pa.timestamp("us", "UTC")).cast(_MICROSECONDS))


def wall_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as timestamps without a zone: the wall-clock time in the zone of each value."""
    if column.type != TEXT:
        times = to_timestamp(column)
        return (pc.local_timestamp(times) if zone_of_type(column) else times).cast(_MICROSECONDS)
    return _read_text(column, lambda zoned: to_timestamp(pc.replace_substring_regex(zoned, _OFFSET, "")))


def _read_text(column: pa.ChunkedArray, read_zoned: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.ChunkedArray:
    if (timestamps := tried(to_timestamp, column)) is not None:
        return timestamps
    for pattern, iso in ((r"/", "-"), (r"(:[0-9]{2}),([0-9])", r"\1.\2"), (r"(\.[0-9]{6})[0-9]+", r"\1")):
        column = pc.replace_substring_regex(column, pattern, iso)
    column = pc.replace_substring_regex(
        pc.replace_substring_regex(column, " ?(UTC|GMT)$", "Z"), r" ([+-][0-9:]+)$", r"\1"
    )
    null, zoned = pa.scalar(None, TEXT), pc.match_substring_regex(column, rf"[T ].*{_OFFSET}")
    return pc.coalesce(read_zoned(pc.if_else(zoned, column, null)), to_timestamp(pc.if_else(zoned, null, column)))


def offsets(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the offset of each time from UTC in minutes, positive if ahead: NaN where missing, 0 without a zone."""
    minutes: NDArray[np.float64] = np.round((days_of(wall_times(column)) - days_of(instants(column))) * 1440)
    return minutes


def days_of(timestamps: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return timestamps as days since 1970-01-01, NaN where missing."""
    return to_float(timestamps.cast(pa.int64())).to_numpy() / 86400e6


def local_times(column: Column, values: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
    """Return the times of a column as wall-clock times in the zone of its training rows.

    Raises
    ------
    ValueError
        For a time without a zone in a column of times with one, and the reverse. If the column knows only offsets, also
        for a time whose offset from UTC is not among them, give or take daylight saving time.
    """
    if column.zone is None or pa.types.is_null(values.type):
        return instants(values)
    row = pc.index(has_zone(values), not column.zone).as_py()
    if row >= 0:
        learnt, remedy = (
            ("with one", "give times with a zone") if column.zone else ("without one", "leave the zone out")
        )
        has = "no" if column.zone else "a"
        raise ValueError(
            f"{where(row)}, column {column.name!r}: the time has {has} time zone, but the column was learnt {learnt}; "
            f"{remedy}, in the local time of the training rows"
        )
    if column.zone == AS_WRITTEN:
        lowest, highest = column.offsets
        minutes = offsets(values)
        strange = np.flatnonzero((minutes < lowest - _DAYLIGHT_SAVING) | (minutes > highest + _DAYLIGHT_SAVING))
        if len(strange):
            row = int(strange[0])
            raise ValueError(
                f"{where(row)}, column {column.name!r}: the time is {shown_offset(int(minutes[row]))} from UTC, but "
                f"the column was learnt with {' to '.join(map(shown_offset, sorted(set(column.offsets))))}; "
                "convert it to the time zone of the training rows"
            )
        return wall_times(values)
    return wall_times(zoned(column, values)) if column.zone else instants(values)


def zoned(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as timestamps with the zone of their column; as text if the column knows only offsets."""
    if column.zone == AS_WRITTEN:
        return values.cast(TEXT)
    return instants(values).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", column.zone))


def shown_offset(minutes: int) -> str:
    """Return an offset from UTC as ISO 8601 writes it.

    Examples
    --------
    >>> shown_offset(-210)
    '-03:30'
    """
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
