"""Equal rows have equal answers, to the bit: in any company, order, number and type of number."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from detectors import KINDS, train

from tollad import TollDetector

SIZES = (1, 2, 7, 64, 129, 1025, 5000)
NETWORKS = {
    "default": {"steps": 10},
    "mlp": {"network": "mlp", "steps": 10},
    "one member": {"network": "mlp_layernorm", "n_members": 1, "steps": 10},
    "narrow": {"network": "mlp", "hidden": (3,), "latent_dim": 1, "steps": 10},
}


def fitted(rows, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few steps teach nothing, and rows of few values tie
        return TollDetector(random_state=0, false_alarm_rate=0.1, **parameters).fit(rows)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("d", [1, 8])
def test_duplicates_of_numbers(network, d):
    rng = np.random.default_rng(d)
    detector = fitted(rng.normal(size=(100, d)), **NETWORKS[network])
    row = rng.normal(size=(1, d)).astype(np.float32)
    for given in (row, row.astype(np.float64)):
        score, p_value, label = (ask(given)[0] for ask in (detector.anomaly_score, detector.p_value, detector.predict))
        for n in SIZES[1:]:
            many = np.repeat(given, n, axis=0)
            many[n // 2 + 1 :] += 1  # what comes after must not matter
            assert set(detector.anomaly_score(many)[: n // 2 + 1]) == {score}
        many = np.repeat(given, 129, axis=0)
        assert set(detector.p_value(many)) == {p_value}
        assert set(detector.predict(many)) == {label}


def test_duplicates_of_a_frame_with_categories():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=100), "colour": rng.choice(["red", "blue"], 100)})
    detector = fitted(frame, steps=10)
    scores = detector.anomaly_score(frame)
    order = rng.permutation(100)
    np.testing.assert_array_equal(detector.anomaly_score(frame.iloc[order]), scores[order])
    for n in SIZES:
        assert set(detector.anomaly_score(frame.iloc[[0] * n])) == {scores[0]}
        np.testing.assert_array_equal(detector.explain(frame.iloc[[0] * min(n, 129)]).scores, scores[0])


def test_training_rows_have_their_training_scores():
    rows = np.random.default_rng(1).normal(size=(137, 5))
    detector = TollDetector(steps=10, random_state=0).fit(rows)
    alone = np.concatenate([detector.anomaly_score(row[None]) for row in rows])
    np.testing.assert_array_equal(alone, detector.training_scores_)


def test_ties_are_normal():
    """Of two values, one row alone and in company gets one answer, and the promised rate holds row by row."""
    rows = np.random.default_rng(0).integers(0, 2, (200, 1))
    detector = fitted(rows, steps=20)
    detector.set_threshold(false_alarm_rate=0.05)
    for value in (0.0, 1.0):
        one, many = detector.predict([[value]]), detector.predict([[value]] * 200)
        assert set(many) == {one[0]}
        assert (one[0] == -1) == (detector.p_value([[value]])[0] <= 0.05)
    new = np.random.default_rng(1).integers(0, 2, (2000, 1))
    assert (detector.predict(new) == -1).mean() <= 0.05


@pytest.mark.parametrize("kind", ["images", "grey images", "small images", "series", "own modules"])
def test_duplicates_of_other_networks(kind):
    """Those of the user round by the place in a block on some machines: each row then gets a block of its own."""
    detector, rows = train(kind), KINDS[kind][0]
    alone = np.concatenate([detector.anomaly_score(row[None]) for row in rows])
    np.testing.assert_array_equal(alone, detector.training_scores_)
    rng = np.random.default_rng(0)
    for n in SIZES[:5]:
        chosen = rng.integers(len(rows), size=n)
        np.testing.assert_array_equal(detector.anomaly_score(rows[chosen]), alone[chosen])
