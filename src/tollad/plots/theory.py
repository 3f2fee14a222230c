"""Figure 2 and the pictures of `docs/theory.md`. matplotlib, the extra `plot`, is imported when the first is drawn."""

from __future__ import annotations

import os
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from tollad import theory
from tollad.plots.style import COLOURS, INK, new_figure, picture_format, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINT = "#F0E442"
# Below this, the tilt is as small as the error of the solver.
_LEAST_TILT = 1e-10
_LAST_ROOT = 20.0


def draw_figure2(result: theory.Figure2, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Draw Figure 2: contours of the anomaly score, and its rank correlation with the Mahalanobis distance.

    Top row: contours for the first start at the middle training time, with beta = 0 and with the best beta of the
    score of equation (3) and of its squared form; dashed ellipses are contours of the density. Bottom row: the
    correlation against beta for both scores, as median and range over the starts.

    Parameters
    ----------
    result : tollad.theory.Figure2
    path : path
        The picture; its ending determines the format.
    overwrite : bool, default True
        Whether an existing file may be replaced.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written, see `tollad.io.files.atomic_write`.
    """
    picture = picture_format(path)
    figure = new_figure(9.6, 7.2)
    grid = figure.add_gridspec(2, 6, height_ratios=(1, 1.05), hspace=0.08)
    middle = len(result.times) // 2
    best = result.best[:, middle]
    panels = (
        (0, False, "no latent term"),
        (best[0], False, "equation (3)"),
        (best[1], True, "equation (3), norms squared"),
    )
    for column, (beta, squared, name) in enumerate(panels):
        axes = figure.add_subplot(grid[0, 2 * column : 2 * column + 2])
        _draw_contours(axes, result, middle, int(beta), squared=squared)
        axes.set_title(f"{name}\n$\\beta$ = {result.betas[beta]:g}, T = {result.times[middle]:g}", fontsize=10)
        if column == 0:
            axes.set_ylabel("$x_2$, variance 1")
    first = None
    for score, name in enumerate(("equation (3)", "equation (3), norms squared")):
        axes = figure.add_subplot(grid[1, 3 * score : 3 * score + 3], sharey=first)
        _draw_correlations(axes, result, score)
        axes.set_title(name, fontsize=10)
        if first is None:
            first = axes
            axes.set_ylabel("rank correlation with\nthe Mahalanobis distance")
            axes.set_ylim(np.floor(result.correlations.min() * 10) / 10, 1.01)
            starts = f"median and range\nof {result.correlations.shape[2]} starts"
            axes.legend(loc="lower right", frameon=False, title=starts)
        else:
            axes.tick_params(labelleft=False)
    save_figure(figure, path, picture, overwrite=overwrite)


def draw_collapse(result: theory.Collapse, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Draw how encoder and decoder diverge over training time, with the power laws proved in `docs/theory.md`.

    Parameters
    ----------
    result : tollad.theory.Collapse
    path, overwrite
        As in `draw_figure2`.

    Raises
    ------
    ImportError, ValueError, OSError
        As in `draw_figure2`.
    """
    picture = picture_format(path)
    figure = new_figure(9.6, 3.6)
    norms, errors, tilts = figure.subplots(1, 3)
    largest, second = result.variances
    root_times = np.sqrt(result.times)
    for member, (colour, beta) in enumerate(zip(cycle(COLOURS), result.betas, strict=False)):
        norms.plot(result.times, result.decoders[:, member], color=colour)
        norms.plot(result.times, result.encoders[:, member], color=colour)
        tilt = result.tilts[:, member]
        tilts.plot(root_times, tilt, color=colour, label=f"$\\beta$ = {beta:g}")
        if beta == 0:
            continue
        errors.plot(result.times, result.errors[:, member], color=colour)
        laws = theory.power_law(largest, beta, result.times)
        late = laws[2] < 1
        for axes, law in zip((norms, norms, errors), laws, strict=True):
            axes.plot(result.times[late], law[late], color=INK, linestyle=":", linewidth=1)
        # The law gives only the slope, so the line is drawn through the last point.
        slope = -(largest - second) / np.sqrt(beta * largest)
        drawn = np.flatnonzero(tilt > _LEAST_TILT)
        if not drawn.size:
            continue
        last = drawn[-1]
        law = tilt[last] * np.exp(slope * (root_times - root_times[last]))
        tilts.plot(root_times, law, color=INK, linestyle=":", linewidth=1)
    norms.annotate("decoder", (0.5, 0.9), xycoords="axes fraction", color=INK)
    norms.annotate("encoder", (0.5, 0.06), xycoords="axes fraction", color=INK)
    for axes, title in (
        (norms, "norm of the weights"),
        (errors, "$1 - (W_2 W_1)_{11}$"),
        (tilts, "tilt of the decoder"),
    ):
        axes.set_title(title, fontsize=10)
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (norms, errors):
        axes.set_xscale("log")
        axes.set_xlabel("training time t")
    tilts.set_xlabel("$\\sqrt{t}$")
    tilts.set_xlim(0, _LAST_ROOT)
    tilts.set_ylim(_LEAST_TILT, 3)
    tilts.plot([], color=INK, linestyle=":", linewidth=1, label="proved, leading order for large t")
    figure.legend(loc="outside lower center", ncols=len(result.betas) + 1, frameon=False)
    save_figure(figure, path, picture, overwrite=overwrite)


def _draw_contours(axes: Axes, result: theory.Figure2, time: int, beta: int, *, squared: bool) -> None:
    """Draw contours of the score of the first start, the normal points, and an ellipse of equal density."""
    half = 6.5
    side = np.linspace(-half, half, 241)
    x1, x2 = np.meshgrid(side, side)
    W1, W2 = (weights[time, 0, beta] for weights in (result.encoders, result.decoders))
    samples = np.stack([x1.ravel(), x2.ravel()])
    scores = theory.weighted_score(W1, W2, samples, result.betas[beta], squared=squared).reshape(x1.shape)
    # Contours of squared scores would crowd at the edge.
    heights = np.sqrt(scores) if squared else scores
    levels = np.linspace(0, heights.max(), 13)
    axes.contourf(x1, x2, heights, levels, cmap="Blues_r", alpha=0.9)
    axes.contour(x1, x2, heights, levels, colors="white", linewidths=0.5)
    axes.plot(*result.points, ".", color=_POINT, markersize=1.5, alpha=0.7)
    circle = np.linspace(0, 2 * np.pi, 181)
    for radius in (1, 2, 3):
        axes.plot(2 * radius * np.cos(circle), radius * np.sin(circle), color=COLOURS[1], linestyle="--", linewidth=1)
    ticks = np.arange(-6, 7, 2)
    axes.set(aspect="equal", xlim=(-half, half), ylim=(-half, half), xticks=ticks, yticks=ticks)
    axes.set_xlabel("$x_1$, variance 4")


def _draw_correlations(axes: Axes, result: theory.Figure2, score: int) -> None:
    for colour, time, values, best in zip(
        COLOURS, result.times, result.correlations[score], result.best[score], strict=False
    ):
        median = np.median(values, axis=0)
        axes.fill_between(result.betas, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        axes.plot(result.betas, median, color=colour, label=f"T = {time:g}")
        axes.plot(result.betas[best], median[best], "o", color=colour)
    axes.set_xlabel("$\\beta$")
    axes.spines[["top", "right"]].set_visible(False)
