"""The law of the stack: a member is the same alone and in any stack, before, during and after training."""

from __future__ import annotations

import numpy as np
import pytest
import small
import torch

from tollad import TollDetector
from tollad.method import networks
from tollad.method.objective import Objective
from tollad.training import fit as fitting
from tollad.training import scoring
from tollad.training.batches import Batches
from tollad.training.stack import Stack

pytestmark = pytest.mark.usefixtures("global_random_states_stay")
FEW_STEPS = "ignore:training did not improve on the initial loss:UserWarning"  # nor need it, in a handful of steps

WEIGHT_SEEDS, BATCH_SEEDS = [11, 12, 13], [21, 22, 23]
BETAS = [0.0, 1.0, 30.0]
N_MEMBERS = {name: 2 if name in small.LARGE else 3 for name in networks.__all__}
# The large ones run one member after the other, as `conv` does: the first test says enough of them.
TRAINED = sorted(set(networks.__all__) - small.LARGE)


def assert_members(together: Stack, alone: list[Stack], atol: float = 1e-11) -> None:
    for name, tensor in together.state().items():
        for member, single in enumerate(alone):
            wanted = single.state()[name][0]
            torch.testing.assert_close(
                tensor[member], wanted, rtol=1e-9, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
            )


# A bias before BatchNorm changes no output in training, so its gradient is rounding alone, which Adam divides by its
# epsilon of 1e-8: after a few steps such a weight, and through the running mean a score, differs by this much.
AFTER_TRAINING = 1e-7


def fit_together_and_alone(name, fit, **options):
    """Train members together and each alone: ``fit(stack, members, **options)`` for the given member numbers."""
    n = N_MEMBERS[name]
    together = small.stack(name, WEIGHT_SEEDS[:n])
    fit(together, list(range(n)), **options)
    alone = []
    for member in range(n):
        alone.append(small.stack(name, [WEIGHT_SEEDS[member]]))
        fit(alone[-1], [member], **options)
    return together, alone


