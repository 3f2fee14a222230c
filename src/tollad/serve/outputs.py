"""The end of every graph: label, decision function and p-value; and the graph as a file with metadata and digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, checker, helper

from tollad import __version__
from tollad.calibration import Decision
from tollad.serve.graph import Graph
from tollad.serve.runtime import DIGEST, EXPLAINED, FORMAT, NO_DIGEST, TIE

RESERVED = ("", "label", "scores", "anomaly_score", "p_value", *EXPLAINED, "threshold", "explained")
"""Names that no column of a graph may have: its outputs, and its optional inputs."""

_OPSET, _ML_OPSET = 17, 3
# Up to so many calibration scores, the rank of a score is found in one, two or three stages.
_MOST = (512, 65_536, math.inf)


def finished(
    graph: Graph, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto], metadata: Mapping[str, Any]
) -> bytes:
    """Return a graph as the bytes of a file, with metadata and a digest of all bytes."""
    # An input with an initializer is optional.
    every = [*inputs, helper.make_tensor_value_info("threshold", TensorProto.DOUBLE, [])]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "tollad", every, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
        producer_name="tollad",
        producer_version=__version__,
    )
    proto.ir_version = 8  # the oldest version with these operators, for older runtimes
    values = {"format": FORMAT, "tollad": __version__, **metadata}
    helper.set_model_props(proto, {DIGEST: NO_DIGEST, "tollad": json.dumps(values)})
    checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    digest = hashlib.sha256(data).hexdigest()
    return data.replace(NO_DIGEST.encode(), digest.encode(), 1)


def add_answers(graph: Graph, decision: Decision, score: str) -> list[ValueInfoProto]:
    """Add label, decision function and p-value, and return the outputs of the graph."""
    threshold = graph.constant(decision.threshold, name="threshold")
    graph("Sub", threshold, score, output="scores")
    # The score, less the tolerance for ties.
    least = graph("Sub", score, graph("Mul", graph("Abs", score), graph.constant(TIE)))
    is_anomaly = graph("Greater", least, threshold)
    graph("Where", is_anomaly, graph.constant(-1, np.int64), graph.constant(1, np.int64), output="label")
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        *(helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in ("scores", "anomaly_score")),
    ]
    if decision.calibration_scores is not None:
        _p_value(graph, decision.calibration_scores, least)
        outputs.append(helper.make_tensor_value_info("p_value", TensorProto.DOUBLE, ["n"]))
    return outputs


def _p_value(graph: Graph, calibration: NDArray[np.float64], score: str) -> None:
    """Add ``(1 + #{calibration scores >= score}) / (m + 1)``, found by narrowing: few nodes, few numbers a row."""
    m = len(calibration)
    n_stages = next(number for number, most in enumerate(_MOST, 1) if m <= most)
    width = math.ceil(m ** (1 / n_stages))
    values = np.append(calibration, np.full(width**n_stages + width ** (n_stages - 1) - m, np.inf))
    last = graph.axes(1)
    column, below = graph("Unsqueeze", score, last), ""
    for stage in reversed(range(n_stages)):
        stride = width**stage
        ends = stride * np.arange(1, width + 1) - 1
        others = (
            graph("Gather", graph.constant(values), graph("Add", below, graph.constant(ends, np.int64)))
            if below
            else graph.constant(values[ends])
        )
        is_below = graph.cast(graph("Less", others, column), TensorProto.FLOAT)  # floats are added faster
        further = graph.cast(graph("ReduceSum", is_below, last, keepdims=1), TensorProto.INT64)
        if stride > 1:
            further = graph("Mul", further, graph.constant(stride, np.int64))
        below = graph("Add", below, further) if below else further
    by_place = graph.constant((m + 1.0 - np.arange(m + 1)) / (m + 1.0))
    graph("Gather", by_place, graph("Squeeze", below, last), output="p_value")
