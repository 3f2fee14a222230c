from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from bench.synthetic import image_task, table_task

from tollad import methods, metrics
from tollad.bench.baselines import measure
from tollad.bench.protocols import make_task
from tollad.bench.spec import Baseline


def baseline(method, rows="raw", n=None, **values):
    return Baseline.from_values({"protocol": "p", "dataset": "d", "method": method, "rows": rows, "n": n} | values)


def test_a_row_is_a_result_without_labels():
    row = json.loads(json.dumps(measure(baseline("knn", n=3), table_task()), allow_nan=False))
    assert row["kind"] == "baseline"
    assert row["best_validation"] is None
    assert row["last"]["test"] > 0.8
    assert row["last"]["validation"] > 0.8
    assert row["error"] is None
    assert row["seconds"]["wall"] > 0


def test_without_validation_rows_only_the_test_is_measured():
    assert measure(baseline("mean"), table_task(validates=False))["last"]["validation"] is None


def test_rows_may_be_raw_standardised_or_as_the_network_sees_them():
    task = image_task()
    found = [measure(baseline("mean", rows), task)["last"]["test"] for rows in ("raw", "preprocessed", "standardised")]
    train = task.train.reshape(len(task.train), -1).astype(float)
    distances = np.linalg.norm(task.test.reshape(len(task.test), -1) - train.mean(0), axis=1)
    assert found[0] == metrics.auroc(task.test_labels, distances)
    assert len(set(found)) == 3


def test_columns_of_any_scale_count_alike():
    scales = np.array([1e-9, 1e-4, 1.0, 1e6, 1.0, 1.0])
    task = table_task()
    scaled = dataclasses.replace(
        task, train=task.train * scales, test=task.test * scales, validation=task.validation * scales
    )
    wanted, found = (measure(baseline("mean", "standardised"), t)["last"] for t in (task, scaled))
    assert found == wanted


def test_gradients_see_images_as_such():
    small = image_task()
    larger = {part: getattr(small, part).repeat(2, 2).repeat(2, 3) for part in ("train", "validation", "test")}
    task = dataclasses.replace(small, **larger)
    method = methods.make("Gradients").fit(task.train)
    found = measure(baseline("gradients"), task)["last"]["test"]
    assert found == metrics.auroc(task.test_labels, method.anomaly_score(task.test))


def test_more_components_than_rows_are_refused():
    with pytest.raises(ValueError, match="p d, pca-60, raw: n must be below the 60 training rows"):
        measure(baseline("pca", n=60), table_task())


@pytest.mark.data
@pytest.mark.parametrize(
    ("method", "n", "rows", "f1"),
    [("mean", None, "raw", 9), ("pca", 4, "raw", 10), ("knn", 5, "raw", 9), ("knn", 5, "standardised", 9)],
)
def test_trivial_methods_on_the_official_split_of_arrhythmia(method, n, rows, f1):
    """They find 9 or 10 of the 13 anomalies: 69.2 or 76.9 %, where the paper's Table 4 ends at 60."""
    try:
        task = make_task("official_split", "arrhythmia")
    except FileNotFoundError:
        pytest.skip("arrhythmia is not there")
    assert measure(baseline(method, rows, n), task)["last"]["test"] == pytest.approx(f1 / 13)


@pytest.mark.data
@pytest.mark.parametrize(
    ("dataset", "rows", "method", "auroc"),
    [("mnist", "raw", "mean", 86.5), ("cifar10", "raw", "mean", 58.3), ("cifar10", "preprocessed", "mean", 65.6)],
)
def test_distance_to_the_mean_on_images(dataset, rows, method, auroc):
    """Means over ten classes, as computed independently."""
    try:
        found = [
            measure(baseline(method, rows), make_task("one_class", dataset, normal=normal))["last"]["test"]
            for normal in range(10)
        ]
    except FileNotFoundError:
        pytest.skip(f"{dataset} is not there")
    assert 100 * np.mean(found) == pytest.approx(auroc, abs=0.1)
