"""Measure the reference lines of `tollad.methods.reference` on a task."""

from __future__ import annotations

import dataclasses
import datetime
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tollad import methods, metrics
from tollad.bench import machine
from tollad.bench.protocols import Task
from tollad.bench.results import Row
from tollad.bench.spec import Baseline

# Names in the first results. The identities of results depend on them, so they stay.
_METHODS = {
    "mean": "DistanceToMean",
    "pca": "PrincipalComponents",
    "knn": "NearestNeighbours",
    "gradients": "Gradients",
}


def measure(baseline: Baseline, task: Task, *, checkpoint: Path | None = None, deadline: float = float("inf")) -> Row:
    """Return the row of the results. A baseline chooses nothing by labels, so its measures stand under "last".

    It takes seconds, so it keeps no state and ignores the deadline.

    Raises
    ------
    ValueError
        If the task trains on fewer rows than the baseline has components or neighbours.
    """
    if baseline.n is not None and baseline.n >= len(task.train):
        raise ValueError(f"{baseline}: n must be below the {len(task.train)} training rows")
    wall, cpu = time.perf_counter(), time.process_time()
    options = {} if baseline.n is None else {"n": baseline.n}
    scale = "standardise" if baseline.rows == "standardised" else "none"
    method = methods.make(_METHODS[baseline.method], scale=scale, **options).fit(_rows(baseline, task, task.train))

    def metric(rows: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, dict[str, float]]:
        scores = method.anomaly_score(_rows(baseline, task, rows))
        every = metrics.measure_all(labels, scores=scores)
        return every["auroc"] if task.cut is None else metrics.f1_at_share(labels, scores, task.cut), every

    validation = None
    if task.validation is not None and task.validation_labels is not None:
        validation, _ = metric(task.validation, task.validation_labels)
    tested, every = metric(task.test, task.test_labels)
    measured = {"step": None, "validation": validation, "test": tested}
    return {
        "kind": "baseline",
        "identity": baseline.identity,
        "run": dataclasses.asdict(baseline),
        "error": None,
        "last": measured,
        "best_validation": None,
        "metric": task.metric,
        "metrics": {"last": every},
        "seconds": {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu},
        "device": machine.device_name(torch.device("cpu")),
        "versions": machine.versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _rows(baseline: Baseline, task: Task, rows: NDArray[Any]) -> NDArray[Any]:
    """Return the input of the baseline. Rows are flat but for gradients: "standardised" scales each pixel by itself."""
    prepared = task.preprocessing(rows) if baseline.rows == "preprocessed" else rows
    values = np.asarray(prepared, np.float64)
    return values if baseline.method == "gradients" else values.reshape(len(rows), -1)
