"""Gradients of the dense network against autograd through ordinary modules, whatever its layers are and end in."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from tollad.method.networks import Autoencoder
from tollad.training.stack import Stack

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

N_MEMBERS, N_ROWS = 3, 7
ENDINGS = {
    "linear": list,
    "relu": lambda: [nn.ReLU()],
    "two relus": lambda: [nn.ReLU(), nn.ReLU()],
    "layer norm": lambda: [nn.LayerNorm(4)],
    "layer norm, relu": lambda: [nn.LayerNorm(4), nn.ReLU()],
    "layer norm, two relus": lambda: [nn.LayerNorm(4), nn.ReLU(), nn.ReLU()],
    "batch norm": lambda: [nn.BatchNorm1d(4)],
    "batch norm, relu": lambda: [nn.BatchNorm1d(4), nn.ReLU()],
}
LOSSES = {
    "both": lambda x_hat, z: (x_hat**3).sum() + (z**3).sum(),
    "x_hat alone": lambda x_hat, z: (x_hat**3).sum(),
    "z alone": lambda x_hat, z: (z**3).sum(),
    "one gradient for all": lambda x_hat, z: x_hat.sum() + z.sum(),
}


def part(ending: str, generator: torch.Generator) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(4, 4), *ENDINGS[ending](), nn.Linear(4, 4), *ENDINGS[ending]()).double()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def members(ending: str) -> list[Autoencoder]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        return [Autoencoder(part(ending, generator), part(ending, generator)) for _ in range(N_MEMBERS)]


def rows() -> torch.Tensor:
    return torch.randn(N_MEMBERS, N_ROWS, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_autograd(networks, x, loss):
    """The gradients of rows and of weights, members one by one."""
    x = x.clone().requires_grad_()
    for network, own in zip(networks, x, strict=True):
        loss(*network(own)).backward()
    named = [dict(network.named_parameters()) for network in networks]
    weights = [
        torch.stack([p[name].grad if p[name].grad is not None else torch.zeros_like(p[name]) for p in named]).flatten()
        for name, parameter in named[0].items()
        if parameter.requires_grad
    ]
    return x.grad, torch.cat(weights)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_gradients_are_those_of_the_modules(ending, loss, mode):
    networks = members(ending)
    stack = Stack(networks).train(mode)
    assert stack.is_dense
    x = rows().requires_grad_()
    outputs = stack(x)
    value = LOSSES[loss](*outputs)
    (of_rows,) = torch.autograd.grad(value, [x], retain_graph=True)
    stack.backward(value)
    wanted_rows, wanted = by_autograd(
        [network.train(mode) for network in copy.deepcopy(networks)], rows(), LOSSES[loss]
    )
    torch.testing.assert_close(of_rows, wanted_rows, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(stack.weights.grad, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("frozen", ["encoder.0.weight", "encoder.0.bias", "decoder.1.weight", "encoder.1.bias"])
@pytest.mark.parametrize("ending", ["layer norm, relu", "batch norm"])
def test_frozen_weights_have_no_gradient_and_change_no_other(ending, frozen):
    networks = members(ending)
    for network in networks:
        network.get_parameter(frozen).requires_grad_(False)
    stack = Stack(networks).train()
    stack.backward(LOSSES["both"](*stack(rows())))
    _, wanted = by_autograd([network.train() for network in copy.deepcopy(networks)], rows(), LOSSES["both"])
    torch.testing.assert_close(stack.weights.grad, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_autograd_hands_in_is_left_alone(ending):
    """A gradient may be held by others too."""
    stack = Stack(members(ending)).train()
    x_hat, z = stack(rows())
    given = torch.ones_like(x_hat), torch.ones_like(z)
    torch.autograd.grad([x_hat, z], [stack._dense.leaf], given, retain_graph=True)
    torch.autograd.grad([z], [stack._dense.leaf], given[1:])
    assert all((gradient == 1).all() for gradient in given)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_second_pass_back_gives_the_same(ending):
    stack = Stack(members(ending)).train()
    value = LOSSES["both"](*stack(rows()))
    first, second = (torch.autograd.grad(value, [stack._dense.leaf], retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_weights_that_changed_before_the_pass_back_are_refused():
    stack = Stack(members("linear")).train()
    x_hat, _ = stack(rows())
    stack.weights.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stack.backward(x_hat.sum())


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_gradients_the_same_values(ending):
    stack = Stack(members(ending)).eval()
    with torch.no_grad():
        plain = stack(rows())
    for with_gradients, without in zip(stack(rows()), plain, strict=True):
        assert torch.equal(with_gradients.detach(), without)


@pytest.mark.parametrize("ending", ["layer norm, relu", "batch norm, relu"])
def test_autocast_stays_close(ending):
    """bf16 has 8 bits: gradients point where those of float32 do."""
    stack = Stack([member.float() for member in members(ending)]).train()
    x = rows().float()
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            x_hat, z = stack(x)
        stack.backward((x_hat.float() - x).square().sum() + z.float().square().sum())
        gradients.append(stack.weights.grad.clone())
    exact, rounded = gradients
    assert not torch.equal(exact, rounded)
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.99


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_rows_that_all_members_share_give_what_copies_of_them_give(ending, loss, mode):
    found = []
    for copies in (False, True):
        stack = Stack(members(ending)).train(mode)
        x = rows()[:1].requires_grad_()
        expanded = x.expand(N_MEMBERS, -1, -1)
        x_hat, z = stack(expanded.clone() if copies else expanded)
        value = LOSSES[loss](x_hat, z)
        (of_rows,) = torch.autograd.grad(value, [x], retain_graph=True)
        stack.backward(value)
        found.append((x_hat, z, of_rows, stack.weights.grad, *stack.state().values()))
    for shared, copied in zip(*found, strict=True):
        torch.testing.assert_close(shared, copied, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("needs_gradients", [True, False])
def test_no_rows_may_be_shared_too(needs_gradients):
    stack = Stack(members("linear"))
    x = rows()[:1, :0]
    with torch.set_grad_enabled(needs_gradients):
        x_hat, z = stack(x.expand(N_MEMBERS, -1, -1))
    assert x_hat.shape == z.shape == (N_MEMBERS, 0, 4)
    if needs_gradients:
        stack.backward(x_hat.sum() + z.sum())
        assert not stack.weights.grad.any()


def test_a_pass_back_that_fails_lends_no_memory_to_another():
    stack = Stack(members("linear"))
    x = rows().requires_grad_()
    stack.backward(stack(x)[0].sum())
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        stack.backward(x.sum())
    before = stack.weights.grad.clone()
    torch.autograd.grad(stack(x)[0].square().sum(), [x])
    assert torch.equal(stack.weights.grad, before)


def test_passes_of_one_graph_add_up():
    """Each step writes its gradient where the last one lay; two passes in one step must not."""
    stack = Stack(members("batch norm, relu")).eval()
    gradients = []
    for seed in (1, 2):
        x_hat, _ = stack(rows() * seed)
        stack.backward(x_hat.sum())
        gradients.append(stack.weights.grad.clone())
    stack.backward(sum(stack(rows() * seed)[0].sum() for seed in (1, 2)))
    torch.testing.assert_close(stack.weights.grad, gradients[0] + gradients[1], rtol=1e-9, atol=1e-10)
    stack.backward(stack(rows())[0].sum())
    torch.testing.assert_close(stack.weights.grad, gradients[0], rtol=1e-9, atol=1e-10)
    memory = stack.weights.grad.data_ptr()
    stack.backward(stack(rows())[0].sum())
    assert stack.weights.grad.data_ptr() == memory


def test_widths_may_differ():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(before, after) for before, after in pairwise((4, 6, 2))]
        networks = [Autoencoder(nn.Sequential(*layers), nn.Sequential(nn.Linear(2, 4))).double() for _ in range(2)]
    stack = Stack(networks)
    x_hat, z = stack(rows()[:2])
    assert x_hat.shape == (2, N_ROWS, 4)
    assert z.shape == (2, N_ROWS, 2)
