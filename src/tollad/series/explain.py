"""Reasons for an alarm: the channel and the step of a window with the largest part of the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector


class Reason(TypedDict):
    """The largest part of a window's score."""

    channel: str
    lag: int
    seen: float
    expected: float
    reasons: tuple[str, ...]


def explain_window(detector: TollDetector, window: NDArray[np.float64], names: Sequence[str], most: int = 0) -> Reason:
    """Return the largest part of the score of one window.

    Parameters
    ----------
    detector : TollDetector
        Of the windows.
    window : ndarray, (C, w)
    names : sequence of C str
    most : int >= 0, default 0
        How many channels to describe in words.

    Returns
    -------
    Reason
        `lag` is the step of the window, from 0, at which that channel differs most from its reconstruction.
    """
    flat = len(detector.input_shape_) == 1
    explanation = detector.explain(window.reshape(1, -1) if flat else window[None])
    parts = explanation.parts.reshape(window.shape)
    expected = np.asarray(explanation.expected, np.float64).reshape(window.shape)
    by_channel = parts.sum(1)
    order = np.argsort(-by_channel, kind="stable")
    lags = parts.argmax(1)
    share = 100 * by_channel / explanation.scores[0]
    words = [
        f"{names[c]}: {window[c, lags[c]]:.4g}, expected about {expected[c, lags[c]]:.4g} "
        f"({share[c]:.0f} % of the score)"
        for c in order[:most].tolist()
    ]
    first = int(order[0])
    lag = int(lags[first])
    return Reason(
        channel=names[first],
        lag=lag,
        seen=float(window[first, lag]),
        expected=float(expected[first, lag]),
        reasons=tuple(words),
    )
