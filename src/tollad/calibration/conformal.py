"""Thresholds, p-values and the false discovery rate, from the scores of held-out normal rows.

The guarantees of `threshold`, `p_values` and `benjamini_hochberg` hold for any distribution of the scores if the
calibration rows and the new normal rows are exchangeable. High score = anomalous everywhere.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
import scipy  # its parts are imported at their first use: scipy.stats takes a second
from numpy.typing import ArrayLike, NDArray

from tollad.calibration.checks import Floats, calibration_scores_of, check_rate, finite_scores

LEAST_TAIL_ROWS = 354
"""A fit of the tail needs as many rows: the least n with n ** (2 / 3) >= 50."""
FURTHEST = 10
"""In units of 1 / (n + 1). Below it the true rate of a tail is off by orders of magnitude (docs/thresholds.md)."""

ThresholdRule: TypeAlias = Literal["contamination", "false_alarm_rate", "tail", "anomaly_score"]

# A row with the score of a training row is most likely that row. In tables of few values some scores are equal by
# chance, so only more than this share of equal scores counts.
_MOST_OVERLAP = 0.5


def p_values(calibration_scores: ArrayLike, scores: ArrayLike) -> Floats:
    """Split-conformal p-values: ``(1 + #{calibration scores >= score}) / (n + 1)``, in [1 / (n + 1), 1].

    A normal row exchangeable with the calibration rows has a p-value of at most t with probability at most t, for every
    t, on average over calibration sets. Ties count against an alarm.

    Parameters
    ----------
    calibration_scores : array-like of float, (n,)
        Scores of n >= 1 normal rows on which the detector was not trained.
    scores : array-like of float, (m,)

    Returns
    -------
    p_values : array of float64, (m,)

    Raises
    ------
    ValueError
        If scores are not one-dimensional or not finite, or there is no calibration score.

    Examples
    --------
    >>> p_values([1.0, 2.0, 2.0, 5.0], [0.0, 2.0, 6.0])
    array([1. , 0.8, 0.2])
    """
    calibration = np.sort(calibration_scores_of(calibration_scores))
    n_below = np.searchsorted(calibration, finite_scores(scores, "scores"), side="left")
    return (1.0 + len(calibration) - n_below) / (len(calibration) + 1)


def threshold(calibration_scores: ArrayLike, false_alarm_rate: float) -> float:
    """Return the threshold such that ``score > threshold`` is exactly ``p_value <= false_alarm_rate``.

    Parameters
    ----------
    calibration_scores : array-like of float, (n,)
        As in `p_values`.
    false_alarm_rate : float, in [1 / (n + 1), 1)
        Bound on the probability that a normal row raises an alarm, on average over calibration sets.

    Returns
    -------
    threshold : float
        The k-th largest calibration score, where k / (n + 1) is the largest p-value that raises an alarm.

    Raises
    ------
    ValueError
        If the rate is not in (0, 1) or is below 1 / (n + 1), which needs `rows_needed` rows; or as in `p_values`.

    Examples
    --------
    >>> threshold(range(99), 0.05)
    94.0
    """
    calibration = np.sort(calibration_scores_of(calibration_scores))
    n = len(calibration)
    check_n_rows(false_alarm_rate, n)
    # Computed from the same quotients as `p_values`: floor(rate * (n + 1)) may round differently.
    n_alarms = np.count_nonzero(np.arange(1, n + 1) / (n + 1) <= false_alarm_rate)
    return float(calibration[n - n_alarms])


def check_n_rows(false_alarm_rate: float, n: int) -> None:
    """Raise ValueError if n calibration rows are fewer than a rate in (0, 1) needs, see `rows_needed`."""
    n_needed = rows_needed(false_alarm_rate)
    if n < n_needed:
        may = n >= LEAST_TAIL_ROWS and false_alarm_rate * (n + 1) * FURTHEST >= 1
        raise ValueError(
            f"a false alarm rate of {false_alarm_rate} needs {n_needed:,} calibration rows, not {n:,}; "
            f"calibrate on more rows{',' if may else ' or'} ask for a rate of {1 / (n + 1):.3g} or more"
            f"{', or extrapolate: calibrate with tail=True' if may else ''}"
        )


def rows_needed(false_alarm_rate: float) -> int:
    """Return the least number n of calibration rows for a rate: 1 / (n + 1) must not exceed it.

    Parameters
    ----------
    false_alarm_rate : float, in (0, 1)

    Raises
    ------
    ValueError
        If the rate is not in (0, 1).

    Examples
    --------
    >>> rows_needed(0.001)
    999
    """
    check_rate(false_alarm_rate, "false_alarm_rate")
    n = math.ceil(1 / Fraction(float(false_alarm_rate))) - 1
    # P-values are compared as floats: 1 / n may be a little more than the rate and still be rounded to it.
    return n - 1 if 1 / n <= false_alarm_rate else n


def overlap(calibration_scores: ArrayLike, training_scores: ArrayLike) -> bool:
    """Return whether calibration rows seem to be training rows: more than half have the score of a training row.

    False where most training rows share their scores with each other, as in a table of a few categories: there, equal
    scores prove nothing. Scores are compared up to rounding.

    Parameters
    ----------
    calibration_scores, training_scores : array-like of float, (m,) and (n,)

    Raises
    ------
    ValueError
        If scores are not one-dimensional or not finite, or there is no calibration score.

    Examples
    --------
    >>> overlap([1.0, 2.0, 2.5], training_scores=[1.0, 1.5, 2.0])
    True
    >>> overlap([1.0, 2.0, 2.0], training_scores=[1.0, 1.0, 2.0, 2.0])
    False
    """
    scores = calibration_scores_of(calibration_scores)
    trained = np.sort(finite_scores(training_scores, "training_scores"))
    after = np.searchsorted(trained, scores).clip(0, len(trained) - 1)
    found = _same(scores, trained[after]) | _same(scores, trained[(after - 1).clip(0)])
    equals_next = _same(trained[1:], trained[:-1])
    shared = np.append(equals_next, False) | np.append(False, equals_next)
    return bool(found.mean() > _MOST_OVERLAP >= shared.mean())


def benjamini_hochberg(p_values: ArrayLike, fdr: float) -> NDArray[np.bool_]:
    """Choose alarms among many rows, of which a share of at most `fdr` is false on average.

    Conformal p-values share one calibration set and so depend on each other, but in the way that this procedure allows
    (PRDS), if scores have no ties: Bates, Candès, Lei, Romano and Sesia, "Testing for outliers with conformal
    p-values", Annals of Statistics 51 (2023). A row's alarm depends on the rows that it is tested with. To raise r
    alarms among m rows, a p-value must reach ``fdr * r / m``, which takes ``m / (fdr * r) - 1`` calibration rows.

    Parameters
    ----------
    p_values : array-like of float in [0, 1], (m,)
    fdr : float, in (0, 1)
        Bound on the false discovery rate: the mean of (false alarms / alarms), which is 0 where there is no alarm.

    Returns
    -------
    alarms : array of bool, (m,)

    Raises
    ------
    ValueError
        If `fdr` is not in (0, 1), or the p-values are not one-dimensional or not in [0, 1].

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, 0.04, 0.6], fdr=0.05)
    array([ True,  True, False, False])
    """
    check_rate(fdr, "fdr")
    values = finite_scores(p_values, "p_values")
    if np.any((values < 0) | (values > 1)):
        raise ValueError("p_values must lie in [0, 1]")
    return np.asarray(scipy.stats.false_discovery_control(values, method="bh") <= fdr)


def _same(some: Floats, others: Floats) -> NDArray[np.bool_]:
    return np.isclose(some, others, rtol=1e-9, atol=0.0)
