"""What a graph tells of the reasons of a score: its parts by column, and what the network expected."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS, KINDS, people, train

from tollad import TollDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.runtime import EXPLAINED, TIE, Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


def told(detector: TollDetector, rows: object, folder) -> list[np.ndarray]:
    detector.to_onnx(folder / "m.onnx")
    runtime = Runtime.load(folder / "m.onnx")
    asked = {**runtime.feed(rows), "explained": np.asarray(True)}
    return runtime.session.run([*EXPLAINED, "anomaly_score"], asked)


@pytest.mark.parametrize(
    "kind", ["table", "table with gaps", "embeddings", "mlp", "raw", "mean", "double", "nearest of some"]
)
@pytest.mark.parametrize("n", [1, 9])
def test_numbers(kind, n, tmp_path):
    detector, rows = train(kind), KINDS[kind][0][5 : 5 + n] + 0.3
    parts, expected, by_column, scores = told(detector, rows, tmp_path)
    explanation = detector.explain(rows)
    np.testing.assert_allclose(by_column, explanation.parts, atol=TIE * scores.max())
    np.testing.assert_allclose(parts.sum(1) + explanation.latent, scores, rtol=TIE)
    np.testing.assert_allclose(expected, explanation.expected, atol=1e-5)


@pytest.mark.parametrize("error", ["l1", "squared_l2"])
def test_other_errors(error, tmp_path):
    detector, rows = train("mlp", error=error, n_members=1), KINDS["mlp"][0][:9]
    parts, *_ = told(detector, rows, tmp_path)
    np.testing.assert_allclose(parts, detector.explain(rows).parts, atol=1e-5)


def test_columns_of_many_kinds(tmp_path):
    detector = TollDetector(steps=12, hidden=(8,), random_state=0).fit(people())
    rows = people(9, seed=3)
    parts, expected, by_column, scores = told(detector, rows, tmp_path)
    explanation = detector.explain(rows)
    np.testing.assert_allclose(by_column, explanation.parts, atol=TIE * scores.max())
    np.testing.assert_allclose(by_column.sum(1), parts.sum(1))
    np.testing.assert_allclose(expected[:, 0], explanation.expected[:, 0].astype(float), rtol=1e-5)


def test_a_row_that_is_as_expected_has_no_parts(tmp_path):
    """Its squares are all 0, and nothing is divided by them."""
    rows = np.zeros((60, 2))
    rows[1:, 0] = np.linspace(-1, 1, 59)
    detector = TollDetector(
        network="mlp", hidden=(), latent_dim=2, steps=1, neighbors=20, preprocess=None, random_state=0
    )
    parts, _, _, scores = told(detector.fit(rows), rows, tmp_path)
    assert np.isfinite(parts).all()
    assert (parts.sum(1) <= scores * (1 + TIE)).all()


def test_they_are_not_told_unless_asked_for(tmp_path):
    detector = train("mlp")
    detector.to_onnx(tmp_path / "m.onnx")
    runtime = Runtime.load(tmp_path / "m.onnx")
    rows = KINDS["mlp"][0]
    assert "parts" not in runtime.score(rows)
    assert [part.size for part in runtime.session.run(list(EXPLAINED), runtime.feed(rows))] == [0, 0, 0]


@pytest.mark.parametrize(
    "names", [("c0", "v1"), ("threshold", "label"), ("scores", "scores_"), ("", "_"), ("__c2", "explained")]
)
def test_columns_may_be_called_like_values_of_the_graph(names, tmp_path):
    frame = pd.DataFrame(dict(zip(names, (people()["age"], people()["city"]), strict=True)))
    detector = TollDetector(steps=5, hidden=(4,), random_state=0).fit(frame)
    detector.to_onnx(tmp_path / "m.onnx")
    runtime, scores = Runtime.load(tmp_path / "m.onnx"), detector.anomaly_score(frame)
    np.testing.assert_allclose(runtime.score(frame)["anomaly_score"], scores, rtol=TIE)
    some = [{names[0]: 31.0, names[1]: "Bonn"}]
    np.testing.assert_allclose(
        runtime.score(some)["anomaly_score"], detector.anomaly_score(pd.DataFrame(some)), rtol=TIE
    )
