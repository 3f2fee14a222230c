"""The Open Inference Protocol v2: rows as tensors in JSON, and answers as tensors.

A table of numbers is one input ``X``, (n, d), as in the ONNX graph. A table of mixed columns has one input for each
column, (n,): numbers as ``FP64``, categories and dates as ``BYTES``, which are texts in JSON. ``null`` is a missing
value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tollad import __version__
from tollad.detector.estimator import TollDetector
from tollad.serve.bodies import NUMBERS, first_of_another_type, floats, from_json
from tollad.serve.limits import RefusedError, too_many
from tollad.serve.models import Loaded

_INTEGERS = {f"{sign}{bits}" for sign in ("INT", "UINT") for bits in (8, 16, 32, 64)}
_NUMBERS = {"FP64", "FP32", "FP16", "BOOL", *_INTEGERS}
_OUTPUTS = {"anomaly_score": "FP64", "anomaly": "BOOL", "p_value": "FP64"}
SERVER = {"name": "tollad", "version": __version__, "extensions": []}
"""The metadata of the server."""


def inputs_of(detector: TollDetector, names: list[str]) -> dict[str, tuple[str, list[int]]]:
    """Return data type and shape of each input. -1 stands for any number of rows."""
    if not hasattr(detector, "columns_"):
        return {"X": ("FP64", [-1, len(names)])}
    kinds = {column.name: column.kind for column in detector.columns_}
    return {name: ("FP64" if kinds[name] == "number" else "BYTES", [-1]) for name in names}


def tensors_of(name: str, loaded: Loaded) -> dict[str, Any]:
    """Return the metadata of a model, as the protocol defines it."""
    detector, names = loaded.table.detector, loaded.table.reader.names
    inputs = inputs_of(detector, names)
    calibrated = detector.decision_.calibration_scores is not None
    outputs = {output: datatype for output, datatype in _OUTPUTS.items() if calibrated or output != "p_value"}
    return {
        "name": name,
        "versions": ["1"],
        "platform": "tollad",
        "inputs": [{"name": each, "datatype": datatype, "shape": shape} for each, (datatype, shape) in inputs.items()],
        "outputs": [{"name": each, "datatype": datatype, "shape": [-1]} for each, datatype in outputs.items()],
    }


class Inference:
    """One request for inference: first its rows are read, then its answer is written.

    Parameters
    ----------
    body : bytes
    """

    def __init__(self, body: bytes) -> None:
        self._body, self._asked = body, dict[str, Any]()

    def rows(self, loaded: Loaded, most: int) -> Any:
        """Return the rows of the request.

        Raises
        ------
        ValueError
            For a body that is no such request, or has other tensors than the model takes.
        RefusedError
            For more than `most` rows.
        """
        asked, detector, reader = from_json(self._body), loaded.table.detector, loaded.table.reader
        if not isinstance(asked, Mapping) or not isinstance(asked.get("inputs"), list):
            raise ValueError('the body must be {"inputs": [{"name", "shape", "datatype", "data"}, ...]}')
        self._asked = dict(asked)
        wanted, given = inputs_of(detector, reader.names), dict[str, Any]()
        for tensor in asked["inputs"]:
            name = tensor.get("name") if isinstance(tensor, Mapping) else None
            if not isinstance(name, str) or name not in wanted or name in given:
                raise ValueError(f"the inputs must be {', '.join(wanted)}, each once")
            given[name] = _values(tensor, name, *wanted[name])
        lacking = [name for name in wanted if name not in given]
        if lacking:
            raise ValueError(f"the inputs lack {', '.join(lacking)}")
        sizes = {len(values) for values in given.values()}
        if len(sizes) > 1:
            raise ValueError("all inputs must have as many rows as one another")
        (n_rows,) = sizes
        if n_rows > most:
            raise too_many(n_rows, most, "the inputs have")
        return reader.of_columns(given) if hasattr(detector, "columns_") else given["X"]

    def answer(self, name: str, values: Mapping[str, Any], threshold: float) -> dict[str, Any]:
        """Return the answer of a model to the request whose rows were read."""
        wanted = self._asked.get("outputs")
        names: list[Any] = [*values]
        if isinstance(wanted, list) and wanted:
            names = [output.get("name") if isinstance(output, Mapping) else None for output in wanted]
            if not all(isinstance(output, str) and output in values for output in names):
                raise RefusedError(400, f"the outputs are {', '.join(values)}")
        answer = {
            "model_name": name,
            "model_version": "1",
            "parameters": {"threshold": threshold},
            "outputs": [
                {"name": each, "datatype": _OUTPUTS[each], "shape": [len(values[each])], "data": values[each]}
                for each in names
            ],
        }
        identity = self._asked.get("id")
        return {**answer, "id": identity} if isinstance(identity, str) else answer


def _values(tensor: Mapping[str, Any], name: str, datatype: str, expected: list[int]) -> Any:
    """Return the values of a tensor: an array for a matrix, a list for a column."""
    shape, data, given = tensor.get("shape"), tensor.get("data"), tensor.get("datatype")
    if given not in (_NUMBERS if datatype == "FP64" else {"BYTES"}):
        raise ValueError(f"input {name!r:.60}: the datatype must be {datatype}")
    if (
        not isinstance(shape, list)
        or not all(type(side) is int and side > 0 for side in shape)
        or len(shape) != len(expected)
        or shape[1:] != expected[1:]
    ):
        raise ValueError(f"input {name!r:.60}: the shape must be {expected}, the first being the number of rows")
    if not isinstance(data, list):
        raise ValueError(f"input {name!r:.60}: the data must be a list")
    if len(shape) == 2 and len(data) == shape[0] and all(isinstance(row, list) for row in data):
        if any(len(row) != shape[1] for row in data):
            raise ValueError(f"input {name!r:.60}: the data must have {shape[1]} values a row")
        data = [value for row in data for value in row]
    if len(data) != math.prod(shape):
        raise ValueError(
            f"input {name!r:.60}: the shape {shape} wants {math.prod(shape)} values; there are {len(data)}"
        )
    texts: set[type] = {str, type(None)}
    types, word = (NUMBERS, "number") if datatype == "FP64" else (texts, "text")
    place = first_of_another_type(data, types)
    if place is not None:
        raise ValueError(f"input {name!r:.60}, value {place}: {data[place]!r:.60} is no {word}")
    return floats(data).reshape(shape) if len(shape) == 2 else data
