"""Training that goes on with new rows, and fits that fail: no detector is ever half new."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from detectors import (
    KINDS,
    NAN,
    STEPS,
    assert_same_bits,
    make,
    table,
    train,
    weights,
)
from sklearn.exceptions import NotFittedError

import tollad.detector.fitting
from tollad import TollDetector
from tollad.training.batches import Batches

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestPartialFit:
    def test_first_call_is_fit(self):
        assert_same_bits(make().partial_fit(table()), train(), table())

    def test_goes_on(self):
        detector = make("mlp").partial_fit(table())
        before = weights(detector)
        features = detector.features_
        assert detector.partial_fit(table(50, seed=1)) is detector
        assert detector.n_steps_ == 2 * STEPS
        assert detector.training_scores_.shape == (50,)
        assert (detector.predict(table(50, seed=1)) == -1).sum() == 5
        assert detector.features_ is features
        assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(detector).items())

    @pytest.mark.parametrize("kind", ["table", "mlp", "series"])
    def test_of_a_trained_detector_is_quiet(self, kind):
        """That it does not get much better is no reason to warn: it was good already."""
        rows = KINDS[kind][0]
        detector = make(kind, steps=30).fit(rows).set_params(steps=5)
        for _ in range(3):
            detector.partial_fit(rows)

    def test_draws_other_batches_than_before(self, monkeypatch):
        drawn = []

        class Watched(Batches):
            def __call__(self, step):
                drawn.append(step)
                return super().__call__(step)

        monkeypatch.setattr(tollad.detector.fitting, "Batches", Watched)
        make("mlp").partial_fit(table()).partial_fit(table())
        assert drawn == list(range(2 * STEPS))

    def test_same_bits_again(self):
        one, other = (make().partial_fit(table()).partial_fit(table(40, seed=1)) for _ in range(2))
        assert_same_bits(one, other, table())

    def test_goes_on_in_the_precision_of_the_fit(self):
        one, other = train(), train().set_params(precision="bf16")
        assert_same_bits(one.partial_fit(table(40, seed=1)), other.partial_fit(table(40, seed=1)), table())

    def test_goes_on_after_load(self, tmp_path):
        detector = train()
        detector.save(tmp_path / "m.tollad")
        loaded = TollDetector.load(tmp_path / "m.tollad")
        assert_same_bits(loaded.partial_fit(table(seed=1)), detector.partial_fit(table(seed=1)), table())

    @pytest.mark.parametrize("kind", ["table", "mlp"])
    def test_one_row_is_refused(self, kind):
        """BatchNorm cannot be trained on one row; whoever may send one should hear it in our words."""
        detector = train(kind)
        before = weights(detector)
        with pytest.raises(ValueError, match=r"(?i)(minimum of 2|two rows|at least 2|at least two)"):
            detector.partial_fit(table(1))
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights(detector).items())

    def test_other_columns_are_refused(self):
        with pytest.raises(ValueError, match="5 features"):
            train().partial_fit(table(d=4))


class TestFailures:
    """A fit that fails or is interrupted leaves a detector that says so or works, never one that is half new."""

    def interrupt(self, monkeypatch, step=3):
        class Interrupted(Batches):
            def __call__(self, at):
                if at % STEPS == step:
                    raise KeyboardInterrupt
                return super().__call__(at)

        monkeypatch.setattr(tollad.detector.fitting, "Batches", Interrupted)

    def test_interrupted_first_fit_is_not_fitted(self, monkeypatch):
        self.interrupt(monkeypatch)
        detector = make()
        with pytest.raises(KeyboardInterrupt):
            detector.fit(table())
        with pytest.raises(NotFittedError):
            detector.anomaly_score(table())

    def test_first_fit_that_diverges_is_not_fitted(self):
        detector = make("mlp", learning_rate=1e30)
        with pytest.raises(FloatingPointError, match="lower learning_rate or beta"):
            detector.fit(table())
        with pytest.raises(NotFittedError):
            detector.predict(table())

    @pytest.mark.parametrize("kind", ["table", "images"])
    def test_interrupted_refit_keeps_the_old_or_nothing(self, monkeypatch, kind):
        detector, rows = train(kind), KINDS[kind][0]
        wanted = detector.anomaly_score(rows)
        self.interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(100 + 3 * rows)
        try:
            scores = detector.anomaly_score(rows)
        except NotFittedError:
            return
        np.testing.assert_array_equal(scores, wanted)

    @pytest.mark.parametrize("kind", ["table", "images", "series"])
    def test_interrupted_partial_fit_leaves_scores_that_stand_alone(self, monkeypatch, kind):
        """In training mode BatchNorm would let a row's score depend on the others."""
        detector, rows = train(kind), KINDS[kind][0]
        self.interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            detector.partial_fit(rows)
        whole = detector.anomaly_score(rows)
        np.testing.assert_allclose(detector.anomaly_score(rows[:1]), whole[:1], rtol=1e-7)
        np.testing.assert_allclose(detector.anomaly_score(rows), whole, rtol=1e-7)

    @pytest.mark.parametrize("kind", ["table", "images", "series"])
    def test_interrupted_partial_fit_changes_nothing(self, monkeypatch, kind):
        detector, rows = train(kind), KINDS[kind][0]
        before = copy.deepcopy(detector)
        self.interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            detector.partial_fit(rows[:20])
        assert_same_bits(detector, before, rows)
        assert (detector.n_steps_, detector.history_) == (before.n_steps_, before.history_)

    @pytest.mark.parametrize("method", ["anomaly_score", "score_samples", "predict", "transform", "reconstruct"])
    def test_not_fitted(self, method):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(make(), method)(table())

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"contamination": 0.9}, "contamination must be a share of the rows"),
            (
                {"network": (torch.nn.Identity(), torch.nn.Identity())},
                "network was 'mlp_layernorm' at the fit and is now",
            ),
        ],
        ids=["a value out of range", "other modules"],
    )
    def test_what_could_not_be_loaded_is_not_saved(self, tmp_path, changes, words):
        detector = train().set_params(**changes)
        with pytest.raises(ValueError, match=words):
            detector.save(tmp_path / "m")
        assert not (tmp_path / "m").exists()

    def test_modules_that_are_no_pair_are_not_blamed_on_the_file(self, tmp_path):
        train().save(tmp_path / "m")
        with pytest.raises(TypeError, match=r"^network must be a name, a builder"):
            TollDetector.load(tmp_path / "m", network=[torch.nn.Identity()])

    @pytest.mark.parametrize("network", ["mlp", "mlp_layernorm"])
    def test_rows_too_far_out_for_a_number_are_anomalies(self, network):
        """Values that are taken as they are may overflow: into NaN, which is neither above nor below a threshold."""
        rows = table()
        detector = make("mlp", preprocess=None, network=network).fit(rows)
        far = np.vstack([rows[:1], np.full((1, 5), 1e155), np.full((1, 5), 1.7e308)])
        scores = detector.anomaly_score(far)
        assert np.isfinite(scores).all()
        assert detector.predict(far)[1:].tolist() == [-1, -1]

    @pytest.mark.parametrize("given", [{"anomaly_score": "x"}, {"anomaly_score": True}, {"false_alarm_rate": "x"}])
    def test_thresholds_are_numbers(self, given):
        detector = train(false_alarm_rate=0.1)
        (name,) = given
        with pytest.raises((TypeError, ValueError), match=f"^{name} must .*, not "):
            detector.set_threshold(**given)

    def test_two_rows_are_left_to_train_on(self):
        with pytest.raises(ValueError, match=r"needs 1 calibration rows and 2 to train on, 3 in all; there are 2"):
            make(false_alarm_rate=0.5).fit(table(2))

    def test_gaps_widen_what_modules_of_the_user_are_given(self):
        rows = table()
        rows[::7, 1] = NAN
        with torch.random.fork_rng():
            network = torch.nn.Linear(5, 2), torch.nn.Linear(2, 5)
        with pytest.raises(ValueError, match=r"\(6,\).*of these columns 1 say where values are missing"):
            make("mlp", network=network, hidden="auto").fit(rows)

    def test_not_fitted_cannot_be_saved_or_cut(self, tmp_path):
        with pytest.raises(NotFittedError):
            make().save(tmp_path / "m")
        with pytest.raises(NotFittedError):
            make().set_threshold(contamination=0.1)
