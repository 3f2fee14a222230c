"""Engines that score served images: onnxruntime if its answers agree with the detector's, else the detector."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tollad.images.detector import ImageDetector
from tollad.serve.answers import answers_of_scores
from tollad.serve.engines import agree, exported

MAP = "anomaly_map"
# Scores of a graph that differ from those of the model by no more than this share agree: its convolutions add in
# another order.
_CLOSE = 1e-5
_N_SPECIMENS = 4


class ImageEngine(Protocol):
    """Scores images. The answers of an image have the same bits whatever images come with it."""

    name: str

    def answers(self, images: NDArray[Any], *, maps: bool) -> dict[str, NDArray[Any]]:
        """Return the answers of each image, as `tollad.serve.answers.answers` does, if asked for with its map."""


class ImageDetectorEngine:
    """The detector itself."""

    name = "torch"

    def __init__(self, detector: ImageDetector) -> None:
        self._detector = detector

    def answers(self, images: NDArray[Any], *, maps: bool) -> dict[str, NDArray[Any]]:
        """Score the images."""
        if not maps:
            return answers_of_scores(self._detector, self._detector.anomaly_score(images))
        explanation = self._detector.explain(images)
        found = answers_of_scores(self._detector, explanation.scores)
        return found if explanation.maps is None else {**found, MAP: explanation.maps}


class ImageGraphEngine:
    """The detector as an ONNX graph. It takes one image at a time, so that no other one changes its last bits."""

    name = "onnxruntime"

    def __init__(self, detector: ImageDetector) -> None:
        self._runtime = exported(detector)

    def answers(self, images: NDArray[Any], *, maps: bool) -> dict[str, NDArray[Any]]:
        """Run the graph."""
        names = [name for name in self._runtime.outputs if name != "scores" and (maps or name != MAP)]
        found = self._runtime.feed(images)["X"]
        runs = [self._runtime.run(names, {"X": found[number : number + 1]}) for number in range(len(found))]
        by_name = {name: np.concatenate(parts) for name, parts in zip(names, zip(*runs, strict=True), strict=True)}
        return {"anomaly_score": by_name.pop("anomaly_score"), "anomaly": by_name.pop("label") < 0, **by_name}


def image_engine_of(detector: ImageDetector) -> ImageEngine:
    """Return the engine of a detector: its graph if there is one, onnxruntime is installed and their answers agree.

    They agree if for made-up images no label and no p-value differs, and scores differ by 1e-5 of their size at most.
    """
    product, images = ImageDetectorEngine(detector), _specimens(detector.input_shape_)
    try:
        graph = ImageGraphEngine(detector)
        wanted, found = (engine.answers(images, maps=False) for engine in (product, graph))
    except (ImportError, ValueError):
        return product
    return graph if agree(wanted, found, _CLOSE) else product


def _specimens(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return made-up images, from smooth to rough."""
    _, height, width = shape
    slope = np.linspace(0.2, 0.8, height)[:, None] * np.linspace(0.5, 1, width)
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (_N_SPECIMENS, *shape))
    strength = np.linspace(0, 1, _N_SPECIMENS).reshape(-1, 1, 1, 1)
    images: NDArray[np.float32] = (slope + strength * noise).clip(0, 1).astype(np.float32)
    return images
