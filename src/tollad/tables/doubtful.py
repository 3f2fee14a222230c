"""Warnings about rows that are all numbers, of which no kinds of columns have to be decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.tables.keys import (
    are_excel_days,
    look_like_days,
    looks_like_key,
    warn_of_days,
    warn_of_excel_days,
    warn_of_key,
    warn_of_rounding,
)
from tollad.tables.refusals import option
from tollad.tables.stand_ins import (
    NUMBERS,
    StandIns,
    Total,
    warn_of_empty_rows,
    warn_of_stand_in,
    warn_of_totals,
)


def warn_of_numbers(rows: pa.Table | NDArray[Any], names: Sequence[str]) -> None:
    """Warn of what is no measurement in rows of numbers, (n, d).

    These are columns that look like keys or hold whole numbers too large for a float64, numbers that stand for missing
    values, a last row of totals, and rows without any value.
    """
    totals, empty = [], np.ones(len(rows), dtype=np.bool_)
    for number, name in enumerate(names):
        if isinstance(rows, pa.Table):
            values, remedy = rows[name].to_numpy(), f"leave it out with {option(name, 'drop')}"
            keep = f", or keep it with {option(name, 'number')}"
        else:
            values, remedy, keep = rows[:, number], f"leave out column {number} of the array", ""
        empty &= np.isnan(values) if values.dtype.kind == "f" else False
        if values.dtype.kind not in "iuf":
            continue
        floats, stand_ins, total = values.astype(np.float64), StandIns(NUMBERS), Total()
        stand_ins.add(floats[~np.isnan(floats)])
        total.add(floats)
        totals += [name] * total.is_last()
        if look_like_days(values):
            warn_of_days(name, values)
        elif are_excel_days(name, stand_ins.n, stand_ins.low, stand_ins.high):
            warn_of_excel_days(name, stand_ins.low)
        elif looks_like_key(values):
            warn_of_key(name, values, remedy + keep)
        if values.dtype.kind in "iu" and (np.abs(floats) > 2.0**53).any():
            codes = f", or make it a category with {option(name, 'category')}, if they are codes" if keep else ""
            warn_of_rounding(name, remedy + codes)
        warn_of_stand_in(name, stand_ins, is_named=bool(keep))
    warn_of_totals(totals)
    if len(names) > 1 and not empty.all():  # that is refused elsewhere
        warn_of_empty_rows(int(empty.sum()))
