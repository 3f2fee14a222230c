"""Files as series: a row is a time step, and so is all that is said of it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.scored import Scored, labels_and_scores
from tollad.io.dialect import Dialect
from tollad.io.inputs import check_columns
from tollad.io.labels import labelled
from tollad.io.records import standard_input
from tollad.io.source import Source
from tollad.io.sources import (
    Block,
    TableSource,
    column_as_strings,
    open_table,
    read_table,
    resolve_column,
    warn_of_lost_row,
)
from tollad.series.clock import Clock
from tollad.series.events import Event, EventFinder, Judged
from tollad.series.measures import runs
from tollad.series.model import SeriesModel
from tollad.series.progress import Progress
from tollad.series.steps import Floats, Steps, long_enough, numbers
from tollad.series.streaming import Stream

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class TrainingSeries:
    """A file to fit a detector on.

    Attributes
    ----------
    steps : Steps
    kept : ndarray of bool, (T,)
        Which steps to learn from.
    source : Source
        What the file was, to be kept with the model.
    """

    steps: Steps
    kept: NDArray[np.bool_]
    source: Source


def read_training_series(
    path: str,
    *,
    header: bool = True,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    drop: Sequence[str] = (),
    time: str | None = None,
    dialect: Dialect | None = None,
) -> TrainingSeries:
    """Read a series to fit a detector on, all into memory.

    Parameters
    ----------
    path, header, key, label, normal, drop, dialect
        As in `tollad.io.training.read_training_rows`.
    time : str, optional
        The column of the time stamps: numbers or dates, ascending. It is no feature.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown, a value is missing or no number, or time stamps do not ascend.

    Warns
    -----
    UserWarning
        For a gap in the time stamps.
    """
    source = open_table(path, header=header, key=key, dialect=dialect)
    warn_of_lost_row(source)
    label, time = (None if name is None else resolve_column(source.path, source.names, name) for name in (label, time))
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    names = [name for name in source.names if name not in (label, time, *drop, *source.index)]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    block = read_table(source)
    steps = numbers(block, names, "correct it, or leave the column out")
    clock = Clock(None) if time is None else Clock.learn(block, time)
    kept = labelled(block, label, normal)
    record = Source(
        PurePath(source.path).name,
        len(block),
        int(kept.sum()),
        header,
        label,
        tuple(normal),
        tuple(drop),
        dialect=source.dialect.to_json(),
    )
    return TrainingSeries(Steps(steps, names, clock), kept, record)


def normal_stretches(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> list[Floats]:
    """Return the stretches of time steps of a file that are labelled normal, (T_i, C), or all of it.

    Raises
    ------
    ValueError, OSError
        As `score_series`, and if no stretch is as long as a window.
    """
    source = _open_like_fit(model, path, header, key, label, dialect)
    block = read_table(source)
    model.clock.anew().check(block)
    kept = labelled(block, None if label is None else resolve_column(source.path, source.names, label), normal)
    steps = numbers(block, model.columns)
    return long_enough([steps[begin:end] for begin, end in runs(kept)], model.window, source.path)


def score_series(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    column: str | None = None,
    dialect: Dialect | None = None,
    events: EventLog | None = None,
    progress: Progress | None = None,
) -> Iterator[ScoredSteps]:
    """Score the time steps of a file, reading it block by block: no more of it is kept than a block and a window.

    Parameters
    ----------
    model : SeriesModel
    path, header, key, column, dialect
        As in `tollad.io.inputs.row_blocks`; by default `column` is that of the time stamps, if there is one.
    events : EventLog, optional
        Is told of the events.
    progress : Progress, optional
        Goes on from the steps of an earlier call, of a causal model. Rows up to its last time stamp are left out. The
        state is for the caller to save.

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
        For the first gap in the time stamps.
    """
    live = path == "-" and model.causal
    source = _LiveTable(model, header, dialect) if live else _open_like_fit(model, path, header, key, column, dialect)
    clock, stream = (model.clock.anew(), Stream(model)) if progress is None else (progress.clock, progress.stream)
    if column is None or live:  # what names there are, a live table knows with its first rows
        column = clock.column if column is None else column
    else:
        column = resolve_column(source.path, source.names, column)
    steps: Floats = np.empty((0, len(model.columns)))
    values: list[str | None] = []
    first_row = 0

    def settled(judged: Judged) -> Iterator[ScoredSteps]:
        nonlocal first_row, steps
        n = len(judged)
        if events is not None:
            events.judge(judged, values)
        if n:
            yield ScoredSteps(
                first_row,
                steps[:n],
                column,
                values[:n],
                scores=judged.scores,
                alarms=judged.alarms,
                thresholds=judged.thresholds,
            )
            first_row, steps = first_row + n, steps[n:]
            del values[:n]

    for whole in source:
        block = whole if progress is None else clock.unseen(whole)
        if not len(block):
            continue
        clock.check(block)
        new = numbers(block, model.columns)
        steps = np.concatenate([steps, new])
        values.extend([] if column is None else column_as_strings(block, column))
        if events is not None:
            events.see(new)
        yield from settled(stream.push(new))
    if stream.n_seen < model.window and not model.causal:
        raise ValueError(
            f"{source.path}: has {stream.n_seen} time steps, fewer than the window of {model.window} that the "
            "model was fitted with; give a longer series"
        )
    yield from settled(stream.finish())
    if events is not None:
        events.finish()


def labelled_series(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    windows: str | None = None,
    dialect: Dialect | None = None,
) -> tuple[NDArray[np.int64], Judged]:
    """Score the time steps of a labelled file.

    Parameters
    ----------
    model, path, header, key, dialect
        As in `score_series`.
    label : str, optional
        The column of the labels.
    normal : sequence of str
        The labels of normal steps; steps of any other label are anomalous.
    windows : str, optional
        In place of `label`, a file of the anomalies, see `read_windows`.

    Returns
    -------
    labels : ndarray of int64, (T,)
        1 = anomalous; both 0 and 1 occur.
    judged : Judged
        Of all steps.

    Raises
    ------
    ValueError, OSError
        As `score_series` and `read_windows`; if a label is missing, or all steps are normal or all are anomalous.
    """
    recorder = Recorder()
    blocks = recorder.watch(score_series(model, path, header=header, key=key, column=label, dialect=dialect))
    if windows is None:
        assert label is not None
        labels, _ = labels_and_scores(blocks, path, label, normal)
        return labels, recorder.judged
    if model.clock.column is None:
        raise ValueError(f"{windows}: the model was fitted without time stamps, so windows of time mean nothing to it")
    for _ in blocks:
        pass
    _, times = recorder.time(model)
    labels = np.zeros(len(times), np.int64)
    for begin, end in read_windows(windows, path, model.clock):
        labels[(times >= begin) & (times <= end)] = 1
    if labels.all() or not labels.any():
        kind = "anomalous" if labels.all() else "normal"
        raise ValueError(
            f"{windows}: by its windows every time step of {path} is {kind}, so there is nothing to compare"
        )
    return labels, recorder.judged


def read_windows(windows: str, path: str, clock: Clock) -> list[tuple[Any, Any]]:
    """Read the begin and end of each anomaly of a series, both included, from a file of JSON.

    Parameters
    ----------
    windows : str
        A list of pairs of time stamps, or an object with such a list for each of several files, as NAB has it. Of
        these that one counts whose name ends the path of the series.
    path : str
        The series.
    clock : Clock
        Its time stamps.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, holds something else, or nothing about this series.
    """
    with open(windows, encoding="utf-8") as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f"{windows}: is no JSON file ({error})") from None
    if isinstance(found, dict):
        names = [name for name in found if PurePath(path).as_posix().endswith(name)]
        if not names:
            raise ValueError(f"{windows}: says nothing about {path}; its files are {', '.join(list(found)[:5])}, ...")
        found = found[max(names, key=len)]
    try:
        pairs = [(begin, end) for begin, end in found]
        if clock.kind == "date":
            return [(np.datetime64(begin, "us"), np.datetime64(end, "us")) for begin, end in pairs]
        return [(float(begin), float(end)) for begin, end in pairs]
    except (TypeError, ValueError):
        raise ValueError(
            f"{windows}: must hold a list of pairs of time stamps, begin and end of each anomaly"
        ) from None


@dataclass(frozen=True)
class ScoredSteps(Scored):
    """Scores of successive time steps of a file.

    Attributes
    ----------
    thresholds : ndarray of float64, (n,)
    """

    thresholds: Floats


class EventLog:
    """The events of a file that passes by, with their time stamps.

    Attributes
    ----------
    events : list of Event
    times : list of str or None
        The value of the column of each event's first step, last step and peak; empty if there is no column.
    """

    def __init__(self, model: SeriesModel, n_reasons: int = 0) -> None:
        self._finder = EventFinder(model, n_reasons)
        self._known: dict[int, str | None] = {}
        self._n_judged = 0
        self.events: list[Event] = []
        self.times: list[str | None] = []

    @property
    def has_times(self) -> bool:
        """Whether the events have time stamps."""
        return len(self.times) == 3 * len(self.events) > 0

    def see(self, steps: Floats) -> None:
        """Take steps before they are judged."""
        self._finder.see(steps)

    def judge(self, judged: Judged, values: Sequence[str | None]) -> None:
        """Take the next steps that are settled, and the values of their column."""
        if values:
            alarms = np.flatnonzero(judged.alarms)
            self._known |= {self._n_judged + row: values[row] for row in alarms.tolist()}
        self._n_judged += len(judged)
        self._keep(self._finder.push(judged))

    def finish(self) -> None:
        """The file has ended."""
        self._keep(self._finder.finish())

    def _keep(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            if self._known:
                self.times += [self._known[row] for row in (event.begin, event.end, event.peak)]
                self._known = {row: value for row, value in self._known.items() if row > event.end}


@dataclass(frozen=True)
class Recorder:
    """Scored time steps that pass by, kept for a picture: a few numbers a step.

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

    def watch(self, blocks: Iterable[ScoredSteps]) -> Iterator[ScoredSteps]:
        """Hand on scored steps."""
        for block in blocks:
            self.blocks.append(block)
            yield block

    def time(self, model: SeriesModel) -> tuple[str, NDArray[Any]]:
        """Return the time of each step, (T,): numbers or datetime64, and what to call it.

        It is the number of the row, from 1, where there are no time stamps or another column stands in their place.
        """
        clock, column = model.clock, self.blocks[0].column
        if clock.column is None or column != clock.column:
            return "row", np.arange(1, 1 + sum(len(block.scores) for block in self.blocks))
        texts = pa.array([value for block in self.blocks for value in block.values], pa.string())
        times = clock.read(pa.table({clock.column: texts}))
        return clock.column, (times * 86400e6).astype("datetime64[us]") if clock.kind == "date" else times


