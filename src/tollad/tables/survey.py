"""Decide the kind of each column from the training rows: from all at once, or block by block."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from tollad.tables.frames import columns_by_name, is_nameless
from tollad.tables.one_column import Survey
from tollad.tables.refusals import SlipError
from tollad.tables.schema import Column, Where, check_kinds
from tollad.tables.stand_ins import warn_of_empty_rows, warn_of_totals

# Columns that a message about one row names.
_MOST_NAMED = 3


def fit_columns(
    table: pa.Table, kinds: Mapping[str, str] | None = None, *, where: Where = "row {}".format, file: str = ""
) -> list[Column]:
    """Decide the kind of each column, and learn its constants.

    Numbers, booleans, durations and times of day (in seconds) become numbers; dates and timestamps become dates. A
    column with the type of a category (of pandas, polars or Arrow) becomes a category, even if its values are numbers.
    A column of text becomes numbers if all its values are numbers (or true and false), dates if all are dates as in ISO
    8601, else a category. Outer spaces do not count, and the words of `MISSING` are missing values. Either all times of
    a column have a time zone, or none. Hours and weekdays are local.

    Text of which most values, but not all, are numbers or dates is refused: it is more likely a column of numbers with
    a slip than a category. "Most" is 95 % of 20 or more values; or half of them, if there are more than `MAX_LEVELS`
    different numbers, since codes repeat. Text with hardly any value twice is refused, too: it is an identifier, and
    every new row would look anomalous. Columns without a name are left out if they number the rows or hold no value,
    and so are columns that are keys by name and values, see `tollad.tables.keys.is_key`.

    Parameters
    ----------
    table : pyarrow.Table
        Training rows.
    kinds : mapping of str to {"number", "category", "date", "drop"}, optional
        Kinds of columns by name, which overrule the values: for example, codes made of digits may be categories.
    where : callable, optional
        Maps a row number, from 0, to the words for its place; for messages.
    file : str, default ""
        The file of the table, if any; for messages.

    Returns
    -------
    list of Column
        In the order of the table, including the dropped ones.

    Raises
    ------
    ValueError
        For a table without rows or columns, names that are not distinct, unknown names or kinds in `kinds`, a column
        without a value or of nested values, infinite numbers, a text column most of whose values are numbers or dates,
        and one of 20 texts or more of which over 90 % are distinct. All such columns are named at once.

    Warns
    -----
    UserWarning
        For a column that is left out, and for whole numbers that look like a key, see `looks_like_key`.

    Examples
    --------
    >>> from tollad.tables.encode import encode
    >>> from tollad.tables.schema import describe, encoding
    >>> table = pa.table({"age": ["31", "?", "4.5"], "city": ["Bonn", "Oslo", "Bonn"]})
    >>> columns = fit_columns(table)
    >>> describe(columns)
    ['age: number', 'city: category, 2 levels one-hot']
    >>> encoding(columns).names
    ('age', 'city=Bonn', 'city=Oslo', 'city=(other)')
    >>> encode(pa.table({"age": [40, 50], "city": ["Oslo", "Rome"]}), columns).tolist()
    [[40.0, 0.0, 1.0, 0.0], [50.0, 0.0, 0.0, 1.0]]
    """
    by_name, kinds = columns_by_name(table), {str(name): kind for name, kind in (kinds or {}).items()}
    check_kinds(table.column_names, kinds)
    if not table.num_rows:
        raise ValueError("the table has no row to learn from; give at least one column and one row")
    surveys = [Survey(name, kinds.get(name), keep_days=True) for name in by_name]
    empty = np.ones(table.num_rows, dtype=np.bool_)
    for survey in surveys:
        empty &= survey.add(by_name[survey.name], where)
    columns = decided(surveys, file)
    if len(columns) > 1:
        warn_of_empty_rows(int(empty.sum()))
    return columns


def decided(surveys: Sequence[Survey], file: str) -> list[Column]:
    """Return each column after its last value. A ValueError names all columns that are refused.

    `file` is "" for rows in memory.
    """
    columns, refused = [], {}
    for survey in surveys:
        try:
            columns.append(survey.column())
        except ValueError as error:
            refused[survey.name] = error
    at = f"{file}: " if file else ""
    slip = no_row([error for error in refused.values() if isinstance(error, SlipError)])
    if slip is not None:
        raise slip
    if len(refused) == 1:
        (message,) = map(str, refused.values())
        raise ValueError(message if message.startswith(file) else f"{at}{message}")
    if refused:
        lines = "".join(f"\n- {error}" for error in refused.values())
        drop = dict.fromkeys(refused, "drop")
        remedy = f"; mend them as told below, or leave them out with columns={drop}" if columns else ""
        raise ValueError(f"{at}{len(refused)} columns cannot be learnt from{remedy}{lines}")
    warn_of_totals(
        [
            column.name
            for column, survey in zip(columns, surveys, strict=True)
            if column.kind != "drop" and survey.ends_with_total
        ]
    )
    if all(column.kind == "drop" for column in columns):
        raise ValueError(f"{at}no column is left to learn from; give at least one that is no key, with values")
    return columns


def no_row(slips: Sequence[SlipError]) -> ValueError | None:
    """Return the error for several columns whose only text that is no number is in one row: it is no row of data.

    None if there is no such row.
    """
    single = [slip for slip in slips if len(slip.texts) == 1]
    by_place = {slip.place: [other for other in single if other.place == slip.place] for slip in single}
    place, there = max(by_place.items(), key=lambda item: len(item[1]), default=("", []))
    if len(there) < 2:
        return None
    values = [f"{reprlib.repr(slip.texts[0])} in column {slip.column!r}" for slip in there[:_MOST_NAMED]]
    more = f" and {len(there) - len(values)} more" if len(there) > len(values) else ""
    repeats = all(slip.texts[0] == slip.column for slip in there)
    what = "repeats the names of the columns" if repeats else "seems to hold units or names"
    remedy = "remove it"
    if any(is_nameless(slip.column) for slip in there):
        what, remedy = "seems to hold the names of the columns", "remove what stands above it"
    return ValueError(
        f"{place}: {', '.join(values)}{more} are no numbers or dates, which all other rows have there; the line {what}"
        f", so {remedy}"
    )