@pytest.mark.parametrize(
    ("name", "training_mode"), [*((name, True) for name in networks.__all__), *((name, False) for name in TRAINED)]
)
def test_outputs_and_running_statistics(name, training_mode):
    n = N_MEMBERS[name]
    source = small.scatter(small.stack(name, WEIGHT_SEEDS[:n]))
    together = Stack([source[member] for member in range(n)]).train(training_mode)
    alone = [Stack([source[member]]).train(training_mode) for member in range(n)]
    x = small.batches(name, n, 3)
    with torch.no_grad():
        x_hat, z = together(x)
        singles = [single(x[member : member + 1]) for member, single in enumerate(alone)]
    assert x_hat.shape == x.shape
    assert z.shape == (n, 3, small.LATENT_DIM)
    torch.testing.assert_close(x_hat, torch.cat([single[0] for single in singles]), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(z, torch.cat([single[1] for single in singles]), rtol=1e-9, atol=1e-10)
    assert_members(together, alone)


@pytest.mark.filterwarnings(FEW_STEPS)
@pytest.mark.parametrize("corrupt", [False, True], ids=["clean", "corrupted"])
@pytest.mark.parametrize("subsets", [False, True], ids=["all rows", "row subsets"])
@pytest.mark.parametrize("name", TRAINED)
def test_training(name, subsets, corrupt):
    """Each member has its own beta, seed of the weights, seed of the batches and, if asked for, rows."""
    rows = torch.from_numpy(small.rows(name, 8))
    parts = [np.array([0, 1, 2, 5, 6]), np.array([7, 3, 2, 4, 1]), np.array([6, 0, 4, 7, 5])]

    def fit(stack, members):
        objective = Objective({"l2": 1, "latent_l2": [BETAS[member] for member in members]})
        chosen = [parts[member] for member in members] if subsets else None
        batches = Batches(rows, 4, [BATCH_SEEDS[member] for member in members], chosen, corrupt=corrupt)
        fitting.fit(stack, objective, batches, steps=6, learning_rate=1e-2)

    together, alone = fit_together_and_alone(name, fit)
    assert_members(together, alone, AFTER_TRAINING)
    objective = Objective({"l2": 1, "latent_l2": BETAS[: len(alone)]})
    scores = scoring.score(together, objective, rows.numpy(), small.for_all)
    for member, single in enumerate(alone):
        single_objective = Objective({"l2": 1, "latent_l2": BETAS[member]})
        wanted = scoring.score(single, single_objective, rows.numpy(), small.for_all)
        np.testing.assert_allclose(scores[:, member : member + 1], wanted, rtol=AFTER_TRAINING)


@pytest.mark.filterwarnings(FEW_STEPS)
@pytest.mark.parametrize("target", ["origin", "batch_mean"])
@pytest.mark.parametrize("name", ["mlp", "conv1d", "conv"])
def test_history(name, target):
    histories = []

    def fit(stack, members):
        objective = Objective({"l2": 1, "latent_l2": [BETAS[member] for member in members]}, target)
        batches = Batches(torch.from_numpy(small.rows(name, 8)), 4, [BATCH_SEEDS[member] for member in members])
        histories.append(fitting.fit(stack, objective, batches, steps=5, learning_rate=1e-2))

    fit_together_and_alone(name, fit)
    together, *alone = histories
    np.testing.assert_allclose(together.initial_loss, [single.initial_loss[0] for single in alone], rtol=1e-9)
    np.testing.assert_allclose(together.loss, np.hstack([single.loss for single in alone]), rtol=1e-9)


@pytest.mark.filterwarnings(FEW_STEPS)
@pytest.mark.parametrize("name", ["mlp", "conv1d"])
def test_early_stopping(name):
    """A member keeps the weights that it would keep alone, although the others may train on after it has stopped."""
    histories = []

    def fit(stack, members):
        objective = Objective({"l2": 1, "latent_l2": [BETAS[member] for member in members]})
        batches = Batches(torch.from_numpy(small.rows(name, 8)), 4, [BATCH_SEEDS[member] for member in members])
        histories.append(
            fitting.fit(
                stack,
                objective,
                batches,
                steps=80,
                learning_rate=0.05,
                held_out=fitting.HeldOut.of(small.rows(name, 5, seed=9)[None]),
            )
        )

    together, alone = fit_together_and_alone(name, fit)
    stopped = [history.step[-1] for history in histories[1:]]
    assert len(set(stopped)) > 1, "the members have to stop at different steps for this test to say anything"
    # Five times the step size of the others, and ten times the steps.
    assert_members(together, alone, 10 * AFTER_TRAINING)


def test_vector_weights_are_members_one_by_one():
    rng = np.random.default_rng(0)
    x, x_hat, z = (torch.from_numpy(rng.normal(size=(3, 5, *shape))) for shape in ((2, 4), (2, 4), (3,)))
    weights = {"l2": [1.0, 0.5, 2.0], "l1": 0.1, "latent_l2": BETAS, "latent_linf": [0.0, 0.0, 1.0]}
    together = Objective(weights)(x, x_hat, z)
    assert together.shape == (3, 5)
    for member in range(3):
        single = {name: w if isinstance(w, float) else w[member] for name, w in weights.items()}
        torch.testing.assert_close(together[member], Objective(single)(x[member], x_hat[member], z[member]))


def test_detector_members_are_the_same_in_any_number():
    X = np.random.default_rng(0).normal(size=(40, 5))

    def first_members(n_members):
        detector = TollDetector(
            network="mlp", n_members=n_members, hidden=(8,), steps=20, precision="float64", random_state=0
        )
        return detector.fit(X).stack_.state()

    two, three = first_members(2), first_members(3)
    for name, tensor in two.items():
        torch.testing.assert_close(three[name][:2], tensor, rtol=1e-9, atol=AFTER_TRAINING)
    single = first_members(1)
    for name, tensor in single.items():
        torch.testing.assert_close(three[name][:1], tensor, rtol=1e-9, atol=AFTER_TRAINING)
    assert not torch.equal(three["encoder.0.weight"][0], three["encoder.0.weight"][1])
