"""What a user gives as a series, as time steps: arrays and frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io.sources import Block
from tollad.series.clock import Clock, no_missing
from tollad.tables.encode import encode
from tollad.tables.features import column_names
from tollad.tables.frames import to_arrow
from tollad.tables.schema import Column

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """Successive time steps.

    Attributes
    ----------
    values : ndarray of float64, (T, C)
    names : list of C str
        The channels.
    clock : Clock
        Of the time stamps, if there are any.
    """

    values: Floats
    names: list[str]
    clock: Clock


def as_steps(
    X: Any, time: str | None = None, *, names: Sequence[str] | None = None, clock: Clock | None = None
) -> Steps:
    """Return an array or a frame as time steps.

    Parameters
    ----------
    X : array-like, (T,) or (T, C), or frame of pandas, polars or Arrow
        In order of time.
    time : str, optional
        The column of a frame that holds the time stamps.
    names : sequence of str, optional
        The channels of the fit, which a frame must have and of which an array must have as many.
    clock : Clock, optional
        That of the fit, to read the time stamps by.

    Raises
    ------
    ValueError
        For values that are missing, infinite or no numbers, time stamps that do not ascend, and another shape.
    """
    table = to_arrow(X)
    if table is None:
        if time is not None and clock is None:
            raise ValueError(f"time={time!r} names a column, and the series is an array; give a frame, or time=None")
        return _from_array(X, names)
    if time is not None and time not in table.column_names:
        raise ValueError(f"the series has no column {time!r} of time stamps; it has {', '.join(table.column_names)}")
    block = Block("the series", tuple(table.column_names), 0, table, None)
    wanted = [name for name in table.column_names if name != time] if names is None else list(names)
    if lacking := [name for name in wanted if name not in table.column_names]:
        raise ValueError(f"the series lacks columns that the model was fitted on: {', '.join(map(repr, lacking))}")
    if time is None:
        clock = Clock(None)
    elif clock is None:
        clock = Clock.learn(block, time)
    else:
        clock.check(block)
    return Steps(numbers(block, wanted), wanted, clock)


def numbers(block: Block, names: Sequence[str], remedy: str = "correct it") -> Floats:
    """Return the steps of a block, (m, C); ValueError for text, infinite and missing values."""
    with no_missing(remedy):
        steps = encode(block.select(list(names)), [Column(name, "number") for name in names], where=block.where)
    missing = np.argwhere(np.isnan(steps))
    if len(missing):
        row, column = missing[0]
        raise ValueError(
            f"{block.where(int(row))}, column {names[column]!r}: the value is missing, and a series needs one at each "
            "step; fill it, from the values around it say"
        )
    return steps


def long_enough(stretches: Sequence[Floats], window: int, path: str) -> list[Floats]:
    """Return the stretches of normal steps, (T_i, C), that are as long as a window; ValueError if none is."""
    found = [steps for steps in stretches if len(steps) >= window]
    if not found:
        longest = max(map(len, stretches), default=0)
        which = f"{longest} time steps" if len(stretches) == 1 else f"no more than {longest} normal time steps in a row"
        raise ValueError(
            f"{path}: has {which}, fewer than a window of {window}; give a longer series, or fit with a shorter window"
        )
    return found


def _from_array(X: Any, names: Sequence[str] | None) -> Steps:
    try:
        values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("a series is made of numbers, one row a time step; leave other columns out") from None
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(f"a series has shape (T,) or (T, C), time steps first, not {values.shape}")
    values = values.reshape(len(values), -1)
    if names is not None and values.shape[1] != len(names):
        raise ValueError(f"the series has {values.shape[1]} channels, but the model was fitted on {len(names)}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0].tolist()
        kind = "missing" if np.isnan(values[row, column]) else "infinite"
        raise ValueError(f"the series: the value of step {row} in channel {column} (both from 0) is {kind}; fill it")
    found = column_names(None, values.shape[1]) if names is None else names
    return Steps(values, list(found), Clock(None))
