"""The objective: weights, targets and what it refuses; its laws are in laws/test_scores.py and laws/test_members.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tollad import Objective
from tollad.method import terms

X, X_HAT = torch.zeros(2, 4), torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
Z = torch.tensor([[3.0, 4.0], [0.0, 1.0]])


def test_weighted_sum_of_terms():
    assert Objective({"l2": 1, "latent_l2": 10})(X, X_HAT, Z).tolist() == [52.0, 10.0]
    assert Objective({"l1": 0.5, "squared_l2": 1, "latent_linf": 2})(X, X_HAT, Z).tolist() == [14.0, 2.0]


def test_loss_is_the_mean_of_each_member():
    objective = Objective({"l2": 1, "latent_l2": 10})
    assert objective.loss(X, X_HAT, Z).item() == 31.0
    stacked = [torch.stack([t, t]) for t in (X, X_HAT, Z)]
    assert objective.loss(*stacked).tolist() == [31.0, 31.0]


def test_one_weight_a_member():
    stacked = [torch.stack([t, t, t]) for t in (X, X_HAT, Z)]
    objective = Objective({"l2": 1, "latent_l2": [0, 1, 10]})
    assert objective(*stacked).tolist() == [[2.0, 0.0], [7.0, 1.0], [52.0, 10.0]]
    assert objective.loss(*stacked).tolist() == [1.0, 4.0, 31.0]


def test_one_objective_serves_tensors_of_any_type():
    """Also with weights of members, of which it keeps a tensor."""
    weights = {"l2": 1, "latent_l2": [0.1, 0.2]}
    objective = Objective(weights)
    for dtype in (torch.float32, torch.float64, torch.float32):
        stacked = [torch.stack([t, t]).to(dtype) for t in (X, X_HAT, Z)]
        value, wanted = objective(*stacked), Objective(weights)(*stacked)
        assert value.dtype == wanted.dtype
        assert torch.equal(value, wanted)


@pytest.mark.parametrize(
    "betas", [(0, 1, 10), np.array([0, 1, 10]), torch.tensor([0.0, 1.0, 10.0])], ids=["tuple", "numpy", "torch"]
)
def test_weights_may_be_any_vector(betas):
    assert Objective({"latent_l2": betas}).weights == {"latent_l2": (0.0, 1.0, 10.0)}


@pytest.mark.parametrize("weights", [{}, {"l2": 0}, {"l2": 0, "latent_l2": [0, 0]}])
def test_nothing_to_compute_is_zero(weights):
    assert Objective(weights)(X, X_HAT, Z).tolist() == [0.0, 0.0]


def test_a_term_without_weight_is_not_computed(monkeypatch):
    def fails(z):
        raise AssertionError("computed in vain")

    monkeypatch.setattr(terms, "latent_l2", fails)
    Objective({"l2": 1, "latent_l2": 0})(X, X_HAT, Z)
    Objective({"l2": 1, "latent_l2": [0, 0.0]})(X, X_HAT, Z)


def test_images_are_flattened():
    x, x_hat = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    torch.testing.assert_close(Objective({"l2": 1})(x, x_hat, Z), torch.full((2,), 12.0).sqrt())


class TestTarget:
    def test_origin_is_the_default(self):
        objective = Objective({"latent_l2": 1})
        assert objective.target == "origin"
        assert objective(X, X_HAT, Z).tolist() == [5.0, 1.0]

    def test_vector(self):
        objective = Objective({"latent_l2": 1}, torch.tensor([3.0, 0.0]))
        torch.testing.assert_close(objective(X, X_HAT, Z), torch.tensor([4.0, 10.0**0.5]))
        stacked = [torch.stack([t, t]) for t in (X, X_HAT, Z)]
        torch.testing.assert_close(objective(*stacked)[1], torch.tensor([4.0, 10.0**0.5]))

    def test_batch_mean_is_that_of_each_member(self):
        z = torch.stack([Z, 2 * Z])
        stacked = [torch.stack([t, t]) for t in (X, X_HAT)]
        half = torch.tensor([1.5, 1.5]).norm().item()
        values = Objective({"latent_l2": 1}, "batch_mean")(*stacked, z)
        torch.testing.assert_close(values, torch.tensor([[half, half], [2 * half, 2 * half]]))

    def test_batch_mean_is_a_constant_to_the_gradient(self):
        z = Z.clone().requires_grad_()
        Objective({"latent_squared_l2": 1}, "batch_mean")(X, X_HAT, z)[0].backward()
        torch.testing.assert_close(z.grad, torch.tensor([[3.0, 3.0], [0.0, 0.0]]))

    def test_center_replaces_the_target(self):
        for target in ("origin", "batch_mean", torch.ones(2)):
            values = Objective({"latent_l2": 1}, target)(X, X_HAT, Z, center=torch.tensor([3.0, 4.0]))
            torch.testing.assert_close(values, torch.tensor([0.0, 18.0**0.5]))

    def test_center_of_each_member(self):
        stacked = [torch.stack([t, t]) for t in (X, X_HAT, Z)]
        values = Objective({"latent_l2": 1})(*stacked, center=torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        torch.testing.assert_close(values, torch.tensor([[5.0, 1.0], [0.0, 18.0**0.5]]))

    def test_collapse_onto_a_point_leaves_the_reconstruction_alone(self):
        values = Objective({"l2": 1, "latent_l2": 1}, torch.tensor([3.0, 4.0]))(X, X_HAT, Z)
        assert values[0].item() == 2.0


def test_radius_is_where_a_latent_should_lie():
    objective = Objective({"l2": 1, "latent_l2": 10})
    values = objective(X, X_HAT, Z, radius=torch.tensor([5.0, 3.0]))
    torch.testing.assert_close(values, torch.tensor([2.0, 20.0]))
    assert torch.equal(objective(X, X_HAT, Z, radius=torch.zeros(2)), objective(X, X_HAT, Z))


def test_half_precision_outputs_are_summed_in_the_precision_of_the_rows():
    x, x_hat = torch.zeros(1, 10_000), torch.full((1, 10_000), 0.1, dtype=torch.bfloat16)
    z = x_hat[:, :1000]
    for weights, n in (({"l1": 1}, 10_000), ({"latent_l1": 1}, 1000), ({"l1": 1, "latent_l1": 1}, 11_000)):
        value = Objective(weights)(x, x_hat, z)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, n * x_hat[0, :1].float())


def test_repr_shows_what_counts():
    assert repr(Objective({"l2": 1, "latent_l2": [0, 1], "l1": 0})) == (
        "Objective({'l2': (1.0,), 'latent_l2': (0.0, 1.0)}, target='origin')"
    )


class TestRefused:
    def test_unknown_term(self):
        with pytest.raises(ValueError, match=r"unknown term 'l3'; the known ones are .*\bl2\b.*latent_l1"):
            Objective({"l2": 1, "l3": 1})

    def test_public_helper_that_is_no_term(self):
        with pytest.raises(ValueError, match="unknown term 'shell'"):
            Objective({"shell": 1})

    def test_unknown_target(self):
        with pytest.raises(ValueError, match="target must be 'origin', 'batch_mean' or a tensor, not 'centre'"):
            Objective({"l2": 1}, "centre")

    @pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), [1, -1], [1, float("nan")], []])
    def test_weight(self, weight):
        with pytest.raises(ValueError, match="the weight of 'l2' must be finite and not negative"):
            Objective({"l2": weight})

    @pytest.mark.parametrize("weight", ["10", None, {"a": 1}])
    def test_weight_that_is_no_number(self, weight):
        """A text is a sequence too, and "10" is neither ten nor the weights 1 and 0 of two members."""
        with pytest.raises((TypeError, ValueError), match="'l2'"):
            Objective({"l2": weight})

    def test_weights_of_different_lengths(self):
        with pytest.raises(ValueError, match=r"different numbers of members: \[2, 3\]"):
            Objective({"l2": [1, 2], "latent_l2": [1, 2, 3]})

    @pytest.mark.parametrize("weights", [[1.0, 2.0], [2.0, 2.0], [1.0, 1.0]])
    def test_weights_of_another_number_of_members(self, weights):
        stacked = [torch.stack([t, t, t]) for t in (X, X_HAT, Z)]
        with pytest.raises(ValueError, match=r"weights for 2 members, the latents have shape \(3, 2, 2\)"):
            Objective({"l2": 1, "latent_l2": weights})(*stacked)

    def test_weights_of_members_without_a_stack(self):
        with pytest.raises(ValueError, match=r"weights for 2 members, the latents have shape \(2, 2\)"):
            Objective({"l2": 1, "latent_l2": [1.0, 2.0]})(X, X_HAT, Z)
