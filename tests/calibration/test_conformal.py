"""Thresholds and p-values: their definitions, and by simulation what they promise and where the promise ends.

Simulations have fixed seeds.
"""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from calibration.chance import LEVEL, frequency_exceeds, frequency_is, mean_exceeds, mean_is
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tollad.calibration import (
    benjamini_hochberg,
    overlap,
    p_values,
    rows_needed,
    threshold,
)

few_values = st.lists(st.integers(0, 5), min_size=1, max_size=40)
rates = st.floats(0, 1, exclude_min=True, exclude_max=True)


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

    def test_rows_needed_are_the_least(self):
        """That is, 1 / (n + 1) is no more than the rate, and 1 / n is more, as floating-point numbers."""
        for n in [*range(1, 200), 999, 10**6 - 1]:
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
