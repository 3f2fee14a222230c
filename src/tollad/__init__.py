"""Anomaly detection by targeted collapse: autoencoders whose loss is also their anomaly score.

The public names are imported when they are first used, so that ``import tollad`` loads neither torch nor numpy.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from tollad.moved import Finder

if TYPE_CHECKING:
    from tollad import metrics
    from tollad.detector.estimator import TollDetector
    from tollad.detector.streaming import iter_scores
    from tollad.images.detector import ImageDetector
    from tollad.method import networks, terms
    from tollad.method.objective import Objective
    from tollad.series.detector import SeriesDetector

__version__ = "0.1.0"

__all__ = [
    "ImageDetector",
    "Objective",
    "SeriesDetector",
    "TollDetector",
    "__version__",
    "iter_scores",
    "metrics",
    "networks",
    "terms",
]

sys.meta_path.append(Finder())

_HOMES = {
    "ImageDetector": "tollad.images.detector",
    "TollDetector": "tollad.detector.estimator",
    "Objective": "tollad.method.objective",
    "SeriesDetector": "tollad.series.detector",
    "iter_scores": "tollad.detector.streaming",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"tollad.{name}")
    raise AttributeError(f"module 'tollad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
