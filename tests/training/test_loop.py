"""The loop; its laws are in laws/test_members.py."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import small
import torch

from tollad.method.objective import Objective
from tollad.training.adam import StackAdam
from tollad.training.batches import Batches
from tollad.training.loop import train

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

OBJECTIVE = Objective({"l2": 1, "latent_l2": 0.1})


def make(name="mlp", n_members=1, seed=0, corrupt=False, n_rows=20):
    stack = small.stack(name, range(n_members))
    rows = torch.from_numpy(small.rows(name, n_rows, seed))
    return stack, Batches(rows, 8, range(n_members), corrupt=corrupt)


def test_yields_steps_and_losses_before_the_update():
    stack, batches = make(n_members=2)
    wanted = OBJECTIVE.loss(batches(3)[1], *small.stack("mlp", range(2)).train()(batches(3)[1]))
    yielded = list(train(stack, OBJECTIVE, batches, StackAdam(stack, 0.01), start=3, stop=6))
    assert [step for step, _ in yielded] == [4, 5, 6]
    assert torch.equal(yielded[0][1], wanted.detach())
    assert all(loss.shape == (2,) and not loss.requires_grad for _, loss in yielded)


def test_is_adam_of_torch():
    """One member of dense layers, against the plainest loop there is."""
    stack, batches = make()
    network = small.stack("mlp")[0].train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(5):
        x = batches(step)[1][0]
        x_hat, z = network(x)
        loss = (x_hat - x).norm(dim=1).mean() + 0.1 * z.norm(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for _ in train(stack, OBJECTIVE, batches, StackAdam(stack, 0.01), stop=5):
        pass
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(stack[0].state_dict()[key], tensor, rtol=1e-9, atol=1e-8, msg=key)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_the_state_of_adam_is_in_the_order_of_the_parameters(name):
    """However these lie in memory: a state outlives the layout that it was saved under."""
    stack, x = small.stack(name, range(2)), small.batches(name, 2, 4)
    optimizer = StackAdam(stack, 0.01)
    for _ in train(stack, OBJECTIVE, lambda step: (x, x), optimizer, stop=1):
        pass
    state = optimizer.state()
    # After one step the first moment is a tenth of the gradient.
    wanted = torch.cat([part.flatten() for part in stack.views(stack.weights.grad).values()]) / 10
    torch.testing.assert_close(state["exp_avg"], wanted)
    assert state["step"] == 1
    other = StackAdam(stack, 0.01)
    other.load_state(state)
    for key, value in other.state().items():
        assert torch.equal(value, state[key])
    optimizer.step([stack.weights.grad])
    assert state["step"] == 1  # a copy


def test_the_caller_may_set_evaluation_mode_between_steps():
    left_alone, batches = make()
    looked_at, _ = make()
    for _ in train(left_alone, OBJECTIVE, batches, StackAdam(left_alone, 0.01), stop=4):
        pass
    for _ in train(looked_at, OBJECTIVE, batches, StackAdam(looked_at, 0.01), stop=4):
        looked_at.eval()(batches(0)[1])
    for key, tensor in left_alone.state().items():
        assert torch.equal(looked_at.state()[key], tensor)


def test_any_batches():
    stack, _ = make()
    x = small.batches("mlp", 1, 8)
    losses = [loss.item() for _, loss in train(stack, OBJECTIVE, lambda step: (x, x), StackAdam(stack, 0.01), stop=30)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_training_does_not_import_the_compiler_of_torch():
    """To make an optimiser of torch's does: two seconds, half of a default fit."""
    code = """
        import sys, torch
        from tollad import TollDetector
        TollDetector(steps=2, random_state=0).fit(torch.rand(30, 3).numpy())
        assert "torch._dynamo" not in sys.modules
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=True)


def test_learning_rate_of_each_step():
    stack, batches = make()
    optimizer = StackAdam(stack, 1.0)
    rates = []
    for step, _ in train(stack, OBJECTIVE, batches, optimizer, stop=3, learning_rate=lambda step: 0.1 / (step + 1)):
        rates.append((step, optimizer.learning_rate))
    assert rates == [(1, 0.1), (2, 0.05), (3, 0.1 / 3)]


def test_corrupted_rows_put_the_latent_as_far_out_as_the_row_was_moved():
    stack, batches = make("mlp_layernorm", corrupt=True)
    inputs, x = batches(0)
    x_hat, z = small.stack("mlp_layernorm").train()(inputs)
    moved = (inputs - x).norm(dim=-1)
    wanted = ((x_hat - x).norm(dim=-1) + 0.1 * (z.norm(dim=-1) - moved).abs()).mean(-1)
    _, loss = next(train(stack, OBJECTIVE, batches, StackAdam(stack, 0.01), stop=1))
    torch.testing.assert_close(loss, wanted.detach())


@pytest.mark.parametrize("name", ["mlp", "conv1d"])
def test_bf16_keeps_weights_and_losses_in_the_type_of_the_stack(name):
    stack = small.stack(name, [0, 1], dtype=torch.float32)
    batches = Batches(torch.from_numpy(small.rows(name, 20)).float(), 8, [0, 1])
    for _, loss in train(stack, OBJECTIVE, batches, StackAdam(stack, 0.01), stop=3, precision="bf16"):
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss).all()
    assert stack.dtype == torch.float32
