"""A fitted detector of tables as one ONNX graph: preprocessing, networks, score, threshold and p-value.

Preprocessing, norms and sums run in double precision, the layers of the networks in that of the training, as in
`tollad` itself: scores agree to about 1e-7. Scores that differ by less than 1e-6 of their size are ties, and ties count
as normal, so that rounding changes neither a label nor a p-value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tollad.detector.model import Model
from tollad.detector.scorer import Scorer
from tollad.io.files import atomic_write
from tollad.tables.features import Features
from tollad.tables.schema import CYCLES, MAX_LEVELS, Column
from tollad.training.rowwise import BatchNorm, LayerNorm, Linear, RowWise

try:
    from onnx import TensorProto, ValueInfoProto, helper

    from tollad.serve import onnx_backbone
    from tollad.serve.graph import Graph
    from tollad.serve.onnx_layers import ByLayers
    from tollad.serve.onnx_nearest import distances
    from tollad.serve.onnx_parts import Scored, add_parts, parts_of, summed
    from tollad.serve.outputs import RESERVED, add_answers, finished
except ImportError as error:
    raise ImportError("ONNX files need the package onnx: pip install 'tollad[onnx]'") from error

# The graphs of images and series import these from here, where the error for a missing extra is raised.
__all__ = [
    "Filled",
    "Graph",
    "TensorProto",
    "add_answers",
    "finished",
    "helper",
    "network_of",
    "onnx_backbone",
    "parts_of",
    "score_of",
    "to_bytes",
    "views_of",
    "write_onnx",
]

# Rows are padded to a multiple of the first, narrow products to the second. Without that, special kernels run for the
# remainder and round differently, so the bits of a row would depend on its batch.
_ROWS, _WIDTH = 8, 16


def write_onnx(model: Model, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a model of a table as an ONNX file.

    Parameters
    ----------
    model : Model
    path : path
    overwrite : bool, default True
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        For a model that cannot be written as a graph: one with a layer or a term that no graph holds. Nothing is
        written then.
    OSError
        If the file cannot be written.
    """
    data = to_bytes(model)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def to_bytes(model: Model) -> bytes:
    """Return the bytes that `write_onnx` writes."""
    record, preparation, scorer = model.record, model.preparation, model.scorer
    network = network_of(model)
    kept = None if record.columns is None else [column for column in record.columns if column.kind != "drop"]
    named = {} if kept is None else input_names([column.name for column in kept])
    graph = Graph(_unused(named.values()))
    inputs: list[ValueInfoProto] = []
    if kept is None:
        inputs.append(helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["n", *record.input_shape]))
        filled = Filled(graph, "X")
        rows = filled.up("X", n_axes=1 + len(record.input_shape))
    else:
        filled = Filled(graph, named[kept[0].name])
        for column in kept:
            kind = TensorProto.STRING if column.kind == "category" else TensorProto.DOUBLE
            inputs.append(helper.make_tensor_value_info(named[column.name], kind, ["n"]))
        rows = _encoded(graph, kept, named, filled)
    views = views_of(graph, preparation.features, rows)
    scored = score_of(graph, scorer, network, views, preparation.features.n_views)
    outputs = add_answers(graph, model.decision, filled.back(scored.score, "anomaly_score"))
    if len(record.input_shape) == 1:
        inputs.append(helper.make_tensor_value_info("explained", TensorProto.BOOL, []))
        outputs += add_parts(graph, scorer, scored, preparation.features, filled)
    known = {
        "kind": "table" if len(record.input_shape) == 1 else "arrays",
        "input_shape": list(record.input_shape),
        "names": list(preparation.names),
        "columns": None if record.columns is None else [column.to_json() for column in record.columns],
        "truths": preparation.features.truths.tolist() if record.columns is None else None,
        "named_by_numbers": record.named_by_numbers,
        "inputs": {name: given for name, given in named.items() if name != given},
        "flagged": preparation.features.flagged.tolist(),
        "has_names": record.feature_names is not None or record.columns is not None,
        "threshold": model.decision.threshold,
        "threshold_rule": list(model.decision.rule),
        "source": None if record.source is None else record.source.to_json(),
        "notes": record.notes,
    }
    return finished(graph, inputs, outputs, known)


def input_names(columns: Sequence[str]) -> dict[str, str]:
    """Return the input of each column: its name, with underscores behind it if the graph has a value of that name."""
    named: dict[str, str] = {}
    for column in columns:
        given = column
        while given in RESERVED or (given != column and given in columns):
            given += "_"
        named[column] = given
    return named


def _unused(names: Iterable[str]) -> str:
    """Return a prefix that begins none of some names."""
    longest = max((len(name) - len(name.lstrip("_")) for name in names), default=-1)
    return "_" * (longest + 1)


def network_of(model: Model) -> RowWise | ByLayers:
    """Return the scoring form of the stack; ValueError for a term that no graph holds."""
    known = {"l2", "l1", "squared_l2", "latent_l2", "latent_l1", "latent_linf", "latent_squared_l2"}
    for term in model.scorer.objective.weights:
        if term not in known:
            raise ValueError(f"the term {term!r} cannot be exported; the known ones are {', '.join(sorted(known))}")
    stack = model.scorer.stack.to(device="cpu")
    if stack.is_dense:
        return RowWise(stack)
    return ByLayers(stack, model.preparation.input_shape(model.record.input_shape))


