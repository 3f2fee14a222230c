"""Thresholds of time steps from scores of held-out steps: fixed, or adaptive."""

from __future__ import annotations

import bisect
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.calibration.checks import check_rate, check_share
from tollad.io.packed import JSON

Floats: TypeAlias = NDArray[np.float64]

N_FOLDS = 3
# The adaptive threshold is a quantile of so many last scores, and each step moves its level by this rate.
RECENT, STEP = 2000, 0.005
# Once the level is at its limit, each further alarm raises the threshold by a tenth of the highest score.
_BEYOND = 20.0
# An alarm holds the threshold where it began for so many steps. Otherwise it might rise above the peak.
_HELD = 8


def folds(series: Sequence[Sequence[Floats]], window: int) -> Iterator[tuple[list[Floats], list[Floats]]]:
    """Cut each series into three contiguous parts; each is held out once, with a gap of a window on either side.

    Held-out steps at random places would be part of training windows.

    Parameters
    ----------
    series : sequence of sequences of ndarray, (T_i, C)
        The stretches of each series. The first parts of all series are held out together, and so on.
    window : int
        Shorter pieces are left out.

    Yields
    ------
    trained, held_out : list of ndarray, (T_j, C)
        Folds with an empty list are left out.

    Examples
    --------
    >>> [(len(trained[0]), len(held_out[0])) for trained, held_out in folds([[np.zeros((90, 1))]], window=10)]
    [(50, 30), (20, 30), (50, 30)]
    """
    for fold in range(N_FOLDS):
        trained: list[Floats] = []
        held_out: list[Floats] = []
        for stretches in series:
            starts = np.cumsum([0, *map(len, stretches)])
            first, stop = np.linspace(0, starts[-1], N_FOLDS + 1).astype(int)[fold : fold + 2]
            for start, steps in zip(starts, stretches, strict=False):
                begin, end = np.clip([first - start, stop - start], 0, len(steps))
                gap = window if begin < end else 0
                trained += [steps[: max(0, begin - gap)], steps[end + gap :]] if gap else [steps]
                held_out.append(steps[begin:end])
        trained, held_out = ([piece for piece in part if len(piece) >= window] for part in (trained, held_out))
        if trained and held_out:
            yield trained, held_out


def fold_threshold(pieces: Sequence[Floats], share: float) -> float:
    """Return the median over folds of the score that a share of the steps of each fold exceeds.

    In a pool of all scores, the fold least like the others would determine the threshold alone; in a mean, it would
    still move it.

    Parameters
    ----------
    pieces : sequence of ndarray, (T_i,)
        Scores of held-out steps of each fold.
    share : float in (0, 0.5]

    Examples
    --------
    >>> fold_threshold([np.full(10, 2.0), np.full(10, 80.0), np.full(10, 3.0)], share=0.1)
    3.0
    """
    check_share(share, "contamination")
    return float(np.median([np.quantile(scores, 1 - share) for scores in pieces]))


@dataclass(frozen=True)
class FalseAlarms:
    """A rate of false alarms.

    Attributes
    ----------
    value : float
    unit : {"step", "1000 steps", "day"}
        "step": a share of the steps. Otherwise the number of alarms, each a stretch of steps, in 1,000 steps or a day.
    """

    value: float
    unit: str

    @classmethod
    def parse(cls, rate: Any) -> FalseAlarms:
        """Read a number, which is a share of the steps, or text such as "2 per day" or "1 per 1000 steps".

        Raises
        ------
        TypeError, ValueError
            For anything else, other text, or a value out of range.

        Examples
        --------
        >>> FalseAlarms.parse("2 per day")
        FalseAlarms(value=2.0, unit='day')
        """
        if isinstance(rate, str):
            found = re.fullmatch(r"([0-9.]+) per (day|1000 steps)", rate.strip())
            value = float(found[1]) if found and re.fullmatch(r"[0-9]*\.?[0-9]+", found[1]) else 0.0
            if not found or value <= 0:
                raise ValueError(
                    f"false_alarm_rate must be a share of the time steps, such as 0.01, or false stretches, such as "
                    f"'2 per day' or '1 per 1000 steps', not {rate!r}"
                )
            return cls(value, found[2])
        if isinstance(rate, bool) or not isinstance(rate, Real):
            raise TypeError(f"false_alarm_rate must be a number or a text such as '2 per day', not {rate!r}")
        check_rate(rate, "false_alarm_rate")
        return cls(float(rate), "step")


