"""What a command asks of a file that is a series: windows to train on, and scores of its time steps.

Here a row of the file is a time step, and so is everything that a user meets: the scores, the verdicts, and what the
threshold refers to. Windows are what the detector is given.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.calibration import overlap, rows_needed
from tollad.detector.scored import Scored
from tollad.io.dialect import Dialect
from tollad.io.inputs import check_columns
from tollad.io.labels import labelled
from tollad.io.sources import (
    Block,
    TableSource,
    column_as_strings,
    open_table,
    read_table,
    resolve_column,
    warn_of_lost_row,
)
from tollad.io.training import Training
from tollad.method.networks import traits_of
from tollad.series.window import check_window, score_steps, windows
from tollad.tables.encode import encode
from tollad.tables.schema import Column

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector

Floats: TypeAlias = NDArray[np.float64]
TimeKind: TypeAlias = Literal["number", "date"]

# By default a time step is covered by this many windows: enough for its mean score to be smooth.
_COVERS = 16
# A time step after more than this many usual ones follows a gap.
_GAP = 1.5


@dataclass(frozen=True)
class TrainingSeries(Training):
    """What to fit a detector on, from a series.

    Attributes
    ----------
    rows : ndarray, (n, C, window), or (n, C * window) for networks of tables
        Windows.
    trained, held_out : list of ndarray, (T_i, C)
        The stretches that the windows are of, and those to put the threshold on: later ones, of which no step is in a
        window, and none for a threshold by contamination.
    """

    trained: list[Floats]
    held_out: list[Floats]


def read_training_series(
    path: str,
    *,
    header: bool,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str],
    window: int,
    stride: int | None,
    time: str | None,
    network: str,
    false_alarm_rate: float | None,
    dialect: Dialect | None = None,
) -> TrainingSeries:
    """Read a series to fit a detector on, all into memory.

    Parameters
    ----------
    path, header, key, label, normal, drop
        As in `tollad.io.training.read_training_rows`. Windows lie within stretches of normal rows.
    window : int
        Time steps in a window.
    stride : int, optional
        Steps from one window to the next; by default a sixteenth of a window.
    time : str, optional
        The column of the time stamps: numbers or dates, ascending. It is no feature.
    network : str
        Of the detector. One of (channels, time steps) takes windows as they are, all others take them flat.
    false_alarm_rate : float, optional
        Holds out the last fifth of the series, or as many steps as the rate needs, and leaves a window before it.
    dialect : Dialect, optional
        How the text is written.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown, a value is missing or no number, time stamps do not ascend, or
        the series is too short.

    Warns
    -----
    UserWarning
        For a gap in the time stamps.
    """
    stride = max(1, window // _COVERS) if stride is None else stride
    check_window(window, stride)
    source = open_table(path, header=header, key=key, dialect=dialect)
    warn_of_lost_row(source)
    label, time = (None if name is None else resolve_column(source.path, source.names, name) for name in (label, time))
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    names = [name for name in source.names if name not in (label, time, *drop, *source.index)]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    block = read_table(source)
    steps = _numbers(block, names, "correct it, or leave the column out with --drop")
    clock = _Clock(None) if time is None else _Clock.learn(block, time)
    kept = labelled(block, label, normal)
    pieces, held_out = [(0, len(block))], []
    if false_alarm_rate is not None:
        n_held_out = max(rows_needed(false_alarm_rate), len(block) // 5, window)
        pieces = [(0, len(block) - n_held_out - window)]
        held_out = _stretches(steps, kept, (len(block) - n_held_out, len(block)), window, source.path)
        if pieces[0][1] < max(len(block) // 3, window + 1):
            raise ValueError(
                f"{source.path}: has {len(block):,} time steps, too few to hold {n_held_out:,} out for a false-alarm "
                f"rate of {false_alarm_rate:g}; give a longer series, or ask for a higher rate"
            )
    trained = _stretches(steps, kept, pieces[0], window, source.path)
    series = {"columns": names, "window": window, "stride": stride, "time": clock.to_json()}
    notes = {
        "source": PurePath(source.path).name,
        "header": header,
        "label": label,
        "normal": [*normal],
        "drop": drop,
        "n_read": len(block),
        "n_used": sum(map(len, trained)),
        "series": series,
        "dialect": source.dialect.to_json(),
    }
    cut = [_shaped(windows(piece, window, stride), flat=traits_of(network).n_axes != 2) for piece in trained]
    return TrainingSeries(np.concatenate(cut), None, notes, trained, held_out)


def is_series(detector: TollDetector) -> bool:
    """Whether the detector was fitted on a series by these commands, so that files are series to it."""
    return "series" in detector.notes_


def put_threshold(detector: TollDetector, training: TrainingSeries, false_alarm_rate: float | None) -> None:
    """Put the threshold of a detector fitted on windows where it holds for time steps.

    A step has the mean score of several windows, which varies less than theirs: the threshold of windows would call
    fewer steps anomalous than were asked for.

    Parameters
    ----------
    detector : TollDetector
        Just fitted on ``training.rows``. Its `training_scores_` become those of time steps.
    training : TrainingSeries
    false_alarm_rate : float, optional
        With it `calibration_scores_` are those of the steps held out; without it `contamination` decides.

    Warns
    -----
    UserWarning
        If the steps held out are few for the rate.
    """
    detector.notes_ = training.notes
    detector.training_scores_ = _scores(detector, training.trained)
    if false_alarm_rate is None:
        detector.set_threshold(contamination=detector.contamination)
    else:
        detector.calibration_scores_ = np.sort(_scores(detector, training.held_out))
        detector.set_threshold(false_alarm_rate=false_alarm_rate)
        _warn_if_few(detector, false_alarm_rate)


def _warn_if_few(detector: TollDetector, false_alarm_rate: float) -> None:
    """Warn when the calibration steps, of which those of one window say nearly the same, are too few for a rate."""
    n_steps, window = len(detector.calibration_scores_), detector.notes_["series"]["window"]
    needed = rows_needed(false_alarm_rate) * window
    if n_steps < needed:
        warnings.warn(
            f"the false-alarm rate of {false_alarm_rate:g} is a rough guess: {n_steps:,} calibration steps are only "
            f"{n_steps / window:.3g} windows side by side; calibrate on a normal series of {needed:,} steps or more",
            stacklevel=2,
        )


def normal_scores(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
    dialect: Dialect | None = None,
) -> Floats:
    """Return the scores of the time steps of a file, (n,): of all, or of those in stretches labelled normal.

    Parameters
    ----------
    detector : TollDetector
        One of which `is_series` is true.
    path, header, key, label, normal, dialect
        As in `tollad.io.inputs.read_rows`.

    Raises
    ------
    ValueError, OSError
        As `score_series`, and if no stretch is as long as a window.
    """
    layout = detector.notes_["series"]
    source = _open_like_fit(detector, path, header, key, label, dialect)
    block = read_table(source)
    _Clock.from_json(layout["time"]).check(block)
    kept = labelled(block, None if label is None else resolve_column(source.path, source.names, label), normal)
    steps = _numbers(block, layout["columns"])
    return _scores(detector, _stretches(steps, kept, (0, len(block)), layout["window"], source.path))


def calibrate_series(
    detector: TollDetector, scores: Floats, *, false_alarm_rate: float | None = None, tail: bool = False
) -> None:
    """Calibrate a detector on the scores of normal time steps, as `TollDetector.calibrate` does on rows.

    Parameters
    ----------
    detector : TollDetector
        One of which `is_series` is true.
    scores : ndarray, (n,)
        From `normal_scores`.
    false_alarm_rate, tail
        As in `TollDetector.calibrate`.

    Raises
    ------
    ValueError
        If the steps were trained on, or the rate needs more of them.

    Warns
    -----
    UserWarning
        If the steps are few for the rate.
    """
    scores = np.sort(scores)
    # Between the beginnings of two windows all steps have the same score.
    if overlap(np.unique(scores), np.unique(detector.training_scores_)):
        raise ValueError(
            "calibration series: more than half of the time steps have exactly the score of one that was trained on; "
            "give a normal series that was not"
        )
    detector.calibration_scores_ = scores
    rate = detector.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
    if rate is not None or tail:
        detector.set_threshold(false_alarm_rate=rate, tail=tail)
    if rate is not None and not tail:
        _warn_if_few(detector, rate)


def score_series(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    dialect: Dialect | None = None,
) -> Iterator[Scored]:
    """Score the time steps of a file, reading it block by block: no more of it is kept than a block and a window.

    Parameters
    ----------
    detector : TollDetector
        One of which `is_series` is true.
    path, header, key, column, dialect
        As in `tollad.io.inputs.row_blocks`; by default `column` is that of the time stamps, if there is one.

    Yields
    ------
    Scored
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
    layout = detector.notes_["series"]
    source, window = _open_like_fit(detector, path, header, key, column, dialect), layout["window"]
    clock = _Clock.from_json(layout["time"])
    column = clock.column if column is None else resolve_column(source.path, source.names, column)
    steps: Floats = np.empty((0, len(layout["columns"])))
    values: list[str | None] = []

    def read() -> Iterator[Floats]:
        nonlocal steps
        n_read = 0
        for block in source:
            clock.check(block)
            new = _numbers(block, layout["columns"])
            n_read += len(new)
            steps = np.concatenate([steps, new])
            values.extend([] if column is None else column_as_strings(block, column))
            yield new
        if n_read < window:
            raise ValueError(
                f"{source.path}: has {n_read} time steps, fewer than the window of {window} that the model was fitted "
                "with; give a longer series"
            )

    first_row = 0
    for scores in score_steps(read(), _scorer(detector), window, layout["stride"]):
        n = len(scores)
        if n:
            alarms = scores > -detector.offset_
            yield Scored(first_row, steps[:n], column, values[:n], scores=scores, alarms=alarms)
            first_row, steps = first_row + n, steps[n:]
            del values[:n]


