"""A detector of series as an ONNX graph: the same answers for each time step as the product gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollad import SeriesDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.runtime import TIE, Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning")
WINDOW = 10


def waves(n: int, n_channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.arange(n)[:, None] / 4 * np.arange(1, n_channels + 1)
    return np.sin(times) + 0.1 * rng.normal(size=(n, n_channels))


def fitted(n_channels: int = 2, **changes: object) -> SeriesDetector:
    chosen = {"window": WINDOW, "stride": 3, "steps": 8, "hidden": (8,), "random_state": 0, **changes}
    return SeriesDetector(**chosen).fit(waves(300, n_channels, 0))


def exported(detector: SeriesDetector, folder: Path) -> Runtime:
    detector.to_onnx(folder / "s.onnx")
    return Runtime.load(folder / "s.onnx")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    detectors = [fitted(1), fitted(2), fitted(2, causal=True), fitted(1, stride=1, target="mean", norm="l1")]
    detectors.append(fitted(2, network="conv1d", hidden=(4,)))
    return [(one, exported(one, tmp_path_factory.mktemp("series"))) for one in detectors]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 4), n=st.integers(WINDOW, 90), seed=st.integers(1, 10**6))
def test_answers_are_those_of_the_product(several, which, n, seed):
    detector, runtime = several[which]
    steps = waves(n, detector.n_features_in_, seed)
    steps[n // 2 :] += 2 * (seed % 3)
    answers, scores = runtime.score(steps), detector.anomaly_score(steps)
    np.testing.assert_allclose(answers["anomaly_score"], scores, rtol=TIE)
    known = np.isfinite(scores)
    assert known.all() or detector.causal
    decision = detector.decision_
    decisive = np.append(decision.calibration_scores, decision.threshold)
    clear = known & ~(np.abs(scores[:, None] - decisive) <= 2 * TIE * np.abs(scores[:, None])).any(1)
    np.testing.assert_array_equal(answers["label"][clear] < 0, scores[clear] > decision.threshold)
    np.testing.assert_array_equal(answers["p_value"][clear], decision.p_values(scores[clear]))
    assert (answers["label"][~known] == 1).all()


def test_frames_have_their_columns_by_name(tmp_path):
    frame = pd.DataFrame(waves(300, 2, 0), columns=["a", "b"])
    detector = SeriesDetector(window=WINDOW, steps=8, hidden=(8,), random_state=0).fit(frame)
    runtime = exported(detector, tmp_path)
    wanted = detector.anomaly_score(frame[:60])
    np.testing.assert_allclose(runtime.score(frame[["b", "a"]][:60])["anomaly_score"], wanted, rtol=TIE)
    with pytest.raises(ValueError, match="lacks columns that the model was fitted on: 'b'"):
        runtime.score(frame[["a"]])


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (np.zeros((WINDOW - 1, 2)), "fewer than a window of 10"),
        (np.zeros((40, 3)), r"takes \(T, 2\)"),
        (np.full((40, 2), np.nan), "step 0 in channel .* missing or infinite"),
    ],
)
def test_a_series_that_cannot_be_scored(several, steps, words):
    with pytest.raises(ValueError, match=words):
        several[1][1].score(steps)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapt": True}, "adapts to the series cannot be exported"),
    ],
)
def test_what_no_graph_can_hold(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fitted(**changes).to_onnx(tmp_path / "s.onnx")
    assert not list(tmp_path.iterdir())
