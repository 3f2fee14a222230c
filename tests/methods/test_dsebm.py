from __future__ import annotations

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import DSEBM
from tollad.methods.dsebm import Energy
from tollad.methods.layers import build


def energy(*widths, d=6):
    """A chain of softplus layers in float64, off its initial values."""
    layers = []
    for before, after in zip((d, *widths), widths, strict=False):
        layers += [nn.Linear(before, after), nn.Softplus()]
    network = build(lambda: Energy(nn.Sequential(*layers), (d,)), 0).double()
    with torch.no_grad():
        network.b += torch.arange(d) / 10
    return network


ROWS = torch.from_numpy(made.rows(12))


def test_one_layer_is_the_tied_denoising_autoencoder():
    """f(x) = b' + W sigmoid(W'x + b)."""
    network = energy(4)
    layer = network.features[0]

    f = ROWS - network.gradient(ROWS)

    torch.testing.assert_close(f, network.b + torch.sigmoid(layer(ROWS)) @ layer.weight)


def test_several_layers_send_ones_back_through_the_chain():
    network = energy(4, 3)
    first, second = network.features[0], network.features[2]

    f = ROWS - network.gradient(ROWS)

    h = nn.functional.softplus(first(ROWS))
    back = torch.sigmoid(second(h)) @ second.weight
    torch.testing.assert_close(f, network.b + (back * torch.sigmoid(first(ROWS))) @ first.weight)


def test_the_gradient_is_that_of_finite_differences():
    network = energy(4, 3)
    found = network.gradient(ROWS).detach()
    for column in range(6):
        moved = torch.zeros(6, dtype=torch.float64)
        moved[column] = 1e-5
        numeric = (network(ROWS + moved) - network(ROWS - moved)) / 2e-5
        torch.testing.assert_close(found[:, column], numeric.detach(), rtol=1e-6, atol=1e-8)


def test_without_features_it_is_the_distance_to_the_mean():
    """The optimum of b is the training mean then, and both scores rank alike."""
    rows = made.rows(64)
    settings = {"hidden": (1,), "scale": "none", "batch_size": 64, "epochs": 1}
    method = DSEBM(**settings, noise=1e-6).fit(rows)
    state = method.state()
    for name in state:  # a softplus of a large negative number is 0, and so is its gradient
        if "features.0.bias" in name:
            state[name] = np.full_like(state[name], -1e3)
        elif name.endswith("energy.b"):
            state[name] = rows.mean(0).astype(np.float32)
    method.load_state(state)
    distance = np.linalg.norm(rows - rows.mean(0), axis=1)

    np.testing.assert_allclose(method.anomaly_score(rows), distance**2 / 2, rtol=1e-4)
    method.score_by = "reconstruction"
    np.testing.assert_allclose(method.anomaly_score(rows), distance, rtol=1e-4)


def test_the_best_b_is_the_mean():
    network = energy(1)
    with torch.no_grad():
        network.features[0].bias.fill_(-1e3)
    mean = ROWS.mean(0)

    def loss():
        return (ROWS - network.gradient(ROWS) - ROWS).square().mean()

    with torch.no_grad():
        network.b.copy_(mean)
    best = loss()
    (slope,) = torch.autograd.grad(best, [network.b])
    torch.testing.assert_close(slope, torch.zeros(6, dtype=torch.float64))


