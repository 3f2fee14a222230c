"""The time stamps of a series."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.sources import Block, column_as_strings
from tollad.tables.encode import encode
from tollad.tables.schema import Column

Floats: TypeAlias = NDArray[np.float64]
TimeKind: TypeAlias = Literal["number", "date"]

# A time step after more than this many usual ones follows a gap.
_GAP = 1.5


class Clock:
    """The time stamps of a series while it passes by: they ascend, and of the first gap among them a warning is given.

    Parameters
    ----------
    column : str or None
        None for a series without time stamps, of which there is nothing to check.
    kind : {"number", "date"}
    usual : float, optional
        The median time between two steps at the fit, in the units of `read`.
    """

    def __init__(self, column: str | None, kind: TimeKind = "number", usual: float | None = None) -> None:
        self.column, self.kind, self.usual = column, kind, usual
        self.last, self._told = -math.inf, False

    @classmethod
    def learn(cls, block: Block, column: str) -> Self:
        """Return the clock of a series, from all of its time stamps."""
        first = block.table.select([column]).slice(0, 1)
        kinds: tuple[TimeKind, ...] = ("number", "date")
        for kind in kinds:
            with contextlib.suppress(ValueError):
                encode(first, [Column(column, kind)])
                break
        else:
            raise ValueError(
                f"{block.where(0)}, column {column!r}: {column_as_strings(block, column)[0]!r} is no time stamp, which "
                "is a number, or a date like 2024-12-31 17:30:00; choose another column"
            )
        times = cls(column, kind).check(block)
        learnt = cls(column, kind, float(np.median(np.diff(times))) if len(times) > 1 else None)
        learnt.check(block)
        return learnt

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Self:
        """Return a clock that begins anew: the way back from `to_json`."""
        return cls(None) if record is None else cls(**record)

    def anew(self) -> Self:
        """Return the same clock for another series."""
        return type(self)(self.column, self.kind, self.usual)

    def to_json(self) -> dict[str, Any] | None:
        """Return what was learnt as JSON values."""
        return None if self.column is None else {"column": self.column, "kind": self.kind, "usual": self.usual}

    def read(self, table: pa.Table, where: Callable[[int], str] = "row {}".format) -> Floats:
        """Return the time stamps of a table: (n,), dates in days since 1970, NaN where missing."""
        assert self.column is not None
        (time,) = columns = [Column(self.column, self.kind)]
        with no_missing("correct it"):
            encoded = encode(table.select([time.name]), columns, where=where)
        return np.where(encoded[:, -1] == 1, np.nan, encoded[:, 0]) if time.kind == "date" else encoded[:, 0]

    def unseen(self, block: Block) -> Block:
        """Return the rows of a block from the first on that comes after the last step; all without time stamps."""
        if self.column is None or not math.isfinite(self.last):
            return block
        after = np.flatnonzero(~(self.read(block.table, block.where) <= self.last))
        first = int(after[0]) if len(after) else len(block)
        lines = None if block.lines is None else block.lines[first:]
        return replace(block, first_row=block.first_row + first, table=block.table.slice(first), lines=lines)

    def check(self, block: Block) -> Floats:
        """Return the time stamps of the next steps, (m,); ValueError for one that is missing or does not ascend."""
        if self.column is None:
            return np.empty(0)
        times = self.read(block.table, block.where)
        steps = np.diff(times, prepend=self.last)
        wrong = np.flatnonzero(~(steps > 0))
        if len(wrong):
            raise self._refusal(block, int(wrong[0]), times, steps)
        gaps = np.flatnonzero(np.isfinite(steps) & (steps > _GAP * (self.usual or math.inf)))
        if len(gaps) and self.usual and not self._told:
            row, self._told = int(gaps[0]), True
            warnings.warn(
                f"{self._place(block, row)} comes {steps[row] / self.usual:.3g} usual steps after the row before; "
                "windows across a gap mix what lies apart, so fill it, or cut the series there",
                stacklevel=2,
            )
        self.last = float(times[-1])
        return times

    def _refusal(self, block: Block, row: int, times: Floats, steps: Floats) -> ValueError:
        if np.isnan(times[row]):
            return ValueError(
                f"{block.where(row)}, column {self.column!r}: the time stamp is missing; fill it in, or remove the row"
            )
        if steps[row] == 0:
            return ValueError(
                f"{self._place(block, row)} is the time stamp of the row before, too; keep one row a time step"
            )
        return ValueError(f"{self._place(block, row)} comes before the time stamp of the row before; sort the rows")

    def _place(self, block: Block, row: int) -> str:
        assert self.column is not None
        return f"{block.where(row)}, column {self.column!r}: {column_as_strings(block, self.column)[row]}"


@contextlib.contextmanager
def no_missing(remedy: str) -> Iterator[None]:
    """Say `remedy` at a value that cannot be read: unlike in a table, it cannot be marked as missing."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{str(error).rpartition('; ')[0]}; {remedy}") from None
