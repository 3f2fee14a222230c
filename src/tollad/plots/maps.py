"""Pictures of images above their anomaly maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.plots.style import new_figure, picture_format, save_figure, short_name


def image_maps(
    images: NDArray[Any],
    maps: NDArray[np.float64] | None,
    scores: NDArray[np.float64],
    names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
) -> None:
    """Draw images side by side, each above its anomaly map; the maps share one scale.

    Parameters
    ----------
    images : ndarray, (n, C, H, W)
        From 0 to 1: grey for C = 1, colour for C = 3.
    maps : ndarray, (n, H, W), or None
        From `tollad.ImageDetector.anomaly_map`; None draws the images only.
    scores : ndarray, (n,)
    names : sequence of n str
        Titles of the images; their scores are added.
    path, overwrite
        As in `score_distributions`.

    Raises
    ------
    ImportError, OSError, ValueError
        As `score_distributions` does.

    Examples
    --------
    >>> images, maps = np.zeros((2, 1, 8, 8)), np.ones((2, 8, 8))
    >>> image_maps(images, maps, np.array([0.9, 1.2]), ["first", "second"], "maps.png")
    """
    picture = picture_format(path)
    n_rows = 1 if maps is None else 2
    figure = new_figure(width=max(3.0, 1.7 * len(images)), height=0.6 + 1.7 * n_rows)
    panels = figure.subplots(n_rows, len(images), squeeze=False)
    highest = 1.0 if maps is None else max(1.0, float(maps.max()))
    for column, (image, name, score) in enumerate(zip(images, names, scores, strict=True)):
        shown = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(0)
        panels[0, column].imshow(shown, cmap="gray", vmin=0, vmax=1)
        panels[0, column].set_title(f"{short_name(name)}\n{score:.3g}", fontsize="small")
        if maps is not None:
            heat = panels[1, column].imshow(maps[column], cmap="magma", vmin=0, vmax=highest)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    if maps is not None:
        bar = figure.colorbar(heat, ax=panels[1], shrink=0.85)
        bar.set_label("1 = good", fontsize="small")
    save_figure(figure, path, picture, overwrite=overwrite)
