"""Engines that score a served table: onnxruntime if its answers agree with the detector's, else the detector."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.estimator import TollDetector
from tollad.images.detector import ImageDetector
from tollad.serve.answers import answers_of_scores
from tollad.serve.runtime import TIE, Runtime
from tollad.tables.checks import refuse_infinite
from tollad.tables.features import names_of
from tollad.tables.rows import check_rows
from tollad.tables.schema import AS_WRITTEN, Column
from tollad.tables.times import shown_offset

Inputs: TypeAlias = Mapping[str, NDArray[Any]]
"""Rows as inputs of an engine: arrays of equal length by name."""

_N_SPECIMENS = 64


class Engine(Protocol):
    """Scores rows. The answers of a row have the same bits whatever rows come with it."""

    name: str

    def feed(self, rows: Any) -> Inputs:
        """Return rows as inputs for `answers`; ValueError or TypeError for rows that the model does not expect."""

    def answers(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Return the answers of each row, as `tollad.serve.answers.answers` does."""


class DetectorEngine:
    """The detector itself."""

    name = "torch"

    def __init__(self, detector: TollDetector) -> None:
        self._detector, self._model = detector, detector.as_model()

    def feed(self, rows: Any) -> Inputs:
        """Return the rows as a matrix of numbers."""
        return {"X": _matrix(self._detector, rows)}

    def answers(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Score the matrix."""
        model = self._model
        return answers_of_scores(self._detector, model.scorer.scores(inputs["X"], model.preparation))


class GraphEngine:
    """The detector as an ONNX graph."""

    name = "onnxruntime"

    def __init__(self, detector: TollDetector) -> None:
        self._runtime, self._detector = exported(detector), detector

    def feed(self, rows: Any) -> Inputs:
        """Return the inputs of the graph."""
        if self._runtime.columns is not None:
            return self._runtime.feed(rows)
        return {"X": _matrix(self._detector, rows)}

    def answers(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Run the graph."""
        names = [name for name in self._runtime.outputs if name != "scores"]
        found = dict(zip(names, self._runtime.run(names, inputs), strict=True))
        both = {"anomaly_score": found["anomaly_score"], "anomaly": found["label"] < 0}
        return both if "p_value" not in found else {**both, "p_value": found["p_value"]}


def exported(detector: TollDetector | ImageDetector) -> Runtime:
    """Return a detector as its graph; ImportError without onnxruntime, ValueError if it cannot be a graph."""
    importlib.import_module("onnxruntime")  # before anything is written
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        path = Path(folder, "model.onnx")
        detector.to_onnx(path)
        return Runtime.load(path)


def engine_of(detector: TollDetector) -> Engine:
    """Return the engine of a detector: its graph if there is one, onnxruntime is installed and their answers agree.

    They agree if for made-up rows no label and no p-value differs, and all scores are ties.
    """
    product = DetectorEngine(detector)
    try:
        graph, rows = GraphEngine(detector), specimens(detector)
        wanted, found = (engine.answers(engine.feed(rows)) for engine in (product, graph))
    except (ImportError, ValueError):
        return product
    return graph if agree(wanted, found, TIE) else product


def agree(wanted: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], share: float) -> bool:
    """Return whether two answers are equal, but for scores that differ by at most a share of their size."""
    scores = wanted["anomaly_score"]
    close = np.abs(found["anomaly_score"] - scores) <= share * np.abs(scores)
    others = wanted.keys() - {"anomaly_score"}
    return bool(close.all()) and all(np.array_equal(found[name], wanted[name]) for name in others)


def specimens(detector: TollDetector) -> pa.Table | NDArray[np.float64]:
    """Return made-up rows, usual and unusual, with missing values in columns that had some at fit."""
    rng, features = np.random.default_rng(0), detector.features_
    scale = features.scale[: len(features.fill)] if len(features.scale) else np.ones(len(features.fill))
    numbers = features.fill + scale * rng.normal(size=(_N_SPECIMENS, len(scale))) * rng.choice(
        [0.3, 1, 10], (_N_SPECIMENS, 1)
    )
    if not hasattr(detector, "columns_"):
        flagged = np.isin(np.arange(len(scale)), features.flagged)
        return np.where(flagged & (rng.random(numbers.shape) < 0.1), np.nan, numbers)
    encoding = detector.as_model().preparation.encoding
    assert encoding is not None
    places = {int(column): place for place, column in reversed([*enumerate(encoding.origin)])}
    kept = [(column, places.get(at, 0)) for at, column in enumerate(detector.columns_) if column.kind != "drop"]
    return pa.table(
        [_made(rng, column, numbers[:, place]) for column, place in kept], [column.name for column, _ in kept]
    )


def _matrix(detector: TollDetector, rows: Any) -> NDArray[np.float64]:
    """Return rows as numbers; an array has its columns in the order of the fit."""
    if isinstance(rows, np.ndarray) and not hasattr(detector, "columns_") and rows.shape[1:] == detector.input_shape_:
        refuse_infinite(rows, names_of(detector))
    else:
        rows = check_rows(detector, rows)
    return np.asarray(rows, dtype=np.float64)


def _made(rng: np.random.Generator, column: Column, numbers: NDArray[np.float64]) -> pa.Array:
    if column.kind == "number":
        return pa.array(numbers)
    if column.kind == "category":
        return pa.array(
            rng.choice(np.array([*column.levels[:20], "no such level"], dtype=object), _N_SPECIMENS), pa.string()
        )
    times = (rng.uniform(column.first, column.last + 30, _N_SPECIMENS) * 86_400e6).astype("datetime64[us]")
    if column.zone == AS_WRITTEN:
        return pa.array([f"{time}{shown_offset(column.offsets[0])}" for time in times])
    return pa.array(times, pa.timestamp("us", column.zone or None))
