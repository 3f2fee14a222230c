"""Steps: arrays, frames and tables of files as time steps of series."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.io.blocks import Block
from tollad.io.inputs import rows_of
from tollad.series.clock import Clock, no_missing
from tollad.series.gaps import GapFiller, Gaps, MissingCounts
from tollad.series.measures import runs
from tollad.tables.encode import encode
from tollad.tables.features import column_names
from tollad.tables.frames import check_names, to_arrow
from tollad.tables.schema import number_columns
from tollad.tables.values import clock_of
from tollad.warn import listed, warn

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """Time steps of one series, or of several whose rows may alternate.

    Attributes
    ----------
    values : ndarray of float64, (T, C)
        NaN where missing, which `gaps` must allow.
    names : list of C str
        The channels.
    clock : Clock
        Reads and checks the time stamps.
    times : ndarray of float64, (T,) or empty
    codes : ndarray of int64, (T,), or None
        The group of each step; None for one series.
    groups : list of str
        Names of the groups.
    """

    values: Floats
    names: list[str]
    clock: Clock
    times: Floats = field(default_factory=lambda: np.empty(0))
    codes: Ints | None = None
    groups: list[str] = field(default_factory=list)

    def by_group(self) -> Iterator[tuple[str | None, Ints]]:
        """Yield each group with its rows, in order; None for a single series."""
        if self.codes is None:
            yield None, np.arange(len(self.values))
        else:
            for code, group in enumerate(self.groups):
                yield group, np.flatnonzero(self.codes == code)

    def stretches(self, kept: NDArray[np.bool_], gaps: Gaps | None, path: str) -> dict[str | None, list[Floats]]:
        """Return the stretches between gaps of each group, (T_i, C), that consist of steps in the mask `kept`, (T,)."""
        found, missing = dict[str | None, list[Floats]](), MissingCounts()
        for group, rows in self.by_group():
            gap_filler = GapFiller(gaps, self.clock.usual)
            times = self.times[rows] if len(self.times) else self.times
            parts = [gap_filler.push(self.values[rows], times, rows), gap_filler.finish()]
            values, rows = (
                np.concatenate(part) for part in zip(*(part for part in parts if len(part[1])), strict=True)
            )
            whole = ~np.isnan(values).any(1) & ((rows < 0) | kept[rows])
            found[group] = [values[begin:end] for begin, end in runs(whole)]
            missing.add(gap_filler.missing)
        missing.report(path, self.names)
        return found


def as_steps(
    X: Any,
    time: str | None = None,
    group: Any = None,
    *,
    gaps: Gaps | None = None,
    zone: str | None = None,
    names: Sequence[str] | None = None,
    clock: Clock | None = None,
) -> Steps:
    """Return an array or a frame as time steps.

    Parameters
    ----------
    X : array-like, (T,) or (T, C), or frame of pandas, polars or Arrow
        In order of time, at least within each group.
    time : str, optional
        The column of a frame that holds the time stamps.
    group : str or array-like, (T,), optional
        The group of each step: a column of a frame, or its values.
    gaps : {"split", "interpolate", "fail"} or None
    zone : str, optional
        Time zone of the time stamps.
    names : sequence of str, optional
        The channels of the fit: a frame must have these columns, an array as many.
    clock : Clock, optional
        The clock of the fit, which reads the time stamps.

    Raises
    ------
    ValueError
        For values that are infinite, not numbers, or missing where `gaps` does not allow it; time stamps, also those of
        the index of pandas, that do not ascend within a group; and another shape.

    Warns
    -----
    UserWarning
        If numbers of the index of pandas do not ascend.
    """
    if time is None and group is None:
        _check_index(X)
    table, lacks = to_arrow(X), gaps in ("split", "interpolate")
    if table is None:
        if time is not None and clock is None:
            raise ValueError(f"time={time!r} names a column, and the series is an array; give a frame, or time=None")
        if isinstance(group, str):
            raise ValueError(f"group={group!r} names a column, and the series is an array; give a group for each step")
        return _grouped(_from_array(X, names, lacks=lacks), group)
    for column, what in ((time, "of time stamps"), (group, "of groups")):
        if isinstance(column, str) and column not in table.column_names:
            raise ValueError(f"the series has no column {column!r} {what}; it has {', '.join(table.column_names)}")
    block = Block("the series", tuple(table.column_names), 0, table, None)
    own = {time, group} if isinstance(group, str) else {time}
    wanted = [name for name in table.column_names if name not in own] if names is None else list(names)
    check_names("the series", table.column_names, wanted, ignored=table.column_names)
    if time is None:
        clock = Clock(None)
    return from_block(block, wanted, time, group, gaps=gaps, zone=zone, clock=clock)


def as_step(row: Any, names: Sequence[str], *, lacks: bool) -> Floats:
    """Return one time step, (1, C), from a number, an array-like or a mapping of channels to numbers.

    Raises
    ------
    ValueError
        For channels that are not there, and values that are infinite, no numbers, or missing unless `lacks`.
    """
    values = row
    keys = row.keys() if hasattr(row, "keys") else ()
    if len(keys) and all(isinstance(key, str) for key in keys):
        if missing := [name for name in names if name not in keys]:
            raise ValueError(f"the step lacks channels that the model was fitted on: {', '.join(map(repr, missing))}")
        values = [row[name] for name in names]
    with contextlib.suppress(TypeError, ValueError):
        step: Floats = np.asarray(values, np.float64).reshape(1, -1)
        allowed = ~np.isinf(step) if lacks else np.isfinite(step)
        if step.shape[1] == len(names) and allowed.all():
            return step
    raise ValueError(f"a step has {len(names)} finite numbers, not {row!r}")


def from_block(
    block: Block,
    names: Sequence[str],
    time: str | None,
    group: Any,
    *,
    gaps: Gaps | None,
    zone: str | None = None,
    clock: Clock | None = None,
    remedy: str = "correct it",
) -> Steps:
    """Return all rows of a table as time steps, see `as_steps`. Without a clock, one is learnt."""
    values = numbers(block, names, remedy, lacks=gaps in ("split", "interpolate"))
    if isinstance(group, str):
        group = groups_of(block, group)
    steps = _grouped(Steps(values, list(names), Clock(None)), group)
    if time is None:
        return steps
    each = [(rows, rows_of(block, rows)) for _, rows in steps.by_group()]
    clock = Clock.learn([part for _, part in each], time, zone) if clock is None else clock
    times = np.empty(len(block))
    for rows, part in each:
        times[rows] = clock.anew().check(part, gaps)
    return replace(steps, clock=clock, times=times)


def groups_of(block: Block, group: str) -> pa.Array:
    """Return the group of each row as text, (m,); ValueError where it is missing."""
    column = block.column(group)
    names = column.combine_chunks().cast(pa.string())
    if names.null_count:
        row = pc.index(names.is_null(), True).as_py()
        raise ValueError(f"{block.where(row)}, column {group!r}: the group is missing; fill it in, or remove the row")
    return names


def _grouped(steps: Steps, group: Any) -> Steps:
    if group is None:
        return steps
    labels = group if isinstance(group, pa.Array) else pa.array([str(one) for one in np.asarray(group).tolist()])
    if len(labels) != len(steps.values):
        raise ValueError(f"group has {len(labels)} values, and the series has {len(steps.values)} time steps")
    coded = labels.dictionary_encode()
    return replace(steps, codes=coded.indices.to_numpy().astype(np.int64), groups=coded.dictionary.to_pylist())


def numbers(
    block: Block,
    names: Sequence[str],
    remedy: str = "correct it",
    *,
    lacks: bool = False,
    truths: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the values of a block, (m, C); ValueError for text, infinite values, and missing ones unless `lacks`.

    `truths` says which channels take true and false for 1 and 0, (C,); by default those that hold no other numbers.
    """
    rows = block.select(list(names))
    for name, column in zip(names, rows.columns, strict=True):
        if clock := clock_of(column.type):
            warn(f"column {name!r} holds {clock}, which are read in seconds; give numbers if the unit is another one")
    with no_missing(remedy):
        steps = encode(rows, number_columns(names, truths, clock=None), where=block.where)
        if truths is None and any(map(_holds_truths, rows.columns)):
            binary = np.all(np.isin(steps, (0, 1)) | np.isnan(steps), axis=0)
            steps = encode(rows, number_columns(names, binary, clock=None), where=block.where)
    missing = np.isnan(steps)
    if not lacks and missing.any():
        row, column = np.argwhere(missing)[0]
        raise ValueError(
            f"{block.where(int(row))}, column {names[column]!r}: the value is missing, and a series needs one at each "
            "step; fill it, or fit with gaps='split' or gaps='interpolate'"
        )
    return steps


