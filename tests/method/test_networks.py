"""Builders and their initialisation; against Appendix B see reference/test_paper.py."""

from __future__ import annotations

import inspect

import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tollad.method import initial, networks
from tollad.method.initial import OutputBias
from tollad.method.traits import Traits

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


def build(name, shape=None, latent_dim=small.LATENT_DIM, **options):
    """Build a network without moving the global random state."""
    with torch.random.fork_rng():
        return getattr(networks, name)(small.input_shape(name) if shape is None else shape, latent_dim, **options)


def test_what_is_listed_are_builders_with_traits():
    public = {
        name
        for name, member in vars(networks).items()
        if inspect.isfunction(member) and hasattr(member, "traits") and not name.startswith("_")
    }
    assert set(networks.__all__) == public
    assert {"mlp", "mlp_layernorm", "conv", "conv1d", "conv28", "conv32"} <= public


@pytest.mark.parametrize("name", networks.__all__)
def test_builder_is_documented_and_maps_rows_to_themselves(name):
    assert getattr(networks, name).__doc__
    network, x = build(name).eval(), torch.zeros(2, *small.input_shape(name))
    with torch.no_grad():
        x_hat, z = network(x)
    assert x_hat.shape == x.shape
    assert z.shape == (2, small.LATENT_DIM)


@pytest.mark.parametrize("corruption", ["auto", "mixed", None])
@pytest.mark.parametrize(
    ("shape", "flat"),
    [((5,), True), ((1, 7), True), ((1, 8, 8), False), ((3, 7, 90), True), ((4, 33, 20), False)],
)
def test_rows_of_every_shape_have_one_automatic_network(shape, flat, corruption):
    found = [name for name in networks.__all__ if networks.traits_of(name).automatic(shape, corruption)]
    assert found == [networks.automatic(shape, corruption)]
    assert networks.traits_of(found[0]).n_axes == (1 if flat else len(shape))


@pytest.mark.parametrize("name", networks.__all__)
def test_traits_are_true(name):
    traits = networks.traits_of(name)
    assert traits.n_axes == len(small.input_shape(name))
    assert traits.batched == small.stack(name).is_dense
    assert all(traits.latent_dim(size) >= 1 for size in (1, 10, 3072))


def test_networks_of_a_user_have_the_default_traits():
    assert networks.traits_of(nn.Identity()) == networks.traits_of(lambda shape, latent_dim: nn.Identity()) == Traits()


@pytest.mark.parametrize("seed", [0, 2**63])
@pytest.mark.parametrize("name", networks.__all__)
def test_initialise_is_manual_seed_and_build(name, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wanted = getattr(networks, name)(small.input_shape(name), small.LATENT_DIM)
    with torch.device("meta"):
        network = getattr(networks, name)(small.input_shape(name), small.LATENT_DIM)
    network = network.to_empty(device="cpu")
    initial.initialise(network, seed)
    for key, tensor in wanted.state_dict().items():
        assert torch.equal(network.state_dict()[key], tensor), key


def test_initialise_refuses_a_layer_that_it_does_not_know():
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Linear(2, 2), nn.PReLU())
    with pytest.raises(TypeError, match="no seeded initialisation for a layer of type PReLU"):
        initial.initialise(network, 0)


@pytest.mark.parametrize("builder", [nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d])
@pytest.mark.parametrize("bias", [True, False])
def test_initialise_knows_each_layer(builder, bias):
    arguments = (3, 4) if builder is nn.Linear else (3, 4, 2)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        wanted = builder(*arguments, bias=bias)
        layer = builder(*arguments, bias=bias)
    initial.initialise(layer, 7)
    for key, tensor in wanted.state_dict().items():
        assert torch.equal(layer.state_dict()[key], tensor), key


def test_output_bias_is_added_and_begins_at_0():
    layer = OutputBias((2, 3))
    x = torch.arange(12.0).reshape(2, 2, 3)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.bias, 2.0)
    assert torch.equal(layer(x), x + 2)
    layer.reset_parameters()
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize(("name", "norm"), [("mlp", nn.BatchNorm1d), ("mlp_layernorm", nn.LayerNorm)])
def test_dense_layers_mirror_each_other(name, norm):
    network = build(name, (7,), 2, hidden=(5, 4))
    encoder = [nn.Linear, norm, nn.ReLU, nn.Linear, norm, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in network.encoder] == encoder
    assert [type(layer) for layer in network.decoder] == encoder
    widths = [layer.weight.shape for part in (network.encoder, network.decoder) for layer in part[::3]]
    assert [tuple(shape) for shape in widths] == [(5, 7), (4, 5), (2, 4), (4, 2), (5, 4), (7, 5)]


@pytest.mark.parametrize("name", ["mlp", "mlp_layernorm"])
def test_no_hidden_layer_is_a_linear_autoencoder(name):
    network = build(name, (7,), 2, hidden=())
    assert [type(layer) for layer in (*network.encoder, *network.decoder)] == [nn.Linear, nn.Linear]


@settings(max_examples=25)
@given(
    channels=st.integers(1, 4),
    height=st.integers(8, 19),
    width=st.integers(8, 19),
    latent_dim=st.integers(1, 5),
    hidden=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_conv_returns_the_shape_it_is_given(channels, height, width, latent_dim, hidden):
    network = build("conv", (channels, height, width), latent_dim, hidden=hidden).eval()
    with torch.no_grad():
        x_hat, z = network(torch.zeros(2, channels, height, width))
    assert x_hat.shape == (2, channels, height, width)
    assert z.shape == (2, latent_dim)


@settings(max_examples=25)
@given(
    channels=st.integers(1, 4), length=st.integers(8, 40), hidden=st.lists(st.integers(1, 4), min_size=1, max_size=3)
)
def test_conv1d_returns_the_shape_it_is_given(channels, length, hidden):
    network = build("conv1d", (channels, length), 2, hidden=hidden).eval()
    with torch.no_grad():
        x_hat, z = network(torch.zeros(2, channels, length))
    assert x_hat.shape == (2, channels, length)
    assert z.shape == (2, 2)


@pytest.mark.parametrize("name", networks.__all__)
def test_other_rows_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"network '{name}' takes rows of shape"):
        build(name, (3, 4, 5, 6))


@pytest.mark.parametrize("name", ["conv28", "conv32"])
def test_networks_of_one_size_point_to_the_general_one(name):
    with pytest.raises(ValueError, match=r"not \(1, 30, 30\); 'conv' takes any"):
        build(name, (1, 30, 30))


@pytest.mark.parametrize(("name", "shape"), [("conv", (1, 7, 9)), ("conv1d", (1, 7))])
def test_small_sides_are_refused(name, shape):
    with pytest.raises(ValueError, match=rf"network '{name}' needs sides of at least 8, not \(7.*use network='mlp'"):
        build(name, shape)


@pytest.mark.parametrize("hidden", [(), (4, 4, 4, 4)])
def test_more_halvings_than_a_side_has_are_refused(hidden):
    with pytest.raises(ValueError, match=f"halves a side of 9; give 1 to 3, not {len(hidden)}"):
        build("conv", (1, 9, 12), hidden=hidden)
