"""From scores of time steps to alarms, and from alarms to events: where, how high, which channel, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.calibration import p_values
from tollad.series.explain import explain_window
from tollad.series.measures import runs
from tollad.series.model import SeriesModel

Floats: TypeAlias = NDArray[np.float64]

# An alarm is kept where the score has risen this far from the threshold towards its peak.
_KEPT = 0.9
# A stretch above the threshold is judged once it is this long, whether it has ended or not: memory is no limit.
_LONGEST = 10_000


@dataclass(frozen=True)
class Judged:
    """Successive time steps that no later step changes any more.

    Attributes
    ----------
    scores, thresholds : ndarray of float64, (m,)
        A score is NaN where there was no whole window yet.
    alarms : ndarray of bool, (m,)
    """

    scores: Floats
    thresholds: Floats
    alarms: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def join(cls, parts: Sequence[Judged]) -> Judged:
        """Return successive parts as one; there is at least one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Event:
    """An alarm without a break.

    Attributes
    ----------
    begin, end : int
        The first step, from 0, and the last.
    peak : int
        The step with the highest score.
    score : float
        The score there.
    p_value : float or None
        How often a normal step scores as high, by the scores of held-out steps; None without such.
    channel : str
        The channel with the largest part in the score of the window at the peak.
    step : int
        The step of that window where this channel differs most from what was expected.
    seen, expected : float
        Value of the channel there, and what the network makes of it.
    reasons : tuple of str
        The channels with the largest parts in words, the largest first.
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


class Judge:
    """Tells which steps raise an alarm, while their scores come.

    Parameters
    ----------
    threshold : callable
        Scores, (m,), to the threshold of each, (m,).
    trim : bool
        Whether a stretch above the threshold is cut to the part around its peak. A step is held back as long as its
        stretch goes on.
    """

    def __init__(self, threshold: Callable[[Floats], Floats], *, trim: bool) -> None:
        self._threshold, self._trim = threshold, trim
        self._open = Judged(np.empty(0), np.empty(0), np.empty(0, np.bool_))

    def push(self, scores: Floats) -> Judged:
        """Take the scores of the next steps, (m,); return the steps that are settled, in order."""
        thresholds = self._threshold(scores)
        waiting = Judged.join([self._open, Judged(scores, thresholds, scores > thresholds)])
        n_open = 0
        if self._trim and len(waiting) and waiting.alarms[-1]:
            begin, end = runs(waiting.alarms)[-1]
            n_open = int(end - begin) if end - begin < _LONGEST else 0
        return self._settle(waiting, len(waiting) - n_open)

    def finish(self) -> Judged:
        """Return the steps that are left."""
        return self._settle(self._open, len(self._open))

    def _settle(self, waiting: Judged, n: int) -> Judged:
        self._open = Judged(waiting.scores[n:], waiting.thresholds[n:], waiting.alarms[n:])
        scores, thresholds, above = waiting.scores[:n], waiting.thresholds[:n], waiting.alarms[:n]
        return Judged(scores, thresholds, trimmed(scores, thresholds) if self._trim else above)


def trimmed(scores: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Return which steps raise an alarm: of each stretch above the threshold the part around its peak.

    One odd step raises the score of all windows that hold it, and so of the steps of a window's length on both sides.
    Kept is the part from the first to the last step whose score has come nine tenths of the way from the threshold to
    the peak.

    Examples
    --------
    >>> scores = np.array([1.0, 3.0, 5.0, 12.0, 5.0, 3.0, 1.0])
    >>> trimmed(scores, np.full(7, 2.0)).tolist()
    [False, False, False, True, False, False, False]
    """
    alarms = np.zeros(len(scores), np.bool_)
    for begin, end in runs(scores > thresholds):
        peak = begin + int(scores[begin:end].argmax())
        kept = begin + np.flatnonzero(scores[begin:end] >= thresholds[peak] + _KEPT * (scores[peak] - thresholds[peak]))
        alarms[kept[0] : kept[-1] + 1] = True
    return alarms


class EventFinder:
    """Gathers the alarms of successive steps into events, and says where the score at each peak comes from.

    Parameters
    ----------
    model : SeriesModel
    n_reasons : int >= 0
        How many channels to give in words.
    """

    def __init__(self, model: SeriesModel, n_reasons: int = 0) -> None:
        self._model, self._n_reasons = model, n_reasons
        self._steps: Floats = np.empty((0, len(model.columns)))
        self._first = self._n_judged = 0  # the number of the first step kept, and of the first not judged yet
        # The event that goes on: its first step, the step after its last, its peak.
        self._begin: int | None = None
        self._end, self._peak, self._score = 0, 0, -np.inf
        self._cut, self._start = self._steps, 0

    def see(self, steps: Floats) -> None:
        """Take steps, (m, C), before they are judged."""
        self._steps = np.concatenate([self._steps, steps])

    def push(self, judged: Judged) -> list[Event]:
        """Take the next steps that are settled; return the events that have ended."""
        found: list[Event] = []
        for begin, end in (runs(judged.alarms) + self._n_judged).tolist():
            if begin > self._end:
                found += self.finish()
            scores = judged.scores[begin - self._n_judged : end - self._n_judged]
            self._begin = begin if self._begin is None else self._begin
            self._end = end
            if scores.max() > self._score:
                self._peak, self._score = begin + int(scores.argmax()), float(scores.max())
                self._keep_window()
        self._n_judged += len(judged)
        if self._end < self._n_judged:
            found += self.finish()
        first = max(self._first, self._n_judged - self._model.window)
        self._steps, self._first = self._steps[first - self._first :], first
        return found

    def finish(self) -> list[Event]:
        """Return the event that has not ended yet, if there is one."""
        if self._begin is None:
            return []
        known = self._model.decision.calibration_scores
        reason = explain_window(self._model.detector, self._cut, self._model.columns, self._n_reasons)
        event = Event(
            begin=self._begin,
            end=self._end - 1,
            peak=self._peak,
            score=self._score,
            p_value=None if known is None else float(p_values(known, [self._score])[0]),
            channel=reason["channel"],
            step=self._start + reason["lag"],
            seen=reason["seen"],
            expected=reason["expected"],
            reasons=reason["reasons"],
        )
        self._begin, self._score = None, -np.inf
        return [event]

    def _keep_window(self) -> None:
        """Keep the window that the peak ends, or that it is the middle of."""
        window, n_seen = self._model.window, self._first + len(self._steps)
        wanted = self._peak - window + 1 if self._model.causal else min(self._peak - window // 2, n_seen - window)
        self._start = max(0, wanted)
        self._cut = self._steps[max(0, self._start - self._first) :][:window].T


def event_table(events: Sequence[Event], times: Sequence[str | None] | None = None) -> pa.Table:
    """Return events as a table: begin, end, peak, score, p_value, channel, step, seen, expected, reasons.

    Steps are numbers of rows, from 1, or the time stamps in `times`, three for each event: begin, end, peak.
    """
    columns: dict[str, pa.Array] = {"event": pa.array(range(1, len(events) + 1), pa.int64())}
    for place, name in enumerate(("begin", "end", "peak")):
        rows = pa.array([getattr(event, name) + 1 for event in events], pa.int64())
        columns[name] = rows if times is None else pa.array(times[place::3], pa.string())
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
