"""A fitted detector of tables as one ONNX graph: preprocessing, networks, score, threshold and p-value.

Preprocessing, norms and sums run in double precision, the layers of the networks in that of the training, as in
`tollad` itself: scores agree to about 1e-7. Scores that differ by less than 1e-6 of their size are ties, and ties count
as normal, so that rounding changes neither a label nor a p-value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tollad.detector.model import Model
from tollad.detector.scorer import Scorer
from tollad.detector.usual import Usual
from tollad.io.files import atomic_write
from tollad.tables.features import Features
from tollad.tables.schema import CYCLES, MAX_LEVELS, Column
from tollad.training.rowwise import RowWise

try:
    from onnx import TensorProto, ValueInfoProto, helper

    from tollad.serve.graph import Graph, Padding
    from tollad.serve.onnx_dense import DenseWriter
    from tollad.serve.onnx_layers import LayerWriter
    from tollad.serve.onnx_nearest import distances
    from tollad.serve.onnx_parts import ScoreValues, add_parts, parts_of, terms_of
    from tollad.serve.onnx_whitening import whitened
    from tollad.serve.outputs import RESERVED, add_answers, finished
except ImportError as error:
    raise ImportError("ONNX files need the package onnx: pip install 'tollad[onnx]'") from error

# The graphs of images and series import these from here, where the error for a missing extra is raised.
__all__ = [
    "Graph",
    "Padding",
    "TensorProto",
    "add_answers",
    "finished",
    "helper",
    "network_of",
    "parts_of",
    "score_of",
    "to_bytes",
    "views_of",
    "write_onnx",
]

# Standardised values are clipped to this size, if nothing else is known.
_WIDEST = 50.0


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
        padding = Padding(graph, "X")
        rows = padding.pad("X", n_axes=1 + len(record.input_shape))
    else:
        padding = Padding(graph, named[kept[0].name])
        for column in kept:
            data_type = TensorProto.STRING if column.kind == "category" else TensorProto.DOUBLE
            inputs.append(helper.make_tensor_value_info(named[column.name], data_type, ["n"]))
        rows = _encoded(graph, kept, named, padding)
    views = views_of(graph, preparation.features, rows)
    if preparation.whitening is not None:
        views = [whitened(graph, preparation.whitening, views[0])]
    scored = score_of(graph, scorer, network, views, preparation.features.n_views)
    outputs = add_answers(graph, model.decision, padding.unpad(scored.score, "anomaly_score"))
    if len(record.input_shape) == 1:
        inputs.append(helper.make_tensor_value_info("explained", TensorProto.BOOL, []))
        outputs += add_parts(graph, scorer, scored, preparation, padding)
    metadata = {
        "kind": "table" if len(record.input_shape) == 1 else "arrays",
        "input_shape": list(record.input_shape),
        "names": list(preparation.names),
        "columns": None if record.columns is None else [column.to_json() for column in record.columns],
        "truths": preparation.features.truths.tolist() if record.columns is None else None,
        "named_by_numbers": record.named_by_numbers,
        "inputs": {name: given for name, given in named.items() if name != given},
        "flagged": preparation.features.flagged.tolist(),
        "usual": Usual.of(preparation, record.columns).to_json() if len(record.input_shape) == 1 else None,
        "has_names": record.feature_names is not None or record.columns is not None,
        "threshold": model.decision.threshold,
        "threshold_rule": list(model.decision.rule),
        "source": None if record.source is None else record.source.to_json(),
        "notes": record.notes,
    }
    return finished(graph, inputs, outputs, metadata)


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


def network_of(model: Model) -> DenseWriter | LayerWriter:
    """Return what writes the networks of the stack; ValueError for a term that no graph holds."""
    known = {"l2", "l1", "squared_l2", "latent_l2", "latent_l1", "latent_linf", "latent_squared_l2"}
    for term in model.scorer.objective.weights:
        if term not in known:
            raise ValueError(f"the term {term!r} cannot be exported; the known ones are {', '.join(sorted(known))}")
    stack = model.scorer.stack.to(device="cpu")
    if stack.is_dense:
        return DenseWriter(RowWise(stack))
    return LayerWriter(stack, model.preparation.input_shape(model.record.input_shape))


def _encoded(graph: Graph, columns: Sequence[Column], named: Mapping[str, str], padding: Padding) -> str:
    """Return the columns encoded as numbers, (n, m), like `tollad.tables.encode.encode`; `named` has their inputs."""
    parts: list[str] = []
    last, zero, one = graph.axes(1), graph.constant(0.0), graph.constant(1.0)
    for column in columns:
        if column.kind == "number":
            parts.append(graph("Unsqueeze", padding.pad(named[column.name]), last))
        elif column.kind == "category":
            codes = padding.pad(_codes(graph, column, named[column.name]))
            if len(column.levels) > MAX_LEVELS:
                rarities = graph("Gather", graph.constant(_rarities(column)), codes)
                parts.append(graph("Unsqueeze", rarities, last))
            else:
                depth, values = graph.constant(len(column.levels) + 1, np.int64), graph.constant([0, 1], np.float32)
                parts.append(graph.cast(graph("OneHot", codes, depth, values, axis=1), TensorProto.DOUBLE))
        else:
            days = padding.pad(named[column.name])
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
    bounds = features.limit if len(features.limit) else np.full(len(features.mean), _WIDEST)
    scaled = graph("Div", graph("Sub", values, graph.constant(features.mean)), graph.constant(features.scale))
    scaled = _clipped(graph, scaled, bounds)
    if len(features.flagged) < len(features.fill) and len(features.limit):
        n_missing = graph("ReduceSum", graph("Where", missing, one, zero), graph.axes(1), keepdims=1)
        nothing = graph("GreaterOrEqual", n_missing, graph.constant(float(len(features.fill))))
        scaled = graph("Where", nothing, graph.constant(bounds), scaled)
    if features.n_views == 1:
        return [scaled]
    short = graph("Sub", _arcsinh(graph, scaled, bounds.max()), graph.constant(features.arcsinh_mean))
    short = graph("Div", short, graph.constant(features.arcsinh_scale))
    if (bounds < _WIDEST).any():
        short = _clipped(graph, short, np.where(bounds < _WIDEST, bounds, np.finfo(np.float64).max))
    return [scaled, short]


def _clipped(graph: Graph, values: str, bounds: NDArray[np.float64]) -> str:
    """Return the values of each column within its bound, (n, d)."""
    if (bounds == bounds[0]).all():
        return graph("Clip", values, graph.constant(-bounds[0]), graph.constant(bounds[0]))
    return graph("Max", graph("Min", values, graph.constant(bounds)), graph.constant(-bounds))


def _arcsinh(graph: Graph, values: str, most: float) -> str:
    """Return the arcsinh, which ONNX runtimes lack in double precision, of values of at most a size."""
    root = graph("Sqrt", graph("Add", graph("Mul", values, values), graph.constant(1.0)))
    if most <= _WIDEST:  # the difference of a negative value and the root keeps 12 digits
        return graph("Log", graph("Add", values, root))
    size = graph("Abs", values)
    return graph("Mul", graph("Sign", values), graph("Log", graph("Add", size, root)))


def _by_channel(graph: Graph, features: Features, rows: str) -> str:
    """Return images or windows of series, standardised."""
    if not len(features.mean):
        return rows
    scaled = graph("Div", graph("Sub", rows, graph.constant(features.mean)), graph.constant(features.scale))
    return graph("Clip", scaled, graph.constant(-_WIDEST), graph.constant(_WIDEST))


def score_of(
    graph: Graph, scorer: Scorer, network: DenseWriter | LayerWriter, views: Sequence[str], n_views: int
) -> ScoreValues:
    """Return the anomaly score of each row, (n,), like `Scorer`, and what it is made of."""
    n_members = len(network)
    is_double = network.data_type == TensorProto.DOUBLE
    inputs = [*views] if is_double else [graph.cast(view, network.data_type) for view in views]
    if isinstance(network, LayerWriter):  # such networks take rows in their own precision
        views = [graph.cast(view, TensorProto.DOUBLE) for view in inputs]
    view_of = [member % n_views for member in range(n_members)]
    x = _stacked(graph, [views[view] for view in view_of], network.width)
    outputs = zip(*network.outputs(graph, [inputs[view] for view in view_of]), strict=True)
    widths = (network.latent_dim, network.width)
    z, x_hat = (
        _stacked(graph, of_members, width, network.data_type) for of_members, width in zip(outputs, widths, strict=True)
    )
    if scorer.center is not None:
        z = graph("Sub", z, graph.constant(scorer.center.cpu().double().unsqueeze(1).numpy()))
    difference = graph("Sub", x_hat, x)
    terms = terms_of(graph, scorer, difference, z)
    summands, factors, rows, nearest = [value for value, _ in terms], [factor for _, factor in terms], "", None
    if scorer.nearest is not None:
        rows = x if view_of == [*range(n_views)] else _stacked(graph, views, network.width)
        nearest = distances(graph, scorer.nearest, rows)
        summands.append(nearest[0])
        factors.append(np.ones(n_views))
    joined = graph("Concat", *summands, axis=0) if len(summands) > 1 else summands[0]
    weighted = graph("Mul", joined, graph.constant(np.concatenate(factors)[:, None, None]))
    score, most = graph("ReduceSum", weighted, graph.axes(0, 2), keepdims=0), graph.constant(np.finfo(np.float64).max)
    # NaN is not below the maximum either, so it becomes the maximum.
    return ScoreValues(graph("Where", graph("LessOrEqual", score, most), score, most), x_hat, difference, rows, nearest)


def _stacked(graph: Graph, rows: Sequence[str], width: int, data_type: int = TensorProto.DOUBLE) -> str:
    """Return values of a type, (n, width) each, as one in double precision, (number of values, n, width)."""
    joined = graph("Concat", *rows, axis=0) if len(rows) > 1 else rows[0]
    if data_type != TensorProto.DOUBLE:
        joined = graph.cast(joined, TensorProto.DOUBLE)
    return graph("Reshape", joined, graph.constant([len(rows), -1, width], np.int64))
