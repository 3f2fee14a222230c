"""Where positions are interchangeable, as in textures, they are compared with good ones from anywhere.

Elsewhere each position is compared with good ones at the same position, see `tollad.images.levels.Positions`. Good
images decide which of the two applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tollad.images.heads import Floats
from tollad.images.levels import Positions, finest, folds, highest, laid_over, used_channels, whitening_of

_TINY = 1e-12
# Standard deviation, as a share of the grid, of the Gaussian that smooths the mean distance by position.
_SMOOTHED = 1 / 16
# The most good positions that are kept.
_MOST_KEPT = 10_000
# The least side of a grid whose inner half says whether positions are interchangeable.
_LEAST_SIDE = 4
# Where they are not, at least this share of the variance depends on the position, and what images have in common is at
# least so many standard deviations above what chance gives. Patches that overlap come to 4.8 and to a share of 0.011.
_LEAST_EXPLAINED, _LEAST_DEVIATIONS = 0.015, 4.0


@dataclass(frozen=True)
class NearestPositions:
    """Distance of the whitened features of each position to the nearest of random positions of good images.

    After Roth et al. ("PatchCore", 2022), with whitened features, and random rows in place of a coreset. The grid is
    half as fine as the finest one of the features.

    Attributes
    ----------
    names : tuple of str
        Names of the feature maps that are concatenated.
    channels : ndarray of int64, (c,)
        Which of their features are used: all, or 256 random ones.
    mean : ndarray of float32, (c,)
    whitening : ndarray of float32, (c, c)
        Symmetric, for rows of features less their mean.
    rows : ndarray of float32, (r, c)
        Whitened features of at most 10,000 positions of good images.
    units : ndarray of float32, (h, w)
        Mean distance of good images to the rows of other images, by position, smoothed.
    """

    names: tuple[str, ...]
    channels: NDArray[np.int64]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    rows: NDArray[np.float32]
    units: NDArray[np.float32]

    @classmethod
    def fit(cls, positions: Mapping[str, NDArray[Any]]) -> tuple[Self, Floats]:
        """Fit to good images, (n, h, w, c) by name; return it, with units of 1, and distances to other images."""
        names, channels = tuple(positions), used_channels(positions)
        size = _half(finest(positions, names))
        maps = laid_over(positions, names, channels, size)
        whitening = whitening_of(maps.reshape(-1, maps.shape[3]))
        bare = cls(
            names,
            channels,
            whitening.mean.astype(np.float32),
            whitening.matrix().astype(np.float32),
            np.zeros((0, maps.shape[3]), np.float32),
            np.ones(size, np.float32),
        )
        whitened = np.stack([bare._whitened(image) for image in maps])
        n_cells = size[0] * size[1]
        kept = np.sort(np.random.default_rng(0).permutation(len(maps) * n_cells)[:_MOST_KEPT])
        fitted = replace(bare, rows=whitened.reshape(-1, maps.shape[3])[kept])
        distances = [
            fitted._nearest(image, np.where(kept // n_cells == number, np.inf, fitted._halves).astype(np.float32))
            for number, image in enumerate(whitened)
        ]
        return fitted, np.stack(distances).reshape(-1, *size)

    def __call__(self, positions: Mapping[str, NDArray[Any]]) -> Floats:
        """Return distances divided by `units`: (n, h, w, c) by name -> (n, *units.shape)."""
        size = self.units.shape
        distances = np.empty((len(positions[self.names[0]]), *size))
        for number in range(len(distances)):
            one = {name: positions[name][number : number + 1] for name in self.names}
            # One product for each image: in a product of several, the last bits of a row depend on its index.
            (whitened,) = self.whitened(one)
            distances[number] = self._nearest(whitened.reshape(-1, len(self.mean)), self._halves).reshape(size)
        return distances / self.units

    def whitened(self, positions: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return whitened features: (n, h, w, c) by name -> (n, *units.shape, c)."""
        maps = laid_over(positions, self.names, self.channels, (self.units.shape[0], self.units.shape[1]))
        return self._whitened(maps).reshape(maps.shape)

    def _whitened(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        centred: NDArray[np.float32] = image.reshape(-1, len(self.mean)) - self.mean
        return centred @ self.whitening

    @cached_property
    def _halves(self) -> NDArray[np.float32]:
        """Half the squared lengths of the rows."""
        halves: NDArray[np.float32] = np.square(self.rows).sum(1) / 2
        return halves

    def _nearest(self, whitened: NDArray[np.float32], halves: NDArray[np.float32]) -> Floats:
        """Return the distance of each row to the nearest of `rows`; `halves` are those of the rows."""
        # Rounding hardly matters for which row is nearest. Its distance is computed row by row.
        near = whitened @ self.rows.T
        near -= halves
        distances: Floats = np.sqrt(np.square(whitened - self.rows[near.argmax(1)], dtype=np.float64).sum(1))
        return distances

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for the model file."""
        return {name: getattr(self, name) for name in ("channels", "mean", "whitening", "rows", "units")}


def from_arrays(
    names: tuple[str, ...], unit: float, arrays: Mapping[str, NDArray[Any]]
) -> Positions | NearestPositions:
    """Return the level of positions of the arrays of a model file."""
    if "rows" in arrays:
        return NearestPositions(names, **arrays)
    return Positions.from_arrays(names, unit, arrays)


def fit_positions(positions: Mapping[str, NDArray[Any]]) -> tuple[Positions | NearestPositions, float, Floats]:
    """Fit the level of positions on good images.

    Parameters
    ----------
    positions : mapping of str to ndarray, (n, h, w, c)

    Returns
    -------
    level : Positions or NearestPositions
        The latter if the positions are interchangeable.
    unit : float
        Median of the scores of good images by a level that was not fitted on them.
    scores : ndarray of float64, (n,)
        These scores, divided by `unit`.
    """
    fitted: Positions | NearestPositions
    if are_interchangeable(positions):
        fitted, maps = NearestPositions.fit(positions)
    else:
        fitted = Positions.fit(positions)
        maps = np.empty((len(next(iter(positions.values()))), *fitted.units.shape))
        for held in folds(len(maps)):
            fold = Positions.fit({name: one[~held] for name, one in positions.items()})
            maps[held] = fold({name: one[held] for name, one in positions.items()})
    smoothed = gaussian_filter(maps.mean(0), _SMOOTHED * max(fitted.units.shape), mode="nearest")
    units = np.maximum(_TINY, smoothed).astype(np.float32)
    scores = highest(maps / units)
    unit = max(_TINY, float(np.median(scores)))
    return replace(fitted, units=units), unit, scores / unit


def are_interchangeable(positions: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether the position says nothing about its features in good images, (n, h, w, c) by name.

    With x_i the features of image i less their mean over its positions, ``sum_{i != j} <x_i, x_j>`` is 0 on average if
    the position says nothing, however few the images are, with a variance near ``2 sum_{i != j} <x_i, x_j>^2``. Only
    the inner half of the finest grid counts, since the edge is seen in features of any image.
    """
    names = tuple(positions)
    size = finest(positions, names)
    height, across = _half(size)
    if min(height, across) < _LEAST_SIDE:
        return False
    name = next(name for name in names if positions[name].shape[1:3] == size)
    maps = laid_over(positions, (name,), np.arange(positions[name].shape[3]), (height, across)).astype(np.float64)
    inner = maps[:, height // 4 : height - height // 4, across // 4 : across - across // 4]
    inner = inner / np.maximum(_TINY, inner.std((0, 1, 2)))
    varied = (inner - inner.mean((1, 2), keepdims=True)).reshape(len(inner), -1)
    products = varied @ varied.T
    own = np.trace(products)
    np.fill_diagonal(products, 0)
    alike = products.sum()
    is_certain = alike >= _LEAST_DEVIATIONS * np.sqrt(2 * np.square(products).sum())
    return not (is_certain and alike >= _LEAST_EXPLAINED * (len(inner) - 1) * own)


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)
