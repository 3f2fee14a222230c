"""Windows of series, which are the rows of a detector, and scores of time steps from scores of windows.

The score of a step is the mean score of the windows that cover it. A window is anomalous wherever in it the anomaly is.
So the mean is highest at the anomaly, where all windows contain it, while the maximum of the scores would be as high up
to a window away on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_window", "score_steps", "step_scores", "window_starts", "windows"]

# From windows, (n, C, window), to their scores, (n,).
Score: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float64]]

# By default so many windows cover a time step: enough for smooth mean scores.
_COVERS, _MOST_WINDOWS = 16, 20_000
_WINDOW = 64
_SHORTEST_PERIOD, _LONGEST_PERIOD, _LEAST_CORRELATION = 16, 128, 0.5
# Values of windows that are scored together: 32 MB as float64.
_BLOCK_VALUES = 1 << 22


def windows(series: ArrayLike, window: int, stride: int = 1) -> NDArray[Any]:
    """Cut a series into windows.

    Parameters
    ----------
    series : array-like, (T,) or (T, C)
        Rows are time steps.
    window : int, 1 to T
        Steps in a window.
    stride : int, 1 to `window`, default 1
        Steps from one window to the next. The last window always ends at the last step, so its distance to the one
        before may be smaller.

    Returns
    -------
    ndarray, (n, C, window)
        As ``TollDetector(network="conv1d")`` takes them. A read-only view of the series if the stride fits, otherwise a
        copy.

    Raises
    ------
    TypeError, ValueError
        For a window or stride out of range, or a series that is shorter than a window or has other axes.

    Examples
    --------
    >>> windows([1, 2, 3, 4, 5, 6], 3, stride=2)[:, 0].tolist()
    [[1, 2, 3], [3, 4, 5], [4, 5, 6]]
    """
    steps = np.asarray(series)
    if steps.ndim not in (1, 2) or 0 in steps.shape[1:]:
        raise ValueError(f"a series has shape (T,) or (T, C), time steps first, not {steps.shape}")
    starts = window_starts(len(steps), window, stride)
    every = np.lib.stride_tricks.sliding_window_view(steps.reshape(len(steps), -1), window, axis=0)
    even = (len(steps) - window) % stride == 0
    cut: NDArray[Any] = every[::stride] if even else every[starts]
    return cut


def window_starts(n_time_steps: int, window: int, stride: int = 1) -> NDArray[np.int64]:
    """Return the step, counted from 0, at which each window of a series begins: (n,), ascending.

    Parameters
    ----------
    n_time_steps : int
        T, the length of the series.
    window, stride : int
        As in `windows`.

    Raises
    ------
    TypeError, ValueError
        As `windows`.

    Examples
    --------
    >>> window_starts(10, window=4, stride=4)
    array([0, 4, 6])
    """
    check_window(window, stride)
    last = n_time_steps - window
    if last < 0:
        raise ValueError(f"the series has {n_time_steps} steps, fewer than a window of {window}; give a shorter window")
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def check_window(window: int, stride: int) -> None:
    """Raise TypeError or ValueError unless window and stride are integers in range.

    Parameters
    ----------
    window : int >= 1
    stride : int, 1 to `window`

    Examples
    --------
    >>> check_window(window=0, stride=1)
    Traceback (most recent call last):
    ValueError: window must be an integer >= 1, not 0
    """
    for name, value in (("window", window), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer >= 1, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be an integer >= 1, not {value}")
    if stride > window:
        raise ValueError(
            f"a stride of {stride} is longer than the window of {window}: no window would cover the steps in between; "
            f"give a stride of at most {window}"
        )


def step_scores(window_scores: ArrayLike, n_time_steps: int, window: int, stride: int = 1) -> NDArray[np.float64]:
    """Return the score of each time step: the mean score of the windows that cover it.

    Parameters
    ----------
    window_scores : array-like of float, (n,)
        Scores of ``windows(series, window, stride)``.
    n_time_steps : int
        T, the length of the series.
    window, stride : int
        As in `windows`.

    Returns
    -------
    ndarray of float64, (T,)

    Raises
    ------
    TypeError, ValueError
        As `windows`, and if the number of scores is not that of the windows.

    Examples
    --------
    >>> step_scores([1.0, 4.0], n_time_steps=4, window=3).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    starts, scores = window_starts(n_time_steps, window, stride), np.asarray(window_scores, dtype=np.float64)
    if scores.shape != starts.shape:
        raise ValueError(
            f"window_scores has shape {scores.shape}; a series of {n_time_steps} steps has {len(starts)} windows of "
            f"{window} with stride {stride}"
        )
    return mean_scores(starts, scores, window, 0, n_time_steps)