class Filled:
    """Pads rows to a multiple, and removes the padding again."""

    def __init__(self, graph: Graph, rows: str) -> None:
        self._graph = graph
        self._zero, multiple = graph.axes(0), graph.constant([_ROWS], np.int64)
        self._n = graph("Gather", graph("Shape", rows), self._zero)
        self._added = graph("Mod", graph("Sub", multiple, graph("Mod", self._n, multiple)), multiple)

    def up(self, value: str, *, n_axes: int = 1) -> str:
        """Append rows of zeros to a value, (n, ...)."""
        zeros = [self._zero] * (n_axes - 1)
        pads = self._graph("Concat", self._zero, *zeros, self._added, *zeros, axis=0)
        return self._graph("Pad", value, pads)

    def back(self, value: str, output: str | None = None, graph: Graph | None = None) -> str:
        """Remove the appended rows of a value, by a node of the graph or of another one within it."""
        return (graph or self._graph)("Slice", value, self._zero, self._n, output=output)


def _encoded(graph: Graph, columns: Sequence[Column], named: Mapping[str, str], filled: Filled) -> str:
    """Return the columns encoded as numbers, (n, m), like `tollad.tables.encode.encode`; `named` has their inputs."""
    parts: list[str] = []
    last, zero, one = graph.axes(1), graph.constant(0.0), graph.constant(1.0)
    for column in columns:
        if column.kind == "number":
            parts.append(graph("Unsqueeze", filled.up(named[column.name]), last))
        elif column.kind == "category":
            codes = filled.up(_codes(graph, column, named[column.name]))
            if len(column.levels) > MAX_LEVELS:
                rarities = graph("Gather", graph.constant(_rarities(column)), codes)
                parts.append(graph("Unsqueeze", rarities, last))
            else:
                depth, values = graph.constant(len(column.levels) + 1, np.int64), graph.constant([0, 1], np.float32)
                parts.append(graph.cast(graph("OneHot", codes, depth, values, axis=1), TensorProto.DOUBLE))
        else:
            days = filled.up(named[column.name])
            parts += [graph("Unsqueeze", part, last) for part in _date(graph, column, days, zero, one)]
    return graph("Concat", *parts, axis=1)


def _codes(graph: Graph, column: Column, texts: str) -> str:
    """Return the index of the level of each value. A missing value is an empty text."""
    return graph(
        "LabelEncoder",
        texts,
        domain="ai.onnx.ml",
        keys_strings=["" if level is None else level for level in column.levels],
        values_int64s=list(range(len(column.levels))),
        default_int64=len(column.levels),
    )


def _rarities(column: Column) -> NDArray[np.float64]:
    counts = np.array([*column.counts, 0])
    shown = np.where(counts > column.unseen, counts, 0)
    rarities: NDArray[np.float64] = -np.log((shown + 1) / (counts.sum() + len(column.levels)))
    return rarities


def _date(graph: Graph, column: Column, days: str, zero: str, one: str) -> list[str]:
    missing = graph("IsNaN", days)
    parts = [graph("Sub", days, graph.constant(column.median))]
    for cycle in column.cycles:
        place = days if cycle == "hour" else graph("Floor", days)
        turns = graph("Div", place, graph.constant(CYCLES[cycle]))
        turns = graph("Sub", turns, graph("Floor", turns))
        angle = graph("Mul", turns, graph.constant(2 * np.pi))
        parts.append(graph("Sin", angle))
        # ONNX runtimes lack a cosine in double precision.
        parts.append(graph("Sin", graph("Add", angle, graph.constant(np.pi / 2))))
    parts = [graph("Where", missing, zero, part) for part in parts]
    return [*parts, graph("Where", missing, one, zero)]


def views_of(graph: Graph, features: Features, rows: str) -> list[str]:
    """Return each view of the rows, flat, (n, d), like `Features.transform`."""
    zero, one = graph.constant(0.0), graph.constant(1.0)
    if not len(features.fill):
        return [graph("Flatten", _by_channel(graph, features, rows))]
    missing = graph("IsNaN", rows)
    values = graph("Where", missing, graph.constant(features.fill), rows)
    if len(features.flagged):
        flags = graph("Gather", missing, graph.constant(features.flagged, np.int64), axis=1)
        values = graph("Concat", values, graph("Where", flags, one, zero), axis=1)
    if not len(features.mean):
        return [values]
    n_inputs = len(features.mean)
    bounds = features.limit if len(features.limit) else np.full(n_inputs, 50.0)
    limit = graph.constant(bounds)
    scaled = graph("Div", graph("Sub", values, graph.constant(features.mean)), graph.constant(features.scale))
    scaled = graph("Max", graph("Min", scaled, limit), graph.constant(-bounds))
    if len(features.flagged) < len(features.fill) and len(features.limit):
        n_missing = graph("ReduceSum", graph("Where", missing, one, zero), graph.axes(1), keepdims=1)
        nothing = graph("GreaterOrEqual", n_missing, graph.constant(float(len(features.fill))))
        scaled = graph("Where", nothing, limit, scaled)
    if features.n_views == 1:
        return [scaled]
    size = graph("Abs", scaled)
    root = graph("Sqrt", graph("Add", graph("Mul", size, size), one))
    # ONNX runtimes lack arcsinh in double precision.
    short = graph("Mul", graph("Sign", scaled), graph("Log", graph("Add", size, root)))
    short = graph(
        "Div", graph("Sub", short, graph.constant(features.arcsinh_mean)), graph.constant(features.arcsinh_scale)
    )
    within = np.where(bounds < 50.0, bounds, np.finfo(np.float64).max)
    return [scaled, graph("Max", graph("Min", short, graph.constant(within)), graph.constant(-within))]


