"""The estimator as its users meet it; scikit-learn's own checks are in contract/test_sklearn.py."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from detectors import (
    FEW,
    FEW_STEPS,
    KINDS,
    NAN,
    STEPS,
    PressedAt,
    assert_same_bits,
    linear_network,
    make,
    own_network,
    people,
    pickled,
    pictures,
    table,
    train,
    weights,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tollad.detector.fitting
from tollad import TollDetector
from tollad.io import artifact
from tollad.training.batches import Batches

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def fitted():
    """One fitted detector of each kind; tests copy what they change."""
    return {kind: train(kind) for kind in KINDS}


class TestFit:
    @pytest.mark.parametrize("kind", KINDS)
    def test_attributes(self, fitted, kind):
        detector, (rows, _) = fitted[kind], KINDS[kind]
        assert detector.input_shape_ == rows.shape[1:]
        assert detector.n_features_in_ == rows.shape[1]
        assert detector.n_steps_ == STEPS
        assert detector.training_scores_.shape == (len(rows),)
        assert detector.training_scores_.dtype == np.float64
        assert isinstance(detector.offset_, float)
        assert len(detector.stack_) == detector.settings_.n_members
        assert not hasattr(detector, "feature_names_in_")

    @pytest.mark.parametrize("kind", KINDS)
    def test_methods(self, fitted, kind):
        detector, (rows, _) = fitted[kind], KINDS[kind]
        scores = detector.anomaly_score(rows)
        np.testing.assert_array_equal(scores, detector.training_scores_)
        assert (scores > 0).all()
        np.testing.assert_array_equal(detector.score_samples(rows), -scores)
        np.testing.assert_array_equal(detector.decision_function(rows), -scores - detector.offset_)
        np.testing.assert_array_equal(detector.predict(rows), np.where(-scores < detector.offset_, -1, 1))
        latents = detector.transform(rows)
        assert latents.shape == (len(rows), detector.settings_.n_members * detector.settings_.latent_dim)
        assert detector.reconstruct(rows).shape == rows.shape

    @pytest.mark.parametrize("kind", FEW)
    def test_same_bits_again(self, fitted, kind):
        assert_same_bits(train(kind), fitted[kind], KINDS[kind][0])

    @pytest.mark.parametrize("kind", ["table", "images", "series"])
    def test_finds_what_is_far_away(self, fitted, kind):
        rows = KINDS[kind][0]
        far = rows[:5] + 30 * np.random.default_rng(1).normal(size=rows[:5].shape)
        assert fitted[kind].anomaly_score(far).min() > fitted[kind].training_scores_.max()
        assert (fitted[kind].predict(far) == -1).all()

    def test_parameters_stay_as_they_were(self, fitted):
        for kind, detector in fitted.items():
            assert str(detector.get_params()) == str(make(kind).get_params())

    def test_refit_forgets(self):
        detector = train("images")
        again = detector.set_params(hidden=(8,)).fit(table())
        assert_same_bits(again, train("table"), table())

    def test_y_is_ignored(self):
        assert_same_bits(make().fit(table(), np.arange(60)), train(), table())

    def test_fit_predict_and_fit_transform(self, fitted):
        np.testing.assert_array_equal(make().fit_predict(table()), fitted["table"].predict(table()))
        np.testing.assert_array_equal(make().fit_transform(table()), fitted["table"].transform(table()))

    @pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2), ("linf", np.inf)])
    @pytest.mark.parametrize("target", ["origin", "mean"])
    def test_score_is_the_distance_to_the_reconstruction_and_of_the_latent(self, norm, order, target):
        """Equation (3), from what `reconstruct` and `transform` return."""
        detector = train("raw", network="mlp", norm=norm, target=target, beta=3.0, steps=40)
        x, z = table(20, seed=9), detector.transform(table(20, seed=9))
        center = detector.transform(table()).mean(0) if target == "mean" else 0.0
        error = np.linalg.norm(detector.reconstruct(x) - x, axis=1)
        wanted = error + 3.0 * np.linalg.norm(z - center, order, axis=1)
        np.testing.assert_allclose(detector.anomaly_score(x), wanted, rtol=1e-6)

    def test_several_members_count_alike(self):
        """Each member's score is in units of its mean over the training rows."""
        detector = train("mlp", preprocess=None)
        x = table(20, seed=9)

        def by_member(rows):
            inputs = torch.from_numpy(rows)
            members = [copy.deepcopy(detector.stack_[m]).double().eval() for m in range(3)]
            with torch.no_grad():
                outputs = [member(inputs) for member in members]
            return np.array([((x_hat - inputs).norm(dim=1) + 0.1 * z.norm(dim=1)).numpy() for x_hat, z in outputs])

        wanted = (by_member(x) / by_member(table()).mean(1, keepdims=True)).mean(0)
        np.testing.assert_allclose(detector.anomaly_score(x), wanted, rtol=1e-9)
        assert detector.training_scores_.mean() == pytest.approx(1)

    def test_beta_0_is_the_reconstruction_error(self):
        detector = train("raw", network="mlp", beta=0)
        x = table(20, seed=9)
        np.testing.assert_allclose(detector.anomaly_score(x), np.linalg.norm(detector.reconstruct(x) - x, axis=1))

    def test_members_differ_and_are_averaged(self, fitted):
        state = weights(fitted["mlp"])
        assert not torch.equal(state["encoder.0.weight"][0], state["encoder.0.weight"][1])

    def test_default_of_tables_is_denoising_collapse(self, fitted):
        settings = fitted["table"].settings_
        assert (settings.network, settings.corruption, settings.n_members) == ("mlp_layernorm", "mixed", 4)

    def test_images_may_be_corrupted_too(self):
        assert train("images", corruption="mixed", steps=40).settings_.corruption == "mixed"

    def test_mixed_precision(self):
        detector, full = train("images", precision="bf16"), train("images")
        assert detector.stack_.dtype == torch.float32
        np.testing.assert_allclose(detector.anomaly_score(KINDS["images"][0]), full.training_scores_, rtol=0.3)
        assert detector.history_.loss != full.history_.loss

    def test_early_stopping_holds_out_a_tenth(self):
        detector = train("mlp", early_stopping=True, steps=60)
        assert len(detector.history_.held_out) == len(detector.history_.step)
        assert detector.training_scores_.shape == (60,)

    def test_early_stopping_with_views(self):
        assert train("table", early_stopping=True).history_.held_out

    def test_early_stopping_needs_three_rows(self):
        with pytest.raises(
            ValueError, match=r"early_stopping holds out a tenth of the rows and needs .*3.*early_stopping=False"
        ):
            make(early_stopping=True).fit(table(2))

    @pytest.mark.filterwarnings(FEW_STEPS)
    def test_early_stopping_of_three_rows(self):
        make(early_stopping=True, steps=3).fit(table(3))

    def test_early_stopping_keeps_the_best_weights(self):
        """A run that is stopped has the scores of its best measurement, whatever came after."""
        detector = make("mlp", early_stopping=True, steps=400, learning_rate=0.1, n_members=1).fit(table())
        history = detector.history_
        assert history.step[-1] < 400
        order = np.random.default_rng(0).permutation(60)
        held_out = detector.anomaly_score(table()[order[:6]]).mean()
        assert held_out == pytest.approx(np.min(history.held_out), rel=1e-5)


