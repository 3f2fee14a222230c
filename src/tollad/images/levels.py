"""Levels: scores of the whole image (for other kinds of objects) and of positions in it (for defects), and their join.

No labels are used. The scores of a level are divided by their median over good images that it was not fitted on, in
five folds. So are distances of positions, by their mean at each position, see `tollad.images.positions`. The score of
an image is the geometric mean over levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from sklearn.covariance import ledoit_wolf_shrinkage
from torch.nn import functional

from tollad.detector.whitening import Whitening
from tollad.images.heads import HEADS, Floats, Head

N_FOLDS = 5
# Images whose positions are scored together, to bound memory.
_BLOCK = 4
HIGHEST = 0.02
_TINY = 1e-12
# The most features of a position, and the most rows for the covariance of all positions.
_MOST_CHANNELS, _MOST_ROWS = 256, 20_000
# The least variance of a feature in a neighbourhood, as a share of that over all positions.
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Whole:
    """A head over features of a whole image, and the unit of its scores.

    Attributes
    ----------
    name : str
        Name of the level in the representation.
    kind : str
        Name of the head in `tollad.images.heads.HEADS`.
    head : Head
    unit : float
        Median of the scores of good images.
    """

    name: str
    kind: str
    head: Head
    unit: float

    def score(self, rows: NDArray[Any]) -> Floats:
        """Return scores divided by `unit`: (n, d) -> (n,)."""
        return self.head.score(rows) / self.unit

    def split(self, rows: NDArray[Any]) -> Floats:
        """Return the parts of these scores by feature: (n, d) -> (n, d)."""
        return self.head.split(rows)[1] / self.unit


def fit_whole(name: str, kind: str, rows: NDArray[Any], fit: Callable[[NDArray[Any]], Head]) -> tuple[Whole, Floats]:
    """Fit a level on good images; return it with the scores of these images, divided by its unit.

    Parameters
    ----------
    name, kind
        As in `Whole`.
    rows : ndarray, (n, ...)
    fit : callable
        Fits a head to rows.

    Returns
    -------
    level : Whole
    scores : ndarray of float64, (n,)
        The score of each image by a head that was not fitted on it. Not so for the autoencoder, for which it would take
        five times as long.
    """
    head = fit(rows)
    if kind == "collapse":
        scores = head.score(rows)
    else:
        scores = np.empty(len(rows))
        for held in folds(len(rows)):
            scores[held] = fit(rows[~held]).score(rows[held])
    unit = max(_TINY, float(np.median(scores)))
    return Whole(name, kind, head, unit), scores / unit


@dataclass(frozen=True)
class Positions:
    """Mahalanobis distances of the features of each position from those of good images at the same position.

    After Defard et al. ("PaDiM", 2021), with two changes. A neighbourhood of 2 x 2 positions or more shares a
    covariance, so that there are at most 256. And covariances are shrunk (Ledoit and Wolf, 2004) towards that of all
    positions, not towards a multiple of the identity.

    Attributes
    ----------
    names : tuple of str
        Names of the feature maps that are concatenated, on the finest of their grids.
    channels : ndarray of int64, (c,)
        Which of their features are used: all, or 256 random ones.
    mean : ndarray of float32, (h, w, c)
        Mean of good images, by position.
    factors : ndarray of float32, (g, c, c)
        Cholesky factors of the inverse covariances divided by c, neighbourhoods in row-major order.
    units : ndarray of float32, (h, w)
        Mean distance of good images that it was not fitted on, by position, smoothed. Without it some positions would
        be brighter in every map, such as those near an edge.
    """

    names: tuple[str, ...]
    channels: NDArray[np.int64]
    mean: NDArray[np.float32]
    factors: NDArray[np.float32]
    units: NDArray[np.float32]

    @classmethod
    def fit(cls, positions: Mapping[str, NDArray[Any]]) -> Self:
        """Fit to good images, (n, h, w, c) by name, with units of 1."""
        channels = used_channels(positions)
        maps = laid_over(positions, tuple(positions), channels)
        _, height, across, width = maps.shape
        rows = maps.reshape(-1, width)
        spread = whitening_of(rows).matrix()
        # Another whitening of the same covariance: a triangular one gives triangular factors.
        whitening = np.linalg.cholesky(spread @ spread.T)
        mean = maps.mean(0, dtype=np.float64).astype(np.float32)
        side = side_of(height, across)
        factors = []
        for top in range(0, height, side):
            for left in range(0, across, side):
                near = np.s_[top : top + side, left : left + side]
                offsets = (maps[(slice(None), *near)] - mean[near]).reshape(-1, width).astype(np.float64)
                factors.append(_factor(offsets @ whitening, whitening))
        return cls(tuple(positions), channels, mean, np.stack(factors), np.ones((height, across), np.float32))

    def __call__(self, positions: Mapping[str, NDArray[Any]]) -> Floats:
        """Return distances divided by `units`: (n, h, w, c) by name -> (n, h, w)."""
        height, across, width = self.mean.shape
        side = side_of(height, across)
        grid = -(-height // side), -(-across // side)
        n = len(positions[self.names[0]])
        distances = np.empty((n, height, across))
        for start in range(0, n, _BLOCK):
            some = {name: positions[name][start : start + _BLOCK] for name in self.names}
            maps = laid_over(some, self.names, self.channels)
            padded = np.zeros((len(maps), grid[0] * side, grid[1] * side, width), np.float32)
            padded[:, :height, :across] = maps - self.mean
            near = padded.reshape(-1, grid[0], side, grid[1], side, width).transpose(1, 3, 0, 2, 4, 5)
            # One product for each image: in a product of several, the last bits of a row depend on its index.
            products = near.reshape(len(self.factors), -1, side**2, width) @ self.factors[:, None]
            squares = np.square(products).sum(3, dtype=np.float64)
            whole = squares.reshape(*grid, -1, side, side).transpose(2, 0, 3, 1, 4).reshape(padded.shape[:3])
            distances[start : start + len(maps)] = np.sqrt(whole[:, :height, :across])
        return distances / self.units

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for the model file; of the factors only the lower triangles."""
        rows, columns = np.tril_indices(self.factors.shape[1])
        packed = self.factors[:, rows, columns]
        return {"channels": self.channels, "mean": self.mean, "factors": packed, "units": self.units}

    @classmethod
    def from_arrays(cls, names: tuple[str, ...], unit: float, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the level of the arrays of a model file; older files have one unit for all positions."""
        mean, packed = arrays["mean"], arrays["factors"]
        width = mean.shape[2]
        factors = np.zeros((len(packed), width, width), np.float32)
        factors[:, *np.tril_indices(width)] = packed
        units = arrays["units"] if "units" in arrays else np.full(mean.shape[:2], unit)
        return cls(names, arrays["channels"], mean, factors, units)


def _factor(whitened: Floats, whitening: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return F such that ``||x @ F||^2`` is the squared distance of a difference x, from whitened ones, (m, c).

    F is lower triangular if the whitening, (c, c), is.
    """
    width = whitened.shape[1]
    shrinkage = ledoit_wolf_shrinkage(whitened, assume_centered=True)
    covariance = (1 - shrinkage) * whitened.T @ whitened / len(whitened)
    covariance.flat[:: width + 1] += shrinkage * np.square(whitened).mean() + _LEAST_SHARE / width
    # With rows and columns reversed, the inverse of the Cholesky factor becomes a lower triangular root of the inverse.
    inverse, _ = lapack.dtrtri(np.linalg.cholesky(covariance[::-1, ::-1]), lower=1)
    return (whitening @ inverse.T[::-1, ::-1] / math.sqrt(width)).astype(np.float32)


def side_of(height: int, across: int) -> int:
    """Return the side of a neighbourhood in positions, so that there are at most 16 x 16 neighbourhoods."""
    return max(2, -(-max(height, across) // 16))


def laid_over(
    positions: Mapping[str, NDArray[Any]],
    names: tuple[str, ...],
    channels: NDArray[np.int64],
    size: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Concatenate feature maps on one grid, by default their finest: (n, h, w, c) by name -> (n, *size, c)."""
    size = finest(positions, names) if size is None else size
    parts = []
    for name in names:
        maps = positions[name]
        if maps.shape[1:3] != size:
            moved = torch.tensor(maps).permute(0, 3, 1, 2)
            moved = functional.interpolate(moved, size=list(size), mode="bilinear", align_corners=False)
            maps = moved.permute(0, 2, 3, 1).numpy()
        parts.append(maps)
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, 3)
    used = joined if len(channels) == joined.shape[3] else joined[..., channels]
    return np.ascontiguousarray(used, np.float32)


def finest(positions: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> tuple[int, int]:
    """Return the size of the finest grid of feature maps, (n, h, w, c) by name."""
    height, across = max((positions[name].shape[1:3] for name in names), key=lambda sides: sides[0] * sides[1])
    return height, across


def used_channels(positions: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return the features of a position that are used: all, or 256 random ones."""
    width = sum(maps.shape[3] for maps in positions.values())
    if width <= _MOST_CHANNELS:
        return np.arange(width)
    return np.sort(np.random.default_rng(0).permutation(width)[:_MOST_CHANNELS])


def whitening_of(rows: NDArray[Any]) -> Whitening:
    """Return the whitening of features of positions, (m, c), from 20,000 to 40,000 of them if there are more."""
    return Whitening.fit(rows[:: max(1, len(rows) // _MOST_ROWS)])


def enlarged(maps: Floats, size: tuple[int, ...]) -> Floats:
    """Return maps, (n, h, w), linearly enlarged to a size, (n, *size)."""
    if maps.shape[1:] == tuple(size):
        return maps
    grown = functional.interpolate(torch.tensor(maps)[:, None], size=list(size), mode="bilinear", align_corners=False)
    result: Floats = grown[:, 0].numpy()
    return result


def highest(maps: Floats) -> Floats:
    """Return the mean of the highest 2 % of each map, at least one value: (n, h, w) -> (n,)."""
    values = np.sort(maps.reshape(len(maps), -1), axis=1)
    most = max(1, round(HIGHEST * values.shape[1]))
    result: Floats = values[:, -most:].mean(1)
    return result


def folds(n: int) -> list[NDArray[np.bool_]]:
    """Return the masks, (n,), of five folds: every fifth image, so that nothing is random."""
    return [np.arange(n) % N_FOLDS == fold for fold in range(N_FOLDS)]


def fit_head(kind: str, seed: int, collapse: Mapping[str, Any]) -> Callable[[NDArray[Any]], Head]:
    """Return the function that fits a head of this name."""
    if kind == "collapse":
        return lambda rows: HEADS[kind].fit(rows, seed, **collapse)
    return lambda rows: HEADS[kind].fit(rows, seed)
