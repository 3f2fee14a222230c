"""Decision: a threshold and p-values, from the scores of normal rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.calibration.checks import Floats, check_number, check_share, finite_scores
from tollad.calibration.conformal import ThresholdRule, benjamini_hochberg, overlap, p_values, threshold
from tollad.calibration.tail import fit_tail
from tollad.warn import warn


@dataclass(frozen=True, eq=False)
class Decision:
    """A threshold, the rule that set it, and the scores of normal rows from which it was set.

    Ties count as normal: a row is an anomaly only if its score lies above the threshold, and calibration rows with the
    same score raise its p-value. A decision never changes; its methods return a new one.

    Attributes
    ----------
    offset : float
        The negative of the threshold, as scikit-learn has it.
    rule : (str, float)
        The rule that set the threshold: ``("contamination", share)``, ``("false_alarm_rate", rate)``, ``("tail",
        rate)`` if the rate is extrapolated beyond the calibration scores, or ``("anomaly_score", score)``.
    training_scores : ndarray of float64, (n,)
        Scores of the rows that were trained on.
    calibration_scores : ndarray of float64, (m,), or None
        Scores of normal rows that were not trained on, ascending.

    Examples
    --------
    >>> decision = Decision.learn([1.0, 2.0, 3.0, 9.0], contamination=0.25)
    >>> decision.threshold, decision.is_anomaly([6.0, 6.5]).tolist()
    (6.0, [False, True])
    >>> decision = decision.calibrated([1.0, 2.0, 4.0], false_alarm_rate=0.25)
    >>> decision.threshold, decision.p_values([4.0, 5.0]).tolist()
    (4.0, [0.5, 0.25])
    """

    offset: float
    rule: tuple[ThresholdRule, float]
    training_scores: Floats
    calibration_scores: Floats | None = None

    @classmethod
    def learn(
        cls,
        training_scores: ArrayLike,
        *,
        contamination: float,
        false_alarm_rate: float | None = None,
        calibration_scores: ArrayLike | None = None,
    ) -> Decision:
        """Return the decision after a fit.

        Parameters
        ----------
        training_scores : array-like of float, (n,)
        contamination : float in (0, 0.5]
            Share of the training rows that may lie above the threshold; ignored if there is a `false_alarm_rate`.
        false_alarm_rate : float in (0, 1), optional
            Share of new normal rows that may lie above it, by `calibration_scores`.
        calibration_scores : array-like of float, (m,), optional
            Of rows that were held out, in any order.

        Raises
        ------
        ValueError
            For a share out of range, or a rate that needs more calibration scores.

        Warns
        -----
        UserWarning
            If ties among the training scores leave fewer of them above the threshold than `contamination` asks for.
        """
        scores = finite_scores(training_scores, "training_scores")
        calibration = None if calibration_scores is None else np.sort(np.asarray(calibration_scores, np.float64))
        start = cls(0.0, ("anomaly_score", 0.0), scores, calibration)
        if false_alarm_rate is None:
            return start.with_threshold(contamination=contamination)
        return start.with_threshold(false_alarm_rate=false_alarm_rate)

    @property
    def threshold(self) -> float:
        """Rows with a score above this are anomalies."""
        return -self.offset

    def is_anomaly(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return which of the `scores`, (m,), lie above the threshold: (m,)."""
        return np.asarray(scores) > self.threshold

    def p_values(self, scores: ArrayLike) -> Floats:
        """Return the conformal p-value of each of the `scores`, (m,), see `tollad.calibration.p_values`: (m,).

        Raises
        ------
        ValueError
            Without calibration scores.
        """
        return p_values(self._calibration(), scores)

    def alarms(self, scores: ArrayLike, fdr: float) -> NDArray[np.bool_]:
        """Return which of the `scores`, (m,), tested together, raise an alarm at a false discovery rate `fdr`: (m,).

        Raises
        ------
        ValueError
            For a rate out of range, or without calibration scores.
        """
        return benjamini_hochberg(self.p_values(scores), fdr)

    def overlaps(self, scores: ArrayLike) -> bool:
        """Return whether the `scores`, (m,), seem to be those of training rows, see `tollad.calibration.overlap`."""
        return overlap(scores, self.training_scores)

    def calibrated(self, scores: ArrayLike, *, false_alarm_rate: float | None = None, tail: bool = False) -> Decision:
        """Return the decision with other calibration scores, which replace its own.

        Parameters
        ----------
        scores : array-like of float, (m,)
            Of normal rows that were not trained on, see `overlaps`.
        false_alarm_rate, tail
            As in `with_threshold`; without a rate the threshold stays.

        Raises
        ------
        ValueError
            If the rate needs more rows.
        """
        new = replace(self, calibration_scores=np.sort(finite_scores(scores, "calibration_scores")))
        if false_alarm_rate is None and not tail:
            return new
        return new.with_threshold(false_alarm_rate=false_alarm_rate, tail=tail)

    def with_threshold(
        self,
        *,
        contamination: float | None = None,
        false_alarm_rate: float | None = None,
        anomaly_score: float | None = None,
        tail: bool = False,
    ) -> Decision:
        """Return the decision with another threshold. Give exactly one of the first three parameters.

        Parameters
        ----------
        contamination : float in (0, 0.5], optional
            ``round(contamination * n)`` of the training scores will lie above the threshold. Equal scores lie above it
            together or not at all. If they would be too many, they do not, and a warning says so.
        false_alarm_rate : float in (0, 1), optional
            Highest share of new normal rows above the threshold, on average, by the calibration scores.
        anomaly_score : float, optional
            The threshold itself.
        tail : bool, default False
            Whether to extrapolate a `false_alarm_rate` beyond the calibration scores. That is an estimate without
            guarantee, see `tollad.calibration.fit_tail`.

        Raises
        ------
        ValueError
            For a value out of range; for a rate without calibration scores, or one that needs more of them.
        """
        if tail and false_alarm_rate is None:
            raise ValueError("tail=True extrapolates a false-alarm rate; give false_alarm_rate")
        rules: dict[ThresholdRule, float | None] = {
            "contamination": contamination,
            "tail" if tail else "false_alarm_rate": false_alarm_rate,
            "anomaly_score": anomaly_score,
        }
        given = [(rule, value) for rule, value in rules.items() if value is not None]
        if len(given) != 1:
            raise ValueError("a threshold needs exactly one of contamination, false_alarm_rate and anomaly_score")
        ((rule, value),) = given
        new = replace(self, offset=self._placed(rule, value), rule=(rule, float(value)))
        if rule == "contamination":
            _warn_of_ties(self.training_scores, value)
        return new

    def check(self) -> None:
        """Raise ValueError or TypeError for values that no decision can have. Values from a file may be anything."""
        for name, scores in (("training", self.training_scores), ("calibration", self.calibration_scores)):
            if scores is not None and (scores.dtype != np.float64 or not len(finite_scores(scores, f"{name} scores"))):
                raise ValueError(f"{name} scores that are not float64, or none at all")
        if self.calibration_scores is not None and (np.diff(self.calibration_scores) < 0).any():
            raise ValueError("calibration scores that are not sorted")
        check_number(self.offset, "offset")
        rule, value = self.rule
        if rule not in get_args(ThresholdRule):
            raise ValueError(f"unknown rule {rule!r:.40} of the threshold")
        check_number(value, rule)
        if not math.isclose(self.offset, self._placed(rule, value), rel_tol=1e-6):
            raise ValueError(f"a threshold that differs from that of its rule, {rule}")

    def _placed(self, rule: ThresholdRule, value: float) -> float:
        """Return the offset that a rule sets."""
        if rule == "contamination":
            check_share(value, rule)
            return _offset(self.training_scores, value)
        if rule == "anomaly_score":
            check_number(value, rule)
            return -float(value)
        if rule == "tail":
            return -fit_tail(self._calibration()).threshold(value)
        return -threshold(self._calibration(), value)

    def _calibration(self) -> Floats:
        if self.calibration_scores is None:
            raise ValueError(
                "p-values and false-alarm rates need normal rows that were not trained on: set false_alarm_rate before "
                "the fit, or call calibrate(X_normal)"
            )
        return self.calibration_scores


