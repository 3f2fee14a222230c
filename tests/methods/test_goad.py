from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch

from tollad.methods import GOAD
from tollad.methods.goad import distances, negative_log_likelihood, triplet

M = 8
Z = torch.from_numpy(np.random.default_rng(0).normal(size=(5, M, 3)))
CENTERS = torch.from_numpy(np.random.default_rng(1).normal(size=(M, 3)))
# 193 rows as in the authors' split: three batches of 64 and one of a single row.
ROWS = made.rows(193)
SETTINGS = {"n_maps": M, "map_dim": 4}


def test_with_a_linear_network_the_exact_centres_are_0_and_the_score_is_a_constant():
    method = GOAD(**SETTINGS, centers="exact").fit(ROWS)

    assert np.abs(method.state()["fitted.centers"]).max() < 1e-5
    np.testing.assert_allclose(method.anomaly_score(made.rows(20, seed=1)), M * math.log(M), rtol=1e-5)


def test_the_last_batch_of_one_row_is_what_the_published_centres_are_made_of():
    method = GOAD(**SETTINGS, trained=False).fit(ROWS)
    parts = method._parts
    x = torch.from_numpy((ROWS - ROWS.mean(0)) / ROWS.std(0)).float()
    with torch.no_grad():
        z = parts.features(parts.maps(x))

    # The other 192 rows have the mean -z / 192, so the centre is near a quarter of one row's features.
    centers = torch.from_numpy(method.state()["fitted.centers"])
    assert (z / 4 - centers).flatten(1).norm(dim=1).min() < 0.02 * centers.norm()
    assert np.ptp(method.anomaly_score(ROWS)) > 1


def test_an_untrained_network_stays_as_it_is_drawn():
    untrained, never, trained = (
        GOAD(**SETTINGS, trained=kind, epochs=n).fit(ROWS).state() for kind, n in ((False, 1), (False, 3), (True, 1))
    )
    weights = [name for name in untrained if name.endswith(("weight", "bias"))]

    assert all((untrained[name] == never[name]).all() for name in weights)
    assert any((untrained[name] != trained[name]).any() for name in weights)
    assert (untrained["fitted.maps.weight"] == trained["fitted.maps.weight"]).all(), "the maps are fixed"


def test_the_score_does_not_see_a_common_shift_or_the_names_of_the_maps():
    plain, order = negative_log_likelihood(distances(Z, CENTERS)), torch.randperm(M)

    torch.testing.assert_close(negative_log_likelihood(distances(Z + 4, CENTERS + 4)), plain)
    torch.testing.assert_close(negative_log_likelihood(distances(Z[:, order], CENTERS[order])), plain)


def test_extremes_of_the_score_and_of_the_hinge():
    same, far = torch.zeros(M, 3).double(), 1e3 * torch.arange(M).double()[:, None] * torch.ones(3)

    torch.testing.assert_close(negative_log_likelihood(distances(Z, same)), torch.full((5,), M * math.log(M)).double())
    assert negative_log_likelihood(distances(far.expand(2, M, 3), far)).abs().max() < 1e-9
    assert triplet(distances(Z, same), 1.0).item() == pytest.approx(1)
    assert triplet(distances(far.expand(2, M, 3), far), 1.0) == 0


def test_distances_are_those_of_the_definition():
    torch.testing.assert_close(distances(Z, CENTERS), (Z[:, :, None] - CENTERS).square().sum(3))


def test_two_maps_give_a_sum_of_softplus():
    z, centers = Z[:, :2], CENTERS[:2]
    found = distances(z, centers)

    own, other = found.diagonal(dim1=1, dim2=2), found.flip(2).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(negative_log_likelihood(found), torch.nn.functional.softplus(own - other).sum(1))


def test_a_head_of_zeros_guesses():
    method = GOAD(n_maps=256, epochs=0).fit(ROWS)
    with torch.no_grad():
        for parameter in method._parts.head.parameters():
            parameter.zero_()
    logits = method._parts.head(torch.ones(4, 8))

    assert torch.nn.functional.cross_entropy(logits, torch.arange(4)).item() == pytest.approx(math.log(256))


def test_images_are_refused():
    with pytest.raises(ValueError, match="GOAD takes tables"):
        GOAD().fit(np.zeros((3, 1, 28, 28)))


def test_linear_features_fold_into_one_projection_a_map():
    method = GOAD(n_maps=5, map_dim=4, epochs=0, centers="exact", widths=(3,)).fit(ROWS)
    parts = method._net.double()
    x = torch.from_numpy(ROWS[:7])
    with torch.no_grad():
        zero = parts.features(parts.maps(torch.zeros_like(x[:1])))
        units = parts.features(parts.maps(torch.eye(x.shape[1]).double())) - zero
        folded = torch.einsum("bd,dmk->bmk", x, units) + zero

        torch.testing.assert_close(parts.features(parts.maps(x)), folded)
