"""Scores, latents and reconstructions of a stack over any number of rows, in constant memory.

A sample's score must not depend on the rows it comes with, yet a matrix product in single precision rounds differently
for different numbers of rows. So dense networks, which cost little, run in double precision, where the difference is
beyond all notice; others run in single precision on blocks of one size, the last one filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.method.objective import Objective
from tollad.training.loop import Precision
from tollad.training.stack import Stack

Prepare = Callable[[Any], NDArray[Any] | Tensor]


class Sliced(Protocol):
    """Rows as an array, or as anything else of which a slice is what `prepare` takes."""

    def __len__(self) -> int: ...
    def __getitem__(self, chosen: slice, /) -> Any: ...


# Rows in a block: enough to keep a processor busy, few enough that one image is not padded to many.
_DENSE_BLOCK = 1024
_BLOCK = 16
_BLOCK_ON_GPU = 256


def scoring_copy(stack: Stack) -> Stack:
    """Return the stack as it should score, in evaluation mode: a dense one as a float64 copy, where the device can."""
    if stack.is_dense and stack.device.type != "mps":
        return stack.to(dtype=torch.float64).eval()
    return stack.eval()


def run(
    stack: Stack, rows: Sliced, prepare: Prepare, *, block: int | None = None, precision: Precision = "float32"
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Run a stack over rows, block by block.

    Parameters
    ----------
    stack : Stack
        In evaluation mode, such as `scoring_copy` returns.
    rows : ndarray, (n, ...), n >= 1
        As the user has them; or what gives such rows slice by slice, beyond memory.
    prepare : callable
        From a block of `rows` to what the members take, (M, b, *shape), or (1, b, *shape) if all take the same.
    block : int, optional
        Rows in a block, the last of which may be shorter: for measures over many rows at once, where the last bits of a
        row's score may depend on its block. By default blocks are such that these do not.
    precision : {"float32", "float64", "bf16"}, default "float32"
        "bf16" runs the network under autocast, as in training.

    Yields
    ------
    x, x_hat, z : Tensor, (M, b, *shape), (M, b, *shape), (M, b, latent_dim)
        Of one block, in the order of the rows.
    """
    padded = block is None and stack.dtype != torch.float64
    size = block or (_DENSE_BLOCK if stack.is_dense else _BLOCK if stack.device.type == "cpu" else _BLOCK_ON_GPU)
    for start in range(0, len(rows), size):
        prepared = prepare(rows[start : start + size])
        if not isinstance(prepared, Tensor):
            # A copy, since the rows may be read-only or the caller's own; for one row torch.tensor takes twice as long.
            prepared = torch.from_numpy(np.array(prepared))
        x = prepared.to(stack.device, stack.dtype)
        n = x.shape[1]
        if padded and n < size:
            x = torch.cat([x, x.new_zeros(len(x), size - n, *x.shape[2:])], 1)
        x = x.expand(len(stack), *x.shape[1:])
        with torch.no_grad(), torch.autocast(stack.device.type, torch.bfloat16, enabled=precision == "bf16"):
            x_hat, z = stack(x)
        yield x[:, :n], x_hat[:, :n], z[:, :n]


def score(
    stack: Stack, objective: Objective, rows: Sliced, prepare: Prepare, center: Tensor | None = None
) -> NDArray[np.float64]:
    """Return the anomaly score of each row by each member, equation (3): (n, M), high = anomalous.

    Parameters
    ----------
    stack, rows, prepare
        As in `run`.
    objective : Objective
        The one that the stack was trained with.
    center : Tensor, (M, latent_dim), optional
        Target of the collapse in place of the objective's own, for one that was the mean of the batch.
    """
    return _gather(objective(x, x_hat, z, center=center).T for x, x_hat, z in run(stack, rows, prepare))


def encode(stack: Stack, rows: Sliced, prepare: Prepare) -> NDArray[np.float64]:
    """Return the latents of each row by each member: (n, M, latent_dim)."""
    return _gather(z.transpose(0, 1) for _, _, z in run(stack, rows, prepare))


def reconstruct(stack: Stack, rows: Sliced, prepare: Prepare) -> NDArray[np.float64]:
    """Return the reconstruction of each row by each member: (n, M, *shape), in the form that `prepare` gives rows."""
    return _gather(x_hat.transpose(0, 1) for _, x_hat, _ in run(stack, rows, prepare))


def mean_latent(stack: Stack, rows: Sliced, prepare: Prepare) -> Tensor:
    """Return the mean latent over the rows: (M, latent_dim), on the stack's device."""
    sums = torch.stack([z.sum(1) for _, _, z in run(stack, rows, prepare)])
    return sums.sum(0) / len(rows)


def _gather(blocks: Iterable[Tensor]) -> NDArray[np.float64]:
    joined: NDArray[np.float64] = torch.cat([block.double().cpu() for block in blocks]).numpy()
    return joined
