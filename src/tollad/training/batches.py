"""Batches: which rows each member of a stack sees at each step, as a function of (seed, step) only.

There is no state to save: training that was interrupted draws the same rows when it goes on, and a member draws the
same rows alone and in any stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.tables.large import LargeRows


class Draws:
    """Draws random row numbers as a function of (seed, step).

    Parameters
    ----------
    seed : int, 0 <= seed < 2**128
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(key=seed)
        self._generator = np.random.Generator(self._bits)
        self._start = self._bits.state

    def at(self, step: int, *, corruption: bool = False) -> np.random.Generator:
        """Return the generator in its state at the beginning of `step` (int, >= 0). It is valid until the next call.

        Corruption draws from a sequence of its own, so that the chosen rows are the same with and without it.
        """
        # Philox is a function of key and counter. With the step in the counter's highest word, steps never overlap.
        # Setting the state costs a tenth of making a new generator.
        self._start["state"]["counter"][2:] = corruption, step
        self._bits.state = self._start
        return self._generator

    def draw(self, n_rows: int, batch_size: int, step: int) -> NDArray[np.int64]:
        """Draw `batch_size` <= `n_rows` distinct row numbers, independently of every other step.

        If the batch takes all rows, they come in their own order, since there is nothing to draw.
        """
        if batch_size == n_rows:
            return np.arange(n_rows)
        return self.at(step).choice(n_rows, batch_size, replace=False, shuffle=False)


class Selectable(Protocol):
    """Anything indexable along its first axis by row numbers: a tensor, or rows that are read when asked for."""

    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def index_select(self, dim: int, index: Tensor) -> Tensor: ...


