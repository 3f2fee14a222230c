"""Traits of a network: which rows it takes and which defaults suit it, declared where the network is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from torch import nn

Corruption: TypeAlias = Literal["mixed"] | None
"""How training rows are corrupted, see `tollad.training.batches.draw_moves`; None for not at all."""

Builder: TypeAlias = Callable[..., nn.Module]
"""``(input_shape, latent_dim[, hidden]) -> module`` whose forward pass returns ``(x_hat, z)``."""

_Function = TypeVar("_Function", bound=Builder)


def _never(shape: Sequence[int], corruption: str | None) -> bool:
    return False


def _middling(size: int) -> int:
    return 64


@dataclass(frozen=True)
class Traits:
    """The rows that a network takes, and the defaults that suit it.

    Attributes
    ----------
    n_axes : {1, 2, 3} or None
        Axes of a row: (columns,), (channels, time steps) or (channels, height, width). With 1, rows of any other shape
        are flattened. None takes rows in the shape that they have.
    latent_dim : callable
        From the number of values in a row to the ``latent_dim`` that "auto" stands for.
    batched : bool
        Whether members of a stack run as batched products, so that many cost little more than one.
    corruption : {"mixed"} or None
        The corruption that "auto" stands for on tables.
    automatic : callable
        ``(shape, corruption) -> bool``: whether "auto" stands for this network, for rows of that shape and a given
        parameter `corruption` ("auto", "mixed" or None). It is true for one network at most.

    Examples
    --------
    >>> from tollad.method.networks import traits_of
    >>> traits_of("mlp_layernorm").latent_dim(30), traits_of("conv").n_axes
    (128, 3)
    """

    n_axes: Literal[1, 2, 3] | None = None
    latent_dim: Callable[[int], int] = _middling
    batched: bool = False
    corruption: Corruption = None
    automatic: Callable[[Sequence[int], str | None], bool] = _never

    def __call__(self, builder: _Function) -> _Function:
        """Attach the traits to a builder: the decorator of the functions in `tollad.method.networks`."""
        vars(builder)["traits"] = self
        return builder
