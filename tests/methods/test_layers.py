from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods.layers import Dropout, build, default, dense_layers, glorot, glorot_relu, normal, seed_dropout
from tollad.training.adam import Adam

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


def test_weights_that_memory_would_not_hold_are_refused_before_they_are_made():
    with pytest.raises(MemoryError, match=r"1,000,001,000,000 weights need about .* GiB .*; choose smaller widths"):
        build(lambda: nn.Linear(10**6, 10**6), 0)


def test_adam_steps_as_its_paper_says_and_touches_nothing_else():
    w, other = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.ones(2))
    adam = Adam([w], 0.1, betas=(0.5, 0.99), weight_decay=0.3)
    own, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 5):
        adam.minimise((w.square() * other).sum())
        g = 2 * own + 0.3 * own
        m, v = 0.5 * m + 0.5 * g, 0.99 * v + 0.01 * g**2
        own = own - 0.1 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)

    np.testing.assert_allclose(w.detach(), own, rtol=1e-5)
    assert other.grad is None
    assert other.tolist() == [1, 1]


def test_adam_goes_on_from_its_state():
    first, second = (nn.Parameter(torch.tensor([3.0])) for _ in range(2))
    whole, begun, rest = Adam([first], 0.1), Adam([second], 0.1), Adam([second], 0.1)
    for _ in range(4):
        whole.minimise(first.square().sum())
    for _ in range(2):
        begun.minimise(second.square().sum())
    rest.load_state(begun.state())
    for _ in range(2):
        rest.minimise(second.square().sum())

    assert first.item() == second.item()


def test_dropout_keeps_the_mean_and_draws_from_its_own_generator():
    network = nn.Sequential(Dropout(0.25))
    seed_dropout(network, torch.Generator().manual_seed(0))
    x = torch.ones(10_000)

    dropped = network(x)

    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert (network.eval()(x) == x).all()


def test_a_network_is_drawn_from_its_seed_as_its_initialisation_says():
    def factory():
        return nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(400, 50))

    weight = build(factory, 0)[0].weight
    assert (weight == build(factory, 0)[0].weight).all()
    assert (weight != build(factory, 1)[0].weight).any()
    assert build(factory, 0)[1].running_var.tolist() == [1] * 16
    assert build(factory, 0, normal(0.02))[3].bias.tolist() == [0] * 50
    deviations = {
        default: 1 / np.sqrt(3 * 400),
        glorot: np.sqrt(2 / 450),
        glorot_relu: np.sqrt(4 / 450),
        normal(0.02): 0.02,
    }
    for init, deviation in deviations.items():
        assert build(factory, 0, init)[3].weight.std().item() == pytest.approx(deviation, rel=0.02)


def test_an_mlp_has_no_activation_at_its_end():
    with torch.device("meta"):
        network = dense_layers((5, 4, 3, 2), nn.ReLU, norm=nn.BatchNorm1d)

    assert [type(layer).__name__ for layer in network] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
