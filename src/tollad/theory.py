"""Linear autoencoders under gradient flow: section 3.3 of the paper, what it left open, and Figure 2.

Everything is float64 NumPy, with samples as the columns of ``X``, as in the paper. ``S = X X' / n`` is the covariance
of zero-mean data, and losses have squared norms with 1 / (2n) here, unlike the method's own (equation 2).
`docs/theory.md` has the proofs, and says what of them holds for the method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

__all__ = [
    "Collapse",
    "Figure2",
    "autoencoder_flow",
    "autoencoder_loss",
    "autoencoder_velocity",
    "collapse",
    "encoder_flow",
    "figure2",
    "latent_flow",
    "power_law",
    "weighted_score",
]

Floats = NDArray[np.float64]

# Errors of single steps, some orders below the 1e-8 that is promised at the end of many; the absolute one of weights of
# size 1. A smaller start is left in proportion, so its own digits decide when and where it leaves the saddle.
_RELATIVE, _ABSOLUTE = 1e-12, 1e-14
_SMALLEST_START = 1e-100
# No flow of `figure2` or `collapse` takes a tenth of this.
_MAX_EVALUATIONS = 200_000
# Rounding leaves a covariance asymmetric, or with eigenvalues below zero, by this share of its largest entry at most.
_ROUNDING = 1e-10


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
    W0, S = _weights(W0, "W0"), _covariance(S)
    _check_shapes(W0.ndim == S.ndim == 2 and W0.shape[1] == S.shape[1], "W0 (d, m) and S (m, m)", W0, S)
    eigenvalues, U = np.linalg.eigh(S)
    # What is 0 but for rounding must neither grow nor decay over long times.
    rounding = 4 * len(S) * np.finfo(np.float64).eps * np.abs(eigenvalues).max(initial=0.0)
    decay = np.exp(-np.where(eigenvalues > rounding, eigenvalues, 0.0) * _times(t, single=True)[0])
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
    W0, X = _weights(W0, "W0"), _weights(X, "X")
    _check_shapes(X.ndim == 2 and X.shape[1] > 0, "X (m, n)", X)
    _check_shapes(W0.ndim == 2 and W0.shape[1] == X.shape[0], "W0 (d, m) and X (m, n)", W0, X)
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
    W1, W2, S, beta = _autoencoder(W1, W2, S, beta)
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
    return _velocity(*_autoencoder(W1, W2, S, beta))


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
    W1, W2, S, beta = _autoencoder(W1, W2, S, beta)
    times = _times(t)
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
    s, beta, t = (_finite(value, name) for name, value in named.items())
    for name, value in zip(named, (s, beta, t), strict=True):
        if np.any(value <= 0):
            raise ValueError(f"{name} must be positive")
    _broadcast("variance, beta and t", s.shape, beta.shape, t.shape)
    decoder = np.asarray((4 * beta * s * t) ** 0.25)
    return np.asarray(1 / decoder), decoder, np.asarray(np.sqrt(beta / (s * t)) / 2)


def weighted_score(W1: ArrayLike, W2: ArrayLike, X: ArrayLike, beta: ArrayLike, *, squared: bool = False) -> Floats:
    """Return the anomaly scores of samples with the weights of Figure 2, high = anomalous.

    ``(1 - beta) ||x_hat - x||_2 + beta ||z||_2``, or the same with squared norms.

    Parameters
    ----------
    W1, W2 : array-like of float, (..., d, m) and (..., m, d)
    X : array-like of float, (m, n)
        Samples as columns.
    beta : array-like of float, (...), in [0, 1]
    squared : bool, default False
        Whether norms are squared, as they are in the loss (9). The method's own score, equation (3), squares none.

    Returns
    -------
    scores : array of float64, (..., n)

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or `beta` is outside of [0, 1].

    Examples
    --------
    >>> weighted_score([[1.0, 0.0]], [[1.0], [0.0]], [[3.0, 0.0], [0.0, 2.0]], beta=0.25)
    array([0.75, 1.5 ])
    """
    W1, W2, X, beta = _weights(W1, "W1"), _weights(W2, "W2"), _weights(X, "X"), _finite(beta, "beta")
    fit = W1.shape[-2:] == W2.shape[:-3:-1] and X.ndim == 2 and W1.shape[-1] == X.shape[0]
    _check_shapes(fit, "W1 (..., d, m), W2 (..., m, d) and X (m, n)", W1, W2, X)
    _broadcast("W1, W2 and beta before their last two axes, if matrices,", W1.shape[:-2], W2.shape[:-2], beta.shape)
    if np.any((beta < 0) | (beta > 1)):
        raise ValueError("beta must be in [0, 1]")
    Z = W1 @ X
    reconstruction, norm = (np.square(A).sum(axis=-2) for A in (W2 @ Z - X, Z))
    if not squared:
        reconstruction, norm = np.sqrt(reconstruction), np.sqrt(norm)
    return np.asarray((1 - beta)[..., None] * reconstruction + beta[..., None] * norm)


# Figure 2: the variances are the paper's; the times and the start, which it does not tell, are ours.
_VARIANCES = np.array([4.0, 1.0])
_START = 0.1
_FIGURE2_TIMES = np.array([5.0, 50.0, 1000.0])
_FIGURE2_BETAS = np.arange(50) / 50
_COLLAPSE_TIMES = np.union1d(np.geomspace(1e-2, 1e6, 161), np.linspace(0.1, 20, 200) ** 2)


@dataclass(frozen=True, eq=False)
class Figure2:
    """Scores of linear autoencoders of two-dimensional Gaussian data, made by `figure2`.

    Attributes
    ----------
    points : array of float64, (2, n)
        The training samples, as columns.
    times : array of float64, (T,)
        Training times.
    betas : array of float64, (B,), in [0, 1)
    encoders, decoders : arrays of float64, (T, starts, B, 1, 2) and (T, starts, B, 2, 1)
        The trained weights.
    correlations : array of float64, (2, T, starts, B)
        Spearman's rank correlation of the score with the Mahalanobis distance: of the score of equation (3), and of
        the same with squared norms.
    """

    points: Floats
    times: Floats
    betas: Floats
    encoders: Floats
    decoders: Floats
    correlations: Floats

    @property
    def best(self) -> NDArray[np.int64]:
        """Number of the beta whose median correlation over the starts is highest, (2, T)."""
        return np.asarray(np.median(self.correlations, axis=2).argmax(axis=-1))


def figure2(*, n_points: int = 1000, n_queries: int = 2000, n_starts: int = 10, seed: int = 0) -> Figure2:
    """Train linear autoencoders of 2 inputs and 1 latent on Gaussian data, and compare score and density: Figure 2.

    The data have mean 0 and variances 4 and 1. The loss is (9) with weight ``1 - beta`` on the reconstruction; training
    is gradient flow (steps that vanish) from weights drawn from N(0, 0.1^2), to times 5, 50 and 1000. Queries come from
    the same Gaussian: since score and Mahalanobis distance are both proportional to the size of x, or both after a
    square root, wider queries have the same rank correlation.

    Parameters
    ----------
    n_points : int, default 1000
        Training samples.
    n_queries : int, default 2000
        Samples on which the rank correlation is taken.
    n_starts : int, default 10
        Initial weights.
    seed : int, default 0

    Returns
    -------
    result : Figure2

    Raises
    ------
    ValueError
        If there are fewer than two points or queries, or no start.

    Examples
    --------
    >>> result = figure2(n_starts=1)
    >>> result.betas[result.best[0]].round(2)  # of equation (3), at times 5, 50 and 1000
    array([0.44, 0.68, 0.84])
    """
    if min(n_points, n_queries) < 2 or n_starts < 1:
        raise ValueError("n_points and n_queries must be at least 2 and n_starts at least 1")
    generator = np.random.default_rng(seed)
    points, queries = (np.sqrt(_VARIANCES)[:, None] * generator.normal(size=(2, n)) for n in (n_points, n_queries))
    W1, W2 = (generator.normal(0.0, _START, (n_starts, 1, *shape)) for shape in ((1, 2), (2, 1)))
    # (1 - beta) (reconstruction + beta / (1 - beta) norm): the loss (9), with time slowed down or S made smaller.
    rest = 1 - _FIGURE2_BETAS
    S = rest[:, None, None] * (points @ points.T / n_points)
    encoders, decoders = autoencoder_flow(W1, W2, S, _FIGURE2_BETAS / rest, _FIGURE2_TIMES)
    distances = np.linalg.norm(queries / np.sqrt(_VARIANCES)[:, None], axis=0)
    correlations = [
        [
            _rank_correlations(weighted_score(*weights, queries, _FIGURE2_BETAS, squared=squared), distances)
            for weights in zip(encoders, decoders, strict=True)
        ]
        for squared in (False, True)
    ]
    return Figure2(points, _FIGURE2_TIMES, _FIGURE2_BETAS, encoders, decoders, np.array(correlations))


@dataclass(frozen=True, eq=False)
class Collapse:
    """How encoder and decoder part, made by `collapse`.

    Attributes
    ----------
    variances : array of float64, (2,)
        Of the data, along their principal axes.
    betas : array of float64, (B,)
    times : array of float64, (T,)
    encoders, decoders : arrays of float64, (T, B)
        Norms of the weights.
    errors : array of float64, (T, B)
        What the reconstruction of the first axis lacks, ``1 - (W2 W1)[0, 0]``.
    tilts : array of float64, (T, B)
        Tangent of the angle between the decoder and the first axis.
    """

    variances: Floats
    betas: Floats
    times: Floats
    encoders: Floats
    decoders: Floats
    errors: Floats
    tilts: Floats


def collapse(
    times: ArrayLike = _COLLAPSE_TIMES, betas: ArrayLike = (0.0, 0.1, 1.0, 10.0), *, seed: int = 0
) -> Collapse:
    """Follow linear autoencoders of the data of `figure2` (with their exact covariance), to show the power laws.

    Parameters
    ----------
    times : array-like of float (T,), > 0, increasing
        By default 0.01 to 1e6, so dense that their square roots show as well.
    betas : array-like of float (B,), >= 0
        Weights of the latent norm in the loss (9), as it stands.
    seed : int, default 0
        Of the initial weights, drawn from N(0, 0.1^2).

    Returns
    -------
    result : Collapse

    Raises
    ------
    ValueError
        If times or betas are none or no sequence, or not as in `autoencoder_flow`.

    Examples
    --------
    Ten thousand times the time shrinks the encoder tenfold:

    >>> result = collapse(times=[1e2, 1e6], betas=[1.0])
    >>> result.encoders.round(3).ravel(), result.decoders.round(1).ravel()
    (array([0.159, 0.016]), array([ 6.1, 63.2]))
    """
    generator = np.random.default_rng(seed)
    W1, W2 = (generator.normal(0.0, _START, shape) for shape in ((1, 2), (2, 1)))
    betas, times = _finite(betas, "betas"), _finite(times, "times")
    for name, values in (("times", times), ("betas", betas)):
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{name} must be a sequence of at least one number, not of shape {values.shape}")
    # One by one: what beta = 0 leaves in peace would take the small steps of the others.
    flows = [autoencoder_flow(W1, W2, np.diag(_VARIANCES), beta, times) for beta in betas]
    encoders, decoders = np.stack([W1 for W1, _ in flows], axis=1), np.stack([W2 for _, W2 in flows], axis=1)
    return Collapse(
        variances=_VARIANCES,
        betas=betas,
        times=times,
        encoders=np.linalg.norm(encoders, axis=(-2, -1)),
        decoders=np.linalg.norm(decoders, axis=(-2, -1)),
        errors=1 - (decoders @ encoders)[..., 0, 0],
        tilts=np.abs(decoders[..., 1, 0] / decoders[..., 0, 0]),
    )


def _velocity(W1: Floats, W2: Floats, S: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Equation (10), without a second look at its arguments."""
    missing = (np.eye(S.shape[-1]) - W2 @ W1) @ S
    return _transpose(W2) @ missing - beta[..., None, None] * (W1 @ S), missing @ _transpose(W1)


