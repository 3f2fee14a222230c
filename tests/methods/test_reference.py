"""The reference lines against their formulae."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.methods import find

RNG = np.random.default_rng(0)
TRAIN, ROWS = RNG.normal(size=(50, 6)), RNG.normal(size=(20, 6))


def score(name, **recipe):
    return find(name)(**recipe).fit(TRAIN).anomaly_score(ROWS)


def test_mean_is_the_distance_to_it():
    np.testing.assert_allclose(score("DistanceToMean"), np.linalg.norm(ROWS - TRAIN.mean(0), axis=1))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_pca_is_what_the_components_leave(n):
    centre = TRAIN.mean(0)
    components = np.linalg.svd(TRAIN - centre)[2][:n]
    rest = (ROWS - centre) - (ROWS - centre) @ components.T @ components
    np.testing.assert_allclose(score("PrincipalComponents", n=n), np.linalg.norm(rest, axis=1))


@pytest.mark.parametrize("n", [1, 5])
def test_knn_is_the_mean_of_the_shortest_distances(n):
    distances = np.sort(np.linalg.norm(ROWS[:, None] - TRAIN[None], axis=2), axis=1)
    np.testing.assert_allclose(score("NearestNeighbours", n=n), distances[:, :n].mean(1))


def test_samples_of_any_shape_are_taken_flat():
    flat, shaped = (
        find("NearestNeighbours")(n=2).fit(TRAIN),
        find("NearestNeighbours")(n=2).fit(TRAIN.reshape(50, 1, 2, 3)),
    )
    np.testing.assert_array_equal(flat.anomaly_score(ROWS), shaped.anomaly_score(ROWS.reshape(20, 1, 2, 3)))


@pytest.mark.parametrize("n", [0, True, 2.5, "3"])
def test_a_number_of_neighbours_is_checked(n):
    with pytest.raises(ValueError, match="n must be an integer from 1 up"):
        find("NearestNeighbours")(n=n)


def test_more_components_than_samples_are_refused():
    with pytest.raises(ValueError, match="n must be below the 50 training rows, not 60"):
        score("PrincipalComponents", n=60)
