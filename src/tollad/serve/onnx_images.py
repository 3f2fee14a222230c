"""A fitted detector of images as one ONNX graph: gradients, distance from good images, and anomaly map."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.images import gradients
from tollad.images.heads import N_NEIGHBOURS, CollapseHead, LedoitWolfHead, NearestHead, Whitening
from tollad.images.levels import Whole, enlarged
from tollad.io.files import atomic_write
from tollad.io.source import Source
from tollad.serve.onnx import Filled, Graph, TensorProto, add_answers, finished, helper, network_of, score_of, views_of

_TINY = 1e-12
_ALL_AXES = (1, 2, 3)


@dataclass(frozen=True)
class FittedImages:
    """The part of an image detector that a graph can hold.

    Attributes
    ----------
    representation : str
        Only "gradients" can be exported.
    input_shape : tuple of int, (C, H, W)
    wholes : sequence of Whole
    map_unit : float
    decision : Decision
    notes : dict of JSON values
    source : Source or None
        How the images of the fit were read.
    """

    representation: str
    input_shape: tuple[int, int, int]
    wholes: Sequence[Whole]
    map_unit: float
    decision: Decision
    notes: Mapping[str, Any]
    source: Source | None


def write_images(fitted: FittedImages, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a detector of images as an ONNX file.

    The graph takes images, (n, C, H, W), float32 from 0 to 1. It has the outputs of the graph of a table and, unless
    the head is an autoencoder, ``anomaly_map``, (n, H, W).

    Parameters
    ----------
    fitted : FittedImages
    path, overwrite
        As in `tollad.serve.onnx.write_onnx`.

    Raises
    ------
    ValueError
        For another representation than gradients. Nothing is written then.
    OSError
        If the file cannot be written.
    """
    if fitted.representation != "gradients":
        raise ValueError(
            f"the representation {fitted.representation!r} of images cannot be exported; fit with 'gradients'"
        )
    data = to_bytes(fitted)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def to_bytes(fitted: FittedImages) -> bytes:
    """Return the bytes that `write_images` writes."""
    graph = Graph()
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", *fitted.input_shape])]
    filled = Filled(graph, "X")
    rows = _gradients(graph, filled.up("X", n_axes=4), fitted.input_shape)
    (level,) = fitted.wholes
    score, parts = _head(graph, level.head, rows)
    score = graph("Div", score, graph.constant(level.unit))
    # The mean over the levels, of which there is only one, has this lower bound.
    score = graph("Max", score, graph.constant(_TINY))
    outputs = add_answers(graph, fitted.decision, filled.back(score, "anomaly_score"))
    if parts is not None:
        size = fitted.input_shape[1:]
        maps = _enlarged(graph, parts, level.unit * fitted.map_unit, size)
        filled.back(maps, "anomaly_map")
        outputs.append(helper.make_tensor_value_info("anomaly_map", TensorProto.DOUBLE, ["n", *size]))
    known = {
        "kind": "images",
        "input_shape": list(fitted.input_shape),
        "source": None if fitted.source is None else fitted.source.to_json(),
        "threshold": fitted.decision.threshold,
        "threshold_rule": list(fitted.decision.rule),
        "notes": dict(fitted.notes),
    }
    return finished(graph, inputs, outputs, known)


def _gradients(graph: Graph, images: str, shape: tuple[int, int, int]) -> str:
    """Return oriented gradients by cell, (n, 512), like `tollad.images.gradients.oriented_gradients`."""
    _, height, width = shape
    bordered = graph("Pad", images, graph.constant([0, 0, 1, 1] * 2, np.int64), mode="edge")
    half = graph.constant(2.0, np.float32)
    across = graph("Div", _difference(graph, bordered, 3, 2), half)
    down = graph("Div", _difference(graph, bordered, 2, 3), half)
    oriented = []
    for number in range(gradients.N_ORIENTATIONS):
        angle = 2 * math.pi * number / gradients.N_ORIENTATIONS
        parts = [
            graph("Mul", part, graph.constant(turn, np.float32))
            for part, turn in ((across, math.cos(angle)), (down, math.sin(angle)))
        ]
        along = graph("Relu", graph("Add", *parts))
        oriented.append(graph("ReduceSum", along, graph.axes(1), keepdims=1))
    maps = graph("Concat", *oriented, axis=1)
    for axis, side in ((2, height), (3, width)):
        cell = gradients.cell_side(side)
        kernel = [cell, 1] if axis == 2 else [1, cell]
        maps = graph("AveragePool", maps, kernel_shape=kernel)
        starts = graph.constant(gradients.cell_starts(side - cell + 1), np.int64)
        maps = graph("Gather", maps, starts, axis=axis)
    cells = graph("Transpose", graph("Sqrt", maps), perm=[0, 2, 3, 1])
    length = graph("Sqrt", graph("ReduceSum", graph("Mul", cells, cells), graph.axes(*_ALL_AXES), keepdims=1))
    n_numbers = gradients.N_CELLS**2 * gradients.N_ORIENTATIONS
    longest = graph("Max", length, graph.constant(_TINY, np.float32))
    factor = graph("Div", graph.constant(math.sqrt(n_numbers), np.float32), longest)
    return graph("Reshape", graph("Mul", cells, factor), graph.constant([-1, n_numbers], np.int64))


