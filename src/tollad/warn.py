"""Warnings that point at the line of the user, not at one of this package."""

from __future__ import annotations

import inspect
import warnings


def warn(message: str) -> None:
    """Raise a UserWarning at the line outside of this package that led here, however deep within it the reason lies."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
