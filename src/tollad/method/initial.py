"""The initial weights of a network, drawn from a seed, and the one layer of ours that has weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


class OutputBias(nn.Module):
    """A learnt constant added to the output: one value for each value of the input, 0 at first.

    Parameters
    ----------
    shape : sequence of int
        Of one row.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(tuple(shape)))

    def reset_parameters(self) -> None:
        """Set the constant to 0."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + bias``: (B, *shape) -> (B, *shape)."""
        return x + self.bias


def initialise(network: nn.Module, seed: int) -> None:
    """Draw PyTorch's default initial weights from `seed` without touching torch's global random state.

    The values are those that ``torch.manual_seed(seed)`` followed by building the network would give.

    Raises
    ------
    TypeError
        For a layer whose initialisation this function does not know.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in _leaves(network):
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            # As reset_parameters does, but with a generator: Kaiming's uniform bound with a = sqrt(5) is
            # 1/sqrt(fan_in).
            fan_in = layer.weight[0].numel()
            bound = 1 / math.sqrt(fan_in)
            for parameter in layer.parameters():
                with torch.no_grad():
                    parameter.uniform_(-bound, bound, generator=generator)
        elif isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, OutputBias)):
            layer.reset_parameters()
        elif any(True for _ in layer.parameters(recurse=False)):
            raise TypeError(f"no seeded initialisation for a layer of type {type(layer).__name__}")


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    return (module for module in network.modules() if not any(True for _ in module.children()))
