"""Time steps of a file with their scores, in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tollad.detector.results import Scored
from tollad.io.blocks import Block, column_as_strings, resolve_column
from tollad.io.dialect import Dialect
from tollad.io.inputs import rows_of
from tollad.io.skipped import Reject
from tollad.series.events import Event, Judged
from tollad.series.pipeline import Pipeline, check_ended
from tollad.series.reading import LiveTable, in_order, open_like_fit, rows_by_group
from tollad.series.steps import Floats, numbers
from tollad.warn import listed, warn

if TYPE_CHECKING:
    from tollad.series.model import SeriesModel
    from tollad.series.progress import Progress  # imports SciPy, which scoring by a graph does without


@dataclass(frozen=True)
class ScoredSteps(Scored):
    """Scores of successive time steps of a file.

    Attributes
    ----------
    thresholds : ndarray of float64, (n,)
    """

    thresholds: Floats


def score_series(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    column: str | None = None,
    beside: Sequence[str] = (),
    drop: Sequence[str] = (),
    dialect: Dialect | None = None,
    events: EventLog | None = None,
    progress: Progress | None = None,
    reject: Reject | None = None,
) -> Iterator[ScoredSteps]:
    """Score the time steps of a file, reading it block by block.

    Only a block and a window of each series are kept in memory. If the model is not causal, rows of one series may wait
    for earlier rows of another.

    Parameters
    ----------
    model : SeriesModel
    path, header, key, column, beside, drop, dialect
        As in `tollad.io.inputs.row_blocks`; by default `column` is that of the time stamps, if there is one.
    events : EventLog, optional
        Collects the events.
    progress : Progress, optional
        State of an earlier call with a causal model, from which to resume. Rows up to the last time stamp of their
        series are left out. The caller saves the new state.
    reject : callable, optional
        Called for each row that cannot be read or whose time stamp does not ascend, which is then left out. By default
        such a row is an error.

    Yields
    ------
    ScoredSteps
        The rows are time steps, (m, C).

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, is not like that of the fit, or is shorter than a window.

    Warns
    -----
    UserWarning
        For the first gap in the time stamps, or at the end with all that was missing; for groups that are new or short.
    """
    column = model.clock.column if column is None else column
    asked = [*([] if column is None else [column]), *beside]
    source = (
        LiveTable(model, header, dialect, reject, asked, drop)
        if path == "-" and model.causal
        else open_like_fit(model, path, header, key, asked, dialect, drop=drop, reject=reject)
    )
    n_reasons = None if events is None else events.n_reasons
    pipelines: dict[str | None, Pipeline] = {} if progress is None else progress.pipelines
    waiting = _Waiting(len(model.columns))
    lacks = model.gaps in ("split", "interpolate")
    any_read = False
    for block in source:
        if reject is not None:
            clocks = {group: pipeline.clock for group, pipeline in pipelines.items()}
            block = in_order(
                block, model.columns, model.clock, model.group, reject, lacks=lacks, clocks=clocks, any_read=any_read
            )
        settled = []
        parts = [
            (group, block if len(rows) == len(block) else rows_of(block, rows))
            for group, rows in rows_by_group(block, model.group)
        ]
        if progress is not None:
            parts = [
                (group, pipelines[group].clock.unseen(part) if group in pipelines else part) for group, part in parts
            ]
        for group, part in parts:
            if not len(part):
                continue
            any_read = True
            if group not in pipelines:
                _tell_of_new(model, group, part, [*pipelines])
                pipelines[group] = Pipeline(model, n_reasons, group)
            pipeline = pipelines[group]
            times = pipeline.clock.check(part, model.gaps)
            values = numbers(part, model.columns, lacks=lacks, truths=model.truths)
            rows = part.row_numbers()
            names = [resolve_column(source.path, part.names, name) for name in asked]
            texts = {name: column_as_strings(part, name) for name in names}
            waiting.add(rows, values, texts)
            settled.append(pipeline.push(values, times, rows, texts[names[0]] if column is not None else []))
        yield from waiting.settle(settled)
    rest = [pipeline.finish(goes_on=progress is not None) for pipeline in pipelines.values()]
    if any_read:
        check_ended(model, [*pipelines.values()], source.path)
    elif progress is None:
        raise ValueError(f"{source.path}: has no time step; give a series with at least a window of {model.window}")
    else:
        warn(f"{source.path}: holds no time step after those of the state, so no step is scored")
    yield from waiting.settle(rest)
    if events is not None:
        events.take(pipelines.values())


def _tell_of_new(model: SeriesModel, group: str | None, part: Block, seen: Sequence[str | None]) -> None:
    """Warn of the first group that was not in the fit."""
    if not model.groups or group in model.groups or not {*seen} <= {*model.groups}:
        return
    warn(
        f"{part.where(0)}, column {model.group!r}: {group!r} is no group of the fit, which had {listed(model.groups)}; "
        "it is judged by what these have in common"
    )


class _Waiting:
    """Holds rows back until all rows before them are final."""

    def __init__(self, n_channels: int) -> None:
        self._rows = np.empty(0, np.int64)
        self._values: Floats = np.empty((0, n_channels))
        # The columns to write beside the scores, as text; the first names the rows.
        self._texts: dict[str, list[str | None]] = {}
        self._judged = Judged(np.empty(0), np.empty(0), np.empty(0, np.bool_))
        self._settled = np.empty(0, np.bool_)

    def add(self, rows: NDArray[np.int64], values: Floats, texts: Mapping[str, list[str | None]]) -> None:
        """Take rows; within a block they may be ordered by group."""
        n = len(rows)
        before = len(self._rows)
        self._rows = np.concatenate([self._rows, rows])
        self._values = np.concatenate([self._values, values])
        self._texts = {name: [*self._texts.get(name, []), *column] for name, column in texts.items()}
        self._judged = Judged.join([self._judged, Judged(np.empty(n), np.empty(n), np.empty(n, np.bool_))])
        self._settled = np.concatenate([self._settled, np.zeros(n, np.bool_)])
        if before and n and self._rows[before] < self._rows[before - 1]:
            order = np.argsort(self._rows, kind="stable")
            self._rows, self._values, self._settled = self._rows[order], self._values[order], self._settled[order]
            self._texts = {name: [column[at] for at in order.tolist()] for name, column in self._texts.items()}

    def settle(self, found: Iterable[tuple[NDArray[np.int64], Judged]]) -> Iterator[ScoredSteps]:
        """Set the results of some rows; yield those that no longer wait for earlier ones."""
        for rows, judged in found:
            places = np.searchsorted(self._rows, rows)
            for mine, its in zip(vars(self._judged).values(), vars(judged).values(), strict=True):
                mine[places] = its
            self._settled[places] = True
        n = len(self._settled) if self._settled.all() else int(self._settled.argmin())
        if not n:
            return
        done, rest = (Judged(*(part[cut] for part in vars(self._judged).values())) for cut in (np.s_[:n], np.s_[n:]))
        rows = self._rows[:n]
        whole = rows[-1] - rows[0] == n - 1
        beside = {name: column[:n] for name, column in self._texts.items()}
        column = next(iter(beside), None)
        yield ScoredSteps(
            int(rows[0]),
            self._values[:n],
            column,
            [] if column is None else beside.pop(column),
            beside=beside,
            numbers=None if whole else rows,
            scores=done.scores,
            alarms=done.alarms,
            thresholds=done.thresholds,
        )
        self._rows, self._values, self._judged, self._settled = (
            self._rows[n:],
            self._values[n:],
            rest,
            self._settled[n:],
        )
        self._texts = {name: column[n:] for name, column in self._texts.items()}


class EventLog:
    """Collects the events of a file.

    Parameters
    ----------
    n_reasons : int >= 0, default 0
        How many channels to describe in words.

    Attributes
    ----------
    events : list of Event
        Ordered by their first rows; set at the end of the file.
    """

    def __init__(self, n_reasons: int = 0) -> None:
        self.n_reasons = n_reasons
        self.events: list[Event] = []

    def take(self, pipelines: Iterable[Pipeline]) -> None:
        """Collect the events of all series, at the end of the file."""
        self.events = sorted(
            (event for pipeline in pipelines for event in pipeline.events), key=lambda event: event.begin
        )
