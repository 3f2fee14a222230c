"""Small autoencoders and covariances, drawn by seed."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
betas = st.sampled_from([0.0, 0.1, 1.0, 5.0])


def problem(seed: int, m: int = 4, d: int = 2, n: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and samples: W1 (d, m), W2 (m, d), X (m, n)."""
    generator = np.random.default_rng(seed)
    scales = np.linspace(0.5, 1.5, m)[:, None]
    return (
        generator.normal(0, 0.5, (d, m)),
        generator.normal(0, 0.5, (m, d)),
        generator.normal(size=(m, n)) * scales,
    )


def covariance(X: np.ndarray) -> np.ndarray:
    return X @ X.T / X.shape[1]


def symmetric(seed: int, eigenvalues: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """A covariance with these eigenvalues, and its eigenvectors as columns."""
    m = len(eigenvalues)
    U = np.linalg.qr(np.random.default_rng(seed).normal(size=(m, m)))[0]
    S = U * eigenvalues @ U.T
    return (S + S.T) / 2, U


def assert_first_order(errors: list[float]) -> None:
    """Halving the step halves the error."""
    ratios = np.divide(errors[:-1], errors[1:])
    np.testing.assert_allclose(ratios, 2, atol=0.1)
