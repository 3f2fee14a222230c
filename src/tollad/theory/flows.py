"""Linear autoencoders under gradient flow: Theorems 1 and 2 of section 3.3, and the limits of long times."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate

from tollad.theory.checks import (
    Floats,
    autoencoder,
    check_broadcast,
    check_shapes,
    covariance,
    finite,
    increasing,
    matrix,
    transpose,
)

# Errors of single steps, some orders below the 1e-8 that is promised at the end of many; the absolute one of weights of
# size 1. A smaller start is left in proportion, so its own digits decide when and where it leaves the saddle.
_RELATIVE, _ABSOLUTE = 1e-12, 1e-14
_SMALLEST_START = 1e-100
# No flow of `figure2` or `collapse` takes a tenth of this.
_MAX_EVALUATIONS = 200_000


def encoder_flow(W0: ArrayLike, S: ArrayLike, t: float) -> Floats:
    """Return the encoder's weights at time `t` if the latent norm alone is the loss: Theorem 1.

    ``W(t) = W0 U exp(-Lambda t) U'`` with ``S = U Lambda U'``            (7)
    solves ``dW/dt = -W S``, the gradient flow of ``1 / (2n) sum of (W X)^2``.

    Parameters
    ----------
    W0 : array-like of float, (d, m)
        Weights at time 0.
    S : array-like of float, (m, m)
        Covariance: symmetric and positive semidefinite.
    t : float, >= 0

    Returns
    -------
    W : array of float64, (d, m)

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, `t` is negative, or `S` is no covariance.

    Examples
    --------
    >>> encoder_flow([[1.0, 1.0]], [[4.0, 0.0], [0.0, 1.0]], t=1.0).round(4)
    array([[0.0183, 0.3679]])
    """
    W0, S = matrix(W0, "W0"), covariance(S)
    check_shapes(W0.ndim == S.ndim == 2 and W0.shape[1] == S.shape[1], "W0 (d, m) and S (m, m)", W0, S)
    eigenvalues, U = np.linalg.eigh(S)
    # What is 0 but for rounding must neither grow nor decay over long times.
    rounding = 4 * len(S) * np.finfo(np.float64).eps * np.abs(eigenvalues).max(initial=0.0)
    decay = np.exp(-np.where(eigenvalues > rounding, eigenvalues, 0.0) * increasing(t, single=True)[0])
    return (W0 @ U * decay) @ U.T


def latent_flow(W0: ArrayLike, X: ArrayLike, t: float) -> Floats:
    """Return the latents at time `t` if their norm alone is the loss: equation (8).

    ``Z(t) = W0 U exp(-Lambda t) U' X``            (8)

    Parameters
    ----------
    W0 : array-like of float, (d, m)
        Weights at time 0.
    X : array-like of float, (m, n)
        Samples as columns, of mean zero.
    t : float, >= 0

    Returns
    -------
    Z : array of float64, (d, n)

    Raises
    ------
    ValueError
        As in `encoder_flow`.

    Examples
    --------
    >>> latent_flow([[1.0, 1.0]], [[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]], t=0.0)
    array([[ 2., -2.,  1., -1.]])
    """
    W0, X = matrix(W0, "W0"), matrix(X, "X")
    check_shapes(X.ndim == 2 and X.shape[1] > 0, "X (m, n)", X)
    check_shapes(W0.ndim == 2 and W0.shape[1] == X.shape[0], "W0 (d, m) and X (m, n)", W0, X)
    with np.errstate(over="ignore"):
        S = X @ X.T / X.shape[1]
    if not np.isfinite(S).all():
        raise ValueError("the covariance of X overflows; scale X down")
    return encoder_flow(W0, S, t) @ X


def autoencoder_loss(W1: ArrayLike, W2: ArrayLike, S: ArrayLike, beta: ArrayLike) -> Floats:
    """Return the loss of a linear autoencoder: equation (9).

    ``1 / (2n) sum of (W2 W1 X - X)^2 + beta / (2n) sum of (W1 X)^2``            (9)
    depends on the samples through ``S = X X' / n`` only.

    Parameters
    ----------
    W1, W2, S, beta : array-like of float
        As in `autoencoder_flow`.

    Returns
    -------
    loss : array of float64, (...)

    Raises
    ------
    ValueError
        As in `autoencoder_flow`.

    Examples
    --------
    Half of the variance is lost, and the latents have what is left of it:

    >>> float(autoencoder_loss([[1.0, 0.0]], [[1.0], [0.0]], S=[[1.0, 0.0], [0.0, 1.0]], beta=2.0))
    1.5
    """
    W1, W2, S, beta = autoencoder(W1, W2, S, beta)
    error = W2 @ W1 - np.eye(S.shape[-1])
    reconstruction, norm = (np.einsum("...ij,...jk,...ik->...", A, S, A) for A in (error, W1))
    return np.asarray((reconstruction + beta * norm) / 2)


def autoencoder_velocity(W1: ArrayLike, W2: ArrayLike, S: ArrayLike, beta: ArrayLike) -> tuple[Floats, Floats]:
    """Return ``dW1/dt`` and ``dW2/dt``, minus the gradient of the loss (9): Theorem 2.

    ``dW1/dt = (W2' - W2' W2 W1 - beta W1) S``            (10a)

    ``dW2/dt = (I - W2 W1) S W1'``            (10b)

    Parameters
    ----------
    W1, W2, S, beta : array-like of float
        As in `autoencoder_flow`.

    Returns
    -------
    dW1, dW2 : arrays of float64, (..., d, m) and (..., m, d)

    Raises
    ------
    ValueError
        As in `autoencoder_flow`.

    Examples
    --------
    Where the reconstruction is perfect, only the latent norm pulls:

    >>> autoencoder_velocity([[0.5]], [[2.0]], S=[[4.0]], beta=1.0)
    (array([[-2.]]), array([[0.]]))
    """
    return _velocity(*autoencoder(W1, W2, S, beta))


def autoencoder_flow(
    W1: ArrayLike, W2: ArrayLike, S: ArrayLike, beta: ArrayLike, t: ArrayLike
) -> tuple[Floats, Floats]:
    """Return the weights of a linear autoencoder at time `t` under gradient flow on (9): Theorem 2, integrated.

    Many autoencoders are integrated at once if the arrays have leading axes, which broadcast.

    Parameters
    ----------
    W1 : array-like of float, (..., d, m)
        The encoder's weights at time 0.
    W2 : array-like of float, (..., m, d)
        The decoder's.
    S : array-like of float, (..., m, m)
        Covariance: symmetric and positive semidefinite.
    beta : array-like of float, (...), >= 0
        Weight of the latent norm.
    t : float or array-like of float (k,), >= 0
        A time, or several that increase.

    Returns
    -------
    W1, W2 : arrays of float64, (..., d, m) and (..., m, d)
        With several times (k, ..., d, m) and (k, ..., m, d). The error is below 1e-8 of the largest weight, if no axis
        that matters starts smaller than the largest weight by ten orders or more.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, `beta` or `t` is negative, times do not increase, or `S` is no
        covariance.
    RuntimeError
        If numbers overflow, or the solver gives up or takes too long.

    Examples
    --------
    With `beta` the encoder collapses and the decoder grows, while their product still becomes 1:

    >>> W1, W2 = autoencoder_flow([[0.1]], [[0.1]], S=[[4.0]], beta=1.0, t=[1.0, 100.0, 10000.0])
    >>> W1.ravel().round(3), W2.ravel().round(3), (W2 @ W1).ravel().round(3)
    (array([0.461, 0.159, 0.05 ]), array([ 0.908,  6.145, 19.949]), array([0.418, 0.974, 0.997]))
    """
    W1, W2, S, beta = autoencoder(W1, W2, S, beta)
    times = increasing(t)
    stack = np.broadcast_shapes(W1.shape[:-2], W2.shape[:-2], S.shape[:-2], beta.shape)
    n_weights = W1.shape[-2] * W1.shape[-1]

    def pack(A: Floats, B: Floats) -> Floats:
        # One autoencoder after another, so that what depends on each other lies close together.
        flat = [np.broadcast_to(C, (*stack, *C.shape[-2:])).reshape(*stack, n_weights) for C in (A, B)]
        return np.concatenate(flat, axis=-1).ravel()

    def unpack(state: Floats) -> tuple[Floats, Floats]:
        state = state.reshape(*stack, 2 * n_weights)
        encoders, decoders = state[..., :n_weights], state[..., n_weights:]
        return encoders.reshape(*stack, *W1.shape[-2:]), decoders.reshape(*stack, *W2.shape[-2:])

    start, span, n_evaluations = pack(W1, W2), times[-1], 0
    largest = np.abs(start).reshape(*stack, 2 * n_weights).max(axis=-1)
    absolute = np.repeat(_ABSOLUTE * np.clip(largest, _SMALLEST_START, 1.0), 2 * n_weights)

    def right_side(_: float, state: Floats) -> Floats:
        nonlocal n_evaluations
        n_evaluations += 1
        velocity = span * pack(*_velocity(*unpack(state), S, beta))
        # LSODA itself would never return.
        if not np.isfinite(velocity).all():
            raise RuntimeError("the flow overflows; scale S, the weights or beta down")
        if n_evaluations > _MAX_EVALUATIONS:
            raise RuntimeError(f"the flow takes too many steps to t = {span:g}; choose a smaller t")
        return velocity

    # The growing decoder makes the equations stiff; LSODA then turns to an implicit formula, whose Jacobian has one
    # block for each autoencoder.
    band = 2 * n_weights - 1
    if span == 0:
        states = [unpack(start)]
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            solution = integrate.solve_ivp(
                right_side,
                (0.0, 1.0),  # of the span: LSODA does not return from the shortest of spans
                start,
                method="LSODA",
                t_eval=times / span,
                rtol=_RELATIVE,
                atol=absolute,
                lband=band,
                uband=band,
            )
        if not solution.success:
            raise RuntimeError(f"the flow could not be integrated to t = {span:g}: {solution.message}")
        states = [unpack(state) for state in solution.y.T]
    if np.ndim(t) == 0:
        return states[0]
    return np.stack([W1 for W1, _ in states]), np.stack([W2 for _, W2 in states])


def power_law(variance: ArrayLike, beta: ArrayLike, t: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return what one principal axis tends to for large `t` if `beta` is positive: the leading terms.

    With encoder a and decoder b along an axis of the given variance s,

    ``a ~ (4 beta s t)^(-1/4)``, ``b ~ 1 / a``, ``1 - a b ~ 1/2 (beta / (s t))^(1/2)``.

    Parameters
    ----------
    variance, beta, t : array-like of float, > 0, of shapes that broadcast

    Returns
    -------
    encoder, decoder, error : arrays of float64
        a, b and 1 - a b.

    Raises
    ------
    ValueError
        If a value is not positive and finite, or shapes do not broadcast.

    Examples
    --------
    >>> encoder, decoder, error = power_law(4.0, 1.0, 10000.0)
    >>> f"{encoder:.3f} {decoder:.3f} {error:.4f}"
    '0.050 20.000 0.0025'
    """
    named = {"variance": variance, "beta": beta, "t": t}
    s, beta, t = (finite(value, name) for name, value in named.items())
    for name, value in zip(named, (s, beta, t), strict=True):
        if np.any(value <= 0):
            raise ValueError(f"{name} must be positive")
    check_broadcast("variance, beta and t", s.shape, beta.shape, t.shape)
    decoder = np.asarray((4 * beta * s * t) ** 0.25)
    return np.asarray(1 / decoder), decoder, np.asarray(np.sqrt(beta / (s * t)) / 2)


def _velocity(W1: Floats, W2: Floats, S: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Equation (10), for arguments that are checked."""
    missing = (np.eye(S.shape[-1]) - W2 @ W1) @ S
    return transpose(W2) @ missing - beta[..., None, None] * (W1 @ S), missing @ transpose(W1)
