"""Measures of a detector: 1 = anomaly, high score = anomalous."""

from __future__ import annotations

import inspect

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.utils import check_consistent_length

__all__ = ["auroc", "average_precision", "f1", "f1_at_share", "false_alarm_rate", "pro"]


def measure_all(labels: ArrayLike, **given: ArrayLike) -> dict[str, float]:
    """Return all metrics that can be computed from what is given, by name.

    Parameters
    ----------
    labels : array-like of {0, 1}, (n,)
    given : array-like, (n,)
        ``scores`` or ``alarms``, or both: a metric takes them as parameters of these names.

    Examples
    --------
    >>> measure_all([0, 0, 1], scores=[0.1, 0.2, 0.9])
    {'auroc': 1.0, 'average_precision': 1.0}
    """
    found = {}
    for name in __all__:
        metric = globals()[name]
        takes = inspect.signature(metric).parameters.keys() - {"labels"}
        if takes <= given.keys():
            found[name] = metric(labels, **{other: given[other] for other in takes})
    return found


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, in [0, 1]: how often an anomaly scores above a normal row, ties counting half.

    Parameters
    ----------
    labels : array-like of {0, 1}, (n,)
        1 = anomaly; both must occur.
    scores : array-like of float, (n,)

    Raises
    ------
    ValueError
        If only one label occurs, a label is neither 0 nor 1, a score is not finite, or there are more of one than of
        the other.

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return float(roc_auc_score(_both(labels), scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum over thresholds, in [0, 1].

    Parameters and errors as in `auroc`.

    Examples
    --------
    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.8333333333333333
    """
    return float(average_precision_score(_both(labels), scores))


def f1(labels: ArrayLike, alarms: ArrayLike) -> float:
    """F1 of the anomalies, in [0, 1], for rows called anomalous; 0 when none is found.

    Parameters
    ----------
    labels
        As in `auroc`.
    alarms : array-like of bool, (n,)

    Raises
    ------
    ValueError
        If only one label occurs, a label or an alarm is neither 0 nor 1, or there are more of one than of the other.

    Examples
    --------
    >>> f1([0, 0, 1, 1], [False, False, True, True]), f1([0, 1, 1], [True, True, False])
    (1.0, 0.5)
    """
    return float(f1_score(_both(labels), _alarms(alarms), zero_division=0.0))


def f1_at_share(labels: ArrayLike, scores: ArrayLike, normal_share: float) -> float:
    """F1 when the lowest-scoring share of the rows is called normal (section 4.1, Arrhythmia).

    Parameters
    ----------
    labels, scores
        As in `auroc`.
    normal_share : float, in [0, 1]
        ``round(normal_share * n)`` rows are called normal. Where equal scores lie on both sides of that, the result is
        the mean over all ways to choose among them: scores that are all equal do as well as chance.

    Raises
    ------
    ValueError
        If a label is neither 0 nor 1, a score is not finite, there are more of one than of the other, or the share lies
        outside its range.

    Examples
    --------
    >>> f1_at_share([0, 0, 0, 1], [1.0, 2.0, 3.0, 4.0], normal_share=0.75)
    1.0
    >>> f1_at_share([0, 0, 0, 1], [1.0, 1.0, 1.0, 1.0], normal_share=0.75)
    0.25
    """
    anomalous, values = _checked(labels) == 1, np.asarray(scores, dtype=np.float64)
    check_consistent_length(anomalous, values)
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    if not 0 <= normal_share <= 1:
        raise ValueError(f"normal_share must lie in [0, 1], not {normal_share!r}")
    n_normal = round(normal_share * len(values))
    n_alarms = len(values) - n_normal
    if n_alarms == 0:
        return 0.0
    threshold = np.sort(values)[n_normal]
    above, equal = values > threshold, values == threshold
    found = anomalous[above].sum() + (n_alarms - above.sum()) * anomalous[equal].mean()
    return float(2 * found / (n_alarms + anomalous.sum()))


def false_alarm_rate(labels: ArrayLike, alarms: ArrayLike) -> float:
    """Share of the normal rows that are called anomalous, in [0, 1].

    Parameters
    ----------
    labels : array-like of {0, 1}, (n,)
        1 = anomaly; 0 must occur.
    alarms : array-like of bool, (n,)

    Raises
    ------
    ValueError
        If no row is normal, a label or an alarm is neither 0 nor 1, or there are more of one than of the other.

    Examples
    --------
    >>> false_alarm_rate([0, 0, 0, 0, 1], [True, False, False, False, True])
    0.25
    """
    normal, called = _checked(labels) == 0, _alarms(alarms)
    check_consistent_length(normal, called)
    if not normal.any():
        raise ValueError("a false-alarm rate needs normal rows (0)")
    return float(called[normal].mean())


def pro(masks: ArrayLike, maps: ArrayLike, *, limit: float = 0.3) -> float:
    """Per-region overlap, in [0, 1]: how much of each defect is found, small and large ones counting alike.

    The mean share of a connected defect that lies above a threshold, averaged over the thresholds at which at most
    `limit` of all good pixels do (Bergmann et al., "The MVTec anomaly detection dataset", 2021).

    Parameters
    ----------
    masks : array-like of {0, 1}, (n, H, W)
        1 = defect; both must occur. Pixels that touch, also at a corner, are one defect.
    maps : array-like of float, (n, H, W)
        High = anomalous.
    limit : float in (0, 1], default 0.3

    Raises
    ------
    ValueError
        If shapes differ, only good pixels or only defects occur, a map is not finite, or the limit is out of range.

    Examples
    --------
    >>> pro([[[0, 0, 1, 1]]], [[[0.1, 0.4, 0.9, 0.8]]])
    1.0
    """
    defects, heat = _checked(masks) == 1, np.asarray(maps, np.float64)
    if defects.ndim != 3 or defects.shape != heat.shape:
        raise ValueError(f"masks and maps must both be (n, H, W), not {defects.shape} and {heat.shape}")
    if not 0 < limit <= 1:
        raise ValueError(f"limit must lie in (0, 1], not {limit!r}")
    if not np.isfinite(heat).all():
        raise ValueError("maps must be finite")
    if defects.all() or not defects.any():
        raise ValueError("masks must hold good pixels (0) and defects (1), both at least once")
    share, n_regions = np.zeros(heat.shape), 0
    for place, mask in zip(share, defects, strict=True):
        regions, n = ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(regions.ravel(), minlength=n + 1)
        place[mask] = 1 / sizes[regions[mask]]
        n_regions += n
    order = np.argsort(-heat, axis=None, kind="stable")
    # The curve at each distinct threshold, from the highest: (share of good pixels above, mean share of a defect).
    last = np.append(np.flatnonzero(np.diff(heat.ravel()[order])), heat.size - 1)
    false = np.append(0, np.cumsum(~defects.ravel()[order])[last] / (~defects).sum())
    found = np.append(0, np.cumsum(share.ravel()[order])[last] / n_regions)
    at_limit = np.interp(limit, false, found)
    within = false < limit
    return float(np.trapezoid(np.append(found[within], at_limit), np.append(false[within], limit)) / limit)


def _alarms(alarms: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(alarms)
    if not np.isin(values, (0, 1)).all():
        raise ValueError("alarms must be True or False for each row, such as predict(X) == -1, not scores or -1 and 1")
    return values.astype(bool)


def _both(labels: ArrayLike) -> NDArray[np.int64]:
    values = _checked(labels)
    if len(np.unique(values)) < 2:
        raise ValueError("the labels must hold normal rows (0) and anomalies (1), both at least once")
    return values


def _checked(labels: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(labels)
    if not np.isin(values, (0, 1)).all():
        raise ValueError("the labels must be normal rows (0) and anomalies (1), and nothing else")
    return values.astype(np.int64)
