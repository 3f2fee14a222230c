from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch

from tollad.method.terms import squared_l2
from tollad.methods import VAE
from tollad.methods.vae import kl

ROWS = made.rows(80)


def test_the_divergence_is_0_for_the_prior_only_and_that_of_monte_carlo():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[-0.7, 0.4]])
    deviation = (log_variance / 2).exp()
    z = mean + deviation * torch.randn(200_000, 2, generator=generator)
    own = torch.distributions.Normal(mean, deviation).log_prob(z).sum(1)
    prior = torch.distributions.Normal(0, 1).log_prob(z).sum(1)

    assert kl(torch.zeros(1, 3), torch.zeros(1, 3)) == 0
    assert (kl(torch.randn(50, 3, generator=generator), torch.randn(50, 3, generator=generator)) > 0).all()
    assert kl(mean, log_variance).item() == pytest.approx((own - prior).mean().item(), abs=0.01)


def test_the_gradient_of_the_divergence():
    assert torch.autograd.gradcheck(
        kl,
        [
            torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(i), requires_grad=True)
            for i in range(2)
        ],
    )


def test_a_linear_vae_keeps_the_directions_above_its_decoders_variance():
    """Lucas et al. (2019): probabilistic PCA with a variance of 1/2, active where an eigenvalue exceeds it."""
    generator = np.random.default_rng(0)
    axes, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    rows = generator.normal(size=(2000, 6)) * np.sqrt([4.0, 2.0, 0.3, 0.2, 0.1, 0.05]) @ axes.T
    method = VAE(hidden=(), latent_dim=4, scale="none", epochs=120, batch_size=500, learning_rate=0.02).fit(rows)

    assert method.diagnose(rows)["active_units"] == 2
    values, vectors = np.linalg.eigh(np.cov(rows.T, ddof=0))
    W = method.state()["fitted.decoder.0.weight"].astype(float)
    # W W' = U (L - 1/2) U' over the eigenvalues L above 1/2
    expected = vectors[:, -2:] @ np.diag(values[-2:] - 0.5) @ vectors[:, -2:].T
    np.testing.assert_allclose(W @ W.T, expected, atol=0.25)


def test_the_score_is_the_bound_at_the_mean_and_its_two_parts():
    method = VAE(epochs=2, latent_dim=3, hidden=(5,), kl_weight=0.5).fit(ROWS)
    parts = {}
    for method.score_by in ("elbo", "reconstruction", "kl"):
        parts[method.score_by] = method.anomaly_score(ROWS)

    np.testing.assert_allclose(parts["elbo"], parts["reconstruction"] + parts["kl"], rtol=1e-5)


def test_with_all_weight_on_the_divergence_the_score_is_the_distance_to_one_row():
    method = VAE(hidden=(), latent_dim=2, scale="none", kl_weight=1e4, epochs=400, batch_size=80, learning_rate=0.05)
    method.score_by = "reconstruction"
    distance = np.linalg.norm(ROWS - ROWS.mean(0), axis=1) ** 2

    scores = method.fit(ROWS).anomaly_score(ROWS)

    assert np.corrcoef(scores, distance)[0, 1] > 0.99


def down(a, b):
    return 9 * a * b + 9 * b * b + a * b + 3 * 2 * b


def up(a, b):
    return 25 * a * b + 9 * b * b + a * b + 3 * 2 * b


def same(a):
    return 2 * (9 * a * a + 2 * a)


def dense(a, b):
    return a * b + b + 2 * b


@pytest.mark.parametrize(
    ("shape", "encoder", "decoder"),
    [
        (
            (1, 28, 28),
            down(1, 32) + down(32, 64) + dense(3136, 64) + 2 * 65 * 64,
            dense(64, 64) + dense(64, 3136) + up(64, 32) + up(32, 16) + 16,
        ),
        (
            (3, 32, 32),
            27 * 32 + same(32) + down(32, 64) + down(64, 128) + down(128, 256) + dense(4096, 256) + 2 * 257 * 64,
            dense(64, 256) + dense(256, 4096) + up(256, 128) + up(128, 64) + up(64, 32) + same(32) + 96,
        ),
    ],
    ids=["28", "32"],
)
def test_images_have_the_networks_of_the_source(shape, encoder, decoder):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = VAE(scale="unit", epochs=1, batch_size=4).fit(images)

    own = method._parts
    n = {name: sum(p.numel() for p in part.parameters()) for name, part in own.named_children()}
    assert n["body"] + n["mean"] + n["log_variance"] == encoder
    assert n["decoder"] == decoder
    assert method.anomaly_score(images).shape == (4,)
    with pytest.raises(ValueError, match="resize them"):
        VAE().fit(np.zeros((2, 1, 9, 9)))


