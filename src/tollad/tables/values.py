"""Values of one column, read as numbers, timestamps or text."""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import NUMBER, TEXT, spelt_as, to_float, tried
from tollad.tables.frames import known_columns
from tollad.tables.refusals import option, refusal, way_to_mark
from tollad.tables.schema import CLOCKS, MISSING, Column, Where
from tollad.tables.times import days_of, local_times, wall_times, zoned

FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # the years 1 to 9999, which a calendar can show

# Pattern of the texts that are read as dates.
DATE = (
    r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?))?)?"
)
READABLE = {"number": rf"^({NUMBER}|[+-]?(?i:inf|infinity)|(?i:true|false))$", "date": rf"^{DATE}$"}


def unreadable(table: pa.Table, columns: Sequence[Column]) -> dict[int, str]:
    """Return the rows that `encode` would refuse for a value, in ascending order, each with its reason.

    Parameters
    ----------
    table, columns
        As in `encode`.

    Raises
    ------
    ValueError
        As `encode` does, if the table or the type of a column is at fault, and not single rows.

    Examples
    --------
    >>> unreadable(pa.table({"age": ["31", "old", "?"]}), [Column("age", "number")])[1]
    "column 'age': 'old' is not a number like 1234.5, but the column is one of numbers"
    """
    by_name, found = known_columns(table, columns), dict[int, str]()
    for column in columns:
        if column.kind != "drop":
            # If several columns refuse a row, the first one gives the reason.
            found = _bad_values(column, by_name[column.name]) | found
    return dict(sorted(found.items()))


def _bad_values(column: Column, values: pa.ChunkedArray) -> dict[int, str]:
    """Return which values of a column `read_as` refuses, and why."""

    def refused(rows: NDArray[np.int64]) -> ValueError | None:
        try:
            read_as(column, values.take(pa.array(rows)), lambda row: "")
        except ValueError as error:
            return error
        return None

    rows = np.arange(len(values))
    error = refused(rows)
    if error is None:
        return {}
    values = clean(column.name, values)
    if column.kind == "category" or natural_kind(values) not in ("category", "number"):
        raise error
    if values.type == TEXT:
        looks_right = pc.match_substring_regex(values, READABLE[column.kind]).fill_null(True)
    elif pa.types.is_boolean(values.type):
        looks_right = values.is_null()
    else:
        looks_right = pc.invert(pc.is_inf(values)).fill_null(True)
    # Values that look wrong are mostly a few texts that repeat.
    suspects = np.flatnonzero(~looks_right.to_numpy())
    texts = values.take(pa.array(suspects)).to_pylist()
    first = dict(zip(reversed(texts), reversed(suspects.tolist()), strict=True))
    reasons = {text: refused(np.array([row])) for text, row in first.items()}
    found = {int(row): reasons[text] for row, text in zip(suspects, texts, strict=True)}
    # A value that looks right may still be wrong, such as the 30th of February. This is rare: halving finds it.
    waiting = [np.delete(rows, suspects)]
    while waiting:
        some = waiting.pop()
        if (error := refused(some)) is None:
            continue
        if len(some) == 1:
            found[int(some[0])] = error
        else:
            waiting += np.array_split(some, 2)
    said = {row: str(error) for row, error in found.items() if error is not None}
    return {row: text.removeprefix(", ").rpartition(";")[0] for row, text in said.items()}