@dataclass(frozen=True)
class Recorder:
    """Scored time steps that pass by, kept for a picture: a few numbers a step.

    Attributes
    ----------
    blocks : list of Scored
    """

    blocks: list[Scored] = field(default_factory=list)

    @property
    def steps(self) -> Floats:
        """The series, (T, C)."""
        return np.concatenate([block.rows for block in self.blocks])

    @property
    def scores(self) -> Floats:
        """The score of each step, (T,)."""
        return np.concatenate([block.scores for block in self.blocks])

    def watch(self, blocks: Iterable[Scored]) -> Iterator[Scored]:
        """Hand on scored steps."""
        for block in blocks:
            self.blocks.append(block)
            yield block

    def time(self, detector: TollDetector) -> tuple[str, NDArray[Any]]:
        """Return the time of each step, (T,): numbers or datetime64, and what to call it.

        It is the number of the row, from 1, where there are no time stamps or another column stands in their place.
        """
        clock, column = _Clock.from_json(detector.notes_["series"]["time"]), self.blocks[0].column
        if clock.column is None or column != clock.column:
            return "row", np.arange(1, 1 + len(self.scores))
        texts = pa.array([value for block in self.blocks for value in block.values], pa.string())
        times = clock.read(pa.table({clock.column: texts}))
        return clock.column, (times * 86400e6).astype("datetime64[us]") if clock.kind == "date" else times


