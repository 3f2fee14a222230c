"""Clock: reads and checks the time stamps of a series."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.io.blocks import Block, column_as_strings
from tollad.series.gaps import GAP, Gaps
from tollad.tables.casts import TEXT
from tollad.tables.encode import encode
from tollad.tables.schema import Column
from tollad.tables.times import has_zone

Floats: TypeAlias = NDArray[np.float64]
TimeKind: TypeAlias = Literal["number", "date"]

_DAY = 86400e6  # in microseconds


class Clock:
    """Checks the time stamps of a series block by block: they must ascend, and the first gap gives a warning.

    Parameters
    ----------
    column : str or None
        The column of the time stamps; None for a series without, where nothing is checked.
    kind : {"number", "date"}
    usual : float, optional
        The median time between two steps at the fit, in the units of `read`.
    zone : str, optional
        Time zone of dates in local time, such as "Europe/Berlin". Of the hour that occurs twice in autumn, the order of
        the rows decides which one is meant. The hour that is skipped in spring is no gap.
    zoned : bool, optional
        Whether the dates of the fit had a time zone of their own. All others must have one then, or none.
    """

    def __init__(
        self,
        column: str | None,
        kind: TimeKind = "number",
        usual: float | None = None,
        zone: str | None = None,
        zoned: bool | None = None,
    ) -> None:
        self.column, self.kind, self.usual, self.zone, self.zoned = column, kind, usual, zone, zoned
        self.last, self._told = -math.inf, False
        self._again: float | None = None  # the last time stamp that `unseen` left out

    @classmethod
    def begun(cls, block: Block, column: str, zone: str | None = None) -> Self:
        """Return a clock that knows only the first time stamps, and not the usual time between two steps."""
        first = block.select([column]).slice(0, 1)
        kinds: tuple[TimeKind, ...] = ("number", "date")
        for kind in kinds:
            with contextlib.suppress(ValueError):
                encode(first, [Column(column, kind)])
                break
        else:
            raise ValueError(
                f"{block.where(0)}, column {column!r}: {column_as_strings(block, column)[0]!r} is no time "
                "stamp, which is a number, or a date like 2024-12-31 17:30:00; name the format, as in "
                "date_format='%d.%m.%Y %H:%M', or choose another column"
            )
        if zone is not None and kind == "number":
            raise ValueError(f"{block.path}, column {column!r}: has numbers, which have no time zone; give none")
        return cls(column, kind, zone=zone)

    @classmethod
    def learn(cls, blocks: Sequence[Block], column: str, zone: str | None = None) -> Self:
        """Learn the clock of one or several series from all of their time stamps."""
        clock = cls.begun(blocks[0], column, zone)
        steps = np.concatenate([np.diff(clock.read(block.select([column]), block.where)) for block in blocks])
        steps = steps[steps > 0]
        usual = float(np.median(steps)) if len(steps) else None
        zoned = bool(has_zone(_texts(blocks[0].select([column])[column]))[0].as_py()) if clock.kind == "date" else None
        return cls(column, clock.kind, usual, zone, zoned)

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Self:
        """Return a clock from what `to_json` returned, before its first step."""
        return cls(None) if record is None else cls(**record)

    def anew(self) -> Self:
        """Return this clock before its first step, for another series."""
        return type(self)(self.column, self.kind, self.usual, self.zone, self.zoned)

    def to_json(self) -> dict[str, Any] | None:
        """Return what was learnt, as JSON values."""
        if self.column is None:
            return None
        zones = {name: value for name in ("zone", "zoned") if (value := getattr(self, name)) is not None}
        return {"column": self.column, "kind": self.kind, "usual": self.usual} | zones

    def read(self, table: pa.Table, where: Callable[[int], str] = "row {}".format, after: float = -math.inf) -> Floats:
        """Return the time stamps of a table: (n,), dates in days since 1970, NaN where missing.

        An ambiguous local time is read by the one before it, of which `after` is the first.
        """
        assert self.column is not None
        (time,) = columns = [Column(self.column, self.kind)]
        with no_missing("correct it"):
            encoded = encode(table.select([time.name]), columns, where=where)
        if time.kind == "number":
            return encoded[:, 0]
        days = np.where(encoded[:, -1] == 1, np.nan, encoded[:, 0])
        self._check_zones(table[self.column], where)
        return days if self.zone is None else self._from_local(days, self.zone, after)

    def _check_zones(self, stamps: pa.ChunkedArray, where: Callable[[int], str]) -> None:
        """Refuse dates of which some have a time zone and others, or those of the fit, have none."""
        zoned = has_zone(_texts(stamps))
        if self.zone is not None:
            if pc.any(zoned).as_py():
                raise ValueError(f"{where(0)}, column {self.column!r}: has a time zone already; give none beside it")
            return
        known = zoned.drop_null()
        wanted = self.zoned if self.zoned is not None else len(known) > 0 and known[0].as_py()
        row = pc.index(zoned, not wanted).as_py()
        if row < 0:
            return
        has, others = ("no", "have one") if wanted else ("a", "have none")
        whose = "those before" if self.zoned is None else "those of the fit"
        raise ValueError(
            f"{where(row)}, column {self.column!r}: {stamps[row].as_py()} has {has} time zone, and {whose} {others}; "
            "write all in the same way"
        )

    def _from_local(self, days: Floats, zone: str, after: float) -> Floats:
        known = np.isfinite(days)
        stamps = pa.array(np.rint(np.where(known, days, 0) * _DAY).astype(np.int64)).cast(pa.timestamp("us"))
        try:
            early, late = (
                pc.assume_timezone(stamps, zone, ambiguous=which, nonexistent="latest").cast(pa.int64()).to_numpy()
                for which in ("earliest", "latest")
            )
        except pa.ArrowInvalid:
            raise ValueError(f"{zone!r} is no time zone that this machine knows; give one like Europe/Berlin") from None
        times: Floats = np.where(known, early / _DAY, np.nan)
        for row in np.flatnonzero((early < late) & known).tolist():
            before = times[row - 1] if row else after
            if times[row] <= before:
                times[row] = late[row] / _DAY
        return times

    def unseen(self, block: Block) -> Block:
        """Return the rows of a block that come after the last step; all rows without time stamps."""
        if self.column is None or not math.isfinite(self.last) or not len(block):
            return block
        # An hour that occurs twice is read by the row before: the last that was left out, or else the last answered.
        before = self.last if self._again is None else self._again
        times = self.read(block.select([self.column]), block.where, before)
        after = np.flatnonzero(~(times <= self.last))
        first = int(after[0]) if len(after) else len(block)
        self._again = float(times[-1]) if first == len(block) else None
        lines, numbers = (None if known is None else known[first:] for known in (block.lines, block.numbers))
        table = block.table.slice(first)
        return replace(block, first_row=block.first_row + first, table=table, lines=lines, numbers=numbers)

    def disordered(self, block: Block) -> dict[int, str]:
        """Return the rows that `check` would refuse, each with its reason."""
        if self.column is None:
            return {}
        times = self.read(block.select([self.column]), block.where, self.last)
        highest = np.fmax.accumulate(np.concatenate([[self.last], times]))[:-1]
        reasons: dict[int, str] = {}
        for row in np.flatnonzero(~(times > highest)).tolist():
            why = "is missing" if np.isnan(times[row]) else "occurred before"
            why = "comes before that of an earlier row" if times[row] < highest[row] else why
            reasons[row] = f"column {self.column!r}: the time stamp {why}"
        return reasons

    def check(self, block: Block, gaps: Gaps | None = None) -> Floats:
        """Check the next steps, and return their time stamps, (m,).

        Parameters
        ----------
        block : Block
        gaps : {"split", "interpolate", "fail"} or None
            What to do at gaps. None warns of the first one.

        Raises
        ------
        ValueError
            For a time stamp that is missing or does not ascend, and for a gap with "fail".
        """
        if self.column is None:
            return np.empty(0)
        times = self.read(block.select([self.column]), block.where, self.last)
        steps = np.diff(times, prepend=self.last)
        wrong = np.flatnonzero(~(steps > 0))
        if len(wrong):
            raise self._refusal(block, int(wrong[0]), times, steps)
        found = np.flatnonzero(np.isfinite(steps) & (steps > GAP * (self.usual or math.inf)))
        if len(found) and self.usual and gaps in (None, "fail") and not self._told:
            row, self._told = int(found[0]), True
            said = f"{self._place(block, row)} comes {steps[row] / self.usual:.3g} usual steps after the row before; "
            if gaps == "fail":
                raise ValueError(f"{said}fill the gap, or fit with gaps='split' or gaps='interpolate'")
            warnings.warn(
                f"{said}windows across it mix steps that are far apart; fill it, or fit with gaps='split' "
                "or gaps='interpolate'",
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
                f"{self._place(block, row)} is also the time stamp of the row before; keep one row for each time step"
            )
        summer = self.kind == "date" and self.zone is None and steps[row] >= -1 / 24
        hint = ", or give their zone, as in time_zone='Europe/Berlin', if summer time ends there" if summer else ""
        return ValueError(
            f"{self._place(block, row)} comes before the time stamp of the row before; sort the rows{hint}"
        )

    def _place(self, block: Block, row: int) -> str:
        assert self.column is not None
        return f"{block.where(row)}, column {self.column!r}: {column_as_strings(block, self.column)[row]}"


def _texts(stamps: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as the type that `tollad.tables.times` expects; all else as it is."""
    return stamps.cast(TEXT) if pa.types.is_string(stamps.type) else stamps


@contextlib.contextmanager
def no_missing(remedy: str) -> Iterator[None]:
    """Give `remedy` in errors about unreadable values: unlike those of a table, they cannot be marked as missing."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{str(error).rpartition('; ')[0]}; {remedy}") from None
