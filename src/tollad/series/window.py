"""Series: windows of them, which a detector takes for rows, and the scores of windows back as scores of time steps.

A step has the mean score of the windows that cover it. Each window in which something odd happens is odd, wherever in
it that is; so the mean is highest where all windows agree, at the odd stretch itself, while the highest of the scores
would mark a whole window on either side of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_window", "score_steps", "step_scores", "window_starts", "windows"]

# Values of the windows that are scored together: 32 MB as float64.
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
        Steps from one window to the next. The last window ends at the last step whatever the stride, so it may begin
        sooner after the one before.

    Returns
    -------
    ndarray, (n, C, window)
        What ``TollDetector(network="conv1d")`` takes. A read-only view of the series where the stride comes out even,
        otherwise a copy.

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


def window_starts(n_steps: int, window: int, stride: int = 1) -> NDArray[np.int64]:
    """Return the step, counted from 0, at which each window of a series begins: (n,), ascending.

    Raises
    ------
    TypeError, ValueError
        As `windows`.
    """
    check_window(window, stride)
    last = n_steps - window
    if last < 0:
        raise ValueError(f"the series has {n_steps} steps, fewer than a window of {window}; give a shorter window")
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def check_window(window: int, stride: int) -> None:
    """Raise TypeError or ValueError for a window or a stride that cannot be."""
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


def step_scores(window_scores: ArrayLike, n_steps: int, window: int, stride: int = 1) -> NDArray[np.float64]:
    """Return the score of each time step: the mean score of the windows that cover it.

    Parameters
    ----------
    window_scores : array-like of float, (n,)
        Scores of ``windows(series, window, stride)``.
    n_steps : int
        T, the length of the series.
    window, stride : int
        As in `windows`.

    Returns
    -------
    ndarray of float64, (T,)

    Raises
    ------
    TypeError, ValueError
        As `windows`, and if there is not one score for each window.

    Examples
    --------
    >>> step_scores([1.0, 4.0], n_steps=4, window=3).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    starts, scores = window_starts(n_steps, window, stride), np.asarray(window_scores, dtype=np.float64)
    if scores.shape != starts.shape:
        raise ValueError(
            f"window_scores has shape {scores.shape}; a series of {n_steps} steps has {len(starts)} windows of "
            f"{window} with stride {stride}"
        )
    return _means(starts, scores, window, 0, n_steps)


def score_steps(
    blocks: Iterable[NDArray[Any]], score: Callable[[NDArray[Any]], NDArray[np.float64]], window: int, stride: int = 1
) -> Iterator[NDArray[np.float64]]:
    """Score the time steps of a series that comes block by block, keeping no more of it than a block and a window.

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
        Scores of the steps that follow, those of `step_scores`; one array a block, perhaps empty, and one at the end.

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
    check_window(window, stride)
    kept: NDArray[Any] = np.empty((0, 0))  # steps that windows still to come may cover
    first_kept = n_seen = n_done = next_start = 0
    starts, scores = np.empty(0, np.int64), np.empty(0)  # of the windows that cover steps still to be yielded
    for block in blocks:
        kept = np.concatenate([kept, block]) if len(kept) else block
        n_seen += len(block)
        new = np.arange(next_start, n_seen - window + 1, stride, dtype=np.int64)
        if len(new):
            starts = np.append(starts, new)
            scores = np.append(scores, _scored(score, kept, new - first_kept, window))
            next_start = int(new[-1]) + stride
        # Wherever the series ends, its last window begins no sooner than this.
        n_final = max(n_seen - window, 0)
        yield _means(starts, scores, window, n_done, n_final)
        n_done = n_final
        live = starts + window > n_done
        starts, scores = starts[live], scores[live]
        kept, first_kept = kept[min(next_start, n_done) - first_kept :], min(next_start, n_done)
    last = window_starts(n_seen, window, stride)[-1:]
    if next_start - stride < last[0]:
        starts = np.append(starts, last)
        scores = np.append(scores, _scored(score, kept, last - first_kept, window))
    yield _means(starts, scores, window, n_done, n_seen)


def _scored(
    score: Callable[[NDArray[Any]], NDArray[np.float64]], steps: NDArray[Any], starts: NDArray[np.int64], window: int
) -> NDArray[np.float64]:
    """Return the scores of the windows that begin at some of the steps, (T, C)."""
    every = np.lib.stride_tricks.sliding_window_view(steps, window, axis=0)
    # Windows that overlap are many times as large as their steps.
    size = max(1, _BLOCK_VALUES // every[0].size)
    parts = [starts[first : first + size] for first in range(0, len(starts), size)]
    return np.concatenate([score(np.ascontiguousarray(every[part])) for part in parts])


def _means(
    starts: NDArray[np.int64], scores: NDArray[np.float64], window: int, first: int, end: int
) -> NDArray[np.float64]:
    """Return the mean scores of the windows that cover the steps from `first` to before `end`."""
    steps = np.arange(first, end)
    begin, stop = np.searchsorted(starts, steps - window, side="right"), np.searchsorted(starts, steps, side="right")
    sums = np.zeros(len(steps))
    # Summed window by window, not as a difference of running sums, whose rounding would depend on all of the series.
    for k in range(int((stop - begin).max(initial=0))):
        covers = begin + k < stop
        sums[covers] += scores[(begin + k)[covers]]
    return sums / (stop - begin)