def test_the_loss_is_the_bound_at_a_draw():
    method = VAE(hidden=(5,), latent_dim=3, scale="none", kl_weight=0.5, epochs=0, learning_rate=0.0).fit(ROWS)
    own, x = method._parts.eval(), torch.from_numpy(ROWS).float()
    (phase,) = method._phases(x)
    method._generator.manual_seed(4)
    with torch.no_grad():
        h = own.body(x)
        mean, deviation = own.mean(h), own.log_variance(h).exp().sqrt()
        z = mean + deviation * torch.randn(80, 3, generator=torch.Generator().manual_seed(4))
        error = (x - own.decoder(z)).square().sum(1)
        divergence = (mean**2 + deviation**2 - 1 - 2 * deviation.log()).sum(1) / 2

    assert phase.update(x).item() == pytest.approx((error + divergence / 2).mean().item(), rel=1e-5)


def test_the_bound_of_a_linear_vae_is_one_whatever_its_weights():
    """The exact density is a normal one: decoder variance 1/2, prior N(0, I)."""
    method = VAE(hidden=(), latent_dim=2, scale="none", epochs=0).fit(ROWS)
    x, parts = torch.from_numpy(ROWS), method._net.double()
    for seed in range(5):
        with torch.no_grad():
            for weight in parts.parameters():
                weight.normal_(generator=torch.Generator().manual_seed(seed)).mul_(0.4)
            mean, log_variance = parts.encode(x)
            (decoder,) = (layer for layer in parts.decoder.modules() if isinstance(layer, torch.nn.Linear))
            w, b = decoder.weight, decoder.bias
            error = squared_l2(x, parts.decoder(mean)) + log_variance.exp() @ w.square().sum(0)
            bound = error + kl(mean, log_variance) + x.shape[1] / 2 * math.log(math.pi)
            normal = torch.distributions.MultivariateNormal(b, w @ w.T + torch.eye(len(b)).double() / 2)

        assert (bound >= -normal.log_prob(x) - 1e-9).all()


def test_without_the_divergence_it_is_scored_as_an_autoencoder():
    method = VAE(epochs=2, latent_dim=3, hidden=(5,), kl_weight=0.0).fit(ROWS)
    bound = method.anomaly_score(ROWS)
    method.score_by = "reconstruction"

    assert (method.anomaly_score(ROWS) == bound).all()


def test_at_its_optimum_the_bound_of_a_linear_vae_is_the_density():
    """W = U (L - 1/2)^(1/2), and the encoder is the posterior, whose covariance is diagonal then."""
    rows = ROWS - ROWS.mean(0)
    values, vectors = np.linalg.eigh(np.cov(rows.T, ddof=0))
    assert values[-2] > 0.5
    W = torch.from_numpy(vectors[:, -2:] * np.sqrt(values[-2:] - 0.5))
    inverse = torch.linalg.inv(W.T @ W + torch.eye(2) / 2)
    method = VAE(hidden=(), latent_dim=2, scale="none", epochs=0).fit(rows)
    own, x = method._net.double(), torch.from_numpy(rows)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.zero_()
        own.decoder[0].weight.copy_(W)
        own.mean.weight.copy_(inverse @ W.T)
        own.log_variance.bias.copy_((inverse.diagonal() / 2).log())
        variance = own.encode(x)[1].exp()
        # The score is the bound at the mean; a draw adds the variance that it sends through W.
        bound = torch.from_numpy(method.anomaly_score(rows)) + variance @ W.square().sum(0) + 6 / 2 * math.log(math.pi)
    normal = torch.distributions.MultivariateNormal(torch.zeros(6).double(), W @ W.T + torch.eye(6) / 2)

    torch.testing.assert_close(bound, -normal.log_prob(x), rtol=1e-5, atol=1e-5)
