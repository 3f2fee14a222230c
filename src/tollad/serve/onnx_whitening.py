"""Whitening in a graph, in double precision."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tollad.detector.whitening import Floats, Whitening
from tollad.serve.graph import Graph


def whitened(graph: Graph, whitening: Whitening, rows: str) -> str:
    """Return whitened rows: (n, d) -> (n, d)."""
    centred = graph("Sub", rows, graph.constant(whitening.mean))
    return _along(graph, whitening, centred, whitening.gains, whitening.rest)


def unwhitened(graph: Graph, whitening: Whitening, rows: str) -> str:
    """Undo the whitening of rows: (n, d) -> (n, d)."""
    gains = 1 / (whitening.gains + whitening.rest) - 1 / whitening.rest
    centred = _along(graph, whitening, rows, gains, 1 / whitening.rest)
    return graph("Add", centred, graph.constant(whitening.mean))


def _along(graph: Graph, whitening: Whitening, rows: str, gains: Floats, rest: Floats) -> str:
    """Return rows, (n, d), times `gains` + `rest` along each direction, and times `rest` in all others."""
    # The file holds the directions in single precision, as the model file does.
    directions = graph.cast(graph.constant(whitening.directions, np.float32), TensorProto.DOUBLE)
    along = graph("MatMul", rows, graph("Transpose", directions, perm=[1, 0]))
    along = graph("MatMul", graph("Mul", along, graph.constant(gains)), directions)
    return graph("Add", graph("Mul", rows, graph.constant(rest)), along)
