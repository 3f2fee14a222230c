"""Scores of an ONNX file of `tollad export`, by onnxruntime and NumPy: neither torch nor scikit-learn is imported."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.io.files import open_regular
from tollad.io.pixels import floats_of
from tollad.io.source import Source
from tollad.serve.plain import plain_inputs
from tollad.tables.frames import as_rows, check_names, known_columns, to_arrow
from tollad.tables.objects import numbers_of, with_objects
from tollad.tables.schema import Column, number_columns
from tollad.tables.times import days_of
from tollad.tables.values import read_as

FORMAT = 1
"""Version of the metadata in an ONNX file."""
DIGEST = "tollad.sha256"
NO_DIGEST = "0" * 64
# First bytes of an ONNX file of tollad: the version of the operators, and the writer.
_START = b"\x08\x08\x12\x06tollad"
# Rows that a graph takes at once, by kind: enough to keep the processor busy, and few enough for its cache.
_BLOCK_ROWS = {"table": 2048, "arrays": 256, "images": 64}
EXPLAINED = ("parts", "expected", "column_parts")
"""Outputs that are empty unless the input ``explained`` is true."""
TIE = 1e-6
"""Scores that differ by less than this share of their size are ties."""


@dataclass(frozen=True, eq=False)
class Runtime:
    """Scores by an ONNX file.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
    names : tuple of str
        Columns of the rows.
    columns : tuple of Column or None
        The columns, if they are not all numbers.
    has_names : bool
        Whether the rows of the fit had names.
    metadata : dict
        The metadata of the file.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from tollad import TollDetector
    >>> normal = np.random.default_rng(0).normal(size=(300, 3))
    >>> detector = TollDetector(steps=50, random_state=0).fit(normal)
    >>> path = f"{tempfile.mkdtemp()}/model.onnx"
    >>> detector.to_onnx(path)
    >>> Runtime.load(path).score([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])["label"].tolist()
    [1, -1]
    """

    session: Any
    names: tuple[str, ...]
    columns: tuple[Column, ...] | None
    has_names: bool
    metadata: Mapping[str, Any]

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, n_threads: int = 1) -> Self:
        """Read an ONNX file that `tollad export` wrote.

        Parameters
        ----------
        path : path
        n_threads : int, default 1
            Threads of one call. Several calls may run at the same time.

        Raises
        ------
        ImportError
            Without onnxruntime.
        ValueError
            If it is no ONNX file of tollad, or was altered.
        OSError
            If the file cannot be read.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("ONNX files need the package onnxruntime: pip install 'tollad[onnx]'") from error
        with open_regular(path) as file:
            data = file.read()
        name = os.fspath(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = n_threads
        options.log_severity_level = 4  # errors are reported by exceptions
        _check_digest(data, name)
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["tollad"])
        if metadata["format"] > FORMAT:
            raise ValueError(f"{name} was written by tollad {metadata['tollad']}, which is newer; update tollad")
        columns = metadata.get("columns")
        learnt = None if columns is None else tuple(Column.from_json(column) for column in columns)
        return cls(session, tuple(metadata.get("names", ())), learnt, metadata.get("has_names", False), metadata)

    @property
    def input_shape_(self) -> tuple[int, ...]:
        """Shape of a row, of an image, or of a time step."""
        return tuple(self.metadata.get("input_shape", (len(self.names),)))

    @property
    def n_features_in_(self) -> int:
        """Columns of a row, channels of an image or a time step."""
        return self.input_shape_[0]

    @property
    def known(self) -> Mapping[str, Any]:
        """The former name of `metadata`."""
        return self.metadata

    @property
    def kind(self) -> str:
        """Kind of the samples: "table", "images", "series", or "arrays" of images or windows."""
        return str(self.metadata["kind"])

    @property
    def columns_(self) -> list[Column]:
        """The columns; AttributeError if all are numbers."""
        if self.columns is None:
            raise AttributeError("all columns are numbers")
        return list(self.columns)

    @property
    def truths_(self) -> NDArray[np.bool_] | None:
        """Which columns of a table of numbers take true and false for 1 and 0, (d,); None if the file does not tell."""
        return np.array(self.metadata["truths"], dtype=np.bool_) if self.metadata.get("truths") else None

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """Names of the columns; AttributeError if the rows of the fit had none."""
        if not self.has_names:
            raise AttributeError("the rows of the fit had no names")
        return np.array(self.names, dtype=object)

    @property
    def source_(self) -> Source | None:
        """How the file of the fit was read; None for a fit from Python."""
        source = self.metadata.get("source")
        return None if source is None else Source.from_json(source)

    @property
    def decision_(self) -> Runtime:
        """The object with `threshold` and `is_anomaly`, as a detector has it: this one."""
        return self

    @property
    def threshold(self) -> float:
        """Rows with a score above this, and no tie with it, are anomalies."""
        return float(self.metadata["threshold"])

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the anomaly score of each row of `X`, as in `feed`: (n,), high = anomalous."""
        (scores,) = self.run(["anomaly_score"], self.feed(X))
        return np.asarray(scores, dtype=np.float64)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return some outputs of the graph for the inputs of `feed`, block by block, in constant memory.

        A series is one block, since its windows overlap.
        """
        n_rows = max(len(values) for values in inputs.values() if values.ndim)  # a threshold has no axis
        most = n_rows if self.kind == "series" else _BLOCK_ROWS[self.kind]
        if n_rows <= most:
            return list(self.session.run(outputs, dict(inputs)))
        blocks = []
        for start in range(0, n_rows, most):
            block = {name: values[start : start + most] if values.ndim else values for name, values in inputs.items()}
            blocks.append(self.session.run(outputs, block))
        return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]

    def is_anomaly(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which `scores`, (n,), lie above the threshold and are no ties with it, like the labels: (n,)."""
        return scores - np.abs(scores) * TIE > self.threshold

    def feed(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the inputs of the graph for rows.

        Parameters
        ----------
        X : array-like or frame
            Rows of the columns of the fit: of pandas, polars or Arrow, a dict, a list of dicts, or numbers, (n, d). Or
            images, (n, H, W) or (n, C, H, W), uint8 or from 0 to 1. Or the steps of a series, (T,) or (T, C), or a
            frame of them.

        Raises
        ------
        ValueError
            For other columns, infinite values, or values of another kind than at the fit.
        """
        if self.kind == "images":
            return {"X": _images(X, self.input_shape_)}
        if self.kind == "arrays":
            return {"X": _arrays(X, self.input_shape_)}
        if self.kind == "series":
            return {"X": _steps(X, self.names, self.metadata["window"])}
        if self.columns is not None:
            listed = [X] if isinstance(X, Mapping) else X
            plain = plain_inputs(listed, self.columns) if isinstance(listed, (list, tuple)) and listed else None
            if plain is not None:
                return self._as_inputs(plain)
        X = as_rows(X)
        table = to_arrow(X)
        if self.columns is None:
            given = X if table is None else self._ordered(table)
            return {"X": _numbers(given, self.names, self.truths_)}
        if table is None:
            raise ValueError(f"the model takes a table with named columns: {', '.join(self.names)}")
        by_name = known_columns(table, self.columns)
        inputs: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            if column.kind == "drop":
                continue
            values = read_as(column, by_name[column.name], "row {}".format)
            if column.kind == "category":
                texts = values.to_pylist()
                inputs[column.name] = np.array(["" if text is None else text for text in texts], dtype=object)
            elif column.kind == "number":
                inputs[column.name] = np.asarray(values.to_numpy(), dtype=np.float64)
            else:
                inputs[column.name] = np.asarray(days_of(values), dtype=np.float64)
        return self._as_inputs(inputs)

    def _as_inputs(self, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return columns by the names of their inputs, which differ where the graph has other values of these names."""
        other = self.metadata.get("inputs")
        return {other.get(name, name): values for name, values in columns.items()} if other else columns

    def score(self, X: ArrayLike, *, threshold: float | None = None) -> dict[str, NDArray[Any]]:
        """Score rows.

        Parameters
        ----------
        X : array-like or frame
            As in `feed`.
        threshold : float, optional
            Rows with a higher score are anomalies; by default the model's own threshold.

        Returns
        -------
        dict of str to ndarray, (n,)
            ``label`` (+1 normal, -1 anomaly), ``scores`` (the decision function, negative for anomalies),
            ``anomaly_score`` and, where the model was calibrated, ``p_value``; of images also ``anomaly_map``,
            (n, H, W). One value a row, an image or a time step.
        """
        inputs = self.feed(X)
        if threshold is not None:
            inputs["threshold"] = np.asarray(threshold, dtype=np.float64)
        return dict(zip(self.outputs, self.run(self.outputs, inputs), strict=True))

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs with one value, or one map, a row."""
        names = [output.name for output in self.session.get_outputs()]
        return [name for name in names if name not in EXPLAINED]

    def _ordered(self, table: Any) -> Any:
        """Return the columns of a table of numbers in the order of the fit."""
        if not self.has_names:
            table = table.rename_columns([*self.names]) if table.num_columns == len(self.names) else table
        check_names("the table", table.column_names, self.names)
        columns = number_columns(self.names, self.truths_)
        return np.column_stack([read_as(column, table[column.name], "row {}".format).to_numpy() for column in columns])


def is_onnx(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is an ONNX file: by its ending or, if tollad wrote it, by its first bytes."""
    if os.fspath(path).endswith(".onnx"):
        return True
    try:
        with open_regular(path) as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def _check_digest(data: bytes, name: str) -> None:
    """Raise ValueError for a file that tollad did not write, or that was altered."""
    key = DIGEST.encode()
    at = data.rfind(key)
    # A string in the metadata is stored as its key, a byte for the field, a byte for the length, and the text.
    start = at + len(key) + 2
    digest = data[start : start + 64]
    if at < 0 or len(digest) < 64:
        raise ValueError(f"{name} is no ONNX file of tollad; export a model to one")
    blank = data[:start] + NO_DIGEST.encode() + data[start + 64 :]
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise ValueError(f"{name} was altered or damaged after it was written; export the model again")


def _numbers(X: Any, names: tuple[str, ...], truths: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    given = np.asarray(with_objects(X))
    fits = given.shape[1:] == (len(names),)
    rows: NDArray[np.float64] = np.asarray(numbers_of(given, names, truths) if fits else given, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise ValueError(f"the rows have shape {rows.shape}; the model takes (n, {len(names)})")
    if not len(rows):
        raise ValueError("there are no rows to score")
    infinite = np.argwhere(np.isinf(rows))
    if len(infinite):
        row, column = infinite[0]
        raise ValueError(
            f"row {row}, column {names[column]!r}: the value is infinite; correct it, or mark it as missing (NaN)"
        )
    return rows


def _images(X: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    images = floats_of(X)
    if images.shape[1:] != shape:
        raise ValueError(f"the images have the shape {images.shape[1:]}; the model takes (n, {shape})")
    return images


def _arrays(X: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = np.asarray(X, dtype=np.float64)
    if rows.shape[1:] != shape or not len(rows):
        raise ValueError(f"the rows have shape {rows.shape}; the model takes (n, {', '.join(map(str, shape))})")
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        raise ValueError(f"row {bad[0][0]}: a value is missing or infinite; correct it, or leave the row out")
    return rows


def _steps(X: Any, names: tuple[str, ...], window: int) -> NDArray[np.float64]:
    table = to_arrow(X)
    if table is not None:
        check_names("the series", table.column_names, names, ignored=table.column_names)
        X = np.column_stack([table.column(name).to_numpy() for name in names])
    steps: NDArray[np.float64] = np.asarray(X, dtype=np.float64)
    if steps.ndim == 1:
        steps = steps[:, None]
    if steps.ndim != 2 or steps.shape[1] != len(names):
        raise ValueError(f"the series has shape {np.shape(X)}; the model takes (T, {len(names)}), time steps first")
    bad = np.argwhere(~np.isfinite(steps))
    if len(bad):
        step, channel = bad[0]
        raise ValueError(f"the value of step {step} in channel {names[channel]!r} is missing or infinite; fill it")
    if len(steps) < window:
        raise ValueError(f"the series has {len(steps)} time steps, fewer than a window of {window}; give a longer one")
    return steps
