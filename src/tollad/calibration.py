"""Thresholds and p-values from the scores of held-out normal rows: what may be promised, and what only estimated.

`threshold`, `p_values` and `benjamini_hochberg` promise, without a word about how the scores are distributed, if the
calibration rows and the new normal rows are exchangeable. `fit_tail` extrapolates and promises nothing. `DriftMonitor`
watches whether a stream still is exchangeable with the calibration rows. High score = anomalous everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

__all__ = [
    "Drift",
    "DriftMonitor",
    "TailFit",
    "benjamini_hochberg",
    "fit_tail",
    "overlap",
    "p_values",
    "rows_needed",
    "threshold",
]

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["higher", "lower", "wider", "narrower", "upper tail"]
ThresholdRule: TypeAlias = Literal["contamination", "false_alarm_rate", "tail", "anomaly_score"]

# Rows that share a score with a training row are most likely that row; in tables of few values some coincide by chance.
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
    calibration = np.sort(_calibration(calibration_scores))
    n_below = np.searchsorted(calibration, _finite(scores, "scores"), side="left")
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
    calibration = np.sort(_calibration(calibration_scores))
    n_needed, n = rows_needed(false_alarm_rate), len(calibration)
    if n < n_needed:
        raise ValueError(
            f"a false alarm rate of {false_alarm_rate} needs {n_needed:,} calibration rows, not {n:,}; "
            f"calibrate on more rows, ask for a rate of {1 / (n + 1):.3g} or more, or extrapolate with tail=True or "
            "--tail"
        )
    # The quotients that `p_values` returns, not floor(rate * (n + 1)), whose rounding may differ from theirs.
    n_alarms = np.count_nonzero(np.arange(1, n + 1) / (n + 1) <= false_alarm_rate)
    return float(calibration[n - n_alarms])


def rows_needed(false_alarm_rate: float) -> int:
    """Return the least number n of calibration rows for a rate in (0, 1): 1 / (n + 1) must not exceed it.

    Examples
    --------
    >>> rows_needed(0.001)
    999
    """
    _check_rate(false_alarm_rate, "false_alarm_rate")
    n = math.ceil(1 / Fraction(float(false_alarm_rate))) - 1
    # P-values are compared as floats: 1 / n, a little more than the rate, may have been rounded to it.
    return n - 1 if 1 / n <= false_alarm_rate else n


def overlap(calibration_scores: ArrayLike, training_scores: ArrayLike) -> bool:
    """Tell whether calibration rows are among the training rows, by more than half of the scores being the same.

    Where training rows coincide with one another, as in a table of a few categories, new rows will as well, and nothing
    can be told. Scores are the same up to the rounding that depends on the rows scored with them.

    Examples
    --------
    >>> overlap([1.0, 2.0, 2.5], training_scores=[1.0, 1.5, 2.0])
    True
    >>> overlap([1.0, 2.0, 2.0], training_scores=[1.0, 1.0, 2.0, 2.0])
    False
    """
    scores, trained = _calibration(calibration_scores), np.sort(_finite(training_scores, "training_scores"))
    after = np.searchsorted(trained, scores).clip(0, len(trained) - 1)
    found = _same(scores, trained[after]) | _same(scores, trained[(after - 1).clip(0)])
    twice = _same(trained[1:], trained[:-1])
    coinciding = np.append(twice, False) | np.append(False, twice)
    return bool(found.mean() > _MOST_OVERLAP >= coinciding.mean())


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
    _check_rate(fdr, "fdr")
    values = _finite(p_values, "p_values")
    if np.any((values < 0) | (values > 1)):
        raise ValueError("p_values must lie in [0, 1]")
    return np.asarray(stats.false_discovery_control(values, method="bh") <= fdr)


# Below 50 exceedances the standard error of the shape, about (1 + shape) / sqrt(50), is 0.14 and more: Gaussian,
# exponential and heavy tails cannot be told apart. Above 1,000 the bias of a tail that is not yet Pareto would prevail.
_LEAST_EXCEEDANCES, _MOST_EXCEEDANCES = 50, 1000
_LEAST_ROWS = 354  # the least n with n ** (2 / 3) >= 50
_FURTHEST = 10  # times 1 / (n + 1): further out, the rate reached is off by orders of magnitude (docs/thresholds.md)
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
        Those whose scores exceed `start`; the distribution is fitted to them alone.
    start : float
        Score from which the tail is fitted.
    shape, scale : float
        P(score > start + y | score > start) is ``(1 + shape * y / scale) ** (-1 / shape)``. Shape 0 is an exponential
        tail, below 0 one that ends, above 0 a heavy one; less than 1.
    shape_error : float
        Standard error of the shape, by parametric bootstrap.
    goodness : float
        p-value of the fit by the Anderson-Darling statistic, by the same bootstrap; above 0.01.
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
        """The least rate that the fit gives, 1 / (10 (n + 1)); lower ones are refused."""
        return 1 / (_FURTHEST * (self.n_rows + 1))

    def threshold(self, false_alarm_rate: float) -> float:
        """Estimate the score that a normal row exceeds with the given probability.

        At least the largest calibration score, which makes alarms at rates near 1 / (n + 1) rarer than asked.

        Parameters
        ----------
        false_alarm_rate : float, in [1 / (10 (n + 1)), 1 / (n + 1))

        Raises
        ------
        ValueError
            If the rate is so low that no calibration row speaks of it, or so high that `threshold` can promise it.
        """
        self._check(false_alarm_rate)
        return max(float(self._quantile(false_alarm_rate, self.shape, self.scale)), float(self._scores[-1]))

    def interval(self, false_alarm_rate: float) -> tuple[float, float]:
        """Return a 90% bootstrap interval for that score; it does not cover the bias of a tail not yet Pareto."""
        self._check(false_alarm_rate)
        low, high = np.quantile(self._quantile(false_alarm_rate, *self._draws), [0.05, 0.95])
        return float(low), float(high)

    def p_values(self, scores: ArrayLike) -> Floats:
        """Return p-values of scores, (m,): those of `p_values`, but estimates beyond the largest calibration score.

        Every p-value below 1 / (n + 1) is extrapolated, and no other. None is below `least_rate`.
        """
        values = _finite(scores, "scores")
        conformal = p_values(self._scores, values)
        beyond = self._share * stats.genpareto.sf(values - self.start, self.shape, scale=self.scale)
        extrapolated = np.clip(beyond, self.least_rate, conformal)
        return np.where(values > self._scores[-1], extrapolated, conformal)

    def describe(self, false_alarm_rate: float) -> str:
        """Return the threshold as a sentence that says what it is worth."""
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
        return np.asarray(self.start + scale * special.boxcox(self._share / rate, shape))

    def _check(self, rate: float) -> None:
        _check_rate(rate, "false_alarm_rate")
        n = self.n_rows
        if rate >= 1 / (n + 1):
            raise ValueError(
                f"a false alarm rate of {rate} needs no extrapolation from {n:,} rows; leave out tail=True or --tail"
            )
        if rate < self.least_rate:
            raise ValueError(
                f"a false alarm rate of {rate} is below {self.least_rate:.3g}, the least that {n:,} rows can tell of; "
                f"calibrate on {rows_needed(_FURTHEST * rate):,} rows or more"
            )


def fit_tail(calibration_scores: ArrayLike) -> TailFit:
    """Fit a generalised Pareto distribution to the largest scores, for false alarm rates below 1 / (n + 1).

    The ``min(n ** (2/3), 1000)`` largest scores are fitted by the estimator of Zhang and Stephens ("A new and efficient
    estimation method for the generalized Pareto distribution", Technometrics 51, 2009), which exists for every sample
    and never ends the tail before the largest score. Tails become Pareto only in the limit, so thresholds are biased:
    too low for Gaussian-like tails, too high for lognormal ones. It fails where the rarest normal rows are of another
    kind than the top few per cent, of which no calibration row tells.

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
    scores = np.sort(_calibration(calibration_scores))
    n = len(scores)
    if n < _LEAST_ROWS:
        raise ValueError(f"a tail fit needs {_LEAST_ROWS} calibration rows, not {n}: fewer leave too few exceedances")
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
    samples = scale * special.boxcox(1 / rng.random((_N_BOOTSTRAP, len(excesses))), shape)
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
    mean = (special.softmax(log_likelihood, axis=1) * theta).sum(1)
    shape = np.log1p(-mean[:, None] * excesses).mean(1)
    return np.stack([shape, -shape / mean])


def _anderson_darling(excesses: Floats, shape: Floats, scale: Floats) -> Floats:
    """Return the Anderson-Darling statistic, (r,), of r samples of sorted excesses, (r, k)."""
    k = excesses.shape[1]
    log_cdf = np.asarray(stats.genpareto.logcdf(excesses, shape, scale=scale))
    log_sf = np.asarray(stats.genpareto.logsf(excesses, shape, scale=scale))
    return np.asarray(-k - ((2 * np.arange(1, k + 1) - 1) * (log_cdf + log_sf[:, ::-1])).mean(1))


# Cells are finer in the tails, above all where anomalies would be.
_CUTS = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
_SHIFTS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)
_FACTORS = (0.5, 0.75, 4 / 3, 2.0)
_ANOMALIES = 0.05
_KINDS: tuple[Kind, ...] = (
    *("lower" if shift < 0 else "higher" for shift in _SHIFTS),
    *("narrower" if factor < 1 else "wider" for factor in _FACTORS),
    "upper tail",
)
_SENTENCES: dict[Kind, str] = {
    "higher": "scores are higher than those of the calibration rows",
    "lower": "scores are lower than those of the calibration rows",
    "wider": "scores are spread wider than those of the calibration rows",
    "narrower": "scores are spread less than those of the calibration rows",
    "upper tail": "more scores lie at the upper end of those of the calibration rows",
}
_BLOCK = 1024


