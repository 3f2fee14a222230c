"""Whether a stream of scores is still exchangeable with the calibration rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy  # its parts are imported at their first use: scipy.stats takes a second
from numpy.typing import ArrayLike, NDArray

from tollad.calibration.checks import Floats, calibration_scores_of, check_rate, finite_scores

Change: TypeAlias = Literal["higher", "lower", "wider", "narrower", "upper tail"]

# The quantiles that cut the cells: finer in the tails, most of all in the upper one, where anomalies lie.
_CUTS = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
# The bets, see `DriftMonitor`: shifts, factors of spread, and the share of rows in the top cell.
_SHIFTS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)
_FACTORS = (0.5, 0.75, 4 / 3, 2.0)
_ANOMALIES = 0.05
_KINDS: tuple[Change, ...] = (
    *("lower" if shift < 0 else "higher" for shift in _SHIFTS),
    *("narrower" if factor < 1 else "wider" for factor in _FACTORS),
    "upper tail",
)
_SENTENCES: dict[Change, str] = {
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
        Number of rows seen before the warning. The change itself came earlier.
    kind : {"higher", "lower", "wider", "narrower", "upper tail"}
        The change with the most evidence. Others may have happened, too.
    evidence : float
        Value of the test martingale, at least ``1 / alpha``: its reciprocal is a p-value.
    alpha : float
        Probability of ever warning of a stream without drift.

    Examples
    --------
    >>> monitor = DriftMonitor(np.random.default_rng(0).normal(size=500))
    >>> drift = monitor.update(np.random.default_rng(1).normal(1.0, size=500))
    >>> drift.kind, drift.row < 50, drift.evidence >= 1 / drift.alpha
    ('higher', True, True)
    """

    row: int
    kind: Change
    evidence: float
    alpha: float

    def __str__(self) -> str:
        return (
            f"drift after {self.row:,} rows: {_SENTENCES[self.kind]}, so p-values and false alarm rates no longer hold;"
            f" calibrate again on recent normal rows (without drift, a warning ever has probability <= {self.alpha:g})"
        )


class DriftMonitor:
    """Watch a stream for scores that are no longer exchangeable with the calibration scores.

    The monitor is a test martingale over a fixed set of cells, cut at order statistics of the calibration scores.
    P-values from one fixed calibration set are uniform only on average over such sets, off by about ``1 / sqrt(n)`` for
    the set at hand, and a long stream would reveal that as drift. The cells take it into account exactly: whatever the
    distribution of the scores, the probabilities of cells that hold m_k of the n + 1 gaps between calibration scores
    are Dirichlet(m_1, ..., m_K), so that after counts c_1, ..., c_K the next row falls in cell k with probability
    ``(m_k + c_k) / (n + 1 + c_1 + ... + c_K)`` (Pólya's urn). Ties are broken by seeded random numbers.

    A capital of 1 is spread over bets against these odds. The bets are that scores, ranked and mapped to a standard
    normal distribution, move up or down by 1/4, 1/2 or 1, or spread by factors of 1/2, 3/4, 4/3 or 2, or that one row
    in twenty lies in the top cell. At each row a share of the capital is bet for the first time, since a change may
    come at any time. Without drift the capital is a martingale, and by Ville's inequality the probability that it ever
    reaches ``1 / alpha`` is at most `alpha`, over an endless stream and however it is cut into blocks. Memory is
    constant.

    With few calibration rows, small changes that are there from the first row stay hidden. Anomalies in the stream
    count as drift. So does dependence between rows: rows of a time series are not exchangeable.

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
        The first warning; None before it. To go on watching, calibrate again and make another monitor.
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
        check_rate(alpha, "alpha")
        scores = calibration_scores_of(calibration_scores)
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
        """Take the next scores of the stream, in order. Return the first warning; None before it.

        Parameters
        ----------
        scores : array-like of float, (m,), m >= 0

        Raises
        ------
        ValueError
            If the scores are not one-dimensional or not finite; the monitor then stays as it was.
        """
        values = finite_scores(scores, "scores")
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
        # A bet pays its stake on the observed cell, divided by its expected pay at these odds.
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
    """Return the capital not yet bet.

    It falls slowly, so that a late change, after t rows, costs little more than log t.
    """
    return np.asarray(1 / np.log2(n_seen + 2))


def _log_total(waiting: Floats, log_capital: Floats) -> Floats:
    """Return the log of all capital, (m,), from the capital not yet bet, (m,), and that of each bet, (m, bets)."""
    at_stake = np.logaddexp.reduce(log_capital, axis=-1) - math.log(len(_KINDS))
    return np.asarray(np.logaddexp(np.log(waiting), at_stake))


def _bets(probabilities: Floats) -> Floats:
    """Return the probability of each cell under each bet, divided by that without drift: (cells, bets).

    Cells are cut at the quantiles of these `probabilities`, (cells - 1,).
    """
    edges = np.concatenate([[-np.inf], scipy.stats.norm.ppf(probabilities), [np.inf]])
    moved = [np.diff(scipy.stats.norm.cdf(edges - shift)) for shift in _SHIFTS]
    spread = [np.diff(scipy.stats.norm.cdf(edges / factor)) for factor in _FACTORS]
    nominal = np.diff(scipy.stats.norm.cdf(edges))
    top = np.append(np.zeros(len(probabilities)), 1.0)
    anomalies = (1 - _ANOMALIES) * nominal + _ANOMALIES * top
    return np.stack([*moved, *spread, anomalies], axis=1) / nominal[:, None]
