"""The state of a stream in a file, between two calls."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io import artifact, files, packed
from tollad.series.pipeline import Pipeline
from tollad.series.validation import check_state
from tollad.warn import printable

if TYPE_CHECKING:
    from tollad.series.model import SeriesModel

Floats: TypeAlias = NDArray[np.float64]


class Progress:
    """The series of a causal model, resumed where an earlier call ended.

    Parameters
    ----------
    model : SeriesModel
        Causal.
    path : path
        File of the state; a new one is begun if it does not exist.
    n_reasons : int or None
        As in `Pipeline`.

    Attributes
    ----------
    pipelines : dict of str or None to Pipeline
        By group; None for the only one.

    Raises
    ------
    ValueError
        If the file is no state, is damaged, or belongs to another model.
    OSError
        If it cannot be read.
    """

    def __init__(self, model: SeriesModel, path: str | os.PathLike[str], n_reasons: int | None = None) -> None:
        self.pipelines: dict[str | None, Pipeline] = {}
        self._path, self._model = path, _digest(model)
        if not os.path.exists(path):
            return
        name = os.fspath(path)
        try:
            metadata, tensors = packed.read_packed(path)
        except ValueError as error:
            raise ValueError(f"{str(error).partition('; ')[0]}; remove this state to begin anew") from None
        if metadata.get("kind") != "series state":
            raise ValueError(f"{name}: is no state of a series; give a file that an earlier call wrote")
        if metadata.get("model") != self._model:
            raise ValueError(f"{name}: is the state of another model; give each model a state file of its own")
        try:
            for number, record in enumerate(metadata["series"]):
                group, its = record["group"], artifact.under_prefix(tensors, f"{number}.")
                check_state(model.of(group), group, record["stream"], its, record["last"])
                self.pipelines[group] = Pipeline(model, n_reasons, group)
                self.pipelines[group].restore(record["stream"], its, record["last"])
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: is no state that this tollad knows ({printable(str(error)):.200}); remove it to begin anew"
            ) from None

    def save(self) -> None:
        """Write the state, whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        series: list[packed.JSON] = []
        tensors: dict[str, Floats] = {}
        for number, (group, pipeline) in enumerate(self.pipelines.items()):
            stream, arrays, last = pipeline.state()
            series.append({"group": group, "stream": stream, "last": last})
            tensors |= {f"{number}.{name}": array for name, array in arrays.items()}
        metadata: dict[str, packed.JSON] = {"kind": "series state", "model": self._model, "series": series}
        with files.atomic_write(self._path, overwrite=True) as file:
            file.write(packed.pack(metadata, tensors))


def _digest(model: SeriesModel) -> str:
    """Return a digest that identifies a model."""
    own = [(group, _digest(one)) for group, one in model.own.items()]
    plain = repr((model.columns, model.window, model.share, model.decision.offset, model.gaps, model.group, *own))
    return hashlib.sha256(plain.encode() + model.decision.training_scores.tobytes()).hexdigest()
