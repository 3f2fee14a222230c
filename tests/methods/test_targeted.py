"""The paper's method as a method: the bits of a run, alone and in a stack."""

from __future__ import annotations

import made
import numpy as np
import pytest
import torch
from bench.synthetic import table_run, table_task

from tollad.bench.execute import execute
from tollad.methods import TargetedCollapse
from tollad.metrics import auroc
from tollad.training.checkpoint import Checkpoint


def small(**changes):
    return made.method("TargetedCollapse", **changes)


def test_it_is_what_a_run_of_the_paper_trains():
    run, task = table_run(), table_task(validates=False)
    (row,) = execute([run], [task], torch.device("cpu"))

    scores = run.method.fit(task.train).anomaly_score(task.test)

    assert auroc(task.test_labels, scores) == pytest.approx(row["last"]["test"], abs=1e-12)


def test_members_of_a_stack_begin_as_they_would_alone():
    members = [small(seed=seed, beta=beta) for seed, beta in ((0, 1.0), (1, 10.0))]

    stack, objective = TargetedCollapse.stacked(members, (6,))

    assert len(stack) == 2
    assert objective.weights == {"l2": (1.0,), "latent_l2": (1.0, 10.0)}
    for number, member in enumerate(members):
        alone, _ = TargetedCollapse.stacked([member], (6,))
        for name, tensor in alone.state().items():
            assert torch.equal(tensor[0], stack.state()[name][number])


@pytest.mark.parametrize("field", ["seed", "batch_seed", "beta", "norm", "precision"])
def test_every_field_of_the_recipe_counts(field):
    rows = made.rows()
    other = {"seed": 1, "batch_seed": 1, "beta": 0.0, "norm": "l1", "precision": "bf16"}[field]

    assert (small(**{field: other}).fit(rows).anomaly_score(rows) != small().fit(rows).anomaly_score(rows)).any()


def test_what_is_watched_changes_nothing_and_may_score():
    rows, seen, method = made.rows(), [], small()

    method.fit(rows, watch=lambda step: seen.append((step, method.anomaly_score(rows), method.state())), n_watches=3)

    assert [step for step, _, _ in seen] == [7, 13, 20]
    assert (method.anomaly_score(rows) == small().fit(rows).anomaly_score(rows)).all()
    assert (seen[-1][1] == method.anomaly_score(rows)).all()
    method.load_state(seen[0][2])
    assert (method.anomaly_score(rows) == seen[0][1]).all()


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    rows, path = made.rows(), tmp_path / "fit.tollad"
    monkeypatch.setattr(Checkpoint, "due", True)

    def stop(step):
        if step == 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        small().fit(rows, watch=stop, n_watches=2, checkpoint=path)
    steps = []
    resumed = small().fit(rows, watch=steps.append, n_watches=2, checkpoint=path)

    assert steps == [20]
    assert (resumed.anomaly_score(rows) == small().fit(rows).anomaly_score(rows)).all()
    with pytest.raises(ValueError, match="of other data or other parameters"):
        small(seed=5).fit(rows, checkpoint=path)


def test_images_are_scored_as_the_network_takes_them():
    images = made.images(20)
    method = TargetedCollapse(network="conv28", scale="unit", latent_dim=4, steps=2, batch_size=5).fit(images)

    assert np.isfinite(method.anomaly_score(images)).all()