class TestShareOfTrainingRows:
    SHARES = (0.01, 0.05, 0.1, 0.25, 0.333, 0.5)

    @pytest.mark.filterwarnings(FEW_STEPS)
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
        words = "set_threshold needs either contamination or false_alarm_rate or anomaly_score"
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


class TestRowsAlone:
    """The score of a row does not depend on the rows it comes with."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_any_split_and_order(self, fitted, kind):
        detector, rows = fitted[kind], KINDS[kind][0]
        whole = detector.anomaly_score(rows)
        rng = np.random.default_rng(0)
        for n_parts in (1, 2, 7, len(rows)):
            order = rng.permutation(len(rows))
            parts = np.array_split(order, n_parts)
            scores = np.concatenate([detector.anomaly_score(rows[part]) for part in parts])
            # Modules of the user run in single precision, and their products round by the place in a block.
            np.testing.assert_allclose(scores, whole[order], rtol=1e-6 if kind == "own modules" else 1e-7)

    @pytest.mark.parametrize("rows", [table(70), pictures(8, 8, n=33)], ids=["table", "images"])
    def test_with_default_parameters(self, rows):
        detector = TollDetector(steps=30, random_state=0).fit(rows)
        alone = np.concatenate([detector.anomaly_score(rows[i : i + 1]) for i in range(len(rows))])
        np.testing.assert_allclose(alone, detector.training_scores_, rtol=1e-7)
        np.testing.assert_allclose(detector.anomaly_score(rows[::-1])[::-1], detector.training_scores_, rtol=1e-7)

    @pytest.mark.parametrize("kind", KINDS)
    def test_duplicates_score_alike(self, fitted, kind):
        rows = np.repeat(KINDS[kind][0][:3], 7, axis=0)
        scores = fitted[kind].anomaly_score(rows).reshape(3, 7)
        np.testing.assert_allclose(scores, scores[:, :1].repeat(7, 1), rtol=1e-6 if kind == "own modules" else 1e-7)

    @pytest.mark.parametrize("kind", ["table", "images"])
    def test_scoring_changes_nothing(self, fitted, kind):
        detector, before = fitted[kind], weights(fitted[kind])
        rows = KINDS[kind][0]
        first = detector.anomaly_score(rows)
        detector.anomaly_score(1000 + rows)
        np.testing.assert_array_equal(detector.anomaly_score(rows), first)
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights(detector).items())


class TestReconstruct:
    def test_in_the_units_of_the_rows(self):
        rows = 1000 + 50 * table()
        detector = make("mlp", steps=300, beta=0.001, n_members=2).fit(rows)
        error = np.abs(detector.reconstruct(rows) - rows).mean()
        assert error < 0.5 * np.abs(rows - rows.mean(0)).mean()

    def test_missing_values_are_filled(self, fitted):
        assert np.isfinite(fitted["table with gaps"].reconstruct(KINDS["table with gaps"][0])).all()

    @pytest.mark.parametrize("kind", ["table", "table with gaps", "grey images", "small images", "series"])
    def test_rows_keep_their_order(self, fitted, kind):
        rows = KINDS[kind][0]
        whole = fitted[kind].reconstruct(rows)
        np.testing.assert_allclose(fitted[kind].reconstruct(rows[4:5])[0], whole[4], rtol=1e-4, atol=1e-5)


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
        detector = make(kind, steps=100).fit(rows).set_params(steps=10)
        for _ in range(5):
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


class TestParameters:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"beta": -1}, "beta must be a finite number >= 0, not -1"),
            ({"network": "resnet"}, "unknown network 'resnet'"),
            ({"device": "gpu"}, "unknown device 'gpu'"),
            ({"random_state": -1}, "random_state must be an integer >= 0"),
            ({"random_state": "seed"}, "random_state must be an integer >= 0"),
            ({"random_state": 1.5}, "random_state must be an integer >= 0"),
            ({"hidden": (4,), "network": "conv28"}, "no free widths"),
        ],
    )
    def test_bad_ones_are_refused_by_fit(self, changes, words):
        with pytest.raises(ValueError, match=words):
            train(**changes)

    def test_are_not_checked_before_fit(self):
        assert TollDetector(beta="nonsense").beta == "nonsense"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
    def test_no_gpu_here(self):
        with pytest.raises(ValueError, match="device 'cuda' is not on this machine"):
            train(device="cuda")

    def test_all_are_keywords_and_documented(self):
        signature = inspect.signature(TollDetector.__init__)
        names = [name for name in signature.parameters if name != "self"]
        assert all(signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names)
        for name in names:
            assert f"\n    {name} : " in TollDetector.__doc__, name

    def test_attributes_are_documented(self, fitted):
        public = {name for name in vars(fitted["table"]) if name.endswith("_") and not name.startswith("_")}
        for name in public - {"objective_"} | {"feature_names_in_"}:
            assert f"\n    {name} : " in TollDetector.__doc__, name

    def test_changed_after_fit_do_not_change_the_fitted(self, fitted, tmp_path):
        """As everywhere in scikit-learn: parameters count at the next fit."""
        changes = {"norm": "l1", "target": "mean", "network": "mlp", "preprocess": None, "n_members": 9, "beta": 50.0}
        for kind in ("table", "grey images", "series"):
            detector = copy.deepcopy(fitted[kind]).set_params(**changes)
            rows = KINDS[kind][0]
            np.testing.assert_array_equal(detector.anomaly_score(rows), fitted[kind].training_scores_)
            detector.save(tmp_path / "m.tollad")
            loaded = TollDetector.load(tmp_path / "m.tollad")
            np.testing.assert_array_equal(loaded.anomaly_score(rows), fitted[kind].training_scores_)

    def test_more_members_than_memory_holds_are_refused(self, monkeypatch):
        monkeypatch.setattr(tollad.training.build, "_available_memory", lambda device: 10 * 2**20)
        with pytest.raises(MemoryError, match=r"500 members need about .* GiB of memory, .*; lower n_members, "):
            train(n_members=500)


class TestRandomness:
    def test_none_is_another_fit_each_time(self):
        one, other = (train(random_state=None) for _ in range(2))
        assert not np.array_equal(one.training_scores_, other.training_scores_)

    def test_seeds_differ(self, fitted):
        assert not np.array_equal(train(random_state=1).training_scores_, fitted["table"].training_scores_)

    def test_the_seed_decides_the_rows_held_out(self):
        """The means of the columns are those of the other rows."""
        means = [train(false_alarm_rate=0.2, random_state=seed).features_.mean.tolist() for seed in (0, 0, 1)]
        assert means[0] == means[1] != means[2]

    def test_generator_of_numpy(self):
        one, other = (train(random_state=np.random.RandomState(3)) for _ in range(2))
        assert_same_bits(one, other, table())
        state = np.random.RandomState(3)
        first, second = train(random_state=state), train(random_state=state)
        assert not np.array_equal(first.training_scores_, second.training_scores_)

    @pytest.mark.parametrize("kind", ["table", "own modules"])
    @pytest.mark.parametrize("seed", [0, np.int64(7), 2**63, 2**70])
    def test_any_integer(self, kind, seed):
        train(kind, random_state=seed)

    @pytest.mark.parametrize("kind", ["table", "own modules", "images"])
    def test_global_states_do_not_matter(self, fitted, kind):
        with torch.random.fork_rng():
            torch.manual_seed(12345)
            assert_same_bits(train(kind), fitted[kind], KINDS[kind][0])

    @pytest.mark.parametrize("kind", FEW)
    def test_global_states_are_not_moved(self, kind, tmp_path):
        """The guard of this module compares them."""
        detector = train(kind, early_stopping=True).partial_fit(KINDS[kind][0])
        detector.predict(KINDS[kind][0])
        detector.save(tmp_path / "m.tollad")
        network = own_network() if kind == "own modules" else None
        TollDetector.load(tmp_path / "m.tollad", network=network)

    def test_two_detectors_in_turn(self):
        one, other = make("mlp"), make("mlp", random_state=1)
        for rows in (table(), table(seed=1), table(seed=2)):
            one.partial_fit(rows)
            other.partial_fit(rows)
        alone = make("mlp")
        for rows in (table(), table(seed=1), table(seed=2)):
            alone.partial_fit(rows)
        assert_same_bits(one, alone, table())

    @pytest.mark.parametrize("kind", ["table", "images", "series"])
    def test_threads(self, fitted, kind):
        with ThreadPoolExecutor(4) as pool:
            detectors = list(pool.map(lambda _: train(kind), range(4)))
        for detector in detectors:
            assert_same_bits(detector, fitted[kind], KINDS[kind][0])

    def test_modules_with_randomness_in_threads(self, fitted):
        """Dropout draws from torch's one global state, which two fits at a time must not share."""
        with ThreadPoolExecutor(4) as pool:
            detectors = list(pool.map(lambda _: train("own modules"), range(4)))
        for detector in detectors:
            assert_same_bits(detector, fitted["own modules"], table())

    def test_scores_in_threads(self, fitted):
        with ThreadPoolExecutor(4) as pool:
            for scores in pool.map(fitted["table"].anomaly_score, [table()] * 8):
                np.testing.assert_array_equal(scores, fitted["table"].training_scores_)


