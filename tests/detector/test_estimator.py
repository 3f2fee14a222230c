"""The estimator as its users meet it; scikit-learn's own checks are in contract/test_sklearn.py."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest
import torch
from detectors import (
    COLLAPSED,
    FEW,
    FEW_STEPS,
    KINDS,
    STEPS,
    assert_same_bits,
    make,
    pictures,
    table,
    train,
    weights,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tollad.detector.fitting
from tollad import TollDetector

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


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

    @pytest.mark.filterwarnings(COLLAPSED)
    @pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2), ("linf", np.inf)])
    @pytest.mark.parametrize("target", ["origin", "mean"])
    def test_score_is_the_distance_to_the_reconstruction_and_of_the_latent(self, norm, order, target):
        """Equation (3), from what `reconstruct` and `transform` return."""
        detector = train("raw", network="mlp", norm=norm, target=target, beta=3.0)
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
        np.testing.assert_allclose(detector.anomaly_score(x), wanted, rtol=1e-6)
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
        assert (settings.network, settings.corruption, settings.n_members) == ("mlp_layernorm", "mixed", 2)

    @pytest.mark.filterwarnings(COLLAPSED)
    def test_images_may_be_corrupted_too(self):
        assert train("images", corruption="mixed").settings_.corruption == "mixed"

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

    @pytest.mark.filterwarnings(COLLAPSED)
    @pytest.mark.parametrize("rows", [table(70), pictures(8, 8, n=33)], ids=["table", "images"])
    def test_with_default_parameters(self, rows):
        detector = TollDetector(steps=10, random_state=0).fit(rows)
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
