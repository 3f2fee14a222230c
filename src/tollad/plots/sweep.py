"""Pictures of sweeps: criteria against beta, one line for each latent_dim."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tollad.plots.style import COLOURS, new_figure, picture_format, save_figure

if TYPE_CHECKING:
    from tollad.detector.sweep import Candidate


def sweep_criteria(found: Sequence[Candidate], path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Draw each criterion of a sweep against beta: a point for each fit, a line through the means of each latent_dim.

    Parameters
    ----------
    found : sequence of Candidate
        From `tollad.detector.sweep.sweep`.
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
        If the file cannot be written, or exists and `overwrite` is False.

    Examples
    --------
    >>> from tollad.sweep import sweep
    >>> rows = np.random.default_rng(0).normal(size=(80, 3))
    >>> sweep_criteria(sweep(rows, betas=[0, 1], seeds=[0], steps=5), "sweep.png")
    """
    picture = picture_format(path)
    names = [*found[0].criteria]
    figure = new_figure(0.6 + 2.9 * len(names), 3.2)
    betas, latents = sorted({one.beta for one in found}), sorted({one.latent_dim for one in found})
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        for number, latent in enumerate(latents):
            colour, own = COLOURS[number % len(COLOURS)], [one for one in found if one.latent_dim == latent]
            means = [np.mean([one.criteria[name] for one in own if one.beta == beta]) for beta in betas]
            axes.plot(range(len(betas)), means, color=colour, label=f"latent_dim {latent}")
            places = [betas.index(one.beta) for one in own]
            axes.plot(places, [one.criteria[name] for one in own], "o", color=colour, markersize=4, alpha=0.6)
        axes.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        axes.set_xlabel("beta")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(name.replace("_", " "), fontsize="medium")
    if len(latents) > 1:
        axes.legend(fontsize="small")
    save_figure(figure, path, picture, overwrite=overwrite)
