"""OC-SVM, KDE and Isolation Forest by scikit-learn, with files that hold numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.ensemble import IsolationForest as Forest
from sklearn.svm import OneClassSVM

from tollad.methods.base import OfArrays, Watched
from tollad.training.product import Product

_Rows = NDArray[np.float64]
# Number of rows whose distances to all training rows are held at once.
_BLOCK = 256
_FOLDS = 5


class SquaredDistances:
    """Squared Euclidean distances to rows: (m, d). Those of a row never depend on the rows it comes with."""

    def __init__(self, others: _Rows) -> None:
        self._squares, self._products = np.einsum("md,md->m", others, others), Product(others.T)

    def __call__(self, rows: _Rows) -> _Rows:
        """Return the distances of rows, (n, d): (n, m)."""
        found: _Rows = np.einsum("nd,nd->n", rows, rows)[:, None] + self._squares
        found -= 2 * self._products(rows)
        return found.clip(0)


@dataclass(kw_only=True, eq=False)
class OCSVM(OfArrays):
    """One-class SVM of Schölkopf et al. (1999) with an RBF kernel; score = rho - sum_i alpha_i k(x_i, x).

    Parameters
    ----------
    nu : float in (0, 1]
        Upper bound on the share of training rows outside, and lower bound on the share of support vectors.
    gamma : float, optional
        Of k(x, y) = exp(-gamma ||x - y||^2); by default 1 / (d * variance of all values), which needs no label. For the
        published numbers, it was chosen on labelled test images.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> near, far = OCSVM().fit(X).anomaly_score(np.array([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(near < far)
    True
    """

    scale: str = "none"
    nu: float = 0.1
    gamma: float | None = None

    title: ClassVar[str] = "OC-SVM"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        flat = rows.reshape(len(rows), -1)
        variance = flat.var()
        gamma = self.gamma or 1 / (flat.shape[1] * (variance if variance > 0 else 1.0))
        model = OneClassSVM(kernel="precomputed", nu=self.nu)
        # Not a parameter of the model, but without it the solver draws from NumPy's global random state.
        model.random_state = self.seed
        model.fit(np.exp(-gamma * SquaredDistances(flat)(flat)))
        self._arrays = {
            "vectors": flat[model.support_],
            "alpha": model.dual_coef_[0],
            "rho": -model.intercept_,
            "gamma": np.array(gamma),
        }

    def _score(self, rows: _Rows) -> _Rows:
        own = self._arrays
        kernel = np.exp(-own["gamma"] * SquaredDistances(own["vectors"])(rows.reshape(len(rows), -1)))
        scores: _Rows = own["rho"] - (kernel * own["alpha"]).sum(1)
        return scores


@dataclass(kw_only=True, eq=False)
class KDE(OfArrays):
    """Gaussian kernel density; score = -log p(x).

    Parameters
    ----------
    bandwidth : "likelihood", "mean" or float > 0, default "likelihood"
        - "likelihood": the one of `bandwidths` with the highest mean log-likelihood in 5-fold cross-validation.
        - "mean": the limit of a wide kernel, which ranks like the distance to the mean. The published column is this
          one: a bandwidth chosen by likelihood is far better on MNIST.
    bandwidths : tuple of float
        The candidates of "likelihood"; by default 2^-4.5, 2^-4, ..., 2^5.

    Examples
    --------
    >>> import numpy as np
    >>> KDE(bandwidth=1.0).fit(np.zeros((5, 1))).anomaly_score(np.array([[0.0], [2.0]])).round(3)
    array([0.919, 2.919])
    """

    scale: str = "none"
    bandwidth: Literal["likelihood", "mean"] | float = "likelihood"
    bandwidths: tuple[float, ...] = tuple(2.0 ** (i / 2) for i in range(-9, 11))

    title: ClassVar[str] = "KDE"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        flat = rows.reshape(len(rows), -1)
        if self.bandwidth == "mean":
            self._arrays = {"rows": flat.mean(0, keepdims=True), "bandwidth": np.array(np.inf)}
            return
        width = self._most_likely(flat) if self.bandwidth == "likelihood" else float(self.bandwidth)
        self._arrays = {"rows": flat, "bandwidth": np.array(width)}

    def _most_likely(self, flat: _Rows) -> float:
        if len(flat) < _FOLDS:
            raise ValueError(f"{_FOLDS}-fold cross-validation needs {_FOLDS} rows, not {len(flat)}; give a bandwidth")
        folds = np.arange(len(flat)) * _FOLDS // len(flat)
        totals = np.zeros(len(self.bandwidths))
        for fold in range(_FOLDS):
            kept, left_out = flat[folds != fold], flat[folds == fold]
            distances = SquaredDistances(kept)(left_out)
            totals += [log_density(distances, width, flat.shape[1]).sum() for width in self.bandwidths]
        return self.bandwidths[int(totals.argmax())]

    def _score(self, rows: _Rows) -> _Rows:
        flat, own = rows.reshape(len(rows), -1), self._arrays
        if np.isinf(own["bandwidth"]):
            distance: _Rows = np.sqrt(np.square(flat - own["rows"]).sum(1))
            return distance
        distances, width = SquaredDistances(own["rows"]), float(own["bandwidth"])
        parts = [
            -log_density(distances(flat[i : i + _BLOCK]), width, flat.shape[1]) for i in range(0, len(flat), _BLOCK)
        ]
        return np.concatenate(parts)


def log_density(squared: _Rows, bandwidth: float, d: int) -> _Rows:
    """Return the log of a Gaussian kernel density in d dimensions, (m,), from squared distances to its rows, (m, n)."""
    n = squared.shape[1]
    found: _Rows = logsumexp(squared / (-2 * bandwidth**2), axis=1)
    return found - np.log(n) - d / 2 * np.log(2 * np.pi * bandwidth**2)


@dataclass(kw_only=True, eq=False)
class IsolationForest(OfArrays):
    """Isolation Forest of Liu, Ting and Zhou (2008); score = 2^(-mean path length / c(n_rows)).

    Parameters
    ----------
    n_trees : int
    n_rows : int
        Rows of a tree; all rows if there are fewer.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> near, far = IsolationForest(n_trees=20).fit(X).anomaly_score(np.array([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(near < far)
    True
    """

    scale: str = "none"
    n_trees: int = 100
    n_rows: int = 256

    title: ClassVar[str] = "Isolation Forest"

    def _fit(self, rows: _Rows, watched: Watched) -> None:
        flat = rows.reshape(len(rows), -1)
        drawn = min(self.n_rows, len(flat))
        forest = Forest(n_estimators=self.n_trees, max_samples=drawn, random_state=self.seed).fit(flat)
        trees = [tree.tree_ for tree in forest.estimators_]
        most = max(tree.node_count for tree in trees)
        shape = len(trees), most
        self._arrays = {
            "left": np.full(shape, -1, np.int32),
            "right": np.full(shape, -1, np.int32),
            "feature": np.zeros(shape, np.int32),
            "threshold": np.zeros(shape),
            "length": np.zeros(shape),
            "drawn": np.array(drawn),
        }
        for i, (tree, columns) in enumerate(zip(trees, forest.estimators_features_, strict=True)):
            n = tree.node_count
            self._arrays["left"][i, :n] = tree.children_left
            self._arrays["right"][i, :n] = tree.children_right
            self._arrays["feature"][i, :n] = columns[tree.feature.clip(0)]
            self._arrays["threshold"][i, :n] = tree.threshold
            depth = np.zeros(n)
            for node in range(n):  # parents come before their children
                for child in (tree.children_left[node], tree.children_right[node]):
                    if child >= 0:
                        depth[child] = depth[node] + 1
            # A leaf with several rows counts with the mean depth of a tree of these rows.
            self._arrays["length"][i, :n] = depth + average_path(tree.n_node_samples)

    def _score(self, rows: _Rows) -> _Rows:
        # The trees compare in single precision.
        flat, own = rows.reshape(len(rows), -1).astype(np.float32), self._arrays
        total = np.zeros(len(flat))
        every = np.arange(len(flat))
        for i in range(len(own["left"])):
            node = np.zeros(len(flat), np.int32)
            while (inner := own["left"][i, node] >= 0).any():
                below = flat[every, own["feature"][i, node]] <= own["threshold"][i, node]
                child = np.where(below, own["left"][i, node], own["right"][i, node])
                node = np.where(inner, child, node)
            total += own["length"][i, node]
        normal = float(average_path(np.array([own["drawn"]]))[0])
        scores: _Rows = 2 ** (-total / len(own["left"]) / normal) if normal else np.ones(len(flat))
        return scores


def average_path(n: NDArray[Any]) -> _Rows:
    """Return c(n), the mean length of an unsuccessful search in a binary tree of n rows: c(1) = 0, c(2) = 1.

    Examples
    --------
    >>> import numpy as np
    >>> average_path(np.array([1, 2, 256])).round(3)
    array([ 0.   ,  1.   , 10.245])
    """
    found = np.zeros(n.shape)
    found[n == 2] = 1
    many = n[n > 2].astype(np.float64)
    found[n > 2] = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return found
