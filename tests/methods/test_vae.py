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


@pytest.mark.parametrize(("shape", "n_weights"), [((1, 28, 28), 3136 * 64 * 2), ((3, 32, 32), 4096 * 256 * 2)])
def test_images_have_the_networks_of_the_source(shape, n_weights):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = VAE(scale="unit", epochs=1, batch_size=4).fit(images)

    dense = [v for name, v in method.state().items() if name.endswith("weight") and v.ndim == 2]
    assert sum(v.size for v in dense if max(v.shape) > 1000) == n_weights
    assert method.anomaly_score(images).shape == (4,)
    with pytest.raises(ValueError, match="resize them"):
        VAE().fit(np.zeros((2, 1, 9, 9)))


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