@dataclass(frozen=True)
class Drift:
    """A warning: the scores of a stream are no longer like those of the calibration rows.

    Attributes
    ----------
    row : int
        Rows seen when the warning came, the last of which tipped it. The change came earlier.
    kind : {"higher", "lower", "wider", "narrower", "upper tail"}
        The change that was best betted on; more than one may be true.
    evidence : float
        Value of the test martingale, at least ``1 / alpha``: its reciprocal is a p-value.
    alpha : float
        Probability of ever warning of a stream without drift.
    """

    row: int
    kind: Kind
    evidence: float
    alpha: float

    def __str__(self) -> str:
        return (
            f"drift after {self.row:,} rows: {_SENTENCES[self.kind]}, so p-values and false alarm rates no longer hold;"
            f" calibrate again on recent normal rows (without drift, a warning ever has probability <= {self.alpha:g})"
        )


class DriftMonitor:
    """Watch a stream for scores that are no longer exchangeable with the calibration scores.

    A test martingale over a fixed set of cells, cut at order statistics of the calibration scores. P-values from one
    fixed calibration set are uniform only on average over such sets, off by about ``1 / sqrt(n)`` for the set at hand,
    and a long stream would reveal that as drift. The cells take it into account exactly: whatever the distribution of
    the scores, the probabilities of cells that hold m_k of the n + 1 gaps between calibration scores are
    Dirichlet(m_1, ..., m_K), so that after counts c_1, ..., c_K the next row falls in cell k with probability
    ``(m_k + c_k) / (n + 1 + c_1 + ... + c_K)`` (Pólya's urn). Ties are broken by seeded random numbers.

    Capital of 1 is spread over bets against these odds: that scores, ranked and mapped to a standard normal
    distribution, move up or down by 1/4, 1/2 or 1, or spread by factors of 1/2, 3/4, 4/3 or 2, or that one row in
    twenty lies in the top cell. A share of the capital enters at each row, since a change may come at any time. Without
    drift the capital is a martingale, and by Ville's inequality the probability that it ever reaches ``1 / alpha`` is
    at most `alpha`, over an endless stream and however it is cut into blocks. Memory is constant.

    Small n hides small changes that are there from the first row, anomalies in the stream count as drift, and so does
    dependence: rows of a time series are not exchangeable.

    Parameters
    ----------
    calibration_scores : array-like of float, (n,)
        As in `p_values`.
    alpha : float, in (0, 1), default 0.01
        Bound on the probability of ever warning of a stream without drift, on average over calibration sets.
    seed : int >= 0, default 0
        Of the random numbers that break ties.

    Attributes
    ----------
    drift : Drift or None
        The first warning. To watch on, calibrate again: make another monitor.
    n_seen : int
        Rows seen until the first warning.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> monitor = DriftMonitor(rng.normal(size=500))
    >>> monitor.update(rng.normal(size=2000)) is None
    True
    >>> monitor.update(rng.normal(1.0, size=200)).kind
    'higher'
    """

    drift: Drift | None
    n_seen: int

    def __init__(self, calibration_scores: ArrayLike, alpha: float = 0.01, *, seed: int = 0) -> None:
        _check_rate(alpha, "alpha")
        scores = _calibration(calibration_scores)
        self._rng = np.random.default_rng(seed)
        tie_breakers = self._rng.random(len(scores))
        order = np.lexsort((tie_breakers, scores))
        n_gaps = len(scores) + 1
        ranks = np.unique(np.clip(np.round(_CUTS * n_gaps).astype(int), 1, len(scores)))
        cuts = order[ranks - 1]
        self._cuts, self._cut_tie_breakers = scores[cuts], tie_breakers[cuts]
        self._counts = np.diff(ranks, prepend=0, append=n_gaps).astype(np.float64)
        self._bets = _bets(ranks / n_gaps)
        self._log_capital = np.full(len(_KINDS), -np.inf)
        self._alpha = alpha
        self.n_seen = 0
        self.drift = None

    def update(self, scores: ArrayLike) -> Drift | None:
        """Take the next scores of the stream, (m,) with m >= 0, in order; return the first warning, once there is one.

        Raises
        ------
        ValueError
            If the scores are not one-dimensional or not finite; the monitor then stays as it was.
        """
        values = _finite(scores, "scores")
        for begin in range(0, len(values), _BLOCK):
            if self.drift is not None:
                break
            self._take(values[begin : begin + _BLOCK])
        return self.drift

    @property
    def evidence(self) -> float:
        """Capital after the rows so far, 1 at the start; the warning comes when it reaches ``1 / alpha``."""
        return math.exp(_log_total(_waiting(np.array(self.n_seen)), self._log_capital))

    def _take(self, scores: Floats) -> None:
        cells = self._cells(scores)
        hits = np.eye(len(self._counts))[cells]
        counts = self._counts + np.cumsum(hits, axis=0)
        odds = counts - hits
        odds /= odds.sum(1, keepdims=True)
        # A bet pays what it puts on the cell that came, over what it was expected to pay at these odds.
        log_pay = np.log(self._bets[cells] / (odds @ self._bets))
        waiting = _waiting(self.n_seen + np.arange(len(scores) + 1))
        entering = np.log(waiting[:-1] - waiting[1:])[:, None]
        # capital[t] = (capital[t - 1] + entering[t]) * pay[t], for all rows of the block at once.
        grown = np.cumsum(log_pay, axis=0)
        invested = np.logaddexp.accumulate(np.vstack([self._log_capital, entering + log_pay - grown]), axis=0)
        log_capital = invested[1:] + grown
        total = _log_total(waiting[1:], log_capital)
        won = np.flatnonzero(total >= -math.log(self._alpha))
        last = won[0] if len(won) else len(scores) - 1
        self._counts, self._log_capital = counts[last], log_capital[last]
        self.n_seen += int(last) + 1
        if len(won):
            kind = _KINDS[int(log_capital[last].argmax())]
            self.drift = Drift(self.n_seen, kind, math.exp(total[last]), self._alpha)

    def _cells(self, scores: Floats) -> NDArray[np.intp]:
        """Return each score's cell: how many cuts lie below it, where ties are broken at random."""
        values, tie_breakers = scores[:, None], self._rng.random((len(scores), 1))
        tied = (values == self._cuts) & (tie_breakers > self._cut_tie_breakers)
        return ((values > self._cuts) | tied).sum(1)


