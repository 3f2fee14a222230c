"""MethodDetector: any method of this room for the user's rows or images, with a threshold and a model file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tollad import methods
from tollad.calibration import Decision
from tollad.calibration.checks import check_rate, check_share
from tollad.detector.decisions import DecisionMixin
from tollad.detector.fitting import all_or_nothing, calibration_split
from tollad.detector.preparation import Preparation
from tollad.io import artifact
from tollad.io.artifact import under_prefix
from tollad.io.pixels import floats_of
from tollad.io.source import Source, notes_and_source
from tollad.method.networks import traits_of
from tollad.methods.base import Comparator
from tollad.tables.features import Features, names_of
from tollad.tables.large import LargeRows, Rows
from tollad.tables.rows import check_rows, divide, encoding_of, learn_rows
from tollad.tables.schema import Column, encoding
from tollad.warn import warn

_KIND: artifact.FileKind = "method model"
_BRIGHTEST = 255.0
_MOST = np.finfo(np.float64).max
_LEARNT = ("columns_", "feature_names_in_", "_numbered_names", "_preparation", "truths_")


class MethodDetector(DecisionMixin, OutlierMixin, BaseEstimator):
    """Any method of `tollad.methods`, with mixed columns, a threshold, p-values and a model file.

    Categories and dates of a frame become numbers, and missing values are filled and marked, as by
    `tollad.TollDetector`. The method scales the numbers, by its field `scale`. There are scores but no reasons, and no
    ONNX graph.

    Parameters
    ----------
    method : tollad.methods.Method
        Not fitted, such as ``DeepSVDD(epochs=50)``. It is not changed; `method_` is a fitted copy.
    columns : mapping of str to str, optional
        Kinds of columns of a frame, as in `tollad.TollDetector`.
    contamination : float in (0, 0.5], default 0.1
        Share of the training rows that may lie above the threshold.
    false_alarm_rate : float in (0, 1), optional
        Share of new normal rows that may be called anomalous. If given, `contamination` is ignored, and a fifth of the
        rows, or as many as the rate needs, is held out.

    Attributes
    ----------
    method_ : tollad.methods.Method
        The fitted method.
    decision_ : tollad.calibration.Decision
        The threshold and the scores from which it was set.
    input_shape_ : tuple of int
        Shape of a row, (d,), or of an image, (C, H, W).
    notes_ : dict of str to JSON values
        The `notes` that were saved with the model; empty after a fit.
    truths_ : ndarray of bool, (d,), or None
        Which columns of a table of numbers held only 0 and 1, for which later rows may have true and false. None for
        other rows, and in older files.

    Examples
    --------
    >>> import numpy as np
    >>> from tollad.methods import KDE, MethodDetector
    >>> normal = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = MethodDetector(KDE(scale="standardise"), false_alarm_rate=0.05).fit(normal)
    >>> detector.predict(np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]))
    array([ 1, -1])
    """

    notes_: dict[str, Any]
    source_: Source | None
    truths_: NDArray[np.bool_] | None
    _preparation: Preparation | None

    def __init__(
        self,
        method: Any,
        *,
        columns: Mapping[str, str] | None = None,
        contamination: float = 0.1,
        false_alarm_rate: float | None = None,
    ) -> None:
        self.method = method
        self.columns = columns
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate

    def fit(
        self, X: ArrayLike | LargeRows, y: object = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array-like or frame, (n, d), or ndarray of images, (n, H, W) or (n, C, H, W)
            Normal rows, at least two; images as uint8, or as floats from 0 to 1.
        y : ignored
        checkpoint : path, optional
            File in which the state of the training is kept. The same fit goes on from it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For parameters out of range, and for rows that are too few, too many for memory, or do not suit the method.
        FloatingPointError
            When a loss is no longer finite.
        MemoryError
            If memory is too small for the fit.
        ImportError
            If the method needs an extra that is not installed.
        """
        check_share(self.contamination, "contamination")
        if self.false_alarm_rate is not None:
            check_rate(self.false_alarm_rate, "false_alarm_rate")
        if not isinstance(self.method, Comparator):
            raise TypeError(f"method must be one of tollad.methods, such as KDE(), not {self.method!r:.60}")
        method = dataclasses.replace(self.method)
        with all_or_nothing(self):
            trained, held = self._learn(X)
            self.method_, self.notes_, self.source_ = method.fit(trained, checkpoint=checkpoint), {}, None
            scores = self._scores(trained)
            if (scores == scores[0]).all():
                warn(
                    f"all training rows have the same score: the rows are all alike, or {method.title} did not learn "
                    "to tell them apart; look at the rows, or set other fields of the method"
                )
            self.decision_ = Decision.learn(
                scores,
                contamination=self.contamination,
                false_alarm_rate=self.false_alarm_rate,
                calibration_scores=None if held is None else self._scores(held),
            )
        return self

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the method's score of each row or image: (n,), high = anomalous, finite.

        A row's score does not depend on the other rows.
        """
        check_is_fitted(self)
        return self._scores(self._inputs(X))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        source: Source | None = None,
    ) -> None:
        """Write the fitted detector as one safe file. Parameters and errors as in `tollad.TollDetector.save`."""
        check_is_fitted(self)
        described, arrays = self.method_.parts()
        names = getattr(self, "_numbered_names", getattr(self, "feature_names_in_", None))
        kept = self.source_ if source is None else source
        metadata = {
            **described,
            "columns": [column.to_json() for column in self.columns_] if hasattr(self, "columns_") else None,
            "kinds": None if self.columns is None else dict(self.columns),
            "contamination": self.contamination,
            "false_alarm_rate": self.false_alarm_rate,
            "input_shape": list(self.input_shape_),
            "feature_names": None if names is None else [str(name) for name in names],
            "named_by_numbers": hasattr(self, "_numbered_names"),
            "truths": None if self.truths_ is None else self.truths_.tolist(),
            "offset": self.decision_.offset,
            "threshold_rule": list(self.decision_.rule),
            "notes": dict(self.notes_ if notes is None else notes),
            "source": None if kept is None else kept.to_json(),
        }
        tensors = {f"method.{name}": array for name, array in arrays.items()}
        tensors["training_scores"] = self.decision_.training_scores
        if self.decision_.calibration_scores is not None:
            tensors["calibration_scores"] = self.decision_.calibration_scores
        if self._preparation is not None:
            tensors |= {f"features.{name}": array for name, array in self._preparation.features.arrays().items()}
        sealed = {**metadata, "seal": artifact.seal(metadata, tensors)}
        artifact.save(path, _KIND, sealed, tensors, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        Raises
        ------
        ValueError
            If the file is no such model, is damaged or altered.
        OSError
            If the file cannot be read.
        """
        metadata, tensors = artifact.load(path, _KIND)
        with artifact.understood(path):
            if metadata.pop("seal") != artifact.seal(metadata, tensors):
                raise ValueError("parts that do not belong together")
            return cls._of_parts(metadata, tensors)

    @classmethod
    def _of_parts(cls, metadata: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Return the detector of a file. Parts that do not fit each other raise errors of any kind."""
        method = methods.find(metadata["method"]).of_parts(metadata, under_prefix(tensors, "method."))
        self = cls(
            dataclasses.replace(method),
            columns=metadata["kinds"],
            contamination=metadata["contamination"],
            false_alarm_rate=metadata["false_alarm_rate"],
        )
        self.method_, self.input_shape_ = method, tuple(metadata["input_shape"])
        self.n_features_in_ = self.input_shape_[0]
        self.notes_, self.source_ = notes_and_source(metadata)
        rule, value = metadata["threshold_rule"]
        self.decision_ = Decision(
            metadata["offset"], (rule, value), tensors["training_scores"], tensors.get("calibration_scores")
        )
        self.decision_.check()
        self._restore_columns(metadata, tensors)
        self._scores(np.zeros((1, *metadata["shape"])))  # parts that do not fit each other raise an error here
        return self

    def _restore_columns(self, metadata: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        """Set what later rows are checked and encoded by."""
        if metadata["columns"] is not None:
            self.columns_ = [Column.from_json(column) for column in metadata["columns"]]
        if metadata["named_by_numbers"]:
            self._numbered_names = metadata["feature_names"]
        elif metadata["feature_names"] is not None:
            self.feature_names_in_ = np.array(metadata["feature_names"], dtype=object)
        self._preparation, self.truths_ = None, None
        if len(self.input_shape_) != 1:
            return
        known = encoding(self.columns_) if hasattr(self, "columns_") else None
        features = Features.from_arrays(under_prefix(tensors, "features."))
        self._preparation = Preparation(features, tuple(names_of(self)), known, 1, 1)
        if (truths := metadata.get("truths")) is not None:
            self.truths_ = np.array(truths, dtype=np.bool_).reshape(self.input_shape_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _learn(self, X: ArrayLike | LargeRows) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the rows to fit and to calibrate on, and keep the shape and columns that later rows must have."""
        if _are_images(X):
            for learnt in _LEARNT:
                self.__dict__.pop(learnt, None)
            if self.columns is not None:
                raise ValueError("columns= names columns of a frame; the rows are images")
            images = _pixels(X)
            self._preparation, self.input_shape_, self.n_features_in_ = None, images.shape[1:], images.shape[1]
            self.truths_ = None
            return self._in_memory(divide(images, self._split))
        rows, held = self._in_memory(learn_rows(self, X, self._split))
        self._preparation = preparation = Preparation.learn(
            rows,
            preprocess=None,
            names=names_of(self),
            encoding=encoding_of(self),
            traits=traits_of("mlp"),
            n_members=1,
            arcsinh=False,
        )
        every = rows if held is None else np.concatenate([rows, held])
        self.truths_ = None if hasattr(self, "columns_") else (np.isin(every, (0, 1)) | np.isnan(every)).all(axis=0)
        return preparation.views(rows)[0], None if held is None else preparation.views(held)[0]

    def _split(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        return calibration_split(n, self.false_alarm_rate, self.method.seed)

    @staticmethod
    def _in_memory(parts: tuple[Rows, Rows | None]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        rows, held = parts
        if isinstance(rows, LargeRows) or isinstance(held, LargeRows):
            raise ValueError(
                "a method of tollad.methods is fitted to rows in memory, and these are too many; give some of them"
            )
        return rows, held

    def _inputs(self, X: ArrayLike) -> NDArray[Any]:
        if self._preparation is None:
            return _pixels(X)
        rows = check_rows(self, X)
        self._preparation.warn_of_new_gaps(rows, X)
        return self._preparation.views(rows)[0]

    def _scores(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        # Values may be too large to square: such a row gets the largest finite score.
        return np.nan_to_num(self.method_.anomaly_score(rows), posinf=_MOST, neginf=-_MOST)


def _are_images(X: Any) -> bool:
    return getattr(X, "ndim", 2) > 2


def _pixels(X: Any) -> NDArray[Any]:
    """Return images in the form of the methods: (n, C, H, W), from 0 to 255."""
    images = floats_of(X)
    return X.reshape(images.shape) if getattr(X, "dtype", None) == np.uint8 else images * np.float32(_BRIGHTEST)