class TestCopies:
    @pytest.mark.parametrize("copier", [copy.deepcopy, pickled])
    @pytest.mark.parametrize("kind", [*FEW, "mean"])
    def test_same_bits_and_independent(self, fitted, kind, copier):
        rows = KINDS[kind][0]
        copied = copier(fitted[kind])
        assert_same_bits(copied, fitted[kind], rows)
        before = fitted[kind].anomaly_score(rows)
        copied.partial_fit(rows)
        assert not np.array_equal(copied.anomaly_score(rows), before)
        np.testing.assert_array_equal(fitted[kind].anomaly_score(rows), before)

    def test_copies_learn_on_alike(self, fitted):
        one, other = copy.deepcopy(fitted["mlp"]), pickled(fitted["mlp"])
        assert_same_bits(one.partial_fit(table(seed=1)), other.partial_fit(table(seed=1)), table())

    def test_pickles_are_small(self, fitted):
        for detector in fitted.values():
            size = sum(tensor.nbytes for tensor in detector.stack_.state().values())
            assert len(pickle.dumps(detector)) < 4 * size + 40_000 * len(detector.stack_) + 10_000

    @pytest.mark.parametrize("kind", FEW)
    def test_clone_is_unfitted_and_fits_alike(self, fitted, kind):
        cloned = clone(fitted[kind])
        assert not hasattr(cloned, "stack_")
        assert_same_bits(cloned.fit(KINDS[kind][0]), fitted[kind], KINDS[kind][0])

    def test_modules_of_the_user_are_not_trained(self):
        network = own_network()
        before = {name: tensor.clone() for name, tensor in network[0].state_dict().items()}
        train("own modules", network=network)
        assert all(torch.equal(tensor, before[name]) for name, tensor in network[0].state_dict().items())
        assert network[0].training


