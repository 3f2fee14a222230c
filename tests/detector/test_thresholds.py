"""Thresholds by a share of the training rows or by a score; promises about new rows are in test_promises.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from detectors import (
    COLLAPSED,
    FEW_STEPS,
    KINDS,
    NAN,
    make,
    table,
    train,
)

from tollad import TollDetector

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestShareOfTrainingRows:
    SHARES = (0.01, 0.05, 0.1, 0.25, 0.333, 0.5)

    @pytest.mark.filterwarnings(FEW_STEPS, COLLAPSED)
    @pytest.mark.parametrize("n", [2, 3, 59, 60])
    def test_exactly_that_many_are_called_anomalous(self, n):
        detector = make("mlp").fit(table(n))
        for contamination in self.SHARES:
            detector.set_threshold(contamination=contamination)
            assert (detector.predict(table(n)) == -1).sum() == round(contamination * n)

    @pytest.mark.parametrize("contamination", [0.25, 0.333])
    def test_of_the_parameter(self, contamination):
        detector = train("mlp", contamination=contamination)
        assert (detector.predict(table()) == -1).sum() == round(contamination * 60)

    def test_also_when_rows_are_scored_one_by_one(self, fitted):
        for kind in ("table", "images"):
            rows = KINDS[kind][0]
            one_by_one = [fitted[kind].predict(rows[i : i + 1])[0] for i in range(len(rows))]
            assert one_by_one.count(-1) == round(0.1 * len(rows))

    def test_set_threshold_by_share(self, fitted):
        detector = copy.deepcopy(fitted["table"])
        assert detector.set_threshold(contamination=0.3) is detector
        assert detector.contamination == 0.3
        assert (detector.predict(table()) == -1).sum() == 18
        np.testing.assert_array_equal(detector.training_scores_, fitted["table"].training_scores_)

    def test_set_threshold_by_score(self, fitted):
        detector = copy.deepcopy(fitted["table"])
        scores = detector.training_scores_
        cut = float(np.median(scores))
        detector.set_threshold(anomaly_score=cut)
        np.testing.assert_array_equal(detector.predict(table()) == -1, scores > cut)
        at_a_row = float(scores[3])
        detector.set_threshold(anomaly_score=at_a_row)
        np.testing.assert_array_equal(detector.predict(table()) == -1, scores > at_a_row)

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"contamination": 0.1, "anomaly_score": 1.0}, {"contamination": 0.1, "false_alarm_rate": 0.1}],
    )
    def test_set_threshold_needs_one(self, fitted, arguments):
        words = "a threshold needs exactly one of contamination, false_alarm_rate and anomaly_score"
        with pytest.raises(ValueError, match=words):
            fitted["table"].set_threshold(**arguments)

    def test_the_rule_is_kept(self, fitted, tmp_path):
        detector = copy.deepcopy(fitted["table"])
        assert detector.threshold_rule_ == ("contamination", 0.1)
        detector.set_threshold(contamination=0.3)
        assert detector.threshold_rule_ == ("contamination", 0.3)
        detector.set_threshold(anomaly_score=2)
        assert detector.threshold_rule_ == ("anomaly_score", 2.0)
        detector.save(tmp_path / "m")
        assert TollDetector.load(tmp_path / "m").threshold_rule_ == ("anomaly_score", 2.0)

    @pytest.mark.parametrize("arguments", [{"contamination": 0.6}, {"anomaly_score": NAN}, {"anomaly_score": np.inf}])
    def test_set_threshold_refuses_and_keeps_the_old(self, fitted, arguments):
        before = fitted["table"].offset_
        with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be"):
            fitted["table"].set_threshold(**arguments)
        assert fitted["table"].offset_ == before
