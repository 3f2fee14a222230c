from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import ALAD, RCGAN
from tollad.methods.gan import Averaged, Spectral, false, true
from tollad.methods.layers import build

ROWS = made.rows(40)
SMALL = {"latent_dim": 6, "epochs": 2, "batch_size": 10}
X = torch.from_numpy(made.rows(10, seed=1)).float()


def fitted(kind=ALAD, **changes):
    method = kind(**{**SMALL, **changes}).fit(ROWS)
    method._generator.manual_seed(0)
    return method


def silence(method):
    """Let every logit be 0."""
    with torch.no_grad():
        for part in (method._parts.joint, method._parts.paired_x, method._parts.paired_z):
            head = part.head[-1] if isinstance(part.head, nn.Sequential) else part.head
            head.weight.zero_()
            head.bias.zero_()


def test_losses_of_logits_0():
    method = fitted(epochs=1)
    silence(method)
    z = torch.zeros(10, 6)

    generator, encoder, cycle = method.deceive(X, z)

    assert method.discriminate(X, z).item() == pytest.approx(6 * math.log(2))
    assert generator.item() == pytest.approx(math.log(2))
    assert encoder.item() == pytest.approx(math.log(2))
    assert cycle.item() == pytest.approx(4 * math.log(2))


def test_losses_are_cross_entropies():
    logits = torch.tensor([-2.0, 0.5, 3.0])
    reference = nn.functional.binary_cross_entropy_with_logits

    torch.testing.assert_close(true(logits), reference(logits, torch.ones(3)))
    torch.testing.assert_close(false(logits), reference(logits, torch.zeros(3)))


def test_an_exact_inverse_scores_0():
    method = fitted()
    for name in ("encoder", "generator"):
        method._parts.averaged[name].copy = nn.Identity()

    assert (method.anomaly_score(made.rows(20, seed=3)) == 0).all()


def test_one_backward_pass_gives_the_gradients_of_two():
    method = fitted()
    method._net.eval()
    z = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    weights = {"generator": method._parts.generator[0].weight, "encoder": method._parts.encoder[0].weight}
    generator, encoder, cycle = method.deceive(X, z)
    total = generator + encoder + cycle

    for name, own in (("generator", generator), ("encoder", encoder)):
        apart = torch.autograd.grad(own + cycle, weights[name], retain_graph=True)[0]
        torch.testing.assert_close(torch.autograd.grad(total, weights[name], retain_graph=True)[0], apart)


def test_the_discriminators_step_moves_no_other_weight():
    method = fitted()
    z = torch.zeros(10, 6)

    gradients = torch.autograd.grad(
        method.discriminate(X, z), method._parts.others(), allow_unused=True, materialize_grads=True
    )

    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize(
    ("make", "x"),
    [(lambda: nn.Linear(7, 5, bias=False), torch.eye(7)), (lambda: nn.Conv2d(3, 5, 2, bias=False), torch.eye(12))],
    ids=["dense", "convolution"],
)
def test_a_spectral_norm_is_1_after_many_steps(make, x):
    """Of a convolution it is that of the matrix of its kernels, one in a line."""
    layer = build(lambda: Spectral(make()), 0)
    x = x.view(12, 3, 2, 2) if isinstance(layer.layer, nn.Conv2d) else x
    for _ in range(200):
        layer(x)

    matrix = layer(x).detach().flatten(1)

    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-4)
    u = layer.u.clone()
    layer.eval()(x)
    assert (layer.u == u).all(), "evaluation mode leaves the iteration alone"


def test_a_running_mean_of_constant_weights():
    copy, network = (build(lambda: nn.Linear(1, 1, bias=False), seed) for seed in (0, 1))
    copy = Averaged(copy)
    with torch.no_grad():
        copy.copy.weight.fill_(5.0)
        network.weight.fill_(2.0)
    for _ in range(10):
        copy.follow(network, 0.9)

    assert copy.copy.weight.item() == pytest.approx(2 * (1 - 0.9**10) + 5 * 0.9**10)


def test_running_means_begin_at_the_first_weights_and_take_the_statistics_as_they_are():
    copy, network = (build(lambda: nn.BatchNorm1d(2), seed) for seed in (0, 1))
    network(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))
    copy = Averaged(copy)
    copy.follow(network, 0.999)
    assert (copy.copy.running_var == network.running_var).all()

    method = fitted(decay=0.5, learning_rate=0.0)
    weights = zip(
        method._parts.averaged["encoder"].parameters(), method._parts.encoder.parameters(), strict=True
    )  # the copies are drawn apart
    assert all((a == b).all() for a, b in weights)


