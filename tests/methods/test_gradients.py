"""Oriented gradients: Ledoit and Wolf's distance by scikit-learn, the collapse of `ImageDetector`, and images only."""

from __future__ import annotations

import made
import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from tollad.images.gradients import oriented_gradients
from tollad.images.heads import HEADS
from tollad.methods import Gradients

IMAGES, OTHERS = made.images(60), made.images(20, seed=1)
SEEN, NEW = (oriented_gradients(part / 255).reshape(len(part), -1).astype(float) for part in (IMAGES, OTHERS))


def test_the_distance_is_that_of_mahalanobis():
    scores = Gradients().fit(IMAGES).anomaly_score(OTHERS)

    np.testing.assert_allclose(scores**2 * SEEN.shape[1], LedoitWolf().fit(SEEN).mahalanobis(NEW), rtol=1e-5)
    brighter = Gradients().fit(IMAGES * 0.5).anomaly_score(OTHERS * 0.5)
    np.testing.assert_allclose(brighter, scores, rtol=1e-4)


def test_the_collapse_is_that_of_the_head(monkeypatch):
    seeds = []

    class Head:
        def score(self, rows):
            return rows @ np.arange(rows.shape[1])

        @classmethod
        def fit(cls, rows, seed):
            np.testing.assert_array_equal(rows, SEEN)
            seeds.append(seed)
            return cls()

    monkeypatch.setitem(HEADS, "collapse", Head)
    scores = Gradients(head="collapse", seed=3).fit(IMAGES).anomaly_score(OTHERS)

    assert seeds == [3]
    np.testing.assert_array_equal(scores, Head().score(NEW))


def test_gradients_are_of_images():
    with pytest.raises(ValueError, match=r"takes images of 16 x 16 or more, not rows of shape \(6,\)"):
        Gradients().fit(made.rows())


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="head must be one of ledoit_wolf, collapse, not 'best'"):
        Gradients(head="best")
