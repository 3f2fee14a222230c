"""Nearest: the distance to the nearest training row, the third term of the score."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.detector.preparation import Preparation
from tollad.detector.settings import Settings
from tollad.tables.large import Rows, take

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

# At most this many values in an array of differences, 8 MB as float64, and in the products of a view, 1 MB, so that
# they stay in a cache.
_MOST_VALUES, _MOST_PRODUCTS = 1 << 20, 1 << 18
# See `Nearest`: the number of neighbors whose mean distance is s(r), its least share of s_mean, and the neighbor whose
# distance is t(r).
_N_AROUND, _LEAST_SHARE, _REACHED = 5, 0.25, 2
# Number of rows that are compared with all others at once.
_ROWS = 256
# Distances that differ by less than this share of their size are equal: rounding must not choose between them.
EQUALLY_NEAR = 1e-9


@dataclass(frozen=True)
class _Searched:
    """Tensors for a search: the row r nearest to x has the largest ``x r - ||r||^2 / 2``.

    Products are in single precision, at half the cost. Where they are too close, double precision decides.
    """

    weight: Tensor  # (n_views, d + 1, k): r, and below it -||r||^2 / 2, which a 1 appended to x adds at no cost
    radius: Floats  # (n_views,), the largest norm of a row
    # Rounding may swap two products that differ by less than this times the square of the norm of x plus the radius.
    rounding: np.float32

    @classmethod
    def of(cls, views: Floats) -> _Searched:
        squares = np.square(views).sum(2)
        weight = np.concatenate([views.swapaxes(1, 2), squares[:, None] / -2], 1, dtype=np.float32)
        rounding = 2 * math.sqrt(views.shape[2] + 5) * np.finfo(np.float32).eps
        return cls(torch.from_numpy(weight), np.sqrt(squares.max(1)), rounding)


@dataclass(frozen=True, eq=False)
class Nearest:
    """Some training rows that are kept, and the distance of other rows to the nearest of them in each view.

    The distance is ``max(||x - r||_2, t(r)) (1 + s_mean / s(r)) / 2``. t(r) is the distance of the kept row r to the
    second nearest of the other kept rows. So nothing is near to a row that lies alone: the training rows may hold a few
    anomalies. s(r) is the mean distance of r to the five nearest other kept rows, but at least a quarter of s_mean, its
    mean over all kept rows. So half of the distance counts as it is, and half relative to the density of rows around r.

    For windows of a series, which overlap, the distance is ``||x - r||_2``. Their nearest rows are the windows a step
    before and after, so their density only says how often the series pauses.

    Of several rows that are equally near, up to a billionth of the distance, the first of `views` is r.

    A row that equals a kept row is taken for that row and is not compared with itself, so that training rows have the
    same distances in the fit and later. Only a row that was drawn more than once is its own nearest.

    Attributes
    ----------
    rows : ndarray of float64, (r, ...)
        Training rows drawn at random, before `Preparation`.
    n_seen : int
        Number of training rows that they were drawn from.
    weight : float
        Weight of this term; the score of the members has weight 1.
    means : ndarray of float64, (n_views,)
        Divisor of the distances in each view: 1 for a single member; else their mean over the training rows, without
        those that are their own nearest.
    factors : ndarray of float64, (n_views, r)
        ``(1 + s_mean / s(r)) / 2``, between 1 / 2 and 5 / 2; 1 for windows.
    reaches : ndarray of float64, (n_views, r)
        ``t(r)``: the least distance of any row to this one; 0 for windows.
    views : ndarray of float64, (n_views, k, d)
        The rows as network inputs, flat, in each view. Equal rows stand there once.
    alone : ndarray of bool, (k,)
        Which of the k rows were drawn only once.
    first : ndarray of int64, (k,)
        Index of each of the k rows in `rows`.
    """

    rows: Floats
    n_seen: int
    weight: float
    means: Floats
    factors: Floats
    reaches: Floats
    views: Floats
    alone: NDArray[np.bool_]
    first: Indices
    _searched: _Searched = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_searched", _Searched.of(self.views))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_searched"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()  # these attributes follow from the rows and are not pickled

    @classmethod
    def of(
        cls,
        rows: Floats,
        n_seen: int,
        settings: Settings,
        preparation: Preparation,
        precision: torch.dtype,
        learnt: tuple[Floats, Floats, Floats] | None = None,
    ) -> Nearest:
        """Return the term of kept rows.

        Parameters
        ----------
        rows : ndarray of float64, (r, ...)
        n_seen
            As the attribute.
        settings : Settings
            They say the weight, and whether rows are windows.
        preparation : Preparation
        precision : torch.dtype
            Type of the network inputs, see `tollad.training.scoring.scoring_precision`.
        learnt : (means, factors, reaches), optional
            Values from a model file. By default the means are 1, until `in_units_of`, and the others follow from the
            rows.

        Raises
        ------
        ValueError
            If the factors or reaches of a file are not those of its rows.
        """
        views = torch.from_numpy(preparation.views(rows)).flatten(2).to(precision).double()
        shape = views.shape[:2]
        own = _surroundings(views) if settings.n_channels is None else (np.ones(shape), np.zeros(shape))
        means, factors, reaches = (np.ones(len(views)), *own) if learnt is None else learnt
        if not (
            np.allclose(own[0], factors, rtol=1e-6, atol=0)
            and np.allclose(own[1], reaches, rtol=1e-6, atol=1e-6 * own[1].max())
        ):
            raise ValueError("kept rows that are not those of its factors")
        flat = views.numpy()
        _, first, counts = np.unique(np.concatenate(flat, 1), axis=0, return_index=True, return_counts=True)
        weight = settings.neighbor_weight
        return cls(rows, n_seen, weight, means, factors, reaches, flat[:, first], counts == 1, first)

    @classmethod
    def draw(
        cls,
        rows: Rows,
        settings: Settings,
        preparation: Preparation,
        precision: torch.dtype,
        seed: int,
        before: Nearest | None = None,
    ) -> Nearest:
        """Draw training rows at random. All rows so far have the same chance.

        Parameters
        ----------
        rows : (n, ...)
            The rows of a fit, or of a later call of `partial_fit`.
        settings : Settings
            `neighbors` says how many rows to keep.
        preparation, precision
            As in `of`.
        seed : int
        before : Nearest, optional
            The result of the call before.

        Returns
        -------
        Nearest
            With `means` of 1.
        """
        n_before = 0 if before is None else before.n_seen
        generator = np.random.default_rng([seed, 2, n_before])
        n_kept = min(settings.neighbors, n_before + len(rows))
        n_old = 0 if before is None else min(generator.hypergeometric(n_before, len(rows), n_kept), len(before.rows))
        drawn = generator.choice(len(rows), min(n_kept - n_old, len(rows)), replace=False)
        kept = np.asarray(take(rows, np.sort(drawn))[:], dtype=np.float64)
        if before is not None:
            old = generator.choice(len(before.rows), n_old, replace=False)
            kept = np.concatenate([before.rows[np.sort(old)], kept])
        return cls.of(kept, n_before + len(rows), settings, preparation, precision)

    def in_units_of(self, means: Floats, shares: Floats) -> Nearest:
        """Return the term with distances divided by ``means / shares``.

        `means` are those of the training rows, where rows with an equal kept row count as 0; `shares` are the shares of
        the others. Both are (n_views,).
        """
        return replace(self, means=np.divide(means, shares, out=np.ones_like(means), where=shares > 0))

    @property
    def weights(self) -> Floats:
        """Factor of the distances of each view in the score: (n_views,)."""
        return self.weight / (len(self.means) * self.means)

    def find(self, x: Tensor) -> tuple[Floats, Floats]:
        """Return the nearest of the kept rows.

        Parameters
        ----------
        x : Tensor, (n_views or more, n, ...)
            Network inputs of the members of a stack, which take the views in turn.

        Returns
        -------
        distances : ndarray of float64, (n_views, n)
            The distances that the class describes, with their factors.
        nearest : ndarray of float64, (n_views, n, ...)
        """
        x = x[: len(self.views)]
        # For one row, calls cost more than products. So no call is made that would change nothing.
        flat = (x if x.ndim == 3 else x.flatten(2)).double().cpu().numpy()
        view = np.arange(len(flat))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not standardised may be too large
            size = max(1, _MOST_PRODUCTS // self.views.shape[1])
            parts = [self._index(flat[:, start : start + size]) for start in range(0, flat.shape[1], size)]
            index = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
            nearest, place = self.views[view, index], self.first[index]
            distances = np.maximum(_distance(flat, nearest), self.reaches[view, place]) * self.factors[view, place]
            return distances, nearest.reshape(x.shape)

    def _index(self, x: Floats) -> Indices:
        """Return the index of the nearest kept row for each row in each view: (n_views, n, d) to (n_views, n)."""
        n_views, n_rows, width = x.shape
        queries = np.ones((n_views, n_rows, width + 1), np.float32)
        queries[:, :, :-1] = x
        products = torch.bmm(torch.from_numpy(queries), self._searched.weight).numpy().reshape(n_views * n_rows, -1)
        view, rows = np.repeat(np.arange(n_views), n_rows), x.reshape(-1, width)
        index = self._best(view, rows, products)
        (itself,) = np.nonzero(self.alone[index] & (rows[:, 0] == self.views[view, index, 0]))
        if len(itself):
            itself = itself[(rows[itself] == self.views[view[itself], index[itself]]).all(1)]
        if len(itself):
            products[itself, index[itself]] = -np.inf
            index[itself] = self._best(view[itself], rows[itself], products[itself])
        return index.reshape(n_views, n_rows)

    def _best(self, view: Indices, x: Floats, products: NDArray[np.float32]) -> Indices:
        """Return the index of the largest exact product of each row, (m, d).

        The given products, (m, k), are rounded. They are overwritten: the largest of a row may become minus infinity.
        """
        at, index = np.arange(len(x)), products.argmax(1)
        best = products[at, index]
        products[at, index] = -np.inf
        second = products.max(1)
        reach = np.sqrt(np.square(x).sum(1)) + self._searched.radius[view]
        least = best - self._searched.rounding * np.square(reach)
        (unclear,) = np.nonzero(~(second < least))
        if len(unclear):
            products[unclear, index[unclear]] = best[unclear]
            candidates = ~(products[unclear] < least[unclear, None])
            index[unclear] = self._decided(view[unclear], x[unclear], candidates)
        return index

    def _decided(self, view: Indices, x: Floats, candidates: NDArray[np.bool_]) -> Indices:
        """Return for each row of a view the nearest of its candidates, (m, k); of several equally near, the first."""
        row, column = np.nonzero(candidates)
        size = max(1, _MOST_VALUES // x.shape[1])
        parts = []
        for start in range(0, len(row), size):
            some, others = row[start : start + size], column[start : start + size]
            parts.append(_distance(x[some], self.views[view[some], others]))
        distances, begin = np.concatenate(parts), np.searchsorted(row, np.arange(len(x)))
        least = np.minimum.reduceat(distances, begin)
        (nearest,) = np.nonzero(~(distances > least[row] * (1 + EQUALLY_NEAR)))
        return column[nearest[np.searchsorted(row[nearest], np.arange(len(x)))]]


def _distance(x: Floats, nearest: Floats) -> Floats:
    distance: Floats = np.sqrt(np.square(x - nearest).sum(-1))
    return distance


def _surroundings(views: Tensor) -> tuple[Floats, Floats]:
    """Return the factors and reaches of kept rows, (n_views, r, d) to (n_views, r) each."""
    views = views - views.mean(1, keepdim=True)
    n_around = min(_N_AROUND, views.shape[1] - 1)
    if n_around == 0:
        return np.ones(views.shape[:2]), np.zeros(views.shape[:2])
    distances = np.stack([torch.cat([_around(part, view, n_around) for part in view.split(_ROWS)]) for view in views])
    spread = distances.mean(2)
    mean = spread.mean(1, keepdims=True)
    least = np.maximum(spread, _LEAST_SHARE * mean)
    factors = (1 + np.divide(mean, least, out=np.ones_like(least), where=least > 0)) / 2
    return factors, np.ascontiguousarray(distances[:, :, min(_REACHED, n_around) - 1])


def _around(part: Tensor, view: Tensor, n: int) -> Tensor:
    """Return the distances of some rows of a view to their n nearest other rows, ascending."""
    # Products find the neighbors quickly. Their distances are computed anew: in products, digits cancel, and the rest
    # depends on the machine.
    index = torch.cdist(part, view).topk(n + 1, largest=False).indices
    return torch.linalg.vector_norm(part.unsqueeze(1) - view[index], dim=2).sort().values[:, 1:]
