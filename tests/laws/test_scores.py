"""Laws of the score: it is the loss of one sample, and depends on nothing but the sample."""

from __future__ import annotations

import numpy as np
import pytest
import small
import torch

from tollad.method import networks, terms
from tollad.method.objective import Objective
from tollad.training import fit as fitting
from tollad.training import scoring
from tollad.training.batches import Batches
from tollad.training.stack import Stack

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

ONE = [pytest.param({name: 0.7}, id=name) for name in terms.__all__]
OBJECTIVES = [
    *ONE,
    pytest.param({"l2": 1, "latent_l2": [0.0, 2.5]}, id="a vector of betas"),
    pytest.param({name: 0.1 + i for i, name in enumerate(terms.__all__)}, id="all terms"),
]
CASES = [
    pytest.param(name, *weights.values, id=f"{name}-{weights.id}")
    for name in networks.__all__
    for weights in (OBJECTIVES[-1:] if name in small.LARGE else OBJECTIVES)
]
FEW_STEPS = "ignore:training did not improve on the initial loss:UserWarning"  # nor need it, in a handful of steps


def targets():
    return ["origin", torch.linspace(-1, 1, small.LATENT_DIM, dtype=torch.float64)]


@pytest.fixture(scope="module")
def stacks():
    """Two members of each network, one of the large ones, float64, evaluation mode; built once and never trained."""
    return {
        name: small.scatter(small.stack(name, seeds=[0] if name in small.LARGE else [0, 1])).eval()
        for name in networks.__all__
    }


@pytest.mark.parametrize("target", targets(), ids=["origin", "vector"])
@pytest.mark.parametrize(("name", "weights"), CASES)
def test_loss_is_the_mean_score(stacks, name, weights, target):
    stack, rows, objective = stacks[name], small.rows(name, 2), Objective(weights, target)
    x = torch.from_numpy(rows).expand(len(stack), *rows.shape)
    with torch.no_grad():
        x_hat, z = stack(x)
        loss = objective.loss(x, x_hat, z)
    scores = scoring.score(stack, objective, rows, small.for_all)
    assert scores.shape == (2, len(stack))
    np.testing.assert_allclose(loss.numpy(), scores.mean(0), rtol=1e-12)


@pytest.mark.parametrize("name", networks.__all__)
def test_loss_of_the_mean_of_a_batch_is_the_score_about_that_mean(stacks, name):
    """The one target that moves: scoring gets it as a constant."""
    stack, rows = stacks[name], small.rows(name, 2)
    objective = Objective({"l2": 1, "latent_l2": 2}, "batch_mean")
    x = torch.from_numpy(rows).expand(len(stack), *rows.shape)
    with torch.no_grad():
        loss = objective.loss(x, *stack(x))
    center = scoring.mean_latent(stack, rows, small.for_all)
    assert center.shape == (len(stack), small.LATENT_DIM)
    scores = scoring.score(stack, objective, rows, small.for_all, center)
    np.testing.assert_allclose(loss.numpy(), scores.mean(0), rtol=1e-12)


@pytest.mark.filterwarnings(FEW_STEPS)
@pytest.mark.parametrize("name", sorted(set(networks.__all__) - small.LARGE))
def test_beta_0_is_the_plain_autoencoder_to_the_bit(name):
    states = []
    for weights in ({"l2": 1}, {"l2": 1, "latent_l2": 0}, {"l2": 1.0, "latent_l1": 0.0, "latent_linf": [0.0]}):
        stack = small.stack(name, seeds=[3], dtype=torch.float32)
        batches = Batches(torch.from_numpy(small.rows(name, 4)).float(), 2, [5])
        fitting.fit(stack, Objective(weights), batches, steps=2, learning_rate=1e-3)
        states.append(stack.state())
    for state in states[1:]:
        for tensor_name, tensor in state.items():
            assert torch.equal(tensor, states[0][tensor_name]), tensor_name


@pytest.mark.filterwarnings(FEW_STEPS)
@pytest.mark.parametrize("name", ["mlp", "conv1d"])
def test_beta_0_in_a_vector_is_the_plain_autoencoder(name):
    """There the term is computed for the other member and multiplied by 0 for this one."""
    together, alone = small.stack(name, seeds=[3, 4]), small.stack(name, seeds=[3])
    rows = torch.from_numpy(small.rows(name, 6))
    fitting.fit(
        together, Objective({"l2": 1, "latent_l2": [0, 9]}), Batches(rows, 4, [5, 6]), steps=3, learning_rate=1e-3
    )
    fitting.fit(alone, Objective({"l2": 1}), Batches(rows, 4, [5]), steps=3, learning_rate=1e-3)
    for tensor_name, tensor in alone.state().items():
        torch.testing.assert_close(together.state()[tensor_name][:1], tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float32) for name in networks.__all__]
    + [(name, torch.float64) for name in networks.__all__ if name not in small.LARGE],
)
def test_score_does_not_depend_on_the_batch(stacks, name, dtype):
    """Any order and any split gives a row the score it has in the whole, as the detector computes it."""
    stack = scoring.scoring_copy(Stack([stacks[name][0]]).to(dtype=dtype))
    n_rows, n_trials = (5, 1) if name in small.LARGE else (40, 5)
    objective, rows = Objective({"l2": 1, "latent_l2": 10}), small.rows(name, n_rows)
    whole = scoring.score(stack, objective, rows, small.for_all)
    rng = np.random.default_rng(0)
    for _ in range(n_trials):
        order = rng.permutation(n_rows)
        parts = np.split(order, np.sort(rng.choice(np.arange(1, n_rows), 2, replace=False)))
        scores = np.concatenate([scoring.score(stack, objective, rows[part], small.for_all) for part in parts])
        np.testing.assert_allclose(scores, whole[order], rtol=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("name", networks.__all__)
def test_scoring_changes_nothing(stacks, name):
    stack = stacks[name]
    before = {tensor_name: tensor.clone() for tensor_name, tensor in stack.state().items()}
    rows = small.rows(name, 3)
    rows.setflags(write=False)
    scoring.score(stack, Objective({"l2": 1}), rows, small.for_all)
    for tensor_name, tensor in stack.state().items():
        assert torch.equal(tensor, before[tensor_name])
