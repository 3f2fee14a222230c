"""Pictures of images and series beside their reconstructions and maps of the parts of their scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tollad.plots.style import (
    new_figure,
    picture_format,
    save_figure,
    short_name,
    titled,
)

if TYPE_CHECKING:
    from tollad.detector.explain import Explanation

# With more channels their names would be too small to read.
_MOST_NAMED = 12
# The most that a panel is higher than wide, or wider than high.
_MOST_OBLONG = 3.0


def part_map(
    explanation: Explanation, row: int, path: str | os.PathLike[str], *, title: str = "", overwrite: bool = True
) -> None:
    """Draw one image or series, its reconstruction, and a map of the parts of its score.

    Three channels are shown as colours, with the parts summed over them; of any other number, the mean is shown. A
    series is shown as an image, (channels, time steps).

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

    Examples
    --------
    >>> from tollad import TollDetector
    >>> images = np.random.default_rng(0).random((20, 1, 8, 8))
    >>> detector = TollDetector(steps=2, hidden=(4,), random_state=0).fit(images)
    >>> part_map(detector.explain(images[:1]), 0, "parts.png")
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
    # With square pixels a few channels of a long series would be thin lines.
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
    if wide:
        panels[2].set_xlabel("time step")
    if explanation.parts.ndim == 3:
        panels[2].set_xlabel("time step of the window")
    score = float(explanation.scores[row])
    share = explanation.latent[row] / score if score else 0.0
    text = f"{titled(title, score)}, of which {100 * share:.0f} % is the latent part"
    figure.suptitle(text, x=0.01, ha="left", fontsize="medium")
    save_figure(figure, path, picture, overwrite=overwrite)


def part_maps(
    explanation: Explanation, names: Sequence[str], path: str | os.PathLike[str], *, overwrite: bool = True
) -> None:
    """Draw images side by side, each above its reconstruction and a map of the parts of its score.

    The maps share one scale. The parts of a colour image are summed over the channels.

    Parameters
    ----------
    explanation : tollad.detector.explain.Explanation
        Of a few images, (n, C, H, W): grey for C = 1, colour for C = 3, and the mean of the channels for any other C.
    names : sequence of n str
        Titles of the images; their scores are added.
    path, overwrite
        As in `score_distributions`.

    Raises
    ------
    ImportError, OSError
        As `score_distributions` does.
    ValueError
        If the rows are no images, there is not one name for each, or the format is unknown.

    Examples
    --------
    >>> from tollad import TollDetector
    >>> images = np.random.default_rng(0).random((20, 1, 8, 8))
    >>> detector = TollDetector(steps=2, hidden=(4,), random_state=0).fit(images)
    >>> part_maps(detector.explain(images[:2]), ["first", "second"], "parts.png")
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
    # Pixels from 0 to 1 keep that scale; others are scaled by their range.
    low, high = min(0.0, float(seen.min())), max(1.0, float(seen.max()))
    panel = min(1.5, 9.0 / n)
    # Images may be a thousand times as high as wide, and a picture of that shape cannot be drawn.
    shape = min(max(height / width, 1 / _MOST_OBLONG), _MOST_OBLONG)
    figure = new_figure(n * panel + 1.7, 3 * panel * shape + 0.8)
    grid = figure.subplots(3, n, squeeze=False)
    for column, name in enumerate(names):
        grid[0, column].set_title(f"{short_name(name)}\nscore {explanation.scores[column]:.3g}", fontsize="small")
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
    save_figure(figure, path, picture, overwrite=overwrite)