def test_gaussian_rows_give_half_the_mahalanobis_distance():
    """For N(mu, S) and noise s the optimum is f(x) = mu + S (S + s^2)^-1 (x - mu); E / s^2 is the distance in S + s^2.

    A linear f is that of h = -1/2 x'(A - I)x, as features allow: here by hand.
    """
    mean, covariance = ROWS.mean(0), torch.cov(ROWS.T)
    noise = 0.7
    smoothed = covariance + noise**2 * torch.eye(6, dtype=torch.float64)

    class Quadratic(nn.Module):
        def forward(self, x):
            away = x - mean
            pull = torch.eye(6, dtype=torch.float64) - noise**2 * torch.linalg.inv(smoothed)
            return ((away @ pull) * away).sum(1, keepdim=True) / 2

    network = Energy(Quadratic(), (6,)).double()
    with torch.no_grad():
        network.b.copy_(mean)

    best = mean + (ROWS - mean) @ torch.linalg.solve(smoothed, covariance)
    torch.testing.assert_close(ROWS - network.gradient(ROWS), best)
    away = ROWS - mean
    mahalanobis = (away @ torch.linalg.inv(smoothed) * away).sum(1)
    torch.testing.assert_close(network(ROWS).detach() / noise**2, mahalanobis / 2)


def test_training_lowers_the_denoising_error():
    rows = made.rows(200)
    untrained, trained = (DSEBM(hidden=(16,), epochs=epochs).fit(rows) for epochs in (0, 80))
    x = torch.from_numpy((rows - rows.mean(0)) / rows.std(0)).float()
    noisy = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))

    def error(method):
        return (noisy - method._padded.energy.gradient(noisy) - x).square().mean().item()

    assert error(trained) < 0.8 * error(untrained)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_images_have_the_network_of_the_published_columns(shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = DSEBM(scale="signed", epochs=1).fit(images)

    weights = sum(value.size for name, value in method.state().items() if name.endswith("weight") and value.ndim > 1)
    assert weights == 9 * (shape[0] * 64 + 64 * 128 + 128 * 256) + 4096 * 256
    assert method.state()["fitted.energy.b"].shape == (shape[0], 32, 32)
    with pytest.raises(ValueError, match="28 x 28 or 32 x 32"):
        DSEBM().fit(np.zeros((2, 1, 16, 16)))


def test_without_noise_there_is_nothing_to_learn():
    """The identity is the best f then, whatever the rows, and the slope of the energy falls towards 0."""
    rows = made.rows(100)
    recipe = {"hidden": (32,), "epochs": 150, "learning_rate": 1e-2, "score_by": "reconstruction"}

    with_noise, without = (DSEBM(noise=noise, **recipe).fit(rows).anomaly_score(rows).mean() for noise in (0.5, 0.0))

    assert without < 0.6 * with_noise


def test_the_energy_ranks_as_the_density_of_rows_with_noise():
    """E = -s^2 log p_s + constant, p_s the density of a Gaussian kernel of the noise's width."""
    from scipy.stats import spearmanr

    from tollad.methods import KDE

    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(-2, 0.3, (100, 1)), generator.normal(1, 0.6, (200, 1))])
    recipe = {"hidden": (32, 32), "scale": "none", "epochs": 150, "batch_size": 300, "learning_rate": 3e-2}
    grid = np.linspace(-3.5, 3.5, 60)[:, None]

    found = DSEBM(noise=0.5, **recipe).fit(rows).anomaly_score(grid)

    assert spearmanr(found, KDE(bandwidth=0.5).fit(rows).anomaly_score(grid)).statistic > 0.9


@pytest.mark.parametrize("shape", [(6,), (1, 32, 32)])
def test_the_loss_is_the_mean_square_of_what_denoising_leaves(shape):
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(9, *shape)))
    method = DSEBM(epochs=0, learning_rate=0.0, hidden=(4, 3), noise=0.5, scale="none").fit(rows.numpy())
    method._net.double().eval()
    own = method._padded.energy
    with torch.no_grad():
        own.b += 0.3
    (phase,) = method._phases(rows)
    method._generator.manual_seed(7)
    noise = 0.5 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(7))
    noisy = (rows + noise).requires_grad_()
    energy = (noisy - own.b).square().flatten(1).sum(1) / 2 - own.features(noisy).sum(1)
    (slope,) = torch.autograd.grad(energy.sum(), noisy)

    assert phase.update(rows).item() == pytest.approx((noise - slope).square().mean().item(), rel=1e-6)
