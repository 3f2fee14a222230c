"""Thresholds and p-values: their definitions, and by simulation what they promise and where the promise ends.

Simulations have fixed seeds; their tolerance is a test of the binomial or of the mean, at the level `LEVEL`.
"""

from __future__ import annotations

import copy
import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tollad.calibration import (
    DriftMonitor,
    benjamini_hochberg,
    fit_tail,
    overlap,
    p_values,
    rows_needed,
    tail,
    threshold,
)

LEVEL = 1e-3
few_values = st.lists(st.integers(0, 5), min_size=1, max_size=40)
rates = st.floats(0, 1, exclude_min=True, exclude_max=True)


def frequency_is(n_hits: int, n: int, rate: float) -> bool:
    return stats.binomtest(int(n_hits), n, rate).pvalue > LEVEL


def frequency_exceeds(n_hits: int, n: int, rate: float) -> bool:
    return stats.binomtest(int(n_hits), n, rate, alternative="greater").pvalue <= LEVEL


def mean_is(values: np.ndarray, expected: float) -> bool:
    return stats.ttest_1samp(values, expected).pvalue > LEVEL


def mean_exceeds(values: np.ndarray, expected: float) -> bool:
    return stats.ttest_1samp(values, expected, alternative="greater").pvalue <= LEVEL


class TestPValues:
    @given(few_values, few_values)
    def test_definition(self, calibration_scores, scores):
        n = len(calibration_scores)
        counted = [(1 + sum(c >= s for c in calibration_scores)) / (n + 1) for s in scores]
        assert p_values(calibration_scores, scores).tolist() == counted

    def test_no_rows(self):
        assert p_values([1.0], []).shape == (0,)

    @pytest.mark.parametrize("draw", [lambda rng, *n: rng.normal(size=n), lambda rng, *n: rng.poisson(3, n)])
    def test_at_most_uniform_over_calibration_sets(self, draw):
        rng = np.random.default_rng(0)
        n_sets, n = 4000, 19
        sets, rows = draw(rng, n_sets, n), draw(rng, n_sets, 1)
        p = np.concatenate([p_values(s, row) for s, row in zip(sets, rows, strict=True)])
        for k in range(1, n + 1):
            assert not frequency_exceeds(np.count_nonzero(p <= k / (n + 1)), n_sets, k / (n + 1))


