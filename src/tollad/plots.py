"""Pictures. matplotlib, the extra `plot`, is imported when the first one is drawn."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tollad import files, metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito: told apart with any colour vision, and in grey by their lightness.
_NORMAL, _ANOMALY, _INK = "#0072B2", "#D55E00", "#333333"
_BINS = 40
# Beyond this ratio of the largest to the smallest score, equal steps would crowd most rows into a few bins.
_LOG_RATIO = 20.0


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format that the ending of a file name stands for, such as ``"png"`` or ``"pdf"``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If matplotlib does not write such files.
    """
    known = _new_figure().canvas.get_supported_filetypes()
    ending = PurePath(path).suffix.lower().removeprefix(".")
    if ending not in known:
        raise ValueError(
            f"{os.fspath(path)}: cannot tell the format from the ending; the known ones are {', '.join(sorted(known))}"
        )
    return ending


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
        If the file cannot be written, see `tollad.files.atomic_write`.
    """
    normals, anomalies = np.asarray(normal_scores, dtype=np.float64), np.asarray(anomaly_scores, dtype=np.float64)
    scores = np.concatenate([normals, anomalies])
    if not len(normals) or not len(anomalies) or not np.isfinite(scores).all():
        raise ValueError("the picture needs finite scores of both normal rows and anomalies")
    picture = picture_format(path)
    labels = np.repeat([0, 1], [len(normals), len(anomalies)])
    figure = _new_figure()
    axes = figure.subplots()
    logarithmic = min(low := float(scores.min()), threshold) > 0 and scores.max() / low > _LOG_RATIO
    if logarithmic:
        _make_logarithmic(axes, decades=np.log10(scores.max() / low))
    spaced = np.geomspace(low, scores.max(), _BINS + 1) if logarithmic else np.histogram_bin_edges(scores, _BINS)
    edges = spaced.tolist()
    for values, colour, name in ((normals, _NORMAL, "normal rows"), (anomalies, _ANOMALY, "anomalies")):
        shares = np.full(len(values), 100 / len(values))
        axes.hist(values, edges, weights=shares, color=colour, alpha=0.45, label=f"{name} ({len(values):,})")
        axes.hist(values, edges, weights=shares, color=colour, histtype="step", linewidth=1.2)
    axes.axvline(threshold, color=_INK, linestyle="--", linewidth=1.2)
    # Above the axes, where it covers no bar.
    top = axes.get_xaxis_transform()
    axes.annotate(
        f"threshold {threshold:.3g}", (threshold, 1), (0, 3), top, "offset points", ha="center", va="bottom", color=_INK
    )
    axes.set_xlabel("anomaly score")
    axes.set_ylabel("share of the group (%)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([], linestyle="none", label=f"AUROC {metrics.auroc(labels, scores):.3f}")
    # Outside, since the groups may fill the axes.
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    with files.atomic_write(path, overwrite=overwrite) as file:
        figure.savefig(file, format=picture, dpi=150)


def _make_logarithmic(axes: Axes, decades: float) -> None:
    """Give the axes a logarithmic x axis with plain numbers, at 2 and 5 as well if it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _new_figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib; install it with: pip install 'tollad[plot]'") from error
    # Not pyplot, whose figures are global state and may want a screen; a Figure of its own draws with Agg.
    return Figure(figsize=(6.4, 4.0), layout="constrained")
