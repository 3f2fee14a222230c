"""Alarms from scores of time steps, and events from alarms: begin, end, peak, channel, and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.series.explain import explain_window
from tollad.series.measures import runs

if TYPE_CHECKING:
    from tollad.series.model import SeriesModel

Floats: TypeAlias = NDArray[np.float64]

# An alarm is trimmed to the steps whose score has risen by this share of the way from the threshold to the peak.
KEPT = 0.9
# In a causal series, by this share of the way to the highest score so far.
KEPT_SO_FAR = 0.95
# Two peaks of a stretch are two alarms if the score falls, and rises again, by this share of the way between them.
APART = 0.5
# A stretch above the threshold of this length is judged before it ends, to bound memory.
_LONGEST = 10_000


@dataclass(frozen=True)
class Judged:
    """Final scores, thresholds and alarms of successive time steps.

    Attributes
    ----------
    scores, thresholds : ndarray of float64, (m,)
        A score is NaN where there is no full window.
    alarms : ndarray of bool, (m,)

    Examples
    --------
    >>> one = Judged(np.array([1.0]), np.array([2.0]), np.array([False]))
    >>> Judged.join([one, Judged(np.array([3.0]), np.array([2.0]), np.array([True]))]).alarms.tolist()
    [False, True]
    """

    scores: Floats
    thresholds: Floats
    alarms: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def join(cls, parts: Sequence[Judged]) -> Judged:
        """Return one or more successive `parts` as one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Event:
    """An alarm: consecutive time steps that were called anomalous.

    Attributes
    ----------
    begin, end : int
        Rows of the first and the last step, from 0. For a step that was filled in, the row before it.
    peak : int
        The step with the highest score.
    score : float
        The score there.
    p_value : float or None
        p-value of that score by the scores of held-out steps; None without such.
    channel : str
        The channel with the largest part in the score of the window at the peak.
    step : int
        The step in that window where this channel differs most from its reconstruction.
    seen, expected : float
        Value of the channel there, and its reconstruction.
    reasons : tuple of str
        The channels with the largest parts, described in words, the largest first.
    group : str or None
        The series to which it belongs, if there are several.
    stamps : tuple of (str or None), 3 or none
        Time stamps or names of begin, end and peak, if there are any.

    Examples
    --------
    >>> from tollad import SeriesDetector
    >>> wave = np.sin(np.arange(300) / 5)
    >>> detector = SeriesDetector(window=16, steps=20, random_state=0).fit(wave[:200])
    >>> wave[250] += 9
    >>> event = max(detector.events(wave[200:]), key=lambda event: event.score)
    >>> event.begin <= 50 <= event.end, event.channel
    (True, 'x1')
    """

    begin: int
    end: int
    peak: int
    score: float
    p_value: float | None
    channel: str
    step: int
    seen: float
    expected: float
    reasons: tuple[str, ...] = ()
    group: str | None = None
    stamps: tuple[str | None, ...] = ()


class Judge:
    """Decides which steps raise an alarm, as their scores arrive.

    Parameters
    ----------
    threshold : callable
        Scores, (m,), to the threshold of each, (m,).
    trim : bool
        Whether a stretch above the threshold is trimmed to the part around its peak.
    causal : bool
        Whether each step is returned at once. If not, the steps of a stretch above the threshold are returned only when
        it has ended, if it is to be trimmed.

    Attributes
    ----------
    peak, low : float
        With `causal`, the highest score so far of the alarm that goes on, and the lowest since; -inf if none does.
    """

    def __init__(self, threshold: Callable[[Floats], Floats], *, trim: bool, causal: bool) -> None:
        self._threshold, self._trim, self._causal = threshold, trim, causal
        self.peak = self.low = -np.inf
        self._open = Judged(np.empty(0), np.empty(0), np.empty(0, np.bool_))

    def push(self, scores: Floats) -> Judged:
        """Take the scores of the next steps, (m,); return the steps that are final, in order."""
        thresholds = self._threshold(scores)
        waiting = Judged(scores, thresholds, scores > thresholds)
        if len(self._open):
            waiting = Judged.join([self._open, waiting])
        n_open = 0
        if self._trim and not self._causal and len(waiting) and waiting.alarms[-1]:
            begin, end = runs(waiting.alarms)[-1]
            n_open = int(end - begin) if end - begin < _LONGEST else 0
        return self._settle(waiting, len(waiting) - n_open)

    def finish(self) -> Judged:
        """Return the steps that are left."""
        return self._settle(self._open, len(self._open))

    def _settle(self, waiting: Judged, n: int) -> Judged:
        self._open = Judged(waiting.scores[n:], waiting.thresholds[n:], waiting.alarms[n:])
        scores, thresholds, above = waiting.scores[:n], waiting.thresholds[:n], waiting.alarms[:n]
        if self._trim and not self._causal:
            return Judged(scores, thresholds, trimmed(scores, thresholds))
        if self._trim and n:
            above = self._trimmed_so_far(scores, thresholds)
        return Judged(scores, thresholds, above)

    def _trimmed_so_far(self, scores: Floats, thresholds: Floats) -> NDArray[np.bool_]:
        """Return which steps raise an alarm: those near the highest score so far of their stretch.

        The first step above the threshold always does. One anomalous step raises the scores of the whole window after
        it, so lower scores after the peak are no new alarm, unless they rise again by half of what it was.
        """
        alarms = np.zeros(len(scores), np.bool_)
        peak, low, self.peak, self.low = self.peak, self.low, -np.inf, -np.inf
        for begin, end in runs(scores > thresholds).tolist():
            if begin:
                peak = low = -np.inf
            for step in range(begin, end):
                score, threshold = float(scores[step]), float(thresholds[step])
                least = APART * (peak - threshold)
                if score > peak or min(peak, score) - low >= least:
                    peak = low = score
                low = min(low, score)
                alarms[step] = score >= threshold + KEPT_SO_FAR * (peak - threshold)
            if end == len(scores):
                self.peak, self.low = peak, low
        return alarms