def _difference(graph: Graph, bordered: str, along: int, other: int) -> str:
    """Return the difference of the pixels on both sides along an axis, of images with a border of one pixel."""
    most = np.iinfo(np.int64).max
    axes = graph.axes(along, other)
    after = graph("Slice", bordered, graph.constant([2, 1], np.int64), graph.constant([most, -1], np.int64), axes)
    before = graph("Slice", bordered, graph.constant([0, 1], np.int64), graph.constant([-2, -1], np.int64), axes)
    return graph("Sub", after, before)


def _head(graph: Graph, head: Any, rows: str) -> tuple[str, str | None]:
    """Return the score of each row, (n,), and the share of each number in it, (n, d), or None."""
    values = graph.cast(rows, TensorProto.DOUBLE)
    if isinstance(head, LedoitWolfHead):
        score, parts = _shares(graph, _whitened(graph, head.whitening, values), axis=1)
        return score, parts
    if isinstance(head, NearestHead):
        return _nearest(graph, head, _whitened(graph, head.whitening, values))
    assert isinstance(head, CollapseHead)
    assert head.whitening is not None
    given = _whitened(graph, head.whitening, values)
    given = graph("Mul", given, graph.constant(math.sqrt(len(head.whitening.mean))))
    model = head.detector.as_model()
    network, features = network_of(model), model.preparation.features
    return score_of(graph, model.scorer, network, views_of(graph, features, given), features.n_views).score, None


def _whitened(graph: Graph, whitening: Whitening, rows: str) -> str:
    centred = graph("Sub", rows, graph.constant(whitening.mean))
    # The file holds the directions in single precision, as the model file does.
    directions = graph.cast(graph.constant(whitening.directions, np.float32), TensorProto.DOUBLE)
    along = graph("MatMul", centred, graph("Transpose", directions, perm=[1, 0]))
    along = graph("MatMul", graph("Mul", along, graph.constant(whitening.gains)), directions)
    return graph("Add", graph("Mul", centred, graph.constant(whitening.rest)), along)


def _shares(graph: Graph, rows: str, *, axis: int) -> tuple[str, str]:
    """Return the Euclidean length of each row, and the share of each number in it."""
    squares = graph("Mul", rows, rows)
    length = graph("Sqrt", graph("ReduceSum", squares, graph.axes(axis), keepdims=1))
    parts = graph("Div", squares, graph("Max", length, graph.constant(np.finfo(np.float64).tiny)))
    return graph("Squeeze", length, graph.axes(axis)), parts


def _nearest(graph: Graph, head: NearestHead, rows: str) -> tuple[str, str]:
    kept: NDArray[np.float32] = head.rows
    good = graph.constant(kept, np.float32)
    products = graph("Gemm", graph.cast(rows, TensorProto.FLOAT), good, transB=1)
    doubled = graph("Mul", graph.cast(products, TensorProto.DOUBLE), graph.constant(2.0))
    squares = graph.constant(np.square(kept, dtype=np.float64).sum(1))
    n_nearest = graph.constant([min(N_NEIGHBOURS, len(kept))], np.int64)
    graph.nodes.append(
        helper.make_node("TopK", [graph("Sub", squares, doubled), n_nearest], ["near", "at"], axis=1, largest=0)
    )
    # Sorted by place and not by distance, so that they are added in the same order whatever rows come along.
    graph.nodes.append(helper.make_node("TopK", ["at", n_nearest], ["places", "order"], axis=1, largest=0))
    others = graph.cast(graph("Gather", good, "places", axis=0), TensorProto.DOUBLE)
    offsets = graph("Sub", graph("Unsqueeze", rows, graph.axes(1)), others)
    lengths, parts = _shares(graph, offsets, axis=2)
    return graph("ReduceMean", lengths, axes=[1], keepdims=0), graph("ReduceMean", parts, axes=[1], keepdims=0)


def _enlarged(graph: Graph, parts: str, unit: float, size: tuple[int, int]) -> str:
    """Return the parts, (n, 512), as a map in units of good images, (n, H, W)."""
    n_cells = gradients.N_CELLS
    cells = graph("Reshape", parts, graph.constant([-1, n_cells, n_cells, gradients.N_ORIENTATIONS], np.int64))
    maps = graph("Div", graph("ReduceSum", cells, graph.axes(3), keepdims=0), graph.constant(unit))
    each = np.eye(n_cells)
    # Linear enlargement, as a matrix product from the left and one from the right.
    left = enlarged(each[:, :, None], (size[0], 1))[:, :, 0].T
    right = enlarged(each[:, None, :], (1, size[1]))[:, 0, :]
    return graph("MatMul", graph("MatMul", graph.constant(left), maps), graph.constant(right))
