"""A graph takes the same of several kept rows that are as near to a row as the model does."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from detectors import COLLAPSED, FEW_STEPS, table

from tollad import TollDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.runtime import Runtime

pytestmark = [
    pytest.mark.filterwarnings(FEW_STEPS),
    pytest.mark.filterwarnings("ignore:contamination=.* at the threshold have the same score:UserWarning"),
    pytest.mark.filterwarnings(COLLAPSED),
]


def fitted(rows: np.ndarray, **changes: object) -> TollDetector:
    return TollDetector(**{"steps": 3, "hidden": (8,), "random_state": 0, **changes}).fit(rows)


def exported(detector: TollDetector, folder: Path) -> Runtime:
    detector.to_onnx(folder / "m.onnx")
    return Runtime.load(folder / "m.onnx")


def assert_same_scores(detector: TollDetector, rows: np.ndarray, folder: Path) -> None:
    scores = exported(detector, folder).score(rows)["anomaly_score"]
    np.testing.assert_allclose(scores, detector.anomaly_score(rows), rtol=1e-6)


@pytest.mark.parametrize("width", range(2, 7))
@pytest.mark.parametrize("seed", range(3))
def test_tables_of_a_few_whole_numbers(width, seed, tmp_path):
    rng = np.random.default_rng(seed)
    detector = fitted(rng.integers(0, 4, (250, width)).astype(float))
    assert_same_scores(detector, rng.integers(-2, 12, (400, width)) / 2, tmp_path)


def test_more_rows_are_as_near_than_there_are_candidates(tmp_path):
    """The center of a cube is as near to all of its 32 corners, and that of a face to 16."""
    corners = np.array(list(product([0.0, 1.0], repeat=5)))
    chosen = corners[np.random.default_rng(0).integers(32, size=20)]
    outside = chosen + 0.3 * (2 * chosen - 1)  # the more of them, the denser is the corner
    detector = fitted(np.concatenate([corners, corners, outside]))
    centers = np.array(list(product([0.0, 0.5], repeat=5)))
    rows = np.concatenate([centers, table(9, seed=1)])
    assert_same_scores(detector, rows, tmp_path)
    runtime = Runtime.load(tmp_path / "m.onnx")
    alone = [runtime.score(row[None])["anomaly_score"][0] for row in rows]
    np.testing.assert_array_equal(runtime.score(rows)["anomaly_score"], alone)


@pytest.mark.parametrize("width", [1, 3])
def test_rows_so_close_that_single_precision_cannot_tell_them_apart(width, tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(600, width)), 1e4 * rng.normal(size=(3, width))])
    detector = fitted(rows, preprocess=None, n_members=1)
    assert_same_scores(detector, rng.normal(size=(200, width)), tmp_path)


def test_tiny_numbers_as_they_are(tmp_path):
    """A kept row is not mistaken for another that lies close in absolute terms."""
    detector = fitted(1e-10 * table(100), preprocess=None, n_members=1)
    assert_same_scores(detector, 1e-10 * np.concatenate([table(100), table(20, seed=1)]), tmp_path)
