"""Keep the scored time steps of a file, for pictures and measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.dialect import in_plain_form
from tollad.series.events import Event, Judged
from tollad.series.measures import runs
from tollad.series.model import SeriesModel
from tollad.series.scoring import ScoredSteps
from tollad.series.steps import Floats


@dataclass(frozen=True)
class Recorder:
    """Keeps scored time steps for a picture: a few numbers for each step.

    Attributes
    ----------
    blocks : list of ScoredSteps
    """

    blocks: list[ScoredSteps] = field(default_factory=list)

    @property
    def steps(self) -> Floats:
        """The series, (T, C)."""
        return np.concatenate([block.rows for block in self.blocks])

    @property
    def judged(self) -> Judged:
        """Score, threshold and alarm of each step, (T,)."""
        return Judged.join([Judged(block.scores, block.thresholds, block.alarms) for block in self.blocks])

    def causes(self, events: Sequence[Event]) -> list[str | None]:
        """Return the channel that caused each alarm, from the events of the file."""
        rows = np.concatenate([block.row_numbers() for block in self.blocks])
        begins = rows[runs(self.judged.alarms)[:, 0]]
        return [next((event.channel for event in events if event.begin <= row <= event.end), None) for row in begins]

    def watch(self, blocks: Iterable[ScoredSteps]) -> Iterator[ScoredSteps]:
        """Yield the blocks unchanged."""
        for block in blocks:
            self.blocks.append(block)
            yield block

    def time(self, model: SeriesModel) -> tuple[str, NDArray[Any]]:
        """Return the time of each step, (T,), as numbers or datetime64, and the name of that axis.

        It is the row number, from 1, if there are no time stamps or another column was asked for.
        """
        clock, column = model.clock, self.blocks[0].column
        if clock.column is None or column != clock.column:
            return "row", np.arange(1, 1 + sum(len(block.scores) for block in self.blocks))
        texts = pa.array([value for block in self.blocks for value in block.values], pa.string())
        table = in_plain_form(pa.table({clock.column: texts}), model.dialect, "row {}".format)
        times = clock.read(table)
        return clock.column, to_datetimes(times) if clock.kind == "date" else times


def to_datetimes(days: Floats) -> NDArray[np.datetime64]:
    """Return days since 1970 as dates."""
    return (days * 86400e6).astype("datetime64[us]")
