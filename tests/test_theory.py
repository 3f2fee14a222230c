"""Laws of tollad.theory: closed forms against solvers, flows against autograd, limits against proofs; and its page."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from tollad import theory
from tollad.plots import theory as figures
from tollad.theory import (
    autoencoder_flow,
    autoencoder_loss,
    autoencoder_velocity,
    collapse,
    encoder_flow,
    figure2,
    latent_flow,
    power_law,
    weighted_score,
)

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

PAGE = Path(__file__).parents[1] / "docs" / "theory.md"
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


class TestEncoderFlow:
    @given(seed=seeds, t=st.floats(0, 5))
    def test_solves_equation_6(self, seed: int, t: float) -> None:
        W0, _, X = problem(seed)
        S = covariance(X)
        right_side = lambda _, W: -(W.reshape(W0.shape) @ S).ravel()  # noqa: E731
        W = solve_ivp(right_side, (0, max(t, 1e-9)), W0.ravel(), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        np.testing.assert_allclose(encoder_flow(W0, S, t), W.reshape(W0.shape), rtol=0, atol=1e-8)

    def test_is_the_limit_of_gradient_descent(self) -> None:
        """On the loss (5) itself, by autograd, with steps that vanish."""
        W0, _, X = problem(0)
        samples, t, errors = torch.from_numpy(X), 1.0, []
        for n_steps in (200, 400, 800):
            W = torch.from_numpy(W0).requires_grad_()
            for _ in range(n_steps):
                loss = (W @ samples).square().sum() / (2 * X.shape[1])
                (gradient,) = torch.autograd.grad(loss, W)
                W = (W - t / n_steps * gradient).detach().requires_grad_()
            errors.append(np.abs(W.detach().numpy() - encoder_flow(W0, covariance(X), t)).max())
        assert errors[-1] < 1e-3
        assert_first_order(errors)

    @given(seed=seeds, s=st.floats(0, 3), t=st.floats(0, 3))
    def test_time_adds_up(self, seed: int, s: float, t: float) -> None:
        W0, _, X = problem(seed)
        S = covariance(X)
        np.testing.assert_allclose(encoder_flow(encoder_flow(W0, S, s), S, t), encoder_flow(W0, S, s + t), atol=1e-12)

    @given(seed=seeds)
    def test_what_has_no_variance_never_collapses(self, seed: int) -> None:
        """Whatever the sign that rounding gives to an eigenvalue of 0."""
        X = np.random.default_rng(seed).normal(size=(6, 3))
        U = np.linalg.svd(X)[0][:, 3:]
        np.testing.assert_allclose(encoder_flow(np.eye(6), covariance(X), 1e12), U @ U.T, atol=1e-10)

    def test_large_variance_collapses_faster(self) -> None:
        Z = latent_flow(np.eye(2), [[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]], 1.5)  # variances 2 and 0.5
        np.testing.assert_allclose(Z[:, [0, 2]], [[2 * np.exp(-3), 0], [0, np.exp(-0.75)]], rtol=1e-14)

    @given(seed=seeds, t=st.floats(0, 3))
    def test_latents_are_those_of_the_weights(self, seed: int, t: float) -> None:
        W0, _, X = problem(seed)
        S = covariance(X)
        eigenvalues, U = np.linalg.eigh(S)
        expected = W0 @ U @ np.diag(np.exp(-eigenvalues * t)) @ U.T @ X  # equation (8) as printed
        np.testing.assert_allclose(latent_flow(W0, X, t), expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("W0", "S", "t", "words"),
        [
            ([[1.0, 2.0]], np.eye(3), 1.0, r"expected W0 \(d, m\) and S \(m, m\), not \(1, 2\), \(3, 3\)"),
            ([1.0, 2.0], np.eye(2), 1.0, "W0 must be a matrix"),
            ([[np.nan, 2.0]], np.eye(2), 1.0, "W0 must be finite"),
            ([[1.0, 2.0]], [[1.0, 2.0, 0.0], [0.0, 1.0, 0.0]], 1.0, r"expected S \(..., m, m\)"),
            ([[1.0, 2.0]], [[1.0, 0.5], [0.0, 1.0]], 1.0, "symmetric"),
            ([[1.0, 2.0]], [[1.0, 0.0], [0.0, -1.0]], 1.0, "without negative eigenvalues"),
            ([[1.0, 2.0]], np.eye(2), -1.0, "t must be a time, not negative$"),
            ([[1.0, 2.0]], np.eye(2), [1.0, 2.0], "t must be a time, not negative$"),
            ([[1.0, 2.0j]], np.eye(2), 1.0, "W0 must be real"),
        ],
    )
    def test_bad_arguments(self, W0: Any, S: Any, t: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            encoder_flow(W0, S, t)

    def test_samples_must_be_a_matrix_with_columns(self) -> None:
        with pytest.raises(ValueError, match=r"expected X \(m, n\), not \(2, 0\)"):
            latent_flow([[1.0, 1.0]], np.empty((2, 0)), 1.0)
        with pytest.raises(ValueError, match=r"expected W0 \(d, m\) and X \(m, n\), not \(1, 2\), \(3, 4\)"):
            latent_flow([[1.0, 1.0]], np.ones((3, 4)), 1.0)
        with pytest.raises(ValueError, match="the covariance of X overflows; scale X down"):
            latent_flow([[1.0, 1.0]], np.full((2, 4), 1e200), 1.0)


class TestTheorem2:
    @given(seed=seeds, beta=betas, d=st.integers(1, 5))
    def test_velocity_is_minus_the_gradient_of_equation_9(self, seed: int, beta: float, d: int) -> None:
        W1, W2, X = problem(seed, d=d)
        samples = torch.from_numpy(X)
        encoder, decoder = (torch.from_numpy(W).requires_grad_() for W in (W1, W2))
        Z = encoder @ samples
        loss = ((decoder @ Z - samples).square().sum() + beta * Z.square().sum()) / (2 * X.shape[1])
        gradients = torch.autograd.grad(loss, (encoder, decoder))
        for velocity, gradient in zip(autoencoder_velocity(W1, W2, covariance(X), beta), gradients, strict=True):
            np.testing.assert_allclose(velocity, -gradient.numpy(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(autoencoder_loss(W1, W2, covariance(X), beta), loss.item(), rtol=1e-12)

    @pytest.mark.parametrize(("beta", "t"), [(0.0, 5.0), (0.5, 5.0), (5.0, 1.0), (0.5, 40.0)])
    @pytest.mark.parametrize(("m", "d"), [(2, 1), (4, 2), (3, 3), (2, 3)])
    def test_is_integrated_to_1e_8(self, beta: float, t: float, m: int, d: int) -> None:
        """Against an explicit solver of eighth order, whose own steps are ten times finer."""
        W1, W2, X = problem(1, m, d)
        S = covariance(X)

        def right_side(_: float, state: np.ndarray) -> np.ndarray:
            A, B = state[: W1.size].reshape(W1.shape), state[W1.size :].reshape(W2.shape)
            return np.concatenate(
                [((B.T - B.T @ B @ A - beta * A) @ S).ravel(), ((np.eye(m) - B @ A) @ S @ A.T).ravel()]
            )

        start = np.concatenate([W1.ravel(), W2.ravel()])
        end = solve_ivp(right_side, (0, t), start, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
        weights = autoencoder_flow(W1, W2, S, beta, t)
        np.testing.assert_allclose(np.concatenate([W.ravel() for W in weights]), end, rtol=0, atol=1e-8)

    @pytest.mark.parametrize("start", [1e-1, 1e-6, 1e-8, 1e-12])
    def test_is_exact_where_a_small_start_leaves_the_saddle(self, start: float) -> None:
        """On one axis, without beta and with a = b: da/dt = s a (1 - a^2). The second is stacked with a large one."""
        t = np.log(1 / start) / 4
        grown = start * np.exp(4 * t)
        expected = grown / np.sqrt(1 + grown**2 - start**2)
        a, b = autoencoder_flow([[start]], [[start]], [[4.0]], 0.0, t)
        assert (a.item(), b.item()) == pytest.approx((expected, expected), rel=1e-9)
        stacked = np.array([0.5, start])[:, None, None]
        np.testing.assert_allclose(autoencoder_flow(stacked, stacked, [[4.0]], 0.0, t)[0][1], expected, rtol=1e-9)

    def test_is_the_limit_of_gradient_descent(self) -> None:
        W1, W2, X = problem(2)
        S, t, errors = covariance(X), 2.0, []
        limit = autoencoder_flow(W1, W2, S, 0.5, t)
        for n_steps in (1000, 2000, 4000):
            A, B = W1, W2
            for _ in range(n_steps):
                dA, dB = autoencoder_velocity(A, B, S, 0.5)
                A, B = A + t / n_steps * dA, B + t / n_steps * dB
            errors.append(max(np.abs(A - limit[0]).max(), np.abs(B - limit[1]).max()))
        assert errors[-1] < 1e-3
        assert_first_order(errors)

    def test_stacks_are_integrated_as_each_alone(self) -> None:
        """Over weights, covariances and betas that broadcast."""
        problems = [problem(seed) for seed in range(3)]
        W1, W2, S = (np.stack(part) for part in zip(*((a, b, covariance(X)) for a, b, X in problems), strict=True))
        beta, times = np.array([[0.0], [0.5]]), [1.0, 20.0]
        A, B = autoencoder_flow(W1, W2, S, beta, times)
        assert A.shape == (2, 2, 3, 2, 4)
        assert B.shape == (2, 2, 3, 4, 2)
        for i, t in enumerate(times):
            for j in range(2):
                for k in range(3):
                    alone = autoencoder_flow(W1[k], W2[k], S[k], beta[j, 0], t)
                    np.testing.assert_allclose(A[i, j, k], alone[0], atol=1e-8)
                    np.testing.assert_allclose(B[i, j, k], alone[1], atol=1e-8)

    @settings(max_examples=10)
    @given(seed=seeds, beta=betas)
    def test_does_not_depend_on_the_axes(self, seed: int, beta: float) -> None:
        """Rotating the latents or the inputs rotates the weights."""
        W1, W2, X = problem(seed)
        S, t = covariance(X), 3.0
        generator = np.random.default_rng(seed)
        Q, R = (np.linalg.qr(generator.normal(size=(k, k)))[0] for k in (2, 4))
        rotated_S = R @ S @ R.T
        A, B = autoencoder_flow(W1, W2, S, beta, t)
        C, D = autoencoder_flow(Q @ W1 @ R.T, R @ W2 @ Q.T, (rotated_S + rotated_S.T) / 2, beta, t)
        np.testing.assert_allclose(C, Q @ A @ R.T, atol=1e-8)
        np.testing.assert_allclose(D, R @ B @ Q.T, atol=1e-8)

    def test_time_zero(self) -> None:
        W1, W2, X = problem(0)
        for t, axis in ((0.0, ...), ([0.0, 1.0], 0)):
            A, B = autoencoder_flow(W1, W2, covariance(X), 1.0, t)
            np.testing.assert_allclose(A[axis], W1, rtol=1e-14)
            np.testing.assert_allclose(B[axis], W2, rtol=1e-14)

    @pytest.mark.parametrize("t", [0.0, 1e-300, 1e-200])
    @pytest.mark.parametrize("size", [0.3, 1e100])
    def test_no_time_is_too_short(self, t: float, size: float) -> None:
        W1, W2 = np.array([[size, size]]), np.array([[0.2], [0.2]])
        A, B = autoencoder_flow(W1, W2, 1e12 * np.eye(2), 0.0, t)
        np.testing.assert_allclose(A, W1, rtol=1e-14)
        np.testing.assert_allclose(B, W2, rtol=1e-14, atol=10 * t * size**2)

    def test_nothing_comes_of_nothing(self) -> None:
        for W in autoencoder_flow([[0.0]], [[0.0]], [[4.0]], 1.0, 5.0):
            np.testing.assert_array_equal(W, 0)

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"W2": np.ones((2, 4))}, r"expected W1 \(..., d, m\), W2 .*not \(2, 4\), \(2, 4\), \(4, 4\)"),
            ({"S": np.eye(3)}, r"not \(2, 4\), \(4, 2\), \(3, 3\)"),
            ({"S": -np.eye(4)}, "S must be a covariance"),
            ({"beta": -0.1}, "beta must not be negative"),
            ({"beta": np.inf}, "beta must be finite"),
            ({"t": [2.0, 1.0]}, "t must be a time, not negative, or several that increase"),
            ({"t": []}, "several that increase"),
            ({"W1": np.ones((2, 2, 4)), "W2": np.ones((3, 4, 2))}, r"must broadcast, not \(2,\), \(3,\), \(\), \(\)"),
            ({"beta": np.ones((2, 1)), "S": np.stack([np.eye(4)] * 3), "W1": np.ones((2, 2, 4))}, "must broadcast"),
            ({"S": np.stack([1e12 * np.eye(4), -np.eye(4)])}, "S must be a covariance"),
            ({"S": np.stack([1e12 * np.eye(4), np.triu(np.ones((4, 4)))])}, "S must be a covariance"),
        ],
    )
    def test_bad_arguments(self, changed: dict[str, Any], words: str) -> None:
        W1, W2, X = problem(0)
        with pytest.raises(ValueError, match=words):
            autoencoder_flow(**{"W1": W1, "W2": W2, "S": covariance(X), "beta": 1.0, "t": 1.0, **changed})

    def test_overflow_is_an_error(self) -> None:
        with pytest.raises(RuntimeError, match="the flow overflows; scale S"):
            autoencoder_flow([[1e160]], [[1.0]], [[1.0]], 1.0, 1.0)

    def test_a_flow_without_end_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(theory, "_MAX_EVALUATIONS", 100)
        with pytest.raises(RuntimeError, match="too many steps to t = 1000; choose a smaller t"):
            autoencoder_flow([[0.3, 0.3]], [[0.2], [0.2]], np.eye(2), 0.0, 1000.0)

    def test_a_solver_that_gives_up_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def give_up(*arguments: Any, **options: Any) -> Any:
            return type("Solution", (), {"success": False, "message": "too much work"})

        monkeypatch.setattr(theory.integrate, "solve_ivp", give_up)
        with pytest.raises(RuntimeError, match="not be integrated to t = 3: too much work"):
            autoencoder_flow([[1.0]], [[1.0]], [[1.0]], 1.0, [1.0, 3.0])


class TestBalance:
    """W1 W1' - W2' W2."""

    TIMES = np.linspace(0, 20, 401)

    def balances(self, seed: int, beta: float) -> tuple[np.ndarray, np.ndarray]:
        """The balance at each time, and the integral over time of ``W1 S W1'``."""
        W1, W2, X = problem(seed, d=3)
        S = covariance(X)
        A, B = autoencoder_flow(W1, W2, S, beta, self.TIMES)
        latents = A @ S @ A.swapaxes(1, 2)
        weights = np.full(len(self.TIMES), 2.0)  # Simpson
        weights[1::2], weights[[0, -1]] = 4, 1
        integral = np.tensordot(weights, latents, 1) * self.TIMES[1] / 3
        return A @ A.swapaxes(1, 2) - B.swapaxes(1, 2) @ B, integral

    @pytest.mark.parametrize("seed", range(3))
    def test_is_kept_without_the_latent_norm(self, seed: int) -> None:
        balance, _ = self.balances(seed, 0.0)
        np.testing.assert_allclose(balance, np.broadcast_to(balance[0], balance.shape), atol=1e-8)

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("beta", [0.2, 2.0])
    def test_falls_by_what_the_latents_cost(self, seed: int, beta: float) -> None:
        balance, integral = self.balances(seed, beta)
        assert np.linalg.eigvalsh(np.diff(balance, axis=0)).max() < 1e-10
        np.testing.assert_allclose(balance[-1] - balance[0], -2 * beta * integral, atol=2e-3 * np.abs(balance).max())

    @settings(max_examples=10)
    @given(seed=seeds, beta=betas)
    def test_the_loss_never_rises(self, seed: int, beta: float) -> None:
        W1, W2, X = problem(seed)
        S = covariance(X)
        losses = autoencoder_loss(*autoencoder_flow(W1, W2, S, beta, np.linspace(0, 10, 50)), S, beta)
        assert np.diff(losses).max() < 1e-10

    @given(seed=seeds, beta=st.floats(1e-3, 10))
    def test_the_origin_alone_is_stationary(self, seed: int, beta: float) -> None:
        """Of the velocity, one combination is beta W1 S W1', which only W1 = 0 makes vanish."""
        W1, W2, X = problem(seed)
        S = covariance(X)
        dW1, dW2 = autoencoder_velocity(W1, W2, S, beta)
        np.testing.assert_allclose(dW1 @ W1.T - W2.T @ dW2, -beta * W1 @ S @ W1.T, atol=1e-10)
        for velocity in autoencoder_velocity(0 * W1, 0 * W2, S, beta):
            np.testing.assert_array_equal(velocity, 0)


