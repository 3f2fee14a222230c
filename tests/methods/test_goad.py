from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch

from tollad.methods import GOAD
from tollad.methods.goad import distances, negative_log_likelihood, triplet
from tollad.training.adam import Adam

M = 8
Z = torch.from_numpy(np.random.default_rng(0).normal(size=(5, M, 3)))
CENTERS = torch.from_numpy(np.random.default_rng(1).normal(size=(M, 3)))
# 193 rows as in the authors' split: three batches of 64 and one of a single row.
ROWS = made.rows(193)
SETTINGS = {"n_maps": M, "map_dim": 4}


@pytest.mark.parametrize(("n_maps", "constant"), [(M, M * math.log(M)), (256, 1419.565)])
def test_with_a_linear_network_the_exact_centres_are_0_and_the_score_is_a_constant(n_maps, constant):
    method = GOAD(n_maps=n_maps, map_dim=4, centers="exact").fit(ROWS)

    assert np.abs(method.state()["fitted.centers"]).max() < 1e-5
    np.testing.assert_allclose(method.anomaly_score(made.rows(20, seed=1)), constant, rtol=1e-5)


def test_without_an_epoch_there_are_no_batches_and_the_centres_are_exact():
    known, exact = (GOAD(**SETTINGS, epochs=0, centers=kind, widths=(5, 3)).fit(ROWS) for kind in ("batches", "exact"))

    assert np.isfinite(known.anomaly_score(ROWS)).all()
    assert (known.anomaly_score(ROWS) == exact.anomaly_score(ROWS)).all()


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
    method = GOAD(n_maps=256, epochs=0, triplet_weight=0.0).fit(ROWS)
    with torch.no_grad():
        for parameter in method._parts.head.parameters():
            parameter.zero_()
    x = torch.from_numpy(ROWS[:4]).float()
    (phase,) = method._phases(x)

    assert phase.update(x).item() == pytest.approx(math.log(256))


def test_the_loss_is_that_of_the_definition():
    """By loops over rows and maps; the centres are the means of the batch."""
    method = GOAD(**SETTINGS, widths=(5, 3), epochs=0, trained=False, margin=0.01).fit(ROWS)
    own, x = method._parts, torch.from_numpy(method._scaling(ROWS[:6])).float()
    (phase,) = method._phases(x)
    first, second = (layer.weight.detach() for layer in own.features if isinstance(layer, torch.nn.Linear))
    maps = own.maps.weight.view(6, M, 4)
    z = torch.stack([torch.stack([_leaky(row @ maps[:, m] @ first.T) @ second.T for m in range(M)]) for row in x])
    centers = z.mean(0)
    cross, hinge = [], []
    for of_row in z:
        for m in range(M):
            away = [(of_row[m] - c).square().sum() for c in centers]
            hinge.append(max(0.0, (away[m] + 0.01 - min(d for k, d in enumerate(away) if k != m)).item()))
            logits = own.head[1](_leaky(of_row[m])).detach()
            cross.append(-logits.log_softmax(0)[m].item())

    assert phase.update(x).item() == pytest.approx(np.mean(cross) + 0.1 * np.mean(hinge), rel=1e-4)
    assert 0 < np.count_nonzero(hinge) < len(hinge)


def _leaky(x):
    return torch.nn.functional.leaky_relu(x, 0.2)


def test_the_gradient_flows_through_the_centres_of_the_batch(monkeypatch):
    method = GOAD(**SETTINGS, epochs=0).fit(ROWS)
    method._net.double()
    (phase,) = method._phases(torch.zeros(6, 6))
    x, weight, losses = torch.from_numpy(method._scaling(ROWS[:6])), method._parts.features[0].weight, []
    monkeypatch.setattr(Adam, "minimise", lambda self, loss: losses.append(loss))
    for step in (0.0, 1e-5, -2e-5):
        with torch.no_grad():
            weight[2, 1] += step
        phase.update(x)
        if step == 0:
            slope = torch.autograd.grad(losses[0], weight)[0][2, 1].item()

    assert slope == pytest.approx((losses[1] - losses[2]).item() / 2e-5, rel=1e-5)
