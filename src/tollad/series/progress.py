"""Where a stream stands, in a file between two calls: `tollad score --state`."""

from __future__ import annotations

import hashlib
import os
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io import files
from tollad.series.model import SeriesModel
from tollad.series.streaming import Stream

Floats: TypeAlias = NDArray[np.float64]


class Progress:
    """A stream of a causal model and its clock, which go on where an earlier call ended.

    Parameters
    ----------
    model : SeriesModel
        Causal.
    path : path
        The state of an earlier call, if the file exists.

    Raises
    ------
    ValueError
        If the file is no state, is damaged, or is one of another model.
    OSError
        If it cannot be read.
    """

    def __init__(self, model: SeriesModel, path: str | os.PathLike[str]) -> None:
        self.stream, self.clock = Stream(model), model.clock.anew()
        self._path, self._model = path, _digest(model)
        if not os.path.exists(path):
            return
        name = os.fspath(path)
        metadata, tensors = files.read_packed(path)
        if metadata.get("kind") != "series state":
            raise ValueError(f"{name}: is no state of a series; give a file that an earlier call wrote")
        if metadata["model"] != self._model:
            raise ValueError(f"{name}: is the state of another model; give each model a state file of its own")
        self.stream.restore(metadata["stream"], tensors)
        self.clock.last = metadata["last"] if metadata["last"] is not None else self.clock.last

    def save(self) -> None:
        """Write the state, whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        stream, tensors = self.stream.state()
        last = self.clock.last if np.isfinite(self.clock.last) else None
        metadata: dict[str, files.JSON] = {
            "kind": "series state",
            "model": self._model,
            "stream": stream,
            "last": last,
        }
        with files.atomic_write(self._path, overwrite=True) as file:
            file.write(files.pack(metadata, tensors))


def _digest(model: SeriesModel) -> str:
    """Return what tells a model from any other."""
    plain = repr((model.columns, model.window, model.share, model.decision.offset))
    return hashlib.sha256(plain.encode() + model.decision.training_scores.tobytes()).hexdigest()
