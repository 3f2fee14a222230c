from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from tollad.methods import DAGMM
from tollad.methods.dagmm import Mixture, energy, features, fit_mixture

Z = torch.from_numpy(made.rows(200, d=4))
RIDGE = 1e-6


def memberships(k, n=200):
    return torch.rand(n, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(1)


def test_one_component_is_half_the_mahalanobis_distance():
    mixture = fit_mixture(Z, torch.ones(200, 1, dtype=torch.float64), 0.0)

    found = energy(Z, mixture)

    away, sigma = Z - Z.mean(0), torch.cov(Z.T, correction=0)
    constant = (torch.logdet(sigma) + 4 * math.log(2 * math.pi)) / 2
    torch.testing.assert_close(found, (away @ torch.linalg.inv(sigma) * away).sum(1) / 2 + constant)
    torch.testing.assert_close(found.mean(), 4 / 2 + constant)


def test_one_component_is_that_of_scikit_learn():
    reference = GaussianMixture(1, reg_covar=RIDGE).fit(Z.numpy())

    found = energy(Z, fit_mixture(Z, torch.ones(200, 1, dtype=torch.float64), RIDGE))

    np.testing.assert_allclose(found, -reference.score_samples(Z.numpy()))


def test_memberships_of_scikit_learn_give_its_next_step():
    reference = GaussianMixture(3, reg_covar=RIDGE, max_iter=5000, tol=1e-14, random_state=0).fit(Z.numpy())

    mixture = fit_mixture(Z, torch.from_numpy(reference.predict_proba(Z.numpy())), RIDGE)

    np.testing.assert_allclose(mixture.phi, reference.weights_, rtol=1e-3)
    np.testing.assert_allclose(energy(Z, mixture), -reference.score_samples(Z.numpy()), rtol=1e-3)


def test_the_order_of_components_is_of_no_account_and_a_map_shifts_all_energies_alike():
    gamma = memberships(3)
    plain = energy(Z, fit_mixture(Z, gamma, 0.0))
    A = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 4)))

    torch.testing.assert_close(energy(Z, fit_mixture(Z, gamma[:, [2, 0, 1]], 0.0)), plain)
    mapped = Z @ A + 5
    shift = torch.linalg.slogdet(A).logabsdet
    torch.testing.assert_close(energy(mapped, fit_mixture(mapped, gamma, 0.0)), plain + shift)


def test_far_rows_do_not_tie():
    mixture = fit_mixture(Z, memberships(2), RIDGE)

    near, far = energy(torch.stack([1e4 * Z[0], 1e5 * Z[0]]), mixture)

    assert torch.isfinite(far)
    assert far > 10 * near


def test_a_covariance_that_is_none_gives_no_number():
    mixture = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), -torch.eye(2).double()[None])

    assert energy(torch.zeros(3, 2).double(), mixture).isnan().all()


def test_features_are_relative_error_and_cosine():
    x, x_hat = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 0.0]])

    found = features(x, x_hat, torch.tensor([[7.0], [8.0]]))

    assert found[0].tolist() == pytest.approx([7, 0.8, 0.6])
    assert found.isfinite().all()


def test_a_constant_feature_gives_numbers():
    z = torch.cat([Z, torch.ones(200, 1)], 1)

    assert energy(z, fit_mixture(z, memberships(2), RIDGE)).isfinite().all()


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    method = DAGMM(epochs=0, n_components=2).fit(made.rows(40))
    method._net.double().eval()  # without dropout
    x = torch.from_numpy(made.rows(20, seed=1) / 5)
    weight = method._parts.autoencoder.encoder[0].weight
    (gradient,) = torch.autograd.grad(method.loss(x), [weight])

    for place in [(0, 0), (3, 2), (9, 5)]:
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[place] += step
                values.append(method.loss(x).item())
                weight[place] -= step
        assert gradient[place].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_without_energy_it_is_an_autoencoder_and_the_estimation_stays():
    settings = {"energy_weight": 0.0, "diagonal_weight": 0.0, "batch_size": 20, "learning_rate": 1e-2}
    before, after = (DAGMM(epochs=epochs, **settings).fit(made.rows(60)).state() for epochs in (0, 20))

    for name in before:
        if "estimation" in name:
            assert (before[name] == after[name]).all()
    assert any((before[name] != after[name]).any() for name in before if "autoencoder" in name)


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_mixture_is_that_of_all_training_rows(epochs):
    """Of an untrained network, too: its scores are the line to compare with."""
    rows = made.rows(60)
    method = DAGMM(epochs=epochs, batch_size=20).fit(rows)
    x = torch.from_numpy((rows - rows.mean(0)) / rows.std(0)).float()

    with torch.no_grad():
        z, _ = method._parts(x)
        mixture = fit_mixture(z, method._parts.membership(z), RIDGE)

    np.testing.assert_allclose(method.state()["fitted.mu"], mixture.mu, rtol=1e-5)
    assert method.diagnose(rows)["components"] > 1


