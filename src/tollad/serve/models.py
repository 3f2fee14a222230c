"""Models of a server: loaded once, and loaded again when their files change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tollad.calibration import DriftMonitor
from tollad.detector.estimator import TollDetector
from tollad.images.detector import ImageDetector
from tollad.series.detector import SeriesDetector
from tollad.serve.answers import load
from tollad.serve.bodies import TYPES, Reader
from tollad.serve.engines import Engine, engine_of
from tollad.serve.limits import RefusedError
from tollad.serve.one_file import ImageAnswers, OneFile, SeriesAnswers

CHECK_EVERY = 1.0
"""Seconds between two checks of the files."""


class TableAnswers:
    """Answers for a model of tables, whose rows are scored together with those of other requests.

    Attributes
    ----------
    detector : TollDetector
    reader : Reader
    engine : Engine
    """

    kind = "table"
    types = TYPES

    def __init__(self, detector: TollDetector) -> None:
        self.detector, self.reader = detector, Reader(detector)
        self.engine: Engine = engine_of(detector)

    def columns(self) -> list[dict[str, str]]:
        """Return the name and the kind of each column."""
        kinds = {column.name: column.kind for column in getattr(self.detector, "columns_", [])}
        return [{"name": name, "kind": kinds.get(name, "number")} for name in self.reader.names]


class Loaded:
    """A detector and the objects that answer for it. A request uses one of these from beginning to end."""

    def __init__(self, path: str) -> None:
        self.detector = detector = load(path)
        self.answers: TableAnswers | OneFile
        if isinstance(detector, SeriesDetector):
            self.answers = SeriesAnswers(detector)
        elif isinstance(detector, ImageDetector):
            self.answers = ImageAnswers(detector)
        elif isinstance(detector, TollDetector) and len(detector.input_shape_) == 1:
            self.answers = TableAnswers(detector)
        else:
            of = " of images or windows" if isinstance(detector, TollDetector) else ""
            raise ValueError(
                f"{path}: a {type(detector).__name__}{of} cannot be served; a TollDetector of tables, SeriesDetector "
                "and ImageDetector can"
            )
        calibration = detector.decision_.calibration_scores if isinstance(self.answers, TableAnswers) else None
        self.monitor = None if calibration is None else DriftMonitor(calibration)

    @property
    def threshold(self) -> float:
        """Samples with a score above this are anomalies."""
        return float(self.detector.decision_.threshold)

    @property
    def table(self) -> TableAnswers:
        """The answers for a table; RefusedError for a model of series or images."""
        if not isinstance(self.answers, TableAnswers):
            raise RefusedError(400, f"this is a model of {self.answers.kind}, and tensors are for models of tables")
        return self.answers


class Served:
    """A model file, and the detector loaded from it.

    When the file is replaced, the new one is loaded while the old detector goes on answering. If the new file cannot be
    read, the old detector stays.

    Parameters
    ----------
    path : str
    tell : callable
        Called with each event, as a dict of plain values.

    Attributes
    ----------
    loaded : Loaded
        The newest version that could be loaded.

    Raises
    ------
    ValueError
        If the file is no model that can be served.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self.path, self.name = path, Path(path).stem
        self._tell, self._lock = tell, threading.Lock()
        self._stamp = self._stamp_now()
        self.loaded = Loaded(path)

    def reload_if_changed(self) -> None:
        """Load the file again if it has changed since the last check."""
        with self._lock:
            try:
                stamp = self._stamp_now()
                if stamp == self._stamp:
                    return
                self._stamp = stamp
                self.loaded = Loaded(self.path)
                self._tell({"event": "reloaded", "model": self.name})
            except (ValueError, OSError) as error:
                self._tell({"event": "kept the old model", "model": self.name, "reason": str(error)})

    def _stamp_now(self) -> tuple[int, int, int]:
        """Return what changes with the file; without a file it stays the same, so that this is told once."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return 0, 0, 0
        return status.st_mtime_ns, status.st_size, status.st_ino


def load_models(paths: Sequence[str], tell: Callable[[dict[str, Any]], None]) -> dict[str, Served]:
    """Return the models by name: that of the file, without its ending. ValueError if two have one name."""
    models: dict[str, Served] = {}
    for path in paths:
        model = Served(path, tell)
        if model.name in models:
            raise ValueError(f"{path}: there is another model called {model.name!r}; rename one of the files")
        models[model.name] = model
    return models


class Watch:
    """A thread that checks the files of models every second, and at once when asked."""

    def __init__(self, models: Mapping[str, Served]) -> None:
        self._models, self._wake, self._ended = models, threading.Event(), False

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="tollad-watch", daemon=True).start()

    def check_now(self) -> None:
        """Check the files without waiting for the next second."""
        self._wake.set()

    def stop(self) -> None:
        """Stop the thread."""
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(CHECK_EVERY)
            self._wake.clear()
            for model in self._models.values():
                model.reload_if_changed()
