"""A fitted detector of images as one ONNX graph: features, distances from good images, and anomaly map."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.images import gradients, representations
from tollad.images.heads import N_NEIGHBOURS, CollapseHead, LedoitWolfHead, NearestHead
from tollad.images.scorer import ImageScorer
from tollad.io.files import atomic_write
from tollad.io.source import Source
from tollad.serve.onnx import (
    Graph,
    Padding,
    TensorProto,
    add_answers,
    finished,
    helper,
    network_of,
    parts_of,
    score_of,
    views_of,
)
from tollad.serve.onnx_backbone import Maps, distances_of, enlarged, features_of, highest
from tollad.serve.onnx_whitening import whitened

_TINY = 1e-12
_ALL_AXES = (1, 2, 3)


@dataclass(frozen=True)
class FittedImages:
    """The part of an image detector that a graph can hold.

    Attributes
    ----------
    representation : str
    input_shape : tuple of int, (C, H, W)
    scorer : ImageScorer
    decision : Decision
    notes : dict of JSON values
    source : Source or None
        How the images of the fit were read.
    """

    representation: str
    input_shape: tuple[int, int, int]
    scorer: ImageScorer
    decision: Decision
    notes: Mapping[str, Any]
    source: Source | None


def write_images(fitted: FittedImages, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a detector of images as an ONNX file.

    The graph takes images, (n, C, H, W), float32 from 0 to 1. It has the outputs of the graph of a table and, where the
    detector has maps, ``anomaly_map``, (n, H, W).

    Parameters
    ----------
    fitted : FittedImages
    path, overwrite
        As in `tollad.serve.onnx.write_onnx`.

    Raises
    ------
    ValueError
        For a representation of the user. Nothing is written then.
    OSError
        If the file cannot be written.
    """
    if fitted.representation not in representations.__all__:
        raise ValueError(
            f"the representation {fitted.representation!r} of images cannot be exported; fit with one of "
            f"{', '.join(representations.__all__)}"
        )
    data = to_bytes(fitted)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def to_bytes(fitted: FittedImages) -> bytes:
    """Return the bytes that `write_images` writes."""
    graph, scorer = Graph(), fitted.scorer
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", *fitted.input_shape])]
    padding = Padding(graph, "X")
    whole, positions = _seen(graph, fitted, padding)
    by_level, parts, distances = [], "", ""
    for level in scorer.wholes:
        score, parts = _head(graph, level.head, whole[level.name])
        by_level.append(padding.unpad(graph("Div", score, graph.constant(level.unit))))
        parts = graph("Div", parts, graph.constant(level.unit * scorer.map_unit))
    if scorer.positions is not None:
        distances = distances_of(graph, scorer.positions, positions)
        if scorer.judges_positions:
            most = highest(graph, distances, scorer.positions.units.shape)
            by_level.append(graph("Div", most, graph.constant(scorer.map_unit)))
    outputs = add_answers(graph, fitted.decision, _joined(graph, by_level))
    if scorer.has_maps:
        size = fitted.input_shape[1:]
        if scorer.positions is not None:
            maps = enlarged(graph, distances, scorer.positions.units.shape, size)
        else:
            maps = padding.unpad(_of_parts(graph, parts, fitted))
        graph("Identity", maps, output="anomaly_map")
        outputs.append(helper.make_tensor_value_info("anomaly_map", TensorProto.DOUBLE, ["n", *size]))
    metadata = {
        "kind": "images",
        "input_shape": list(fitted.input_shape),
        "source": None if fitted.source is None else fitted.source.to_json(),
        "threshold": fitted.decision.threshold,
        "threshold_rule": list(fitted.decision.rule),
        "notes": dict(fitted.notes),
    }
    return finished(graph, inputs, outputs, metadata)


def _seen(graph: Graph, fitted: FittedImages, padding: Padding) -> tuple[dict[str, str], dict[str, Maps]]:
    """Return features of the whole image by level, with rows appended, and features of positions by level."""
    name, shape = fitted.representation, fitted.input_shape
    if name == "pixels":
        return {name: padding.pad("X", n_axes=4)}, {}
    if name == "gradients":
        return {name: _gradients(graph, padding.pad("X", n_axes=4), shape)}, {}
    # Such a network takes long, so no image is appended to those that are given.
    levels = [level.name for level in fitted.scorer.wholes]
    whole, positions = features_of(graph, "X", shape, name, levels)
    return {level: padding.pad(rows, n_axes=2) for level, rows in whole.items()}, positions


def _joined(graph: Graph, by_level: Sequence[str]) -> str:
    """Return the geometric mean over the levels, like `tollad.images.scorer.joined`."""
    least = graph.constant(_TINY)
    if len(by_level) == 1:
        return graph("Max", by_level[0], least, output="anomaly_score")
    columns = graph("Concat", *(graph("Unsqueeze", score, graph.axes(1)) for score in by_level), axis=1)
    logarithms = graph("Log", graph("Max", columns, least))
    return graph("Exp", graph("ReduceMean", logarithms, axes=[1], keepdims=0), output="anomaly_score")


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


def _head(graph: Graph, head: Any, rows: str) -> tuple[str, str]:
    """Return the score of each row, (n,), and the share of each number in it, (n, d)."""
    values = graph.cast(rows, TensorProto.DOUBLE)
    if isinstance(head, LedoitWolfHead):
        return _shares(graph, whitened(graph, head.whitening, values), axis=1)
    if isinstance(head, NearestHead):
        return _nearest(graph, head, whitened(graph, head.whitening, values))
    assert isinstance(head, CollapseHead)
    if head.whitening is not None:
        values = whitened(graph, head.whitening, values)
        values = graph("Mul", values, graph.constant(math.sqrt(len(head.whitening.mean))))
    model = head.detector.as_model()
    features = model.preparation.features
    views = views_of(graph, features, values)
    scored = score_of(graph, model.scorer, network_of(model), views, features.n_views)
    return scored.score, parts_of(graph, model.scorer, scored)


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
    # Sorted by row and not by distance, so that sums have the same order whatever rows come along.
    graph.nodes.append(helper.make_node("TopK", ["at", n_nearest], ["neighbours", "order"], axis=1, largest=0))
    others = graph.cast(graph("Gather", good, "neighbours", axis=0), TensorProto.DOUBLE)
    offsets = graph("Sub", graph("Unsqueeze", rows, graph.axes(1)), others)
    lengths, parts = _shares(graph, offsets, axis=2)
    return graph("ReduceMean", lengths, axes=[1], keepdims=0), graph("ReduceMean", parts, axes=[1], keepdims=0)


def _of_parts(graph: Graph, parts: str, fitted: FittedImages) -> str:
    """Return the parts of scores by feature, (n, d), as maps, (n, H, W)."""
    size, grid = fitted.input_shape[1:], fitted.scorer.representation.cells
    if grid is None:
        pixels = graph("Reshape", parts, graph.constant([-1, *fitted.input_shape], np.int64))
        return graph("ReduceSum", pixels, graph.axes(1), keepdims=0)
    cells = graph("Reshape", parts, graph.constant([-1, *grid], np.int64))
    return enlarged(graph, graph("ReduceSum", cells, graph.axes(3), keepdims=0), grid[:2], size)
