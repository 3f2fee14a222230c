"""A detector of images as an ONNX graph: the same scores, labels and maps as the product gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectors import FEW_STEPS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollad import ImageDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.runtime import TIE, Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)
GREY, COLOUR = (1, 20, 27), (3, 18, 16)


def pictures(n: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Images of a bar that stands elsewhere in each, with noise."""
    rng = np.random.default_rng(seed)
    images = 0.1 * rng.random((n, *shape))
    for image, place in zip(images, rng.integers(2, shape[2] - 4, n), strict=True):
        image[:, 3:-3, place : place + 3] += 0.7
    return images


def fitted(shape: tuple[int, int, int] = GREY, **changes: object) -> ImageDetector:
    return ImageDetector("gradients", **{"random_state": 0, **changes}).fit(pictures(40, shape, 0))


def exported(detector: ImageDetector, folder: Path) -> Runtime:
    detector.to_onnx(folder / "i.onnx")
    return Runtime.load(folder / "i.onnx")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    detectors = [
        fitted(),
        fitted(COLOUR, head="ledoit_wolf", false_alarm_rate=0.1),
        fitted(head="collapse", collapse={"steps": 5, "hidden": (8,)}),
    ]
    return [(one, exported(one, tmp_path_factory.mktemp("images"))) for one in detectors]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 2), n=st.integers(1, 20), seed=st.integers(1, 10**6))
def test_answers_are_those_of_the_product(several, which, n, seed):
    detector, runtime = several[which]
    images = pictures(n, detector.input_shape_, seed)
    images[: n // 2] = np.clip(images[: n // 2] + seed % 4 * 0.1, 0, 1)
    answers, scores = runtime.score(images), detector.anomaly_score(images)
    np.testing.assert_allclose(answers["anomaly_score"], scores, rtol=TIE)
    np.testing.assert_array_equal(answers["label"], detector.predict(images))
    if which == 1:
        np.testing.assert_array_equal(answers["p_value"], detector.p_value(images))
    if which < 2:
        maps = detector.anomaly_map(images)
        np.testing.assert_allclose(answers["anomaly_map"], maps, atol=1e-5 * maps.max())
    assert ("anomaly_map" in answers) == (which < 2)
    alone = runtime.score(images[n - 1 :])["anomaly_score"]
    np.testing.assert_allclose(alone, answers["anomaly_score"][n - 1 :], rtol=1e-13)


def test_bytes_and_an_image_without_any_edge(several):
    detector, runtime = several[0]
    images = np.stack([np.full(GREY[1:], 7, np.uint8), (pictures(1, GREY, 3)[0, 0] * 255).astype(np.uint8)])
    np.testing.assert_allclose(runtime.score(images)["anomaly_score"], detector.anomaly_score(images), rtol=TIE)


@pytest.mark.parametrize(
    ("images", "words"),
    [(np.zeros((2, 1, 20, 20)), "takes"), (np.full((1, *GREY), 2.0), "divide by"), (np.zeros(3), "images are")],
)
def test_images_that_cannot_be_scored(several, images, words):
    with pytest.raises(ValueError, match=words):
        several[0][1].score(images)


def test_another_representation_is_refused_by_name(tmp_path):
    images = pictures(8, (1, 8, 8), 0)
    detector = ImageDetector("pixels", collapse={"steps": 3, "hidden": (4,)}, random_state=0).fit(images)
    with pytest.raises(ValueError, match="representation 'pixels' of images cannot be exported"):
        detector.to_onnx(tmp_path / "i.onnx")
    assert not list(tmp_path.iterdir())
