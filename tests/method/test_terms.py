"""Values of the terms, by hand; what holds for every term is in laws/test_terms.py."""

from __future__ import annotations

import pytest
import torch

from tollad.method import terms

X = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
X_HAT = torch.tensor([[4.0, 2.0, -1.0], [0.0, 0.0, 0.0]])  # differences 3, 0, -4


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("l2", 5.0), ("squared_l2", 25.0), ("l1", 7.0)],
)
def test_reconstruction_errors(name, wanted):
    assert getattr(terms, name)(X, X_HAT).tolist() == [wanted, 0.0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("latent_l2", 5.0), ("latent_squared_l2", 25.0), ("latent_l1", 7.0), ("latent_linf", 4.0)],
)
def test_latent_penalties(name, wanted):
    assert getattr(terms, name)(X_HAT - X).tolist() == [wanted, 0.0]


def test_neither_squared_nor_divided_by_the_number_of_values():
    """Equation (1): twice the values of one size cost sqrt(2) times as much."""
    assert terms.l2(torch.zeros(1, 4), torch.ones(1, 4)).item() == 2.0
    assert terms.l2(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)).item() == 4.0


def test_term_joins_another_loss():
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    (0.5 + 0.1 * terms.latent_l2(z).mean()).backward()
    torch.testing.assert_close(z.grad, torch.tensor([[0.03, 0.04], [0.0, 0.0]]))


def test_shell_is_the_distance_from_a_sphere():
    norm = torch.tensor([0.0, 1.0, 3.0])
    assert terms.shell(norm, torch.tensor([0.0, 2.0, 2.0])).tolist() == [0.0, 1.0, 1.0]
    assert torch.equal(terms.shell(norm, torch.zeros(3)), norm)
