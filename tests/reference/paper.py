"""The paper, read literally: equations 1 to 3 as loops, and the networks of Appendix B from its own text.

Slow and independent of tollad. A network is the string that Appendix B prints; each layer is executed with
`torch.nn.functional` and takes its weights, in order, from a list. The text also fixes the shape of every weight, so
that a list of another network is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# B.1. "Linear(128)/Linear(256)" stands for MNIST/Fashion-MNIST.
B1_ENCODER = (
    "Conv(64, 4, 1)-BatchNorm-LReLU(0.2)-Conv(128, 4, 1)-BatchNorm-LReLU(0.2)-Conv(256, 4, 2)-BatchNorm-LReLU(0.2)-"
    "Conv(512, 4, 1)-BatchNorm-LReLU(0.2)-Conv(64, 4, 1)-Flatten-Linear({latent_dim})"
)
B1_DECODER = (
    "Linear(1024)-Unflatten(64, 4, 4)-ConvT(512, 4, 1)-BatchNorm-LReLU(0.2)-ConvT(256, 4, 1)-BatchNorm-LReLU(0.2)-"
    "ConvT(128, 4, 2)-BatchNorm-LReLU(0.2)-ConvT(64, 4, 1)-BatchNorm-LReLU(0.2)-ConvT(1, 4, 1)"
)
# B.2. NOTE[DIFF] The last convolution is printed as Conv(3, 1, 1); in the authors' code it has no bias, and a learnt
# bias of the shape of the image, here "OutputBias", is added instead.
B2_ENCODER = (
    "Conv(32, 5, 1, bias=False)-BatchNorm-LReLU(0.1)-Conv(64, 4, 2, bias=False)-BatchNorm-LReLU(0.1)-"
    "Conv(128, 4, 1, bias=False)-BatchNorm-LReLU(0.1)-Conv(256, 4, 2, bias=False)-BatchNorm-LReLU(0.1)-"
    "Conv(512, 4, 1, bias=False)-BatchNorm-LReLU(0.1)-Conv(512, 1, 1, bias=False)-BatchNorm-LReLU(0.1)-"
    "Conv(64, 1, 1)-Flatten"
)
B2_DECODER = (
    "Unflatten(64, 1, 1)-ConvT(256, 4, 1, bias=False)-BatchNorm-LReLU(0.1)-"
    "ConvT(128, 4, 2, bias=False)-BatchNorm-LReLU(0.1)-ConvT(64, 4, 1, bias=False)-BatchNorm-LReLU(0.1)-"
    "ConvT(32, 4, 2, bias=False)-BatchNorm-LReLU(0.1)-ConvT(32, 5, 1, bias=False)-BatchNorm-LReLU(0.1)-"
    "Conv(32, 1, 1, bias=False)-BatchNorm-LReLU(0.1)-Conv(3, 1, 1, bias=False)-OutputBias"
)
# B.3.
B3_ENCODER = "Linear(256)-BatchNorm-ReLU-Linear(128)-BatchNorm-ReLU-Linear(16)"
B3_DECODER = "Linear(128)-BatchNorm-ReLU-Linear(256)-BatchNorm-ReLU-Linear(274)"


def norm(values: NDArray[np.float64]) -> float:
    """``||values||_2`` of all values, whatever their arrangement."""
    total = 0.0
    for value in values.ravel().tolist():
        total += value * value
    return math.sqrt(total)


def reconstruction_score(x: NDArray[np.float64], x_hat: NDArray[np.float64]) -> float:
    """Equation (1) for one sample."""
    return norm(x_hat - x)


def loss(x: NDArray[np.float64], x_hat: NDArray[np.float64], z: NDArray[np.float64], beta: float) -> float:
    """Equation (2) for a batch: its mean over the samples."""
    total = 0.0
    for i in range(len(x)):
        total += norm(x_hat[i] - x[i]) + beta * norm(z[i])
    return total / len(x)


def score(x: NDArray[np.float64], x_hat: NDArray[np.float64], z: NDArray[np.float64], beta: float) -> float:
    """Equation (3) for one sample."""
    return norm(x_hat - x) + beta * norm(z)


class Network:
    """A part of Appendix B, run layer by layer.

    Parameters
    ----------
    text : str
        As Appendix B prints it.
    weights : sequence of Tensor
        Of all layers, in order: weight and bias; for BatchNorm weight, bias, running mean and running variance.

    Attributes
    ----------
    shapes : list of tuple of int
        Of a sample after each layer of the last run.
    """

    def __init__(self, text: str, weights: Sequence[Tensor]) -> None:
        self.layers = [_parse(layer) for layer in re.split(r"-(?=[A-Z])", text)]
        self.weights = list(weights)
        self.shapes: list[tuple[int, ...]] = []

    def run(self, x: Tensor, *, training: bool) -> Tensor:
        """Return what the layers make of a batch; `training` says whose statistics BatchNorm uses."""
        weights = iter(self.weights)
        self.shapes = []
        for name, numbers, has_bias in self.layers:
            x = _run_layer(name, numbers, has_bias, weights, x, training)
            self.shapes.append(tuple(x.shape[1:]))
        assert next(weights, None) is None, "weights are left over"
        return x


def _parse(layer: str) -> tuple[str, list[float], bool]:
    name, _, arguments = layer.rstrip(")").partition("(")
    numbers = [float(argument) for argument in arguments.split(", ") if re.fullmatch(r"[0-9.]+", argument)]
    return name, numbers, "bias=False" not in arguments


def _run_layer(name, numbers, has_bias, weights, x, training):
    match name:
        case "Linear":
            (width,) = map(int, numbers)
            weight = _take(weights, (width, x.shape[1]))
            return functional.linear(x, weight, _take(weights, (width,)))
        case "Conv":
            channels, kernel, stride = map(int, numbers)
            weight = _take(weights, (channels, x.shape[1], kernel, kernel))
            return functional.conv2d(x, weight, _take(weights, (channels,)) if has_bias else None, stride)
        case "ConvT":
            channels, kernel, stride = map(int, numbers)
            weight = _take(weights, (x.shape[1], channels, kernel, kernel))
            return functional.conv_transpose2d(x, weight, _take(weights, (channels,)) if has_bias else None, stride)
        case "BatchNorm":
            weight, bias, running_mean, running_var = (_take(weights, (x.shape[1],)) for _ in range(4))
            axes = [axis for axis in range(x.ndim) if axis != 1]
            per_channel = [1, -1] + [1] * (x.ndim - 2)
            mean = x.mean(axes) if training else running_mean
            variance = ((x - mean.view(per_channel)) ** 2).mean(axes) if training else running_var
            scaled = (x - mean.view(per_channel)) / torch.sqrt(variance.view(per_channel) + 1e-5)
            return weight.view(per_channel) * scaled + bias.view(per_channel)
        case "LReLU":
            return functional.leaky_relu(x, numbers[0])
        case "ReLU":
            return functional.relu(x)
        case "Flatten":
            return x.flatten(1)
        case "Unflatten":
            return x.unflatten(1, [int(number) for number in numbers])
        case "OutputBias":
            return x + _take(weights, tuple(x.shape[1:]))
    raise ValueError(f"Appendix B has no layer {name!r}")


def _take(weights, shape):
    weight = next(weights)
    assert tuple(weight.shape) == shape, f"a weight has shape {tuple(weight.shape)} where the text has {shape}"
    return weight