class TestLongTimes:
    @pytest.mark.parametrize("beta", [0.1, 1.0, 10.0])
    @pytest.mark.parametrize("variance", [0.5, 4.0])
    def test_one_axis_follows_the_power_law(self, beta: float, variance: float) -> None:
        """The error of the leading term falls as t grows, and ends below one per cent."""
        times = np.array([1e3, 1e5, 1e7])
        a, b = (W[:, 0, 0] for W in autoencoder_flow([[0.1]], [[0.1]], [[variance]], beta, times))
        for measured, law in zip((a, b, 1 - a * b), power_law(variance, beta, times), strict=True):
            distance = np.abs(measured / law - 1)
            assert np.all(np.diff(distance) < 0)
            assert distance[-1] < 0.01

    @pytest.mark.parametrize("beta", [0.3, 3.0])
    def test_the_latent_metric_becomes_a_half_whitening(self, beta: float) -> None:
        """``2 sqrt(beta t) W1' W1`` tends to ``S^(-1/2)`` on the leading axes, and ``W2 W1`` to their projector."""
        eigenvalues = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
        S, U = symmetric(0, eigenvalues.tolist())
        W1, W2, _ = problem(1, m=5, d=3)
        t = 1e5
        A, B = autoencoder_flow(W1, W2, S, beta, t)
        metric = np.diag([*eigenvalues[:3] ** -0.5, 0, 0])
        np.testing.assert_allclose(2 * np.sqrt(beta * t) * U.T @ A.T @ A @ U, metric, atol=1e-3)
        np.testing.assert_allclose(U.T @ B @ A @ U, np.diag([1, 1, 1, 0, 0]), atol=4e-3)

    @pytest.mark.parametrize("beta", [0.3, 3.0])
    def test_the_encoder_collapses_from_any_start(self, beta: float) -> None:
        starts = [problem(seed, m=3, d=2) for seed in range(20)]
        W1, W2 = np.stack([start[0] for start in starts]), np.stack([start[1] for start in starts])
        A, B = autoencoder_flow(W1, W2, np.diag([3.0, 2.0, 1.0]), beta, [1e1, 1e3])
        encoders, decoders = (np.linalg.norm(W, axis=(-2, -1)) for W in (A, B))
        assert np.all(encoders[1] < 0.4 * encoders[0])
        assert np.all(decoders[1] > 2.5 * decoders[0])

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("variances", "opposite"), [([4.0, 1.0], 0.455), ([8.0, 4.0, 2.0, 1.0, 0.5], 0.4)], ids=["two", "five"]
    )
    def test_one_latent_settles_on_the_first_axis_from_any_start(self, variances: list[float], opposite: float) -> None:
        """What the page says of 1,200 runs, though many begin with opposite signs."""
        generator, m = np.random.default_rng(0), len(variances)
        W1, W2 = generator.normal(0, 0.1, (200, 1, m)), generator.normal(0, 0.1, (200, m, 1))
        assert np.mean(W1[:, 0, 0] * W2[:, 0, 0] < 0) == opposite
        for beta in (0.1, 1.0, 10.0):
            A, B = autoencoder_flow(W1, W2, np.diag(variances), beta, 1000.0)
            assert np.all(A[:, 0, 0] * B[:, 0, 0] > 0)
            assert np.all(np.linalg.norm(B[:, 1:, 0], axis=1) < 1e-6 * np.abs(B[:, 0, 0]))

    def test_the_tilt_falls_as_the_exponential_of_a_root(self) -> None:
        """By ``(s1 - s2) sqrt(t / (beta s1))`` with beta; by ``exp(-rate t)`` without."""
        roots = np.linspace(20, 30, 11)
        result = collapse(roots**2, [1.0, 10.0])
        slopes = np.polyfit(roots, np.log(result.tilts), 1)[0]
        np.testing.assert_allclose(slopes, -3 / np.sqrt(4 * result.betas), rtol=0.05)
        times = np.linspace(10, 20, 11)
        plain = np.polyfit(times, np.log(collapse(times, [0.0]).tilts[:, 0]), 1)[0]
        assert plain == pytest.approx(-2.5 + np.sqrt(3.25), rel=0.01)

    def test_a_fixed_step_ends_the_growth(self) -> None:
        """Gradient descent of step h hovers where it turns unstable: at a curvature s (a^2 + b^2 + beta) of 2 / h."""
        step, variance, a, b = 0.04, 4.0, 0.1, 0.1
        curvatures = []
        for _ in range(20_000):
            error = 1 - a * b
            a, b = a + step * variance * (error * b - a), b + step * variance * error * a
            curvatures.append(variance * (a**2 + b**2 + 1))
        assert 0.9 < np.mean(curvatures[10_000:]) * step / 2 < 1.05
        a, b = (W[:, 0, 0] for W in autoencoder_flow([[0.1]], [[0.1]], [[variance]], 1.0, [12.1, 12.3]))
        below, above = variance * (a**2 + b**2 + 1) * step / 2
        assert below < 1 < above
        # The flow went on.
        assert power_law(variance, 1.0, 20_000 * step)[1] ** 2 * variance * step / 2 > 4


