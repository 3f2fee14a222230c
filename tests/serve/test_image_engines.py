"""Served images are scored by the graph of their detector, if it agrees, and alone as in company."""

from __future__ import annotations

import numpy as np
import pytest
from detectors import FEW_STEPS
from torch import nn

from tollad import ImageDetector
from tollad.images import backbones

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.image_engines import ImageDetectorEngine, ImageGraphEngine, image_engine_of

needs_weights = pytest.mark.skipif(not backbones.has_efficientnet_lite2(), reason="the extra vision is not installed")


def pictures(n: int, seed: int, side: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = 0.2 * rng.random((n, side, side)).astype(np.float32)
    for one, place in zip(images, rng.integers(2, side - 4, n), strict=True):
        one[3:-3, place : place + 3] += 0.6
    return images


@pytest.mark.parametrize(
    ("representation", "side", "how"),
    [
        ("gradients", 20, {}),
        ("pixels", 20, {"collapse": {"steps": 3, "hidden": (4,)}}),
        pytest.param("efficientnet_lite2", 24, {}, marks=needs_weights),
    ],
)
@pytest.mark.filterwarnings(FEW_STEPS, "ignore:the latents? .*collapsed:UserWarning")
def test_the_graph_answers_as_the_detector_does(representation, side, how):
    detector = ImageDetector(representation, random_state=0, false_alarm_rate=0.2, **how).fit(pictures(20, 0, side))
    engine, images = image_engine_of(detector), pictures(5, 1, side)
    assert engine.name == "onnxruntime"
    said, wanted = (one.answers(images, maps=True) for one in (engine, ImageDetectorEngine(detector)))
    assert said.keys() == wanted.keys()
    for name, values in wanted.items():
        share = 0 if name in ("anomaly", "p_value") else 1e-5
        np.testing.assert_allclose(said[name], values, rtol=0, atol=share * values.max())
    for number in range(5):
        alone = engine.answers(images[number : number + 1], maps=True)
        for name, values in said.items():
            np.testing.assert_array_equal(alone[name][0], values[number])


def test_a_graph_that_differs_is_not_used(monkeypatch):
    detector = ImageDetector("gradients", random_state=0).fit(pictures(12, 0))
    right = ImageGraphEngine.answers

    def changed(engine, images, *, maps):
        said = right(engine, images, maps=maps)
        return {**said, "anomaly_score": said["anomaly_score"] * 1.001}

    monkeypatch.setattr(ImageGraphEngine, "answers", changed)
    assert image_engine_of(detector).name == "torch"


def test_what_no_graph_can_hold_is_scored_by_torch():
    detector = ImageDetector(nn.Conv2d(1, 4, 3, 2), random_state=0).fit(pictures(12, 0))
    assert image_engine_of(detector).name == "torch"
