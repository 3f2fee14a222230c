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
from tollad.serve.runtime import DIGEST, FORMAT, NO_DIGEST, TIE

RESERVED = ("", "label", "scores", "anomaly_score", "p_value", "parts", "expected", "threshold", "explained")
"""Names that no column of a graph may have: its outputs, and its optional inputs."""

_OPSET, _ML_OPSET = 17, 3
# Up to this many calibration scores, the rank of a score is found in two stages, above in three.
_MANY = 4096


def finished(
    graph: Graph, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto], known: Mapping[str, Any]
) -> bytes:
    """Return a graph as the bytes of a file, with the metadata `known` and a digest of all bytes."""
    # An input with an initializer is optional.
    every = [*inputs, helper.make_tensor_value_info("threshold", TensorProto.DOUBLE, [])]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "tollad", every, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
        producer_name="tollad",
        producer_version=__version__,
    )
    proto.ir_version = 8  # the oldest version with these operators, for older runtimes
    said = {"format": FORMAT, "tollad": __version__, **known}
    helper.set_model_props(proto, {DIGEST: NO_DIGEST, "tollad": json.dumps(said)})
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
    n_stages = 2 if m <= _MANY else 3
    width = math.ceil(m ** (1 / n_stages))
    values = graph.constant(np.append(calibration, np.full(width**n_stages + width ** (n_stages - 1) - m, np.inf)))
    last = graph.axes(1)
    column = graph("Unsqueeze", score, last)
    below = graph.constant([[0]], np.int64)
    for stage in reversed(range(n_stages)):
        stride = width**stage
        ends = graph("Add", below, graph.constant(stride * np.arange(1, width + 1) - 1, np.int64))
        is_below = graph.cast(graph("Less", graph("Gather", values, ends), column), TensorProto.INT64)
        further = graph("ReduceSum", is_below, last, keepdims=1)
        below = graph("Add", below, graph("Mul", further, graph.constant(stride, np.int64)))
    n_above = graph("Sub", graph.constant(m + 1.0), graph.cast(graph("Squeeze", below, last), TensorProto.DOUBLE))
    graph("Div", n_above, graph.constant(m + 1.0), output="p_value")