class TestThreshold:
    @given(few_values, rates, st.lists(st.integers(-1, 12), max_size=20))
    def test_is_the_p_value_rule(self, calibration_scores, rate, halves):
        assume(rows_needed(rate) <= len(calibration_scores))
        scores = np.array(halves) / 2
        alarms = p_values(calibration_scores, scores) <= rate
        assert (scores > threshold(calibration_scores, rate)).tolist() == alarms.tolist()

    @pytest.mark.parametrize("n", [1, 9, 48, 99, 100])
    def test_is_the_p_value_rule_at_rates_that_are_p_values(self, n):
        """Rates such as 29 / 100, where floor(rate * (n + 1)) is 28."""
        rng = np.random.default_rng(n)
        for k in range(1, n + 1):
            for rate in (k / (n + 1), np.nextafter(k / (n + 1), 1)):
                calibration_scores = rng.integers(0, n, n)
                scores = np.arange(-1, n + 1)
                alarms = p_values(calibration_scores, scores) <= rate
                np.testing.assert_array_equal(scores > threshold(calibration_scores, rate), alarms)

    @pytest.mark.parametrize("n", [*range(1, 200), 999, 10**6 - 1])
    def test_rows_needed_are_the_least(self, n):
        """That is, 1 / (n + 1) is no more than the rate, and 1 / n is more, as floating-point numbers."""
        for rate in (1 / (n + 1), np.nextafter(1 / (n + 1), 0), np.nextafter(1 / (n + 1), 1), 1.01 / (n + 1)):
            needed = rows_needed(rate)
            assert 1 / (needed + 1) <= rate < 1 / needed

    @given(st.floats(1e-12, 1, exclude_max=True))
    def test_rows_needed_for_any_rate(self, rate):
        needed = rows_needed(rate)
        assert 1 / (needed + 1) <= rate < 1 / needed

    def test_too_few_rows_are_told_how_many(self):
        with pytest.raises(ValueError, match=r"0\.001 needs 999 calibration rows, not 998"):
            threshold(range(998), 0.001)
        assert threshold(range(999), 0.001) == 998

    @pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (99, 0.05), (99, 0.1), (200, 0.01)])
    def test_promised_false_alarm_rate(self, n, rate):
        """For scores without ties it is k / (n + 1) exactly, and of one calibration set it is Beta(k, n + 1 - k)."""
        rng = np.random.default_rng(0)
        n_sets, k = 2000, int(rate * (n + 1) + 1e-9)
        reached = np.exp([-threshold(rng.exponential(size=n), rate) for _ in range(n_sets)])
        assert frequency_is(np.count_nonzero(rng.random(n_sets) < reached), n_sets, k / (n + 1))
        assert stats.kstest(reached, stats.beta(k, n + 1 - k).cdf).pvalue > LEVEL

    def test_ties_make_false_alarms_rarer(self):
        rng = np.random.default_rng(0)
        reached = stats.poisson.sf([threshold(rng.poisson(3, 99), 0.05) for _ in range(2000)], 3)
        assert mean_exceeds(-reached, -0.05)

    def test_promise_is_broken_by_drift(self):
        rng = np.random.default_rng(0)
        n_sets = 2000
        false_alarms = sum(rng.normal(0.5) > threshold(rng.normal(size=99), 0.05) for _ in range(n_sets))
        assert frequency_exceeds(false_alarms, n_sets, 2 * 0.05)

    def test_promise_is_broken_by_calibration_on_training_rows(self):
        """The detector, a Mahalanobis distance, knows its training rows: their distances are too short."""
        rng = np.random.default_rng(0)
        n_sets, false_alarms = 500, {True: 0, False: 0}
        for _ in range(n_sets):
            train, held_out, new = rng.normal(size=(99, 20)), rng.normal(size=(99, 20)), rng.normal(size=(1, 20))
            to_white = np.linalg.inv(np.linalg.cholesky(np.cov(train.T))).T
            distance = [np.linalg.norm((X - train.mean(0)) @ to_white, axis=1) for X in (held_out, train, new)]
            for honest in (True, False):
                false_alarms[honest] += distance[2][0] > threshold(distance[0 if honest else 1], 0.05)
        assert frequency_is(false_alarms[True], n_sets, 0.05)
        assert frequency_exceeds(false_alarms[False], n_sets, 3 * 0.05)

    def test_anomalies_among_the_calibration_rows_hide_anomalies(self):
        rng = np.random.default_rng(0)
        n_sets, n_anomalies = 2000, 10
        clean, mixed = 0, {"false alarms": 0, "found": 0}
        for _ in range(n_sets):
            normal, anomalies = rng.normal(size=99), rng.normal(5, 1, n_anomalies)
            row, anomaly = rng.normal(), rng.normal(5)
            clean += anomaly > threshold(normal, 0.05)
            above = threshold(np.concatenate([normal[n_anomalies:], anomalies]), 0.05)
            mixed["false alarms"] += row > above
            mixed["found"] += anomaly > above
        assert clean > 0.99 * n_sets
        assert stats.binomtest(mixed["false alarms"], n_sets, 0.05 / 10, alternative="less").pvalue <= LEVEL
        assert stats.binomtest(mixed["found"], n_sets, 0.6, alternative="less").pvalue <= LEVEL


class TestOverlap:
    def test_more_than_half_must_be_known(self):
        trained = np.random.default_rng(0).normal(size=50)
        for n_known, expected in ((25, False), (26, True)):
            assert overlap([*trained[:n_known], *(9.0 + np.arange(50 - n_known))], trained) == expected

    @pytest.mark.parametrize("rank", [0, 1, 2])
    @pytest.mark.parametrize("factor", [1 - 1e-12, 1.0, 1 + 1e-12])
    def test_scores_are_the_same_up_to_rounding(self, rank, factor):
        trained = [3.0, 1.0, 2.0]
        assert overlap([trained[rank] * factor], trained)
        assert not overlap([trained[rank] + 0.1], trained)

    def test_nothing_can_be_told_where_training_rows_coincide(self):
        """More than half of them: a row of its own is then no rarer than one of several."""
        assert overlap([1.0, 2.0], [1.0, 1.0, 2.0, 3.0])
        assert not overlap([1.0, 2.0], [1.0, 1.0, 2.0, 2.0, 3.0])
        assert not overlap([2.0, 2.0], [2.0, 2.0, 2.0])

    def test_one_training_row(self):
        assert overlap([1.0], [1.0])
        assert not overlap([2.0], [1.0])


