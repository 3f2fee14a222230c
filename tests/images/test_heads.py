from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf as Reference

from tollad.images.heads import HEADS

ROWS = np.random.default_rng(0).normal(size=(80, 6)) @ np.random.default_rng(1).normal(size=(6, 6)) + 3


def fitted(kind: str):
    return HEADS[kind].fit(ROWS, 0, **({"steps": 20} if kind == "collapse" else {}))


def test_ledoit_wolf_is_the_distance_of_mahalanobis():
    expected = np.sqrt(Reference().fit(ROWS).mahalanobis(ROWS) / 6)
    np.testing.assert_allclose(fitted("ledoit_wolf").score(ROWS), expected, rtol=1e-5)


def test_rows_that_are_all_alike_give_finite_scores():
    head = HEADS["ledoit_wolf"].fit(np.ones((9, 4)), 0)
    assert np.isfinite(head.score(np.array([[1.0, 1, 1, 1], [1, 2, 1, 1]]))).all()


def test_nearest_is_near_each_sort():
    sorts = np.concatenate([ROWS, ROWS + 40])
    head = HEADS["nearest"].fit(sorts, 0)
    assert head.score(ROWS + 20).min() > head.score(sorts).max()


@pytest.mark.parametrize("kind", HEADS)
class TestEveryHead:
    def test_score_grows_with_the_distance(self, kind):
        scores = fitted(kind).score(ROWS.mean(0) + np.array([[1.0], [10.0], [30.0]]) * np.eye(6)[0])
        assert (np.diff(scores) > 0).all()

    def test_parts_add_up(self, kind):
        scores, parts = fitted(kind).split(ROWS)
        np.testing.assert_allclose(scores, fitted(kind).score(ROWS))
        assert parts.shape == ROWS.shape
        assert (parts >= 0).all()
        if kind == "collapse":
            assert (parts.sum(1) <= scores * (1 + 1e-9)).all()  # the rest is the latent's
        else:
            np.testing.assert_allclose(parts.sum(1), scores)

    def test_score_does_not_depend_on_its_batch(self, kind):
        """To the bit, at a width at which products of NumPy round a row by its place."""
        generator = np.random.default_rng(3)
        good, rows = generator.normal(size=(270, 512)), generator.normal(size=(67, 512))
        head = HEADS[kind].fit(good, 0, **({"steps": 20, "hidden": (8,)} if kind == "collapse" else {}))
        scores, parts = head.split(rows)
        assert (head.score(rows[::-1])[::-1] == head.score(rows)).all()
        for some in (slice(17, 18), slice(3, 8), slice(1, 66)):
            assert (head.score(rows[some]) == head.score(rows)[some]).all()
            assert (head.split(rows[some])[0] == scores[some]).all()
            assert (head.split(rows[some])[1] == parts[some]).all()

    def test_comes_back_from_its_arrays(self, kind):
        head = fitted(kind)
        np.testing.assert_array_equal(HEADS[kind].from_arrays(head.arrays()).score(ROWS), head.score(ROWS))
