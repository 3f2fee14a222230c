"""Heads: the distance of features from those of good images.

All except the autoencoder on pixels first whiten the features, so that directions in which good images vary count less.
The whitening is symmetric, so each whitened feature stays close to the original one, and a score splits exactly into
parts by feature.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tollad.detector.estimator import TollDetector
from tollad.detector.whitening import Whitening
from tollad.training.product import Product

Floats = NDArray[np.float64]

N_NEIGHBOURS = 5
# Ridge of the whitening for nearest neighbours, in units of the mean variance.
_RIDGE = 1.0
_MOST_NEIGHBOURS = 10_000
# Rows whose offsets to their neighbours are held at once.
_BLOCK = 256


class Head(Protocol):
    """A distance from good rows; immutable once fitted."""

    def split(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return the score of each row, (n,), >= 0, and its parts by feature, (n, d), which add up to at most it."""
        ...

    def score(self, rows: NDArray[Any]) -> Floats:
        """Return the score of each row, (n,), high = anomalous: (n, d) -> (n,)."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for the model file."""
        ...


@dataclass(frozen=True)
class LedoitWolfHead:
    """The Mahalanobis distance from the mean of good rows, divided by sqrt(d): about 1 for good rows. No training."""

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
        """Return the head of the arrays of a model file."""
        return cls(Whitening.from_arrays(arrays))


@dataclass(frozen=True)
class NearestHead:
    """The mean distance to the 5 nearest good rows after whitening with a ridge: for good rows of several kinds.

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
        """Yield the differences of each row to its nearest good rows, block by block: (b, 5, d)."""
        whitened = self.whitening(rows)
        squares, most = np.square(self.rows, dtype=np.float64).sum(1), min(N_NEIGHBOURS, len(self.rows))
        times_good, found = Product(self.rows.T), []
        for start in range(0, len(rows), _BLOCK):
            block = whitened[start : start + _BLOCK]
            # In single precision, the nearest are found. Their distances are computed in double precision.
            nearest = np.argpartition(squares - 2 * times_good(block), most - 1, axis=1)[:, :most]
            found.append(block[:, None] - self.rows[np.sort(nearest, axis=1)])
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {**self.whitening.arrays(), "rows": self.rows}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the head of the arrays of a model file."""
        rest = dict(arrays)
        rows = rest.pop("rows")
        return cls(Whitening.from_arrays(rest), rows)


@dataclass(frozen=True)
class CollapseHead:
    """The score of a `tollad.TollDetector` on whitened rows, or on pixels."""

    whitening: Whitening | None
    detector: TollDetector

    @classmethod
    def fit(cls, rows: NDArray[Any], seed: int, **parameters: Any) -> Self:
        """Learn from good rows, (n, d), or images, (n, C, H, W), with parameters of a `TollDetector`."""
        whitening = Whitening.fit(rows) if rows.ndim == 2 else None
        given = rows if whitening is None else whitening(rows) * np.sqrt(rows.shape[1])
        # Kept rows would make the file of a model of images many times larger.
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
        """Return the head of the arrays of a model file."""
        rest = dict(arrays)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "inner.tollad")
            path.write_bytes(rest.pop("detector").tobytes())
            detector = TollDetector.load(path)
        return cls(Whitening.from_arrays(rest) if rest else None, detector)


HEADS: dict[str, Any] = {"ledoit_wolf": LedoitWolfHead, "nearest": NearestHead, "collapse": CollapseHead}


def _length(rows: Floats) -> Floats:
    """Return the length along the last axis."""
    length: Floats = np.sqrt(np.square(rows).sum(-1))
    return length


def _shares(rows: Floats) -> tuple[Floats, Floats]:
    """Return the length of each row, and its parts by feature, ``r_j^2 / ||r||``, which add up to the length."""
    length = _length(rows)
    return length, np.divide(np.square(rows), length[..., None], out=np.zeros_like(rows), where=length[..., None] > 0)
