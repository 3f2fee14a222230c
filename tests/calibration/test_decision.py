"""The threshold and what it rests on: rules, ties, and that no decision is ever changed."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.calibration import Decision, p_values, threshold

SCORES = np.random.default_rng(0).exponential(size=200)


def learnt(**changes) -> Decision:
    return Decision.learn(SCORES, **{"contamination": 0.1, **changes})


class TestShareOfTheTrainingRows:
    @pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.333, 0.5])
    def test_is_met(self, share):
        decision = learnt(contamination=share)
        assert decision.is_anomaly(SCORES).sum() == round(share * 200)
        assert decision.rule == ("contamination", share)

    def test_ties_are_normal_and_said(self):
        """Ten rows are asked for, and the thirteen highest are equal: no ten of them can be chosen."""
        scores = [1.0] * 37 + [2.0] * 13
        with pytest.warns(UserWarning, match=r"asks for 10 of 50 .* and 0 are: 13 rows .*contamination=0\.26 would"):
            decision = Decision.learn(scores, contamination=0.2)
        assert not decision.is_anomaly(scores).any()
        assert decision.with_threshold(contamination=0.26).is_anomaly(scores).sum() == 13

    def test_ties_below_the_highest(self):
        scores = [1.0] * 37 + [2.0] * 12 + [3.0]
        with pytest.warns(UserWarning, match="and 1 are: 12 rows"):
            assert Decision.learn(scores, contamination=0.2).is_anomaly(scores).sum() == 1

    def test_all_alike(self):
        with pytest.warns(UserWarning, match="set the threshold by a score"):
            assert not Decision.learn([3.0] * 9, contamination=0.5).is_anomaly([3.0]).any()

    def test_neighbouring_numbers(self):
        scores = np.array([1.0, np.nextafter(1.0, 2.0)])
        assert Decision.learn(scores, contamination=0.5).is_anomaly(scores).tolist() == [False, True]

    def test_numbers_at_the_end_of_the_range(self):
        most = np.finfo(np.float64).max
        assert np.isfinite(Decision.learn([1.0, 2.0, 0.9 * most, most], contamination=0.25).offset)


@pytest.mark.filterwarnings("ignore:contamination")
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("n_values", [2, 5, 10**6])
def test_threshold_is_the_p_value_rule_also_where_scores_tie(rate, n_values):
    rng = np.random.default_rng(n_values)
    calibration, new = (rng.integers(n_values, size=n).astype(float) for n in (99, 500))
    decision = Decision.learn(SCORES, contamination=0.1, false_alarm_rate=rate, calibration_scores=calibration)
    np.testing.assert_array_equal(decision.is_anomaly(new), decision.p_values(new) <= rate)
    assert decision.threshold == threshold(calibration, rate)
    np.testing.assert_array_equal(decision.p_values(new), p_values(calibration, new))


def test_is_never_changed():
    first = learnt()
    second = first.with_threshold(anomaly_score=3)
    third = first.calibrated([3.0, 1.0, 2.0], false_alarm_rate=0.5)
    assert (second.threshold, second.rule) == (3.0, ("anomaly_score", 3.0))
    assert first.calibration_scores is None
    assert third.calibration_scores.tolist() == [1.0, 2.0, 3.0]
    assert first.rule == ("contamination", 0.1)


def test_calibrated_without_a_rate_keeps_the_threshold():
    first = learnt()
    assert first.calibrated([1.0, 2.0]).offset == first.offset


def test_of_a_tail():
    decision = learnt(false_alarm_rate=0.1, calibration_scores=np.random.default_rng(1).exponential(size=500))
    assert decision.with_threshold(false_alarm_rate=1e-3, tail=True).rule == ("tail", 1e-3)


def test_overlap_with_the_training_rows():
    assert learnt().overlaps(SCORES[:50])
    assert not learnt().overlaps(SCORES[:50] * 1.01)


def test_alarms_need_calibration():
    assert learnt(false_alarm_rate=0.1, calibration_scores=SCORES).alarms([0.1, 99.0], 0.3).tolist() == [False, True]
    for ask in (lambda d: d.alarms([1.0], 0.1), lambda d: d.with_threshold(false_alarm_rate=0.1)):
        with pytest.raises(ValueError, match="need normal rows that were not trained on"):
            ask(learnt())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "exactly one of contamination, false_alarm_rate and anomaly_score"),
        ({"contamination": 0.1, "anomaly_score": 1.0}, "exactly one of contamination"),
        ({"contamination": 0.6}, "contamination must be a share of the rows, 0 < contamination <= 0.5, not 0.6"),
        ({"contamination": "x"}, "contamination must be"),
        ({"contamination": True}, "contamination must be"),
        ({"anomaly_score": float("nan")}, "anomaly_score must be a finite number, not nan"),
        ({"anomaly_score": True}, "anomaly_score must be a finite number, not True"),
        ({"false_alarm_rate": 2}, "false_alarm_rate must"),
        ({"tail": True}, "give false_alarm_rate"),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        learnt(false_alarm_rate=0.1, calibration_scores=SCORES).with_threshold(**arguments)
