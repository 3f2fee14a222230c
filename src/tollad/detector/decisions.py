"""The decisions of every detector: labels, p-values and alarms from scores, and the threshold."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision, ThresholdRule


def check_fitted(detector: Any) -> None:
    """Raise scikit-learn's NotFittedError for a detector that is not fitted. Only then scikit-learn is imported."""
    if not hasattr(detector, "decision_"):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"This {type(detector).__name__} instance is not fitted yet: call its method fit first")


class DecisionMixin:
    """Labels, p-values and alarms of a detector, from its `anomaly_score` and its `decision_`."""

    decision_: Decision
    contamination: float
    false_alarm_rate: float | None

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Return the anomaly score of each sample of `X`, as in `fit`: (n,), high = anomalous."""
        raise NotImplementedError

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return ``-anomaly_score(X)``, as scikit-learn has it: (n,), low = anomalous."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return ``score_samples(X) - offset_``: (n,), negative = anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return -1 for anomalies and +1 for normal samples of `X`, as in `fit`: (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_value(self, X: Any) -> NDArray[np.float64]:
        """Return the conformal p-value of each row of `X`, (n,): how often a normal row scores as high or higher.

        It is ``(1 + #{calibration scores >= score}) / (n_calibration + 1)``. Among rows exchangeable with the
        calibration rows, on average a share of at most alpha has a p-value of at most alpha, whatever the data are.

        Raises
        ------
        ValueError
            Without calibration rows.
        """
        scores = self.anomaly_score(X)
        return self.decision_.p_values(scores)

    def alarms(self, X: Any, *, fdr: float = 0.05) -> NDArray[np.bool_]:
        """Return which rows of one batch are anomalous, so that only a share `fdr` of these are false alarms.

        Parameters
        ----------
        X : array-like
            Rows shaped as in `fit`, tested together (Benjamini-Hochberg on conformal p-values).
        fdr : float in (0, 1), default 0.05
            False discovery rate: at most this share of the alarms is false, on average.

        Returns
        -------
        ndarray of bool, (n,)

        Raises
        ------
        ValueError
            For a rate out of range, or without calibration rows.
        """
        scores = self.anomaly_score(X)
        return self.decision_.alarms(scores, fdr)

    def calibrate(self, X: Any, *, false_alarm_rate: float | None = None, tail: bool = False) -> Self:
        """Calibrate a fitted detector on normal rows that it was not trained on.

        Parameters
        ----------
        X : array-like
            Normal rows, shaped as in `fit`. They replace those of an earlier calibration.
        false_alarm_rate : float in (0, 1), optional
            Places the threshold, as in `set_threshold`. By default the parameter of this name; if that is None, the
            threshold stays.
        tail : bool, default False
            As in `set_threshold`.

        Raises
        ------
        ValueError
            If the rate needs more rows, or the rows were trained on.
        """
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        scores = self.anomaly_score(X)
        if self.decision_.overlaps(scores):
            raise ValueError(
                "calibration rows: more than half have exactly the score of a training row; "
                "give normal rows that were not trained on"
            )
        self.decision_ = self.decision_.calibrated(scores, false_alarm_rate=rate, tail=tail)
        if rate is not None and not tail:
            self.false_alarm_rate = rate
        return self

    def set_threshold(
        self,
        *,
        contamination: float | None = None,
        false_alarm_rate: float | None = None,
        anomaly_score: float | None = None,
        tail: bool = False,
    ) -> Self:
        """Move the threshold without training. Give exactly one of the first three parameters.

        Parameters
        ----------
        contamination : float in (0, 0.5], optional
            Share of the training rows to call anomalous. It replaces the parameter of this name.
        false_alarm_rate : float in (0, 1), optional
            Share of new normal rows to call anomalous, at most and on average, by the scores of the calibration rows.
            It replaces the parameter of this name, unless `tail` is set.
        anomaly_score : float, optional
            Rows with a higher score are called anomalous.
        tail : bool, default False
            Whether to extrapolate for a `false_alarm_rate` below 1 / (n + 1), which n calibration rows cannot
            guarantee. The result is an estimate, see `tollad.calibration.fit_tail`, and `threshold_rule_` says "tail".

        Raises
        ------
        ValueError
            For a value out of range; for a rate without calibration rows, or one that needs more of them.
        """
        check_fitted(self)
        self.decision_ = self.decision_.with_threshold(
            contamination=contamination, false_alarm_rate=false_alarm_rate, anomaly_score=anomaly_score, tail=tail
        )
        rule, value = self.decision_.rule
        if rule in ("contamination", "false_alarm_rate"):
            setattr(self, rule, value)
        return self

    @property
    def offset_(self) -> float:
        """``decision_function = score_samples - offset_``."""
        return self.decision_.offset

    @property
    def threshold_rule_(self) -> tuple[ThresholdRule, float]:
        """The rule that placed `offset_`, and its value.

        ``("contamination", share)``, ``("false_alarm_rate", rate)``, ``("tail", rate)`` if the rate is extrapolated
        beyond the calibration rows, or ``("anomaly_score", score)``.
        """
        return self.decision_.rule

    @property
    def training_scores_(self) -> NDArray[np.float64]:
        """Anomaly scores of the training rows: (n,)."""
        return self.decision_.training_scores

    @property
    def calibration_scores_(self) -> NDArray[np.float64]:
        """Anomaly scores of the rows held out, ascending; only with `false_alarm_rate` or after `calibrate`."""
        if self.decision_.calibration_scores is None:
            raise AttributeError("there are no calibration rows: set false_alarm_rate before the fit, or calibrate")
        return self.decision_.calibration_scores
