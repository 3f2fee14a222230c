"""The end of every graph: label, decision function and p-value; and the graph as a file with metadata and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, checker, helper

from tollad import __version__
from tollad.calibration import Decision
from tollad.serve.graph import Graph
from tollad.serve.runtime import DIGEST, FORMAT, NO_DIGEST, TIE

_OPSET, _ML_OPSET = 17, 3


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


def answers(graph: Graph, decision: Decision, score: str) -> list[ValueInfoProto]:
    """Add label, decision function and p-value, and return the outputs of the graph."""
    threshold = graph.constant(decision.threshold, name="threshold")
    graph("Sub", threshold, score, output="scores")
    # Lower by the tolerance for ties.
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
    """Add ``(1 + #{calibration scores >= score}) / (m + 1)``, by binary search."""
    m = len(calibration)
    step = 1 << (m.bit_length() - 1)
    padded = np.concatenate([calibration, np.full(2 * step, np.inf)])
    values, zero = graph.constant(padded), graph.constant(0, np.int64)
    below = graph("Mul", graph("Cast", score, to=TensorProto.INT64), zero)  # a zero for each row
    while step:
        last = graph("Gather", values, graph("Add", below, graph.constant(step - 1, np.int64)))
        further = graph("Where", graph("Less", last, score), graph.constant(step, np.int64), zero)
        below = graph("Add", below, further)
        step //= 2
    n_above = graph("Sub", graph.constant(m + 1.0), graph.cast(below, TensorProto.DOUBLE))
    graph("Div", n_above, graph.constant(m + 1.0), output="p_value")
