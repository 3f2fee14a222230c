"""What all pictures share: colours, formats, axes, labels and how a picture becomes a file."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

from tollad.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito: told apart with any colour vision, and in grey by their lightness.
NORMAL, ANOMALY, NEUTRAL, INK = "#0072B2", "#D55E00", "#999999", "#333333"
# With green, purple, orange and sky blue of theirs, for lines that have no such meaning.
COLOURS = (NORMAL, ANOMALY, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Beyond this ratio of the largest to the smallest score, equal steps would crowd most rows into a few bins.
LOG_RATIO = 20.0
# matplotlib knows more, but some need other programs, and some fail at the end of the work.
_ENDINGS = (".png", ".pdf", ".svg")
_MOST_LETTERS = 80
_MOST_LETTERS_ABOVE = 18


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


def new_figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """Return an empty figure, its width and height in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib; install it with: pip install 'tollad[plot]'") from error
    # Not pyplot, whose figures are global state and may want a screen; a Figure of its own draws with Agg.
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | os.PathLike[str], picture: str, *, overwrite: bool) -> None:
    """Write a figure as a whole file; `picture` is its format, from `picture_format`."""
    with atomic_write(path, overwrite=overwrite) as file:
        figure.savefig(file, format=picture, dpi=150)


def number_decades(axis: Axis, decades: float) -> None:
    """Give a logarithmic axis plain numbers, at 2 and 5 as well if it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def titled(title: str, score: float) -> str:
    """Return a title with the score after it."""
    return as_label(f"{title}: score {score:.3g}" if title else f"score {score:.3g}")


def as_label(text: str) -> str:
    """Return a text of the user's as matplotlib shows it: dollars begin no formula, and the axes keep some room."""
    return (text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 3] + "...").replace("$", r"\$")


def short_name(text: str) -> str:
    """Return the end of a path, which tells one image from the next, short enough to stand above it."""
    return as_label(text if len(text) <= _MOST_LETTERS_ABOVE else "..." + text[3 - _MOST_LETTERS_ABOVE :])
