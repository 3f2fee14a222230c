"""The detector of any model file, and its results for samples as columns of equal length."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.detector.fitted import Fitted, read_fitted
from tollad.io import artifact
from tollad.series.versions import is_series
from tollad.warn import printable

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.images.detector import ImageDetector
    from tollad.methods.detector import MethodDetector
    from tollad.series.detector import SeriesDetector

Detector: TypeAlias = "TollDetector | ImageDetector | SeriesDetector | MethodDetector"


def load(path: str | os.PathLike[str], device: str | None = None) -> Detector:
    """Load the detector of a model file of rows, images or series.

    Parameters
    ----------
    path : path
    device : str, optional
        Where to run, see `tollad.TollDetector.load`. Models of images and of other methods run on the CPU only.

    Raises
    ------
    ValueError
        If the file is no model, is damaged, needs modules of the user, or does not run on this device.
    OSError
        If the file cannot be read.
    """
    # Each kind is imported when it is met: an import takes longer than to score a few rows.
    metadata = artifact.described(path)
    kind = metadata.get("kind")
    if kind in ("image model", "method model") and device not in (None, "auto", "cpu"):
        raise ValueError(f"{os.fspath(path)}: this {kind} runs on the CPU; leave out device={device!r}")
    if kind == "image model":
        from tollad.images.detector import ImageDetector

        return ImageDetector.load(path)
    if kind == "method model":
        from tollad.methods.detector import MethodDetector

        return MethodDetector.load(path)
    if "method" in metadata:
        raise ValueError(
            f"{os.fspath(path)}: holds a method without a threshold; load it with {printable(str(metadata['method']))}"
            ".load, or fit it as the method of a MethodDetector"
        )
    if is_series(metadata):
        from tollad.series.detector import SeriesDetector

        return SeriesDetector.load(path, device=device)
    from tollad.detector.estimator import TollDetector

    return TollDetector.load(path, device=device)


def load_to_score(path: str | os.PathLike[str], device: str | None = None) -> Detector | Fitted:
    """Load the detector of a model file as `load` does, but a `TollDetector` only to score, without scikit-learn."""
    metadata = artifact.described(path)
    if metadata.get("kind") != "model" or "method" in metadata or is_series(metadata):
        return load(path, device)
    return read_fitted(path, device=device)


def answers(detector: Detector, samples: Any) -> dict[str, NDArray[Any]]:
    """Score n samples, which are rows, images or successive time steps.

    Parameters
    ----------
    detector : Detector
    samples : array-like or frame
        Samples for its method `anomaly_score`.

    Returns
    -------
    dict of str to ndarray, (n,)
        ``anomaly_score``, float64, high = anomalous; ``anomaly``, bool; and of a detector with calibration rows
        ``p_value``, float64 in (0, 1].

    Raises
    ------
    ValueError, TypeError
        As `anomaly_score`.

    Examples
    --------
    >>> import numpy as np
    >>> from tollad import TollDetector
    >>> rows = np.random.default_rng(0).normal(size=(50, 2))
    >>> found = answers(TollDetector(steps=20, random_state=0).fit(rows), rows)
    >>> sorted(found), found["anomaly"].sum()
    (['anomaly', 'anomaly_score'], np.int64(5))
    """
    from tollad.series.detector import SeriesDetector

    if isinstance(detector, SeriesDetector):
        judged = detector.judge(samples)
        return answers_of_scores(detector, judged.scores, judged.alarms)
    return answers_of_scores(detector, detector.anomaly_score(samples))


def has_p_values(detector: Detector) -> bool:
    """Return whether a score alone has a p-value: not if each group of a series has a model of its own."""
    from tollad.series.detector import SeriesDetector

    of_groups = isinstance(detector, SeriesDetector) and bool(detector.model_.own)
    return detector.decision_.calibration_scores is not None and not of_groups


def answers_of_scores(
    detector: Detector, scores: NDArray[np.float64], alarms: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the results of `answers` for known scores; for a series, with known `alarms`."""
    found = {"anomaly_score": scores, "anomaly": scores > -detector.offset_ if alarms is None else alarms}
    if has_p_values(detector):
        known = np.isfinite(scores)  # a causal series has no scores before the end of its first window
        found["p_value"] = np.full(len(known), np.nan)
        found["p_value"][known] = detector.decision_.p_values(scores[known])
    return found