def _by_channel(graph: Graph, features: Features, rows: str) -> str:
    """Return images or windows of series, standardised."""
    if not len(features.mean):
        return rows
    scaled = graph("Div", graph("Sub", rows, graph.constant(features.mean)), graph.constant(features.scale))
    return graph("Max", graph("Min", scaled, graph.constant(50.0)), graph.constant(-50.0))


def score_of(graph: Graph, scorer: Scorer, network: RowWise | ByLayers, views: Sequence[str], n_views: int) -> Scored:
    """Return the anomaly score of each row, (n,), like `Scorer`, and what it is made of."""
    n_members = len(network)
    first = graph.axes(0)
    if isinstance(network, ByLayers):  # such networks take rows in their own precision
        views = [graph.cast(graph.cast(view, network.kind), TensorProto.DOUBLE) for view in views]
    stacked = [graph("Unsqueeze", view, first) for view in views]
    x = stacked[0] if n_views == 1 else graph("Concat", *(stacked[m % n_views] for m in range(n_members)), axis=0)
    if isinstance(network, RowWise):
        z, x_hat = _outputs(graph, network, x)
    else:
        z, x_hat = network.outputs(graph, [views[m % n_views] for m in range(n_members)])
    if scorer.center is not None:
        z = graph("Sub", z, graph.constant(scorer.center.cpu().double().unsqueeze(-2).numpy()))
    difference = graph("Sub", x_hat, x)
    total = summed(graph, scorer.objective.weights, difference, z)
    share = graph.constant(scorer.member_weights[:, None])
    score = graph("ReduceSum", graph("Mul", total, share), first, keepdims=0)
    rows, nearest = "", None
    if scorer.nearest is not None:
        rows = x if n_members == n_views else graph("Concat", *stacked, axis=0)
        nearest = distances(graph, scorer.nearest, views, rows)
        weighted = graph("Mul", nearest[0], graph.constant(scorer.nearest.weights[:, None]))
        score = graph("Add", score, graph("ReduceSum", weighted, first, keepdims=0))
    most = graph.constant(np.finfo(np.float64).max)
    score = graph("Where", graph("IsNaN", score), most, score)
    return Scored(graph("Min", score, most), x_hat, difference, rows, nearest)


def _outputs(graph: Graph, network: RowWise, x: str) -> tuple[str, str]:
    """Return the latents and reconstructions of a dense stack, (M, n, latent_dim) and (M, n, d)."""
    values, outputs = x, []
    in_single = network.precision != torch.float64
    if in_single:
        values = graph.cast(values, TensorProto.FLOAT)
    for part in network.parts:
        for layer in part:
            values = _layer(graph, layer, values)
        outputs.append(graph.cast(values, TensorProto.DOUBLE) if in_single else values)
    z, x_hat = outputs
    return z, x_hat


def _layer(graph: Graph, layer: Any, x: str) -> str:
    if isinstance(layer, Linear):
        return _linear(graph, layer, x)
    if isinstance(layer, LayerNorm):
        ones = graph.constant(np.ones(layer.weight.shape[-1]), layer.weight.numpy().dtype)
        x = graph("LayerNormalization", x, ones, axis=-1, epsilon=layer.eps)
        return graph("Add", graph("Mul", x, _tensor(graph, layer.weight)), _tensor(graph, layer.bias))
    if isinstance(layer, BatchNorm):
        x = graph("Mul", graph("Sub", x, _tensor(graph, layer.mean)), _tensor(graph, layer.scale))
        return graph("Add", x, _tensor(graph, layer.bias))
    return graph("Relu", x)


def _linear(graph: Graph, layer: Linear, x: str) -> str:
    n_outputs = layer.weight.shape[2]
    added = max(_WIDTH - n_outputs, 0)
    weight, bias = (_tensor(graph, functional.pad(part, (0, added))) for part in (layer.weight, layer.bias))
    y = graph("Add", graph("MatMul", x, weight), bias)
    if not added:
        return y
    return graph("Slice", y, graph.axes(0), graph.constant([n_outputs], np.int64), graph.axes(2))


def _tensor(graph: Graph, tensor: torch.Tensor) -> str:
    array = tensor.detach().cpu().numpy()
    return graph.constant(array, array.dtype)
