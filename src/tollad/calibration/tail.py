"""Thresholds beyond the calibration rows: a tail fitted to their highest scores, an estimate without guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import scipy  # its parts are imported at their first use: scipy.stats takes a second
from numpy.typing import ArrayLike

from tollad.calibration.checks import Floats, calibration_scores_of, check_rate, finite_scores
from tollad.calibration.conformal import FURTHEST, LEAST_TAIL_ROWS, p_values, rows_needed

# Below 50 exceedances the standard error of the shape, about (1 + shape) / sqrt(50), is 0.14 and more: Gaussian,
# exponential and heavy tails cannot be told apart. Above 1,000 the fit reaches rows where the tail is not Pareto yet.
_LEAST_EXCEEDANCES, _MOST_EXCEEDANCES = 50, 1000
_N_BOOTSTRAP = 199
_LEAST_GOODNESS = 0.01


@dataclass(frozen=True, eq=False)
class TailFit:
    """A generalised Pareto tail of calibration scores, made by `fit_tail`: an extrapolation, not a guarantee.

    Attributes
    ----------
    n_rows : int
        Calibration rows, n.
    n_exceedances : int
        Calibration rows with scores above `start`; the distribution is fitted to these alone.
    start : float
        Score from which the tail is fitted.
    shape, scale : float
        P(score > start + y | score > start) is ``(1 + shape * y / scale) ** (-1 / shape)``. A shape of 0 is an
        exponential tail, below 0 the tail ends, above 0 it is heavy. The shape is below 1.
    shape_error : float
        Standard error of the shape, by parametric bootstrap.
    goodness : float
        p-value of the fit by the Anderson-Darling statistic, from the same bootstrap; above 0.01.

    Examples
    --------
    >>> fit = fit_tail(np.random.default_rng(0).exponential(size=2000))
    >>> fit.n_rows, fit.n_exceedances, round(fit.shape, 2)
    (2000, 158, 0.05)
    >>> fit.least_rate < 1e-4 < 1 / (fit.n_rows + 1)
    True
    """

    n_rows: int
    n_exceedances: int
    start: float
    shape: float
    scale: float
    shape_error: float
    goodness: float
    _scores: Floats = field(repr=False)
    _draws: Floats = field(repr=False)

    @property
    def least_rate(self) -> float:
        """The lowest rate that the fit allows, 1 / (10 (n + 1)); lower ones are refused."""
        return 1 / (FURTHEST * (self.n_rows + 1))

    def threshold(self, false_alarm_rate: float) -> float:
        """Estimate the score that a normal row exceeds with the given probability.

        The threshold is never below the largest calibration score. So alarms at rates near 1 / (n + 1) are rarer than
        asked for.

        Parameters
        ----------
        false_alarm_rate : float, in [1 / (10 (n + 1)), 1 / (n + 1))

        Raises
        ------
        ValueError
            If the rate is below `least_rate`, or at least 1 / (n + 1), where `tollad.calibration.threshold` applies.
        """
        self._check(false_alarm_rate)
        return max(float(self._quantile(false_alarm_rate, self.shape, self.scale)), float(self._scores[-1]))

    def interval(self, false_alarm_rate: float) -> tuple[float, float]:
        """Return a 90 % bootstrap interval for ``threshold(false_alarm_rate)``: its ends, in units of the scores.

        It ignores the bias of a tail that is not Pareto yet. Errors as in `threshold`.
        """
        self._check(false_alarm_rate)
        low, high = np.quantile(self._quantile(false_alarm_rate, *self._draws), [0.05, 0.95])
        return float(low), float(high)

    def p_values(self, scores: ArrayLike) -> Floats:
        """Return p-values of scores, (m,): those of `p_values`, but estimates beyond the largest calibration score.

        P-values below 1 / (n + 1) are extrapolated, all others are exact. None is below `least_rate`.
        """
        values = finite_scores(scores, "scores")
        conformal = p_values(self._scores, values)
        beyond = self._share * scipy.stats.genpareto.sf(values - self.start, self.shape, scale=self.scale)
        extrapolated = np.clip(beyond, self.least_rate, conformal)
        return np.where(values > self._scores[-1], extrapolated, conformal)

    def describe(self, false_alarm_rate: float) -> str:
        """Return a sentence with ``threshold(false_alarm_rate)`` and how sure it is; errors as in `threshold`."""
        low, high = self.interval(false_alarm_rate)
        return (
            f"threshold {self.threshold(false_alarm_rate):.4g} for a false alarm rate of {false_alarm_rate:g}, "
            f"extrapolated from {self.n_rows:,} rows by a generalised Pareto tail ({self.n_exceedances:,} exceedances, "
            f"shape {self.shape:.2f} ± {self.shape_error:.2f}, 90% interval {low:.4g} to {high:.4g}); not a guarantee"
        )

    @property
    def _share(self) -> float:
        """The p-value of a score just above `start`."""
        return (self.n_exceedances + 1) / (self.n_rows + 1)

    def _quantile(self, rate: float, shape: float | Floats, scale: float | Floats) -> Floats:
        return np.asarray(self.start + scale * scipy.special.boxcox(self._share / rate, shape))

    def _check(self, rate: float) -> None:
        check_rate(rate, "false_alarm_rate")
        n = self.n_rows
        if rate >= 1 / (n + 1):
            raise ValueError(
                f"a false alarm rate of {rate} needs no extrapolation from {n:,} rows; leave out tail=True"
            )
        if rate < self.least_rate:
            raise ValueError(
                f"a false alarm rate of {rate} is below {self.least_rate:.3g}, the least that {n:,} rows can tell of; "
                f"calibrate on {rows_needed(FURTHEST * rate):,} rows or more"
            )


def fit_tail(calibration_scores: ArrayLike) -> TailFit:
    """Fit a generalised Pareto distribution to the largest scores, for false alarm rates below 1 / (n + 1).

    The ``min(n ** (2/3), 1000)`` largest scores are fitted by the estimator of Zhang and Stephens ("A new and efficient
    estimation method for the generalized Pareto distribution", Technometrics 51, 2009), which exists for every sample
    and never ends the tail before the largest score. Tails become Pareto only in the limit, so thresholds are biased:
    too low for Gaussian-like tails, too high for lognormal ones. The fit fails where the rarest normal rows are of
    another kind than the top few per cent: no calibration row shows them.

    Parameters
    ----------
    calibration_scores : array-like of float, (n,)
        As in `p_values`, n >= 354, for 50 exceedances.

    Returns
    -------
    fit : TailFit

    Raises
    ------
    ValueError
        If there are fewer than 354 scores or 50 different exceedances, if the tail is too heavy to have a mean, or if
        a generalised Pareto distribution does not fit; or as in `p_values`.

    Examples
    --------
    >>> import numpy as np
    >>> fit = fit_tail(np.random.default_rng(0).exponential(size=2000))
    >>> print(f"{fit.threshold(1 / 10_000):.1f}; in truth {np.log(10_000):.1f}")
    10.7; in truth 9.2
    """
    scores = np.sort(calibration_scores_of(calibration_scores))
    n = len(scores)
    if n < LEAST_TAIL_ROWS:
        raise ValueError(
            f"a tail fit needs {LEAST_TAIL_ROWS} calibration rows, not {n}: fewer leave too few exceedances"
        )
    start = scores[n - 1 - min(int(n ** (2 / 3)), _MOST_EXCEEDANCES)]
    excesses = scores[scores > start] - start
    n_different = len(np.unique(excesses))
    if n_different < _LEAST_EXCEEDANCES:
        raise ValueError(
            f"a tail fit needs {_LEAST_EXCEEDANCES} different scores above {start:.6g}, not {n_different}; "
            "these scores are rounded or repeat"
        )
    shape, scale = _zhang_stephens(excesses[None])[:, 0]
    if not shape < 1:
        raise ValueError(f"the tail of the scores is too heavy to extrapolate: its shape is {shape:.2f}, not below 1")
    rng = np.random.default_rng(0)
    samples = scale * scipy.special.boxcox(1 / rng.random((_N_BOOTSTRAP, len(excesses))), shape)
    samples.sort(axis=1)
    draws = _zhang_stephens(samples)
    misfit = _anderson_darling(excesses[None], shape, scale)
    by_chance = _anderson_darling(samples, *draws[:, :, None])
    goodness = (1 + np.count_nonzero(by_chance >= misfit)) / (_N_BOOTSTRAP + 1)
    if goodness <= _LEAST_GOODNESS:
        raise ValueError(
            f"no generalised Pareto tail fits the {len(excesses):,} largest scores (goodness of fit "
            f"p = {goodness:.3f}); look for anomalies or repeated rows among the calibration rows"
        )
    return TailFit(
        n_rows=n,
        n_exceedances=len(excesses),
        start=float(start),
        shape=float(shape),
        scale=float(scale),
        shape_error=float(draws[0].std()),
        goodness=float(goodness),
        _scores=scores,
        _draws=draws,
    )


def _zhang_stephens(excesses: Floats) -> Floats:
    """Return shapes and scales, (2, r), of r samples of sorted excesses, (r, k): a posterior mean over a grid."""
    k = excesses.shape[1]
    n_grid = 30 + int(math.sqrt(k))  # the article has 20 + sqrt(k); finer, it costs little
    quartile = excesses[:, int(k / 4 + 0.5) - 1, None]
    j = np.arange(1, n_grid + 1)
    theta = 1 / excesses[:, -1:] + (1 - np.sqrt(n_grid / (j - 0.5))) / (3 * quartile)  # -shape / scale
    shapes = np.stack([np.log1p(-t[:, None] * excesses).mean(1) for t in theta.T], axis=1)
    log_likelihood = k * (np.log(-theta / shapes) - shapes - 1)
    mean = (scipy.special.softmax(log_likelihood, axis=1) * theta).sum(1)
    shape = np.log1p(-mean[:, None] * excesses).mean(1)
    return np.stack([shape, -shape / mean])


def _anderson_darling(excesses: Floats, shape: Floats, scale: Floats) -> Floats:
    """Return the Anderson-Darling statistic, (r,), of r samples of sorted excesses, (r, k)."""
    k = excesses.shape[1]
    log_cdf = np.asarray(scipy.stats.genpareto.logcdf(excesses, shape, scale=scale))
    log_sf = np.asarray(scipy.stats.genpareto.logsf(excesses, shape, scale=scale))
    return np.asarray(-k - ((2 * np.arange(1, k + 1) - 1) * (log_cdf + log_sf[:, ::-1])).mean(1))
