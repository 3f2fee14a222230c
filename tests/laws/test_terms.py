"""Laws of every term: a norm of a difference, one value a sample, with finite gradients everywhere."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from tollad.method import terms

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

NORMS = [name for name in terms.__all__ if terms.degree_of(name) is not None]
LATENT = [name for name in terms.__all__ if name.startswith("latent_")]
RECONSTRUCTION = [name for name in terms.__all__ if not name.startswith("latent_")]

# Far from under- and overflow of a square; differences of samples, (B, values).
batches_of_differences = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
    elements=st.floats(-1e3, 1e3).map(lambda value: value if abs(value) > 1e-3 else 0.0),
)


def value(name: str, difference: Tensor) -> Tensor:
    """A term of samples that differ from their target by `difference`, (B, values)."""
    term = getattr(terms, name)
    return term(difference) if name in LATENT else term(torch.zeros_like(difference), difference)


def test_public_functions_are_the_listed_ones_and_documented():
    public = {
        name
        for name, member in vars(terms).items()
        if inspect.isfunction(member) and member.__module__ == terms.__name__ and not name.startswith("_")
    }
    assert set(terms.__all__) <= public
    for name in public:
        assert getattr(terms, name).__doc__


def test_terms_declare_what_they_are():
    assert {name: terms.degree_of(name) for name in ("l1", "latent_linf", "squared_l2")} == {
        "l1": 1,
        "latent_linf": 1,
        "squared_l2": 2,
    }


@pytest.mark.parametrize("name", terms.__all__)
def test_name_tells_the_arguments(name):
    names = list(inspect.signature(getattr(terms, name)).parameters)
    assert names == (["z"] if name in LATENT else ["x", "x_hat", "batch_dims"])


@pytest.mark.parametrize("name", terms.__all__)
@given(difference=batches_of_differences)
def test_one_value_a_sample_zero_only_for_no_difference(name, difference):
    values = value(name, torch.from_numpy(difference)).numpy()
    assert values.shape == difference.shape[:1]
    np.testing.assert_array_equal(values > 0, (difference != 0).any(1))
    assert (values >= 0).all()


@pytest.mark.parametrize("name", NORMS)
@given(difference=batches_of_differences, factor=st.floats(1e-3, 1e3))
def test_homogeneous_and_symmetric(name, difference, factor):
    tensor = torch.from_numpy(difference)
    base = value(name, tensor)
    torch.testing.assert_close(value(name, factor * tensor), factor ** terms.degree_of(name) * base, rtol=1e-12, atol=0)
    torch.testing.assert_close(value(name, -tensor), base, rtol=0, atol=0)


@pytest.mark.parametrize("name", NORMS)
@given(difference=batches_of_differences, other=st.randoms(use_true_random=False))
def test_triangle_inequality_of_the_norm(name, difference, other):
    """``||a + b|| <= ||a|| + ||b||``; of a squared norm, the root is taken first."""
    a = torch.from_numpy(difference)
    b = a.flatten()[torch.tensor(other.choices(range(a.numel()), k=a.numel()))].view_as(a)
    together, one, two = (value(name, t) ** (1 / terms.degree_of(name)) for t in (a + b, a, b))
    assert (together <= (one + two) * (1 + 1e-12)).all()


@pytest.mark.parametrize("name", terms.__all__)
@given(difference=batches_of_differences)
def test_a_sample_does_not_see_the_others(name, difference):
    tensor = torch.from_numpy(difference)
    alone = torch.cat([value(name, tensor[i : i + 1]) for i in range(len(tensor))])
    torch.testing.assert_close(value(name, tensor), alone, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", RECONSTRUCTION)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (3, 4, 5)])
def test_stack_of_images_is_members_of_flat_rows(name, shape):
    rng = np.random.default_rng(0)
    x, x_hat = (torch.from_numpy(rng.normal(size=(2, 6, *shape))) for _ in range(2))
    term = getattr(terms, name)
    whole = term(x, x_hat, batch_dims=2)
    assert whole.shape == (2, 6)
    for member in range(2):
        torch.testing.assert_close(whole[member], term(x[member], x_hat[member]), rtol=1e-14, atol=0)
        torch.testing.assert_close(whole[member], term(x[member].flatten(1), x_hat[member].flatten(1)))


@pytest.mark.parametrize("name", LATENT)
def test_latents_have_any_leading_axes(name):
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 6, 3)))
    term = getattr(terms, name)
    torch.testing.assert_close(term(z).flatten(), term(z.flatten(0, 1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", terms.__all__)
def test_gradient_at_zero_is_zero(name, dtype):
    """A norm has no derivative there; 0 is a subgradient, NaN would end the training."""
    difference = torch.zeros(3, 4, dtype=dtype, requires_grad=True)
    value(name, difference).sum().backward()
    assert torch.equal(difference.grad, torch.zeros(3, 4, dtype=dtype))


@pytest.mark.parametrize("name", terms.__all__)
def test_one_sample_at_zero_leaves_the_others_gradient(name):
    difference = torch.tensor([[0.0, 0.0], [3.0, -4.0]], dtype=torch.float64, requires_grad=True)
    alone = torch.tensor([[3.0, -4.0]], dtype=torch.float64, requires_grad=True)
    value(name, difference).sum().backward()
    value(name, alone).sum().backward()
    assert torch.equal(difference.grad, torch.cat([torch.zeros(1, 2, dtype=torch.float64), alone.grad]))


@pytest.mark.parametrize("name", terms.__all__)
@given(seed=st.integers(0, 1000))
def test_gradient_is_the_analytic_one(name, seed):
    """Away from the kinks (a value of 0, two largest values) against finite differences."""
    rng = np.random.default_rng(seed)
    spread = rng.permuted(np.arange(1.0, 6.0) + rng.uniform(0, 0.5, (3, 5)), axis=1) * rng.choice([-1, 1], (3, 5))
    difference = torch.from_numpy(spread).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: value(name, d), difference)


GRADIENTS = {
    "l2": lambda d: d / np.sqrt((d**2).sum(1, keepdims=True)),
    "latent_l2": lambda d: d / np.sqrt((d**2).sum(1, keepdims=True)),
    "squared_l2": lambda d: 2 * d,
    "latent_squared_l2": lambda d: 2 * d,
    "l1": np.sign,
    "latent_l1": np.sign,
    "latent_linf": lambda d: np.sign(d) * (np.abs(d) == np.abs(d).max(1, keepdims=True)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_is_the_formula(name):
    array = np.random.default_rng(0).normal(size=(4, 5))
    difference = torch.from_numpy(array).requires_grad_()
    value(name, difference).sum().backward()
    np.testing.assert_allclose(difference.grad.numpy(), GRADIENTS[name](array), rtol=1e-12)