class _LiveTable:
    """Text on standard input as blocks of the rows that are there: a row is not kept waiting for those after it."""

    path = "standard input"

    def __init__(self, model: SeriesModel, header: bool | None, dialect: Dialect | None) -> None:
        self._model, self._dialect = model, dialect
        self._header = model.read_as.header if header is None else header
        self._given = cast(io.BufferedReader, standard_input())
        self._first = self._given.readline() if self._header else b""
        self.names: tuple[str, ...] = (*model.columns,)

    def __iter__(self) -> Iterator[Block]:
        n_lines, rest = int(self._header), b""
        while chunk := self._given.read1(_CHUNK_BYTES):
            lines, line_break, rest = (rest + chunk).rpartition(b"\n")
            if line_break:
                yield from self._blocks(lines + line_break, n_lines)
                n_lines += lines.count(b"\n") + 1
        if rest.strip():
            yield from self._blocks(rest, n_lines)

    def _blocks(self, lines: bytes, n_before: int) -> Iterator[Block]:
        """Read whole lines as a table of their own, and number them as they come."""
        moved = n_before - int(self._header)
        if not lines.strip():
            return
        try:
            source = _open_like_fit(
                self._model, "-", self._header, None, None, self._dialect, io.BytesIO(self._first + lines)
            )
            self.names = source.names
            for block in source:
                assert block.lines is not None
                yield replace(block, first_row=block.first_row + moved, lines=block.lines + moved)
        except ValueError as error:
            place = re.compile("(?<=standard input, line )[0-9]+")
            raise ValueError(place.sub(lambda found: str(int(found[0]) + moved), str(error), count=1)) from None


def _open_like_fit(
    model: SeriesModel,
    path: str,
    header: bool | None,
    key: str | None,
    column: str | None,
    dialect: Dialect | None,
    spooled: BinaryIO | None = None,
) -> TableSource:
    """Open a file that has the columns of the fit; besides them it may have those left out then, and `column`."""
    known, clock = model.read_as, model.clock
    header = known.header if header is None else header
    dialect = model.dialect if dialect is None else dialect
    source = open_table(path, header=header, key=key, dialect=dialect, spooled=spooled)
    if column is not None:
        column = resolve_column(source.path, source.names, column)
    time = [] if clock.column is None else [clock.column]
    check_columns(source, [*model.columns, *time], {column, known.label, *known.drop})
    return source
