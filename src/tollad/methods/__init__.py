"""The methods of the paper's tables, one file each, written from their papers: fit, anomaly_score, save, load.

Each class is a dataclass: its fields are its recipe. They share the training of `tollad.methods.neural`.
Departures from a source are marked ``NOTE[DIFF]`` with the reason.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "DCAE": "dcae",
    "DeepSVDD": "dsvdd",
    "IsolationForest": "classical",
    "KDE": "classical",
    "OCSVM": "classical",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"tollad.methods.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tollad.methods' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
