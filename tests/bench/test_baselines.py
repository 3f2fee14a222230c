from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from bench.synthetic import image_task, table_task

from tollad.bench import baselines
from tollad.bench.baselines import measure
from tollad.bench.protocols import make_task
from tollad.bench.spec import Baseline

RNG = np.random.default_rng(0)
TRAIN, ROWS = RNG.normal(size=(50, 6)), RNG.normal(size=(20, 6))


def baseline(method, rows="raw", n=None, **values):
    return Baseline.from_values({"protocol": "p", "dataset": "d", "method": method, "rows": rows, "n": n} | values)


def test_mean_is_the_distance_to_it():
    np.testing.assert_allclose(baselines.mean(TRAIN, ROWS), np.linalg.norm(ROWS - TRAIN.mean(0), axis=1))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_pca_is_what_the_components_leave(n):
    centre = TRAIN.mean(0)
    components = np.linalg.svd(TRAIN - centre)[2][:n]
    rest = (ROWS - centre) - (ROWS - centre) @ components.T @ components
    np.testing.assert_allclose(baselines.pca(TRAIN, ROWS, n), np.linalg.norm(rest, axis=1))


@pytest.mark.parametrize("n", [1, 5])
def test_knn_is_the_mean_of_the_shortest_distances(n):
    distances = np.sort(np.linalg.norm(ROWS[:, None] - TRAIN[None], axis=2), axis=1)
    np.testing.assert_allclose(baselines.knn(TRAIN, ROWS, n), distances[:, :n].mean(1))


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
    raw, seen, standard = (
        baselines._prepare(baseline("mean", rows), task, task.train) for rows in ("raw", "preprocessed", "standardised")
    )
    np.testing.assert_array_equal(raw, task.train.reshape(len(task.train), -1))
    np.testing.assert_array_equal(seen, task.preprocessing(task.train).reshape(len(task.train), -1))
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(0), 1)


def test_columns_of_any_scale_count_alike():
    scales = np.array([1e-9, 1e-4, 1.0, 1e6, 1.0, 1.0])
    task = table_task()
    scaled = dataclasses.replace(task, train=task.train * scales)
    wanted = baselines._prepare(baseline("mean", "standardised"), task, task.test)
    found = baselines._prepare(baseline("mean", "standardised"), scaled, task.test * scales)
    np.testing.assert_allclose(found, wanted)


def test_a_constant_column_is_only_centred():
    train = table_task().train.copy()
    train[:, 2] = 7.0
    task = dataclasses.replace(table_task(), train=train)
    found = baselines._prepare(baseline("mean", "standardised"), task, np.full((1, 6), 7.5))
    assert found[0, 2] == 0.5


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
