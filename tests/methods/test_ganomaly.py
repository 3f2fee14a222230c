from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import GANomaly

ROWS = made.rows(40)
SMALL = {"latent_dim": 3, "width": 4, "batch_size": 10}
X = torch.from_numpy(made.rows(10, seed=1)).float()


def test_the_networks_have_the_weights_of_the_authors_code():
    net = GANomaly()._build((3, 32, 32))
    counts = {
        name: sum(p.numel() for p in getattr(net, name).parameters())
        for name in ("encoder", "second", "decoder", "features", "head")
    }

    assert counts["encoder"] == counts["second"] == 1068800
    assert counts["decoder"] == 1068928
    assert counts["features"] + counts["head"] == 663296


def test_the_loss_is_0_for_an_exact_reconstruction_with_equal_codes():
    method = GANomaly(**SMALL, epochs=1).fit(ROWS)
    method._net.eval()
    parts = method._parts
    parts.decoder, parts.second, parts.encoder = nn.Identity(), nn.Identity(), nn.Identity()

    loss, x_hat = method.generate(X)

    assert loss.item() == 0
    assert (x_hat == X).all()
    assert (method.anomaly_score(ROWS) == 0).all()


def test_the_loss_weighs_features_error_and_code():
    method = GANomaly(**SMALL, epochs=1).fit(ROWS)
    method._net.eval()
    own = method._parts
    z, x_hat, z_again = own(X)
    parts = [(own.features(X) - own.features(x_hat)).square(), (X - x_hat).abs(), (z - z_again).square()]

    expected = parts[0].mean() + 50 * parts[1].mean() + parts[2].mean()

    torch.testing.assert_close(method.generate(X)[0], expected)


def test_without_the_adversarial_weight_the_discriminator_has_no_influence():
    states = []
    for start in (0.0, 1.0):
        method = GANomaly(**SMALL, epochs=0, adversarial_weight=0.0).fit(ROWS)
        with torch.no_grad():
            for parameter in method._parts.features.parameters():
                parameter += start
        (phase,) = method._phases(X)
        method._net.train()
        phase.update(X)
        states.append([p.detach().clone() for p in method._parts.encoder.parameters()])

    assert all((a == b).all() for a, b in zip(*states, strict=True))


def test_a_discriminator_that_guesses_loses_log_2():
    method = GANomaly(**SMALL, epochs=0).fit(ROWS)
    with torch.no_grad():
        for parameter in method._parts.head.parameters():
            parameter.zero_()

    assert method.discriminate(X, X + 1).item() == pytest.approx(math.log(2))


def test_a_discriminator_that_has_won_is_drawn_anew(monkeypatch):
    method = GANomaly(**SMALL, epochs=0).fit(ROWS)
    method._generator.manual_seed(0)
    (phase,) = method._phases(X)
    before = method._parts.head.weight.detach().clone()
    monkeypatch.setattr(method, "discriminate", lambda x, x_hat: 0.0 * method._parts.head.weight.sum())

    phase.update(X)

    after = method._parts.head.weight
    assert (after != before).all()
    assert after.abs().max() < 0.1


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_images_are_padded_to_32(shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = GANomaly(scale="signed", width=4, latent_dim=5, epochs=1, batch_size=4).fit(images)

    scores = method.anomaly_score(images)

    assert scores.shape == (4,)
    assert (method.anomaly_score(images[::-1])[::-1] == scores).all()
    assert method.diagnose(images)["mean_absolute_code"] > 0


def test_a_code_that_the_second_encoder_finds_again_scores_0_whatever_the_reconstruction():
    """E a projection, De its right inverse, and E' = E: then x' is not x, but z' is z."""
    method = GANomaly(**SMALL, epochs=0).fit(ROWS)
    own = method._parts
    own.encoder, own.second, own.decoder = (nn.Linear(*sizes, bias=False) for sizes in ((6, 3), (6, 3), (3, 6)))
    projection = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own.encoder.weight.copy_(projection)
        own.second.weight.copy_(projection)
        own.decoder.weight.copy_(torch.linalg.pinv(projection))
        _, x_hat, _ = own(X)

    assert (x_hat - X).abs().max() > 0.1
    assert method.anomaly_score(ROWS).max() < 1e-9
    with torch.no_grad():
        own.second.weight.mul_(1.1)
    assert method.anomaly_score(ROWS).min() > 1e-6


def test_drawing_anew_resets_features_and_norms_and_keeps_the_moments_of_adam(monkeypatch):
    method = GANomaly(**SMALL, epochs=0).fit(ROWS)
    method._generator.manual_seed(0)
    (phase,) = method._phases(X)
    method._net.train()
    phase.update(X)
    weights = [w.detach().clone() for w in method._parts.features.parameters() if w.ndim > 1]
    moments = {name: value.clone() for name, value in phase.optimizers["critic"].state().items()}
    assert all(value.any() for name, value in moments.items() if name.startswith("square"))

    method._draw_anew([*method._parts.features.parameters(), *method._parts.head.parameters()])

    drawn = [w for w in method._parts.features.parameters() if w.ndim > 1]
    assert all((a != b).all() for a, b in zip(drawn, weights, strict=True))
    norms = [layer for layer in method._parts.features.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert norms
    for norm in norms:
        assert (norm.weight == 1).all()
        assert (norm.running_mean == 0).all()
    kept = phase.optimizers["critic"].state()
    assert all((kept[name] == value).all() for name, value in moments.items())
