"""Rows beyond memory as the training takes them: prepared batch by batch, not all at once.

There are two classes, since a training asks for rows in two ways: batches choose them by number (`index_select`), and
early stopping takes the held-out rows block by block. Rows in memory need neither: they are prepared once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.tables.large import LargeRows


class PreparedLater:
    """Training rows for `tollad.training.batches.Batches` that are read and prepared when a batch asks for them.

    The batches are those, to the bit, of rows that were prepared before.

    Parameters
    ----------
    rows : LargeRows, (n, ...)
    prepare_views : callable
        From (b, ...) rows to (n_views, b, *shape), what the network takes.
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
        """Return rows as ``torch.index_select(rows, 0, index)`` does: as many for each member, one after the other."""
        prepared = self._prepare_views(self._rows[index.cpu().numpy()])
        view = np.repeat(self._views, len(index) // len(self._views)) if len(prepared) > 1 else 0
        return torch.tensor(prepared[view, np.arange(len(index))], dtype=self._dtype, device=self.device)


class HeldOutLater:
    """Held-out rows for early stopping, (M or 1, n, *shape), of which ``held_out[:, chosen]`` is prepared when asked.

    Parameters
    ----------
    rows : LargeRows, (n, ...)
    prepare : callable
        From (b, ...) rows to (M or 1, b, *shape).
    """

    def __init__(self, rows: LargeRows, prepare: Callable[[NDArray[Any]], NDArray[np.float64]]) -> None:
        self._rows, self._prepare = rows, prepare
        self.shape = (len(prepare(rows[:1])), len(rows))

    def __getitem__(self, chosen: tuple[slice, NDArray[np.int64]]) -> NDArray[np.float64]:
        return self._prepare(self._rows[chosen[1]])
