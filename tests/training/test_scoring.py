"""Scores, latents and reconstructions over blocks; that they do not depend on the blocks is in laws/test_scores.py."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import small
import torch

from tollad.method import networks
from tollad.method.objective import Objective
from tollad.training import scoring

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

OBJECTIVE = Objective({"l2": 1, "latent_l2": 2})
SMALL = sorted(set(networks.__all__) - small.LARGE)


def make(name, n_members=2, dtype=torch.float64):
    return small.scatter(small.stack(name, range(n_members), dtype)).eval()


@pytest.mark.parametrize("name", SMALL)
def test_shapes_and_values(name):
    stack, rows = make(name), small.rows(name, 21)
    x = torch.from_numpy(rows).expand(2, *rows.shape)
    with torch.no_grad():
        x_hat, z = stack(x)
        wanted = OBJECTIVE(x, x_hat, z)
    scores = scoring.score(stack, OBJECTIVE, rows, small.for_all)
    latents = scoring.latents(stack, rows, small.for_all)
    reconstructions = scoring.reconstructions(stack, rows, small.for_all)
    assert scores.shape == (21, 2)
    assert latents.shape == (21, 2, small.LATENT_DIM)
    assert reconstructions.shape == (21, 2, *small.input_shape(name))
    np.testing.assert_allclose(scores, wanted.T.numpy(), rtol=1e-12)
    np.testing.assert_allclose(latents, z.transpose(0, 1).numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(reconstructions, x_hat.transpose(0, 1).numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(scoring.mean_latent(stack, rows, small.for_all).numpy(), latents.mean(0), rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("n", [1, 15, 16, 17, 33])
def test_every_row_is_there_once_and_in_order(name, n, dtype):
    """Padding rows are cut off again, in the mean latent too."""
    stack = make(name, dtype=dtype)
    rows = small.rows(name, n)
    blocks = list(scoring.run(stack, rows, small.for_all))
    x = torch.cat([block[0] for block in blocks], 1)
    assert x.shape[:2] == (2, n)
    np.testing.assert_allclose(x[1].numpy(), rows, rtol=1e-6)
    latents = scoring.latents(stack, rows, small.for_all)
    assert len(latents) == n
    np.testing.assert_allclose(
        scoring.mean_latent(stack, rows, small.for_all).numpy(), latents.mean(0), rtol=1e-4, atol=1e-6
    )


def test_members_may_take_rows_of_their_own():
    stack, rows = make("mlp"), small.rows("mlp", 9)
    scores = scoring.score(stack, OBJECTIVE, rows, lambda block: np.stack([block, -block]))
    np.testing.assert_allclose(scores[:, 0], scoring.score(stack, OBJECTIVE, rows, small.for_all)[:, 0])
    np.testing.assert_allclose(scores[:, 1], scoring.score(stack, OBJECTIVE, -rows, small.for_all)[:, 1])


def test_center_replaces_the_target_of_each_member():
    stack, rows = make("mlp"), small.rows("mlp", 9)
    center = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    scores = scoring.score(stack, OBJECTIVE, rows, small.for_all, center)
    plain = scoring.score(stack, OBJECTIVE, rows, small.for_all)
    np.testing.assert_allclose(scores[:, 1], plain[:, 1])
    assert not np.isclose(scores[:, 0], plain[:, 0]).any()


class TestScoringCopy:
    @pytest.mark.parametrize("name", ["mlp", "mlp_layernorm"])
    @pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
    def test_layers_of_dense_networks_run_in_the_precision_of_the_training(self, name, dtype, tolerance):
        stack = small.stack(name, dtype=dtype).train()
        copied = scoring.scoring_copy(stack)
        assert (copied.dtype, copied.precision) == (torch.float64, dtype)
        x = torch.as_tensor(small.rows(name, 4)).expand(len(stack), -1, -1)
        x_hat, z = copied(x.double())
        expected = stack.to(dtype=torch.float64).eval()(x.double())
        torch.testing.assert_close((x_hat, z), expected, rtol=tolerance, atol=tolerance)
        stack.weights.detach().zero_()
        assert torch.equal(copied(x.double())[1], z)

    def test_others_score_as_they_are(self):
        stack = small.stack("conv1d", dtype=torch.float32).train()
        copied = scoring.scoring_copy(stack)
        assert copied.dtype == torch.float32
        assert not stack[0].training


def test_nothing_is_left_switched_off():
    """Whoever looks at a block, or is interrupted while looking, can train afterwards."""
    blocks = scoring.run(make("mlp"), small.rows("mlp", 5), small.for_all)
    next(blocks)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_gradients_are_not_kept():
    for tensor in next(scoring.run(make("mlp"), small.rows("mlp", 5), small.for_all)):
        assert not tensor.requires_grad


def test_memory_does_not_grow_with_the_rows():
    stack = make("mlp", 1)

    def peak(n):
        rows = np.broadcast_to(np.zeros(5), (n, 5))
        tracemalloc.start()
        scoring.score(stack, OBJECTIVE, rows, lambda block: np.array(block)[None])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(100)
    assert peak(60_000) < peak(6_000) + 60_000 * 8 * 3  # scores, and no copy of the rows


def test_memory_mapped_rows(tmp_path):
    rows = small.rows("mlp", 30)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    stack = make("mlp")
    np.testing.assert_array_equal(
        scoring.score(stack, OBJECTIVE, mapped, small.for_all), scoring.score(stack, OBJECTIVE, rows, small.for_all)
    )
