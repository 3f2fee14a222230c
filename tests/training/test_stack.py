"""Stacks as objects; the law of the members is in laws/test_members.py."""

from __future__ import annotations

import copy
import io
import pickle
from itertools import pairwise

import joblib
import pytest
import small
import torch
from torch import nn

from tollad.method import networks
from tollad.method.networks import Autoencoder
from tollad.training.build import build_stack
from tollad.training.stack import Stack

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

SOME = ["mlp", "mlp_layernorm", "conv1d"]
IMAGES = ["conv", "conv28", "conv32"]


def own(encoder, decoder):
    return Autoencoder(encoder, decoder).double()


def linear(*widths, bias=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(before, after, bias=bias) for before, after in pairwise(widths)]
    return nn.Sequential(*layers)


def pickled(stack):
    buffer = io.BytesIO()
    joblib.dump(stack, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def test_needs_a_member():
    with pytest.raises(ValueError, match="at least one member"):
        Stack([])


def test_members_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one architecture"):
        Stack([own(linear(4, 2), linear(2, 4)), own(linear(4, 3), linear(3, 4))])


def test_members_of_other_types_are_refused():
    member = own(linear(4, 2), linear(2, 4))
    with pytest.raises(ValueError, match="data type"):
        Stack([member, copy.deepcopy(member).float()])


def test_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="no trainable weights"):
        Stack([own(nn.Flatten(), nn.Flatten())])


def test_members_are_copied():
    member = own(linear(4, 2), linear(2, 4))
    before = copy.deepcopy(member.state_dict())
    stack = Stack([member, member])
    for tensor in stack.state().values():
        tensor.fill_(7)
    for name, tensor in member.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", networks.__all__)
def test_members_weights_are_views(name):
    """What is written to the stack is read by its members, and the other way round."""
    stack = small.stack(name, [0, 1])
    assert len(stack) == 2
    for tensor_name, tensor in stack.state().items():
        tensor[1] = 5
        assert (stack[1].state_dict()[tensor_name] == 5).all()
        stack[0].state_dict()[tensor_name].fill_(3)
        assert (tensor[0] == 3).all()
    assert stack.state().keys() == stack[0].state_dict().keys()
    assert (stack.weights == torch.cat([stack.weights[:1], stack.weights[1:]])).all()
    assert set(stack.weights.unique().tolist()) == {3.0, 5.0}


@pytest.mark.parametrize("name", networks.__all__)
def test_optimiser_sees_every_trainable_weight_once(name):
    stack = small.stack(name, [0, 1])
    assert stack.weights.numel() == 2 * sum(p.numel() for p in stack[0].parameters() if p.requires_grad)


def test_frozen_weights_are_not_among_the_trainable():
    member = own(linear(4, 3, 2), linear(2, 4))
    member.encoder[0].weight.requires_grad_(False)
    for n_members in (1, 2):
        stack = Stack([member] * n_members)
        assert stack.weights.numel() == n_members * (3 + 2 * 3 + 2 + 4 * 2 + 4)
        assert "encoder.0.weight" in stack.state()


@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_of_images_lie_channels_last(name):
    stack = small.stack(name, [0, 1])
    layers = [layer for layer in stack[1].modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert layers
    for layer in layers:
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)
        assert layer.weight.untyped_storage().data_ptr() == stack.weights.untyped_storage().data_ptr()


class Standardised(nn.Conv2d):
    """A convolution that takes a view of its weight."""

    def forward(self, x):
        spread = self.weight.view(len(self.weight), -1).std(1)
        return nn.functional.conv2d(x, self.weight / spread.view(-1, 1, 1, 1), self.bias)


class Flat(nn.Module):
    """One that takes a view of what it is given."""

    def forward(self, x):
        return x.view(len(x), -1)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("layers", [(Standardised, nn.Flatten), (nn.Conv2d, Flat)], ids=["weight", "output"])
