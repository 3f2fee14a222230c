"""Pipeline: the rows of one series become alarms and events. Several series have a pipeline each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io.packed import JSON
from tollad.series.events import Event, EventFinder, Judged
from tollad.series.gaps import GapFiller
from tollad.series.steps import Steps
from tollad.series.streaming import Stream
from tollad.warn import warn

if TYPE_CHECKING:
    from tollad.series.model import SeriesModel

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class Pipeline:
    """Checks time stamps, fills gaps, scores steps and finds events of one series, block by block.

    Parameters
    ----------
    model : SeriesModel
        Its model of the group is used, if the group has one of its own.
    n_reasons : int or None
        How many channels of an event to describe in words; None finds no events.
    group : str or None
        Name of the series, if there are several.

    Attributes
    ----------
    clock : Clock
    gap_filler : GapFiller
    stream : Stream
    events : list of Event
        Those that have ended.
    """

    def __init__(self, model: SeriesModel, n_reasons: int | None = None, group: str | None = None) -> None:
        model = model.of(group)
        self.clock = model.clock.anew()
        self.gap_filler = GapFiller(model.gaps, self.clock.usual)
        self.stream = Stream(model)
        self.events: list[Event] = []
        self._finder = None if n_reasons is None else EventFinder(model, n_reasons, group)
        # Rows of the steps that are not final (-1 for a step without a row), and the time stamps of these rows.
        self._waiting: Ints = np.empty(0, np.int64)
        self._times: Floats = np.empty(0)
        self._answered = -np.inf  # the time stamp of the last row that is final

    def push(self, values: Floats, times: Floats, rows: Ints, stamps: Sequence[str | None] = ()) -> tuple[Ints, Judged]:
        """Take the next rows; return those that are final, in order.

        Parameters
        ----------
        values : ndarray, (m, C)
            NaN where missing.
        times : ndarray, (m,) or empty
        rows : ndarray of int, (m,)
            Their numbers, ascending.
        stamps : sequence of str or None
            Names of the rows in events.
        """
        if self._finder is not None:
            self._finder.name(rows, stamps)
        self._times = np.concatenate([self._times, times])
        return self._through(*self.gap_filler.push(values, times, rows))

    def finish(self, *, goes_on: bool = False) -> tuple[Ints, Judged]:
        """Return the remaining rows. With `goes_on` the last window is kept, for a series that continues later."""
        rows, judged = self._through(*self.gap_filler.finish())
        if not goes_on:
            rest, last = self._settled(self.stream.finish())
            rows, judged = np.concatenate([rows, rest]), Judged.join([judged, last])
        if self._finder is not None:
            self.events += self._finder.finish()
        return rows, judged

    def state(self) -> tuple[dict[str, JSON], dict[str, Floats], float | None]:
        """Return the state of a causal series after its last final row, and the time stamp of that row."""
        plain, arrays = self.stream.state()
        last = float(self._answered) if np.isfinite(self._answered) else None
        return plain, arrays | {"before": np.ascontiguousarray(self.gap_filler.state())}, last

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, Floats], last: float | None) -> None:
        """Resume from a state."""
        self._answered = self.clock.last = -np.inf if last is None else float(last)
        self.stream.restore(plain, arrays)
        self.gap_filler.restore(arrays["before"], self._answered)

    def _through(self, steps: Floats, rows: Ints) -> tuple[Ints, Judged]:
        if not len(rows):
            return rows, Judged(np.empty(0), np.empty(0), np.empty(0, np.bool_))
        self._waiting = np.concatenate([self._waiting, rows])
        if self._finder is not None:
            self._finder.see(steps, rows)
        return self._settled(self.stream.push(steps))

    def _settled(self, judged: Judged) -> tuple[Ints, Judged]:
        if self._finder is not None:
            self.events += self._finder.push(judged)
        rows, self._waiting = self._waiting[: len(judged)], self._waiting[len(judged) :]
        real = rows >= 0
        if len(self._times) and real.any():
            n_real = int(real.sum())
            self._answered, self._times = self._times[n_real - 1], self._times[n_real:]
        if real.all():
            return rows, judged
        return rows[real], Judged(judged.scores[real], judged.thresholds[real], judged.alarms[real])


def judge_steps(model: SeriesModel, steps: Steps, n_reasons: int | None = None) -> tuple[Judged, list[Event]]:
    """Score all rows of one or several series and decide on alarms; find events if `n_reasons` is given.

    Returns
    -------
    judged : Judged
        In the order of the rows.
    events : list of Event
        In the order of their first rows.

    Raises
    ------
    ValueError
        If every stretch between gaps is shorter than a window, and the model is not causal.
    """
    n = len(steps.values)
    found = Judged(np.empty(n), np.empty(n), np.empty(n, np.bool_))
    pipelines, events = [], []
    for group, rows in steps.by_group():
        pipeline = Pipeline(model, n_reasons, group)
        pipelines.append(pipeline)
        times = steps.times[rows] if len(steps.times) else steps.times
        for places, judged in (pipeline.push(steps.values[rows], times, rows), pipeline.finish()):
            found.scores[places], found.thresholds[places] = judged.scores, judged.thresholds
            found.alarms[places] = judged.alarms
        events += pipeline.events
    check_ended(model, pipelines, "the series")
    return found, sorted(events, key=lambda event: event.begin)


def check_ended(model: SeriesModel, pipelines: Sequence[Pipeline], path: str) -> None:
    """Warn of missing values and short series; ValueError if none has a full window and the model is not causal."""
    missing = pipelines[0].gap_filler.missing
    for pipeline in pipelines[1:]:
        missing.add(pipeline.gap_filler.missing)
    missing.report(path, model.columns)
    longest = max((pipeline.stream.longest for pipeline in pipelines), default=0)
    if longest < model.window:
        where = " in a row" if model.gaps or len(pipelines) > 1 else ""
        said = (
            f"{path}: has {longest} time steps{where}, fewer than the window of {model.window} that the model was "
            "fitted with"
        )
        if not model.causal:
            raise ValueError(f"{said}; give a longer series")
        warn(f"{said}, so no step has a score; give the steps before them, too")
        return
    short = sum(pipeline.stream.longest < model.window for pipeline in pipelines)
    if short and len(pipelines) > 1:
        warn(
            f"{path}: {short:,} of {len(pipelines):,} groups are shorter than the window of {model.window}, so their "
            "time steps have no score"
        )