class TestBenjaminiHochberg:
    @given(st.lists(st.integers(0, 100), max_size=30), st.sampled_from([0.05, 0.1, 0.3, 0.9]))
    def test_definition(self, hundredths, fdr):
        """Alarms are the k smallest for the greatest k such that the k-th smallest is at most fdr * k / m."""
        m, p = len(hundredths), np.array(hundredths) / 100
        # In whole hundredths of hundredths, for no rounding to decide a tie.
        passing = [k for k, h in enumerate(sorted(hundredths), start=1) if h * m <= round(fdr * 100) * k]
        close = np.isclose(np.sort(p) * m, fdr * np.arange(1, m + 1), rtol=1e-9)
        assume(not close.any())
        assert np.count_nonzero(benjamini_hochberg(p, fdr)) == max(passing, default=0)

    def test_alarms_are_the_smallest(self):
        p = np.array([0.5, 0.01, 0.03, 0.9, 0.02])
        assert benjamini_hochberg(p, 0.05).tolist() == [False, True, True, False, True]

    def test_no_rows(self):
        alarms = benjamini_hochberg([], 0.1)
        assert alarms.shape == (0,)
        assert alarms.dtype == bool

    def false_discoveries(self, *, moved: float = 0.0, n_sets: int = 1000) -> np.ndarray:
        """Return the share of false alarms among alarms for each of many calibration sets of 499 rows.

        Where fdr * (n + 1) / m is a whole number, as here, its mean is fdr * (share of normal rows) exactly: Marandon,
        Lei, Mary and Roquain, "Adaptive novelty detection with false discovery rate guarantee", Annals of Statistics 52
        (2024).
        """
        rng = np.random.default_rng(0)
        shares = np.empty(n_sets)
        for i in range(n_sets):
            rows = np.concatenate([rng.normal(moved, 1, 40), rng.normal(3, 1, 10)])
            alarms = benjamini_hochberg(p_values(rng.normal(size=499), rows), 0.1)
            shares[i] = alarms[:40].sum() / max(1, alarms.sum())
        return shares

    def test_promised_false_discovery_rate(self):
        assert mean_is(self.false_discoveries(), 0.1 * 40 / 50)

    def test_promise_is_broken_by_drift(self):
        assert mean_exceeds(self.false_discoveries(moved=1.0), 2 * 0.1)

    def test_too_few_calibration_rows_find_nothing(self):
        """One anomaly among 1,000 rows at 10% needs a p-value of 1 / 10,000, that is 9,999 calibration rows."""
        rows = np.append(np.zeros(999), 100.0)
        calibration_scores = np.random.default_rng(0).normal(size=9999)
        assert not benjamini_hochberg(p_values(calibration_scores[:9998], rows), 0.1).any()
        assert benjamini_hochberg(p_values(calibration_scores, rows), 0.1).sum() == 1


