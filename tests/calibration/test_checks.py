"""What every function of the room says of scores and rates that are none."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.calibration import (
    DriftMonitor,
    benjamini_hochberg,
    fit_tail,
    p_values,
    rows_needed,
    threshold,
)

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