def _waiting(n_seen: NDArray[np.int64]) -> Floats:
    """Return the capital not yet at stake; slowly, so that a change after t rows costs hardly more than log t."""
    return np.asarray(1 / np.log2(n_seen + 2))


def _log_total(waiting: Floats, log_capital: Floats) -> Floats:
    """Return the log of all capital, (m,), from that which waits, (m,), and that of each bet, (m, bets)."""
    at_stake = np.logaddexp.reduce(log_capital, axis=-1) - math.log(len(_KINDS))
    return np.asarray(np.logaddexp(np.log(waiting), at_stake))


def _bets(levels: Floats) -> Floats:
    """Return how much likelier than without drift each bet holds each cell to be: (cells, bets)."""
    edges = np.concatenate([[-np.inf], stats.norm.ppf(levels), [np.inf]])
    moved = [np.diff(stats.norm.cdf(edges - shift)) for shift in _SHIFTS]
    spread = [np.diff(stats.norm.cdf(edges / factor)) for factor in _FACTORS]
    nominal = np.diff(stats.norm.cdf(edges))
    top = np.append(np.zeros(len(levels)), 1.0)
    anomalies = (1 - _ANOMALIES) * nominal + _ANOMALIES * top
    return np.stack([*moved, *spread, anomalies], axis=1) / nominal[:, None]


def _same(some: Floats, others: Floats) -> NDArray[np.bool_]:
    return np.isclose(some, others, rtol=1e-9, atol=0.0)


def _finite(values: ArrayLike, name: str) -> Floats:
    """Return values as a one-dimensional array of finite numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a sequence of numbers") from None
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number a row, not of shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ValueError(f"{name} must be finite numbers; number {bad[0]} (counted from 0) is {array[bad[0]]}")
    return array


def _calibration(scores: ArrayLike) -> Floats:
    values = _finite(scores, "calibration_scores")
    if not len(values):
        raise ValueError("calibration_scores is empty; calibrate on one normal row or more")
    return values


def _check_rate(rate: Any, name: str) -> None:
    if not isinstance(rate, Real) or not 0 < float(rate) < 1:
        raise ValueError(f"{name} must lie between 0 and 1, both excluded, not {rate!r}")
