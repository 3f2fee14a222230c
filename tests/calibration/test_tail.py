"""The tail beyond the calibration rows: quantiles, intervals, and when there is none to be told."""

from __future__ import annotations

import re

import numpy as np
import pytest
from calibration.chance import frequency_exceeds
from scipy import stats

from tollad.calibration import (
    fit_tail,
    p_values,
    tail,
)


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
