from __future__ import annotations

import made
import numpy as np
import pytest
import torch

from tollad.methods import DCAE, DeepSVDD, dsvdd
from tollad.methods.dsvdd import away_from_zero
from tollad.methods.neural import effective_rank

ROWS = made.rows(40)
SETTINGS = {"batch_size": 10, "learning_rate": 1e-3}


def distances(method, rows=ROWS):
    return method.anomaly_score(rows)


def test_the_pre_training_is_the_autoencoder():
    """So one training serves both columns of a table."""
    autoencoder = DCAE(epochs=4, drop_after=2, **SETTINGS).fit(ROWS)
    svdd = DeepSVDD(pretrain_epochs=4, pretrain_drop_after=2, epochs=0, **SETTINGS).fit(ROWS)

    learnt = autoencoder.state()
    shared = {name: value for name, value in svdd.state().items() if "autoencoder" in name}

    assert shared
    for name, value in shared.items():
        assert (learnt[name.replace("autoencoder.", "")] == value).all()


def one_class(method, rows=ROWS):
    """The phase of the training after the pre-training, at the state of a method, in evaluation mode."""
    x = torch.from_numpy(method._scaling(rows)).float()
    method._net.eval()
    return x, method._phases(x)[1]


def test_before_its_training_the_score_is_the_distance_to_the_mean_code():
    svdd = DeepSVDD(pretrain_epochs=2, epochs=0, **SETTINGS).fit(ROWS)
    x, phase = one_class(svdd)
    with torch.no_grad():
        codes = svdd._parts.autoencoder.encoder(x)
    mean = codes.mean(0).numpy()
    center = np.where(np.abs(mean) < 0.1, np.copysign(0.1, mean), mean)
    assert (np.abs(mean) < 0.1).any()

    phase.begin()

    np.testing.assert_allclose(svdd.state()["fitted.center"], center, rtol=1e-5)
    np.testing.assert_allclose(distances(svdd), ((codes.numpy() - center) ** 2).sum(1), rtol=1e-4)


@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_is_the_mean_distance_or_that_beyond_the_radius(soft):
    svdd = DeepSVDD(pretrain_epochs=2, epochs=0, soft=soft, nu=0.2, **{**SETTINGS, "learning_rate": 0.0}).fit(ROWS)
    x, phase = one_class(svdd)
    phase.begin()
    d = distances(svdd)
    radius = np.median(d)
    svdd._parts.radius_squared.fill_(radius)

    loss = phase.update(x).item()

    expected = radius + np.maximum(0, d - radius).mean() / 0.2 if soft else d.mean()
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("nu", [0.2, 1e-6])
def test_the_radius_is_set_to_the_quantile_of_the_training_rows(nu):
    """With nu near 0 the ball is the least around the centre that holds all rows."""
    svdd = DeepSVDD(pretrain_epochs=2, epochs=0, soft=True, nu=nu, warm_up=3, **SETTINGS).fit(ROWS)
    _, phase = one_class(svdd)
    phase.begin()
    d = distances(svdd)

    phase.at_epoch(2)
    assert svdd._parts.radius_squared == 0
    phase.at_epoch(3)

    assert float(svdd._parts.radius_squared) == pytest.approx(np.quantile(d, 1 - nu), rel=1e-4)
    assert (distances(svdd) > 1e-4).sum() == {0.2: 8, 1e-6: 0}[nu]


def test_no_component_of_the_centre_is_near_0():
    moved = away_from_zero(torch.tensor([-0.05, 0.05, 0.0, -0.3, 0.1]))

    assert moved.tolist() == pytest.approx([-0.1, 0.1, 0.1, -0.3, 0.1])


def test_training_pulls_the_rows_to_the_centre():
    before, after = (
        DeepSVDD(pretrain_epochs=1, epochs=epochs, drop_after=99, **SETTINGS).fit(ROWS) for epochs in (1, 60)
    )

    assert after.diagnose(ROWS)["mean_squared_distance"] < 0.5 * before.diagnose(ROWS)["mean_squared_distance"]