class RowsOnDisk:
    """Training rows beyond memory: those of a batch are read and prepared when `Batches` asks for them.

    The batches equal, to the bit, those of rows that were prepared in memory beforehand.

    Parameters
    ----------
    rows : LargeRows, (n, ...)
    prepare_views : callable
        Maps (b, ...) rows to (n_views, b, *shape) network inputs.
    views : sequence of M ints
        Which view each member takes.
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(
        self,
        rows: LargeRows,
        prepare_views: Callable[[NDArray[Any]], NDArray[np.float64]],
        views: Sequence[int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._rows, self._prepare_views, self._views = rows, prepare_views, np.asarray(views)
        self.device, self._dtype = device, dtype

    def __len__(self) -> int:
        return len(self._rows)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return rows as ``torch.index_select(rows, 0, index)`` does; `index` has equally many rows for each member."""
        prepared = self._prepare_views(self._rows[index.cpu().numpy()])
        view = np.repeat(self._views, len(index) // len(self._views)) if len(prepared) > 1 else 0
        return torch.tensor(prepared[view, np.arange(len(index))], dtype=self._dtype, device=self.device)


class Batches:
    """Random batches of rows, one stream for each member.

    Parameters
    ----------
    rows : Tensor, (n, *shape), or Selectable
        The training rows, shared by all members.
    batch_size : int
        Rows in a batch, at least 1; fewer when a member has fewer rows than that.
    seeds : sequence of M ints
        One stream of batches for each. If all members share seed and rows, they also share one batch in memory.
    subsets : sequence of M int arrays, optional
        Row numbers of each member; by default all rows. Pass the same array object for equal subsets.
    corrupt : bool, default False
        Whether the network is given corrupted rows, see `draw_moves`.
    prepare : callable, optional
        Maps the chosen rows, (M or 1, batch_size, ...), to network inputs. By default the rows are network inputs
        already.
    steps_at_once : int, default 1
        For how many steps row numbers are drawn and sent to the device at once. With more, a GPU waits less.

    Raises
    ------
    ValueError
        If members have different numbers of rows and one has fewer than a batch. Its smaller batch would be forced on
        the others, who would not train as they do alone.

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
        rows: Tensor | Selectable,
        batch_size: int,
        seeds: Sequence[int],
        subsets: Sequence[NDArray[np.int64]] | None = None,
        *,
        corrupt: bool = False,
        prepare: Callable[[Tensor], Tensor] | None = None,
        steps_at_once: int = 1,
    ) -> None:
        self._rows = rows
        self._corrupt = corrupt
        self._prepare = prepare
        self._steps_at_once = steps_at_once
        self._n_members = len(seeds)
        streams = {seed: Draws(seed) for seed in seeds}
        every = None if subsets is None else {id(subset) for subset in subsets}
        alike = len(streams) == 1 and (every is None or len(every) == 1) and not corrupt
        distinct = range(1 if alike else len(seeds))
        self._streams = [streams[seeds[member]] for member in distinct]
        self._subsets = None if subsets is None else [subsets[member] for member in distinct]
        self._drawn: tuple[int, Tensor] | None = None
        sizes = [len(rows)] if subsets is None else [len(subset) for subset in subsets]
        self.batch_size = min(batch_size, *sizes)
        if self.batch_size < batch_size and len(set(sizes)) > 1:
            raise ValueError(f"batch_size is {batch_size}, but a member has only {min(sizes)} rows; lower batch_size")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return ``(inputs, x)`` of one step, each (M, batch_size, *shape); both are one tensor unless corrupted."""
        number, offset = divmod(step, self._steps_at_once)
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = number, self._draw(number * self._steps_at_once)
        index = self._drawn[1][offset]
        x = self._rows.index_select(0, index).unflatten(0, (-1, self.batch_size))
        if self._prepare is not None:
            x = self._prepare(x)
        if not self._corrupt:
            x = x.expand(self._n_members, *x.shape[1:])
            return x, x
        return x + self._moves(x, step), x

    def _moves(self, x: Tensor, step: int) -> Tensor:
        """Return by how much each row is moved, see `draw_moves`: (M, batch_size, *shape)."""
        size = x[0, 0].numel()
        drawn = [draw_moves(stream.at(step, corruption=True), self.batch_size, size) for stream in self._streams]
        # One transfer for all members: each array is small.
        noise, pairs, scale = (torch.from_numpy(np.stack(part)).to(x.device) for part in zip(*drawn, strict=True))
        first_row = torch.arange(len(x), device=x.device).mul(self.batch_size)[:, None, None]
        pairs = (pairs + first_row).transpose(0, 1).reshape(2, -1)
        rows = x.reshape(-1, size)
        along = rows.index_select(0, pairs[0]).sub_(rows.index_select(0, pairs[1]))
        return along.mul_(scale.reshape(-1, 1)).add_(noise.reshape(-1, size)).view_as(x)

    def _draw(self, start: int) -> Tensor:
        """Return the row numbers of some steps, (steps_at_once, M or 1 * batch_size)."""
        steps = range(start, start + self._steps_at_once)
        drawn = [
            np.concatenate([self._of_member(member, step) for member in range(len(self._streams))]) for step in steps
        ]
        numbers = torch.from_numpy(np.stack(drawn))
        if self._rows.device.type == "cuda":
            # A copy from pinned memory runs beside the computation.
            numbers = numbers.pin_memory()
        return numbers.to(self._rows.device, non_blocking=True)

    def _of_member(self, member: int, step: int) -> NDArray[np.int64]:
        if self._subsets is None:
            return self._streams[member].draw(len(self._rows), self.batch_size, step)
        subset = self._subsets[member]
        return subset[self._streams[member].draw(len(subset), self.batch_size, step)]


# Three shares of a batch's rows, each corrupted in its own way, see `draw_moves`. The other rows are not corrupted.
_DENSE, _PART, _ALONG = 0.175, 0.175, 0.35
_LOWEST_SIGMA = 0.05


def draw_moves(
    generator: np.random.Generator, n_rows: int, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Draw by how much the rows of a batch are moved, for denoising collapse.

    Each row has a scale sigma, log-uniform in [0.05, 1]. 30 % of the rows, at random, are not moved. 17.5 % get
    Gaussian noise on every value, and 17.5 % on a random subset of the values, of a size uniform in [0, 1]. 35 % move
    along the difference of two rows of the batch, divided by sqrt(2), that is in directions in which the data vary.

    NOTE[DIFF] The paper does not corrupt rows; `docs/tables.md` has measurements.

    Parameters
    ----------
    generator : numpy.random.Generator
    n_rows, size : int
        Rows of the batch, and values of a row.

    Returns
    -------
    noise : ndarray of float32, (n_rows, size)
    pairs : ndarray of int64, (2, n_rows)
    scale : ndarray of float32, (n_rows,)
        A row moves by ``noise + scale * (rows[pairs[0]] - rows[pairs[1]])``.
    """
    order = generator.permutation(n_rows)
    dense, part, along = (round(share * n_rows) for share in (_DENSE, _DENSE + _PART, _DENSE + _PART + _ALONG))
    sigma = np.exp(generator.uniform(np.log(_LOWEST_SIGMA), 0.0, n_rows)).astype(np.float32)
    noise = np.zeros((n_rows, size), dtype=np.float32)
    drawn = generator.standard_normal((part, size), dtype=np.float32) * sigma[order[:part], None]
    kept = generator.random((part - dense, 1), dtype=np.float32)
    drawn[dense:] *= generator.random((part - dense, size), dtype=np.float32) < kept
    noise[order[:part]] = drawn
    scale = np.zeros(n_rows, dtype=np.float32)
    scale[order[part:along]] = sigma[order[part:along]] / np.float32(np.sqrt(2))
    return noise, generator.integers(n_rows, size=(2, n_rows)), scale
