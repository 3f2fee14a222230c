"""The style of all pictures: colours, formats, axes, labels; and writing them to a file."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

from tollad.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito: distinct with any colour vision, and in grey by their lightness.
NORMAL, ANOMALY, NEUTRAL, INK = "#0072B2", "#D55E00", "#999999", "#333333"
# And their green, purple, orange and sky blue, for lines other than normal and anomalous.
COLOURS = (NORMAL, ANOMALY, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Beyond this ratio of the largest to the smallest score, a linear axis would put most rows into a few bins.
LOG_RATIO = 20.0
# matplotlib has more formats, but some need other programs or fail only when the file is written.
_ENDINGS = (".png", ".pdf", ".svg")
_MOST_LETTERS = 80
_MOST_LETTERS_ABOVE = 18


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return the format of a picture by the ending of its file name.

    Parameters
    ----------
    path : path

    Returns
    -------
    {"png", "pdf", "svg"}

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending is none of .png, .pdf and .svg.

    Examples
    --------
    >>> picture_format("scores.PDF")
    'pdf'
    """
    new_figure()
    ending = PurePath(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(
            f"{os.fspath(path)}: cannot tell the format from the ending; the known ones are {', '.join(_ENDINGS)}"
        )
    return ending[1:]


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """Return an empty figure, its width and height in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib; install it with: pip install 'tollad[plot]'") from error
    # Not pyplot, whose figures are global state and may need a screen.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | os.PathLike[str], picture: str, *, overwrite: bool) -> None:
    """Write a figure as a whole file; `picture` is its format, from `picture_format`."""
    with atomic_write(path, overwrite=overwrite) as file:
        figure.savefig(file, format=picture, dpi=150)


def number_decades(axis: Axis, decades: float) -> None:
    """Label a logarithmic axis with plain numbers, also at 2 and 5 if it spans few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def titled(title: str, score: float) -> str:
    """Return a title with the score after it."""
    return as_label(f"{title}: score {score:.3g}" if title else f"score {score:.3g}")


def as_label(text: str) -> str:
    """Return a text of the user for matplotlib: dollar signs begin no formula, and long texts are shortened."""
    return (text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "...").replace("$", r"\$")


def short_name(text: str) -> str:
    """Return the end of a path, which distinguishes images, short enough for a title."""
    return as_label(text if len(text) <= _MOST_LETTERS_ABOVE else "..." + text[3 - _MOST_LETTERS_ABOVE :])