def score_steps(
    blocks: Iterable[NDArray[Any]], score: Score, window: int, stride: int = 1
) -> Iterator[NDArray[np.float64]]:
    """Score the time steps of a series block by block, with only a block and a window in memory.

    Parameters
    ----------
    blocks : iterable of ndarray, (m, C)
        Successive steps, with m >= 1.
    score : callable
        Windows, (n, C, window), to their scores, (n,): the method `TollDetector.anomaly_score`.
    window, stride : int
        As in `windows`.

    Yields
    ------
    ndarray of float64
        Scores of successive steps, equal to those of `step_scores`; one array for each block, which may be empty, and
        one at the end.

    Raises
    ------
    TypeError, ValueError
        As `windows`.

    Examples
    --------
    >>> blocks = np.array([[0.0], [0.0], [6.0]]), np.array([[0.0], [0.0]])
    >>> [scores.tolist() for scores in score_steps(blocks, lambda windows: windows.mean((1, 2)), window=2)]
    [[0.0], [1.5, 3.0], [1.5, 0.0]]
    """
    steps = MeanScores(score, window, stride)
    for block in blocks:
        yield steps.push(block)
    yield steps.finish()


class MeanScores:
    """Scores time steps block by block, each by the mean score of the windows that cover it.

    Parameters
    ----------
    score : callable
        Windows, (n, C, window), to their scores, (n,).
    window, stride : int
        As in `windows`.
    usual : float, optional
        At both ends of a series, where few windows cover a step, the score of those that are lacking.
    """

    def __init__(self, score: Score, window: int, stride: int = 1, usual: float | None = None) -> None:
        check_window(window, stride)
        self._score, self._window, self._stride, self._usual = score, window, stride, usual
        self._kept: NDArray[Any] = np.empty((0, 0))  # steps that later windows may cover
        self._first_kept = self._n_seen = self._n_done = self._next_start = 0
        # of the windows that cover unscored steps
        self._starts, self._scores = np.empty(0, np.int64), np.empty(0)

    def push(self, steps: NDArray[Any]) -> NDArray[np.float64]:
        """Take the next steps, (m, C) with m >= 1; return the scores of those that no later window covers, in order."""
        window = self._window
        self._kept = np.concatenate([self._kept, steps]) if len(self._kept) else steps
        self._n_seen += len(steps)
        new = np.arange(self._next_start, self._n_seen - window + 1, self._stride, dtype=np.int64)
        if len(new):
            self._add(new)
            self._next_start = int(new[-1]) + self._stride
        # The last window does not begin before this step, wherever the series ends.
        n_final = max(self._n_seen - window, 0)
        found = self._means(n_final)
        live = self._starts + window > n_final
        self._starts, self._scores = self._starts[live], self._scores[live]
        first = min(self._next_start, n_final)
        self._kept, self._first_kept = self._kept[first - self._first_kept :], first
        return found

    def finish(self) -> NDArray[np.float64]:
        """Return the scores of the remaining steps; ValueError if the series is shorter than a window."""
        last = window_starts(self._n_seen, self._window, self._stride)[-1:]
        if self._next_start - self._stride < last[0]:
            self._add(last)
        return self._means(self._n_seen)

    def _add(self, starts: NDArray[np.int64]) -> None:
        self._starts = np.append(self._starts, starts)
        scores = score_windows(self._score, self._kept, starts - self._first_kept, self._window)
        self._scores = np.append(self._scores, scores)

    def _means(self, end: int) -> NDArray[np.float64]:
        begin, self._n_done = self._n_done, end
        lacking = None if self._usual is None else (self._usual, self._window // self._stride)
        return mean_scores(self._starts, self._scores, self._window, begin, end, lacking)


class LastScores:
    """Scores each time step by the window that ends with it; later steps never change the score.

    Parameters
    ----------
    score, window
        As in `MeanScores`.
    """

    def __init__(self, score: Score, window: int) -> None:
        check_window(window, 1)
        self._score, self._window = score, window
        self.kept: NDArray[Any] = np.empty((0, 0))
        """The last steps, at most a window less one: all that the scores of later steps depend on."""

    def push(self, steps: NDArray[Any]) -> NDArray[np.float64]:
        """Take the next steps, (m, C) with m >= 1; return their scores, (m,), NaN before the first full window."""
        known = np.concatenate([self.kept, steps]) if len(self.kept) else steps
        starts = np.arange(max(0, len(known) - self._window + 1), dtype=np.int64)
        found = score_windows(self._score, known, starts, self._window) if len(starts) else np.empty(0)
        self.kept = known[max(0, len(known) - self._window + 1) :]
        return np.concatenate([np.full(len(steps) - len(found), np.nan), found])

    def finish(self) -> NDArray[np.float64]:
        """Return an empty array: every step has its score."""
        return np.empty(0)


def score_windows(score: Score, steps: NDArray[Any], starts: NDArray[np.int64], window: int) -> NDArray[np.float64]:
    """Return the scores of the windows of a series, (T, C), that begin at the steps `starts`."""
    if len(starts) == 1:  # a single window, as in a stream: a tenth of the time
        return score(np.ascontiguousarray(steps[starts[0] : starts[0] + window].T)[None])
    every = np.lib.stride_tricks.sliding_window_view(steps, window, axis=0)
    # Overlapping windows take many times the memory of their steps.
    size = max(1, _BLOCK_VALUES // every[0].size)
    parts = [starts[first : first + size] for first in range(0, len(starts), size)]
    return np.concatenate([score(np.ascontiguousarray(every[part])) for part in parts])


def mean_scores(
    starts: NDArray[np.int64],
    scores: NDArray[np.float64],
    window: int,
    first: int,
    end: int,
    lacking: tuple[float, int] | None = None,
) -> NDArray[np.float64]:
    """Return the mean scores of the windows that cover the steps from `first` to before `end`.

    At both ends of a series few windows cover a step. With `lacking`, a score and a number of windows, those that are
    fewer are filled up to this number with that score.
    """
    steps = np.arange(first, end)
    begin, stop = np.searchsorted(starts, steps - window, side="right"), np.searchsorted(starts, steps, side="right")
    sums = np.zeros(len(steps))
    # Not by differences of running sums, whose rounding depends on the whole series.
    for k in range(int((stop - begin).max(initial=0))):
        covers = begin + k < stop
        sums[covers] += scores[(begin + k)[covers]]
    n = stop - begin
    if lacking is not None:
        n_lacking = np.maximum(lacking[1] - n, 0)
        sums, n = sums + n_lacking * lacking[0], n + n_lacking
    return sums / n


def choose_window(stretches: Sequence[NDArray[np.float64]]) -> int:
    """Choose a window for stretches of a series, (T_i, C): near 64 steps, and whole periods if there is a clear one.

    At most a sixth of the longest stretch: the threshold needs three folds of at least two windows.
    """
    longest = max(stretches, key=len)
    period = period_of(longest)
    wanted = _WINDOW if period is None else period * max(1, round(_WINDOW / period))
    return max(1, min(wanted, len(longest) // 6))


def period_of(series: NDArray[np.float64]) -> int | None:
    """Return the period of a series, (T, C), in steps, if there is a clear one from 16 to 128 steps.

    It is the first lag at which the autocorrelation, as a mean over channels, has a peak of at least nine tenths of the
    highest one, if that is 0.5 or more. The series must contain six periods.

    Examples
    --------
    >>> period_of(np.sin(2 * np.pi * np.arange(600.0) / 50)[:, None])
    50
    """
    n = len(series)
    most = min(_LONGEST_PERIOD, n // 6)
    moved = series - series.mean(0)
    power = np.abs(np.fft.rfft(moved, 2 * n, axis=0)) ** 2
    raw = np.fft.irfft(power, axis=0)[: most + 2] / (n - np.arange(min(most + 2, n)))[:, None]
    varying = raw[0] > 0
    if most < _SHORTEST_PERIOD or not varying.any():
        return None
    correlation = (raw[:, varying] / raw[0, varying]).mean(1)
    lags = np.arange(_SHORTEST_PERIOD, most + 1)
    peaks = lags[(correlation[lags] >= correlation[lags - 1]) & (correlation[lags] > correlation[lags + 1])]
    if not len(peaks):
        return None
    highest = correlation[peaks].max()
    return int(peaks[correlation[peaks] >= 0.9 * highest][0]) if highest >= _LEAST_CORRELATION else None


def choose_stride(n_time_steps: int, window: int) -> int:
    """Choose the stride: a sixteenth of a window, or more if that gives over 20,000 windows."""
    return min(max(1, window // _COVERS, n_time_steps // _MOST_WINDOWS), max(1, window // 4))
