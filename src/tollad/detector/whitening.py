"""Whitening: rows in units of how far training rows vary in their direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tollad.training.product import Product

Floats = NDArray[np.float64]

_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Whitening:
    """``(x - mean) @ C^(-1/2) / sqrt(d)`` with the shrunk covariance C of Ledoit and Wolf (2004).

    It is symmetric, so each whitened number stays close to the original one. All directions in which the rows do not
    vary have the same variance, so only the others are stored.

    Attributes
    ----------
    mean : ndarray of float64, (d,)
    directions : ndarray of float64, (r, d)
        Eigenvectors of the covariance, rounded to float32.
    gains : ndarray of float64, (r,)
        Factor along each eigenvector, minus `rest`.
    rest : ndarray of float64, ()
        Factor in all other directions.

    Examples
    --------
    >>> whitening = Whitening.fit(np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, -1.0], [0.0, 1.0]]))
    >>> far = whitening(np.array([[4.0, 0.0], [0.0, 4.0]]))
    >>> bool(np.linalg.norm(far[0]) < np.linalg.norm(far[1]))
    True
    """

    mean: Floats
    directions: Floats
    gains: Floats
    rest: Floats

    @classmethod
    def fit(cls, rows: NDArray[Any], ridge: float = 0.0) -> Self:
        """Fit to rows, (n, d), n >= 2. `ridge`, in units of the mean variance, is added to all variances."""
        from sklearn.covariance import ledoit_wolf_shrinkage  # scoring a few rows takes less time than this import

        x = np.asarray(rows, np.float64)
        mean = x.mean(0)
        n, width = x.shape
        shrinkage = ledoit_wolf_shrinkage(x - mean, assume_centered=True)
        if n > width:
            variances, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / n)
        else:  # the rows do not vary in the directions left out
            _, lengths, across = np.linalg.svd(x - mean, full_matrices=False)
            variances, vectors = (
                np.append(0, np.square(lengths[::-1]) / n),
                np.vstack([np.zeros(width), across[::-1]]).T,
            )
        average = float(np.square(x - mean).mean())
        variances = (1 - shrinkage) * variances + shrinkage * average
        least = max(_LEAST_VARIANCE, 1e-9 * float(variances[-1]))
        variances = np.maximum(variances, least) + ridge * max(least, average)
        gains = 1 / np.sqrt(len(mean) * variances)
        kept = gains < gains[0] * (1 - 1e-6)
        directions = vectors.T[kept].astype(np.float32).astype(np.float64)
        return cls(mean, directions, gains[kept] - gains[0], np.array(gains[0]))

    def __call__(self, rows: NDArray[Any]) -> Floats:
        """Return whitened rows: (n, d) -> (n, d)."""
        centred = rows - self.mean
        onto, back = self._products
        whitened: Floats = self.rest * centred + back(onto(centred) * self.gains)
        return whitened

    def inverse(self, whitened: Floats) -> Floats:
        """Undo the whitening of rows: (n, d) -> (n, d)."""
        onto, back = self._products
        rows: Floats = whitened / self.rest + back(onto(whitened) * (1 / (self.gains + self.rest) - 1 / self.rest))
        return rows + self.mean

    def scaled(self, factor: float) -> Self:
        """Return a whitening whose results are `factor` times as large."""
        return replace(self, gains=self.gains * factor, rest=self.rest * factor)

    @cached_property
    def _products(self) -> tuple[Product, Product]:
        """Products with the directions: of rows, and of lengths along the directions."""
        return Product(self.directions.T), Product(self.directions)

    def matrix(self) -> Floats:
        """Return the whitening as a matrix: (d, d)."""
        return self.rest * np.eye(len(self.mean)) + (self.directions.T * self.gains) @ self.directions

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for the model file."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**arrays, "directions": self.directions.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the whitening of the arrays of a model file."""
        return cls(**{name: array.astype(np.float64) for name, array in arrays.items()})
