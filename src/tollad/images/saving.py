"""Saving a fitted `ImageDetector` to a file, and loading it."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from tollad.calibration import Decision
from tollad.images import representations
from tollad.images.representations import Representation
from tollad.images.scorer import ImageScorer
from tollad.images.storage import load_state, save_state
from tollad.io import artifact
from tollad.io.source import Source, notes_and_source

# The most values of an image by which an older model file, without a seal, is tried.
_MOST_TRIED = 1 << 26


class ImageSaving(BaseEstimator):
    """The methods `save`, `load` and `to_onnx` of a detector of images."""

    collapse: Mapping[str, Any] | None
    representation_: str
    head_: str
    choice_: str
    scorer_: ImageScorer
    decision_: Decision
    input_shape_: tuple[int, int, int]
    notes_: dict[str, Any]
    source_: Source | None
    _seed: int

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        source: Source | None = None,
    ) -> None:
        """Write the fitted detector as one safe file.

        Weights of a pre-trained network are not in it, only their name and SHA-256; `load` needs the same weights.
        Parameters and errors as in `tollad.TollDetector.save`.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        parameters["representation"] = self.representation_
        parameters["random_state"] = self._seed
        representation = self.scorer_.representation
        kept = self.source_ if source is None else source
        metadata = {
            "parameters": {**parameters, "collapse": None if self.collapse is None else dict(self.collapse)},
            "head": self.head_,
            "choice": self.choice_,
            "weights": None if representation.weights is None else representation.weights(),
            "input_shape": list(self.input_shape_),
            "notes": dict(self.notes_ if notes is None else notes),
            "source": None if kept is None else kept.to_json(),
        }
        save_state(path, metadata, self.scorer_, self.decision_, overwrite=overwrite)

    def to_onnx(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the fitted detector as one ONNX graph, with its representation and its maps.

        Parameters and errors as in `tollad.TollDetector.to_onnx`; representations of your own cannot be exported.
        """
        check_is_fitted(self)
        # Imported by name, since `serve` imports `images` and only this method needs the reverse.
        room = importlib.import_module("tollad.serve.onnx_images")
        fitted = room.FittedImages(
            self.representation_,
            self.input_shape_,
            self.scorer_,
            self.decision_,
            self.notes_,
            self.source_,
        )
        room.write_images(fitted, path, overwrite=overwrite)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, representation: str | nn.Module | Representation | None = None
    ) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        Parameters
        ----------
        path : path
        representation : str, torch module or Representation, optional
            For a detector with a module, a function or an ONNX file of your own: the same one, with the same weights.
            An ONNX file is read from its path at the fit, unless another is given here.

        Raises
        ------
        ValueError
            If the file is no such model, is damaged or altered, or if the weights are not those of the fit.
        ImportError
            If the weights are not installed.
        OSError
            If the file cannot be read.
        """
        metadata, saved = load_state(path)
        parameters = metadata["parameters"]
        name, known = os.fspath(path), parameters["representation"] in representations.__all__
        if representation is None and not representations.is_found_by_name(parameters["representation"]):
            raise ValueError(
                f"{name}: needs representation=, the {parameters['representation']} that it was fitted with"
            )
        if representation is not None and known:
            raise ValueError(f"{name}: has no representation of its own, but {parameters['representation']}")
        try:
            chosen = representations.of(parameters["representation"] if representation is None else representation)
        except FileNotFoundError as error:
            if representation is not None:
                raise
            raise FileNotFoundError(
                f"{name}: sees images by the network {parameters['representation']}, which is not there; put it back, "
                "or load the model from Python with representation= and its new path"
            ) from error
        if chosen.weights is not None and chosen.weights() != metadata["weights"]:
            raise ValueError(
                f"{name}: was fitted with other weights of {chosen.name} than those that are here (SHA-256 "
                f"{metadata['weights'][:12]}... and {chosen.weights()[:12]}...); install the same or fit again"
            )
        if representation is not None:
            parameters = {**parameters, "representation": representation}
        self = cls(**parameters)
        self._seed, self.decision_ = parameters["random_state"], saved.decision
        self.representation_, self.head_, self.choice_ = chosen.name, metadata["head"], metadata["choice"]
        channels, height, width = metadata["input_shape"]
        self.input_shape_, self.notes_, self.source_ = (channels, height, width), *notes_and_source(metadata)
        judges = saved.positions is not None and parameters["levels"] != "image"
        self.scorer_ = ImageScorer(chosen, (height, width), saved.wholes, saved.positions, judges, saved.map_unit)
        if not saved.is_sealed:
            with artifact.understood(path):
                _try(self.scorer_, self.input_shape_)
        return self


def _try(scorer: ImageScorer, shape: tuple[int, int, int]) -> None:
    """Score a made-up image; any error if the parts of a scorer do not fit each other, or give no finite scores."""
    if math.prod(shape) > _MOST_TRIED:
        raise ValueError(f"images of shape {shape} in a file without a seal")
    image = np.random.default_rng(0).random((1, *shape), np.float32)
    with np.errstate(all="ignore"):
        found = scorer.explained(scorer.representation.extract(image))
    if not all(np.isfinite(part).all() for part in found if part is not None):
        raise ValueError("scores that are not finite")