def test_the_score_is_the_distance_in_the_features_by_running_means():
    method = fitted(learning_rate=1e-2, decay=0.9)
    rows = made.rows(7, seed=4)
    x = torch.from_numpy(method._scaling(rows)).float()
    encoder, generator, paired = (part.copy for part in method._parts.eval().averaged.values())
    with torch.no_grad():
        again = generator(encoder(x))
        f, f_again = (paired.features(torch.cat([x, other], 1)) for other in (x, again))
        expected = (f - f_again).abs().sum(1)
        raw = method._parts.paired_x.features(torch.cat([x, x], 1))

    np.testing.assert_allclose(method.anomaly_score(rows), expected, rtol=1e-4)
    assert (raw - f).abs().max() > 1e-3


def test_tables_have_the_layers_of_the_authors_code():
    method = ALAD(epochs=1, batch_size=9).fit(np.random.default_rng(0).normal(size=(9, 274)))
    shapes = {
        name: [tuple(p.shape) for p in getattr(method._parts, name).parameters() if p.ndim == 2]
        for name in ("encoder", "generator", "joint", "paired_x", "paired_z")
    }

    assert shapes["encoder"] == [(256, 274), (128, 256), (64, 128)]
    assert shapes["generator"] == [(128, 64), (256, 128), (274, 256)]
    assert shapes["joint"] == [(128, 274), (128, 64), (256, 256), (1, 256)]
    assert shapes["paired_x"] == [(256, 548), (128, 256), (1, 128)]
    assert shapes["paired_z"] == [(64, 128), (32, 64), (1, 32)]


def test_images_pass_through_the_networks_of_the_authors_code():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)

    method = ALAD(scale="signed", latent_dim=100, epochs=1, batch_size=2).fit(images)

    assert np.isfinite(method.anomaly_score(images)).all()
    assert method._parts.paired_x.head.in_features == 16384
    with pytest.raises(ValueError, match="tables and for images of shape"):
        ALAD().fit(np.zeros((2, 1, 28, 28)))


def test_without_its_penalty_rcgan_is_alad():
    plain, penalised = fitted(), fitted(RCGAN)

    assert (fitted(RCGAN, penalty=0.0).anomaly_score(ROWS) == plain.anomaly_score(ROWS)).all()
    assert (penalised.anomaly_score(ROWS) != plain.anomaly_score(ROWS)).any()


def test_the_penalty_reaches_the_joint_discriminator_only():
    method = fitted(RCGAN)
    silence(method)
    z = torch.zeros(10, 6)
    assert method.discriminate(X, z).item() == pytest.approx(7 * math.log(2))

    method = fitted(RCGAN)
    own = method._parts
    method._net.eval()  # without dropout the two passes differ in the penalty only
    penalty = method.discriminate(X, z) - ALAD.discriminate(method, X, z)
    others = [*own.others(), *own.paired_x.parameters(), *own.paired_z.parameters()]
    gradients = torch.autograd.grad(
        penalty, [*own.joint.parameters(), *others], materialize_grads=True, allow_unused=True
    )
    n = len(list(own.joint.parameters()))
    assert max(g.abs().max() for g in gradients[:n]) > 1e-2
    assert max(g.abs().max() for g in gradients[n:]) < 1e-6


def test_the_best_logit_is_the_log_ratio_of_the_densities():
    """The discriminator of x alone: N(0, 1) against N(0, 4) has the logit log 2 - 3 / 8 x^2."""
    generator = torch.Generator().manual_seed(0)
    inner = torch.randn(20_000, generator=generator, dtype=torch.float64)
    outer = 2 * torch.randn(20_000, generator=generator, dtype=torch.float64)
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        lost = true(weights[0] + weights[1] * inner**2) + false(weights[0] + weights[1] * outer**2)
        lost.backward()
        return lost

    optimiser.step(loss)

    assert weights.tolist() == pytest.approx([math.log(2), -3 / 8], abs=0.03)


def test_where_penalty_and_rows_are_alike_the_best_discriminator_says_a_third():
    method = fitted(RCGAN)
    silence(method)
    head = method._parts.joint.head[-1]
    with torch.no_grad():
        head.bias.fill_(math.log(1 / 2))
    z = torch.zeros(10, 6)

    lost = method.discriminate(X, z)

    assert lost.item() == pytest.approx(4 * math.log(2) + math.log(3) + 2 * math.log(3 / 2))
    assert torch.autograd.grad(lost, head.bias)[0].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_rcgan_scores_rows_far_out_above_those_of_a_ring():
    generator = np.random.default_rng(0)
    angle = generator.uniform(0, 2 * np.pi, 200)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + generator.normal(scale=0.05, size=(200, 2))
    method = RCGAN(latent_dim=2, epochs=40, batch_size=50, learning_rate=1e-3, decay=0.9, scale="none").fit(ring)

    assert np.median(method.anomaly_score(10 * ring)) > np.quantile(method.anomaly_score(ring), 0.95)


