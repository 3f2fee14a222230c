"""Reference lines that cost seconds: distance to the mean, error of principal components, nearest neighbours.

Each is a function ``(train, rows[, n]) -> scores`` of float arrays, (n_train, d) and (n_rows, d), high = anomalous.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from tollad import metrics
from tollad.bench import machine
from tollad.bench.protocols import Task
from tollad.bench.results import Row
from tollad.bench.spec import Baseline

_Rows = NDArray[np.float64]


def mean(train: _Rows, rows: _Rows) -> _Rows:
    """Euclidean distance to the mean of the training rows."""
    distance: _Rows = np.linalg.norm(rows - train.mean(0), axis=1)
    return distance


def pca(train: _Rows, rows: _Rows, n: int) -> _Rows:
    """Euclidean error of the reconstruction from `n` principal components of the training rows."""
    # Few components of many columns: Lanczos, started from a fixed vector, is exact and far quicker than all of them.
    model = PCA(n, svd_solver="arpack", random_state=0).fit(train)
    error: _Rows = np.linalg.norm(rows - model.inverse_transform(model.transform(rows)), axis=1)
    return error


def knn(train: _Rows, rows: _Rows, n: int) -> _Rows:
    """Mean Euclidean distance to the `n` nearest training rows."""
    distances, _ = NearestNeighbors(n_neighbors=n, algorithm="brute").fit(train).kneighbors(rows)
    mean_distance: _Rows = distances.mean(1)
    return mean_distance


_METHODS: dict[str, Callable[..., _Rows]] = {"mean": mean, "pca": pca, "knn": knn}


def measure(baseline: Baseline, task: Task) -> Row:
    """Return the row of the results. What it measures needs no label, so it stands under "last".

    Raises
    ------
    ValueError
        If the task trains on fewer rows than the baseline has components or neighbours.
    """
    if baseline.n is not None and baseline.n >= len(task.train):
        raise ValueError(f"{baseline}: n must be below the {len(task.train)} training rows")
    wall, cpu = time.perf_counter(), time.process_time()
    train = _prepare(baseline, task, task.train)
    options: dict[str, Any] = {} if baseline.n is None else {"n": baseline.n}

    def metric(rows: NDArray[Any], labels: NDArray[np.int64]) -> float:
        scores = _METHODS[baseline.method](train, _prepare(baseline, task, rows), **options)
        return metrics.auroc(labels, scores) if task.cut is None else metrics.f1_at_share(labels, scores, task.cut)

    validation = None
    if task.validation is not None and task.validation_labels is not None:
        validation = metric(task.validation, task.validation_labels)
    measured = {"step": None, "validation": validation, "test": metric(task.test, task.test_labels)}
    return {
        "kind": "baseline",
        "identity": baseline.identity,
        "run": dataclasses.asdict(baseline),
        "error": None,
        "last": measured,
        "best_validation": None,
        "metric": task.metric,
        "seconds": {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu},
        "device": machine.describe(torch.device("cpu")),
        "versions": machine.versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _prepare(baseline: Baseline, task: Task, rows: NDArray[Any]) -> _Rows:
    """Rows as the baseline takes them, (n, d)."""
    prepared = task.preprocessing(rows) if baseline.rows == "preprocessed" else rows
    flat = np.asarray(prepared, np.float64).reshape(len(rows), -1)
    if baseline.rows != "standardised":
        return flat
    train = np.asarray(task.train, np.float64).reshape(len(task.train), -1)
    deviation = train.std(0)
    return (flat - train.mean(0)) / np.where(deviation == 0, 1, deviation)