class TestUnsquaredNorms:
    """What the page says of the method's own loss, equation (2)."""

    @pytest.mark.parametrize("beta", [0.1, 10.0])
    def test_the_scale_between_encoder_and_decoder_is_free(self, beta: float) -> None:
        """Scaling one against the other changes only the latent norm: for gradients of any network with linear ends."""
        generator = torch.Generator().manual_seed(0)

        def linear(n_in: int, n_out: int) -> torch.nn.Linear:
            layer = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
            for parameter in layer.parameters():
                parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            return layer

        with torch.random.fork_rng():
            encoder = torch.nn.Sequential(linear(6, 8), torch.nn.Tanh(), linear(8, 3))
            decoder = torch.nn.Sequential(linear(3, 8), torch.nn.Tanh(), linear(8, 6))
        x = torch.randn(20, 6, generator=generator, dtype=torch.float64)
        z = encoder(x)
        norm = z.norm(dim=1).mean()
        ((decoder(z) - x).norm(dim=1).mean() + beta * norm).backward()
        last, first = encoder[2], decoder[0]
        change = sum((p * p.grad).sum() for p in last.parameters()) - (first.weight * first.weight.grad).sum()
        assert change.item() == pytest.approx(beta * norm.item(), rel=1e-12)

    @given(seed=seeds)
    def test_a_decoder_of_small_gain_wants_no_latents(self, seed: int) -> None:
        """With beta at least the decoder's gain, z = 0 is the best code of every sample."""
        _, W2, X = problem(seed)
        beta = np.linalg.norm(W2, 2)
        Z = np.random.default_rng(seed).normal(size=(2, X.shape[1]))
        losses = np.linalg.norm(W2 @ Z - X, axis=0) + beta * np.linalg.norm(Z, axis=0)
        assert np.all(losses >= np.linalg.norm(X, axis=0) - 1e-12)

    @pytest.mark.parametrize("beta", [0.5, 2.0])
    def test_one_axis_follows_a_power_law_of_its_own(self, beta: float) -> None:
        """``a ~ (3 beta c t)^(-1/3)`` with c the mean of |x|, where 1 - a b slides along 0."""
        c, step, t = 0.8, 1e-3, 300.0
        a, b = 0.5, beta + 0.5
        for _ in range(int(t / step)):
            side = 1.0 if a * b < 1 else -1.0
            a, b = a + step * c * (side * b - beta), b + step * c * side * a
        assert b / (3 * beta * c * t) ** (1 / 3) == pytest.approx(1, abs=0.05)