def read_as(column: Column, values: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
    """Return values in the type of their column's kind: float64, local times or text, null where missing."""
    values = clean(column.name, values)
    if column.kind == "number":
        _check_clock(column, values, where)
    if column.kind != "category":
        read = read_values(column.name, values, column.kind, where, truths=column.truths)
        return read if column.kind == "number" else local_times(column, values, where)
    # Numbers can only equal levels that are numbers, and so can true and false. If no level is one, the column has
    # changed its type.
    has_kind, like = natural_kind(values) in ("number", "date"), rf"^{NUMBER}$"
    if pa.types.is_boolean(values.type):
        like = "^(true|false)$"
    if has_kind and not any(re.match(like, level or "") for level in column.levels):
        raise refusal(column.name, values, first_value(values), "category", where)
    texts = texts_of(column.name, values)
    are_numbers = natural_kind(values) == "number" and not pa.types.is_boolean(values.type)
    return spelt_as(column.levels, texts) if are_numbers else texts


def typed_as(column: Column, values: pa.ChunkedArray, where: Where) -> pa.ChunkedArray:
    """Return values as `read_as` does, but times with the zone of their column; durations and truth values stay."""
    read = read_as(column, values, where)
    if column.clock and clock_of(values.type):
        return in_microseconds(values)
    if column.words and pc.all(pc.is_in(read.drop_null(), value_set=pa.array([0.0, 1.0]))).as_py() is not False:
        return pc.equal(read, 1.0)
    is_zoned = column.kind == "date" and column.zone and not pa.types.is_null(values.type)
    return zoned(column, clean(column.name, values)) if is_zoned else read


def clock_of(kind: pa.DataType) -> str:
    """Return what numbers of a type are, one of `CLOCKS`; "" for plain ones."""
    if pa.types.is_duration(kind):
        return CLOCKS[0]
    return CLOCKS[1] if pa.types.is_time(kind) else ""


def in_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return durations and times of day, of nanoseconds without what is below a microsecond."""
    if column.type.unit == "ns":
        return column.cast(pa.duration("us") if pa.types.is_duration(column.type) else pa.time64("us"), safe=False)
    return column


def _check_clock(column: Column, values: pa.ChunkedArray, where: Where) -> None:
    """Raise ValueError for durations or times of day where something else was learnt; plain numbers are seconds."""
    given = clock_of(values.type)
    if column.clock is not None and given not in ("", column.clock):
        learnt = column.clock or "plain numbers, of a unit that nothing tells"
        ways = f"frame[{column.name!r}].dt.total_seconds()", "seconds since midnight"
        remedy = f"give values like those of the training rows, such as {ways[CLOCKS.index(given)]}"
        raise ValueError(
            f"{where(first_value(values))}, column {column.name!r}: the values are {given}, but the column was learnt "
            f"from {learnt}; {remedy}"
        )


def clean(name: str, column: pa.ChunkedArray, *, choose: bool = False) -> pa.ChunkedArray:
    """Return a column with one type for all text, and null for missing values; of type null if all are missing.

    `choose` says that the user may still choose its kind.
    """
    if pa.types.is_dictionary(column.type):
        # Arrow cannot unpack every dictionary. Those that it cannot unpack stay unknown types.
        with contextlib.suppress(pa.ArrowNotImplementedError):
            column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(TEXT)
    if column.type == TEXT:
        column = composed(pc.utf8_trim_whitespace(column))
        missing = pc.is_in(column, value_set=pa.array(MISSING, TEXT))
        column = pc.if_else(missing, pa.scalar(None, TEXT), column)
    elif pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    if not natural_kind(column):
        kind = _named(column.type)
        way = f"frame[{name!r}]{'.dt.to_timestamp()' if 'period' in kind else '.astype(str)'}"
        remedy = f"turn them into one of these, as {way} does"
        if pa.types.is_nested(column.type):
            remedy = "give each of their parts a column of its own"
        drop = f", or drop the column with {option(name, 'drop')}" if choose else ""
        raise ValueError(
            f"column {name!r} holds values of type {kind}, which are no numbers, text or dates; {remedy}{drop}"
        )
    _check_zone(name, column.type)
    return column


def _named(kind: pa.DataType) -> str:
    """Return the name of a type for a message; an extension type of pandas has its own."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind.extension_name if isinstance(kind, pa.BaseExtensionType) else str(kind)


def _check_zone(name: str, kind: pa.DataType) -> None:
    """Raise ValueError for times of a zone that is not known."""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        try:
            pc.local_timestamp(pa.scalar(0, kind))
        except pa.ArrowInvalid:
            raise ValueError(
                f"column {name!r}: the time zone {kind.tz!r} is not known; give one such as 'Europe/Berlin'"
            ) from None


def composed(text: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return text in one form of Unicode, NFC. An accent may be a character of its own, which looks the same."""
    is_plain = pc.all(pc.string_is_ascii(text)).as_py()
    return text if is_plain or is_plain is None else pc.utf8_normalize(text, "NFC")


def natural_kind(column: pa.ChunkedArray) -> str:
    """Return the kind that follows from a column's type; "" for nested, null and unknown types."""
    types = pa.types
    if column.type == TEXT:
        return "category"
    if types.is_timestamp(column.type) or types.is_date(column.type):
        return "date"
    is_plain = types.is_primitive(column.type) and not types.is_interval(column.type)
    return "number" if is_plain or types.is_decimal(column.type) else ""


def read_values(
    name: str, column: pa.ChunkedArray, kind: str, where: Where, *, choose: bool = False, truths: bool = True
) -> pa.ChunkedArray:
    """Return a column as float64 or as wall-clock times.

    `choose` says that the user may still choose its kind, and `truths` that true and false are the numbers 1 and 0.
    """
    if natural_kind(column) not in (kind, "category", ""):
        raise refusal(name, column, first_value(column), kind, where, choose=choose)
    read = partial(_numbers, truths=truths) if kind == "number" else wall_times
    try:
        values = read(column)
    except pa.ArrowInvalid:
        row = bisect_left(range(len(column)), True, key=lambda last: tried(read, column[: last + 1]) is None)
        if natural_kind(column) == "date":
            raise _far_off(name, where(row)) from None
        raise refusal(name, column, row, kind, where, choose=choose) from None
    if kind == "number" and pc.any(pc.is_inf(values)).as_py():
        row = pc.index(pc.is_inf(values), True).as_py()
        way = way_to_mark([column[row].as_py()]) if column.type == TEXT and choose else ""
        raise ValueError(
            f"{where(row)}, column {name!r}: the value is infinite; correct it, or mark it as missing{way}"
        )
    if kind == "date":
        days = days_of(values)
        strange = np.flatnonzero((days < FIRST_DAY) | (days >= LAST_DAY + 1))
        if len(strange):
            raise _far_off(name, where(int(strange[0])))
    return values


def _far_off(name: str, place: str) -> ValueError:
    return ValueError(
        f"{place}, column {name!r}: the date is not in the years 1 to 9999; correct it, or mark it as missing"
    )


def _numbers(column: pa.ChunkedArray, *, truths: bool) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type) and not truths and column.null_count < len(column):
        raise pa.ArrowInvalid("true and false are no numbers here")
    if clock_of(column.type):
        column = in_microseconds(column)
        numbers = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
        return pc.divide(to_float(numbers), {"s": 1.0, "ms": 1e3, "us": 1e6}[column.type.unit])
    if column.type == TEXT and (numbers := tried(to_float, column)) is not None:
        return numbers
    return to_float(_with_truths(column, "1", "0") if column.type == TEXT and truths else column)


def texts_of(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text, the same for a frame and for a file: 1 for 1.0, true for True."""
    if pa.types.is_temporal(column.type):
        raise ValueError(f"column {name!r}: values of type {column.type} are no categories; turn them into text first")
    return _with_truths(column, "true", "false") if column.type == TEXT else column.cast(TEXT)


def _with_truths(text: pa.ChunkedArray, true: str, false: str) -> pa.ChunkedArray:
    lower = pc.ascii_lower(text)
    return pc.if_else(pc.equal(lower, "true"), true, pc.if_else(pc.equal(lower, "false"), false, text))


def first_value(column: pa.ChunkedArray) -> int:
    """Return the row of the first value that is not missing."""
    return pc.index(column.is_valid(), True).as_py()
