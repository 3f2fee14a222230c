"""Features of images by the pre-trained network in a graph, and the distances of positions from good images."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch.nn import functional

from tollad.images import backbones
from tollad.images.levels import HIGHEST, Positions, side_of
from tollad.images.positions import NearestPositions
from tollad.images.representations import (
    BLOCKS,
    KIND,
    LEAST_DEVIATION,
    SMALL,
    SPREAD,
    WITH_POSITIONS,
    shown_and_near,
    size_shown,
)
from tollad.serve.graph import Graph

_SINGLE = np.float32
_TINY = 1e-12


@dataclass(frozen=True)
class Maps:
    """The name of feature maps, (n, c, h, w), with h and w."""

    value: str
    size: tuple[int, int]


def features_of(
    graph: Graph, images: str, shape: tuple[int, int, int], name: str, levels: Collection[str]
) -> tuple[dict[str, str], dict[str, Maps]]:
    """Return the features of `tollad.images.representations.efficientnet_lite2`, or of its finer sister.

    Parameters
    ----------
    graph : Graph
    images : str
        (n, C, H, W), float32 from 0 to 1.
    shape : tuple of int, (C, H, W)
    name : str
        Name of the representation.
    levels : collection of str
        The levels of the whole image that are wanted.

    Returns
    -------
    whole : dict of str to str
        Features of the whole image by level, (n, d).
    positions : dict of str to Maps
        Features of positions by the name of the map; none for small images.
    """
    channels, height, width = shape
    shown, near = shown_and_near(name, (height, width))
    size = size_shown((height, width), shown)
    if size != (height, width):
        images = enlarged(graph, images, (height, width), size, _SINGLE)
    if channels == 1:
        images = graph("Concat", images, images, images, axis=1)
    bytes_ = graph("Sub", graph("Mul", images, graph.constant(255, _SINGLE)), graph.constant(127, _SINGLE))
    network, _ = backbones.load_efficientnet_lite2()
    x = _convolved(graph, network.stem, Maps(graph("Div", bytes_, graph.constant(128, _SINGLE)), size))
    outputs = []
    for number, block in enumerate(network.blocks):
        x = _passed(graph, block, x)
        if number in BLOCKS:
            outputs.append(x)
    moments = [_moments(graph, output.value) for output in outputs] if {"texture", SPREAD}.intersection(levels) else []
    whole = {}
    if "texture" in levels:
        both = graph("Concat", *(part for pair in moments for part in pair), axis=1)
        whole["texture"] = _of_length_1(graph, both)
    if SPREAD in levels:
        deviations = graph("Concat", *(deviation for _, deviation in moments), axis=1)
        whole[SPREAD] = graph("Log", graph("Add", deviations, graph.constant(LEAST_DEVIATION, _SINGLE)))
    if KIND in levels:
        last = _convolved(graph, network.head, x).value
        whole[KIND] = _of_length_1(graph, graph("ReduceMean", last, axes=[2, 3], keepdims=0))
    if min(height, width) < SMALL:
        return whole, {}
    around: dict[str, Any] = {
        "kernel_shape": [near, near],
        "pads": [near // 2] * 4,
        "strides": [1, 1],
        "count_include_pad": 0,
    }
    positions = {}
    for number, output in zip(WITH_POSITIONS, outputs, strict=False):
        mean = graph("AveragePool", output.value, **around)
        positions[f"block {number}"] = Maps(_of_length_1(graph, mean), output.size)
    return whole, positions


def distances_of(graph: Graph, level: Positions | NearestPositions, positions: dict[str, Maps]) -> str:
    """Return the distances of positions in their units, like the level: (n, c, h, w) by name to (n, h, w)."""
    height, across = level.units.shape
    # With 256 channels together, none is left out.
    maps = graph("Concat", *(_laid_over(graph, positions[name], (height, across)) for name in level.names), axis=1)
    offsets = graph("Sub", graph("Transpose", maps, perm=[0, 2, 3, 1]), graph.constant(level.mean, _SINGLE))
    squares = (
        _nearest(graph, level, offsets) if isinstance(level, NearestPositions) else _squares(graph, level, offsets)
    )
    return graph("Div", graph("Sqrt", squares), graph.constant(level.units))


def _nearest(graph: Graph, level: NearestPositions, offsets: str) -> str:
    """Return the squared distances of features less their mean, (n, h, w, c), to the nearest row: (n, h, w)."""
    rows = graph.constant(level.rows, _SINGLE)
    whitened = graph("MatMul", offsets, graph.constant(level.whitening, _SINGLE))
    products = graph("MatMul", whitened, graph("Transpose", rows, perm=[1, 0]))
    doubled = graph("Add", products, products)
    at = graph(
        "ArgMin", graph("Sub", graph.constant(np.square(level.rows).sum(1), _SINGLE), doubled), axis=3, keepdims=0
    )
    apart = graph.cast(graph("Sub", whitened, graph("Gather", rows, at, axis=0)), TensorProto.DOUBLE)
    return graph("ReduceSum", graph("Mul", apart, apart), graph.axes(3), keepdims=0)


def _squares(graph: Graph, level: Positions, offsets: str) -> str:
    """Return the squared distances of features less their mean, (n, h, w, c): (n, h, w)."""
    height, across, width = level.mean.shape
    side = side_of(height, across)
    down, right = -(-height // side), -(-across // side)
    border = [0, 0, 0, 0, 0, down * side - height, right * side - across, 0]
    offsets = graph("Pad", offsets, graph.constant(border, np.int64))
    cut = graph("Reshape", offsets, graph.constant([-1, down, side, right, side, width], np.int64))
    near = graph("Transpose", cut, perm=[1, 3, 0, 2, 4, 5])
    near = graph("Reshape", near, graph.constant([down * right, -1, width], np.int64))
    along = graph("MatMul", near, _factors(graph, level))
    squares = graph.cast(graph("Mul", along, along), TensorProto.DOUBLE)
    whole = graph("ReduceSum", squares, graph.axes(2), keepdims=0)
    whole = graph("Reshape", whole, graph.constant([down, right, -1, side, side], np.int64))
    whole = graph("Transpose", whole, perm=[2, 0, 3, 1, 4])
    whole = graph("Reshape", whole, graph.constant([-1, down * side, right * side], np.int64))
    ends = graph.constant([height, across], np.int64)
    return graph("Slice", whole, graph.axes(0, 0), ends, graph.axes(1, 2))


def _laid_over(graph: Graph, maps: Maps, to: tuple[int, int]) -> str:
    return maps.value if maps.size == to else _resized(graph, maps.value, (maps.size, to), _SINGLE, antialias=False)


def highest(graph: Graph, maps: str, size: tuple[int, int]) -> str:
    """Return the mean of the highest values of each map, like `tollad.images.levels.highest`: (n, h, w) to (n,)."""
    n_highest = graph.constant([max(1, round(HIGHEST * size[0] * size[1]))], np.int64)
    values, _ = graph.both("TopK", graph("Flatten", maps), n_highest, axis=1)
    return graph("ReduceMean", values, axes=[1], keepdims=0)


def enlarged(
    graph: Graph, maps: str, size: tuple[int, int], to: tuple[int, int], dtype: type[np.floating[Any]] = np.float64
) -> str:
    """Return maps or images linearly resized, as torch does it: (..., h, w) to (..., H, W).

    Several values are averaged if they become fewer.
    """
    return _resized(graph, maps, (size, to), dtype, antialias=True)


def _resized(
    graph: Graph,
    maps: str,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    dtype: type[np.floating[Any]],
    *,
    antialias: bool,
) -> str:
    left, right = (_linear(*pair, antialias=antialias).astype(dtype) for pair in zip(*sizes, strict=True))
    return graph("MatMul", graph("MatMul", graph.constant(left, dtype), maps), graph.constant(right.T, dtype))


def _linear(n: int, to: int, *, antialias: bool) -> NDArray[np.float64]:
    """Return the matrix that resizes an axis linearly, (to, n)."""
    each = torch.eye(n, dtype=torch.float64)[None, None]
    matrix: NDArray[np.float64] = functional.interpolate(
        each, size=[to, n], mode="bilinear", align_corners=False, antialias=antialias and to < n
    )[0, 0].numpy()
    return matrix


def _convolved(graph: Graph, layer: Any, x: Maps) -> Maps:
    """Return the output of a convolution, with padding as in TensorFlow."""
    side, stride = layer.weight.shape[-1], layer.stride
    size = -(-x.size[0] // stride), -(-x.size[1] // stride)
    missing = [max(0, (after - 1) * stride + side - before) for before, after in zip(x.size, size, strict=True)]
    pads = [n // 2 for n in missing] + [n - n // 2 for n in missing]
    weights = [graph.constant(part.numpy(), _SINGLE) for part in (layer.weight, layer.bias)]
    y = graph("Conv", x.value, *weights, strides=[stride, stride], pads=pads, group=layer.groups)
    if layer.clip:
        y = graph("Clip", y, graph.constant(0, _SINGLE), graph.constant(6, _SINGLE))
    return Maps(y, size)


def _passed(graph: Graph, block: Any, x: Maps) -> Maps:
    y = x if block.expand is None else _convolved(graph, block.expand, x)
    y = _convolved(graph, block.project, _convolved(graph, block.filter, y))
    return Maps(graph("Add", x.value, y.value), y.size) if block.is_residual else y


def _moments(graph: Graph, maps: str) -> tuple[str, str]:
    """Return mean and standard deviation of each channel: (n, c, h, w) to (n, c) each."""
    mean = graph("ReduceMean", maps, axes=[2, 3], keepdims=1)
    apart = graph("Sub", maps, mean)
    variance = graph("ReduceMean", graph("Mul", apart, apart), axes=[2, 3], keepdims=0)
    return graph("Flatten", mean), graph("Sqrt", variance)


def _of_length_1(graph: Graph, values: str) -> str:
    """Scale vectors along the second axis to length 1."""
    length = graph("ReduceL2", values, axes=[1], keepdims=1)
    return graph("Div", values, graph("Max", length, graph.constant(_TINY, _SINGLE)))


def _factors(graph: Graph, level: Positions) -> str:
    """Return the triangular factors, (g, c, c). The file holds their lower halves; onnxruntime unpacks them once."""
    _, width, _ = level.factors.shape
    rows, columns = np.tril_indices(width)
    entries = np.full((width, width), len(rows))
    entries[rows, columns] = np.arange(len(rows))
    packed = np.pad(level.factors[:, rows, columns], ((0, 0), (0, 1)))
    return graph("Gather", graph.constant(packed, _SINGLE), graph.constant(entries, np.int64), axis=1)
