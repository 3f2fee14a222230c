"""An ONNX graph under construction: constants and nodes that name themselves, and the padding of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

# Rows are padded to a multiple of this. Without that, special kernels run for the remainder and round differently, so
# the bits of a row would depend on its batch.
_ROWS = 4


class Graph:
    """Nodes and constants in the order in which they were added. A value is known by its name.

    Parameters
    ----------
    prefix : str
        Begins all names: those of a graph within another must differ from all of the other.

    Examples
    --------
    >>> graph = Graph()
    >>> doubled = graph("Mul", "X", graph.constant(2.0))
    >>> [(node.op_type, list(node.input)) for node in graph.nodes]
    [('Mul', ['X', 'c0'])]
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, value: ArrayLike, dtype: Any = np.float64, name: str | None = None) -> str:
        """Add a constant tensor and return its name."""
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        array = array.reshape(np.shape(value))  # ascontiguousarray gives a scalar the shape (1,)
        name = name or f"{self._prefix}c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def __call__(self, operator: str, *inputs: str, output: str | None = None, domain: str = "", **how: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = output or self._next()
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **how))
        return output

    def both(self, operator: str, *inputs: str, **how: Any) -> tuple[str, str]:
        """Add a node with two outputs and return their names."""
        outputs = self._next(), f"{self._next()}_"
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, **how))
        return outputs

    def _next(self) -> str:
        return f"{self._prefix}v{len(self.nodes)}"

    def axes(self, *axes: int) -> str:
        """Return axes as a tensor for reductions."""
        return self.constant(axes, np.int64)

    def cast(self, value: str, data_type: int) -> str:
        """Return a value cast to another type of `onnx.TensorProto`."""
        return self("Cast", value, to=data_type)


class Padding:
    """Pads rows to a multiple, and removes the padding again.

    Parameters
    ----------
    graph : Graph
    rows : str
        An input with the rows, (n, ...).
    """

    def __init__(self, graph: Graph, rows: str) -> None:
        self._graph, self._pads = graph, dict[int, str]()
        self._zero, self._multiple = graph.axes(0), graph.constant([_ROWS], np.int64)
        self._n = graph("Shape", rows, start=0, end=1)

    def pad(self, value: str, *, n_axes: int = 1) -> str:
        """Append rows of zeros to a value, (n, ...)."""
        if n_axes not in self._pads:
            # Where rows are appended, -n modulo the multiple; 0 elsewhere.
            signs = self._graph.constant([0] * n_axes + [-1] + [0] * (n_axes - 1), np.int64)
            self._pads[n_axes] = self._graph("Mod", self._graph("Mul", self._n, signs), self._multiple)
        return self._graph("Pad", value, self._pads[n_axes])

    def unpad(self, value: str, output: str | None = None, graph: Graph | None = None) -> str:
        """Remove the appended rows of a value, by a node of the graph or of another one within it."""
        return (graph or self._graph)("Slice", value, self._zero, self._n, output=output)