def test_the_last_layer_alone_collapses_to_rank_one():
    """For frozen features h the minimiser is W = c w' with w = E[hh']^-1 E[h]: score ||c||^2 (1 - w'h)^2."""
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(200, 5, generator=generator, dtype=torch.float64)
    c = torch.randn(3, generator=generator, dtype=torch.float64)
    second, first = h.T @ h / 200, h.mean(0)
    w = torch.linalg.solve(second, first)
    best = torch.linalg.lstsq(h, c.expand(200, 3)).solution.T

    torch.testing.assert_close(best, torch.outer(c, w))
    score = (h @ best.T - c).square().sum(1)
    torch.testing.assert_close(score, c.square().sum() * (1 - h @ w).square())
    torch.testing.assert_close(score.mean(), c.square().sum() * (1 - first @ w))
    assert effective_rank(h @ best.T) == pytest.approx(1)
    assert effective_rank(h) > 3

    svdd = DeepSVDD(pretrain_epochs=0, epochs=0, learning_rate=0.05, weight_decay=0.0).fit(made.rows(9, d=5))
    svdd._net.double()
    svdd._parts.autoencoder.encoder = torch.nn.Linear(5, 3, bias=False, dtype=torch.float64)
    svdd._parts.center = c
    phase = svdd._phases(h)[1]
    with torch.no_grad():
        svdd._parts.autoencoder.encoder.weight.fill_(0.1)
    for _ in range(300):
        phase.update(h)
    torch.testing.assert_close(svdd._parts.autoencoder.encoder.weight.detach(), best, atol=1e-3, rtol=0)
    torch.testing.assert_close(svdd._anomaly(h).detach(), score, atol=1e-3, rtol=0)


def test_a_soft_boundary_leaves_a_share_of_nu_outside():
    """The (1 - nu) quantile minimises R^2 + mean(max(0, d - R^2)) / nu, and an epoch of no step keeps it so."""
    svdd = DeepSVDD(soft=True, nu=0.2, warm_up=0, pretrain_epochs=1, epochs=30, **SETTINGS).fit(ROWS)
    d = distances(svdd) + float(svdd.state()["fitted.radius_squared"])

    def loss(r):
        return r + np.maximum(0, d - r).mean() / 0.2

    best = min(np.linspace(0, d.max(), 4001), key=loss)
    assert best == pytest.approx(np.quantile(d, 0.8), abs=np.diff(np.sort(d)).max())
    assert (distances(svdd) > 0).mean() == pytest.approx(0.2, abs=0.15)


def test_both_boundaries_rank_alike_for_one_encoder():
    svdd = DeepSVDD(soft=True, pretrain_epochs=1, epochs=3, warm_up=1, **SETTINGS).fit(ROWS)
    state = svdd.state()
    soft = distances(svdd)
    svdd.load_state({**state, "fitted.radius_squared": np.zeros_like(state["fitted.radius_squared"])})

    np.testing.assert_allclose(distances(svdd) - soft, state["fitted.radius_squared"], rtol=1e-4)


def test_an_effective_rank_is_0_without_spread_and_1_on_a_line():
    assert effective_rank(torch.ones(5, 3)) == 0
    assert effective_rank(torch.arange(5.0)[:, None] * torch.ones(3)) == pytest.approx(1)


def test_a_centre_of_0_is_reached_by_shrinking_whatever_the_rows(monkeypatch):
    """Why no component of the centre is near 0: the decay of the weights alone solves the task then."""
    rows = made.rows(60)
    recipe = {"pretrain_epochs": 0, "epochs": 60, "drop_after": 60, "batch_size": 20, "learning_rate": 1e-2}
    apart = DeepSVDD(**recipe).fit(rows)
    monkeypatch.setattr(dsvdd, "away_from_zero", torch.zeros_like)

    shrunk = DeepSVDD(**recipe).fit(rows)

    x = torch.from_numpy(apart._scaling(rows)).float()
    length = {method: method._latents(x).norm(dim=1).mean().item() for method in (apart, shrunk)}
    assert length[shrunk] < 0.3 < 0.5 < length[apart]
    assert np.ptp(apart.anomaly_score(rows)) > 0
