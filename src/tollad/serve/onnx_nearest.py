"""The distance to the nearest kept row in a graph: the same row as `tollad.detector.nearest` takes.

Products of matrices name a few candidates, and squared distances in double precision decide between
them. Where more rows than the candidates may be as near, all kept rows are compared, in a branch of the graph that
otherwise costs nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tollad.detector.nearest import EQUALLY_NEAR, Nearest
from tollad.serve.graph import Graph

# Number of candidates whose distances are compared in double precision.
_N_CANDIDATES = 8
# From this number of kept rows on, they are searched in blocks.
_LEAST_IN_BLOCKS, _KEPT_IN_BLOCK = 512, 16
# Rows of so few columns have products in double precision: their neighbors are too close for single precision.
_NARROW = 2
# Within this share of the largest norm a row equals a kept row up to rounding.
_SAME = 1e-12
# Squares that differ by less than this share are equal.
_MARGIN = (1 + EQUALLY_NEAR) ** 2 - 1
# Rounding counts as at least this share: onnxruntime removes a multiplication by a number that is 1 in float32.
_LEAST_SHARE = 1e-6


def distances(graph: Graph, nearest: Nearest, rows: str) -> tuple[str, str, str]:
    """Return the weighted distances to the nearest kept row, and which it is, like `Nearest.find`.

    Parameters
    ----------
    graph : Graph
    nearest : Nearest
    rows : str
        The flat rows in each view, in double precision, (n_views, n, d).

    Returns
    -------
    distances : str
        With their factors and weights, (n_views, n, 1).
    number : str
        Of the kept row among those of all views, (n_views, n, 1).
    kept : str
        The kept rows of all views, (n_views k, d).
    """
    _, n_kept, width = nearest.views.shape
    precision = np.float64 if width <= _NARROW else np.float32
    found = _candidates(graph, nearest, rows, precision)
    kept = graph.constant(nearest.views.reshape(-1, width))
    others = graph("Gather", kept, found, axis=0)
    squares = _squares(graph, graph("Unsqueeze", rows, graph.axes(2)), others)
    number, least = _nearest_of(graph, nearest, squares, found, min(_N_CANDIDATES, n_kept))
    if n_kept > _N_CANDIDATES:
        # As in `Nearest`, the order of two rows is not known if their squares differ by less than
        # slack (||x|| + largest)^2, and ||x|| is at most the largest norm and the distance.
        slack = 4 * math.sqrt(width + 5) * float(np.finfo(precision).eps)
        bound = graph.constant(8 * slack * np.square(nearest.views).sum(2).max())
        farthest = graph("Gather", squares, graph.constant([_N_CANDIDATES - 1], np.int64), axis=2)
        beyond = graph("Sub", farthest, graph("Mul", least, graph.constant(1 + max(2 * slack, _LEAST_SHARE))))
        number, least = _compared_with_all(graph, nearest, kept, rows, (beyond, bound), (number, least))
    factors, reaches = (
        graph("Gather", graph.constant(of_kept[:, nearest.first].ravel()), number, axis=0)
        for of_kept in (nearest.factors * nearest.weights[:, None], nearest.reaches)
    )
    return graph("Mul", graph("Max", graph("Sqrt", least), reaches), factors), number, kept


def _candidates(graph: Graph, nearest: Nearest, rows: str, precision: type[np.floating[Any]]) -> str:
    """Return the numbers of the kept rows that are nearest to rows, up to rounding: (V, n, d) to (V, n, k).

    The kept rows of all views are numbered one after another.
    """
    n_views, n_kept, _ = nearest.views.shape
    in_blocks = n_kept >= _LEAST_IN_BLOCKS
    # Kept rows that fill the last block are infinitely far.
    n_more = -n_kept % _KEPT_IN_BLOCK if in_blocks else 0
    half = np.pad(np.square(nearest.views).sum(2) / 2, ((0, 0), (0, n_more)), constant_values=np.inf)
    kept = np.pad(nearest.views, ((0, 0), (0, n_more), (0, 0)))
    weight = np.concatenate([kept.swapaxes(1, 2), -half[:, None]], axis=1)
    if precision == np.float32:
        rows = graph.cast(rows, TensorProto.FLOAT)
    with_one = graph("Pad", rows, graph.constant([0, 0, 0, 0, 0, 1], np.int64), graph.constant(1.0, precision))
    products = graph("MatMul", with_one, graph.constant(weight, precision))
    k = graph.constant([min(_N_CANDIDATES, n_kept)], np.int64)
    if not in_blocks:
        number = graph.both("TopK", products, k, axis=2)[1]
    else:
        # The k largest lie in the k blocks with the largest maxima.
        n_blocks = (n_kept + n_more) // _KEPT_IN_BLOCK
        # Where single precision overflows, even a row that fills the last block may be found.
        numbers = np.minimum(np.arange(n_kept + n_more), n_kept - 1).reshape(n_blocks, _KEPT_IN_BLOCK)
        blocks = graph("Reshape", products, graph.constant([n_views, -1, n_blocks, _KEPT_IN_BLOCK], np.int64))
        block = graph.both("TopK", graph("ReduceMax", blocks, axes=[3], keepdims=1), k, axis=2)[1]
        flat = graph.constant([n_views, -1, _N_CANDIDATES * _KEPT_IN_BLOCK], np.int64)
        within = graph("Reshape", graph("GatherND", blocks, block, batch_dims=2), flat)
        named = graph("Reshape", graph("Gather", graph.constant(numbers, np.int64), block), flat)
        number = graph("GatherElements", named, graph.both("TopK", within, k, axis=2)[1], axis=2)
    first = n_kept * np.arange(n_views)[:, None, None]
    return graph("Add", number, graph.constant(first, np.int64)) if n_views > 1 else number


def _squares(graph: Graph, rows: str, others: str) -> str:
    return graph("ReduceSumSquare", graph("Sub", rows, others), axes=[-1], keepdims=0)


def _nearest_of(graph: Graph, nearest: Nearest, squares: str, numbers: str, k: int) -> tuple[str, str]:
    """Return the number of the nearest of some kept rows and its squared distance.

    Parameters
    ----------
    graph : Graph
    nearest : Nearest
    squares : str
        Squared distances, (n_views, ..., k).
    numbers : str
        The numbers of the kept rows among those of all views, (n_views, ..., k).
    k : int

    Returns
    -------
    number, square : str
        (n_views, ..., 1)
    """
    n_views, n_kept, _ = nearest.views.shape
    if n_kept > 1:
        # A row that equals a row drawn once is taken for that row, which is not its own neighbour.
        same = np.where(nearest.alone, _SAME**2 * np.square(nearest.views).sum(2).max(), -1.0)
        itself = graph("Gather", graph.constant(np.tile(same, n_views)), numbers, axis=0)
        most = graph.constant(np.finfo(np.float64).max)
        squares = graph("Where", graph("LessOrEqual", squares, itself), most, squares)
    least = graph("ReduceMin", squares, axes=[-1], keepdims=1)
    last = graph.constant(n_views * n_kept - 1, np.int64)
    # A vector, since onnxruntime removes a multiplication by one number that is 1 in float32.
    as_near = graph("Mul", least, graph.constant(np.full(k, 1 + _MARGIN)))
    first = graph("Where", graph("LessOrEqual", squares, as_near), numbers, last)
    return graph("ReduceMin", first, axes=[-1], keepdims=1), least


def _compared_with_all(
    graph: Graph, nearest: Nearest, kept: str, rows: str, beyond: tuple[str, str], found: tuple[str, str]
) -> tuple[str, str]:
    """Return what was found, but compare a row with all kept rows unless its values are beyond a bound.

    Row by row, since the differences of many rows would fill the memory. The values are (V, n, 1), the bound is one
    number.
    """
    n_views, n_kept, width = nearest.views.shape
    is_clear = graph("Greater", graph("ReduceMin", beyond[0], keepdims=0), beyond[1])

    some, body = Graph(f"{is_clear}_all_"), Graph(f"{is_clear}_row_")
    by_view = some("Reshape", kept, some.constant([n_views, n_kept, width], np.int64))
    squares = _squares(body, body("Unsqueeze", "row", body.axes(1)), by_view)
    numbers = body.constant(np.arange(n_views * n_kept).reshape(n_views, n_kept), np.int64)
    of_row = _nearest_of(body, nearest, squares, numbers, n_kept)
    types = [TensorProto.INT64, TensorProto.DOUBLE]
    outputs = [helper.make_tensor_value_info(*of, [n_views, 1]) for of in zip(of_row, types, strict=True)]
    row = helper.make_tensor_value_info("row", TensorProto.DOUBLE, [n_views, None])
    one = helper.make_graph(body.nodes, "row", [row], outputs, body.initializers)

    clear = some.cast(some("Greater", *beyond), TensorProto.INT32)
    unclear = some("Not", some.cast(some("ReduceMin", clear, axes=[0, 2], keepdims=0), TensorProto.BOOL))
    place = some("Squeeze", some("NonZero", unclear), some.axes(0))
    by_row = some.both(
        "Scan",
        some("Gather", rows, place, axis=1),
        body=one,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1, 1],
    )
    where = some("Expand", some("Unsqueeze", place, some.axes(1)), some.constant([n_views, 1, 1], np.int64))
    changed = [some("ScatterElements", old, where, new, axis=1) for old, new in zip(found, by_row, strict=True)]

    none = Graph(f"{is_clear}_none_")
    same = [none("Identity", value) for value in found]
    then, otherwise = (
        helper.make_graph(
            branch.nodes,
            "branch",
            [],
            [helper.make_tensor_value_info(*of, None) for of in zip(results, types, strict=True)],
            branch.initializers,
        )
        for branch, results in ((none, same), (some, changed))
    )
    return graph.both("If", is_clear, then_branch=then, else_branch=otherwise)
