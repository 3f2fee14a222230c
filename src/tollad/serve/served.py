"""Models that a server answers with: loaded once, and anew when their files change."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tollad.calibration import DriftMonitor
from tollad.detector.estimator import TollDetector
from tollad.serve.answers import load

# Seconds between two looks at a file.
_LOOK_EVERY = 1.0


class Served:
    """A model file, and the detector that it holds at the moment.

    A file that was replaced is loaded beside the old detector, which answers until the new one is whole, and goes on
    if the new file cannot be read.

    Parameters
    ----------
    path : str
    tell : callable
        Is given what happened, as a dict of plain values.

    Raises
    ------
    ValueError
        If the file is no model of a table.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self.path, self.name = path, Path(path).stem
        self._tell, self._lock, self._looked = tell, threading.Lock(), time.monotonic()
        self._stamp = self._look()
        self._loaded = _loaded(path)

    def current(self) -> tuple[TollDetector, DriftMonitor | None]:
        """Return the detector, of a new file if there is one, and its monitor where it has calibration rows."""
        if time.monotonic() - self._looked > _LOOK_EVERY:
            with self._lock:
                self._reload()
        return self._loaded

    def look_again(self) -> None:
        """Let the next request look at the file, whenever the last look was."""
        self._looked = -math.inf

    def _reload(self) -> None:
        self._looked = time.monotonic()
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._loaded = _loaded(self.path)
            self._tell({"event": "reloaded", "model": self.name})
        except (ValueError, OSError) as error:
            self._tell({"event": "kept the old model", "model": self.name, "reason": str(error)})

    def _look(self) -> tuple[int, int, int]:
        status = os.stat(self.path)
        return status.st_mtime_ns, status.st_size, status.st_ino


def all_served(paths: Sequence[str], tell: Callable[[dict[str, Any]], None]) -> dict[str, Served]:
    """Return the models by name, which is that of the file without its ending; ValueError for a name that two have."""
    models: dict[str, Served] = {}
    for path in paths:
        model = Served(path, tell)
        if model.name in models:
            raise ValueError(f"{path}: there is another model called {model.name!r}; rename one of the files")
        models[model.name] = model
    return models


def _loaded(path: str) -> tuple[TollDetector, DriftMonitor | None]:
    detector = load(path)
    if not isinstance(detector, TollDetector) or len(detector.input_shape_) != 1:
        raise ValueError(f"{path}: only models of tables can be served")
    calibration = detector.decision_.calibration_scores
    return detector, None if calibration is None else DriftMonitor(calibration)
