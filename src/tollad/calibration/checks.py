"""Checks of scores, rates and shares, shared by the modules of this room."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def finite_scores(values: ArrayLike, name: str) -> Floats:
    """Return values as a one-dimensional array of finite numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a sequence of numbers") from None
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number a row, not of shape {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ValueError(f"{name} must be finite numbers; number {bad[0]} (counted from 0) is {array[bad[0]]}")
    return array


def calibration_scores_of(scores: ArrayLike) -> Floats:
    """Return calibration scores as an array of finite numbers, (n,) with n >= 1."""
    values = finite_scores(scores, "calibration_scores")
    if not len(values):
        raise ValueError("calibration_scores is empty; calibrate on one normal row or more")
    return values


def check_rate(rate: Any, name: str) -> None:
    """Raise ValueError unless a rate lies between 0 and 1, both excluded."""
    if not isinstance(rate, Real) or not 0 < float(rate) < 1:
        raise ValueError(f"{name} must lie between 0 and 1, both excluded, not {rate!r}")


def check_share(share: Any, name: str) -> None:
    """Raise ValueError unless a share lies above 0 and is at most 0.5."""
    if not isinstance(share, Real) or not 0 < float(share) <= 0.5:
        raise ValueError(f"{name} must be a share of the rows, 0 < {name} <= 0.5, not {share!r}")


def check_number(value: Any, name: str) -> None:
    """Raise ValueError unless a value is a finite number."""
    try:
        is_number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        is_number = False
    if not is_number:
        raise ValueError(f"{name} must be a finite number, not {value!r:.40}")
