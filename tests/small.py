"""The smallest inputs of every network, so that a test over all networks finds a new one by itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.method import networks
from tollad.training.build import build_stack
from tollad.training.stack import Stack

LATENT_DIM = 3
# Networks of one size, which cost a thousand times as much as the others: tests run fewer variants of them.
LARGE = {"conv28", "conv32"}
# A table, a series, an image with unequal odd and even sides, and the two sizes of Appendix B.
_SHAPES = ((5,), (2, 9), (2, 8, 9), (1, 28, 28), (3, 32, 32))


def input_shape(name: str) -> tuple[int, ...]:
    """Return the smallest row that a network takes."""
    for shape in _SHAPES:
        try:
            with torch.device("meta"):
                getattr(networks, name)(shape, LATENT_DIM, **_options(name))
        except ValueError:
            continue
        return shape
    raise AssertionError(f"no shape here suits network {name!r}; add one to _SHAPES")


def stack(name: str, seeds: Sequence[int] = (0,), dtype: torch.dtype = torch.float64) -> Stack:
    """Build a stack in training mode, with narrow layers where the network lets us choose."""
    hidden = _options(name).get("hidden")
    return build_stack(name, input_shape(name), LATENT_DIM, hidden, list(seeds), 2).to(dtype=dtype)


def rows(name: str, n: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw n rows: (n, *shape)."""
    return np.random.default_rng(seed).normal(size=(n, *input_shape(name)))


def scatter(stack: Stack, seed: int = 0) -> Stack:
    """Move every weight and running statistic off its initial value: a running mean of 0 would hide an error."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in stack.state().values():
        if tensor.is_floating_point():
            tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
    return stack


def batches(name: str, n_members: int, batch_size: int, seed: int = 0) -> Tensor:
    """Draw one batch for each member: (M, B, *shape)."""
    flat = rows(name, n_members * batch_size, seed)
    return torch.from_numpy(flat.reshape(n_members, batch_size, *input_shape(name)))


def for_all(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prepare rows for `tollad.training.scoring`: every member takes them as they are."""
    return rows[None]


def _options(name: str) -> dict[str, tuple[int, ...]]:
    free = "hidden" in inspect.signature(getattr(networks, name)).parameters
    return {"hidden": (4, 3)} if free else {}
