"""The decisions of a detector of series: p-values from scores of time steps, and the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from tollad.calibration import Decision, overlap
from tollad.series.fitting import TrainingSteps
from tollad.series.model import SeriesModel
from tollad.series.steps import Steps, long_enough
from tollad.series.window import windows

Floats: TypeAlias = NDArray[np.float64]


class StepDecisionMixin:
    """p-values, calibration and the threshold of a detector of series, from its `anomaly_score` and its `model_`."""

    model_: SeriesModel
    contamination: float
    false_alarm_rate: float | str | None

    def anomaly_score(self, X: Any, *, group: str | ArrayLike | None = None) -> Floats:
        """Return the anomaly score of each time step: (T,), high = anomalous."""
        raise NotImplementedError

    def _steps(self, X: Any, group: str | ArrayLike | None) -> Steps:
        raise NotImplementedError

    def p_value(self, X: ArrayLike, *, group: str | ArrayLike | None = None) -> Floats:
        """Return the conformal p-value of each time step by the held-out scores: (T,), NaN where there is no score.

        Neighbouring steps are not exchangeable, so it is an estimate without a guarantee.

        Parameters
        ----------
        X, group
            As in `anomaly_score`.

        Raises
        ------
        ValueError
            As `anomaly_score`.
        """
        steps, scores = self._steps(X, group), self.anomaly_score(X, group=group)
        for name, rows in steps.by_group():
            known = rows[np.isfinite(scores[rows])]
            scores[known] = self.model_.of(name).decision.p_values(scores[known])
        return scores

    def calibrate(
        self,
        X: ArrayLike,
        *,
        group: str | ArrayLike | None = None,
        false_alarm_rate: float | None = None,
        tail: bool = False,
    ) -> Self:
        """Calibrate a fitted detector on a normal series that it was not trained on.

        Parameters
        ----------
        X, group
            As in `anomaly_score`.
        false_alarm_rate : float in (0, 1), optional
            Places the threshold; by default it stays.
        tail : bool, default False
            As in `TollDetector.set_threshold`.

        Raises
        ------
        ValueError
            If the steps were trained on, or the rate needs more of them.

        Warns
        -----
        UserWarning
            If there are few steps for the rate.
        """
        steps = self._steps(X, group)
        part = TrainingSteps(steps, np.ones(len(steps.values), np.bool_))
        return self.calibrate_part(part, false_alarm_rate=false_alarm_rate, tail=tail)

    def calibrate_part(self, part: TrainingSteps, *, false_alarm_rate: float | None = None, tail: bool = False) -> Self:
        """Calibrate on `part`, the series of a file; other parameters, errors and warnings as of `calibrate`."""
        by_group = long_enough(part.stretches(self.model_.gaps), self.model_.window, part.path)
        asked: dict[str, Any] = {"false_alarm_rate": false_alarm_rate, "tail": tail}
        own = dict(self.model_.own)
        for name in [name for name in own if name in by_group]:
            own[name] = _calibrated(own[name], by_group.pop(name), **asked)
        rest = [piece for found in by_group.values() for piece in found]
        self.model_ = replace(_calibrated(self.model_, rest, **asked) if rest else self.model_, own=own)
        return self

    def set_threshold(
        self,
        *,
        contamination: float | None = None,
        false_alarm_rate: float | None = None,
        anomaly_score: float | None = None,
        tail: bool = False,
    ) -> Self:
        """Move the threshold without training. Give one of the three.

        Parameters
        ----------
        contamination : float in (0, 0.5], optional
            As the parameter of this name.
        false_alarm_rate : float in (0, 1), optional
            As the parameter of this name, but only a share of the steps; a number of false stretches needs a fit.
        anomaly_score : float, optional
            Steps with a higher score are anomalous.
        tail : bool, default False
            Whether to extrapolate a `false_alarm_rate` that the steps are too few for, see `calibrate`.

        Raises
        ------
        ValueError
            For a value out of range, or a rate that needs more steps.

        Warns
        -----
        UserWarning
            If there are few held-out steps for the rate.
        """
        check_is_fitted(self)
        self.model_ = self.model_.with_threshold(contamination, false_alarm_rate, anomaly_score, tail=tail)
        if contamination is not None:
            self.contamination = contamination
        if false_alarm_rate is not None and not tail:
            self.false_alarm_rate = false_alarm_rate
        return self

    @property
    def decision_(self) -> Decision:
        """The threshold of time steps, and the scores of held-out steps by which it was placed."""
        return self.model_.decision

    @property
    def calibration_scores_(self) -> Floats:
        """Scores of held-out normal steps, ascending."""
        assert self.decision_.calibration_scores is not None
        return self.decision_.calibration_scores

    @property
    def threshold_(self) -> float:
        """Steps with a higher score raise an alarm, unless the threshold is adaptive."""
        return self.decision_.threshold


def _calibrated(
    fitted: SeriesModel, stretches: Sequence[Floats], *, false_alarm_rate: float | None, tail: bool
) -> SeriesModel:
    """Return the model with the scores of normal stretches, (T_i, C), in place of the held-out ones."""
    known = np.unique(fitted.detector.training_scores_)
    cut = [fitted.score_windows(windows(piece, fitted.window, fitted.stride)) for piece in stretches]
    scores = np.concatenate(fitted.known_scores(stretches))
    # Models of the first version hold scores of training steps, not of windows.
    if any(overlap(np.unique(found), known) for found in (np.concatenate(cut), scores)):
        raise ValueError(
            "calibration series: more than half of the time steps have exactly the score of one that was trained "
            "on; give a normal series that was not"
        )
    decision = fitted.decision.calibrated(scores, false_alarm_rate=false_alarm_rate, tail=tail)
    model = replace(fitted, decision=decision)
    if false_alarm_rate is not None and not tail:
        model.warn_if_few(false_alarm_rate)
    return model
