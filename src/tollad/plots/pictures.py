"""Pictures. matplotlib, the extra `plot`, is imported when the first one is drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tollad import metrics
from tollad.io import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from tollad.detector.explain import Explanation

# Blue and vermilion of Okabe and Ito: told apart with any colour vision, and in grey by their lightness.
NORMAL, ANOMALY, _NEUTRAL, INK = "#0072B2", "#D55E00", "#999999", "#333333"
# matplotlib knows more, but some need other programs, and some fail at the end of the work.
_ENDINGS = (".png", ".pdf", ".svg")
_BINS = 40
# Channels of a series whose names can be read beside it.
_MOST_NAMED = 12
_MOST_LETTERS = 80
_MOST_LETTERS_ABOVE = 18
# Beyond this ratio of the largest to the smallest score, equal steps would crowd most rows into a few bins.
LOG_RATIO = 20.0


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that the ending of a file name stands for, such as ``"png"`` or ``"pdf"``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is none of .png, .pdf and .svg.
    """
    new_figure()
    ending = PurePath(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(
            f"{os.fspath(path)}: cannot tell the format from the ending; the known ones are {', '.join(_ENDINGS)}"
        )
    return ending[1:]


def score_distributions(
    normal_scores: ArrayLike,
    anomaly_scores: ArrayLike,
    threshold: float,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
) -> None:
    """Draw how the scores of normal rows and of anomalies are spread, and where the threshold stands.

    Each histogram adds up to 100 %, so that rare anomalies are seen beside many normal rows. The axis is logarithmic
    if the scores span decades.

    Parameters
    ----------
    normal_scores, anomaly_scores : array-like of float, (n,) and (m,)
        Anomaly scores, high = anomalous; neither may be empty.
    threshold : float
        Scores above it are alarms.
    path : path
        The picture; its ending tells the format.
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
    # Outside, since the groups may fill the axes.
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path, picture, overwrite=overwrite)


def reason_bars(
    explanation: Explanation,
    row: int,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    most: int = 10,
    overwrite: bool = True,
) -> None:
    """Draw the parts of one row's score as bars: its largest columns, the others together, and the latent part.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
        Of a table.
    row : int
        Number of the row in it, from 0.
    path, overwrite
        As in `score_distributions`.
    title : str, default ""
        What to call the row; its score is added.
    most : int, default 10
        How many columns at most have a bar of their own.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the rows are images or series, or the format is unknown.
    """
    if explanation.parts.ndim != 2:
        raise ValueError("bars are for rows of tables; draw the parts of images and series with part_map")
    picture = picture_format(path)
    parts, score = explanation.parts[row], float(explanation.scores[row])
    order = [int(column) for column in np.argsort(-parts, kind="stable") if parts[column] > 0]
    bars = [(label(explanation.finding(row, column)), float(parts[column]), ANOMALY) for column in order[:most]]
    if rest := order[most:]:
        bars.append((f"{len(rest)} other column{'s' * (len(rest) > 1)}", float(parts[rest].sum()), _NEUTRAL))
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
    figure.suptitle(_titled(title, score), x=0.01, ha="left", fontsize="medium")
    save(figure, path, picture, overwrite=overwrite)


def part_map(
    explanation: Explanation, row: int, path: str | os.PathLike[str], *, title: str = "", overwrite: bool = True
) -> None:
    """Draw one image or series: what was seen, what was expected, and where its score comes from.

    Channels of a colour image (three of them) are shown as colours, the parts summed over them; of any other number of
    channels the means are shown. A series is shown as an image of its channels by its time steps.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
        Of images or series.
    row, path, title, overwrite
        As in `reason_bars`.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the rows are those of a table, or the format is unknown.
    """
    if explanation.parts.ndim == 2:
        raise ValueError("maps of parts are for images and series; draw the parts of a row of a table with reason_bars")
    picture = picture_format(path)
    seen, expected, parts = (
        np.asarray(a[row], float) for a in (explanation.seen, explanation.expected, explanation.parts)
    )
    if parts.ndim == 3:
        parts = parts.sum(0)
        seen, expected = (a.transpose(1, 2, 0) if len(a) == 3 else a.mean(0) for a in (seen, expected))
    low, high = float(seen.min()), float(seen.max())
    height, width = parts.shape
    wide = width > 2 * height
    figure = new_figure(*((7.6, 5.2) if wide else (8.4, 3.0)))
    panels = figure.subplots(3, 1) if wide else figure.subplots(1, 3)
    # A few channels of a long series would be thin lines if time steps were squares.
    aspect = "auto" if wide else "equal"
    for axes, values, name in zip(panels, (seen, expected), ("seen", "expected"), strict=False):
        scaled = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
        axes.imshow(scaled, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
        axes.set_title(name, fontsize="medium")
    heat = panels[2].imshow(parts, cmap="magma", vmin=0, aspect=aspect, interpolation="nearest")
    panels[2].set_title("part of the anomaly score", fontsize="medium")
    figure.colorbar(heat, ax=panels[2], shrink=0.85)
    for axes in panels:
        named = wide and height == len(explanation.names) <= _MOST_NAMED
        axes.set_yticks(range(height) if named else [], explanation.names if named else [])
        axes.tick_params(length=0)
        if axes is not panels[2] or not wide:
            axes.set_xticks([])
    score = float(explanation.scores[row])
    share = explanation.latent[row] / score if score else 0.0
    text = f"{_titled(title, score)}, of which {100 * share:.0f} % is the latent part"
    figure.suptitle(text, x=0.01, ha="left", fontsize="medium")
    save(figure, path, picture, overwrite=overwrite)


def part_maps(
    explanation: Explanation, names: Sequence[str], path: str | os.PathLike[str], *, overwrite: bool = True
) -> None:
    """Draw images side by side, each above what was expected of it and a map of where its score comes from.

    The maps have one scale, so that they can be compared. Of a colour image the parts are summed over the channels.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
        Of a few images, (n, C, H, W): grey for C = 1, colour for C = 3, and the mean of the channels for any other C.
    names : sequence of n str
        What to call the images; their scores are added.
    path, overwrite
        As in `score_distributions`.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the rows are no images, there is not one name for each, or the format is unknown.
    """
    if explanation.parts.ndim != 4 or len(names) != len(explanation.parts):
        raise ValueError(
            "maps side by side are for images (n, C, H, W), each with a name; "
            f"there are {len(names)} names for rows of shape {explanation.parts.shape}"
        )
    picture = picture_format(path)
    n, channels, height, width = explanation.parts.shape
    seen, expected = (
        np.moveaxis(np.asarray(a, float), 1, -1) if channels == 3 else np.asarray(a, float).mean(1)
        for a in (explanation.seen, explanation.expected)
    )
    parts = explanation.parts.sum(1)
    # Pixels from 0 to 1 look as they do elsewhere, and others as they are spread.
    low, high = min(0.0, float(seen.min())), max(1.0, float(seen.max()))
    panel = min(1.5, 9.0 / n)
    figure = new_figure(n * panel + 1.7, 3 * panel * height / width + 0.8)
    grid = figure.subplots(3, n, squeeze=False)
    for column, name in enumerate(names):
        grid[0, column].set_title(f"{_name(name)}\nscore {explanation.scores[column]:.3g}", fontsize="small")
        for axes, values in zip(grid[:2, column], (seen[column], expected[column]), strict=True):
            scaled = np.clip((values - low) / (high - low), 0, 1)
            axes.imshow(scaled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        heat = grid[2, column].imshow(
            parts[column], cmap="magma", vmin=0, vmax=float(parts.max()) or 1.0, interpolation="nearest"
        )
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for axes, what in zip(grid[:, 0], ("seen", "expected", "part of\nthe score"), strict=True):
        axes.set_ylabel(what, rotation="horizontal", ha="right", va="center")
    figure.colorbar(heat, ax=[*grid[2]], shrink=0.9, aspect=12, pad=0.02)
    save(figure, path, picture, overwrite=overwrite)


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
        Which rows are anomalies; there may be none, and no normal rows.
    threshold : float
        Scores above it are alarms.
    path, overwrite
        As in `score_distributions`.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If there is not one truth for each row, or the format is unknown.
    """
    truth = np.asarray(anomalous, dtype=bool)
    if truth.shape != explanation.scores.shape:
        raise ValueError(f"anomalous has shape {truth.shape}; it needs one truth for each of the rows")
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
    save(figure, path, picture, overwrite=overwrite)


def _add_equal_score(axes: Axes, threshold: float, score: float) -> None:
    """Draw the line on which the two terms add up to a score, with its value at its beginning, if it is in the axes."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    if not left + bottom < score < right + top:
        return
    # Steps in both directions: with logarithmic axes the line runs nearly along one, then along the other.
    x = np.linspace(left, min(right, score - bottom), 200)
    y = np.linspace(bottom, min(top, score - left), 200)
    x = np.sort(np.concatenate([x, score - y]))
    x = x[(x >= left) & (x <= right) & (score - x >= bottom) & (score - x <= top)]
    if score == threshold:
        axes.plot(x, score - x, "--", color=INK, linewidth=1.4, label=f"threshold {threshold:.3g}")
        return
    axes.plot(x, score - x, "-", color=INK, linewidth=0.6, alpha=0.6, zorder=1)
    axes.annotate(
        f"{score:.3g}", (x[0], score - x[0]), (2, 2), textcoords="offset points", fontsize="x-small", color=INK
    )


def number_decades(axis: Axis, decades: float) -> None:
    """Give a logarithmic axis plain numbers, at 2 and 5 as well if it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _titled(title: str, score: float) -> str:
    return label(f"{title}: score {score:.3g}" if title else f"score {score:.3g}")


def label(text: str) -> str:
    """Return a text of the user's as matplotlib shows it: dollars begin no formula, and the axes keep some room."""
    return (text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "...").replace("$", r"\$")


def _name(text: str) -> str:
    """Return the end of a path, which tells one image from the next, short enough to stand above it."""
    return label(text if len(text) <= _MOST_LETTERS_ABOVE else "..." + text[3 - _MOST_LETTERS_ABOVE :])


def save(figure: Figure, path: str | os.PathLike[str], picture: str, *, overwrite: bool) -> None:
    """Write a figure in a format of `picture_format`, whole or not at all."""
    with files.atomic_write(path, overwrite=overwrite) as file:
        figure.savefig(file, format=picture, dpi=150)


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """Return an empty figure, of a size in inches; ImportError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib; install it with: pip install 'tollad[plot]'") from error
    # Not pyplot, whose figures are global state and may want a screen; a Figure of its own draws with Agg.
    return Figure(figsize=(width, height), layout="constrained")
