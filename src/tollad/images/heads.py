"""Heads: how far an image, or a place of it, lies from good ones, by the numbers that a representation gives.

All but the autoencoder on pixels first whiten, so that directions in which good images differ count less. Whitening is
symmetric, so that each number keeps its meaning, and a score splits exactly into parts by number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage

from tollad.detector.estimator import TollDetector

Floats = NDArray[np.float64]

N_NEIGHBOURS = 5
# Ridge of the whitening before neighbours are looked for, in mean variances.
_RIDGE = 1.0
_MOST_NEIGHBOURS = 10_000
# Rows of one matrix product: always as many, the last ones filled up, so that a row's result never depends on others.
_BLOCK = 16
_LEAST_VARIANCE = 1e-12


class Head(Protocol):
    """A distance from good rows: fitted once, never changed."""

    def split(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return the score of each row, (n,), >= 0, and its parts by number, (n, d), which add up to at most it."""
        ...

    def score(self, rows: NDArray[Any]) -> Floats:
        """Return the score of each row, (n,), high = anomalous: (n, d) -> (n,)."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a model file has to hold."""
        ...


@dataclass(frozen=True)
class Whitening:
    """``(x - mean) @ C^(-1/2) / sqrt(d)`` with the covariance C of Ledoit and Wolf (2004), shrunk without labels.

    Directions in which the rows do not vary all have one variance, so only the others are kept.

    Attributes
    ----------
    mean : ndarray of float64, (d,)
    directions : ndarray of float64, (r, d)
        Eigenvectors of the covariance, as float32 holds them.
    gains : ndarray of float64, (r,)
        What is added to `rest` along each of them.
    rest : ndarray of float64, ()
        What all other directions are multiplied by.
    """

    mean: Floats
    directions: Floats
    gains: Floats
    rest: Floats

    @classmethod
    def fit(cls, rows: NDArray[Any], ridge: float = 0.0) -> Self:
        """Learn from rows, (n, d), n >= 2; `ridge` is added to all variances, in units of their mean."""
        x = np.asarray(rows, np.float64)
        mean = x.mean(0)
        n, width = x.shape
        shrinkage = ledoit_wolf_shrinkage(x - mean, assume_centered=True)
        if n > width:
            variances, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / n)
        else:  # in all directions that are left out the rows do not vary
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

    def __call__(self, rows: NDArray[Any], size: int = _BLOCK) -> Floats:
        """Return whitened rows, `size` of them in one product: (n, d) -> (n, d)."""
        whitened = np.empty(rows.shape, np.float64)
        for chosen, block in _blocks(rows, size):
            centred = block - self.mean
            along = (centred @ self.directions.T) * self.gains
            whitened[chosen] = (self.rest * centred + along @ self.directions)[: len(rows[chosen])]
        return whitened

    def matrix(self) -> Floats:
        """Return what a centred row is multiplied by: (d, d)."""
        return self.rest * np.eye(len(self.mean)) + (self.directions.T * self.gains) @ self.directions

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a model file has to hold."""
        return {**vars(self), "directions": self.directions.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the whitening that `arrays` told of."""
        return cls(**{name: array.astype(np.float64) for name, array in arrays.items()})


