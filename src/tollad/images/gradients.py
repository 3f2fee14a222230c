"""Oriented gradients: features of strokes and edges, whatever their brightness, for small grey images.

As in histograms of oriented gradients (Dalal and Triggs, 2005), with signed orientations and overlapping cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

N_ORIENTATIONS = 8
N_CELLS = 8
# Side of a cell as a share of the side of the image: 7 of 28 pixels.
_CELL = 1 / 4
_BLOCK = 256
_TINY = 1e-12


def oriented_gradients(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return oriented gradients of images by cell.

    Central differences are projected on 8 directions, keeping positive parts, and averaged over 8 x 8 overlapping cells
    (for 28 x 28 pixels: cells of 7 x 7, 3 apart). Then the square root is taken, and the vector scaled to length
    sqrt(d). An image without any edge gives 0. Channels of a colour image are added up.

    Parameters
    ----------
    images : ndarray, (n, C, H, W), H, W >= 16
        From 0 to 1.

    Returns
    -------
    ndarray of float32, (n, 8, 8, 8)
        By cell (row, column) and orientation: d = 512 numbers with mean square 1.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.linspace(0, 1, 28)[None, None, None, :] * np.ones((1, 1, 28, 1))
    >>> seen = oriented_gradients(ramp)
    >>> seen.shape, seen[0, 4, 4].argmax(), round(float((seen**2).mean()), 3)
    ((1, 8, 8, 8), np.int64(0), 1.0)
    """
    return np.concatenate(
        [_of_block(images[start : start + _BLOCK]) for start in range(0, max(1, len(images)), _BLOCK)]
    )


def _of_block(images: NDArray[Any]) -> NDArray[np.float32]:
    x = functional.pad(torch.tensor(images, dtype=torch.float32), (1, 1, 1, 1), mode="replicate")
    across = (x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]) / 2
    down = (x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]) / 2
    oriented = []
    for number in range(N_ORIENTATIONS):
        angle = 2 * math.pi * number / N_ORIENTATIONS
        projected = across * math.cos(angle) + down * math.sin(angle)
        oriented.append(projected.clamp_min(0).sum(1))
    cells = _pooled(torch.stack(oriented, 1)).sqrt().permute(0, 2, 3, 1)
    length = cells.square().sum((1, 2, 3), keepdim=True).sqrt()
    seen: NDArray[np.float32] = (cells * (math.sqrt(cells[0].numel()) / length.clamp_min(_TINY))).numpy()
    return seen


def _pooled(maps: Tensor) -> Tensor:
    """Average (n, k, H, W) over 8 x 8 overlapping cells: (n, k, 8, 8)."""
    height, width = maps.shape[-2:]
    rows = functional.avg_pool2d(maps, (cell_side(height), 1), 1)
    rows = rows[:, :, cell_starts(rows.shape[2])]
    columns = functional.avg_pool2d(rows, (1, cell_side(width)), 1)
    return columns[:, :, :, cell_starts(columns.shape[3])]


def cell_side(side: int) -> int:
    """Return the side of a cell in pixels."""
    return round(side * _CELL)


def cell_starts(n: int) -> list[int]:
    """Return the first pixels of 8 evenly spread cells along a side."""
    return [round(i * (n - 1) / (N_CELLS - 1)) for i in range(N_CELLS)]