def test_the_network_of_the_paper_for_arrhythmia():
    method = DAGMM(epochs=0).fit(np.random.default_rng(0).normal(size=(9, 274)))

    weights = [v.shape for name, v in method.state().items() if name.endswith("weight")]
    assert weights == [(10, 274), (2, 10), (10, 2), (274, 10), (10, 4), (2, 10)]


def test_images_have_the_network_of_the_published_columns():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32)).astype(np.uint8)
    settings = {"latent_dim": 5, "estimation": (64, 10), "n_components": 3, "mean_error": True}
    method = DAGMM(scale="signed", epochs=1, batch_size=6, **settings).fit(images)

    weights = [v.shape for name, v in method.state().items() if name.endswith("weight") and v.ndim > 1]
    assert weights[:4] == [(64, 3, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (5, 4096)]
    assert weights[4:8] == [(4096, 5), (256, 128, 3, 3), (128, 64, 3, 3), (64, 3, 3, 3)]
    assert weights[8:] == [(64, 7), (10, 64), (3, 10)]
    assert np.isfinite(method.anomaly_score(images)).all()


def test_the_mixture_is_that_of_the_definition():
    gamma = memberships(3)
    mixture = fit_mixture(Z, gamma, RIDGE)
    z, g = Z.numpy(), gamma.numpy()
    density = np.zeros(200)
    for k in range(3):
        mean = sum(g[i, k] * z[i] for i in range(200)) / g[:, k].sum()
        sigma = sum(g[i, k] * np.outer(z[i] - mean, z[i] - mean) for i in range(200)) / g[:, k].sum()
        density += g[:, k].mean() * multivariate_normal(mean, sigma + RIDGE * np.eye(4)).pdf(z)
        np.testing.assert_allclose(mixture.mu[k], mean)
        np.testing.assert_allclose(mixture.sigma[k], sigma + RIDGE * np.eye(4))

    np.testing.assert_allclose(mixture.phi, g.mean(0))
    np.testing.assert_allclose(energy(Z, mixture), -np.log(density))


@pytest.mark.parametrize("mean_error", [False, True])
def test_the_loss_is_error_energy_and_inverse_variances(mean_error):
    method = DAGMM(epochs=0, mean_error=mean_error).fit(made.rows(40))
    own, x = method._parts.eval(), torch.from_numpy(made.rows(20, seed=1) / 5).float()
    with torch.no_grad():
        z = own.autoencoder.encoder(x)
        x_hat = own.autoencoder.decoder(z)
        relative, cosine = (
            (x - x_hat).norm(dim=1) / x.norm(dim=1),
            (x * x_hat).sum(1) / x.norm(dim=1) / x_hat.norm(dim=1),
        )
        seen = torch.cat([z, relative[:, None], cosine[:, None]], 1)
        mixture = fit_mixture(seen.double(), own.estimation(seen).softmax(1).double(), RIDGE)
        penalty = sum(1 / mixture.sigma[k, j, j] for k in range(2) for j in range(4))
        error = (x - x_hat).square().sum(1).mean() / (6 if mean_error else 1)
        expected = error + 0.1 * energy(seen.double(), mixture).mean() + 0.005 * penalty

        assert method.loss(x).item() == pytest.approx(expected.item(), rel=1e-4)
