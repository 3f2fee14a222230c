"""The picture of a scored series."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.plots.style import (
    ANOMALY,
    INK,
    LOG_RATIO,
    NORMAL,
    as_label,
    new_figure,
    number_decades,
    picture_format,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axis import Axis

# Columns that have a panel each, alarms that are numbered, and points that a line across a page can show.
_MOST_PANELS, _MOST_NUMBERS, _MOST_POINTS = 4, 20, 4000
# Beyond it the room above a line of greatest numbers is no number any more.
_LARGEST = 1e100


def scored_series(
    series: ArrayLike,
    scores: ArrayLike,
    threshold: ArrayLike,
    path: str | os.PathLike[str],
    *,
    names: Sequence[str],
    alarms: ArrayLike | None = None,
    time: ArrayLike | None = None,
    time_name: str = "row",
    overwrite: bool = True,
) -> None:
    """Draw a series above the scores of its time steps and their threshold, the alarms shaded and numbered.

    The alarm of the highest score is drawn once more, large, unless it fills much of the picture anyway.

    Parameters
    ----------
    series : array-like, (T, C)
        Of more than four columns the first four are drawn. Values beyond 1e100 are drawn there.
    scores : array-like of float, (T,)
        NaN where a step has none.
    threshold : float or array-like of float, (T,)
        Steps above it are odd. It may move.
    path, overwrite
        As in `score_distributions`.
    names : sequence of C str
        What to call the columns.
    alarms : array-like of bool, (T,), optional
        Steps of an alarm; by default those above the threshold.
    time : array-like of float or datetime64, (T,), optional
        Ascending; by default the number of the row, from 1.
    time_name : str, default "row"

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If there is not a name for each column and a score and a time for each step, or the format is unknown.
    """
    values, heights = (np.clip(np.asarray(a, np.float64), -_LARGEST, _LARGEST) for a in (series, scores))
    limits = np.broadcast_to(np.asarray(threshold, np.float64), heights.shape)
    alarm = heights > limits if alarms is None else np.asarray(alarms, np.bool_)
    at = np.arange(1, 1 + len(heights)) if time is None else np.asarray(time)
    if values.shape != (len(heights), len(names)) or at.shape != heights.shape or not len(heights):
        raise ValueError(
            "the picture needs a name for each column and a score and a time for each step; the series is of shape "
            f"{values.shape}, with {len(names)} names, {len(heights)} scores and times of shape {at.shape}"
        )
    picture = picture_format(path)
    names = names[:_MOST_PANELS]
    odd = np.flatnonzero(np.diff(alarm, prepend=False, append=False)).reshape(-1, 2)
    views = [slice(0, len(at)), *_close_up(odd, heights)]
    figure = new_figure(9.0, 2.4 + 1.2 * len(names))
    panels = figure.subplots(
        len(names) + 1, len(views), sharex="col", sharey="row", squeeze=False, width_ratios=[2.6, 1][: len(views)]
    )
    for view, column in zip(views, panels.T, strict=True):
        for axes, line in zip(column, [*values.T[:_MOST_PANELS], heights], strict=True):
            for begin, end in odd:
                if begin < view.stop and end > view.start:
                    # The edge keeps a stretch visible that is narrower than a pixel.
                    axes.axvspan(at[begin], at[end - 1], color=ANOMALY, alpha=0.25, linewidth=0.8)
            axes.plot(*_thinned(at[view], line[view]), color=NORMAL, linewidth=0.8)
            axes.set_xlim(at[view][0], at[view][-1])
            axes.spines[["top", "right"]].set_visible(False)
        moves = len(limits) and limits.min() < limits.max()
        text = "threshold" if moves else f"threshold {limits[0]:.3g}"
        column[-1].plot(*_thinned(at[view], limits[view]), color=INK, linestyle="--", linewidth=1.0, label=text)
        _number_events(column[0], at, odd, view)
        column[-1].set_xlabel(as_label(time_name))
    for axes, name in zip(panels[:, 0], [*names, "score"], strict=True):
        axes.set_ylabel(as_label(name))
    bottom, low = panels[-1, 0], min(float(np.nanmin(heights)), float(limits.min()))
    if low > 0 and np.nanmax(heights) / low > LOG_RATIO:
        bottom.set_yscale("log")
        number_decades(bottom.yaxis, np.log10(np.nanmax(heights) / low))
    # Above the axes, where it covers no score.
    bottom.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize="small", borderaxespad=0, frameon=False)
    left_out = values.shape[1] - len(names)
    more = f"; {left_out} more column{'s' * (left_out > 1)} not shown" if left_out else ""
    share = 100 * float(alarm.mean())
    text = f"{len(odd):,} alarm{'s' * (len(odd) != 1)}, {share:.2g} % of the time steps{more}"
    panels[0, 0].set_title(text, loc="left", fontsize="medium")
    if len(views) > 1:
        panels[0, 1].set_title("the alarm of the highest score", loc="left", fontsize="medium")
        if at.dtype.kind != "M":
            panels[-1, 1].locator_params(axis="x", nbins=4)
        else:
            _few_dates(panels[-1, 1].xaxis)
    save_figure(figure, path, picture, overwrite=overwrite)


def _close_up(odd: NDArray[np.int64], scores: NDArray[np.float64]) -> list[slice]:
    """Return the part of a series around the stretch with the highest score, if it is a small part."""
    if not len(odd):
        return []
    top = max((int(begin + scores[begin:end].argmax()) for begin, end in odd), key=scores.__getitem__)
    for begin, end in odd.tolist():
        if begin <= top < end:
            context = max(end - begin, len(scores) // 100)
            view = slice(max(0, begin - context), min(len(scores), end + context))
            return [view] if 4 * (view.stop - view.start) < len(scores) else []
    return []


def _few_dates(axis: Axis) -> None:
    """Put few dates at an axis, so that they do not run into each other."""
    from matplotlib import dates

    typed: Any = dates  # it has no annotations
    locator = typed.AutoDateLocator(minticks=2, maxticks=4)
    axis.set_major_locator(locator)
    axis.set_major_formatter(typed.ConciseDateFormatter(locator))


def _number_events(axes: Any, at: NDArray[Any], odd: NDArray[np.int64], view: slice) -> None:
    """Write the numbers of the alarms above them, unless they are too many to be read."""
    seen = [(number, begin, end) for number, (begin, end) in enumerate(odd.tolist(), 1)]
    seen = [(number, begin, end) for number, begin, end in seen if begin < view.stop and end > view.start]
    if len(seen) > _MOST_NUMBERS:
        return
    for number, begin, end in seen:
        middle = at[(max(begin, view.start) + min(end, view.stop) - 1) // 2]
        axes.annotate(
            str(number),
            (middle, 1),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize="small",
            color=ANOMALY,
        )


def _thinned(x: NDArray[Any], y: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the points of a line that can be seen: the lowest and the highest of each piece of it."""
    if len(x) <= _MOST_POINTS:
        return x, y
    pieces = np.array_split(np.arange(len(x)), _MOST_POINTS // 2)
    seen = np.unique([place for piece in pieces for place in (piece[y[piece].argmin()], piece[y[piece].argmax()])])
    return x[seen], y[seen]
