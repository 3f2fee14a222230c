"""Whether what a simulation counted agrees with a promise: tests of the binomial and of the mean at one level."""

from __future__ import annotations

import numpy as np
from scipy import stats

LEVEL = 1e-3


def frequency_is(n_hits: int, n: int, rate: float) -> bool:
    return stats.binomtest(int(n_hits), n, rate).pvalue > LEVEL


def frequency_exceeds(n_hits: int, n: int, rate: float) -> bool:
    return stats.binomtest(int(n_hits), n, rate, alternative="greater").pvalue <= LEVEL


def mean_is(values: np.ndarray, expected: float) -> bool:
    return stats.ttest_1samp(values, expected).pvalue > LEVEL


def mean_exceeds(values: np.ndarray, expected: float) -> bool:
    return stats.ttest_1samp(values, expected, alternative="greater").pvalue <= LEVEL
