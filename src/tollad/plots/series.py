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

# The most columns that are drawn, and the most points that a line across a page can show.
_MOST_PANELS, _MOST_POINTS = 4, 4000
# Width of the number above an alarm, as a share of the width of the picture and of its close-up.
_ROOM, _ROOM_CLOSE = 0.032, 0.1
# The most dates below the picture and below its close-up.
_MOST_DATES = (8, 5)
# A step this many times as long as the usual one leaves a gap.
_GAP = 1.5
# Letters of full size that fit beside a panel.
_LETTERS_BESIDE = 12
# Opacity of an alarm in the column that caused it, and in others.
_CAUSE, _ELSEWHERE = 0.35, 0.12
# Beyond this the upper limit of an axis would overflow.
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
    causes: Sequence[str | None] | None = None,
    overwrite: bool = True,
) -> None:
    """Draw a series above the scores of its time steps and their threshold, with alarms shaded and numbered.

    Where numbers would overlap, only that of the highest score is written. The alarm with the highest score is drawn
    again as a close-up, unless it is wide already.

    Parameters
    ----------
    series : array-like, (T, C)
        At most four columns are drawn: those that caused the most alarms, then the first ones. Values are clipped at
        1e100.
    scores : array-like of float, (T,)
        NaN for steps without a score.
    threshold : float or array-like of float, (T,)
        Steps with a higher score are anomalous. It may change from step to step.
    path, overwrite
        As in `score_distributions`.
    names : sequence of C str
        What to call the columns.
    alarms : array-like of bool, (T,), optional
        Steps that are part of an alarm; by default those above the threshold.
    time : array-like of float or datetime64, (T,), optional
        Ascending; by default the number of the row, from 1.
    time_name : str, default "row"
    causes : sequence of (str or None), optional
        The column that caused each alarm; the alarm is shaded most there.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the number of names, scores or times does not match the series, or the format is unknown.

    Examples
    --------
    >>> series = np.sin(np.arange(100) / 5)[:, None]
    >>> scores = np.where(np.arange(100) == 60, 3.0, 1.0)
    >>> scored_series(series, scores, 2.0, "series.png", names=["pressure"])
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
    stretches = np.flatnonzero(np.diff(alarm, prepend=False, append=False)).reshape(-1, 2)
    blamed = [None] * len(stretches) if causes is None else list(causes)
    shown = _panels(names, blamed)
    n_columns, names, values = len(names), [names[column] for column in shown], values[:, shown]
    views = [slice(0, len(at)), *_close_up(stretches, heights)]
    figure = new_figure(9.0, 2.4 + 1.2 * len(names))
    panels = figure.subplots(
        len(names) + 1, len(views), sharex="col", sharey="row", squeeze=False, width_ratios=[2.6, 1][: len(views)]
    )
    for view, column in zip(views, panels.T, strict=True):
        for axes, name, line in zip(column, [*names, None], [*values.T, heights], strict=True):
            for (begin, end), cause in zip(stretches, blamed, strict=True):
                if begin < view.stop and end > view.start:
                    alpha = _CAUSE if name is None or cause is None or cause == name else _ELSEWHERE
                    # The edge keeps an alarm visible that is narrower than a pixel.
                    axes.axvspan(at[begin], at[end - 1], color=ANOMALY, alpha=alpha, linewidth=0.8)
            axes.plot(*_thinned(*_broken(at[view], line[view])), color=NORMAL, linewidth=0.8)
            axes.set_xlim(at[view][0], at[view][-1])
            axes.spines[["top", "right"]].set_visible(False)
        moves = limits.min() < limits.max()
        text = "threshold" if moves else f"threshold {limits[0]:.3g}"
        column[-1].plot(*_thinned(at[view], limits[view]), color=INK, linestyle="--", linewidth=1.0, label=text)
        _number_events(column[0], at, stretches, heights, view, _ROOM if view is views[0] else _ROOM_CLOSE)
    for axes, name in zip(panels[:, 0], [*map(as_label, names), "score"], strict=True):
        # A long name would run into that of the next panel.
        axes.set_ylabel(name, fontsize=max(5.0, min(10.0, _LETTERS_BESIDE * 10.0 / len(name))) if name else 10.0)
    # Only once: below a close-up the name would run into the date that its labels have in common.
    panels[-1, 0].set_xlabel(as_label(time_name))
    bottom, low = panels[-1, 0], min(float(np.nanmin(heights)), float(limits.min()))
    if low > 0 and np.nanmax(heights) / low > LOG_RATIO:
        bottom.set_yscale("log")
        number_decades(bottom.yaxis, np.log10(np.nanmax(heights) / low))
    # Above the axes, to cover no score.
    bottom.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize="small", borderaxespad=0, frameon=False)
    left_out = n_columns - len(names)
    more = f"; {left_out} more column{'s' * (left_out > 1)} not shown" if left_out else ""
    share = 100 * float(alarm.mean())
    text = f"{len(stretches):,} alarm{'s' * (len(stretches) != 1)}, {share:.2g} % of the time steps{more}"
    panels[0, 0].set_title(text, loc="left", fontsize="medium", pad=18)
    if len(views) > 1:
        panels[0, 1].set_title("the alarm of the highest score", loc="left", fontsize="medium", pad=18)
        if at.dtype.kind != "M":
            panels[-1, 1].locator_params(axis="x", nbins=4)
    if at.dtype.kind == "M":
        for axes, most in zip(panels[-1], _MOST_DATES, strict=False):
            _few_dates(axes.xaxis, most)
    save_figure(figure, path, picture, overwrite=overwrite)


def _close_up(stretches: NDArray[np.int64], scores: NDArray[np.float64]) -> list[slice]:
    """Return the time steps around the alarm with the highest score, or nothing if they are no small part of all."""
    if not len(stretches):
        return []
    begin, end = max(stretches.tolist(), key=lambda stretch: scores[slice(*stretch)].max())
    context = max(end - begin, len(scores) // 100)
    view = slice(max(0, begin - context), min(len(scores), end + context))
    return [view] if 4 * (view.stop - view.start) < len(scores) else []


def _few_dates(axis: Axis, most: int) -> None:
    """Label an axis with at most so many dates, so that they do not overlap."""
    from matplotlib import dates

    typed: Any = dates  # it has no annotations
    locator = typed.AutoDateLocator(minticks=2, maxticks=most)
    axis.set_major_locator(locator)
    axis.set_major_formatter(typed.ConciseDateFormatter(locator))


def _panels(names: Sequence[str], causes: Sequence[str | None]) -> list[int]:
    """Return the columns to draw, in order; of too many, those that caused the most alarms, then the first."""
    most = sorted(range(len(names)), key=lambda column: -causes.count(names[column]))
    return sorted(most[:_MOST_PANELS])


def _number_events(
    axes: Any, at: NDArray[Any], stretches: NDArray[np.int64], scores: NDArray[np.float64], view: slice, room: float
) -> None:
    """Write the numbers of the alarms above them; where some would overlap, only that of the highest score."""
    places = {
        number: (max(begin, view.start) + min(end, view.stop) - 1) // 2
        for number, (begin, end) in enumerate(stretches.tolist(), 1)
        if begin < view.stop and end > view.start
    }
    first, last = at[view][0], at[view][-1]
    written: list[float] = []
    for number in sorted(places, key=lambda number: -float(np.nanmax(scores[slice(*stretches[number - 1])]))):
        across = float((at[places[number]] - first) / (last - first)) if last > first else 0.0
        if all(abs(across - other) >= room for other in written):
            written.append(across)
            place, above = (at[places[number]], 1), {"ha": "center", "va": "bottom", "fontsize": "small"}
            axes.annotate(str(number), place, xycoords=("data", "axes fraction"), color=ANOMALY, **above)


def _broken(x: NDArray[Any], y: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return a line that is broken, by a NaN, where time steps are missing."""
    apart = np.diff(x).astype(np.float64)
    after = 1 + np.flatnonzero(apart > _GAP * np.median(apart)) if len(apart) else np.empty(0, np.int64)
    return np.insert(x, after, x[after - 1]), np.insert(y, after, np.nan)


def _thinned(x: NDArray[Any], y: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the visible points of a line: the lowest and the highest of each piece of it, and where it breaks."""
    if len(x) <= _MOST_POINTS:
        return x, y
    missing = np.isnan(y)
    breaks = np.flatnonzero(missing[1:] & ~missing[:-1]) + 1
    pieces = np.array_split(np.arange(len(x)), _MOST_POINTS // 2)
    ends = [
        place
        for piece in pieces
        if not missing[piece].all()
        for place in (piece[np.nanargmin(y[piece])], piece[np.nanargmax(y[piece])])
    ]
    seen = np.unique([*ends, *breaks])
    return x[seen], y[seen]
