"""Time series: `SeriesDetector` with time stamps, windows, scores of time steps, thresholds, events and streams.

It uses a `TollDetector` whose rows are windows, and does not subclass it. Public names are imported when first used, so
that the table of parameters can be read without NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tollad.series.window import check_window, score_steps, step_scores, window_starts, windows

__all__ = ["check_window", "score_steps", "step_scores", "window_starts", "windows"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("tollad.series.window"), name)
    raise AttributeError(f"module 'tollad.series' has no attribute {name!r}")
