"""Products of rows and a matrix, in which no row depends on the rows it comes with."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.training.rowwise import FixedBlocks, Linear


class Product:
    """``rows @ matrix``, in which a row has the same result, to the bit, whatever rows come with it.

    NumPy's own product rounds a row by its place among the rows, and each kind of processor in its own way. Here rows
    run in blocks whose sizes and places are compared first, see `tollad.training.rowwise.FixedBlocks`.

    Parameters
    ----------
    matrix : ndarray of float64 or float32, (d, k)
        Copied. Its type is that of the product.

    Examples
    --------
    >>> times = Product(np.array([[1.0], [2.0]]))
    >>> times(np.array([[1.0, 1.0], [0.0, 3.0]]))
    array([[3.],
           [6.]])
    """

    def __init__(self, matrix: NDArray[np.floating[Any]]) -> None:
        weight = torch.from_numpy(np.array(matrix.T, order="C"))[None]
        self._dtype, self._width = matrix.dtype, matrix.shape[1]
        self._linear = Linear(weight, weight.new_zeros(1, self._width))
        self._blocks = FixedBlocks(partial(_alone, self._linear), len(matrix), weight.device, weight.dtype)

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the product: (n, d) -> (n, k)."""
        found = np.empty((len(rows), self._width), self._dtype)
        for first, n, size in self._blocks(len(rows)):
            block = np.zeros((1, size, rows.shape[1]), self._dtype)
            block[0, :n] = rows[first : first + n]
            found[first : first + n] = self._linear(torch.from_numpy(block))[0, :n].numpy()
        return found


def _alone(linear: Linear, block: Tensor) -> tuple[Tensor]:
    """Return the product of one block, (1, size, d), as the only output."""
    return (linear(block),)
