"""What the score of a row is made of in a graph: the terms of members, and their parts by column if asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper

from tollad.detector.preparation import Preparation
from tollad.detector.scorer import Scorer
from tollad.serve.graph import Graph, Padding
from tollad.serve.onnx_whitening import unwhitened
from tollad.serve.runtime import EXPLAINED
from tollad.tables.features import Features

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class ScoreValues:
    """The score of rows and what it is made of: names of values of a graph.

    Attributes
    ----------
    score : str
        (n,)
    x_hat : str
        Reconstructions, (M, n, d).
    difference : str
        What they differ by from the inputs, (M, n, d).
    rows : str
        The rows in each view, (V, n, d); empty without `nearest`.
    nearest : tuple of str or None
        What `tollad.serve.onnx_nearest.distances` returns.
    """

    score: str
    x_hat: str
    difference: str
    rows: str
    nearest: tuple[str, str, str] | None


def terms_of(graph: Graph, scorer: Scorer, difference: str, z: str | None) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the terms of differences and, if given, latents, (M, n, k), as (M, n, 1), each with its weights, (M,)."""
    weights, share = scorer.objective.weights, scorer.member_weights
    of = {name: z if name.startswith("latent_") else difference for name in weights}
    return [
        (_term(graph, name, values), np.broadcast_to(np.reshape(weights[name], -1), len(share)) * share)
        for name, values in of.items()
        if values is not None
    ]


def _term(graph: Graph, name: str, values: str) -> str:
    """Return a term of differences or latents, (M, n, k), for each sample: (M, n, 1)."""
    norm = name.removeprefix("latent_")
    if norm == "linf":
        return graph("ReduceMax", graph("Abs", values), axes=[2], keepdims=1)
    operator = {"l2": "ReduceL2", "l1": "ReduceL1", "squared_l2": "ReduceSumSquare"}[norm]
    return graph(operator, values, axes=[2], keepdims=1)


def add_parts(
    graph: Graph, scorer: Scorer, scored: ScoreValues, preparation: Preparation, padding: Padding
) -> list[ValueInfoProto]:
    """Add the parts of the score by network input and by column, and what the network expected; return these outputs.

    They are in a branch of the graph, which costs nothing unless the input ``explained`` is true; else all are empty.

    Parameters
    ----------
    graph : Graph
    scorer : Scorer
        Of a table.
    scored : ScoreValues
    preparation : Preparation
    padding : Padding

    Returns
    -------
    list of ValueInfoProto
        ``parts``, (n, m), as `tollad.detector.scorer.Passed` has them; ``expected``, (n, k), as
        `Preparation.reconstructed`; ``column_parts``, (n, c), as `TollDetector.explain` has them.
    """
    some, none = Graph(f"{scored.score}_some_"), Graph(f"{scored.score}_none_")
    parts = parts_of(some, scorer, scored)
    expected = _in_own_units(some, preparation, scored.x_hat)
    origin = preparation.origin
    owned = (origin[:, None] == np.arange(len(preparation.names))).astype(np.float64)
    by_column = some("MatMul", parts, some.constant(owned))
    outputs = zip((parts, expected, by_column), EXPLAINED, strict=True)
    results = [padding.unpad(of, f"{scored.score}_{name}", some) for of, name in outputs]
    nothing = [none("Identity", none.constant(np.empty((0, 0)))) for _ in EXPLAINED]
    then, otherwise = (
        helper.make_graph(
            branch.nodes,
            "branch",
            [],
            [helper.make_tensor_value_info(of, TensorProto.DOUBLE, None) for of in found],
            branch.initializers,
        )
        for branch, found in ((some, results), (none, nothing))
    )
    asked = graph.constant(False, np.bool_, name="explained")
    graph.nodes.append(helper.make_node("If", [asked], EXPLAINED, then_branch=then, else_branch=otherwise))
    return [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, None]) for name in EXPLAINED]


def parts_of(graph: Graph, scorer: Scorer, scored: ScoreValues) -> str:
    """Return the part of each network input in the score, as `tollad.detector.scorer.Passed` has them: (n, d)."""
    terms = terms_of(graph, scorer, scored.difference, None)
    weighted = [graph("Mul", value, graph.constant(factors[:, None, None])) for value, factors in terms]
    parts = _split(graph, scored.difference, weighted[0] if len(weighted) == 1 else graph("Sum", *weighted))
    if scored.nearest is None:
        return parts
    distances, number, kept = scored.nearest
    nearest = graph("Squeeze", graph("Gather", kept, number, axis=0), graph.axes(2))
    return graph("Add", parts, _split(graph, graph("Sub", scored.rows, nearest), distances))


def _split(graph: Graph, difference: str, error: str) -> str:
    """Divide errors, (M, n, 1), among inputs by their squared differences, (M, n, d), and sum over members: (n, d)."""
    squares = graph("Mul", difference, difference)
    total = graph("ReduceSum", squares, graph.axes(2), keepdims=1)
    shares = graph("Div", squares, graph("Max", total, graph.constant(_TINY)))
    return graph("ReduceSum", graph("Mul", shares, error), graph.axes(0), keepdims=0)


def _in_own_units(graph: Graph, preparation: Preparation, x_hat: str) -> str:
    """Return the mean of the members' reconstructions, (M, n, d), like `Preparation.reconstructed`: (n, k)."""
    features, n_members = preparation.features, preparation.n_members
    view = np.array(preparation.views_of_members)
    sums = []
    for of_view in range(min(features.n_views, n_members)):
        values = (
            x_hat
            if features.n_views == 1
            else graph("Gather", x_hat, graph.constant(np.flatnonzero(view == of_view), np.int64), axis=0)
        )
        sums.append(
            graph("ReduceSum", values if of_view == 0 else _sinh(graph, features, values), graph.axes(0), keepdims=0)
        )
    total = sums[0] if len(sums) == 1 else graph("Add", *sums)
    values = graph("Mul", total, graph.constant(1 / n_members))
    if preparation.whitening is not None:
        values = unwhitened(graph, preparation.whitening, values)
    if len(features.mean):
        values = graph("Add", graph("Mul", values, graph.constant(features.scale)), graph.constant(features.mean))
    if not len(features.flagged):
        return values
    return graph("Slice", values, graph.axes(0), graph.constant([len(features.fill)], np.int64), graph.axes(1))


def _sinh(graph: Graph, features: Features, values: str) -> str:
    """Return the inverse of the second view. ONNX runtimes lack sinh in double precision."""
    most = np.broadcast_to(features.most_arcsinh, features.mean.shape)
    long = graph(
        "Add", graph("Mul", values, graph.constant(features.arcsinh_scale)), graph.constant(features.arcsinh_mean)
    )
    long = graph("Max", graph("Min", long, graph.constant(most)), graph.constant(-most))
    twice = graph("Sub", graph("Exp", long), graph("Exp", graph("Neg", long)))
    return graph("Mul", twice, graph.constant(0.5))
