from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import OCGAN
from tollad.methods.gan import false
from tollad.methods.layers import build, dense_layers, normal
from tollad.methods.ocgan import distance_from_uniform

SMALL = made.SMALL["OCGAN"]
IMAGES = made.images(20)
X = torch.from_numpy(IMAGES / 127.5 - 1).float()


@pytest.fixture(scope="module")
def fitted():
    method = OCGAN(**SMALL).fit(IMAGES)
    method._net.eval()
    return method


def test_codes_lie_between_minus_1_and_1(fitted):
    with torch.no_grad():
        codes = fitted._parts.encoder(fitted._parts.pad(X))

    assert codes.shape == (20, 3)
    assert (codes.abs() < 1).all()


def test_mining_walks_to_where_the_classifier_says_made(fitted):
    uniform = 2 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 1
    own = fitted._parts
    with torch.no_grad():
        before = false(own.classifier(own.decoder(uniform.tanh())))

    mined = fitted.mine(uniform)

    with torch.no_grad():
        assert false(own.classifier(own.decoder(mined))) < before
    assert (mined.abs() < 1).all()


def test_a_classifier_without_slope_moves_no_code(fitted):
    other = OCGAN(**SMALL).fit(IMAGES)
    other._net.eval()
    with torch.no_grad():
        for parameter in other._parts.classifier.parameters():
            parameter.zero_()
    uniform = 2 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 1

    mined = other.mine(uniform)

    assert (mined == uniform.tanh()).all()
    assert mined.abs().max() <= math.tanh(1)


def test_logits_of_0_lose_log_2_each():
    method = OCGAN(**SMALL, error_weight=0.0).fit(IMAGES)
    own = method._parts
    with torch.no_grad():
        for part in (own.of_codes, own.of_images, own.classifier):
            for parameter in part.parameters():
                parameter.zero_()
    x = own.pad(X)
    lost, told = method._judged(x, x, torch.zeros(20, 3))

    assert lost.item() == pytest.approx(2 * math.log(2))
    assert told.item() == pytest.approx(math.log(2))
    assert method._made(x, x, torch.zeros(20, 3)).item() == pytest.approx(11 * math.log(2))


def test_the_losses_are_those_of_the_authors_code(fitted):
    own = fitted._parts
    x = own.pad(X)
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    uniform = 2 * torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 1

    def sbce(logits, target):
        return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    with torch.no_grad():
        code, made_of = own.encoder(noisy), own.decoder(uniform)
        of_codes = (sbce(own.of_codes(code), 0.0) + sbce(own.of_codes(uniform), 1.0)) / 2
        of_images = (sbce(own.of_images(made_of), 0.0) + sbce(own.of_images(x), 1.0)) / 2
        classified = (sbce(own.classifier(made_of), 0.0) + sbce(own.classifier(own.decoder(code)), 1.0)) / 2
        error = fitted.error_weight / 2 * (x - own.decoder(code)).square().mean()
        deceived = 10 * sbce(own.of_codes(code), 1.0) + sbce(own.of_images(made_of), 1.0)

        lost, told = fitted._judged(x, noisy, uniform)
        torch.testing.assert_close(lost, of_codes + of_images)
        torch.testing.assert_close(told, classified)
        torch.testing.assert_close(fitted._made(x, noisy, uniform), error + deceived)
        torch.testing.assert_close(fitted._made(x, noisy, None), error)


def test_the_score_is_the_error_of_what_is_not_noisy(fitted):
    own = fitted._parts
    x = own.pad(X)
    with torch.no_grad():
        expected = (own.decoder(own.encoder(x)) - x).square().mean((1, 2, 3))

    np.testing.assert_allclose(fitted.anomaly_score(IMAGES), expected, rtol=1e-5)


