"""Checkpoints that were changed with a right digest: none goes on to other results in silence."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.io import artifact
from tollad.training.checkpoint import Checkpoint

METADATA = {"step": 3, "stopped": False, "notes": {"seconds": [0.5, 1e-300]}}
TENSORS = {"stack.weight": np.arange(6.0).reshape(2, 3), "run.best_step": np.array([1, 2]), "none": np.empty(0)}


@pytest.fixture
def path(tmp_path):
    Checkpoint(tmp_path / "c", "data and parameters").save(METADATA, TENSORS)
    return tmp_path / "c"


def load(path):
    return Checkpoint(path, "data and parameters").load()


def test_is_what_was_saved(path):
    metadata, tensors = load(path)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)


@pytest.mark.parametrize("identity", ["", "data and other parameters"])
def test_of_another_identity(path, identity):
    with pytest.raises(ValueError, match="c: this checkpoint is of other data or other parameters"):
        Checkpoint(path, identity).load()


CHANGES = {
    "a step": lambda m, t: m.update(step=4),
    "a flag": lambda m, t: m.update(stopped=0),
    "a note": lambda m, t: m["notes"]["seconds"].append(1),
    "a number": lambda m, t: t["stack.weight"].__setitem__((0, 0), 1e-9),
    "a shape": lambda m, t: t.update({"stack.weight": t["stack.weight"].reshape(3, 2)}),
    "a type": lambda m, t: t.update({"run.best_step": t["run.best_step"].astype(np.float64)}),
    "a name": lambda m, t: t.update({"other": t.pop("none")}),
    "one less": lambda m, t: t.pop("none"),
    "one more": lambda m, t: t.update({"more": np.zeros(1)}),
    "the seal": lambda m, t: m.update(seal=m["seal"][::-1]),
    "no seal": lambda m, t: m.pop("seal"),
    "a seal of another kind": lambda m, t: m.update(seal=[1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_with_a_right_digest(path, change):
    metadata, tensors = artifact.load(path, "checkpoint")
    change(metadata, tensors)
    artifact.save(path, "checkpoint", metadata, tensors)
    with pytest.raises(ValueError, match="c: this checkpoint is of other data or other parameters, or was altered;"):
        load(path)


def test_does_not_say_what_it_is_of(path):
    """Whoever knew it could seal anything."""
    assert b"data and parameters" not in path.read_bytes()
