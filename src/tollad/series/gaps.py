"""Gaps of a series: steps that are missing between two time stamps, and values that are missing in a row.

Both become steps of NaN. Short gaps may be interpolated linearly; at others the series is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.warn import warn

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Gaps: TypeAlias = Literal["split", "interpolate", "fail"]

GAP = 1.5
"""A step that comes after more than this many usual ones follows a gap."""
LONGEST = 16
"""At most this many missing steps in a row are filled: a longer straight line would be invented data."""


@dataclass
class MissingCounts:
    """Counts of what is missing in a series.

    Attributes
    ----------
    values, steps, gaps : int
        Numbers of missing values, of missing steps, and of the gaps that these form.
    filled : int
        Steps that were interpolated, in all or some channels.
    cuts : int
        Places where the series is cut.
    early : int
        Steps that came after less than half the usual time.
    empty : ndarray of bool, (C,), or None
        Which channels have no value at all.
    """

    values: int = 0
    steps: int = 0
    gaps: int = 0
    filled: int = 0
    cuts: int = 0
    early: int = 0
    empty: NDArray[np.bool_] | None = None

    def add(self, other: MissingCounts) -> None:
        """Add up the counts of two series."""
        for name in ("values", "steps", "gaps", "filled", "cuts", "early"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.note_empty(other.empty)

    def note_empty(self, empty: NDArray[np.bool_] | None) -> None:
        """Note which channels have no value in some more rows."""
        if empty is not None:
            self.empty = empty if self.empty is None else self.empty & empty

    def report(self, path: str, names: Sequence[str]) -> None:
        """Warn with the counts, if there are any; ValueError if a channel has no value at all."""
        if self.empty is not None and self.empty.any():
            name = names[int(self.empty.argmax())]
            raise ValueError(f"{path}, column {name!r}: every value is missing; give its values, or fit without it")
        said = []
        if self.gaps:
            said.append(f"{_missing(self.steps, 'time step')} in {self.gaps:,} gap{'s' * (self.gaps > 1)}")
        if self.values:
            said.append(_missing(self.values, "value"))
        if self.early:
            come = "1 time step comes" if self.early == 1 else f"{self.early:,} time steps come"
            stay = "stays as it is" if self.early == 1 else "stay as they are"
            said.append(f"{come} after less than half of the usual time, and {stay}")
        if self.filled or self.cuts:
            places = f"{self.cuts:,} place{'s' * (self.cuts != 1)}"
            said.append(f"{self.filled:,} steps were interpolated, and the series was cut at {places}")
        if said:
            warn(f"{path}: {'; '.join(said)}")


def _missing(n: int, what: str) -> str:
    """Say how many are missing, shortening huge numbers: a gap between two time stamps may have any length."""
    if n == 1:
        return f"1 {what} is missing"
    return f"{n:,} {what}s are missing" if n < 10**9 else f"{n:.3g} {what}s are missing"


class GapFiller:
    """Turns the rows of a series into time steps, (m, C), block by block. The result does not depend on the blocks.

    Parameters
    ----------
    how : {"split", "interpolate", "fail"} or None
        "split": each gap, and each row with a missing value, becomes a step of NaN. "interpolate": up to 16 missing
        steps in a row are interpolated linearly, channel by channel; more stay NaN. Otherwise rows are steps.
    usual : float or None
        Time between two steps; None without time stamps.

    Attributes
    ----------
    missing : MissingCounts

    Examples
    --------
    >>> gap_filler = GapFiller("interpolate", usual=1.0)
    >>> steps, rows = gap_filler.push(np.array([[0.0], [6.0]]), np.array([1.0, 4.0]), np.array([0, 1]))
    >>> steps[:, 0].tolist(), rows.tolist()
    ([0.0, 2.0, 4.0, 6.0], [0, -1, -1, 1])
    """

    def __init__(self, how: Gaps | None, usual: float | None) -> None:
        self._how, self._usual = how, usual
        self.last = -np.inf
        self.missing = MissingCounts()
        # Steps that a later value may still fill, and the row of each; the first one was returned already.
        self._held: Floats = np.empty((0, 0))
        self._rows: Ints = np.empty(0, np.int64)
        self._n_out = 0
        self._was_broken = False

    def push(self, values: Floats, times: Floats, rows: Ints) -> tuple[Floats, Ints]:
        """Take the next rows; return the time steps that are final, and the row of each.

        Parameters
        ----------
        values : ndarray, (m, C)
            NaN where missing.
        times : ndarray, (m,) or empty
        rows : ndarray of int, (m,)
            Number of each row, >= 0.

        Returns
        -------
        steps : ndarray, (k, C)
            NaN where nothing was filled in.
        rows : ndarray of int, (k,)
            -1 for a step without a row.
        """
        if self._how in (None, "fail"):
            return values, rows
        missing = np.isnan(values)
        self.missing.values += int(missing.sum())
        self.missing.note_empty(np.asarray(missing.all(0)))
        values, rows = self._with_missing_steps(values, times, rows)
        if self._how == "split":
            self._count_cuts(values)
            return values, rows
        held = np.concatenate([self._held, values]) if len(self._held) else values.copy()
        self._rows = np.concatenate([self._rows, rows])
        n_ready = self._fill(held)
        return self._hand_out(held, n_ready)

    def finish(self) -> tuple[Floats, Ints]:
        """Return the remaining steps, which no later value can fill."""
        return self._hand_out(self._held, len(self._held))

    def state(self) -> Floats:
        """Return the last step that `push` returned, (1, C) or (0, C): interpolation depends on nothing else."""
        return self._held[: self._n_out]

    def restore(self, before: Floats, last: float) -> None:
        """Resume from a state, with the time stamp of its step."""
        self._held, self._n_out, self.last = before, len(before), last
        self._rows = np.full(len(before), -1)

    def _with_missing_steps(self, values: Floats, times: Floats, rows: Ints) -> tuple[Floats, Ints]:
        if not len(times) or self._usual is None:
            return values, rows
        apart = np.diff(times, prepend=self.last) / self._usual
        self.last = float(times[-1])
        self.missing.early += int((apart < 0.5).sum())
        gaps = np.flatnonzero((apart > GAP) & np.isfinite(apart))
        if not len(gaps):
            return values, rows
        n_missing = np.maximum(np.rint(apart[gaps]) - 1, 1)
        self.missing.gaps += len(gaps)
        self.missing.steps += int(n_missing.sum())
        n_put = np.minimum(n_missing, 1 if self._how == "split" else LONGEST + 1).astype(np.int64)
        places = np.repeat(gaps, n_put)
        return np.insert(values, places, np.nan, axis=0), np.insert(rows, places, -1)

    def _fill(self, held: Floats) -> int:
        """Interpolate in place where possible; return how many of the first steps are final."""
        n_ready = len(held)
        lacked = np.isnan(held).any(1)
        for channel in np.flatnonzero(np.isnan(held).any(0)).tolist():
            column = held[:, channel]
            known = np.flatnonzero(~np.isnan(column))
            if not len(known):
                continue
            missing = np.flatnonzero(np.isnan(column[: known[-1]]))
            after = np.searchsorted(known, missing)
            inner = after > 0
            missing, before, after = missing[inner], known[after[inner] - 1], known[after[inner]]
            short = after - before - 1 <= LONGEST
            missing, before, after = missing[short], before[short], after[short]
            column[missing] = column[before] + (column[after] - column[before]) * (
                (missing - before) / (after - before)
            )
            if len(column) - 1 - known[-1] <= LONGEST:
                n_ready = min(n_ready, int(known[-1]) + 1)
        self.missing.filled += int((lacked & ~np.isnan(held).any(1)).sum())
        return n_ready

    def _hand_out(self, held: Floats, n_ready: int) -> tuple[Floats, Ints]:
        first, n_ready = self._n_out, max(n_ready, self._n_out)
        steps, rows = held[first:n_ready], self._rows[first:n_ready]
        self._count_cuts(steps)
        kept = max(0, n_ready - 1)
        self._held, self._rows = held[kept:].copy(), self._rows[kept:]
        self._n_out = n_ready - kept
        return steps, rows

    def _count_cuts(self, steps: Floats) -> None:
        broken = np.asarray(np.isnan(steps).any(1))
        self.missing.cuts += int((broken & ~np.concatenate([[self._was_broken], broken[:-1]])).sum())
        self._was_broken = bool(broken[-1]) if len(broken) else self._was_broken