def _holds_truths(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return pa.types.is_boolean(column.type)
    return bool(pc.any(pc.match_substring_regex(column, "^ *(?i:true|false) *$")).as_py())


def long_enough(by_group: dict[str | None, list[Floats]], window: int, path: str) -> dict[str | None, list[Floats]]:
    """Return the stretches of each group, (T_i, C), that are at least as long as a window.

    Raises
    ------
    ValueError
        If there is none.

    Warns
    -----
    UserWarning
        For groups without one, which are left out.
    """
    found = {group: [steps for steps in stretches if len(steps) >= window] for group, stretches in by_group.items()}
    if not any(found.values()):
        every = [steps for stretches in by_group.values() for steps in stretches]
        longest = max(map(len, every), default=0)
        which = f"{longest} time steps" if len(every) == 1 else f"no more than {longest} normal time steps in a row"
        raise ValueError(
            f"{path}: has {which}, fewer than a window of {window}; give a longer series, or fit with a shorter window"
        )
    short = [str(group) for group, stretches in found.items() if not stretches]
    if short:
        warn(
            f"{path}: {len(short):,} of {len(found):,} groups have no {window} time steps in a row and are left out: "
            f"{listed(short)}; give longer series of them, or fit with a shorter window"
        )
    return {group: stretches for group, stretches in found.items() if stretches}


def _check_index(X: Any) -> None:
    """Refuse rows of pandas with an index of times that does not ascend; warn of one of numbers."""
    index = X.index if hasattr(X, "iloc") else None
    if index is None or index.is_monotonic_increasing:
        return
    times = index.dtype.kind in "mM" or hasattr(index, "to_timestamp")
    if not times and index.dtype.kind not in "iuf":
        return
    row = int(np.flatnonzero(~np.asarray(index[1:] >= index[:-1]))[0]) + 1
    said = f"the series, row {row + 1}: the index is {index[row]}, and {index[row - 1]} in the row before"
    if times:
        raise ValueError(f"{said}; sort the rows by time, as sort_index() does")
    warn(
        f"{said}, so the rows may not be in order of time; sort them, as sort_index() does, or number them anew, as "
        "reset_index(drop=True) does"
    )


def _from_array(X: Any, names: Sequence[str] | None, *, lacks: bool) -> Steps:
    if hasattr(X, "toarray"):
        raise TypeError("a series is a dense array, not a sparse one; give X.toarray()")
    try:
        given = np.ma.array(X)
        if given.dtype.kind in "cmM":
            raise TypeError(given.dtype)
        values = np.ma.filled(given.astype(np.float64), np.nan)
    except (TypeError, ValueError):
        raise ValueError("a series is made of numbers, one row a time step; leave other columns out") from None
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(f"a series has shape (T,) or (T, C), time steps first, not {values.shape}")
    values = values.reshape(len(values), -1)
    if names is not None and values.shape[1] != len(names):
        raise ValueError(f"the series has {values.shape[1]} channels, but the model was fitted on {len(names)}")
    bad = np.argwhere(np.isinf(values) if lacks else ~np.isfinite(values))
    if len(bad):
        row, column = bad[0].tolist()
        kind = "missing" if np.isnan(values[row, column]) else "infinite"
        raise ValueError(f"the series: the value of step {row} in channel {column} (both from 0) is {kind}; fill it")
    found = column_names(None, values.shape[1]) if names is None else names
    return Steps(values, list(found), Clock(None))
