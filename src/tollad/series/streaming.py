"""A series that comes step by step or block by block: the one way in which steps are scored and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io.files import JSON
from tollad.series.events import Judge, Judged
from tollad.series.model import SeriesModel
from tollad.series.thresholds import AdaptiveThreshold
from tollad.series.window import LastScores

Floats: TypeAlias = NDArray[np.float64]


class Stream:
    """Scores and judges successive steps; what it says does not depend on how they are cut into blocks.

    Parameters
    ----------
    model : SeriesModel

    Attributes
    ----------
    n_seen : int
        Steps so far.
    """

    def __init__(self, model: SeriesModel) -> None:
        self.n_seen = 0
        self._scores = model.scorer()
        self._fixed = model.decision.threshold
        self._follow: AdaptiveThreshold | None = None
        if model.share is not None:
            known = model.decision.calibration_scores
            assert known is not None
            # In an order of chance, since the oldest are forgotten first and calibration scores are sorted.
            self._follow = AdaptiveThreshold(np.random.default_rng(0).permutation(known), model.share)
        self._judge = Judge(self._thresholds, trim=model.trims)

    def push(self, steps: Floats) -> Judged:
        """Take the next steps, (m, C) with m >= 1; return those that are settled, in order."""
        self.n_seen += len(steps)
        return self._judge.push(self._scores.push(steps))

    def finish(self) -> Judged:
        """Return the steps that are left; ValueError if a model that is not causal has seen no whole window."""
        return Judged.join([self._judge.push(self._scores.finish()), self._judge.finish()])

    def state(self) -> tuple[dict[str, JSON], dict[str, Floats]]:
        """Return all that later scores and alarms depend on: plain values and arrays. Of causal models only."""
        assert isinstance(self._scores, LastScores)
        arrays = {"kept": np.ascontiguousarray(self._scores.kept, np.float64)}
        plain: dict[str, JSON] = {"n_seen": self.n_seen}
        if self._follow is not None:
            arrays["recent"] = np.array(self._follow.recent)
            plain |= self._follow.state()
        return plain, arrays

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, Floats]) -> None:
        """Go on from a state."""
        assert isinstance(self._scores, LastScores)
        self.n_seen, self._scores.kept = plain["n_seen"], arrays["kept"]
        if self._follow is not None:
            self._follow = AdaptiveThreshold.resumed(arrays["recent"], self._follow.share, plain)

    def _thresholds(self, scores: Floats) -> Floats:
        return np.full(len(scores), self._fixed) if self._follow is None else self._follow.follow(scores)


def judge(model: SeriesModel, values: Floats) -> Judged:
    """Score and judge all time steps of a series, (T, C)."""
    stream = Stream(model)
    return Judged.join([stream.push(values), stream.finish()])
