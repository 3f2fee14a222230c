from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import AnoGAN

ROWS = made.rows(40)


def linear(**changes):
    """An AnoGAN whose generator is linear, W z + b, not trained."""
    settings = {"epochs": 0, "latent_dim": 2, "feature_weight": 0.0, "scale": "none", "n_steps": 600, "step_size": 0.05}
    method = AnoGAN(**settings | changes).fit(ROWS)
    generator = nn.Linear(2, 6)
    with torch.no_grad():
        generator.weight.copy_(torch.from_numpy(np.random.default_rng(0).normal(size=(6, 2))))
        generator.bias.copy_(torch.arange(6) / 5)
    method._parts.generator = generator
    return method


@pytest.fixture(autouse=True)
def _no_global_draws():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def test_a_row_that_it_generates_scores_0_and_does_not_move():
    method = linear(feature_weight=0.1)
    method._net.eval()
    start = torch.tensor([0.3, -0.8])
    with torch.no_grad():
        x = method._parts.generator(start[None])

    z = method.invert(x, start)

    torch.testing.assert_close(z, start[None])
    assert method.distance(x, z).item() == 0


def test_an_inversion_reaches_the_least_absolute_residual():
    """Checked by linear programming."""
    from scipy.optimize import linprog

    method = linear()
    W = method._parts.generator.weight.detach().double().numpy()
    b = method._parts.generator.bias.detach().double().numpy()
    rows = ROWS[:3]
    scores = method.anomaly_score(rows)
    for row, score in zip(rows, scores, strict=True):
        # min sum t with -t <= row - b - W z <= t
        A = np.block([[W, -np.eye(6)], [-W, -np.eye(6)]])
        best = linprog(
            [0, 0, *[1] * 6],
            A_ub=A,
            b_ub=np.concatenate([row - b, b - row]),
            bounds=[(None, None)] * 2 + [(0, None)] * 6,
        )
        assert score == pytest.approx(best.fun, rel=0.05)
        assert score >= best.fun - 1e-6


def test_the_weights_of_residual_and_features():
    method = linear()
    method._net.eval()
    x, z = torch.from_numpy(ROWS[:4]).float(), torch.zeros(4, 2)
    made_rows = method._parts.generator(z)
    residual = (x - made_rows).abs().sum(1)
    features = (method._parts.features(x) - method._parts.features(made_rows)).abs().sum(1)

    for weight, expected in ((0.0, residual), (1.0, features), (0.1, 0.9 * residual + 0.1 * features)):
        method.feature_weight = weight
        torch.testing.assert_close(method.distance(x, z), expected)


def test_no_latent_moves_farther_than_its_steps_allow():
    method = linear(n_steps=7, step_size=0.01)
    start = torch.zeros(2)

    z = method.invert(torch.from_numpy(100 * ROWS[:5]).float(), start)

    assert z.abs().max() <= 7 * 0.01 * 1.01


def test_of_several_starts_the_best_counts():
    method = linear(n_steps=3, n_starts=3)
    every = method._parts.starts.z.clone()
    both = method.anomaly_score(ROWS)
    alone = []
    for start in every:
        method._parts.starts.z = start[None]
        alone.append(method.anomaly_score(ROWS))

    assert (both == np.min(alone, axis=0)).all()


def test_losses_of_a_head_of_zeros(monkeypatch):
    method = AnoGAN(epochs=0, latent_dim=2).fit(ROWS)
    with torch.no_grad():
        for parameter in method._parts.head.parameters():
            parameter.zero_()
    x = torch.from_numpy(ROWS[:8]).float()
    (phase,) = method._phases(x)
    for adam in phase.optimizers.values():
        adam.learning_rate = 0.0

    assert phase.update(x).item() == pytest.approx(3 * math.log(2))


@pytest.mark.parametrize(("shape", "latent_dim"), [((1, 28, 28), 200), ((3, 32, 32), 100)])
def test_images_pass_through_the_networks(shape, latent_dim):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = AnoGAN(scale="signed", latent_dim=latent_dim, epochs=1, batch_size=4, n_steps=1).fit(images)

    assert np.isfinite(method.anomaly_score(images[:1])).all()
    assert method._parts.head.in_features == {1: 1024, 3: 8192}[shape[0]]


def test_by_residuals_alone_the_discriminator_and_by_features_alone_the_distance_is_without_influence():
    method = linear()
    method._net.eval()
    x, z = torch.from_numpy(ROWS[:4]).float(), torch.ones(4, 2)
    with torch.no_grad():
        residual = method.distance(x, z)
        for weight in method._parts.features.parameters():
            weight.zero_()
        assert (method.distance(x, z) == residual).all()
        method.feature_weight = 1.0
        assert (method.distance(x, z) == 0).all()


@pytest.mark.parametrize(
    ("shape", "latent_dim", "generator", "features"),
    [
        ((274,), 64, 64 * 128 + 128 * 256 + 256 * 274, 274 * 256 + 256 * 128),
        ((1, 28, 28), 200, 200 * 1024 + 1024 * 6272 + 16 * (128 * 64 + 64), 16 * (64 + 64 * 64) + 3136 * 1024),
        (
            (3, 32, 32),
            100,
            16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 3),
            16 * (3 * 128 + 128 * 256 + 256 * 512),
        ),
    ],
)
def test_the_networks_have_the_weights_of_the_codes(shape, latent_dim, generator, features):
    own = AnoGAN(latent_dim=latent_dim)._build(shape)

    assert sum(p.numel() for p in own.generator.parameters() if p.ndim > 1) == generator
    assert sum(p.numel() for p in own.features.parameters() if p.ndim > 1) == features


def test_after_training_the_rows_that_it_makes_are_as_the_normal_ones_and_the_discriminator_guesses():
    rows = np.random.default_rng(0).normal(3, 1, (128, 2))
    recipe = {"latent_dim": 2, "scale": "none", "batch_size": 64, "learning_rate": 1e-3, "n_steps": 1}
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    logits, off = {}, {}
    for epochs in (0, 20, 200):
        method = AnoGAN(epochs=epochs, **recipe).fit(rows)
        with torch.no_grad():
            off[epochs] = (method._parts.generator(z).mean(0) - 3).norm().item()
            logits[epochs] = method._parts.judge(torch.from_numpy(rows).float()).abs().mean().item()

    assert off[200] < 0.6 < 3 < off[0]
    assert logits[200] < 0.5 < logits[20], "on the way it tells them apart"