def test_without_adversaries_it_fits_a_batch_and_trains_no_discriminator():
    images = np.kron(np.random.default_rng(0).integers(0, 256, (4, 1, 4, 4)), np.ones((7, 7))).astype(np.uint8)
    recipe = {"adversarial": False, "noise": 0.0, "width": 8, "critic_width": 2, "learning_rate": 5e-3}
    scores = OCGAN(**recipe, epochs=60).fit(images).anomaly_score(images)
    critics = [
        OCGAN(adversarial=False, **{**SMALL, "epochs": n}).fit(IMAGES)._parts.of_codes.state_dict() for n in (0, 2)
    ]

    assert scores.mean() < 0.1 * (images / 127.5).var(0).mean()
    assert all((a == b).all() for a, b in zip(critics[0].values(), critics[1].values(), strict=True))


def test_mining_begins_after_its_epoch(monkeypatch):
    called = []
    mine = OCGAN.mine
    monkeypatch.setattr(OCGAN, "mine", lambda self, z: called.append(self._parts.step.item()) or mine(self, z))

    OCGAN(**{**SMALL, "epochs": 3, "mine_after": 2}).fit(IMAGES)

    assert called == [4, 5]


class _Linear(OCGAN):
    """An OCGAN whose encoder is one matrix and whose decoder gives the code back."""

    def _build(self, shape):
        return build(lambda: _Matrix(shape), self.seed, normal(0.1))


class _Matrix(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.pad, self.decoder = nn.Identity(), nn.Unflatten(1, shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(shape[-1], shape[-1], bias=False))
        self.of_codes = self.of_images = self.classifier = nn.Linear(1, 1)
        self.register_buffer("step", torch.zeros(()))


class _Coder(OCGAN):
    """An OCGAN of rows of 2 values: encoder and decoder are one matrix each."""

    def _build(self, shape):
        return build(_Coders, self.seed, normal(0.1))


class _Coders(_Matrix):
    def __init__(self):
        super().__init__((1, 1, 2))
        self.encoder.append(nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (1, 1, 2)))
        self.of_codes = dense_layers((2, 16, 16, 1), nn.ReLU)
        self.of_images, self.classifier = (nn.Sequential(nn.Flatten(), nn.Linear(2, 1)) for _ in range(2))


def test_the_codes_become_uniform():
    rows = np.random.default_rng(0).normal(size=(512, 2))[:, None, None]
    recipe = {"latent_dim": 2, "noise": 0.0, "scale": "none", "batch_size": 128, "learning_rate": 1e-2}

    uniform = 2 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(1)) - 1
    distance, told = {}, {}
    for epochs in (0, 5, 15):
        method = _Coder(**recipe, epochs=epochs).fit(rows)
        distance[epochs] = method.diagnose(rows)["distance_from_uniform"]
        own = method._parts
        with torch.no_grad():
            codes = own.encoder(torch.from_numpy(rows).float())
            right = (own.of_codes(codes) < 0).float().mean() + (own.of_codes(uniform) > 0).float().mean()
        told[epochs] = right.item() / 2

    assert distance[0] > 0.3
    assert distance[15] < 0.1
    assert told[5] > 0.7, "until they are, the discriminator tells them apart"
    assert told[15] == pytest.approx(0.5, abs=0.05)


def test_codes_at_both_ends_are_half_of_the_way_from_uniform():
    ends = torch.tensor([-1.0, 1.0]).repeat(50)[:, None]

    assert distance_from_uniform(ends) == pytest.approx(0.5)
    assert distance_from_uniform(torch.zeros(10, 3)) == pytest.approx(0.5)


def test_a_linear_one_without_adversaries_is_the_best_denoiser():
    """W = C (C + s^2 I)^-1 of rows of mean 0 with covariance C."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3)) @ generator.normal(size=(3, 3))
    rows -= rows.mean(0)
    covariance = rows.T @ rows / len(rows)
    recipe = {"adversarial": False, "noise": 0.7, "scale": "none", "batch_size": 100, "learning_rate": 3e-3}

    method = _Linear(**recipe, epochs=400).fit(rows[:, None, None])

    expected = covariance @ np.linalg.inv(covariance + 0.49 * np.eye(3))
    np.testing.assert_allclose(method._parts.encoder[1].weight.detach(), expected, atol=0.06)
