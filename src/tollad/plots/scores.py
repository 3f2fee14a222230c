"""Pictures of scores: their distributions, their parts by column, and their two terms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tollad import metrics
from tollad.plots.style import (
    ANOMALY,
    INK,
    LOG_RATIO,
    NEUTRAL,
    NORMAL,
    as_label,
    new_figure,
    number_decades,
    picture_format,
    save_figure,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tollad.detector.explain import Explanation

_BINS = 40
# The least distance, as a share of the axes, at which labels of two lines of equal score do not overlap.
_LEAST_HEIGHT = 0.08


def score_distributions(
    normal_scores: ArrayLike,
    anomaly_scores: ArrayLike,
    threshold: float,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
) -> None:
    """Draw histograms of the scores of normal rows and of anomalies, and the threshold.

    Each histogram adds up to 100 %, so that a few anomalies can be seen beside many normal rows. The axis is
    logarithmic if the scores span decades.

    Parameters
    ----------
    normal_scores, anomaly_scores : array-like of float, (n,) and (m,)
        Anomaly scores, high = anomalous; neither may be empty.
    threshold : float
        Scores above it are alarms.
    path : path
        The picture; its ending determines the format.
    overwrite : bool, default True
        Whether an existing file may be replaced.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If one of the groups is empty, a score is not finite, or the format is unknown.
    OSError
        If the file cannot be written, see `tollad.io.files.atomic_write`.

    Examples
    --------
    >>> score_distributions([1.0, 1.2, 1.5, 1.1], [4.0, 5.0], threshold=2.0, path="scores.png")
    """
    normals, anomalies = np.asarray(normal_scores, dtype=np.float64), np.asarray(anomaly_scores, dtype=np.float64)
    scores = np.concatenate([normals, anomalies])
    if not len(normals) or not len(anomalies) or not np.isfinite(scores).all():
        raise ValueError("the picture needs finite scores of both normal rows and anomalies")
    picture = picture_format(path)
    labels = np.repeat([0, 1], [len(normals), len(anomalies)])
    figure = new_figure()
    axes = figure.subplots()
    logarithmic = min(low := float(scores.min()), threshold) > 0 and scores.max() / low > LOG_RATIO
    if logarithmic:
        axes.set_xscale("log")
        number_decades(axes.xaxis, np.log10(scores.max() / low))
    spaced = np.geomspace(low, scores.max(), _BINS + 1) if logarithmic else np.histogram_bin_edges(scores, _BINS)
    edges = spaced.tolist()
    for values, colour, name in ((normals, NORMAL, "normal rows"), (anomalies, ANOMALY, "anomalies")):
        shares = np.full(len(values), 100 / len(values))
        axes.hist(values, edges, weights=shares, color=colour, alpha=0.45, label=f"{name} ({len(values):,})")
        axes.hist(values, edges, weights=shares, color=colour, histtype="step", linewidth=1.2)
    axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2)
    # Above the axes, where it covers no bar.
    top = axes.get_xaxis_transform()
    axes.annotate(
        f"threshold {threshold:.3g}", (threshold, 1), (0, 3), top, "offset points", ha="center", va="bottom", color=INK
    )
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("share of the group (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([], linestyle="none", label=f"AUROC {metrics.auroc(labels, scores):.3f}")
    # Outside, since the histograms may fill the axes.
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save_figure(figure, path, picture, overwrite=overwrite)


def reason_bars(
    explanation: Explanation,
    row: int,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    most: int = 10,
    overwrite: bool = True,
) -> None:
    """Draw the parts of one row's score as bars: the largest columns, all others together, and the latent part.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
        Of a table.
    row : int
        Number of the row in it, from 0.
    path, overwrite
        As in `score_distributions`.
    title : str, default ""
        Title; the score is added.
    most : int, default 10
        The most columns that have a bar of their own.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the rows are images or series, or the format is unknown.

    Examples
    --------
    >>> from tollad import TollDetector
    >>> detector = TollDetector(steps=5, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 3)))
    >>> reason_bars(detector.explain([[0.0, 9.0, 0.0]]), 0, "reasons.png")
    """
    if explanation.parts.ndim != 2:
        raise ValueError("bars are for rows of tables; draw the parts of images and series with part_map")
    picture = picture_format(path)
    parts, score = explanation.parts[row], float(explanation.scores[row])
    order = [int(column) for column in np.argsort(-parts, kind="stable") if parts[column] > 0]
    bars = [(as_label(explanation.finding(row, column)), float(parts[column]), ANOMALY) for column in order[:most]]
    if rest := order[most:]:
        bars.append((f"{len(rest)} other column{'s' * (len(rest) > 1)}", float(parts[rest].sum()), NEUTRAL))
    bars.append(("latent: the row as a whole", float(explanation.latent[row]), NORMAL))
    names, lengths, colours = zip(*bars, strict=True)
    figure = new_figure(width=7.6, height=0.9 + 0.32 * len(bars))
    axes = figure.subplots()
    drawn = axes.barh(range(len(bars)), lengths, color=colours, height=0.72)
    axes.bar_label(drawn, [f"{100 * length / score if score else 0:.0f} %" for length in lengths], padding=3, color=INK)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel("part of the anomaly score")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(titled(title, score), x=0.01, ha="left", fontsize="medium")
    save_figure(figure, path, picture, overwrite=overwrite)


def two_term_map(
    explanation: Explanation,
    anomalous: ArrayLike,
    threshold: float,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
) -> None:
    """Draw rows by the two terms of their scores, reconstruction error and latent norm, with lines of equal score.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
    anomalous : array-like of bool, (n,)
        Which rows are anomalies: all, some or none.
    threshold : float
        Scores above it are alarms.
    path, overwrite
        As in `score_distributions`.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If `anomalous` is of another length than the rows, or the format is unknown.

    Examples
    --------
    >>> from tollad import TollDetector
    >>> detector = TollDetector(steps=5, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 3)))
    >>> explanation = detector.explain([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    >>> two_term_map(explanation, [False, True], -detector.offset_, "terms.png")
    """
    truth = np.asarray(anomalous, dtype=bool)
    if truth.shape != explanation.scores.shape:
        raise ValueError(f"anomalous has shape {truth.shape}; it needs one value for each of the rows")
    picture = picture_format(path)
    latent, error = explanation.latent, explanation.scores - explanation.latent
    figure = new_figure(6.0, 5.0)
    axes = figure.subplots()
    for axis, values in (("x", latent), ("y", error)):
        low, high = float(values.min()) / 1.3, float(values.max()) * 1.3 or 1.0
        if logarithmic := low > 0 and high / low > LOG_RATIO:
            axes.set(**{f"{axis}scale": "log"})
            number_decades(getattr(axes, f"{axis}axis"), np.log10(high / low))
        axes.set(**{f"{axis}lim": (low if logarithmic else 0.0, high)})
    groups = ((~truth, NORMAL, "o", "normal rows"), (truth, ANOMALY, "^", "anomalies"))
    for chosen, colour, marker, name in groups:
        x, y, label = latent[chosen], error[chosen], f"{name} ({chosen.sum():,})"
        axes.scatter(x, y, s=14, c=colour, marker=marker, alpha=0.55, linewidths=0, label=label)
    for power in range(-10, 11):
        _add_equal_score(axes, threshold, threshold * 2.0**power)
    axes.set_xlabel("latent norm, in units of the score")
    axes.set_ylabel("reconstruction error, in units of the score")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, columnspacing=1.2, handletextpad=0.5)
    save_figure(figure, path, picture, overwrite=overwrite)


def _add_equal_score(axes: Axes, threshold: float, score: float) -> None:
    """Draw and label the line on which the two terms add up to a score, if it crosses the axes."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    if not left + bottom < score < right + top:
        return
    # Points along both axes: with logarithmic axes the line runs nearly along one, then along the other.
    x = np.linspace(left, min(right, score - bottom), 200)
    y = np.linspace(bottom, min(top, score - left), 200)
    x = np.sort(np.concatenate([x, score - y]))
    x = x[(x >= left) & (x <= right) & (score - x >= bottom) & (score - x <= top)]
    if score == threshold:
        axes.plot(x, score - x, "--", color=INK, linewidth=1.4, label=f"threshold {threshold:.3g}")
        return
    if axes.get_yscale() == "linear" and score - left < _LEAST_HEIGHT * top:
        return
    axes.plot(x, score - x, "-", color=INK, linewidth=0.6, alpha=0.6, zorder=1)
    axes.annotate(
        f"{score:.3g}", (x[0], score - x[0]), (2, 2), textcoords="offset points", fontsize="x-small", color=INK
    )