class _Clock:
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
        self._last, self._told = -math.inf, False

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
                "is a number, or a date like 2024-12-31 17:30:00; choose another column with --time"
            )
        times = cls(column, kind).check(block)
        learnt = cls(column, kind, float(np.median(np.diff(times))) if len(times) > 1 else None)
        learnt.check(block)
        return learnt

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Self:
        """Return a clock that begins anew: the way back from `to_json`."""
        return cls(None) if record is None else cls(**record)

    def to_json(self) -> dict[str, Any] | None:
        """Return what was learnt as JSON values."""
        return None if self.column is None else {"column": self.column, "kind": self.kind, "usual": self.usual}

    def read(self, table: pa.Table, where: Callable[[int], str] = "row {}".format) -> Floats:
        """Return the time stamps of a table: (n,), dates in days since 1970, NaN where missing."""
        assert self.column is not None
        (time,) = columns = [Column(self.column, self.kind)]
        with _no_missing("correct it"):
            encoded = encode(table.select([time.name]), columns, where=where)
        return np.where(encoded[:, -1] == 1, np.nan, encoded[:, 0]) if time.kind == "date" else encoded[:, 0]

    def check(self, block: Block) -> Floats:
        """Return the time stamps of the next steps, (m,); ValueError for one that is missing or does not ascend."""
        if self.column is None:
            return np.empty(0)
        times = self.read(block.table, block.where)
        steps = np.diff(times, prepend=self._last)
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
        self._last = float(times[-1])
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


