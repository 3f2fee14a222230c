"""Text beside the results: warnings that point at the user's line, lines of progress, and lists of names."""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO


def warn(message: str) -> None:
    """Raise a UserWarning at the line outside of this package that led here, however deep within it the reason lies."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def printable(text: str) -> str:
    r"""Return text of a file on one line, so that it can neither steer a terminal nor look like another message.

    Examples
    --------
    >>> print(printable("age\n\x1b[31mError: none"))
    age\n\x1b[31mError: none
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names for a message, at most so many of them.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def tell(text: str) -> None:
    """Print a line on standard error if possible. A closed stream or a full disk never ends the work."""
    stream: TextIO | None = sys.stderr  # None if it was closed at the start of the program
    # A stream that was closed later raises ValueError.
    with contextlib.suppress(OSError, ValueError):
        if stream is not None:
            stream.write(text + "\n")
            stream.flush()