class TestTailFit:
    @pytest.fixture(scope="class")
    @staticmethod
    def fit():
        return fit_tail(np.random.default_rng(0).exponential(size=1000))

    @pytest.mark.parametrize(
        ("distribution", "shape", "tolerance"),
        [
            (stats.expon(), 0.0, 0.2),
            (stats.norm(), -0.1, 0.15),
            (stats.t(4), 0.25, 0.4),
            (stats.uniform(), -1.0, 0.005),
        ],
        ids=["exponential", "Gaussian", "Student t", "uniform"],
    )
    def test_true_quantiles(self, distribution, shape, tolerance):
        """Half of the thresholds at a fifth of 1 / (n + 1) lie within the tolerance, relative to the true quantile."""
        rng = np.random.default_rng(0)
        n, n_fits = 2000, 9
        rate = 0.2 / (n + 1)
        fits = [fit_tail(distribution.rvs(n, random_state=rng)) for _ in range(n_fits)]
        errors = [abs(fit.threshold(rate) / distribution.isf(rate) - 1) for fit in fits]
        assert np.median(errors) < tolerance
        assert abs(np.median([fit.shape for fit in fits]) - shape) < 0.15
        covered = sum(low <= distribution.isf(rate) <= high for low, high in (fit.interval(rate) for fit in fits))
        assert covered >= 5

    def test_agrees_with_maximum_likelihood(self):
        excesses = np.sort(stats.genpareto.rvs(0.2, scale=3.0, size=(1, 20_000), random_state=0))
        shape, _, scale = stats.genpareto.fit(excesses[0], floc=0)
        np.testing.assert_allclose(tail._zhang_stephens(excesses)[:, 0], [shape, scale], rtol=0.01)

    def test_follows_units(self):
        scores = np.random.default_rng(0).exponential(size=1000)
        fit, other = fit_tail(scores), fit_tail(1000 * scores - 7)
        assert other.shape == pytest.approx(fit.shape)
        assert other.threshold(2e-4) == pytest.approx(1000 * fit.threshold(2e-4) - 7)

    def test_p_values_and_thresholds_are_one_rule(self, fit):
        scores = np.linspace(0, 20, 5001)
        p = fit.p_values(scores)
        assert (np.diff(p) <= 0).all()
        for rate in (2e-4, 5e-4, 9e-4):
            np.testing.assert_array_equal(p <= rate, scores > fit.threshold(rate))

    def test_p_values_below_those_of_the_rows_are_the_extrapolated_ones(self, fit):
        scores = np.random.default_rng(0).exponential(size=1000)  # those of the fit
        new = np.concatenate([scores, [scores.max() + 1, 1e6]])
        p = fit.p_values(new)
        np.testing.assert_array_equal(p[:1000], p_values(scores, scores))
        assert 1e-4 < p[1000] < 1 / 1001
        assert p[1001] == fit.least_rate

    def test_says_that_it_extrapolates(self, fit):
        assert re.match(
            r"threshold \S+ for a false alarm rate of 0.0002, extrapolated from 1,000 rows .*\(99 exceedances, .*"
            r"90% interval \S+ to \S+\); not a guarantee",
            fit.describe(0.0002),
        )

    def test_refuses_a_rate_that_needs_no_extrapolation(self, fit):
        with pytest.raises(ValueError, match=r"0.001 needs no extrapolation from 1,000 rows; leave out tail"):
            fit.threshold(0.001)

    def test_refuses_a_rate_that_is_too_far_out(self, fit):
        with pytest.raises(ValueError, match=r"1e-05 is below 9.99e-05, .* 1,000 rows .* 9,999 rows or more"):
            fit.threshold(1e-5)
        assert fit.threshold(fit.least_rate) >= fit.threshold(2e-4)

    def test_refuses_few_rows(self):
        scores = np.random.default_rng(0).exponential(size=354)
        assert fit_tail(scores).n_exceedances == 50
        with pytest.raises(ValueError, match="needs 354 calibration rows, not 353"):
            fit_tail(scores[:353])

    def test_refuses_rounded_scores(self):
        with pytest.raises(ValueError, match=r"50 different scores above .* not \d+; .* rounded"):
            fit_tail(np.random.default_rng(0).exponential(size=1000).round(1))

    def test_refuses_equal_scores(self):
        with pytest.raises(ValueError, match="50 different scores above 1, not 0"):
            fit_tail(np.ones(1000))

    def test_refuses_a_tail_without_a_mean(self):
        with pytest.raises(ValueError, match="too heavy"):
            fit_tail(1 / np.random.default_rng(0).random(1000) ** 2)

    def test_refuses_a_tail_of_two_kinds(self):
        """One in fifty of the calibration rows are anomalies, all of one kind."""
        rng = np.random.default_rng(0)
        with pytest.raises(ValueError, match="no generalised Pareto tail fits"):
            fit_tail(np.concatenate([rng.exponential(size=2000), rng.normal(12, 0.5, 40)]))

    def test_refuses_few_good_fits(self):
        """One in a hundred or so: the level of the goodness of fit."""
        rng = np.random.default_rng(0)
        n_fits, n_refused = 40, 0
        for _ in range(n_fits):
            try:
                fit_tail(rng.exponential(size=354))
            except ValueError:
                n_refused += 1
        assert not frequency_exceeds(n_refused, n_fits, 0.01)


