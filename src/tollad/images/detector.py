"""ImageDetector: a representation, a head and a threshold, fitted to good images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from tollad.calibration import Decision, rows_needed
from tollad.detector.decisions import DecisionMixin
from tollad.detector.fitting import all_or_nothing, draw_seed
from tollad.images import representations
from tollad.images.checks import check_parameters, check_shape
from tollad.images.heads import Floats
from tollad.images.levels import fit_head
from tollad.images.representations import ImageFeatures, Representation
from tollad.images.saving import ImageSaving
from tollad.images.scorer import ImageScorer, gathered, joined
from tollad.io.images import ImageSource
from tollad.io.pixels import floats_of

_LEAST_IMAGES = 5
# Positions are learnt from at most this many good images, to bound memory.
_MOST_WITH_POSITIONS = 300
_BLOCK = 64


@dataclass(frozen=True)
class ImageExplanation:
    """The scores of images by level, and where each image is anomalous.

    Attributes
    ----------
    scores : ndarray of float64, (n,)
    levels : tuple of str
        Names: one or two for the whole image, and ``"positions"`` for positions in it.
    by_level : ndarray of float64, (n, n_levels)
        Score of each level, divided by the median over good images. The score of an image is their geometric mean.
    maps : ndarray of float64, (n, H, W), or None
        As in `ImageDetector.anomaly_map`; None if the detector has no maps.

    Examples
    --------
    >>> images = np.random.default_rng(0).random((20, 16, 16))
    >>> explanation = ImageDetector(random_state=0).fit(images).explain(images[:2])
    >>> explanation.levels, explanation.by_level.shape, explanation.maps.shape
    (('gradients',), (2, 1), (2, 16, 16))
    """

    scores: Floats
    levels: tuple[str, ...]
    by_level: Floats
    maps: Floats | None


class ImageDetector(DecisionMixin, ImageSaving, OutlierMixin, BaseEstimator):
    """Detect anomalous images, and where they are anomalous, from good images alone.

    A representation turns an image into features; a head is their distance from the features of good images. No labels
    are used. ``representation="pixels"`` is the paper's method.

    Parameters
    ----------
    representation : str, torch module or Representation, default "auto"
        "gradients", "efficientnet_lite2" or "efficientnet_lite2_fine" (extra `vision`), "pixels", "timm:" and the name
        of a network of timm, the path of an ONNX file (``.onnx``, extra `onnx`), or a module or a function of your own,
        see `tollad.images.representations`.
        "auto" is "gradients" for grey images below 64 pixels; for others "efficientnet_lite2" if it is installed, or
        below 128 pixels "efficientnet_lite2_fine". `choice_` gives the reason, the cost and better choices in words.
    head : {"auto", "ledoit_wolf", "nearest", "collapse"}, default "auto"
        Score of the whole image, see `tollad.images.heads`: its Mahalanobis distance, which needs no training; its
        distance to the nearest good images; or the score of an autoencoder with targeted collapse. "auto" is the
        default of the representation.
    levels : {"auto", "both", "image", "positions"}, default "auto"
        Whether to score the whole image, positions in it, or both, if the representation has positions. The whole
        image shows other kinds of objects and changes all over, positions show small defects. "auto" is "positions"
        where 100 good images or more show a homogeneous texture, and else "both".
    collapse : mapping, optional
        Parameters of `tollad.TollDetector` for the head "collapse", such as ``{"steps": 600}``.
    contamination : float in (0, 0.5], default 0.1
        Share of the training images above the threshold.
    false_alarm_rate : float in (0, 1), optional
        Share of new good images that may lie above the threshold. If given, `contamination` has no effect, and a fifth
        of the images, or as many as the rate needs, is held out.
    random_state : int, RandomState or None, default None
        Seed of held-out images and of the weights of an autoencoder. With an int, results are equal to the bit.

    Attributes
    ----------
    representation_ : str
        Name of the representation; ``"module"`` for a torch module.
    head_ : str
    choice_ : str
        Why it was chosen, in words.
    levels_ : tuple of str
        Levels whose geometric mean is the score.
    scorer_ : tollad.images.scorer.ImageScorer
        The fitted levels.
    decision_ : tollad.calibration.Decision
        The threshold, and the scores by which it was placed.
    input_shape_ : tuple of int, (C, H, W)
        Of an image.
    notes_ : dict of str to JSON values
        The `notes` that were saved with the model; empty after a fit.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> images = (digits.images / 16).repeat(3, 1).repeat(3, 2)  # 24 x 24 pixels
    >>> eights = images[digits.target == 8]
    >>> detector = ImageDetector(random_state=0).fit(eights[:100])
    >>> detector.representation_
    'gradients'
    >>> scores = detector.anomaly_score(images[digits.target == 0])
    >>> bool(scores.min() > detector.anomaly_score(eights[100:]).mean())
    True
    >>> detector.anomaly_map(images[:2]).shape
    (2, 24, 24)
    """

    def __init__(
        self,
        representation: str | nn.Module | Representation = "auto",
        *,
        head: Literal["auto", "ledoit_wolf", "nearest", "collapse"] = "auto",
        levels: Literal["auto", "both", "image", "positions"] = "auto",
        collapse: Mapping[str, Any] | None = None,
        contamination: float = 0.1,
        false_alarm_rate: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.representation = representation
        self.head = head
        self.levels = levels
        self.collapse = collapse
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.random_state = random_state

    def fit(self, X: ArrayLike | ImageSource, y: object = None) -> Self:
        """Learn what good images look like.

        Parameters
        ----------
        X : array-like, (n, H, W) or (n, C, H, W), or ImageSource
            At least five good images: uint8, or floats from 0 to 1, with one channel or three. An object of
            `tollad.images.open_images` is read block by block.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For parameters out of range, or images that are too few, too small, of several sizes, not finite or outside
            their range.
        ImportError
            If the representation needs an extra that is not installed.
        """
        check_parameters(self.get_params(deep=False))
        images = X if isinstance(X, ImageSource) else floats_of(X)
        shape = images.shape if isinstance(images, ImageSource) else images.shape[1:]
        if len(images) < _LEAST_IMAGES:
            raise ValueError(f"a fit needs {_LEAST_IMAGES} good images or more; there are {len(images)}")
        chosen, choice = self._choose(shape)
        check_shape(shape, chosen)
        seed = draw_seed(self.random_state)
        trained, held = self._held_out(len(images), seed)
        with all_or_nothing(self):
            self._seed, self.choice_ = seed, choice
            self.representation_, self.input_shape_, self.notes_ = chosen.name, (shape[0], shape[1], shape[2]), {}
            self.source_ = None
            self.head_ = chosen.head if self.head == "auto" else self.head
            self.scorer_, scores = self._learn(chosen, images, trained)
            self.decision_ = Decision.learn(
                scores,
                contamination=self.contamination,
                false_alarm_rate=self.false_alarm_rate,
                calibration_scores=None if held is None else self._scored(self._seen(images, held)),
            )
        return self

    def anomaly_score(self, X: ArrayLike | ImageSource) -> Floats:
        """Return the anomaly score of each image of `X`, as in `fit`: (n,), high = anomalous.

        The score of an image does not depend on the other images.
        """
        return self._scored(self._look(X))

    def anomaly_map(self, X: ArrayLike | ImageSource) -> Floats:
        """Return the anomaly map of each image of `X`, as in `fit`: (n, H, W), >= 0, high = anomalous.

        An average position of a good image has about 1, so maps of different images are comparable.

        Raises
        ------
        ValueError
            If the representation has no positions, as the pre-trained network for images below 64 pixels.
        """
        check_is_fitted(self)
        if not self.scorer_.has_maps:
            raise ValueError(
                f"the representation {self.representation_} of images of {_sized(self.input_shape_)} pixels has no "
                "maps; use gradients or pixels, or larger images"
            )
        return np.concatenate([self.scorer_.maps(seen) for seen in self._look(X)])

    def explain(self, X: ArrayLike | ImageSource) -> ImageExplanation:
        """Return the score of each image of `X`, as in `fit`, by level, and its anomaly map."""
        check_is_fitted(self)
        by_level, maps = [], []
        for seen in self._look(X):
            scores, of_block = self.scorer_.explained(seen)
            by_level.append(scores)
            maps += [] if of_block is None else [of_block]
        scores = np.concatenate(by_level)
        return ImageExplanation(joined(scores), self.levels_, scores, np.concatenate(maps) if maps else None)

    @property
    def levels_(self) -> tuple[str, ...]:
        """Names of the levels."""
        return self.scorer_.levels

    @property
    def n_features_in_(self) -> int:
        """``input_shape_[0]``: channels."""
        return self.input_shape_[0]

    @property
    def training_scores_(self) -> Floats:
        """Scores of the training images by heads that were not fitted on them: (n,)."""
        return self.decision_.training_scores

    @property
    def calibration_scores_(self) -> Floats:
        """Scores of the images held out, ascending; only with `false_alarm_rate` or after `calibrate`."""
        if self.decision_.calibration_scores is None:
            raise AttributeError("there are no calibration scores: give false_alarm_rate, or call calibrate")
        return self.decision_.calibration_scores

    def _choose(self, shape: tuple[int, int, int]) -> tuple[Representation, str]:
        if isinstance(self.representation, nn.Module):
            return representations.of(self.representation), "a module of your own"
        if self.representation != "auto":
            return representations.of(self.representation), "as asked for"
        name, why = representations.choose(shape)
        return representations.of(name), why

    def _held_out(self, n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
        if self.false_alarm_rate is None:
            return np.arange(n), None
        needed = max(rows_needed(self.false_alarm_rate), n // 5)
        if n - needed < _LEAST_IMAGES:
            raise ValueError(
                f"false_alarm_rate={self.false_alarm_rate} needs {needed} images to calibrate on and {_LEAST_IMAGES} "
                f"to train on; there are {n}"
            )
        order = np.random.default_rng([seed, 1]).permutation(n)
        return np.sort(order[needed:]), np.sort(order[:needed])

    def _learn(
        self, representation: Representation, images: NDArray[np.float32] | ImageSource, chosen: NDArray[np.intp]
    ) -> tuple[ImageScorer, Floats]:
        """Fit all levels, and return the scores of the images that they were fitted on, in their order."""
        most = min(len(chosen), _MOST_WITH_POSITIONS)
        with_positions = np.zeros(len(chosen), np.bool_)
        with_positions[np.random.default_rng([self._seed, 2]).permutation(len(chosen))[:most]] = True
        blocks = []
        for start in range(0, len(chosen), _BLOCK):
            seen = representation.extract(_taken(images, chosen[start : start + _BLOCK]))
            kept = with_positions[start : start + _BLOCK]
            blocks.append(ImageFeatures(seen.whole, {name: maps[kept] for name, maps in seen.positions.items()}))
        return ImageScorer.fit(
            representation,
            self.input_shape_[1:],
            gathered(blocks),
            with_positions,
            levels=self.levels,
            head=self.head_,
            fit=fit_head(self.head_, self._seed, self.collapse or {}),
        )

    def _look(self, X: ArrayLike | ImageSource) -> Iterator[ImageFeatures]:
        check_is_fitted(self)
        images = X if isinstance(X, ImageSource) else floats_of(X)
        shape = images.shape if isinstance(images, ImageSource) else images.shape[1:]
        if shape != self.input_shape_:
            raise ValueError(
                f"the images have {shape[0]} channels of {_sized(shape)} pixels, but those of the fit had "
                f"{self.input_shape_[0]} of {_sized(self.input_shape_)}"
            )
        return self._seen(images, np.arange(len(images)))

    def _seen(self, images: NDArray[np.float32] | ImageSource, chosen: NDArray[np.intp]) -> Iterator[ImageFeatures]:
        for start in range(0, len(chosen), _BLOCK):
            yield self.scorer_.representation.extract(_taken(images, chosen[start : start + _BLOCK]))

    def _scored(self, blocks: Iterator[ImageFeatures]) -> Floats:
        return np.concatenate([joined(self.scorer_.by_level(seen)) for seen in blocks])


def _taken(images: NDArray[np.float32] | ImageSource, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    return images.take(chosen) if isinstance(images, ImageSource) else images[chosen]


def _sized(shape: tuple[int, ...]) -> str:
    return f"{shape[-2]}x{shape[-1]}"
