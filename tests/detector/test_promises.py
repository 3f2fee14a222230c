"""What a calibrated detector promises about new normal rows; the arithmetic is in test_calibration.py."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from detectors import KINDS, NAN, assert_same_bits, make, table, weights

from tollad import TollDetector
from tollad.calibration import fit_tail

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def calibrated():
    return make("mlp", false_alarm_rate=0.1, n_members=1).fit(table())


class TestCalibration:
    """Promises about new normal rows; the arithmetic is in test_calibration.py."""

    def test_a_fifth_is_held_out(self, calibrated):
        assert calibrated.training_scores_.shape == (48,)
        assert calibrated.calibration_scores_.shape == (12,)
        assert (np.diff(calibrated.calibration_scores_) >= 0).all()
        every = np.sort(calibrated.anomaly_score(table()))
        both = np.sort([*calibrated.training_scores_, *calibrated.calibration_scores_])
        np.testing.assert_allclose(both, every, rtol=1e-12)

    def test_or_as_many_as_the_rate_needs(self):
        detector = make("mlp", false_alarm_rate=0.04).fit(table())
        assert detector.calibration_scores_.shape == (24,)

    def test_held_out_rows_are_not_trained_on(self, calibrated):
        """Whatever they are, the weights are the same."""
        scores = calibrated.anomaly_score(table())[:, None]
        held = np.isclose(scores, calibrated.calibration_scores_, rtol=1e-12).any(1)
        assert held.sum() == 12
        other = np.where(held[:, None], 100.0, table())
        again = make("mlp", false_alarm_rate=0.1, n_members=1).fit(other)
        for name, tensor in weights(again).items():
            assert torch.equal(tensor, weights(calibrated)[name]), name
        assert again.offset_ < calibrated.offset_

    def test_threshold_is_the_p_value_rule(self, calibrated):
        rows = table(300, seed=5) * np.linspace(0.5, 3, 300)[:, None]
        alarms = calibrated.predict(rows) == -1
        np.testing.assert_array_equal(alarms, calibrated.p_value(rows) <= 0.1)
        assert 0 < alarms.sum() < 300

    def test_p_values_count(self, calibrated):
        rows = table(20, seed=5)
        at_least = calibrated.calibration_scores_[None] >= calibrated.anomaly_score(rows)[:, None]
        np.testing.assert_allclose(calibrated.p_value(rows), (1 + at_least.sum(1)) / 13)

    def test_alarms_are_those_of_the_batch(self):
        detector = make("mlp", false_alarm_rate=0.01).fit(table(300))
        rows = np.vstack([table(40, seed=5), 50 + table(10, seed=6)])
        np.testing.assert_array_equal(detector.alarms(rows, fdr=0.1), np.arange(50) >= 40)

    def test_it_wins_over_contamination(self, calibrated):
        again = make("mlp", false_alarm_rate=0.1, n_members=1, contamination=0.5).fit(table())
        assert again.offset_ == calibrated.offset_

    def test_too_few_rows_are_refused(self):
        with pytest.raises(ValueError, match=r"false_alarm_rate=0.01 needs 99 .* 198 in all; there are 60"):
            make(false_alarm_rate=0.01).fit(table())

    @pytest.mark.parametrize("rate", [0, 1, -0.1, NAN])
    def test_rate_out_of_range_is_refused(self, rate):
        with pytest.raises(ValueError, match="false_alarm_rate must be a share of the normal rows"):
            make(false_alarm_rate=rate).fit(table())

    @pytest.mark.parametrize("method", ["p_value", "alarms"])
    def test_without_calibration_rows_there_are_no_p_values(self, fitted, method):
        with pytest.raises(ValueError, match="set false_alarm_rate before the fit, or call calibrate"):
            getattr(fitted["table"], method)(table())

    def test_after_the_fact(self, fitted):
        detector = copy.deepcopy(fitted["mlp"])
        assert detector.calibrate(table(30, seed=7), false_alarm_rate=0.2) is detector
        np.testing.assert_array_equal(detector.calibration_scores_, np.sort(detector.anomaly_score(table(30, seed=7))))
        rows = table(50, seed=8)
        np.testing.assert_array_equal(detector.predict(rows) == -1, detector.p_value(rows) <= 0.2)

    def test_after_the_fact_without_a_rate_the_threshold_stays(self, fitted):
        detector = copy.deepcopy(fitted["mlp"]).calibrate(table(30, seed=7))
        assert detector.offset_ == fitted["mlp"].offset_
        assert (detector.p_value(table()) > 0).all()

    @pytest.mark.parametrize("kind", ["table", "mlp", "images", "own modules"])
    @pytest.mark.parametrize("part", [slice(None), slice(1, None, 2), slice(3, 20), slice(None, None, -1)], ids=str)
    def test_training_rows_are_no_calibration_rows(self, fitted, kind, part):
        """Also in a batch with other rows, which may change the last bits of a score."""
        detector = copy.deepcopy(fitted[kind])
        with pytest.raises(ValueError, match=r"more than half .* training row; give normal rows .* not trained on"):
            detector.calibrate(KINDS[kind][0][part])
        assert not hasattr(detector, "calibration_scores_")

    def test_too_few_rows_after_the_fact_change_nothing(self, fitted):
        detector = copy.deepcopy(fitted["mlp"])
        with pytest.raises(ValueError, match="needs 99 calibration rows, not 30"):
            detector.calibrate(table(30, seed=7), false_alarm_rate=0.01)
        assert detector.offset_ == fitted["mlp"].offset_
        assert not hasattr(detector, "calibration_scores_")

    @pytest.mark.filterwarnings("ignore:contamination")
    def test_tables_of_few_values_can_be_calibrated(self):
        """In such tables new rows equal training rows, and each other, although they are new."""
        rng = np.random.default_rng(0)
        detector = make("mlp").fit(rng.integers(0, 2, size=(200, 3)))
        assert len(detector.calibrate(rng.integers(0, 2, size=(50, 3))).calibration_scores_) == 50

    def test_set_threshold_by_rate(self, calibrated):
        detector, rows = copy.deepcopy(calibrated), table(300, seed=5)
        detector.set_threshold(false_alarm_rate=0.5)
        np.testing.assert_array_equal(detector.predict(rows) == -1, calibrated.p_value(rows) <= 0.5)
        assert detector.false_alarm_rate == 0.5
        assert detector.threshold_rule_ == ("false_alarm_rate", 0.5)

    @pytest.mark.parametrize(
        ("rate", "words"),
        [
            (0, "false_alarm_rate must lie between 0 and 1, both excluded, not 0"),
            (1, "false_alarm_rate must lie between 0 and 1, both excluded, not 1"),
            (0.01, "a false alarm rate of 0.01 needs 99 calibration rows, not 12; .* rate of 0.0769 or more$"),
        ],
    )
    def test_rates_that_cannot_be_kept_are_refused_and_the_threshold_stays(self, calibrated, rate, words):
        detector = copy.deepcopy(calibrated)
        for move in (detector.set_threshold, partial(detector.calibrate, table(12, seed=7))):
            with pytest.raises(ValueError, match=f"^{words}"):
                move(false_alarm_rate=rate)
            assert detector.offset_ == calibrated.offset_
            assert detector.false_alarm_rate == 0.1
            np.testing.assert_array_equal(detector.calibration_scores_, calibrated.calibration_scores_)

    def test_a_rate_without_calibration_rows_is_refused(self, fitted):
        with pytest.raises(ValueError, match="false-alarm rates need normal rows that were not trained on: set false_"):
            fitted["table"].set_threshold(false_alarm_rate=0.1)

    def test_beyond_the_calibration_rows(self, fitted, tmp_path):
        """An estimate, which says so, is in the model file, and is no parameter of the next fit."""
        detector = copy.deepcopy(fitted["mlp"]).calibrate(table(500, seed=7), false_alarm_rate=0.0005, tail=True)
        assert -detector.offset_ > detector.calibration_scores_[-1]
        assert -detector.offset_ == fit_tail(detector.calibration_scores_).threshold(0.0005)
        assert detector.threshold_rule_ == ("tail", 0.0005)
        assert detector.false_alarm_rate is None
        detector.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert (loaded.offset_, loaded.threshold_rule_) == (detector.offset_, ("tail", 0.0005))
        loaded.set_threshold(false_alarm_rate=0.01)
        assert loaded.threshold_rule_ == ("false_alarm_rate", 0.01)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"tail": True}, "tail=True extrapolates a false-alarm rate; give false_alarm_rate"),
            ({"tail": True, "contamination": 0.1}, "tail=True extrapolates a false-alarm rate"),
            ({"tail": True, "false_alarm_rate": 0.001}, "a tail fit needs 354 calibration rows, not 12"),
        ],
    )
    def test_tails_that_cannot_be_fitted_are_refused(self, calibrated, arguments, words):
        detector = copy.deepcopy(calibrated)
        with pytest.raises(ValueError, match=words):
            detector.set_threshold(**arguments)
        assert detector.offset_ == calibrated.offset_

    @pytest.mark.parametrize("fdr", [0, 1, 1.5])
    def test_false_discovery_rates_out_of_range_are_refused(self, calibrated, fdr):
        with pytest.raises(ValueError, match="fdr must lie between 0 and 1, both excluded, not"):
            calibrated.alarms(table(), fdr=fdr)

    @pytest.mark.parametrize("again", ["fit", "partial_fit"])
    def test_trained_again_without_a_rate_there_are_no_old_p_values(self, fitted, again):
        """Scores of another state of the network say nothing of this one."""
        detector = copy.deepcopy(fitted["mlp"]).calibrate(table(30, seed=7))
        getattr(detector, again)(table(seed=1))
        with pytest.raises(ValueError, match="p-values and false-alarm rates need normal rows"):
            detector.p_value(table())

    def test_partial_fit_calibrates_anew(self, calibrated):
        detector = copy.deepcopy(calibrated).partial_fit(table(100, seed=1))
        assert detector.training_scores_.shape == (80,)
        assert detector.calibration_scores_.shape == (20,)

    def test_save(self, calibrated, tmp_path):
        calibrated.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert_same_bits(loaded, calibrated, table())
        np.testing.assert_array_equal(loaded.p_value(table(seed=3)), calibrated.p_value(table(seed=3)))