class TestScikitLearn:
    def test_pipeline(self):
        pipeline = make_pipeline(StandardScaler(), make(preprocess=None)).fit(table())
        assert (pipeline.predict(table()) == -1).sum() == 6
        np.testing.assert_array_equal(pipeline.score_samples(table()), -pipeline[-1].training_scores_)

    def test_grid_search(self):
        rows = np.vstack([table(), 9 * np.random.default_rng(5).normal(size=(12, 5))])
        labels = np.array([1] * 60 + [-1] * 12)
        order = np.random.default_rng(0).permutation(72)
        search = GridSearchCV(make(), {"beta": [0.1, 1.0]}, scoring="roc_auc", cv=2, error_score="raise")
        search.fit(rows[order], labels[order])
        assert search.best_score_ > 0.8
        assert search.best_params_["beta"] in (0.1, 1.0)

    def test_repr_shows_what_differs_from_the_default(self):
        assert repr(TollDetector(beta=3.0)) == "TollDetector(beta=3.0)"


class TestCheckpoint:
    @pytest.mark.parametrize("kind", [*FEW, "mean", "double"])
    def test_interrupted_and_continued(self, fitted, kind, tmp_path, monkeypatch):
        rows = KINDS[kind][0]
        with monkeypatch.context() as patch:
            patch.setattr(tollad.detector.fitting, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                make(kind).fit(rows, checkpoint=tmp_path / "c")
        continued = make(kind).fit(rows, checkpoint=tmp_path / "c")
        assert_same_bits(continued, fitted[kind], rows)
        assert continued.history_ == fitted[kind].history_
        assert continued.n_steps_ == STEPS

    def test_with_early_stopping(self, tmp_path, monkeypatch):
        def fit(**options):
            return make("mlp", early_stopping=True, steps=200, learning_rate=0.1).fit(table(), **options)

        wanted = fit()
        with monkeypatch.context() as patch:
            patch.setattr(tollad.detector.fitting, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                fit(checkpoint=tmp_path / "c")
        assert_same_bits(fit(checkpoint=tmp_path / "c"), wanted, table())

    @pytest.mark.parametrize("kind", FEW)
    def test_finished_returns_at_once(self, fitted, kind, tmp_path, monkeypatch):
        rows = KINDS[kind][0]
        make(kind).fit(rows, checkpoint=tmp_path / "c")

        def fails(*_, **__):
            raise AssertionError("trained again")

        monkeypatch.setattr(Batches, "__call__", fails)
        assert_same_bits(make(kind).fit(rows, checkpoint=tmp_path / "c"), fitted[kind], rows)

    def test_without_interruption_changes_nothing(self, fitted, tmp_path):
        assert_same_bits(make().fit(table(), checkpoint=str(tmp_path / "c")), fitted["table"], table())

    def test_verbosity_may_change(self, tmp_path, capsys):
        make().fit(table(), checkpoint=tmp_path / "c")
        make(verbose=1).fit(table(), checkpoint=tmp_path / "c")

    @pytest.mark.parametrize(
        "changes",
        [
            {"beta": 0.2},
            {"steps": STEPS + 1},
            {"random_state": 1},
            {"hidden": (9,)},
            {"early_stopping": True},
            {"norm": "l1"},
        ],
        ids=str,
    )
    def test_other_parameters_are_refused(self, tmp_path, changes):
        make().fit(table(), checkpoint=tmp_path / "c")
        before = (tmp_path / "c").read_bytes()
        with pytest.raises(ValueError, match="c: this checkpoint is of other data or other parameters"):
            make(**changes).fit(table(), checkpoint=tmp_path / "c")
        assert (tmp_path / "c").read_bytes() == before

    @pytest.mark.filterwarnings("ignore:column '.*' holds whole numbers beyond")
    @pytest.mark.parametrize("change", ["value", "order", "fewer", "shape", "names", "type"])
    def test_other_rows_are_refused(self, tmp_path, change):
        rows = table()
        other = {
            "value": np.where(np.arange(60)[:, None] == 17, rows + 1e-9, rows),
            "order": rows[::-1],
            "fewer": rows[:-1],
            "shape": rows.reshape(50, 6),
            "names": pd.DataFrame(rows, columns=list("abcde")),
            "type": rows.view(np.int64),
        }[change]
        make().fit(rows, checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="other data or other parameters"):
            make().fit(other, checkpoint=tmp_path / "c")

    def test_other_weights_of_own_modules_are_refused(self, tmp_path):
        make("own modules").fit(table(), checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="other data or other parameters"):
            make("own modules", network=own_network(seed=1)).fit(table(), checkpoint=tmp_path / "c")

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)], ids=["None", "RandomState"])
    def test_needs_a_seed(self, tmp_path, random_state):
        with pytest.raises(ValueError, match="a checkpoint needs random_state=<an integer>"):
            make(random_state=random_state).fit(table(), checkpoint=tmp_path / "c")
        assert not (tmp_path / "c").exists()

    def test_damaged_is_refused(self, tmp_path):
        make().fit(table(), checkpoint=tmp_path / "c")
        data = bytearray((tmp_path / "c").read_bytes())
        data[len(data) // 2] ^= 255
        (tmp_path / "c").write_bytes(data)
        with pytest.raises(ValueError, match="c was altered"):
            make().fit(table(), checkpoint=tmp_path / "c")

    def test_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            make().fit(table(), checkpoint=tmp_path / "missing" / "c")

    def test_killed_and_continued(self, tmp_path):
        """kill -9 in the middle: whatever state was saved is whole, and leads to the same scores."""
        rows, path = tmp_path / "rows.npy", tmp_path / "c"
        np.save(rows, table())
        # Slow enough to be killed in the middle, whatever the machine.
        script = (
            "import sys, time, numpy as np, torch\n"
            "from tollad import TollDetector\nfrom tollad.detector import fitting as detector\n"
            "torch.set_num_threads(1)\n"
            "class Slow(detector.Batches):\n"
            "    def __call__(self, step):\n"
            "        time.sleep(0.01)\n"
            "        return super().__call__(step)\n"
            "detector.Batches = Slow\n"
            "parameters = dict(network='mlp', hidden=(8,), steps=400, beta=0.1, random_state=0)\n"
            "TollDetector(**parameters).fit(np.load(sys.argv[1]), checkpoint=sys.argv[2])\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script, rows, path])
        deadline = time.monotonic() + 60
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        step = artifact.load(path, "checkpoint")[0]["step"]
        assert 0 < step < 400, "the process has to be killed in the middle"

        def detector():
            return TollDetector(network="mlp", hidden=(8,), steps=400, beta=0.1, random_state=0)

        assert_same_bits(detector().fit(table(), checkpoint=path), detector().fit(table()), table())

    def test_another_thread(self, fitted, tmp_path):
        done = []
        thread = threading.Thread(target=lambda: done.append(make().fit(table(), checkpoint=tmp_path / "c")))
        thread.start()
        thread.join()
        assert_same_bits(done[0], fitted["table"], table())


@pytest.fixture(scope="module")
def of_people():
    return make(steps=40).fit(people())


class TestExplain:
    """The parts of a score; the splitting itself is in the examples of `tollad.detector.explain`."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_parts_add_up_to_the_score(self, fitted, kind):
        rows = KINDS[kind][0][:20]
        explanation = fitted[kind].explain(rows)
        assert explanation.parts.shape == rows.shape
        assert (explanation.parts >= 0).all()
        assert (explanation.latent >= 0).all()
        total = explanation.parts.reshape(len(rows), -1).sum(1) + explanation.latent
        np.testing.assert_allclose(total, fitted[kind].anomaly_score(rows), rtol=1e-5)
        np.testing.assert_array_equal(explanation.scores, fitted[kind].anomaly_score(rows))
        np.testing.assert_array_equal(explanation.seen, rows)
        np.testing.assert_allclose(explanation.expected, fitted[kind].reconstruct(rows))

    def test_the_column_that_is_odd_is_named_first(self, fitted):
        row = table(1, seed=3)
        row[0, 3] = 40.0
        reasons = fitted["table"].explain(row).reasons(0)
        assert reasons[0].startswith("x4: 40, expected about ")
        assert len(reasons) == 3

    def test_a_gap_counts_to_its_column(self, fitted):
        """With the flag that marks it."""
        row = KINDS["table with gaps"][0][:1].copy()
        row[0] = [0.1, NAN, 0.0, 0.1, 0.1]
        explanation = fitted["table with gaps"].explain(row)
        assert explanation.parts.shape == (1, 5)
        assert any("x2: missing" in reason for reason in explanation.reasons(0, most=5))

    def test_of_frames_in_their_own_words(self, of_people):
        odd = people().iloc[1:2].assign(city="Lima")
        explanation = of_people.explain(odd)
        assert explanation.names == ("age", "city", "seen", "member")
        assert explanation.parts.shape == (1, 4)
        total = explanation.parts.sum() + explanation.latent.sum()
        np.testing.assert_allclose(total, of_people.anomaly_score(odd)[0], rtol=1e-6)
        assert any(reason.startswith("city: Lima, ") for reason in explanation.reasons(0, most=4))

    def test_other_columns_are_refused(self, fitted):
        with pytest.raises(ValueError, match=r"^X has 4 features, but TollDetector is expecting 5 features as input"):
            fitted["table"].explain(np.zeros((2, 4)))
        with pytest.raises(
            ValueError, match=r"^the rows have shape \(2, 8, 8\); the detector was fitted on \(2, 8, 9\)"
        ):
            fitted["images"].explain(np.zeros((3, 2, 8, 8)))

    def test_of_images_there_are_no_words(self, fitted):
        with pytest.raises(ValueError, match="reasons in words are for tables"):
            fitted["images"].explain(KINDS["images"][0][:1]).reasons(0)


class TestWarnings:
    def test_point_to_the_line_of_the_user(self):
        """However deep in the package the reason lies."""
        rows = table()
        rows[:, 2] = 7.0
        with pytest.warns(UserWarning, match="constant") as caught:
            detector = make().fit(rows)
        assert {warning.filename for warning in caught} == {__file__}
        rows[0, 1] = NAN
        for method in (detector.predict, detector.anomaly_score):
            with pytest.warns(UserWarning, match="missing values but had none") as caught:
                method(rows)
            assert {warning.filename for warning in caught} == {__file__}

    @pytest.mark.parametrize(
        ("n_members", "words"), [(1, "the latent collapsed"), (2, "the latents of 2 of 2 members collapsed")]
    )
    def test_collapse(self, n_members, words):
        """A linear encoder that costs much and an input that costs little: all rows become one."""
        network = linear_network()
        with pytest.warns(UserWarning, match=f"{words} to a point.*lower beta or raise steps"):
            train("own modules", network=network, beta=1000.0, learning_rate=2e-3, steps=500, n_members=n_members)

    def test_no_improvement(self):
        with pytest.warns(UserWarning, match="training did not improve on the initial loss"):
            train("linear", learning_rate=100.0)

    def test_verbose_shows_progress(self, capsys):
        train(verbose=1)
        assert "step 12/12  loss " in capsys.readouterr().err
