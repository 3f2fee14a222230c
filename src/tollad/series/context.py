"""Context: how far long windows of a series are from those of the fit, the second part of a step's score."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from tollad.calibration.checks import check_number
from tollad.detector.estimator import TollDetector
from tollad.detector.nearest import Nearest
from tollad.detector.preparation import Preparation
from tollad.detector.settings import Settings
from tollad.detector.validation import check_features
from tollad.io.artifact import under_prefix
from tollad.io.packed import JSON
from tollad.series.window import MeanScores, check_window, choose_stride, mean_scores, window_starts, windows
from tollad.tables.features import Features, column_names
from tollad.tables.fit_features import fit_features

Floats: TypeAlias = NDArray[np.float64]

# A long window is so many windows long, but at most this part of the longest stretch: as for windows, the threshold
# needs folds that hold some.
_N_WINDOWS, _PARTS = 4, 6
# At most this many values are kept, 16 MB, and learnt from, 128 MB.
_MOST_KEPT, _MOST_LEARNT = 1 << 21, 1 << 24
# Long windows of the fit that are compared with the kept ones at once.
_ROWS = 256
# Of the mean that joins the scores of a step. In files from before it was stored, it is 2.
_POWER, _POWERS = 4, (2, 4)
# Distances count as at least this much a value, in standard deviations, lest those of a series without noise be zero.
_LEAST = 0.01


@dataclass(frozen=True, eq=False)
class Context:
    """Long windows of the fit, and the distance of other long windows to the nearest of them.

    A window shows shapes. A shift or a trend that lasts longer than a window shows only in longer ones.

    Attributes
    ----------
    window, stride : int
    features : Features
        Standardises the values of each channel.
    nearest : Nearest
        The kept long windows, flat: channel by channel.
    scale : float
        Factor of the distances. It makes their mean over the long windows of the fit that of the scores of windows.
    usual : float
        That mean. At both ends of a series it stands for the long windows that would reach beyond;
        otherwise all steps from an anomaly to the end would score as high as the anomaly.
    power : {2, 4}
        Of the mean that joins the scores by windows and by long windows, see `joined`.
    """

    window: int
    stride: int
    features: Features
    nearest: Nearest
    scale: float
    usual: float
    power: int = _POWER

    @classmethod
    def learn(cls, stretches: Sequence[Floats], detector: TollDetector, window: int) -> Self | None:
        """Return the context for a detector of windows; None if the detector keeps no windows either.

        Parameters
        ----------
        stretches : sequence of ndarray, (T_i, C)
            What the detector was fitted on.
        detector : TollDetector
        window : int
            That of the detector.
        """
        if not detector.settings_.neighbors:
            return None
        longest = max(map(len, stretches))
        long = max(window, min(_N_WINDOWS * window, longest // _PARTS))
        stride = choose_stride(sum(map(len, stretches)), long)
        rows = np.concatenate([part for _, part in _learnt(stretches, long, stride)])
        n_channels = stretches[0].shape[1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "these columns are constant")  # the fit names the channels
            features = fit_features(rows, "standard", column_names(None, rows.shape[1]), n_channels=n_channels)
        n_kept = min(detector.settings_.neighbors, max(1, _MOST_KEPT // rows.shape[1]))
        settings = replace(detector.settings_, neighbors=n_kept, neighbor_weight=1.0, n_channels=n_channels)
        seed = detector.as_model().record.parameters["random_state"]
        nearest = Nearest.draw(rows, settings, _preparation(features), torch.float64, seed)
        usual = float(detector.training_scores_.mean())
        self = cls(long, stride, features, nearest, 1.0, usual)
        mean = max(self.score_windows(rows).mean(), _LEAST * math.sqrt(rows.shape[1]))
        return replace(self, scale=float(usual / mean))

    def held_out(self, series: Sequence[Sequence[Floats]]) -> list[list[Floats]]:
        """Return the scores of the steps of the fit by long windows that are elsewhere in the series.

        Each long window is compared with those of other stretches and those that do not overlap it. With those of a
        fold alone, which are far fewer, distances would be larger than those of new steps.

        Parameters
        ----------
        series : sequence of sequences of ndarray, (T_i, C)
            The stretches of each series of the fit.

        Returns
        -------
        list of lists of ndarray, (T_i,)
            NaN where there is none.
        """
        stretches = [steps for found in series for steps in found]
        known = _learnt(stretches, self.window, self.stride)
        starts = np.concatenate([part for part, _ in known])
        owner = np.repeat(np.arange(len(known)), [len(part) for part, _ in known])
        # As many as are kept, from all of the series.
        kept = np.linspace(0, len(owner) - 1, min(len(self.nearest.rows), len(owner))).astype(np.int64)
        starts, owner, rows = starts[kept], owner[kept], np.concatenate([part for _, part in known])[kept]
        others = self.features.transform(rows)[0]
        squares = np.square(others).sum(1)
        found = []
        for number, steps in enumerate(stretches):
            if len(steps) < self.window:
                found.append(np.full(len(steps), np.nan))
                continue
            cut, at = windows(steps, self.window, self.stride), window_starts(len(steps), self.window, self.stride)
            scores = np.empty(len(at))
            for first in range(0, len(at), _ROWS):
                block = slice(first, first + _ROWS)
                x = self.features.transform(cut[block].reshape(len(at[block]), -1))[0]
                squared = np.square(x).sum(1)[:, None] + squares - 2 * (x @ others.T)
                near = (owner == number) & (np.abs(at[block, None] - starts) < self.window)
                least = np.where(near, np.inf, squared).min(1)
                scores[block] = np.where(least < np.inf, np.sqrt(np.maximum(least, 0)), np.nan)
            lacking = self.usual, self.window // self.stride
            found.append(mean_scores(at, self.scale * scores, self.window, 0, len(steps), lacking))
        each = iter(found)
        return [[next(each) for _ in part] for part in series]

    def score_windows(self, cut: NDArray[Any]) -> Floats:
        """Return the scores of long windows, (n, C, window), of finite numbers: (n,)."""
        rows = self.features.transform(cut.reshape(len(cut), -1))
        return self.scale * self.nearest.find(torch.from_numpy(rows))[0][0]

    def scorer(self) -> MeanScores:
        """Return an object that scores successive time steps by long windows alone."""
        return MeanScores(self.score_windows, self.window, self.stride, self.usual)

    def saved(self) -> tuple[dict[str, JSON], dict[str, NDArray[Any]]]:
        """Return plain values and arrays for a file."""
        plain: dict[str, JSON] = {
            "window": self.window,
            "stride": self.stride,
            "scale": self.scale,
            "usual": self.usual,
            "power": self.power,
            "n_seen": self.nearest.n_seen,
        }
        arrays = {f"features.{name}": array for name, array in self.features.arrays().items()}
        return plain, arrays | {"rows": self.nearest.rows}

    @classmethod
    def of_saved(cls, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], settings: Settings) -> Self:
        """Return what was saved; ValueError or TypeError if the parts are not valid or do not fit together.

        `settings` are those of the detector of windows.
        """
        window, stride, scale, usual, n_seen = (
            plain[name] for name in ("window", "stride", "scale", "usual", "n_seen")
        )
        power = plain.get("power", min(_POWERS))
        if power not in _POWERS:
            raise ValueError(f"long windows that are joined by the power {power!r:.40}")
        check_window(window, stride)
        features, rows = Features.from_arrays(under_prefix(arrays, "features.")), arrays["rows"]
        width = len(features.fill)
        if rows.dtype != np.float64 or rows.shape[1:] != (width,) or width % window or not np.isfinite(rows).all():
            raise ValueError("kept long windows of another shape or kind than their constants")
        check_features(features, (width,), width)
        if type(n_seen) is not int or not 0 < len(rows) <= n_seen:
            raise ValueError(f"kept long windows of {n_seen!r:.40}")
        for name, value in (("scale", scale), ("usual", usual)):
            check_number(value, name)
            if value < 0:
                raise ValueError(f"long windows with a {name} of {value!r}")
        settings = replace(settings, neighbor_weight=1.0, n_channels=width // window)
        nearest = Nearest.of(rows, n_seen, settings, _preparation(features), torch.float64)
        return cls(window, stride, features, nearest, float(scale), float(usual), power)


class JointScores:
    """Scores time steps block by block, each by its score by windows and that by long windows, see `joined`.

    The steps of a series that is shorter than a long window have their score by windows alone.

    Parameters
    ----------
    windows : MeanScores
    context : Context
    """

    def __init__(self, windows: MeanScores, context: Context) -> None:
        self._windows, self._context = windows, context.scorer()
        self._longest, self._power = context.window, context.power
        self._n_seen = 0
        self._by_windows = self._by_context = np.empty(0)  # of steps that lack the other score

    def push(self, steps: NDArray[Any]) -> Floats:
        """Take the next steps, (m, C) with m >= 1; return the scores of those that are final, in order."""
        self._n_seen += len(steps)
        return self._joined(self._windows.push(steps), self._context.push(steps))

    def finish(self) -> Floats:
        """Return the scores of the remaining steps; ValueError if the series is shorter than a window."""
        rest = self._windows.finish()
        if self._n_seen < self._longest:
            return np.concatenate([self._by_windows, rest])
        return self._joined(rest, self._context.finish())

    def _joined(self, by_windows: Floats, by_context: Floats) -> Floats:
        self._by_windows = np.concatenate([self._by_windows, by_windows])
        self._by_context = np.concatenate([self._by_context, by_context])
        n = min(len(self._by_windows), len(self._by_context))
        found = joined(self._by_windows[:n], self._by_context[:n], self._power)
        self._by_windows, self._by_context = self._by_windows[n:], self._by_context[n:]
        return found


def joined(by_windows: Floats, by_context: Floats, power: int) -> Floats:
    """Return the power mean of two scores of each step, (m,); the first where the second is NaN.

    So what stands out in one of them stands out: at power 4, nearly as much where the other sees nothing. The power is
    2 or 4, by squares and roots only, whose last bits do not depend on the other steps.
    """
    larger, smaller = np.maximum(by_windows, by_context), np.minimum(by_windows, by_context)
    mean = np.divide(smaller, larger, out=np.zeros_like(larger), where=larger > 0) ** 2
    if power == 4:
        mean = mean**2
    mean = np.sqrt((1 + mean) / 2)
    if power == 4:
        mean = np.sqrt(mean)
    return np.where(np.isnan(by_context), by_windows, larger * mean)


def _learnt(stretches: Sequence[Floats], window: int, stride: int) -> list[tuple[NDArray[np.int64], Floats]]:
    """Return the long windows that are learnt from: the starts, (n,), and flat values, (n, d), of each stretch."""
    width = window * stretches[0].shape[1]
    lengths = [max(0, len(steps) - window) // stride for steps in stretches]
    every = math.ceil((sum(lengths) + len(lengths)) * width / _MOST_LEARNT)
    found = []
    for steps in stretches:
        whole = len(steps) >= window
        starts = window_starts(len(steps), window, stride)[::every] if whole else np.empty(0, np.int64)
        cut = windows(steps, window, stride)[::every] if whole else np.empty((0, width))
        found.append((starts, cut.reshape(len(cut), width)))
    return found


def _preparation(features: Features) -> Preparation:
    return Preparation(features, (), None, 1, 1)
