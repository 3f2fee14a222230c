"""Theorems 1 and 2: closed forms against solvers, flows against autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from theory.problems import assert_first_order, betas, covariance, problem, seeds

from tollad.theory import (
    autoencoder_flow,
    autoencoder_loss,
    autoencoder_velocity,
    encoder_flow,
    flows,
    latent_flow,
)

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


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

    @pytest.mark.parametrize(
        ("beta", "t", "m", "d"),
        [
            (0.0, 5.0, 2, 1),
            (0.0, 5.0, 2, 3),
            (0.5, 5.0, 4, 2),
            (0.5, 5.0, 3, 3),
            (5.0, 1.0, 3, 3),
            (5.0, 1.0, 2, 1),
            (0.5, 40.0, 2, 3),
            (0.5, 40.0, 4, 2),
        ],
    )
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
        monkeypatch.setattr(flows, "_MAX_EVALUATIONS", 100)
        with pytest.raises(RuntimeError, match="too many steps to t = 1000; choose a smaller t"):
            autoencoder_flow([[0.3, 0.3]], [[0.2], [0.2]], np.eye(2), 0.0, 1000.0)

    def test_a_solver_that_gives_up_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def give_up(*arguments: Any, **options: Any) -> Any:
            return type("Solution", (), {"success": False, "message": "too much work"})

        monkeypatch.setattr(flows.integrate, "solve_ivp", give_up)
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