@dataclass(frozen=True)
class LedoitWolf:
    """The Mahalanobis distance from the mean of good rows, over sqrt(d): about 1 for them. At once."""

    whitening: Whitening

    @classmethod
    def fit(cls, rows: NDArray[Any], seed: int) -> Self:
        """Learn from good rows, (n, d)."""
        return cls(Whitening.fit(rows))

    def score(self, rows: NDArray[Any]) -> Floats:
        return _length(self.whitening(rows))

    def split(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        whitened = self.whitening(rows)
        return _shares(whitened)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return self.whitening.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the head that `arrays` told of."""
        return cls(Whitening.from_arrays(arrays))


@dataclass(frozen=True)
class Nearest:
    """The mean distance to the 5 nearest good rows, all half whitened: for good rows of several sorts.

    At most 10,000 rows are kept.
    """

    whitening: Whitening
    rows: NDArray[np.float32]

    @classmethod
    def fit(cls, rows: NDArray[Any], seed: int) -> Self:
        """Learn from good rows, (n, d)."""
        if len(rows) > _MOST_NEIGHBOURS:
            rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), _MOST_NEIGHBOURS, replace=False))]
        whitening = Whitening.fit(rows, _RIDGE)
        return cls(whitening, whitening(rows).astype(np.float32))

    def score(self, rows: NDArray[Any]) -> Floats:
        return np.concatenate([_length(offsets).mean(1) for offsets in self._offsets(rows)])

    def split(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        blocks = [_shares(offsets) for offsets in self._offsets(rows)]
        scores, parts = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return scores.mean(1), parts.mean(1)

    def _offsets(self, rows: NDArray[Any]) -> list[Floats]:
        """Return where each row lies from its nearest ones, by block: (b, 5, d)."""
        whitened = self.whitening(rows)
        squares = np.square(self.rows, dtype=np.float64).sum(1)
        found = []
        for chosen, block in _blocks(whitened, _BLOCK):
            # Which rows are nearest needs no last digit; how far they are is then computed row by row.
            products = (block.astype(np.float32) @ self.rows.T)[: len(rows[chosen])]
            most = min(N_NEIGHBOURS, len(self.rows))
            places = np.argpartition(squares - 2 * products, most - 1, axis=1)[:, :most]
            found.append(whitened[chosen, None] - self.rows[np.sort(places, axis=1)])
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {**self.whitening.arrays(), "rows": self.rows}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the head that `arrays` told of."""
        rest = dict(arrays)
        rows = rest.pop("rows")
        return cls(Whitening.from_arrays(rest), rows)


@dataclass(frozen=True)
class Collapse:
    """Denoising collapse over whitened rows, or over pixels as they are: the score of a `tollad.TollDetector`."""

    whitening: Whitening | None
    detector: TollDetector

    @classmethod
    def fit(cls, rows: NDArray[Any], seed: int, **parameters: Any) -> Self:
        """Learn from good rows, (n, d), or images, (n, C, H, W), with parameters of a `TollDetector`."""
        whitening = Whitening.fit(rows) if rows.ndim == 2 else None
        given = rows if whitening is None else whitening(rows) * np.sqrt(rows.shape[1])
        # Rows that are kept would make a file of images many times as large.
        own: dict[str, Any] = {"neighbors": 0} if whitening is None else {"neighbors": 0, "preprocess": None}
        detector = TollDetector(**{**own, **parameters}, random_state=seed).fit(given)
        return cls(whitening, detector)

    def _given(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows if self.whitening is None else self.whitening(rows) * np.sqrt(rows.shape[1])

    def score(self, rows: NDArray[Any]) -> Floats:
        return self.detector.anomaly_score(self._given(rows))

    def split(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        explanation = self.detector.explain(self._given(rows))
        return explanation.scores, explanation.parts

    def arrays(self) -> dict[str, NDArray[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "inner.tollad")
            self.detector.save(path)
            inner = np.frombuffer(path.read_bytes(), np.uint8)
        whitening = {} if self.whitening is None else self.whitening.arrays()
        return {**whitening, "detector": inner}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the head that `arrays` told of."""
        rest = dict(arrays)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "inner.tollad")
            path.write_bytes(rest.pop("detector").tobytes())
            detector = TollDetector.load(path)
        return cls(Whitening.from_arrays(rest) if rest else None, detector)


HEADS: dict[str, Any] = {"ledoit_wolf": LedoitWolf, "nearest": Nearest, "collapse": Collapse}


def _blocks(rows: NDArray[Any], size: int) -> Iterator[tuple[slice, Floats]]:
    """Cut rows, (n, d), into blocks of always as many, the last one filled up with zeros."""
    for start in range(0, len(rows), size):
        chosen = slice(start, min(start + size, len(rows)))
        block = np.zeros((size, *rows.shape[1:]))
        block[: len(rows[chosen])] = rows[chosen]
        yield chosen, block


def _length(rows: Floats) -> Floats:
    """Return the length along the last axis."""
    length: Floats = np.sqrt(np.square(rows).sum(-1))
    return length


def _shares(rows: Floats) -> tuple[Floats, Floats]:
    """Return the length of each row and the share of each number in it, ``r_j^2 / ||r||``, which add up to it."""
    length = _length(rows)
    return length, np.divide(np.square(rows), length[..., None], out=np.zeros_like(rows), where=length[..., None] > 0)
