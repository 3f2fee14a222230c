"""tollad against the paper read literally: same weights, same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import small
import torch
from reference import paper
from torch import Tensor, nn

from tollad.method.networks import Autoencoder
from tollad.method.objective import Objective
from tollad.training.build import build_stack

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

B1_SHAPES = (
    [(64, 25, 25)] * 3 + [(128, 22, 22)] * 3 + [(256, 10, 10)] * 3 + [(512, 7, 7)] * 3 + [(64, 4, 4), (1024,), (128,)],
    [(1024,), (64, 4, 4)]
    + [(512, 7, 7)] * 3
    + [(256, 10, 10)] * 3
    + [(128, 22, 22)] * 3
    + [(64, 25, 25)] * 3
    + [(1, 28, 28)],
)
B2_SHAPES = (
    [(32, 28, 28)] * 3
    + [(64, 13, 13)] * 3
    + [(128, 10, 10)] * 3
    + [(256, 4, 4)] * 3
    + [(512, 1, 1)] * 6
    + [(64, 1, 1), (64,)],
    [(64, 1, 1)]
    + [(256, 4, 4)] * 3
    + [(128, 10, 10)] * 3
    + [(64, 13, 13)] * 3
    + [(32, 28, 28)] * 3
    + [(32, 32, 32)] * 6
    + [(3, 32, 32)] * 2,
)
B3_SHAPES = ([(256,)] * 3 + [(128,)] * 3 + [(16,)], [(128,)] * 3 + [(256,)] * 3 + [(274,)])

APPENDIX_B = [
    pytest.param("conv28", (1, 28, 28), 128, paper.B1_ENCODER, paper.B1_DECODER, B1_SHAPES, id="B.1 MNIST"),
    pytest.param("conv32", (3, 32, 32), 64, paper.B2_ENCODER, paper.B2_DECODER, B2_SHAPES, id="B.2 CIFAR"),
    pytest.param("mlp", (274,), 16, paper.B3_ENCODER, paper.B3_DECODER, B3_SHAPES, id="B.3 Arrhythmia"),
]


def weights_of(part: nn.Module) -> list[Tensor]:
    """Every tensor of a network in order, but the counts of batches, which are no part of the forward pass."""
    return [tensor.clone() for tensor in part.state_dict().values() if tensor.is_floating_point()]


def trace_shapes(part: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    for layer in part:
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(("name", "shape", "latent_dim", "encoder_text", "decoder_text", "shapes"), APPENDIX_B)
def test_networks_are_those_of_appendix_b(name, shape, latent_dim, encoder_text, decoder_text, shapes, training):
    stack = small.scatter(build_stack(name, shape, latent_dim, None, [0], 3).to(dtype=torch.float64))
    network = stack[0].train(training)
    encoder = paper.Network(encoder_text.format(latent_dim=latent_dim), weights_of(network.encoder))
    decoder = paper.Network(decoder_text, weights_of(network.decoder))
    traced = [], []
    trace_shapes(network.encoder, traced[0])
    trace_shapes(network.decoder, traced[1])
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *shape)))
    with torch.no_grad():
        wanted_z = encoder.run(x, training=training)
        wanted_x_hat = decoder.run(wanted_z, training=training)
        x_hat, z = network(x)
    torch.testing.assert_close(z, wanted_z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(x_hat, wanted_x_hat, rtol=1e-10, atol=1e-10)
    assert (encoder.shapes, decoder.shapes) == shapes
    assert traced == shapes


def test_fashion_mnist_has_a_wider_latent():
    network = build_stack("conv28", (1, 28, 28), 256, None, [0], 2)[0]
    text = paper.B1_ENCODER.format(latent_dim=256)
    z = paper.Network(text, weights_of(network.encoder)).run(torch.zeros(1, 1, 28, 28), training=False)
    assert z.shape == (1, 256)


@pytest.mark.parametrize("name", ["conv28", "conv32", "mlp"])
def test_outputs_have_no_activation(name):
    """Scaling the last layer scales the output: nothing bounds it."""
    network: Autoencoder = small.stack(name)[0].eval()
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(2, small.LATENT_DIM)))
    with torch.no_grad():
        before = network.decoder(z)
        for parameter in network.decoder[-1].parameters():
            parameter.mul_(1000)
        if name == "conv32":  # the last layer is the output bias, the one before it the convolution
            network.decoder[-2].weight.mul_(1000)
        torch.testing.assert_close(network.decoder(z), 1000 * before)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1000.0])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4)])
def test_objective_is_equations_1_to_3(shape, beta):
    rng = np.random.default_rng(0)
    x, x_hat, z = rng.normal(size=(6, *shape)), rng.normal(size=(6, *shape)), rng.normal(size=(6, 3))
    tensors = [torch.from_numpy(array) for array in (x, x_hat, z)]
    objective = Objective({"l2": 1, "latent_l2": beta})
    wanted = [paper.score(x[i], x_hat[i], z[i], beta) for i in range(6)]
    np.testing.assert_allclose(objective(*tensors).numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(objective.loss(*tensors).item(), paper.loss(x, x_hat, z, beta), rtol=1e-12)
    if beta == 0:
        wanted = [paper.reconstruction_score(x[i], x_hat[i]) for i in range(6)]
        np.testing.assert_allclose(objective(*tensors).numpy(), wanted, rtol=1e-12)