def stretch_threshold(pieces: Iterable[Floats], most: float) -> float:
    """Return the lowest threshold from which on at most `most` stretches of scores lie above.

    Parameters
    ----------
    pieces : iterable of ndarray, (T_i,)
        Scores of stretches of normal steps.
    most : float >= 0

    Examples
    --------
    >>> stretch_threshold([np.array([1.0, 5.0, 4.0, 1.0, 3.0, 1.0])], most=1)
    3.0
    """
    # A stretch begins at a step whose predecessor is not above the threshold.
    rises: list[tuple[float, int]] = []
    for scores in pieces:
        before = np.concatenate([[-np.inf], scores[:-1]])
        rising = scores > before
        # For any threshold between these two scores there is one more stretch.
        rises += [(float(high), 1) for high in scores[rising]] + [(float(low), -1) for low in before[rising]]
    rises.sort(key=lambda rise: -rise[0])
    n_stretches = 0
    for score, group in itertools.groupby(rises, key=lambda rise: rise[0]):
        n_stretches += sum(change for _, change in group)
        if n_stretches > most:
            return score
    return float(rises[-1][0]) if rises and np.isfinite(rises[-1][0]) else 0.0


class AdaptiveThreshold:
    """A threshold that follows the series: a quantile of the last scores, whose level recent alarms correct.

    In the long run the share of steps above it stays near `share`, whatever the scores do (adaptive conformal
    inference: Gibbs and Candes, NeurIPS 2021, equation 2). But a lasting change stops raising alarms, and a series
    that is anomalous from its beginning counts as normal.

    Parameters
    ----------
    scores : array-like of float, (n,)
        Scores of earlier steps; the last 2,000 are used.
    share : float in (0, 1)
        Share of the steps that should lie above.
    level : float, optional
        Current level; by default `share`.

    Examples
    --------
    >>> threshold = AdaptiveThreshold(np.arange(100.0), share=0.1)
    >>> threshold.follow(np.array([50.0, 95.0, 95.0])).round(1).tolist()
    [89.1, 89.0, 89.0]
    """

    def __init__(self, scores: ArrayLike, share: float, level: float | None = None) -> None:
        self.share = share
        self.level = share if level is None else level
        self.recent: deque[float] = deque(np.asarray(scores, np.float64)[-RECENT:].tolist())
        self._ranked = sorted(self.recent)
        self._at, self._n_held = 0.0, 0  # the threshold at which an alarm began, and its steps so far

    def state(self) -> dict[str, JSON]:
        """Return what the next thresholds depend on besides the last scores."""
        return {"level": self.level, "at": self._at, "n_held": self._n_held}

    @classmethod
    def resumed(cls, recent: ArrayLike, share: float, state: Mapping[str, Any]) -> AdaptiveThreshold:
        """Return the threshold with a given state."""
        self = cls(recent, share, state["level"])
        self._at, self._n_held = state["at"], state["n_held"]
        return self

    def follow(self, scores: Floats) -> Floats:
        """Return the threshold for each of the next scores, (m,), before it takes that score; NaN has no effect."""
        return np.array([self._next(score) for score in scores.tolist()], np.float64)

    def _next(self, score: float) -> float:
        threshold = self._at if self._n_held % _HELD else self._quantile()
        if score == score:  # not NaN
            began = self._n_held % _HELD
            self._at, self._n_held = threshold, began + 1 if score > threshold else 0
            self.level += STEP * (self.share - (score > threshold))
            self.recent.append(score)
            bisect.insort(self._ranked, score)
            if len(self.recent) > RECENT:
                del self._ranked[bisect.bisect_left(self._ranked, self.recent.popleft())]
        return threshold

    def _quantile(self) -> float:
        """Return the quantile by linear interpolation; above the highest score if the level is 0 or less."""
        highest = self._ranked[-1]
        if self.level <= 0:
            return highest * (1 - _BEYOND * self.level)
        place = (1 - min(self.level, 1.0)) * (len(self._ranked) - 1)
        below = int(place)
        low = self._ranked[below]
        return low if below == place else low + (place - below) * (self._ranked[below + 1] - low)
