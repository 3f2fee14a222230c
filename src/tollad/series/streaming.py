"""Stream: scores successive steps and raises alarms. All time steps are scored in this way."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io.packed import JSON
from tollad.series.events import Judge, Judged
from tollad.series.window import LastScores

if TYPE_CHECKING:
    from tollad.series.model import SeriesModel
    from tollad.series.thresholds import AdaptiveThreshold

Floats: TypeAlias = NDArray[np.float64]


class Stream:
    """Scores successive steps and decides on alarms. The results do not depend on how steps are cut into blocks.

    Parameters
    ----------
    model : SeriesModel

    Attributes
    ----------
    n_seen : int
        Number of steps so far.
    longest : int
        Length of the longest stretch without NaN so far.

    Examples
    --------
    >>> from tollad import SeriesDetector
    >>> wave = np.sin(np.arange(300) / 5)[:, None]
    >>> detector = SeriesDetector(window=16, steps=20, causal=True, random_state=0).fit(wave[:200])
    >>> stream = Stream(detector.model_)
    >>> [len(stream.push(block)) for block in (wave[200:230], wave[230:])], stream.n_seen
    ([30, 70], 100)
    """

    def __init__(self, model: SeriesModel) -> None:
        self.n_seen = self.longest = 0
        self._model, self._scores = model, model.scorer()
        self._n_whole = 0  # length of the current stretch
        self._fixed = model.decision.threshold
        self._follow: AdaptiveThreshold | None = None
        if model.share is not None:
            from tollad.series.thresholds import AdaptiveThreshold  # imports SciPy, which takes a second

            known = model.decision.calibration_scores
            assert known is not None
            # Calibration scores are sorted, and the first are dropped first. So they are shuffled.
            self._follow = AdaptiveThreshold(np.random.default_rng(0).permutation(known), model.share)
        self._judge = Judge(self._thresholds, trim=model.trims, causal=model.causal)

    def push(self, steps: Floats) -> Judged:
        """Take the next steps, (m, C) with m >= 1; return those that are final, in order.

        A step of NaN cuts the series: no window contains it, and it has no score. Nor have the steps of a stretch that
        is shorter than a window.
        """
        self.n_seen += len(steps)
        broken = np.asarray(np.isnan(steps).any(1))
        if not broken.any():
            return self._judge.push(self._scored(steps))
        ends = np.flatnonzero(np.diff(broken)) + 1
        parts = []
        for begin, end in itertools.pairwise([0, *ends.tolist(), len(steps)]):
            scores = self._cut(end - begin) if broken[begin] else self._scored(steps[begin:end])
            parts.append(self._judge.push(scores))
        return Judged.join(parts)

    def finish(self) -> Judged:
        """Return the steps that are left."""
        return Judged.join([self._judge.push(self._cut(0)), self._judge.finish()])

    def _scored(self, steps: Floats) -> Floats:
        self._n_whole += len(steps)
        self.longest = max(self.longest, self._n_whole)
        return self._scores.push(steps)

    def _cut(self, n_broken: int) -> Floats:
        """Return the scores of the last steps of a stretch that has ended, and NaN for the steps of NaN after it."""
        short = not self._model.causal and self._n_whole < self._model.window
        rest = np.full(self._n_whole, np.nan) if short else self._scores.finish()
        self._scores, self._n_whole = self._model.scorer(), 0
        return np.concatenate([rest, np.full(n_broken, np.nan)])

    def state(self) -> tuple[dict[str, JSON], dict[str, Floats]]:
        """Return what later scores and alarms depend on, as plain values and arrays. Only for causal models."""
        assert isinstance(self._scores, LastScores)
        arrays = {"kept": np.ascontiguousarray(self._scores.kept, np.float64)}
        plain: dict[str, JSON] = {"n_seen": self.n_seen}
        if np.isfinite(self._judge.peak):
            plain |= {"peak": self._judge.peak, "low": self._judge.low}
        if self._follow is not None:
            arrays["recent"] = np.array(self._follow.recent)
            plain |= self._follow.state()
        return plain, arrays

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, Floats]) -> None:
        """Resume from a state."""
        assert isinstance(self._scores, LastScores)
        self.n_seen, self._scores.kept = plain["n_seen"], arrays["kept"]
        self._n_whole = self.longest = len(arrays["kept"])
        self._judge.peak = float(plain.get("peak", -np.inf))
        self._judge.low = float(plain.get("low", self._judge.peak))
        if self._follow is not None:
            self._follow = type(self._follow).resumed(arrays["recent"], self._follow.share, plain)

    def _thresholds(self, scores: Floats) -> Floats:
        return np.full(len(scores), self._fixed) if self._follow is None else self._follow.follow(scores)