def _offset(training_scores: Floats, contamination: float) -> float:
    """Return the offset that has ``round(contamination * n)`` of the training rows below it, or fewer if some tie."""
    samples = np.sort(-training_scores)
    asked = round(contamination * len(samples))
    if not asked:
        return float(np.nextafter(samples[0], -np.inf))
    last, first = samples[asked - 1], samples[asked]
    middle = last / 2 + first / 2
    return float(middle if middle > last else first)


def _warn_of_ties(training_scores: Floats, contamination: float) -> None:
    """Warn if fewer rows lie above the threshold than are asked for."""
    samples = np.sort(-training_scores)
    asked = round(contamination * len(samples))
    if not asked or samples[asked - 1] < samples[asked]:
        return
    below, through = (int(np.searchsorted(samples, samples[asked], side)) for side in ("left", "right"))
    warn(
        f"contamination={contamination:g} asks for {asked:,} of {len(samples):,} training rows to be called "
        f"anomalous, and {below:,} are: {through - below:,} rows at the threshold have the same score; "
        f"{_remedy(through, len(samples))}"
    )


def _remedy(through: int, n: int) -> str:
    """Say how to have rows that tie at the threshold called anomalous."""
    share = -(-1000 * through // n) / 1000
    return f"contamination={share:g} would take them in" if share <= 0.5 else "set the threshold by a score"
