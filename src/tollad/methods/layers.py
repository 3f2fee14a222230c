"""Layers that several methods share; nothing here draws from a global random state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tollad.training.build import need_memory

Init: TypeAlias = Callable[[Tensor, torch.Generator], None]
"""Draws the weights of a dense or convolutional layer in place."""

# Weights, gradients and the two moments of Adam, in single precision.
_BYTES_OF_A_WEIGHT = 4 * 4


class Dropout(nn.Module):
    """Dropout that draws from the generator that `seed_dropout` sets.

    Parameters
    ----------
    p : float in [0, 1)
        Probability of a zero.
    """

    generator: torch.Generator

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return values of the same shape: in evaluation mode as they are."""
        if not self.training:
            return x
        kept = torch.rand(x.shape, generator=self.generator, dtype=x.dtype) >= self.p
        return x * kept / (1 - self.p)


def seed_dropout(network: nn.Module, generator: torch.Generator) -> None:
    """Let all dropout layers of a network draw from this generator."""
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


class Pad(nn.Module):
    """Two lines of one value around images: 28 x 28 become 32 x 32.

    Parameters
    ----------
    value : float
    """

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H + 4, W + 4)."""
        return nn.functional.pad(x, (2, 2, 2, 2), value=self.value)


class Drawn(nn.Module):
    """A layer with one parameter, which it draws itself."""

    def draw(self, generator: torch.Generator) -> None:
        """Set the initial values."""
        raise NotImplementedError


def dense_layers(
    widths: Sequence[int],
    activation: Callable[[], nn.Module],
    *,
    norm: Callable[[int], nn.Module] | None = None,
    bias: bool = True,
) -> nn.Sequential:
    """Return dense layers of these widths, with an activation after each but the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after, bias), *([norm(after)] if norm else []), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias))


def keras_norm(channels: int, dims: int = 1) -> nn.Module:
    """Return a BatchNorm over rows, or over maps if `dims` is 2, with the constants of Keras and TensorFlow."""
    kind = nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d
    return kind(channels, eps=1e-3, momentum=0.01)


def default(weight: Tensor, generator: torch.Generator) -> None:
    """Draw as PyTorch does: uniform up to 1 / sqrt(fan in)."""
    bound = 1 / math.sqrt(weight[0].numel())
    weight.uniform_(-bound, bound, generator=generator)


def glorot(weight: Tensor, generator: torch.Generator) -> None:
    """Draw uniformly with variance 2 / (fan in + fan out)."""
    area = weight[0, 0].numel()
    bound = math.sqrt(6 / (area * (weight.shape[0] + weight.shape[1])))
    weight.uniform_(-bound, bound, generator=generator)


def glorot_relu(weight: Tensor, generator: torch.Generator) -> None:
    """Draw as `glorot` does, times the gain of a leaky ReLU of slope 0.01."""
    glorot(weight, generator)
    weight.mul_(math.sqrt(2 / (1 + 0.01**2)))


def normal(std: float) -> Init:
    """Return an initialisation that draws normal numbers with this standard deviation."""

    def draw(weight: Tensor, generator: torch.Generator) -> None:
        weight.normal_(0, std, generator=generator)

    return draw


def build(factory: Callable[[], nn.Module], seed: int, init: Init = default) -> nn.Module:
    """Build a network in float32 with weights drawn from `seed`.

    Biases are 0, except with `default`, which draws them like the weights. Buffers begin at 0, except those of
    BatchNorm.

    Parameters
    ----------
    factory : callable
        Makes the network of linear, convolutional, BatchNorm and `Drawn` layers.
    seed : int
    init : callable, default `default`

    Raises
    ------
    MemoryError
        If memory is too small for the weights, their gradients and the moments of Adam. Nothing is allocated then.
    """
    # On the meta device nothing is drawn from the global random state.
    with torch.device("meta"):
        network = factory()
    weights = sum(parameter.numel() for parameter in network.parameters())
    need_memory(_BYTES_OF_A_WEIGHT * weights, f"{weights:,} weights need", "choose smaller widths")
    zeros = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in network.state_dict().items()}
    network.load_state_dict(zeros, assign=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
                init(layer.weight, generator)
                if layer.bias is not None and init is default:
                    bound = 1 / math.sqrt(layer.weight[0].numel())
                    layer.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.reset_parameters()
            elif isinstance(layer, Drawn):
                layer.draw(generator)
    return network.requires_grad_(True)


def no_network(title: str, shape: tuple[int, ...]) -> ValueError:
    """Return the error of a method that has networks for tables and for images of 28 x 28 and 32 x 32 only."""
    return ValueError(
        f"{title} has networks for tables and for images of shape (1, 28, 28) or (3, 32, 32), not {shape}; resize them"
    )


def need_two_rows(n: int, title: str) -> None:
    """Raise ValueError if a step has fewer than two rows, of which BatchNorm can take no variance."""
    if n < 2:
        raise ValueError(f"{title} normalises over the rows of a step; give 2 rows and a batch_size of 2 at least")