def test_modules_of_the_users_own_may_take_views(layers, n_members):
    convolution, flat = layers
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(convolution(2, 3, 2), flat(), nn.Linear(12, 2))
        decoder = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)), nn.ConvTranspose2d(3, 2, 2))
    stack = Stack([own(encoder, decoder)] * n_members)
    x = torch.randn(n_members, 5, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_hat, z = stack(x)
    stack.backward(x_hat.square().sum() + z.sum())
    for member, rows in enumerate(x):
        torch.testing.assert_close(x_hat[member], decoder(encoder(rows)))
    assert stack.weights.grad.abs().min() > 0


@pytest.mark.parametrize("name", [*SOME, *IMAGES])
def test_views_of_the_weights_are_the_parameters(name):
    stack = small.stack(name, [0, 1])
    views = stack.views(stack.weights)
    assert list(views) == [name for name, _ in stack[0].named_parameters()]
    for key, view in views.items():
        assert view.data_ptr() == stack.state()[key].data_ptr()
        assert torch.equal(view, stack.state()[key])


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("name", [*SOME, "conv"])
def test_backward_is_autograd(name, n_members):
    stack = small.stack(name, range(n_members))
    x = small.batches(name, n_members, 4)
    x_hat, z = stack(x)
    stack.backward((x_hat**2).sum() + z.sum())
    gradient = stack.weights.grad.clone()
    alone = [copy.deepcopy(stack[member]).train() for member in range(n_members)]
    for member, network in enumerate(alone):
        x_hat, z = network(x[member])
        ((x_hat**2).sum() + z.sum()).backward()
    wanted = {
        key: torch.stack([dict(network.named_parameters())[key].grad for network in alone])
        for key, _ in alone[0].named_parameters()
    }
    torch.testing.assert_close(stack.views(gradient), wanted, rtol=1e-9, atol=1e-10)
    x_hat, z = stack(x)  # a second backward replaces the gradient, it does not add to it
    stack.backward((x_hat**2).sum() + z.sum())
    torch.testing.assert_close(stack.weights.grad, gradient, rtol=1e-9, atol=1e-10)


def test_backward_of_a_loss_that_does_not_use_all_weights():
    stack = small.stack("mlp", [0, 1])
    _, z = stack(small.batches("mlp", 2, 4))
    stack.backward(z.sum())
    assert torch.isfinite(stack.weights.grad).all()
    assert (stack.weights.grad == 0).any()


class TestMode:
    @pytest.mark.parametrize("n_members", [1, 2])
    @pytest.mark.parametrize("name", SOME)
    def test_all_modules_follow(self, name, n_members):
        stack = small.stack(name, range(n_members))
        for mode in (False, True, False):
            assert stack.train(mode) is stack
            assert {module.training for member in range(n_members) for module in stack[member].modules()} == {mode}
        assert stack.eval() is stack

    def test_modules_that_were_apart_follow(self):
        """An encoder that was trained before comes in evaluation mode; a member may have been set by hand."""
        member = own(linear(4, 2), linear(2, 4))
        member.encoder.eval()
        stack = Stack([member, member])
        stack[1].eval()
        stack.train()
        assert all(module.training for i in range(2) for module in stack[i].modules())

    @pytest.mark.parametrize("name", ["mlp", "conv1d"])
    def test_evaluation_uses_and_keeps_the_running_statistics(self, name):
        stack = small.scatter(small.stack(name, [0, 1])).eval()
        before = {key: tensor.clone() for key, tensor in stack.state().items()}
        x = small.batches(name, 2, 4)
        with torch.no_grad():
            whole, _ = stack(x)
            first, _ = stack(x[:, :1])
        torch.testing.assert_close(whole[:, :1], first)
        assert all(torch.equal(tensor, before[key]) for key, tensor in stack.state().items())

    @pytest.mark.parametrize("name", ["mlp", "conv1d"])
    def test_training_moves_the_running_statistics(self, name):
        stack = small.stack(name, [0, 1]).train()
        before = {key: tensor.clone() for key, tensor in stack.state().items()}
        stack(small.batches(name, 2, 4))
        moved = {
            key.rpartition(".")[2] for key, tensor in stack.state().items() if not torch.equal(tensor, before[key])
        }
        assert moved == {"running_mean", "running_var", "num_batches_tracked"}


class TestDense:
    @pytest.mark.parametrize(("name", "wanted"), [("mlp", True), ("mlp_layernorm", True), ("conv1d", False)])
    def test_networks(self, name, wanted):
        assert small.stack(name).is_dense is wanted

    @pytest.mark.parametrize(
        "layer",
        [
            nn.BatchNorm1d(3, affine=False),
            nn.BatchNorm1d(3, track_running_stats=False),
            nn.BatchNorm1d(3, momentum=None),
            nn.LayerNorm(3, elementwise_affine=False),
            nn.LayerNorm(3, bias=False),
            nn.Dropout(0.0),
            nn.Tanh(),
            nn.Sequential(nn.ReLU()),
            linear(3, 3, bias=False)[0],
        ],
        ids=str,
    )
    @pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
    def test_layers_that_products_cannot_run_fall_back_to_the_loop(self, layer, mode):
        member = own(nn.Sequential(linear(4, 3)[0], layer, linear(3, 2)[0]), linear(2, 4))
        assert not Stack([member]).is_dense
        stack = Stack([member, member]).train(mode)
        x = torch.arange(48.0, dtype=torch.float64).reshape(2, 6, 4)
        member.train(mode)
        for i in range(2):
            torch.testing.assert_close(stack(x)[0][i], copy.deepcopy(member)(x[i])[0])

    @pytest.mark.parametrize(
        "change",
        [
            lambda encoder: encoder[0].register_forward_hook(lambda *_: torch.ones(6, 3, dtype=torch.float64)),
            lambda encoder: encoder[0].register_forward_pre_hook(lambda layer, inputs: (2 * inputs[0],)),
            lambda encoder: encoder.register_forward_hook(lambda *given: 3 * given[2]),
            lambda encoder: setattr(encoder[0], "forward", lambda x: x[:, :3] + 1),
        ],
        ids=["hook", "hook before", "hook of the encoder", "forward of its own"],
    )
    def test_modules_that_do_more_than_their_class_says_fall_back_to_the_loop(self, change):
        member = own(nn.Sequential(linear(4, 3)[0], nn.ReLU(), linear(3, 2)[0]), linear(2, 4))
        change(member.encoder)
        stack = Stack([member, member])
        assert not stack.is_dense
        x = torch.arange(48.0, dtype=torch.float64).reshape(2, 6, 4)
        for i in range(2):
            torch.testing.assert_close(stack(x)[1][i], member(x[i])[1])

    def test_normalisation_over_other_axes_is_run_as_it_is(self):
        """LayerNorm may be given its shape as a tuple."""
        member = own(nn.Sequential(linear(4, 3)[0], nn.LayerNorm((3,))), linear(3, 4))
        stack = Stack([member, member])
        x = torch.arange(16.0, dtype=torch.float64).reshape(2, 2, 4)
        torch.testing.assert_close(stack(x)[0][1], copy.deepcopy(member)(x[1])[0])

    def test_modules_of_the_user_need_be_no_sequence(self):
        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = linear(4, 2)

            def forward(self, x):
                return self.inner(x).tanh()

        member = own(Encoder(), linear(2, 4))
        stack = Stack([member, member])
        assert not stack.is_dense
        x = torch.ones(2, 3, 4, dtype=torch.float64)
        torch.testing.assert_close(stack(x)[1][0], member.encoder(x[0]))

    def test_tied_weights_stay_tied(self):
        shared = linear(3, 3)[0]
        member = own(nn.Sequential(shared), nn.Sequential(nn.ReLU(), shared))
        for n_members in (1, 2):
            stack = Stack([member] * n_members)
            assert stack[0].encoder[0].weight is stack[0].decoder[1].weight
            assert stack.weights.numel() == n_members * 12
            x = torch.ones(n_members, 5, 3, dtype=torch.float64)
            torch.testing.assert_close(stack(x)[0][0], member(x[0])[0])


def test_input_of_another_number_of_members_is_refused():
    for n_members in (1, 2):
        for name in ("mlp", "conv1d"):
            stack = small.stack(name, range(n_members)).eval()
            with pytest.raises((ValueError, RuntimeError)):
                stack(small.batches(name, 3, 4))


class TestState:
    @pytest.mark.parametrize("name", SOME)
    def test_round_trip(self, name):
        source, target = small.scatter(small.stack(name, [0, 1])), small.stack(name, [5, 6])
        target.load_state(source.state())
        x = small.batches(name, 2, 3)
        for wanted, got in zip(source.eval()(x), target.eval()(x), strict=True):
            assert torch.equal(got, wanted)

    def test_another_network_is_refused_before_anything_is_copied(self):
        stack = small.stack("mlp")
        before = {key: tensor.clone() for key, tensor in stack.state().items()}
        state = {key: tensor + 1 for key, tensor in before.items()}
        name = "decoder.3.bias"
        with pytest.raises(ValueError, match=r"weights of another network: 'decoder.3.bias' .*\(2,\), not \(1, 4\)"):
            stack.load_state({**state, name: torch.zeros(2)})
        with pytest.raises(ValueError, match="weights of another network: 'extra' is in one only"):
            stack.load_state({**state, "extra": torch.zeros(2)})
        assert all(torch.equal(tensor, before[key]) for key, tensor in stack.state().items())

    def test_state_needs_no_gradient(self):
        assert not any(tensor.requires_grad for tensor in small.stack("mlp", [0, 1]).state().values())


class TestCopies:
    @pytest.mark.parametrize("copier", [copy.deepcopy, pickled])
    @pytest.mark.parametrize("n_members", [1, 3])
    @pytest.mark.parametrize("name", SOME)
    def test_a_copy_is_a_stack_of_its_own(self, name, n_members, copier):
        stack = small.scatter(small.stack(name, range(n_members))).eval()
        copied = copier(stack)
        x = small.batches(name, n_members, 3)
        wanted = stack(x)[0].detach().clone()
        assert torch.equal(copied(x)[0], wanted)
        assert not copied[0].training
        copied.weights.detach().fill_(0)  # the copy's members are views into the copy, not into the original
        assert all((parameter == 0).all() for parameter in copied[n_members - 1].parameters())
        assert torch.equal(stack(x)[0], wanted)

    @pytest.mark.parametrize("n_members", [1, 8])
    def test_a_pickle_holds_each_weight_once(self, n_members):
        """A view drags all that it is a part of into a pickle."""
        stack = build_stack("mlp", (5,), 2, (128, 128), range(n_members), 2)
        size = sum(tensor.numel() * tensor.element_size() for tensor in stack.state().values())
        assert len(pickle.dumps(stack)) < 1.5 * size

    @pytest.mark.parametrize("mode", [True, False])
    def test_another_type(self, mode):
        stack = small.stack("mlp", [0, 1]).train(mode)
        single = stack.to(dtype=torch.float32)
        assert (stack.dtype, single.dtype) == (torch.float64, torch.float32)
        assert single[0].training is mode
        assert single.device == stack.device
        for key, tensor in single.state().items():
            torch.testing.assert_close(tensor, stack.state()[key].to(tensor.dtype))
