"""A detector of images as an ONNX graph: the same scores, labels and maps as the product gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectors import FEW_STEPS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tollad import ImageDetector
from tollad.images import backbones, representations
from tollad.images.positions import NearestPositions

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto, helper

from tollad.serve.graph import Graph
from tollad.serve.onnx_backbone import Maps, distances_of, features_of
from tollad.serve.outputs import finished
from tollad.serve.runtime import TIE, Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the latents? .*collapsed:UserWarning")
needs_weights = pytest.mark.skipif(not backbones.has_efficientnet_lite2(), reason="the extra vision is not installed")
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
        ImageDetector("pixels", collapse={"steps": 3, "hidden": (4,)}, random_state=0).fit(pictures(40, COLOUR, 0)),
    ]
    return [(one, exported(one, tmp_path_factory.mktemp("images"))) for one in detectors]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), n=st.integers(1, 20), seed=st.integers(1, 10**6))
def test_answers_are_those_of_the_product(several, which, n, seed):
    detector, runtime = several[which]
    images = pictures(n, detector.input_shape_, seed)
    images[: n // 2] = np.clip(images[: n // 2] + seed % 4 * 0.1, 0, 1)
    answers, scores = runtime.score(images), detector.anomaly_score(images)
    np.testing.assert_allclose(answers["anomaly_score"], scores, rtol=TIE)
    np.testing.assert_array_equal(answers["label"], detector.predict(images))
    if which == 1:
        np.testing.assert_array_equal(answers["p_value"], detector.p_value(images))
    maps = detector.anomaly_map(images)
    np.testing.assert_allclose(answers["anomaly_map"], maps, atol=1e-5 * maps.max())
    alone = runtime.score(images[n - 1 :])["anomaly_score"]
    np.testing.assert_allclose(alone, answers["anomaly_score"][n - 1 :], rtol=1e-13)


def test_bytes_and_an_image_without_any_edge(several):
    detector, runtime = several[0]
    images = np.stack([np.full(GREY[1:], 7, np.uint8), (pictures(1, GREY, 3)[0, 0] * 255).astype(np.uint8)])
    np.testing.assert_allclose(runtime.score(images)["anomaly_score"], detector.anomaly_score(images), rtol=TIE)


@pytest.mark.parametrize(
    ("images", "words"),
    [(np.zeros((2, 1, 20, 20)), "takes"), (np.full((1, *GREY), 2.0), "divide all"), (np.zeros(3), "images are")],
)
def test_images_that_cannot_be_scored(several, images, words):
    with pytest.raises(ValueError, match=words):
        several[0][1].score(images)


@needs_weights
@pytest.mark.parametrize("shape", [(1, 66, 70), (3, 20, 16)])
def test_features_of_the_pre_trained_network(shape):
    images, graph = pictures(1, shape, 0).astype(np.float32), Graph()
    graph.constant(0.0, name="threshold")  # an input of every graph
    seen = representations.efficientnet_lite2(images)
    whole, positions = features_of(graph, "X", shape, "efficientnet_lite2", [*seen.whole])
    named = {**whole, **{level: maps.value for level, maps in positions.items()}}
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, *shape])]
    outputs = [
        helper.make_tensor_value_info(maps, TensorProto.FLOAT, [None] * (4 if level in positions else 2))
        for level, maps in named.items()
    ]
    session = onnxruntime.InferenceSession(finished(graph, inputs, outputs, {}))
    found = dict(zip(named, session.run([*named.values()], {"X": images}), strict=True))
    for level, features in seen.whole.items():
        np.testing.assert_allclose(found.pop(level), features, atol=1e-5 if level == "spread" else 1e-6)
    for level, features in seen.positions.items():
        np.testing.assert_allclose(found.pop(level).transpose(0, 2, 3, 1), features, atol=1e-5)
    assert not found


def test_positions_of_textures():
    rng, graph = np.random.default_rng(0), Graph()
    drawn = {"fine": rng.normal(size=(30, 17, 16, 5)), "coarse": rng.normal(size=(30, 9, 8, 3))}
    level, _ = NearestPositions.fit(drawn)
    new = {name: maps[:4].astype(np.float32) + 0.3 for name, maps in drawn.items()}
    graph("Identity", distances_of(graph, level, {n: Maps(n, maps.shape[1:3]) for n, maps in new.items()}), output="d")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, maps.shape[3], *maps.shape[1:3]])
        for name, maps in new.items()
    ]
    outputs = [helper.make_tensor_value_info("d", TensorProto.DOUBLE, [None, 9, 8])]
    graph.constant(0.0, name="threshold")
    session = onnxruntime.InferenceSession(finished(graph, inputs, outputs, {}))
    (found,) = session.run(["d"], {name: maps.transpose(0, 3, 1, 2) for name, maps in new.items()})
    np.testing.assert_allclose(found, level(new), rtol=1e-4)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize(
    ("name", "shape", "how"),
    [
        ("efficientnet_lite2_fine", (3, 20, 16), {}),
        ("efficientnet_lite2", (1, 66, 70), {}),
        ("efficientnet_lite2", (3, 260, 270), {"levels": "positions"}),
    ],
)
def test_the_pre_trained_network_is_in_the_graph(name, shape, how, tmp_path):
    """Its convolutions run in single precision, by kernels that add in another order than torch's."""
    images = pictures(11, shape, 0).astype(np.float32)
    detector = ImageDetector(name, random_state=0, **how).fit(images[:7])
    runtime, others = exported(detector, tmp_path), images[7:]
    others[1, :, 2:8, 2:8] = 1
    answers = runtime.score(others)
    np.testing.assert_allclose(answers["anomaly_score"], detector.anomaly_score(others), rtol=1e-4)
    np.testing.assert_array_equal(answers["label"], detector.predict(others))
    np.testing.assert_allclose(runtime.score(others[1:2])["anomaly_score"], answers["anomaly_score"][1:2], rtol=1e-6)
    assert ("anomaly_map" in answers) == (min(shape[1:]) >= 64)
    if "anomaly_map" in answers:
        maps = detector.anomaly_map(others)
        np.testing.assert_allclose(answers["anomaly_map"], maps, atol=1e-4 * maps.max())


def test_a_representation_of_the_user_is_refused_by_name(tmp_path):
    images = pictures(8, (1, 8, 8), 0)
    detector = ImageDetector(nn.Flatten(), random_state=0).fit(images)
    with pytest.raises(ValueError, match="representation 'module' of images cannot be exported; fit with one of eff"):
        detector.to_onnx(tmp_path / "i.onnx")
    assert not list(tmp_path.iterdir())
