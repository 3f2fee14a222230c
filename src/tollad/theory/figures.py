"""Figure 2 of the paper, and the collapse of encoder and decoder beside its power laws, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tollad.theory.checks import (
    Floats,
    check_broadcast,
    check_shapes,
    finite,
    matrix,
)
from tollad.theory.flows import autoencoder_flow

# Figure 2: the variances are the paper's; the paper does not state the times and the start, so they are ours.
_VARIANCES = np.array([4.0, 1.0])
_START = 0.1
_FIGURE2_TIMES = np.array([5.0, 50.0, 1000.0])
_FIGURE2_BETAS = np.arange(50) / 50
_COLLAPSE_TIMES = np.union1d(np.geomspace(1e-2, 1e6, 161), np.linspace(0.1, 20, 200) ** 2)


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
    W1, W2, X, beta = matrix(W1, "W1"), matrix(W2, "W2"), matrix(X, "X"), finite(beta, "beta")
    fit = W1.shape[-2:] == W2.shape[:-3:-1] and X.ndim == 2 and W1.shape[-1] == X.shape[0]
    check_shapes(fit, "W1 (..., d, m), W2 (..., m, d) and X (m, n)", W1, W2, X)
    check_broadcast(
        "W1, W2 and beta before their last two axes, if matrices,", W1.shape[:-2], W2.shape[:-2], beta.shape
    )
    if np.any((beta < 0) | (beta > 1)):
        raise ValueError("beta must be in [0, 1]")
    Z = W1 @ X
    reconstruction, norm = (np.square(A).sum(axis=-2) for A in (W2 @ Z - X, Z))
    if not squared:
        reconstruction, norm = np.sqrt(reconstruction), np.sqrt(norm)
    return np.asarray((1 - beta)[..., None] * reconstruction + beta[..., None] * norm)


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

    Examples
    --------
    >>> figure2(n_points=50, n_queries=50, n_starts=1).correlations.shape
    (2, 3, 1, 50)
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

    Examples
    --------
    >>> collapse(times=[1.0, 10.0], betas=[1.0]).encoders.round(2).tolist()
    [[0.32], [0.29]]
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
    betas, times = finite(betas, "betas"), finite(times, "times")
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


def _rank_correlations(scores: Floats, distances: Floats) -> Floats:
    """Spearman's correlation of (..., n) scores with (n,) distances."""
    ranks, reference = stats.rankdata(scores, axis=-1), stats.rankdata(distances)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    reference -= reference.mean()
    return np.asarray(ranks @ reference / (np.linalg.norm(ranks, axis=-1) * np.linalg.norm(reference)))
