"""The arguments of the room as checked arrays of float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Rounding leaves a covariance asymmetric, or with eigenvalues below zero, by this share of its largest entry at most.
_ROUNDING = 1e-10


def autoencoder(W1: ArrayLike, W2: ArrayLike, S: ArrayLike, beta: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """The arguments of an autoencoder as checked arrays."""
    W1, W2, S, beta = matrix(W1, "W1"), matrix(W2, "W2"), covariance(S), finite(beta, "beta")
    fit = W1.shape[-2:] == W2.shape[:-3:-1] and W1.shape[-1] == S.shape[-1]
    check_shapes(fit, "W1 (..., d, m), W2 (..., m, d) and S (..., m, m)", W1, W2, S)
    leading = [array.shape[:-2] for array in (W1, W2, S)]
    check_broadcast("W1, W2 and S before their last two axes, and beta,", *leading, beta.shape)
    if np.any(beta < 0):
        raise ValueError("beta must not be negative")
    return W1, W2, S, beta


def covariance(S: ArrayLike) -> Floats:
    """A symmetric matrix, or several, without negative eigenvalues."""
    S = matrix(S, "S")
    check_shapes(S.shape[-1] == S.shape[-2], "S (..., m, m)", S)
    allowed = _ROUNDING * np.abs(S).max(axis=(-2, -1), initial=0.0)
    asymmetry = np.abs(S - transpose(S)).max(axis=(-2, -1), initial=0.0)
    if np.any(asymmetry > allowed) or np.any(np.linalg.eigvalsh(S).min(axis=-1, initial=0.0) < -allowed):
        raise ValueError("S must be a covariance, symmetric and without negative eigenvalues; use X @ X.T / n")
    return S


def matrix(values: ArrayLike, name: str) -> Floats:
    """Finite numbers of at least two axes."""
    array = finite(values, name)
    if array.ndim < 2:
        raise ValueError(f"{name} must be a matrix, not of shape {array.shape}")
    return array


def finite(values: ArrayLike, name: str) -> Floats:
    """Finite real numbers."""
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real")
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def increasing(t: ArrayLike, *, single: bool = False) -> Floats:
    """Times that are not negative and increase."""
    times = np.atleast_1d(finite(t, "t"))
    if times.ndim > 1 or not times.size or times[0] < 0 or np.any(np.diff(times) <= 0) or (single and np.ndim(t)):
        raise ValueError(f"t must be a time, not negative{'' if single else ', or several that increase'}")
    return times


def check_broadcast(what: str, *shapes: tuple[int, ...]) -> None:
    """Raise an error that names `what` unless the shapes broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"shapes do not fit: {what} must broadcast, not {', '.join(map(str, shapes))}") from None


def check_shapes(fit: bool, expected: str, *arrays: Floats) -> None:
    """Raise an error that shows the shapes unless they fit."""
    if not fit:
        raise ValueError(f"shapes do not fit: expected {expected}, not {', '.join(str(a.shape) for a in arrays)}")


def transpose(matrices: Floats) -> Floats:
    """The last two axes exchanged."""
    return np.swapaxes(matrices, -1, -2)
