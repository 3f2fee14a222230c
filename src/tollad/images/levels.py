"""Levels: the whole image (is it another kind of thing?) and places in it (where is a defect?), and how to join them.

No label is used. Each level is measured in units of good images that it was not fitted on, five folds in turn, so that
the median of them has 1; the score of an image is the geometric mean over its levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tollad.images.heads import HEADS, Floats, Head, Whitening

N_FOLDS = 5
_HIGHEST = 0.02
_TINY = 1e-12


@dataclass(frozen=True)
class Whole:
    """A head over the numbers of a whole image, and the unit of its scores.

    Attributes
    ----------
    name : str
        Of the level, as the representation calls it.
    kind : str
        Name of the head in `tollad.images.heads.HEADS`.
    head : Head
    unit : float
        Median of its scores of good images.
    """

    name: str
    kind: str
    head: Head
    unit: float

    def score(self, rows: NDArray[Any]) -> Floats:
        """Return scores in units of good images: (n, d) -> (n,)."""
        return self.head.score(rows) / self.unit

    def split(self, rows: NDArray[Any]) -> Floats:
        """Return the parts of the scores by number, in the same units: (n, d) -> (n, d)."""
        return self.head.split(rows)[1] / self.unit


def fit_whole(name: str, kind: str, rows: NDArray[Any], fit: Callable[[NDArray[Any]], Head]) -> tuple[Whole, Floats]:
    """Fit a level on good images, and return it with their scores in its units.

    Parameters
    ----------
    name, kind
        As of `Whole`.
    rows : ndarray, (n, ...)
    fit : callable
        From rows to a head.

    Returns
    -------
    level : Whole
    scores : ndarray of float64, (n,)
        Of each image by a head that was not fitted on it. The autoencoder would take five times as long so: its scores
        are those of the images that it was fitted on.
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
class Place:
    """How far the numbers of each place lie from those of good images.

    Attributes
    ----------
    name : str
    whitening : Whitening
        Of the numbers of all places together, after `middle` is subtracted.
    middle : ndarray of float64, (h, w, c) or (1, 1, c)
        Mean of each place, if objects lie always alike; else zeros.
    unit : float
        Mean distance of good places.
    """

    name: str
    whitening: Whitening
    middle: Floats
    unit: float

    @classmethod
    def fit(cls, name: str, maps: NDArray[Any], *, is_aligned: bool) -> Self:
        """Learn from good images, (n, h, w, c)."""
        n, height, width, _ = maps.shape
        middle = maps.mean(0, dtype=np.float64) if is_aligned else np.zeros((1, 1, maps.shape[3]))
        whitening = Whitening.fit((maps - middle).reshape(n * height * width, -1))
        level = cls(name, whitening, middle, 1.0)
        return cls(name, whitening, middle, max(_TINY, float(level(maps).mean())))

    def __call__(self, maps: NDArray[Any]) -> Floats:
        """Return distances in units of good places: (n, h, w, c) -> (n, h, w)."""
        distances = np.empty(maps.shape[:3])
        for number, image in enumerate(maps):
            rows = (image - self.middle).reshape(-1, image.shape[-1])
            whitened = self.whitening(rows, len(rows))
            distances[number] = np.sqrt(np.square(whitened).sum(1)).reshape(image.shape[:2])
        return distances / self.unit

    def surprise(self, maps: NDArray[Any]) -> float:
        """Return the mean negative log-density of places of other good images, but for a constant."""
        squares = np.square(self(maps) * self.unit).mean() * len(self.whitening.mean)
        return float(squares + self.whitening.log_volume())


def fit_places(places: Mapping[str, NDArray[Any]]) -> tuple[list[Place], float, Floats]:
    """Fit the levels of places on good images.

    Whether a place has a mean of its own (parts that lie always alike) or all have one (texture), decides which of the
    two expects the places of held-out good images more.

    Parameters
    ----------
    places : mapping of str to ndarray, (n, h, w, c)

    Returns
    -------
    levels : list of Place
    unit : float
        Median of the scores of held-out images.
    scores : ndarray of float64, (n,)
        Of each image by levels that were not fitted on it, in that unit.
    """
    n = len(next(iter(places.values())))
    first = folds(n)[0]
    aligned = {}
    for name, maps in places.items():
        apart = (Place.fit(name, maps[~first], is_aligned=choice) for choice in (False, True))
        surprises = [level.surprise(maps[first]) for level in apart]
        aligned[name] = surprises[1] < surprises[0]
    scores = np.empty(n)
    for held in folds(n):
        levels = [Place.fit(name, maps[~held], is_aligned=aligned[name]) for name, maps in places.items()]
        scores[held] = highest(joined_map(levels, {name: maps[held] for name, maps in places.items()}))
    unit = max(_TINY, float(np.median(scores)))
    levels = [Place.fit(name, maps, is_aligned=aligned[name]) for name, maps in places.items()]
    return levels, unit, scores / unit


def joined_map(levels: list[Place], places: Mapping[str, NDArray[Any]]) -> Floats:
    """Return the mean of the levels' maps on the finest of their grids: (n, h, w)."""
    maps = [level(places[level.name]) for level in levels]
    finest = max((one.shape[1:] for one in maps), key=lambda sides: sides[0] * sides[1])
    joined: Floats = np.mean([enlarged(one, finest) for one in maps], axis=0)
    return joined


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
    most = max(1, round(_HIGHEST * values.shape[1]))
    result: Floats = values[:, -most:].mean(1)
    return result


def folds(n: int) -> list[NDArray[np.bool_]]:
    """Return five masks, (n,), of which each image is in one: every fifth image, so that none depends on a draw."""
    return [np.arange(n) % N_FOLDS == fold for fold in range(N_FOLDS)]


def fit_head(kind: str, seed: int, collapse: Mapping[str, Any]) -> Callable[[NDArray[Any]], Head]:
    """Return what fits a head of this name."""
    if kind == "collapse":
        return lambda rows: HEADS[kind].fit(rows, seed, **collapse)
    return lambda rows: HEADS[kind].fit(rows, seed)
