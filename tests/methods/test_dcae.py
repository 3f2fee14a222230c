from __future__ import annotations

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.method.networks import Autoencoder
from tollad.methods import DCAE, lenet
from tollad.methods.dcae import reconstruction_phase
from tollad.methods.layers import build
from tollad.training.adam import Adam


def n_parameters(module):
    return [p.numel() for p in module.parameters()]


def test_the_networks_have_the_layers_of_their_source():
    small, large = (lenet.autoencoder(shape, "") for shape in ((1, 28, 28), (3, 32, 32)))

    assert n_parameters(small) == [200, 800, 6272, 200, 800, 200]
    assert n_parameters(large.encoder) == [2400, 51200, 204800, 262144]
    assert n_parameters(large.decoder) == [25600, 204800, 51200, 2400]
    for network, shape in ((small, (1, 28, 28)), (large, (3, 32, 32))):
        x_hat, z = network.eval()(torch.zeros(2, *shape))
        assert x_hat.shape == (2, *shape)
        assert z.shape == (2, 32 if network is small else 128)


def test_rows_that_it_has_no_network_for_are_refused():
    with pytest.raises(ValueError, match=r"DCAE has networks for .*, not \(1, 9, 9\); resize them"):
        DCAE().fit(np.zeros((4, 1, 9, 9)))


def test_a_linear_autoencoder_reaches_principal_components():
    """Eckart and Young: no other linear map of the same rank errs less."""
    x = torch.from_numpy(made.rows(64) - made.rows(64).mean(0)).float()
    linear = build(lambda: Autoencoder(nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False)), 0)
    phase = reconstruction_phase(DCAE(learning_rate=0.05, weight_decay=0.0), linear)

    for _ in range(600):
        loss = phase.update(x)

    values = torch.linalg.svdvals(x).square() / len(x)
    assert loss.item() == pytest.approx(values[2:].sum().item(), rel=1e-3)


def test_it_fits_ten_images_and_its_output_lies_between_0_and_1():
    images = np.kron(np.random.default_rng(0).integers(0, 256, (10, 1, 4, 4)), np.ones((7, 7))).astype(np.uint8)
    settings = {"scale": "unit", "learning_rate": 1e-2, "weight_decay": 0.0, "batch_size": 10, "drop_after": 200}

    method = DCAE(epochs=200, **settings).fit(images)

    to_mean = (images / 255 - (images / 255).mean(0)) ** 2
    assert method.anomaly_score(images).mean() < 0.15 * to_mean.sum((1, 2, 3)).mean()
    with torch.no_grad():
        x_hat, _ = method._net(torch.from_numpy(images / 255).float())
    assert x_hat.min() > 0
    assert x_hat.max() < 1


@pytest.mark.parametrize(
    ("shape", "sides"), [((1, 28, 28), [14, 7, 8, 16, 28]), ((3, 32, 32), [16, 8, 4, 8, 16, 32])], ids=["28", "32"]
)
def test_images_are_halved_and_doubled_as_in_the_source(shape, sides):
    network, seen = lenet.autoencoder(shape, "").eval(), []
    for layer in network.modules():
        if isinstance(layer, nn.MaxPool2d | nn.Upsample):
            layer.register_forward_hook(lambda _, given, x: seen.append(x.shape[-1]))
            assert getattr(layer, "mode", "nearest") == "nearest"

    network(torch.zeros(1, *shape))

    assert seen == sides


def test_with_codes_of_0_the_best_is_the_mean_and_the_score_the_distance_to_it():
    rows = made.rows(64)
    network = build(lambda: Autoencoder(nn.Linear(6, 1, bias=False), nn.Linear(1, 6)), 0)
    phase = reconstruction_phase(DCAE(learning_rate=0.05, weight_decay=0.0), network)
    x = torch.from_numpy(rows).float()
    for _ in range(600):
        with torch.no_grad():
            network.encoder.weight.zero_()
        phase.update(x)
    method = DCAE(scale="none", epochs=0).fit(rows)
    with torch.no_grad():
        network.encoder.weight.zero_()
    method._net = network

    np.testing.assert_allclose(method.anomaly_score(rows), ((rows - rows.mean(0)) ** 2).sum(1), rtol=1e-2)


def test_the_step_is_a_tenth_after_its_epoch(monkeypatch):
    rates = []

    def noted(self, loss, original=Adam.minimise):
        rates.append(self.learning_rate)
        original(self, loss)

    monkeypatch.setattr(Adam, "minimise", noted)
    DCAE(epochs=4, drop_after=3, batch_size=10, learning_rate=0.01).fit(made.rows(20))

    assert rates == pytest.approx([0.01] * 6 + [0.001] * 2)


def test_the_loss_is_a_sum_over_the_values_and_the_decay_pulls_weights_to_0():
    x = torch.from_numpy(made.rows(8)).float()
    network = build(lambda: Autoencoder(nn.Linear(6, 2, bias=False), nn.Linear(2, 6, bias=False)), 0)
    before = [p.detach().clone() for p in network.parameters()]
    expected = (network(x)[0] - x).square().sum() / 8

    loss = reconstruction_phase(DCAE(learning_rate=1e-3, weight_decay=1e9), network).update(x)

    torch.testing.assert_close(loss, expected)
    for p, start in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(p, start - 1e-3 * start.sign())  # the first step of Adam


def test_an_encoder_of_zeros_leaves_the_distance_to_one_row():
    rows = made.rows()
    method = DCAE(epochs=1, batch_size=10).fit(rows)
    method._net.eval()
    with torch.no_grad():
        for weight in method._net.encoder.parameters():
            weight.zero_()
        one = method._net.decoder(torch.zeros(1, 32))[0].numpy()

    np.testing.assert_allclose(method.anomaly_score(rows), ((method._scaling(rows) - one) ** 2).sum(1), rtol=1e-5)
