"""Scores, latents and reconstructions of a stack over any number of rows, in constant memory.

A sample's score must not depend on the rows it comes with, to the last bit, yet a matrix product rounds differently for
different numbers of rows. So rows run in blocks of fixed sizes, filled up with zeros (`tollad.training.rowwise`).
Around the layers of dense networks, all is in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.method.objective import Objective
from tollad.training.loop import Precision
from tollad.training.rowwise import InBlocks, RowWise, block_size
from tollad.training.stack import Stack

Prepare = Callable[[Any], NDArray[Any] | Tensor]


class Sliced(Protocol):
    """Rows as an array, or as anything else whose slices `prepare` takes."""

    def __len__(self) -> int: ...
    def __getitem__(self, chosen: slice, /) -> Any: ...


# Rows that are prepared together, and values of the networks' outputs that are returned together: 8 MB as float64.
_ROWS = 1024
_VALUES = 1 << 20
# Rows of a block of a dense stack that is still trained.
_DENSE_BLOCK = 1024

Network: TypeAlias = Stack | RowWise | InBlocks
"""A stack in evaluation mode, or a form of it in which a row's score never depends on the rows that come with it."""


def scoring_copy(stack: Stack, *, doubled: bool = False) -> RowWise | InBlocks:
    """Return the form of a stack that scores, in evaluation mode; if `doubled`, in double precision throughout."""
    if _in_rows(stack):
        return RowWise(stack, torch.float64 if doubled else None)
    return InBlocks(stack.to(dtype=torch.float64) if doubled else stack)


def scoring_precision(stack: Stack) -> torch.dtype:
    """Return the type in which the scoring form of a stack takes rows."""
    return RowWise.dtype if _in_rows(stack) else stack.dtype


def _in_rows(stack: Stack) -> bool:
    return stack.is_dense and stack.device.type != "mps"  # mps has no double precision


def run(
    stack: Network, rows: Sliced, prepare: Prepare, *, block_rows: int | None = None, precision: Precision = "float32"
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Run a stack over rows, block by block.

    Parameters
    ----------
    stack : Stack, RowWise or InBlocks
        In evaluation mode, such as `scoring_copy` returns.
    rows : ndarray, (n, ...), n >= 1
        Not prepared yet; or rows beyond memory, which are read slice by slice.
    prepare : callable
        Maps a block of `rows` to network inputs, (M, b, *shape), or (1, b, *shape) if all members take the same.
    block_rows : int, optional
        Rows in a block; the last block may be shorter. For measures over many rows, where the last bits of a row's
        score may depend on its block. By default they do not.
    precision : {"float32", "float64", "bf16"}, default "float32"
        "bf16" runs the network under autocast, as in training.

    Yields
    ------
    x, x_hat, z : Tensor, (M, b, *shape), (M, b, *shape), (M, b, latent_dim)
        Of some of the rows, in their order.
    """
    n_members = len(stack)
    for start in range(0, len(rows), block_rows or _ROWS):
        prepared = prepare(rows[start : start + (block_rows or _ROWS)])
        if not isinstance(prepared, Tensor):
            # A copy, since the rows may be read-only or the caller's own; for one row torch.tensor takes twice as long.
            prepared = torch.from_numpy(np.array(prepared))
        x = prepared.to(stack.device, stack.dtype)
        n_rows = x.shape[1]
        # For one row, calls cost more than products. So no call is made that would change nothing.
        outputs: list[tuple[Tensor, Tensor]] = []
        # The work after the network costs as much for one small block as for many, so blocks of dense networks are
        # joined.
        begin, most = 0, _VALUES // (n_members * x.shape[2:].numel()) if isinstance(stack, RowWise) else 0
        for first, n, size in _blocks(stack, x, block_rows):
            part = x if n == n_rows else x[:, first : first + n]
            if n < size:
                part = torch.constant_pad_nd(part, (0, 0) * (part.ndim - 2) + (0, size - n))
            if part.size(0) < n_members:
                part = part.expand(n_members, *part.shape[1:])
            mixed = torch.autocast(stack.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
            with torch.no_grad() if torch.is_grad_enabled() else nullcontext(), mixed:
                x_hat, z = stack(part)
            outputs.append((x_hat[:, :n], z[:, :n]) if n < size else (x_hat, z))
            end = first + n
            if end - begin >= most or end == n_rows:
                x_hat, z = (
                    outputs[0] if len(outputs) == 1 else (torch.cat(part, 1) for part in zip(*outputs, strict=True))
                )
                part = x if end - begin == n_rows else x[:, begin:end]
                yield part if part.size(0) == n_members else part.expand(x_hat.shape), x_hat, z
                begin, outputs = end, []


def _blocks(stack: Network, x: Tensor, block_rows: int | None) -> list[tuple[int, int, int]]:
    """Return ``(first row, rows, size to fill up to)`` of each block of rows, (M or 1, n, *shape)."""
    n_rows = x.shape[1]
    if block_rows is not None:
        return [(0, n_rows, n_rows)]
    if not isinstance(stack, Stack):
        return stack.blocks(x)
    size = _DENSE_BLOCK if stack.is_dense else block_size(stack.device)
    return [(first, min(size, n_rows - first), size) for first in range(0, n_rows, size)]


def score(
    stack: Network, objective: Objective, rows: Sliced, prepare: Prepare, center: Tensor | None = None
) -> NDArray[np.float64]:
    """Return the anomaly score of each row by each member, equation (3): (n, M), high = anomalous.

    Parameters
    ----------
    stack, rows, prepare
        As in `run`.
    objective : Objective
        The one that the stack was trained with.
    center : Tensor, (M, latent_dim), optional
        Replaces the objective's target of the collapse if that was the mean of the batch.
    """
    return _gather(objective(x, x_hat, z, center=center).T for x, x_hat, z in run(stack, rows, prepare))


def latents(stack: Network, rows: Sliced, prepare: Prepare) -> NDArray[np.float64]:
    """Return the latents of each row by each member: (n, M, latent_dim)."""
    return _gather(z.transpose(0, 1) for _, _, z in run(stack, rows, prepare))


def reconstructions(stack: Network, rows: Sliced, prepare: Prepare) -> NDArray[np.float64]:
    """Return the reconstruction of each row by each member: (n, M, *shape), in the form of the prepared rows."""
    return _gather(x_hat.transpose(0, 1) for _, x_hat, _ in run(stack, rows, prepare))


def mean_latent(stack: Network, rows: Sliced, prepare: Prepare) -> Tensor:
    """Return the mean latent over the rows: (M, latent_dim), on the stack's device."""
    sums = torch.stack([z.sum(1) for _, _, z in run(stack, rows, prepare)])
    return sums.sum(0) / len(rows)


def _gather(blocks: Iterable[Tensor]) -> NDArray[np.float64]:
    joined: NDArray[np.float64] = torch.cat([block.double().cpu() for block in blocks]).numpy()
    return joined