class TestDriftMonitor:
    def test_capital_is_a_martingale(self):
        """Over the n + 1 + t gaps between the scores seen so far, which are equally likely, its mean stays as it is.

        This is exact conformal validity: a new score's rank among calibration and stream is uniform.
        """
        rng = np.random.default_rng(0)
        seen = list(rng.normal(size=30))
        monitor = DriftMonitor(seen, alpha=1e-9)
        for score in rng.normal(1, 1, 25):
            edges = np.sort(seen)
            inside = np.concatenate([[edges[0] - 1], (edges[:-1] + edges[1:]) / 2, [edges[-1] + 1]])
            futures = [copy.deepcopy(monitor) for _ in inside]
            for future, value in zip(futures, inside, strict=True):
                future.update([value])
            assert np.mean([future.evidence for future in futures]) == pytest.approx(monitor.evidence, rel=1e-9)
            monitor.update([score])
            seen.append(score)
        assert monitor.evidence > 2

    @pytest.mark.parametrize(
        ("n", "draw"),
        [
            (30, lambda rng, n: rng.normal(size=n)),
            (300, lambda rng, n: rng.normal(size=n)),
            (30, lambda rng, n: rng.poisson(0.5, n)),
            (30, lambda rng, n: np.ones(n)),
        ],
        ids=["few rows", "many rows", "many ties", "constant"],
    )
    def test_promised_false_warning_rate(self, n, draw):
        rng = np.random.default_rng(0)
        n_streams, alpha = 120, 0.1
        warned = [DriftMonitor(draw(rng, n), alpha, seed=i).update(draw(rng, 1200)) for i in range(n_streams)]
        assert not frequency_exceeds(sum(drift is not None for drift in warned), n_streams, alpha)

    @pytest.mark.parametrize(
        ("change", "kind", "within"),
        [
            (lambda x: x + 0.5, "higher", 300),
            (lambda x: x + 1, "higher", 80),
            (lambda x: x - 0.5, "lower", 300),
            (lambda x: x - 1, "lower", 80),
            (lambda x: 2 * x, "wider", 80),
            (lambda x: x / 2, "narrower", 150),
            (lambda x: np.where(np.arange(len(x)) % 16, x, 6), "upper tail", 800),
        ],
        ids=["+ 0.5 sd", "+ 1 sd", "- 0.5 sd", "- 1 sd", "x 2", "/ 2", "6% anomalies"],
    )
    @pytest.mark.parametrize("n_before", [0, 2000])
    def test_finds_changes_quickly(self, change, kind, within, n_before):
        rng = np.random.default_rng(0)
        delays, kinds = [], []
        for _ in range(9):
            monitor = DriftMonitor(rng.normal(size=1000))
            assert monitor.update(rng.normal(size=n_before)) is None
            drift = monitor.update(change(rng.normal(size=3000)))
            assert drift is not None
            assert drift.evidence >= 100
            delays.append(drift.row - n_before)
            kinds.append(drift.kind)
        assert np.median(delays) < within
        assert kinds.count(kind) >= 5

    def test_blocks_do_not_matter(self):
        rng = np.random.default_rng(0)
        calibration_scores, stream = rng.poisson(3, 1000), rng.poisson(4, 3000)
        whole = DriftMonitor(calibration_scores).update(stream)
        monitor = DriftMonitor(calibration_scores)
        for block in np.array_split(stream, np.sort(rng.integers(0, 3000, 200))):
            monitor.update(block)
        assert whole is not None
        assert monitor.drift is not None
        assert (monitor.drift.row, monitor.drift.kind) == (whole.row, whole.kind)
        assert monitor.drift.evidence == pytest.approx(whole.evidence)
        assert monitor.n_seen == whole.row

    def test_depends_on_ranks_alone(self):
        rng = np.random.default_rng(0)
        calibration_scores, stream = rng.normal(size=200), rng.normal(0.2, 1, 500)
        monitor, other = DriftMonitor(calibration_scores), DriftMonitor(np.exp(calibration_scores))
        monitor.update(stream)
        other.update(np.exp(stream))
        assert other.evidence == monitor.evidence != 1

    def test_memory_is_constant(self):
        def size(monitor: DriftMonitor) -> int:
            return sum(value.size for value in vars(monitor).values() if isinstance(value, np.ndarray))

        rng = np.random.default_rng(0)
        monitor = DriftMonitor(rng.normal(size=10_000))
        before = size(monitor)
        monitor.update(rng.normal(size=10_000))
        assert size(monitor) == before < 300

    def test_first_warning_stays(self):
        monitor = DriftMonitor(np.arange(500.0))
        drift = monitor.update(np.full(100, 1000.0))
        assert drift is not None
        assert monitor.update(np.arange(500.0)) is drift is monitor.drift
        assert monitor.n_seen == drift.row < 100
        assert monitor.evidence == pytest.approx(drift.evidence)

    def test_warning_is_a_sentence(self):
        drift = DriftMonitor(np.arange(500.0), alpha=0.05).update(np.full(100, 1000.0))
        assert re.fullmatch(r"drift after \d+ rows: .*; calibrate again on recent normal rows .*0.05\)", str(drift))

    def test_starts_with_capital_1(self):
        monitor = DriftMonitor([1.0])
        assert monitor.evidence == 1
        assert monitor.update([]) is None
        assert monitor.evidence == 1

    def test_bad_scores_leave_it_as_it_was(self):
        monitor, other = DriftMonitor(np.zeros(50)), DriftMonitor(np.zeros(50))
        with pytest.raises(ValueError, match="finite"):
            monitor.update([0.0, np.nan])
        monitor.update(np.zeros(20))
        other.update(np.zeros(20))
        assert monitor.evidence == other.evidence
        assert monitor.n_seen == 20


