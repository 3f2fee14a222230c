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

    def at(self, step: int) -> np.random.Generator:
        """Return the generator as it stands at the beginning of `step` (int, >= 0); valid until the next call."""
        # Philox is a function of key and counter: with the step as the counter's highest word, no two steps overlap.
        # Setting the state costs a tenth of a new generator.
        self._start["state"]["counter"][3] = step
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

    Raises
    ------
    ValueError
        If members have different numbers of rows and one has fewer than a batch: the others would get another batch
        size than they have alone.

    Examples
    --------
    >>> import torch
    >>> batches = Batches(torch.arange(10.0).reshape(10, 1), batch_size=4, seeds=[0, 1])
    >>> batches(step=0).shape
    torch.Size([2, 4, 1])
    """

    def __init__(
        self, rows: Tensor, batch_size: int, seeds: Sequence[int], subsets: Sequence[NDArray[np.int64]] | None = None
    ) -> None:
        self._rows = rows
        self._streams = [Stream(seed) for seed in seeds]
        self._subsets = subsets
        sizes = [len(rows)] if subsets is None else [len(subset) for subset in subsets]
        self.batch_size = min(batch_size, *sizes)
        if self.batch_size < batch_size and len(set(sizes)) > 1:
            raise ValueError(f"batch_size is {batch_size}, but a member has only {min(sizes)} rows; lower batch_size")

    def __call__(self, step: int) -> Tensor:
        """Return the batches of one step: (M, batch_size, *shape)."""
        chosen = [self._draw(member, step) for member in range(len(self._streams))]
        index = torch.from_numpy(np.concatenate(chosen)).to(self._rows.device)
        return self._rows.index_select(0, index).unflatten(0, (len(chosen), self.batch_size))

    def _draw(self, member: int, step: int) -> NDArray[np.int64]:
        if self._subsets is None:
            return self._streams[member].draw(len(self._rows), self.batch_size, step)
        subset = self._subsets[member]
        return subset[self._streams[member].draw(len(subset), self.batch_size, step)]
