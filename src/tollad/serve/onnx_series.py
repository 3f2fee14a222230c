"""A fitted detector of series as one ONNX graph, which cuts windows, scores them and returns scores of time steps."""

from __future__ import annotations

import os

import numpy as np

from tollad.io.files import atomic_write
from tollad.series.context import Context
from tollad.series.model import SeriesModel
from tollad.serve.onnx import Graph, Padding, TensorProto, add_answers, finished, helper, network_of, score_of, views_of
from tollad.serve.onnx_nearest import distances


def write_series(model: SeriesModel, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a model of a series as an ONNX file.

    The graph takes one series, (T, C), of at least a window, and has outputs for each time step. The label marks every
    step above the threshold: alarms are not trimmed to the part around their peak.

    Parameters
    ----------
    model : SeriesModel
    path, overwrite
        As in `tollad.serve.onnx.write_onnx`.

    Raises
    ------
    ValueError
        For a model with an adaptive threshold or models of single groups, or with a layer or a term that no graph
        holds. Nothing is written then.
    OSError
        If the file cannot be written.
    """
    if model.share is not None:
        raise ValueError(
            "a threshold that adapts to the series cannot be exported; fit with adapt=False for a fixed one"
        )
    if model.own:
        raise ValueError("a model for each group is more than one graph; fit with per_group=False for one of all")
    data = to_bytes(model)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def to_bytes(model: SeriesModel) -> bytes:
    """Return the bytes that `write_series` writes."""
    of_windows = model.detector.as_model()
    network = network_of(of_windows)
    graph = Graph()
    n_channels = len(model.columns)
    inputs = [helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["n", n_channels])]
    n_time_steps = graph("Gather", graph("Shape", "X"), graph.constant(0, np.int64))
    steps = _steps(graph, model.window, 1 if model.causal else model.stride, n_time_steps)
    cut = graph("Transpose", graph("Gather", "X", steps, axis=0), perm=[0, 2, 1])
    row_shape = of_windows.record.input_shape
    rows = graph("Reshape", cut, graph.constant([-1, *row_shape], np.int64))
    padding = Padding(graph, rows)
    features = of_windows.preparation.features
    views = views_of(graph, features, padding.pad(rows, n_axes=1 + len(row_shape)))
    scored = score_of(graph, of_windows.scorer, network, views, features.n_views)
    scores = padding.unpad(scored.score, "window_scores")
    if model.causal:
        early = graph.constant(np.full(model.window - 1, np.nan))
        score = graph("Concat", early, scores, axis=0, output="anomaly_score")
    else:
        score = _means(graph, steps, scores, n_time_steps)
        if model.context is not None:
            score = _with_context(graph, model.context, score, n_time_steps)
        score = graph("Identity", score, output="anomaly_score")
    outputs = add_answers(graph, model.decision, score)
    metadata = {
        "kind": "series",
        "names": list(model.columns),
        "window": model.window,
        "causal": model.causal,
        "time": model.clock.column,
        "clock": model.clock.to_json(),
        "trims": model.trims,
        "group": model.group,
        "groups": list(model.groups),
        "gaps": model.gaps,
        "source": None if model.source is None else model.source.to_json(),
        "threshold": model.decision.threshold,
        "threshold_rule": list(model.decision.rule),
        "notes": model.notes,
    }
    return finished(graph, inputs, outputs, metadata)


def _steps(graph: Graph, window: int, stride: int, n_time_steps: str) -> str:
    """Return the steps of each window, (number of windows, window): one each stride, the last ends with the series."""
    last = graph("Sub", n_time_steps, graph.constant(window, np.int64))
    regular = graph("Range", graph.constant(0, np.int64), last, graph.constant(stride, np.int64))
    starts = graph("Concat", regular, graph("Unsqueeze", last, graph.axes(0)), axis=0)
    return graph("Add", graph("Unsqueeze", starts, graph.axes(1)), graph.constant(np.arange(window), np.int64))


def _with_context(graph: Graph, context: Context, score: str, n_time_steps: str) -> str:
    """Return the power mean of the score by windows, (T,), and that by long windows, like `JointScores`."""
    window = graph.constant(context.window, np.int64)
    # In a series that is shorter than a long window, its last step fills that up, and the result is not used.
    steps = _steps(graph, context.window, context.stride, graph("Max", n_time_steps, window))
    steps = graph("Min", steps, graph("Sub", n_time_steps, graph.constant(1, np.int64)))
    cut = graph("Transpose", graph("Gather", "X", steps, axis=0), perm=[0, 2, 1])
    rows = views_of(graph, context.features, graph("Flatten", cut))[0]
    found, _, _ = distances(graph, context.nearest, graph("Unsqueeze", rows, graph.axes(0)))
    scores = graph("Mul", graph("Squeeze", found, graph.axes(0, 2)), graph.constant(context.scale))
    lacking = context.usual, context.window // context.stride
    both = score, _means(graph, steps, scores, n_time_steps, lacking)
    # The larger one outside of the root, lest its power overflow.
    larger = graph("Max", *both, graph.constant(np.finfo(np.float64).tiny))
    ratio = graph("Div", graph("Min", *both), larger)
    n_squares = context.power // 2  # 1 or 2: the power is 2 or 4
    mean = ratio
    for _ in range(n_squares):
        mean = graph("Mul", mean, mean)
    mean = graph("Mul", graph("Add", mean, graph.constant(1.0)), graph.constant(0.5))
    for _ in range(n_squares):
        mean = graph("Sqrt", mean)
    joint = graph("Mul", larger, mean)
    return graph("Where", graph("GreaterOrEqual", n_time_steps, window), joint, score)


def _means(graph: Graph, steps: str, scores: str, n_time_steps: str, lacking: tuple[float, int] | None = None) -> str:
    """Return the mean score of the windows that cover each step, (T,), like `tollad.series.window.mean_scores`."""
    every = graph.constant([-1], np.int64)
    zeros = graph("Expand", graph.constant(0.0), graph("Unsqueeze", n_time_steps, graph.axes(0)))
    places = graph("Reshape", steps, every)
    shape = graph("Shape", steps)
    sums = []
    for values in (graph("Unsqueeze", scores, graph.axes(1)), graph.constant(1.0)):
        spread = graph("Reshape", graph("Expand", values, shape), every)
        sums.append(graph("ScatterElements", zeros, places, spread, axis=0, reduction="add"))
    if lacking is not None:
        few = graph("Max", graph("Sub", graph.constant(float(lacking[1])), sums[1]), graph.constant(0.0))
        sums = [graph("Add", sums[0], graph("Mul", few, graph.constant(lacking[0]))), graph("Add", sums[1], few)]
    return graph("Div", *sums)
