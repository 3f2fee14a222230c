"""Reference lines that cost seconds: distance to the mean, error of principal components, nearest neighbours.

They flatten samples of any shape, and nothing in them is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from tollad.methods.base import OfArrays, Watched
from tollad.methods.classical import SquaredDistances
from tollad.training.product import Product

_Rows = NDArray[np.float64]
# Number of samples whose distances to all training samples are held at once.
_BLOCK = 256


@dataclass(kw_only=True, eq=False)
class DistanceToMean(OfArrays):
    """Euclidean distance to the mean of the training samples.

    Examples
    --------
    >>> DistanceToMean().fit(np.array([[0.0, 0.0], [2.0, 0.0]])).anomaly_score(np.array([[1.0, 3.0]]))
    array([3.])
    """

    title: ClassVar[str] = "Distance to the mean"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        self._arrays = {"mean": _flat(rows).mean(0)}

    def _score(self, rows: _Rows) -> _Rows:
        distance: _Rows = np.linalg.norm(_flat(rows) - self._arrays["mean"], axis=1)
        return distance


@dataclass(kw_only=True, eq=False)
class PrincipalComponents(OfArrays):
    """Euclidean error of the reconstruction from the first principal components of the training samples.

    Parameters
    ----------
    n : int, default 16
        Number of components, below the numbers of training samples and of values in a sample.

    Examples
    --------
    >>> X = np.outer(np.arange(5.0), [1.0, 1.0, 0.0])
    >>> PrincipalComponents(n=1).fit(X).anomaly_score(np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 3.0]])).round(3)
    array([0., 3.])
    """

    n: int = 16

    title: ClassVar[str] = "PCA error"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        flat = _flat(rows)
        _check(self.n, len(flat))
        if self.n >= flat.shape[1]:
            raise ValueError(f"n must be below the {flat.shape[1]} values of a row, not {self.n}")
        mean = flat.mean(0)
        if not np.square(flat - mean).any():  # rows without spread have no component
            self._arrays = {"mean": mean, "axes": np.zeros((self.n, flat.shape[1]))}
            return
        # For a few of many components, Lanczos from a fixed vector is exact and far quicker than computing all.
        model = PCA(self.n, svd_solver="arpack", random_state=0).fit(flat)
        self._arrays = {"mean": model.mean_, "axes": model.components_}

    def _score(self, rows: _Rows) -> _Rows:
        centred, axes = _flat(rows) - self._arrays["mean"], self._arrays["axes"]
        error: _Rows = np.linalg.norm(centred - Product(axes)(Product(axes.T)(centred)), axis=1)
        return error


@dataclass(kw_only=True, eq=False)
class NearestNeighbours(OfArrays):
    """Mean Euclidean distance to the nearest training samples.

    Parameters
    ----------
    n : int, default 5
        Number of neighbours, below the number of training samples.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> NearestNeighbours(n=2).fit(X).anomaly_score(np.array([[1.0], [9.0]]))
    array([0.5, 7.5])
    """

    n: int = 5

    title: ClassVar[str] = "Nearest neighbours"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        _check(self.n, len(rows))
        self._arrays = {"rows": _flat(rows)}

    def _score(self, rows: _Rows) -> _Rows:
        flat, distances = _flat(rows), SquaredDistances(self._arrays["rows"])
        blocks = [distances(flat[start : start + _BLOCK]) for start in range(0, len(flat), _BLOCK)]
        return np.concatenate([self._mean_of_nearest(block) for block in blocks])

    def _mean_of_nearest(self, squared: _Rows) -> _Rows:
        nearest = np.partition(squared, self.n - 1, axis=1)[:, : self.n]
        return np.sqrt(np.sort(nearest, axis=1)).mean(1)


def _flat(rows: _Rows) -> _Rows:
    return np.asarray(rows, np.float64).reshape(len(rows), -1)


def _check(n: int, n_train: int) -> None:
    if n >= n_train:
        raise ValueError(f"n must be below the {n_train} training rows, not {n}")