def _transpose(matrices: Floats) -> Floats:
    return np.swapaxes(matrices, -1, -2)


def _rank_correlations(scores: Floats, distances: Floats) -> Floats:
    """Spearman's correlation of (..., n) scores with (n,) distances."""
    ranks, reference = stats.rankdata(scores, axis=-1), stats.rankdata(distances)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    reference -= reference.mean()
    return np.asarray(ranks @ reference / (np.linalg.norm(ranks, axis=-1) * np.linalg.norm(reference)))


def _autoencoder(W1: ArrayLike, W2: ArrayLike, S: ArrayLike, beta: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """The arguments of an autoencoder as checked arrays."""
    W1, W2, S, beta = _weights(W1, "W1"), _weights(W2, "W2"), _covariance(S), _finite(beta, "beta")
    fit = W1.shape[-2:] == W2.shape[:-3:-1] and W1.shape[-1] == S.shape[-1]
    _check_shapes(fit, "W1 (..., d, m), W2 (..., m, d) and S (..., m, m)", W1, W2, S)
    leading = [array.shape[:-2] for array in (W1, W2, S)]
    _broadcast("W1, W2 and S before their last two axes, and beta,", *leading, beta.shape)
    if np.any(beta < 0):
        raise ValueError("beta must not be negative")
    return W1, W2, S, beta


def _covariance(S: ArrayLike) -> Floats:
    S = _weights(S, "S")
    _check_shapes(S.shape[-1] == S.shape[-2], "S (..., m, m)", S)
    allowed = _ROUNDING * np.abs(S).max(axis=(-2, -1), initial=0.0)
    asymmetry = np.abs(S - _transpose(S)).max(axis=(-2, -1), initial=0.0)
    if np.any(asymmetry > allowed) or np.any(np.linalg.eigvalsh(S).min(axis=-1, initial=0.0) < -allowed):
        raise ValueError("S must be a covariance, symmetric and without negative eigenvalues; use X @ X.T / n")
    return S


def _weights(values: ArrayLike, name: str) -> Floats:
    matrix = _finite(values, name)
    if matrix.ndim < 2:
        raise ValueError(f"{name} must be a matrix, not of shape {matrix.shape}")
    return matrix


def _finite(values: ArrayLike, name: str) -> Floats:
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real")
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def _times(t: ArrayLike, *, single: bool = False) -> Floats:
    times = np.atleast_1d(_finite(t, "t"))
    if times.ndim > 1 or not times.size or times[0] < 0 or np.any(np.diff(times) <= 0) or (single and np.ndim(t)):
        raise ValueError(f"t must be a time, not negative{'' if single else ', or several that increase'}")
    return times


def _broadcast(what: str, *shapes: tuple[int, ...]) -> None:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"shapes do not fit: {what} must broadcast, not {', '.join(map(str, shapes))}") from None


def _check_shapes(fit: bool, expected: str, *arrays: Floats) -> None:
    if not fit:
        raise ValueError(f"shapes do not fit: expected {expected}, not {', '.join(str(a.shape) for a in arrays)}")