def _open_like_fit(
    detector: TollDetector,
    path: str,
    header: bool | None,
    key: str | None,
    column: str | None,
    dialect: Dialect | None,
) -> TableSource:
    """Open a file that has the columns of the fit; besides them it may have those left out then, and `column`."""
    notes = detector.notes_
    if dialect is None:
        dialect = Dialect.from_json(notes.get("dialect", {}))
    source = open_table(path, header=notes["header"] if header is None else header, key=key, dialect=dialect)
    if column is not None:
        column = resolve_column(source.path, source.names, column)
    layout = notes["series"]
    time = [] if layout["time"] is None else [layout["time"]["column"]]
    check_columns(source, [*layout["columns"], *time], {column, notes["label"], *notes["drop"]})
    return source


def _numbers(block: Block, names: Sequence[str], remedy: str = "correct it") -> Floats:
    """Return the steps of a block, (m, C); ValueError for text, infinite and missing values."""
    with _no_missing(remedy):
        steps = encode(block.select(list(names)), [Column(name, "number") for name in names], where=block.where)
    missing = np.argwhere(np.isnan(steps))
    if len(missing):
        row, column = missing[0]
        raise ValueError(
            f"{block.where(int(row))}, column {names[column]!r}: the value is missing, and a series needs one at each "
            "step; fill it, from the values around it say"
        )
    return steps


@contextlib.contextmanager
def _no_missing(remedy: str) -> Iterator[None]:
    """Say `remedy` at a value that cannot be read: unlike in a table, it cannot be marked as missing."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{str(error).rpartition('; ')[0]}; {remedy}") from None


def _stretches(steps: Floats, kept: NDArray[np.bool_], within: tuple[int, int], window: int, path: str) -> list[Floats]:
    """Return the stretches of kept steps within a part of a series that are as long as a window; there is one."""
    begin, end = within
    edges = np.flatnonzero(np.diff(kept[begin:end], prepend=False, append=False)) + begin
    runs = edges.reshape(-1, 2)
    long = [steps[first:stop] for first, stop in runs if stop - first >= window]
    if not long:
        longest = int(np.diff(runs, axis=1).max(initial=0))
        which = f"{longest} time steps" if kept.all() else f"no more than {longest} normal time steps in a row"
        raise ValueError(
            f"{path}: has {which}, fewer than a window of {window}; give a longer series, or fit with a shorter "
            "--window"
        )
    return long


def _shaped(cut: NDArray[Any], *, flat: bool) -> NDArray[Any]:
    return cut.reshape(len(cut), -1) if flat else cut


def _scorer(detector: TollDetector) -> Callable[[NDArray[Any]], Floats]:
    """Return what scores windows, (n, C, window), as the detector takes them."""
    flat = len(detector.input_shape_) == 1
    return lambda cut: detector.anomaly_score(_shaped(cut, flat=flat))


def _scores(detector: TollDetector, stretches: Iterable[Floats]) -> Floats:
    """Return the scores of all time steps of some stretches."""
    layout, score = detector.notes_["series"], _scorer(detector)
    each = [np.concatenate([*score_steps([s], score, layout["window"], layout["stride"])]) for s in stretches]
    return np.concatenate(each)
