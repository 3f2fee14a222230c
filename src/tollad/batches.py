"""Batches: which rows each member of a stack sees at each step, as a function of (seed, step) only.

There is no state to save: training that was interrupted draws the same rows when it goes on, and a member draws the
same rows alone and in any stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Stream:
    """Random row numbers as a function of (seed, step).

    Parameters
    ----------
    seed : int, 0 <= seed < 2**128
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(key=seed)
        self._generator = np.random.Generator(self._bits)
        self._start = self._bits.state

    def at(self, step: int, *, corruption: bool = False) -> np.random.Generator:
        """Return the generator as it stands at the beginning of `step` (int, >= 0); valid until the next call.

        What corrupts the rows has a sequence of its own, so that the rows are the same with and without it.
        """
        # Philox is a function of key and counter: with the step as the counter's highest word, no two steps overlap.
        # Setting the state costs a tenth of a new generator.
        self._start["state"]["counter"][2:] = corruption, step
        self._bits.state = self._start
        return self._generator

    def draw(self, n_rows: int, batch_size: int, step: int) -> NDArray[np.int64]:
        """Draw `batch_size` <= `n_rows` distinct row numbers, independently of every other step.

        All rows come in their own order when the batch takes them all: there is nothing to draw.
        """
        if batch_size == n_rows:
            return np.arange(n_rows)
        return self.at(step).choice(n_rows, batch_size, replace=False, shuffle=False)


class Batches:
    """Random batches of rows held in memory, one stream for each member.

    Parameters
    ----------
    rows : Tensor, (n, *shape)
        The training rows, shared by all members.
    batch_size : int
        Rows in a batch, at least 1; fewer when a member has fewer rows than that.
    seeds : sequence of M ints
        One stream of batches for each.
    subsets : sequence of M int arrays, optional
        The rows of each member; by default all have all.
    corrupt : bool, default False
        Whether the network is given corrupted rows, see `displace`.

    Raises
    ------
    ValueError
        If members have different numbers of rows and one has fewer than a batch: the others would get another batch
        size than they have alone.

    Examples
    --------
    >>> import torch
    >>> batches = Batches(torch.arange(10.0).reshape(10, 1), batch_size=4, seeds=[0, 1])
    >>> inputs, x = batches(step=0)
    >>> x.shape, inputs is x
    (torch.Size([2, 4, 1]), True)
    """

    def __init__(
        self,
        rows: Tensor,
        batch_size: int,
        seeds: Sequence[int],
        subsets: Sequence[NDArray[np.int64]] | None = None,
        *,
        corrupt: bool = False,
    ) -> None:
        self._rows = rows
        self._corrupt = corrupt
        self._streams = [Stream(seed) for seed in seeds]
        self._subsets = subsets
        sizes = [len(rows)] if subsets is None else [len(subset) for subset in subsets]
        self.batch_size = min(batch_size, *sizes)
        if self.batch_size < batch_size and len(set(sizes)) > 1:
            raise ValueError(f"batch_size is {batch_size}, but a member has only {min(sizes)} rows; lower batch_size")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return ``(inputs, x)`` of one step, each (M, batch_size, *shape); one tensor twice when not corrupted."""
        chosen = [self._draw(member, step) for member in range(len(self._streams))]
        index = torch.from_numpy(np.concatenate(chosen)).to(self._rows.device)
        x = self._rows.index_select(0, index).unflatten(0, (len(chosen), self.batch_size))
        if not self._corrupt:
            return x, x
        moves = [
            displace(stream.at(step, corruption=True), rows) for stream, rows in zip(self._streams, x, strict=True)
        ]
        return x + torch.stack(moves), x

    def _draw(self, member: int, step: int) -> NDArray[np.int64]:
        if self._subsets is None:
            return self._streams[member].draw(len(self._rows), self.batch_size, step)
        subset = self._subsets[member]
        return subset[self._streams[member].draw(len(subset), self.batch_size, step)]


def displace(generator: np.random.Generator, rows: Tensor) -> Tensor:
    """Draw by how much each row of a batch is moved, for denoising collapse.

    Each row has its own size sigma, log-uniform in [0.05, 1]. In random order, 30 % of the rows stay as they are,
    17.5 % get Gaussian noise on every value, 17.5 % on a random part of the values (its share uniform in [0, 1]), and
    35 % move along the difference of two rows of the batch, over sqrt(2): towards where data lie, not just anywhere.

    NOTE[DIFF] Not in the paper, whose networks are given the rows as they are; `docs/tables.md` says what it is worth.

    Parameters
    ----------
    generator : numpy.random.Generator
    rows : Tensor, (B, *shape)
        Standardised.

    Returns
    -------
    Tensor, (B, *shape)
    """
    n, size = len(rows), rows[0].numel()
    order = generator.permutation(n)
    dense, part, along = np.split(order, np.rint(np.array([0.175, 0.35, 0.7]) * n).astype(int))[:3]
    sigma = np.exp(generator.uniform(np.log(0.05), 0, (n, 1)))
    noise = np.zeros((n, size), dtype=np.float32)
    noise[dense] = generator.standard_normal((len(dense), size), dtype=np.float32)
    share = generator.random((len(part), 1), dtype=np.float32)
    kept = generator.random((len(part), size), dtype=np.float32) < share
    noise[part] = kept * generator.standard_normal((len(part), size), dtype=np.float32)
    moves = torch.from_numpy(noise * sigma).to(rows)
    first, second = torch.from_numpy(generator.integers(n, size=(2, len(along)))).to(rows.device)
    flat = rows.reshape(n, size)
    scale = torch.from_numpy(sigma[along] / np.sqrt(2)).to(rows)
    moves[torch.from_numpy(along).to(rows.device)] = (flat[first] - flat[second]) * scale
    return moves.view_as(rows)