def test_images_have_the_weights_of_the_authors_code():
    own = ALAD(latent_dim=100)._build((3, 32, 32))
    n = {
        name: sum(p.numel() for p in getattr(own, name).parameters() if p.ndim > 1)
        for name in ("encoder", "generator", "joint", "paired_x", "paired_z")
    }

    convolutions = 16 * (3 * 128 + 128 * 256 + 256 * 512)
    assert n["encoder"] == n["generator"] == convolutions + 16 * 512 * 100
    assert n["joint"] == convolutions + 100 * 512 + 512 * 512 + (8192 + 512) * 1024 + 1024
    assert n["paired_x"] == 25 * (3 * 64 + 64 * 128) + 16384
    assert n["paired_z"] == 200 * 64 + 64 * 32 + 32
    normalised = {name: sum(isinstance(m, Spectral) for m in getattr(own, name).modules()) for name in n}
    assert normalised == {"encoder": 3, "generator": 0, "joint": 6, "paired_x": 2, "paired_z": 2}


def test_pairs_of_images_are_padded_as_tensorflow_pads():
    """Of 5 lines at a stride of 2, the first output sees the first four lines, not the first three."""
    own = ALAD(latent_dim=2)._build((3, 32, 32))
    pad, convolution = own.paired_x.features[0], own.paired_x.features[1].layer

    x = torch.zeros(1, 3, 64, 32, requires_grad=True)
    (seen,) = torch.autograd.grad(convolution(pad(x))[0, 0, 0, 0], x)

    assert convolution(pad(x)).shape == (1, 64, 32, 16)
    assert (seen != 0).any((0, 1, 3)).nonzero().flatten().tolist() == [0, 1, 2, 3]


class _Noisy(nn.Module):
    """From x to N(slope x, deviation^2), with fixed noise."""

    def __init__(self, slope, deviation, seed):
        super().__init__()
        self.slope, self.deviation, self.seed = slope, deviation, seed

    def forward(self, x):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(self.seed))
        return self.slope * x + self.deviation * noise

    def log_density(self, y, x):
        return torch.distributions.Normal(self.slope * x, self.deviation).log_prob(y)


class _Flat(nn.Module):
    def forward(self, a, b, axis=1):
        return torch.zeros(len(a))


class _Disturbed(nn.Module):
    """A known logit of x and z, plus a weight for each monomial up to the second degree."""

    def __init__(self, logit):
        super().__init__()
        self.logit, self.weights = logit, nn.Parameter(torch.zeros(6))

    def forward(self, x, z):
        monomials = torch.cat([torch.ones_like(x), x, z, x * x, x * z, z * z], 1)
        return self.logit(x, z).squeeze(1) + monomials @ self.weights


@pytest.mark.parametrize("kind", [ALAD, RCGAN])
def test_the_joint_discriminator_is_at_rest_at_the_log_ratio_of_the_densities(kind):
    """ALAD: log q(x)e(z|x) - log p(z)g(x|z); RCGAN adds t(x)e(z|x) to what is refused. q = N(0.5, 0.8^2)."""
    method = kind(latent_dim=1, epochs=0).fit(made.rows(9, d=1))
    method._generator.manual_seed(0)
    own = method._parts
    encoder, generator = _Noisy(0.5, 0.9, 1), _Noisy(-0.3, 0.8, 2)
    own.encoder, own.generator, own.paired_x, own.paired_z = encoder, generator, _Flat(), _Flat()
    q, standard = torch.distributions.Normal(0.5, 0.8), torch.distributions.Normal(0, 1)

    def logit(x, z):
        accepted = q.log_prob(x) + encoder.log_density(z, x)
        refused = standard.log_prob(z) + generator.log_density(x, z)
        if kind is RCGAN:
            refused = torch.logaddexp(refused, standard.log_prob(x) + encoder.log_density(z, x))
        return accepted - refused

    own.joint = _Disturbed(logit)
    draw = torch.Generator().manual_seed(3)
    x, z = 0.5 + 0.8 * torch.randn(200_000, 1, generator=draw), torch.randn(200_000, 1, generator=draw)

    (pull,) = torch.autograd.grad(method.discriminate(x, z), own.joint.weights)
    assert pull.abs().max() < 0.01
    with torch.no_grad():
        own.joint.weights[4] = 0.3
    (pull,) = torch.autograd.grad(method.discriminate(x, z), own.joint.weights)
    assert pull.abs().max() > 0.03