def trimmed(scores: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Return which steps raise an alarm: the part around the peak of each stretch above the threshold.

    One anomalous step raises the scores of all windows that contain it, and so of steps up to a window away. The part
    reaches from the first to the last step whose score is nine tenths of the way from the threshold to the peak. A
    stretch has several such parts if the score falls between two peaks, and rises again, by half of the way from the
    threshold to the highest.

    Examples
    --------
    >>> scores = np.array([1.0, 3.0, 5.0, 12.0, 5.0, 3.0, 9.0, 8.5, 1.0])
    >>> trimmed(scores, np.full(9, 2.0)).astype(int).tolist()
    [0, 0, 0, 1, 0, 0, 1, 1, 0]
    """
    alarms = np.zeros(len(scores), np.bool_)
    for begin, end in runs(scores > thresholds):
        highest = begin + int(scores[begin:end].argmax())
        for first, stop in _hills(scores[begin:end], APART * (scores[highest] - thresholds[highest])):
            its = scores[begin + first : begin + stop]
            peak = begin + first + int(its.argmax())
            kept = begin + first + np.flatnonzero(its >= thresholds[peak] + KEPT * (scores[peak] - thresholds[peak]))
            alarms[kept[0] : kept[-1] + 1] = True
    return alarms


def _hills(scores: Floats, least: float) -> Iterator[tuple[int, int]]:
    """Yield the parts of scores, (m,), cut at the lowest step between two peaks that are `least` or more above it."""
    begin = at = 0
    top, low = -np.inf, np.inf  # the highest score of a part so far, and the lowest since
    for step, score in enumerate(scores.tolist()):
        if min(top, score) - low >= least:
            yield begin, at
            begin, top, low = at, score, score
        elif score > top:
            top = low = score
        elif score < low:
            low, at = score, step
    yield begin, len(scores)


class EventFinder:
    """Joins the alarms of successive steps to events, and finds the channel that caused each peak.

    Parameters
    ----------
    model : SeriesModel
    n_reasons : int >= 0
        How many channels to describe in words.
    group : str or None
        Name of the series, if there are several.
    """

    def __init__(self, model: SeriesModel, n_reasons: int = 0, group: str | None = None) -> None:
        self._model, self._n_reasons, self._group = model, n_reasons, group
        self._steps: Floats = np.empty((0, len(model.columns)))
        self._rows: list[int] = []  # the row of each of these, or the one before
        self._stamps: dict[int, str | None] = {}
        self._first = self._n_judged = 0  # the number of the first step kept, and of the first not judged yet
        # The open event: its first row, the step after its last, the row there, and its peak.
        self._begin: int | None = None
        self._end = self._last = self._peak = self._at = 0
        self._score = -np.inf
        self._called: dict[int, str | None] = {}
        self._cut, self._window_rows = self._steps, self._rows

    def name(self, rows: NDArray[np.int64], stamps: Sequence[str | None]) -> None:
        """Take the names of the next rows, before their steps."""
        self._stamps.update(zip(rows.tolist(), stamps, strict=False))

    def see(self, steps: Floats, rows: NDArray[np.int64]) -> None:
        """Take steps, (m, C), before they are judged, and the row of each, -1 where there is none."""
        self._steps = np.concatenate([self._steps, steps])
        before = self._rows[-1] if self._rows else 0
        self._rows += np.maximum.accumulate(np.concatenate([[before], rows]))[1:].tolist()

    def push(self, judged: Judged) -> list[Event]:
        """Take the next steps that are final; return the events that have ended."""
        found: list[Event] = []
        for begin, end in (runs(judged.alarms) + self._n_judged).tolist():
            if begin > self._end:
                found += self.finish()
            scores = judged.scores[begin - self._n_judged : end - self._n_judged]
            self._begin = self._row(begin) if self._begin is None else self._begin
            self._end, self._last = end, self._row(end - 1)
            if scores.max() > self._score:
                self._peak, self._score = begin + int(scores.argmax()), float(scores.max())
                self._at = self._row(self._peak)
                self._keep_window()
            self._called = {row: self._stamps.get(row, self._called.get(row)) for row in self._marks()}
        self._n_judged += len(judged)
        if self._end < self._n_judged:
            found += self.finish()
        first = max(self._first, self._n_judged - self._model.window)
        self._steps, self._rows, self._first = self._steps[(n := first - self._first) :], self._rows[n:], first
        if self._stamps:
            oldest = self._rows[0] if self._rows else self._last
            self._stamps = {row: stamp for row, stamp in self._stamps.items() if row >= oldest}
        return found

    def finish(self) -> list[Event]:
        """Return the open event, if there is one."""
        if self._begin is None:
            return []
        from tollad.calibration import p_values  # imports SciPy, which takes a second

        known = self._model.decision.calibration_scores
        reason = explain_window(self._model.detector, self._cut, self._model.columns, self._n_reasons)
        event = Event(
            begin=self._begin,
            end=self._last,
            peak=self._at,
            score=self._score,
            p_value=None if known is None else float(p_values(known, [self._score])[0]),
            channel=reason["channel"],
            step=self._window_rows[reason["lag"]],
            seen=reason["seen"],
            expected=reason["expected"],
            reasons=reason["reasons"],
            group=self._group,
            stamps=tuple(self._called[row] for row in self._marks()) if self._stamps else (),
        )
        self._begin, self._score = None, -np.inf
        return [event]

    def _row(self, step: int) -> int:
        return self._rows[step - self._first]

    def _marks(self) -> tuple[int, int, int]:
        assert self._begin is not None
        return self._begin, self._last, self._at

    def _keep_window(self) -> None:
        """Keep the window that ends with the peak (causal) or has it in the middle, within its stretch."""
        window, peak = self._model.window, self._peak - self._first
        broken = np.flatnonzero(np.isnan(self._steps).any(1))
        place = int(np.searchsorted(broken, peak))
        begin = int(broken[place - 1]) + 1 if place else 0
        end = int(broken[place]) if place < len(broken) else len(self._steps)
        wanted = peak - window + 1 if self._model.causal else min(peak - window // 2, end - window)
        start = max(begin, wanted)
        self._cut, self._window_rows = self._steps[start : start + window].T, self._rows[start : start + window]


def event_table(events: Sequence[Event]) -> pa.Table:
    """Return events as a table: group if there are groups, begin, end, peak, score, p_value, channel, seen, expected, \
and reasons.

    Steps are row numbers, from 1, or their time stamps or names.
    """
    columns: dict[str, pa.Array] = {"event": pa.array(range(1, len(events) + 1), pa.int64())}
    if any(event.group is not None for event in events):
        columns["group"] = pa.array([event.group for event in events], pa.string())
    for place, name in enumerate(("begin", "end", "peak")):
        rows = pa.array([getattr(event, name) + 1 for event in events], pa.int64())
        called = [event.stamps[place] for event in events if event.stamps]
        columns[name] = pa.array(called, pa.string()) if called else rows
    for name in ("score", "p_value"):
        columns[name] = pa.array([getattr(event, name) for event in events], pa.float64())
    columns["channel"] = pa.array([event.channel for event in events], pa.string())
    for name in ("seen", "expected"):
        columns[name] = pa.array([getattr(event, name) for event in events], pa.float64())
    most = max((len(event.reasons) for event in events), default=0)
    for place in range(most):
        texts = [event.reasons[place] if place < len(event.reasons) else None for event in events]
        columns[f"reason_{place + 1}"] = pa.array(texts, pa.string())
    return pa.table(columns)
