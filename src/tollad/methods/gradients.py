"""Oriented gradients of small images, judged as by `tollad.ImageDetector`: by their distance, or by collapse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tollad.images.gradients import oriented_gradients
from tollad.images.heads import HEADS
from tollad.methods.base import Comparator, Watched

_LEAST_SIDE = 16
_BRIGHTEST = 255.0


@dataclass(kw_only=True, eq=False)
class Gradients(Comparator):
    """A distance of the oriented gradients of an image, see `tollad.images.gradients`, from those of normal images.

    The gradients are whitened with the covariance of Ledoit and Wolf (2004). No label is used, and nothing is chosen.
    It is ours, not of the paper: what ``ImageDetector("gradients", head=...)`` scores.

    Parameters
    ----------
    head : {"ledoit_wolf", "collapse"}
        "ledoit_wolf" is the length of the whitened gradients, and takes no training. "collapse" is the score of a
        `tollad.TollDetector` with its defaults that is trained on them.

    Raises
    ------
    ValueError
        In `fit`, for rows that are no images of at least 16 x 16 pixels.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (30, 1, 28, 28))
    >>> Gradients().fit(images).anomaly_score(images).shape
    (30,)
    """

    head: Literal["ledoit_wolf", "collapse"] = "ledoit_wolf"

    title: ClassVar[str] = "Gradients"

    def _fit(self, rows: NDArray[np.float64], watched: Watched) -> None:
        if rows.ndim != 4 or min(rows.shape[2:]) < _LEAST_SIDE:
            raise ValueError(f"{self.title} takes images of 16 x 16 or more, not rows of shape {rows.shape[1:]}")
        if len(rows) < 2:
            raise ValueError(f"{self.title} needs 2 images at least, for a covariance")
        self._judge = HEADS[self.head].fit(_seen(rows), self.seed)

    def _score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._judge.score(_seen(rows))
        return scores

    def _fitted(self) -> Mapping[str, NDArray[Any]]:
        return self._judge.arrays()

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        self._judge = HEADS[self.head].from_arrays(fitted)


def _seen(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return oriented_gradients(images / _BRIGHTEST).reshape(len(images), -1).astype(np.float64)
