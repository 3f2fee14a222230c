"""The adapter to PyOD. Needs the extra `pyod`; the combination of detectors needs PyOD's own extra, `combo`."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from sklearn.base import clone

from tollad import TollDetector

PARAMETERS = {"steps": 30, "hidden": (8,), "n_members": 2}


@pytest.fixture(scope="module")
def toll_pyod():
    return pytest.importorskip("tollad.detector.pyod", exc_type=ImportError).TollPyOD


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(200, 4))


@pytest.fixture(scope="module")
def others():
    """Ten rows of the same kind, and two far from it."""
    return np.vstack([np.random.default_rng(1).normal(size=(10, 4)), [[9.0, -9, 9, -9], [-20, 0, 0, 20]]])


@pytest.fixture(scope="module")
def fitted(toll_pyod, rows):
    return toll_pyod(contamination=0.05, random_state=0, **PARAMETERS).fit(rows)


def test_missing_pyod_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "tollad.detector.pyod", raising=False)
    monkeypatch.setitem(sys.modules, "pyod.models.base", None)
    with pytest.raises(ImportError, match=r"pip install 'tollad\[pyod\]'"):
        importlib.import_module("tollad.detector.pyod")


def test_scores_are_those_of_the_detector(fitted, rows, others):
    detector = TollDetector(random_state=0, **PARAMETERS).fit(rows)
    np.testing.assert_array_equal(fitted.decision_scores_, detector.training_scores_)
    np.testing.assert_array_equal(fitted.decision_function(others), detector.anomaly_score(others))


def test_labels_threshold_and_predictions(fitted, rows, others):
    assert fitted.labels_.sum() == 10  # 5 % of 200
    np.testing.assert_array_equal(fitted.labels_, fitted.decision_scores_ > fitted.threshold_)
    np.testing.assert_array_equal(fitted.predict(rows), fitted.labels_)
    assert fitted.predict(others)[-2:].tolist() == [1, 1]
    # The detector within draws the line where PyOD does.
    np.testing.assert_array_equal(fitted.detector_.predict(rows) == -1, fitted.labels_ == 1)


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities(fitted, others, method):
    probabilities = fitted.predict_proba(others, method=method)
    assert probabilities.shape == (12, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    # "linear" has 1 for all scores above those of the training rows.
    assert probabilities[-2:, 1].min() >= probabilities[:-2, 1].max()
    assert probabilities[-2:, 1].min() > 0.99 > 2 * np.median(probabilities[:-2, 1])


def test_confidence(fitted, others):
    labels, confidence = fitted.predict(others, return_confidence=True)
    np.testing.assert_array_equal(confidence, fitted.predict_confidence(others))
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert confidence[labels == 1][-2:].min() > 0.9


def test_every_training_row_has_a_score(toll_pyod, rows):
    detector = toll_pyod(early_stopping=True, random_state=0, **PARAMETERS).fit(rows)
    np.testing.assert_array_equal(detector.decision_scores_, detector.decision_function(rows))


def test_fit_predict(toll_pyod, fitted, rows):
    with pytest.warns(FutureWarning, match="fit_predict"):
        labels = clone(fitted).fit_predict(rows)
    np.testing.assert_array_equal(labels, fitted.labels_)


def test_y_is_ignored(fitted, rows, others):
    again = clone(fitted).fit(rows, np.zeros(len(rows)))
    np.testing.assert_array_equal(again.predict_proba(others), fitted.predict_proba(others))


def test_parameters_are_those_of_the_detector(toll_pyod):
    detector = toll_pyod(0.2, beta=3.0)
    of_tollad = TollDetector(contamination=0.2, beta=3.0).get_params()
    assert of_tollad.items() - detector.get_params().items() == {("false_alarm_rate", None)}
    assert detector.get_params().keys() < of_tollad.keys()
    assert detector.set_params(beta=0.5, contamination=0.3) is detector
    assert (detector.beta, detector.contamination) == (0.5, 0.3)
    copy = clone(detector)
    assert copy is not detector
    assert copy.get_params() == detector.get_params()
    assert "beta=0.5" in repr(detector)


def test_unknown_parameters_are_refused_at_once(toll_pyod):
    with pytest.raises(TypeError, match=r"TollPyOD has no parameter 'betta'; it has contamination, .*beta, "):
        toll_pyod(betta=1.0)
    # The threshold is PyOD's to place.
    with pytest.raises(TypeError, match="'false_alarm_rate'"):
        toll_pyod(false_alarm_rate=0.05)
    with pytest.raises(ValueError, match="betta"):
        toll_pyod().set_params(betta=1.0)


def test_bad_values_are_refused(toll_pyod, rows):
    with pytest.raises(ValueError, match=r"contamination must be in \(0, 0.5\]"):
        toll_pyod(contamination=0.7)
    with pytest.raises(TypeError, match=r"contamination must be a float .* not '5%'"):
        toll_pyod(contamination="5%")
    with pytest.raises(ValueError, match="beta must be a finite number >= 0, not -1"):
        toll_pyod(beta=-1).fit(rows)


def test_not_fitted(toll_pyod, rows):
    for method in (toll_pyod().decision_function, toll_pyod().predict):
        with pytest.raises(ValueError, match="not fitted yet"):
            method(rows)


class _HalfOfTheLargest:
    """Stands for a PyThresh object: it is fitted on the training scores and decides by itself."""

    def fit(self, scores):
        self.thresh_ = scores.max() / 2
        self.labels_ = self.predict(scores)

    def predict(self, scores):
        return (scores > self.thresh_).astype(int)


def test_contamination_may_be_an_estimator(toll_pyod, rows):
    detector = toll_pyod(contamination=_HalfOfTheLargest(), random_state=0, **PARAMETERS).fit(rows)
    assert detector.threshold_ == detector.decision_scores_.max() / 2
    np.testing.assert_array_equal(detector.predict(rows), detector.labels_)
    np.testing.assert_array_equal(detector.detector_.predict(rows) == -1, detector.labels_ == 1)


def test_combination_with_pyods_tools(toll_pyod, rows, others):
    combination = pytest.importorskip("pyod.models.combination", exc_type=ImportError)
    utility = importlib.import_module("pyod.utils.utility")
    detectors = [toll_pyod(random_state=seed, **PARAMETERS).fit(rows) for seed in range(4)]
    train = np.column_stack([detector.decision_scores_ for detector in detectors])
    test = np.column_stack([detector.decision_function(others) for detector in detectors])
    train, test = utility.standardizer(train, test)
    np.testing.assert_allclose(combination.average(test), test.mean(1))
    np.testing.assert_array_equal(combination.maximization(test), test.max(1))
    for combined in (
        combination.average(test),
        combination.maximization(test),
        combination.aom(test, n_buckets=2, random_state=0),
        combination.moa(test, n_buckets=2, random_state=0),
    ):
        assert combined.shape == (12,)
        assert combined[-2:].min() > combined[:-2].max()
