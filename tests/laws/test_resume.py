"""The law of the checkpoint: training that was interrupted goes on as if nothing had happened, to the bit."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import small
import torch

from tollad.method import networks
from tollad.method.objective import Objective
from tollad.training import fit as fitting
from tollad.training.batches import Batches
from tollad.training.checkpoint import Checkpoint

pytestmark = [
    pytest.mark.usefixtures("global_random_states_stay"),
    # Nor need it, in a handful of steps.
    pytest.mark.filterwarnings("ignore:training did not improve on the initial loss:UserWarning"),
]

SEEDS = [1, 2]


class InterruptedAt(Checkpoint):
    """Is due after one step, and Ctrl-C follows the save."""

    def __init__(self, path, interrupted_at=None):
        super().__init__(path, "the same fit")
        self.interrupted_at = interrupted_at
        self.step = 0

    @property
    def due(self):
        self.step += 1  # asked for once a step
        return self.step == self.interrupted_at

    def save(self, metadata, tensors):
        super().save(metadata, tensors)
        if self.step == self.interrupted_at:
            assert metadata["step"] == self.step
            raise KeyboardInterrupt


def fit(name, checkpoint, *, steps, held_out=False, corrupt=False, schedule="constant"):
    stack = small.stack(name, SEEDS, dtype=torch.float32)
    rows = torch.from_numpy(small.rows(name, 8)).float()
    history = fitting.fit(
        stack,
        Objective({"l2": 1, "latent_l2": [1.0, 20.0]}),
        Batches(rows, 4, SEEDS, corrupt=corrupt),
        steps=steps,
        learning_rate=0.05 if held_out else 1e-2,
        schedule=schedule,
        held_out=fitting.HeldOut.of(small.rows(name, 4, seed=9)[None]) if held_out else None,
        checkpoint=checkpoint,
    )
    return stack.state(), history


def assert_same(name, path, interrupted_at, **options):
    wanted_state, wanted_history = fit(name, None, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(name, InterruptedAt(path, interrupted_at), **options)
    state, history = fit(name, InterruptedAt(path), **options)
    assert asdict(history) == asdict(wanted_history)
    for tensor_name, tensor in wanted_state.items():
        assert torch.equal(state[tensor_name], tensor), tensor_name
    again, _ = fit(name, InterruptedAt(path), **options)
    for tensor_name, tensor in wanted_state.items():
        assert torch.equal(again[tensor_name], tensor), tensor_name


@pytest.mark.parametrize("name", sorted(set(networks.__all__) - small.LARGE))
def test_resumed_is_uninterrupted(name, tmp_path):
    assert_same(name, tmp_path / "checkpoint", 1, steps=2)


@pytest.mark.parametrize(("name", "interrupted_at"), [("mlp", 1), ("mlp", 30), ("conv1d", 12)])
def test_resumed_with_early_stopping(name, interrupted_at, tmp_path):
    """The state holds the best weights, the best scores and the patience."""
    assert_same(name, tmp_path / "checkpoint", interrupted_at, steps=40, held_out=True)


def test_resumed_between_two_measurements(tmp_path):
    """The sum of losses since the last one belongs to the state: 250 steps are measured every second one."""
    assert_same("mlp", tmp_path / "checkpoint", 101, steps=250)


@pytest.mark.parametrize("interrupted_at", [3, 25])
def test_resumed_with_corruption_and_a_falling_rate(interrupted_at, tmp_path):
    options = {"steps": 40, "corrupt": True, "schedule": "cosine"}
    assert_same("mlp_layernorm", tmp_path / "checkpoint", interrupted_at, **options)