@pytest.fixture(scope="module")
def result() -> theory.Figure2:
    return figure2(n_starts=3, n_queries=1000)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: weighted_score([[1.0, 1.0]], [[1.0], [1.0]], [1.0, 2.0], 0.5), "X must be a matrix"),
        (lambda: weighted_score([[1.0, 1.0]], [[1.0]], [[1.0], [2.0]], 0.5), r"expected .* X \(m, n\), not"),
        (lambda: weighted_score([[1.0, 1.0]], [[1.0], [1.0]], [[1.0], [2.0]], 2.0), r"beta must be in \[0, 1\]"),
        (lambda: weighted_score(np.ones((2, 1, 1)), [[1.0]], [[1.0]], np.ones(3)), "must broadcast"),
        (lambda: power_law(1.0, 0.0, 1.0), "beta must be positive"),
        (lambda: power_law([1.0, 2.0], [1.0, 2.0, 3.0], 1.0), r"must broadcast, not \(2,\), \(3,\), \(\)"),
        (lambda: collapse(1.0), r"times must be a sequence of at least one number, not of shape \(\)"),
        (lambda: collapse([1.0], []), r"betas must be a sequence of at least one number, not of shape \(0,\)"),
        (lambda: figure2(n_queries=1), "n_queries must be at least 2"),
        (lambda: figure2(n_starts=0), "n_starts at least 1"),
    ],
)
def test_bad_arguments_of_the_rest(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


class TestFigure2:
    def test_scores_are_the_ones_of_the_method(self) -> None:
        x, W1, W2 = np.array([[3.0], [4.0]]), np.array([[1.0, 0.0]]), np.array([[0.5], [0.0]])
        assert weighted_score(W1, W2, x, 0.25) == pytest.approx(0.75 * np.hypot(1.5, 4) + 0.25 * 3)
        assert weighted_score(W1, W2, x, 0.25, squared=True) == pytest.approx(0.75 * (1.5**2 + 16) + 0.25 * 9)

    @given(seed=seeds, scale=st.sampled_from([0.01, 3.0, 100.0]))
    def test_scores_are_proportional_to_the_size_of_a_sample(self, seed: int, scale: float) -> None:
        """So that the spread of the queries is of no account."""
        W1, W2, X = problem(seed)
        scores = weighted_score(W1, W2, X, 0.3)
        np.testing.assert_allclose(weighted_score(W1, W2, scale * X, 0.3), scale * scores, rtol=1e-12)

    def test_shapes(self, result: theory.Figure2) -> None:
        assert result.points.shape == (2, 1000)
        assert result.times.tolist() == [5, 50, 1000]
        assert result.encoders.shape == (3, 3, 50, 1, 2)
        assert result.decoders.shape == (3, 3, 50, 2, 1)
        assert result.correlations.shape == (2, 3, 3, 50)
        assert result.best.shape == (2, 3)

    def test_a_good_beta_recovers_the_density(self, result: theory.Figure2) -> None:
        medians = np.median(result.correlations, axis=2)
        assert np.all(medians.max(axis=-1) > 0.95)
        assert np.all(medians[:, :, 0] < 0.7)

    def test_the_best_beta_grows_with_time(self, result: theory.Figure2) -> None:
        assert np.all(np.diff(result.betas[result.best], axis=-1) > 0.05)

    def test_weights_are_those_of_the_weighted_loss(self, result: theory.Figure2) -> None:
        """Gradient descent on ``(1 - beta) reconstruction + beta norm`` gets there as well."""
        generator = np.random.default_rng(0)
        generator.normal(size=(2, 1000))
        generator.normal(size=(2, 1000))
        A, B = (generator.normal(0, 0.1, (3, *shape))[0] for shape in ((1, 2), (2, 1)))
        beta, S, n_steps = result.betas[20], covariance(result.points), 50_000
        for _ in range(n_steps):
            missing = (1 - beta) * (np.eye(2) - B @ A) @ S
            A, B = A + 5 / n_steps * (B.T @ missing - beta * A @ S), B + 5 / n_steps * missing @ A.T
        np.testing.assert_allclose(result.encoders[0, 0, 20], A, atol=1e-3)
        np.testing.assert_allclose(result.decoders[0, 0, 20], B, atol=1e-3)

    def test_correlations_are_spearmans(self, result: theory.Figure2) -> None:
        from scipy.stats import spearmanr

        scores = np.random.default_rng(0).integers(0, 9, (4, 30)).astype(float)  # with ties
        distances = np.random.default_rng(1).normal(size=30)
        expected = [spearmanr(row, distances).statistic for row in scores]
        np.testing.assert_allclose(theory._rank_correlations(scores, distances), expected, rtol=1e-12)

    def test_is_a_function_of_the_seed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(theory, "_FIGURE2_TIMES", np.array([1.0]))
        one, again, other = (figure2(n_starts=1, n_queries=50, n_points=50, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one.correlations, again.correlations)
        assert not np.array_equal(one.correlations, other.correlations)

    @pytest.mark.parametrize(("name", "magic"), {"a.png": b"\x89PNG", "a.pdf": b"%PDF"}.items())
    def test_is_drawn(self, result: theory.Figure2, tmp_path: Path, name: str, magic: bytes) -> None:
        figures.draw_figure2(result, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_says_what_it_shows(self, result: theory.Figure2, tmp_path: Path) -> None:
        figures.draw_figure2(result, tmp_path / "a.svg")
        text = (tmp_path / "a.svg").read_text("utf-8")
        for words in ("no latent term", "equation (3)", "of 3 starts", "T = 1000"):
            assert f"<!-- {words} -->" in text
        with pytest.raises(FileExistsError, match=r"a\.svg already exists"):
            figures.draw_figure2(result, tmp_path / "a.svg", overwrite=False)

    def test_without_matplotlib_the_error_names_the_extra(
        self, result: theory.Figure2, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[plot\]'"):
            figures.draw_figure2(result, tmp_path / "a.png")
        assert not list(tmp_path.iterdir())


def test_the_collapse_is_drawn(tmp_path: Path) -> None:
    result = collapse(np.geomspace(0.1, 10, 30))
    assert result.encoders.shape == result.decoders.shape == result.errors.shape == result.tilts.shape == (30, 4)
    figures.draw_collapse(result, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8")
    for words in ("encoder", "decoder", "tilt of the decoder", "training time t"):
        assert f"<!-- {words} -->" in text


def test_power_laws_are_drawn_where_they_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For large times: before beta / 16, by the law, more would be lacking than there is."""
    drawn, new = [], figures._new_figure
    monkeypatch.setattr(figures, "_new_figure", lambda *size: drawn.append(new(*size)) or drawn[-1])
    result = collapse(np.geomspace(0.1, 10, 30), [0.1, 10.0])
    figures.draw_collapse(result, tmp_path / "a.png")
    norms, errors, _ = ([line for line in axes.lines if line.get_linestyle() == ":"] for axes in drawn[0].axes)
    shown = [result.times[result.times > beta / 16].tolist() for beta in result.betas]
    assert [line.get_xdata().tolist() for line in errors] == shown
    assert [line.get_xdata().tolist() for line in norms[::2]] == [line.get_xdata().tolist() for line in norms[1::2]]
    assert [line.get_xdata().tolist() for line in norms[::2]] == shown
    assert all(line.get_ydata().max() < 1 for line in errors)


def test_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, tollad.theory, tollad.plots.theory; assert not {'torch', 'matplotlib'} & sys.modules.keys();"
        "tollad.theory.encoder_flow([[1.0]], [[1.0]], 1.0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_runs_and_prints_what_it_says() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_pictures_of_the_page_are_there() -> None:
    names = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert names
    assert all((PAGE.parent / name).is_file() for name in names)
