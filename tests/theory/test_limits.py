"""What becomes of linear autoencoders after long times, against the proofs of the page."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from theory.problems import problem, seeds, symmetric

from tollad.theory import (
    autoencoder_flow,
    collapse,
    power_law,
)

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestLongTimes:
    @pytest.mark.parametrize(("beta", "variance"), [(0.1, 4.0), (1.0, 0.5), (10.0, 4.0)])
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