CALIBRATED = {
    "p_values": lambda scores: p_values(scores, [1.0]),
    "threshold": lambda scores: threshold(scores, 0.5),
    "fit_tail": fit_tail,
    "DriftMonitor": DriftMonitor,
}
SCORED = {
    "p_values": lambda scores: p_values([1.0], scores),
    "benjamini_hochberg": lambda scores: benjamini_hochberg(scores, 0.1),
    "TailFit": lambda scores: fit_tail(np.random.default_rng(0).exponential(size=354)).p_values(scores),
    "DriftMonitor": lambda scores: DriftMonitor([1.0]).update(scores),
}
WRONG = [
    ([0.5, np.nan], r"finite numbers; number 1 \(counted from 0\) is nan"),
    ([np.inf], "finite numbers; number 0 .* is inf"),
    ([[0.5]], r"one-dimensional, .* not of shape \(1, 1\)"),
    (0.5, r"one-dimensional, .* not of shape \(\)"),
    (["a"], "sequence of numbers"),
    ([[1.0], [1.0, 2.0]], "sequence of numbers"),
]


@pytest.mark.parametrize("use", CALIBRATED.values(), ids=CALIBRATED)
@pytest.mark.parametrize(("scores", "message"), [*WRONG, ([], "is empty")])
def test_bad_calibration_scores(use, scores, message):
    with pytest.raises(ValueError, match=f"calibration_scores .*{message}"):
        use(scores)


@pytest.mark.parametrize("use", SCORED.values(), ids=SCORED)
@pytest.mark.parametrize(("scores", "message"), WRONG)
def test_bad_scores(use, scores, message):
    with pytest.raises(ValueError, match=f"(scores|p_values) .*{message}"):
        use(scores)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, np.nan, np.inf])
@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda rate: threshold([1.0], rate), "false_alarm_rate"),
        (rows_needed, "false_alarm_rate"),
        (lambda rate: benjamini_hochberg([0.5], rate), "fdr"),
        (lambda rate: DriftMonitor([1.0], rate), "alpha"),
        (lambda rate: fit_tail(np.random.default_rng(0).exponential(size=354)).threshold(rate), "false_alarm_rate"),
    ],
    ids=["threshold", "rows_needed", "benjamini_hochberg", "DriftMonitor", "TailFit"],
)
def test_bad_rates(use, name, rate):
    with pytest.raises(ValueError, match=f"{name} must lie between 0 and 1"):
        use(rate)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_p_values_out_of_range(p):
    with pytest.raises(ValueError, match=r"p_values must lie in \[0, 1\]"):
        benjamini_hochberg([0.5, p], 0.1)


def test_examples_of_the_page():
    page = Path(__file__).parents[2] / "docs" / "thresholds.md"
    options = doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8", optionflags=options)
    assert failed == 0
    assert tried > 5
