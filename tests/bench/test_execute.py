from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest
import torch
from bench.synthetic import image_run, image_task, table_run, table_task

from tollad import metrics
from tollad.bench import execute as module
from tollad.bench.execute import execute, failed_row
from tollad.io import artifact
from tollad.method import initial, networks
from tollad.training.batches import Draws
from tollad.training.session import Session

CPU = torch.device("cpu")


def outcome(row):
    return {key: row[key] for key in ("identity", "error", "last", "best_validation", "curve")}


def by_hand(run, task):
    """The recipe of the paper for one run, in the plainest way: both metrics at every validation."""
    shape = task.train.shape[1:]
    with torch.device("meta"):
        model = getattr(networks, run.network)(shape, run.latent_dim, hidden=run.hidden)
    model = model.to_empty(device="cpu")
    initial.initialise(model, run.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    train, validation, test = (
        torch.tensor(task.preprocessing(rows), dtype=torch.float32) for rows in (task.train, task.validation, task.test)
    )

    def scores(x):
        x_hat, z = model(x)
        return (x_hat - x).flatten(1).norm(dim=1) + run.beta * z.norm(dim=1)

    def measured(rows, labels):
        model.eval()
        with torch.no_grad():
            return metrics.auroc(labels, scores(rows))

    curve, tests, stream = [], [], Draws(run.batch_seed)
    for step in range(run.steps):
        model.train()
        loss = scores(train[stream.draw(len(train), run.batch_size, step)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % run.validate_every == 0:
            curve.append(measured(validation, task.validation_labels))
            tests.append(measured(test, task.test_labels))
    return curve, tests


@pytest.mark.parametrize(("run", "task"), [(table_run(), table_task()), (image_run(), image_task())])
def test_a_run_is_the_paper_s_recipe(run, task, global_random_states_stay):
    (row,) = execute([run], [task], CPU)
    curve, tests = by_hand(run, task)
    # One pair in the wrong order is 1/400: rounding may exchange a few, and so move the best one to another step.
    found = row["curve"]["validation"]
    np.testing.assert_allclose(found, curve, atol=0.01)
    best = int(np.argmax(found))
    assert row["best_validation"]["validation"] == found[best]
    assert row["best_validation"]["step"] == row["curve"]["step"][best]
    assert abs(row["best_validation"]["test"] - tests[best]) < 0.02
    assert abs(row["last"]["test"] - tests[-1]) < 0.02
    assert row["last"]["step"] == run.steps
    assert row["last"]["validation"] == pytest.approx(row["curve"]["validation"][-1])


def test_the_best_step_is_measured_as_if_training_had_ended_there():
    values = {"learning_rate": 1e-3, "beta": 10.0, "seed": 1}
    (row,) = execute([image_run(**values, steps=20)], [image_task(1)], CPU)
    (shorter,) = execute([image_run(**values, steps=row["best_validation"]["step"])], [image_task(1)], CPU)
    assert row["best_validation"] == shorter["best_validation"] == shorter["last"]
    assert row["best_validation"]["test"] != row["last"]["test"]


def test_of_equal_validations_the_earliest_is_chosen(monkeypatch):
    values = iter([0.5, 0.7, 0.7, 0.6, 0.7, 0.2, 0.1, 0.7])
    whole = module.measures.auroc

    def scripted(labels, scores):
        return torch.full((len(scores),), next(values, None) or float(whole(labels, scores)[0]), dtype=torch.float64)

    monkeypatch.setattr(module.measures, "auroc", scripted)
    (row,) = execute([table_run()], [table_task()], CPU)
    assert (row["best_validation"]["step"], row["best_validation"]["validation"]) == (10, 0.7)


def test_without_any_validation_above_zero_the_initial_weights_stay(monkeypatch):
    monkeypatch.setattr(module.measures, "auroc", lambda labels, scores: torch.zeros(len(scores), dtype=torch.float64))
    (row,) = execute([table_run()], [table_task()], CPU)
    assert row["best_validation"]["step"] == 0


def test_members_have_their_own_seed_beta_and_task():
    runs = [table_run(seed=0), table_run(seed=1), table_run(beta=0), table_run(split_seed=1)]
    tasks = [table_task(), table_task(), table_task(), table_task(1)]
    together = execute(runs, tasks, CPU)
    losses = [tuple(row["curve"]["loss"]) for row in together]
    assert len(set(losses)) == 4
    for run, task, row in zip(runs, tasks, together, strict=True):
        (alone,) = execute([run], [task], CPU)
        np.testing.assert_allclose(row["curve"]["loss"], alone["curve"]["loss"], rtol=1e-4)
        np.testing.assert_allclose(row["curve"]["validation"][0], alone["curve"]["validation"][0], atol=0.01)


def test_images_of_other_sizes_of_class_are_trained_together():
    tasks = [image_task(0, 30), image_task(1, 50, (0.0, 1.0))]
    rows = execute([image_run(normal=0), image_run(normal=1)], tasks, CPU)
    for run, task, row in zip((image_run(normal=0), image_run(normal=1)), tasks, rows, strict=True):
        (alone,) = execute([run], [task], CPU)
        np.testing.assert_allclose(row["curve"]["loss"], alone["curve"]["loss"], rtol=1e-4)


def test_f1_is_measured_at_the_cut():
    (row,) = execute([table_run()], [table_task(cut=0.5)], CPU)
    assert row["metric"] == "f1"
    assert row["last"]["test"] * 20 == pytest.approx(round(row["last"]["test"] * 20))


def test_without_validation_rows_there_is_only_the_last_step():
    (row,) = execute([table_run()], [table_task(validates=False)], CPU)
    assert row["best_validation"] is None
    assert row["last"]["validation"] is None
    assert row["last"]["test"] > 0.5
    assert row["curve"]["validation"] is None


def test_bf16_is_near_float32():
    full, low = (execute([image_run(precision=p)], [image_task()], CPU)[0] for p in ("float32", "bf16"))
    np.testing.assert_allclose(low["curve"]["loss"], full["curve"]["loss"], rtol=0.05)
    assert low["curve"]["loss"] != full["curve"]["loss"]


def test_a_row_is_json_and_says_on_what_it_was_measured():
    row = json.loads(json.dumps(execute([table_run(), table_run(seed=1)], [table_task()] * 2, CPU)[1], allow_nan=False))
    assert row["run"]["seed"] == 1
    assert row["members"] == 2
    assert row["device"].startswith("cpu, ")
    assert row["threads"] == torch.get_num_threads()
    assert {"tollad", "torch", "numpy", "python"} == row["versions"].keys()
    assert 0 < row["seconds"]["step"] < row["seconds"]["wall"]
    assert 0 < row["flops"]["per_second"] < row["flops"]["peak_per_second"]
    # 2 operations, 2 members, 20 rows; forward, and backward but for the gradient of the input.
    products = 2 * 2 * 20 * 3 * (6 * 8 + 8 * 2) * 2 - 2 * 2 * 20 * 6 * 8
    assert row["flops"]["step"] == products


@pytest.mark.parametrize(("in_bf16", "peak"), [(1e9, 2e9), (4e9, 4e9)])
def test_the_peak_of_an_imitated_precision_is_that_of_float32(monkeypatch, in_bf16, peak):
    monkeypatch.setattr(module.machine, "peak_flops", lambda device, p: in_bf16 if p == "bf16" else 2e9)
    (row,) = execute([table_run(precision="bf16", steps=5)], [table_task()], CPU)
    assert row["flops"]["peak_per_second"] == peak


class TestFailures:
    def test_a_member_without_finite_loss_fails_and_the_others_go_on(self):
        broken = table_task()
        train = broken.train.copy()
        train[:30] = np.nan
        broken = dataclasses.replace(broken, train=train)
        runs = [table_run(seed=0), table_run(seed=1, split_seed=1), table_run(seed=2)]
        rows = execute(runs, [table_task(), broken, table_task()], CPU)
        # Three tasks and not one: members that share their rows compute them as one, with other rounding.
        whole = execute(runs, [table_task() for _ in runs], CPU)
        assert rows[1]["error"] == "the loss or a score was no longer a finite number at step 1"
        assert rows[1]["last"] is rows[1]["best_validation"] is None
        for member in (0, 2):
            assert outcome(rows[member]) == outcome(whole[member])
        json.dumps(rows, allow_nan=False)

    def test_an_overflow_on_the_way_names_its_step(self):
        """A rate so high that weights overflow in a few steps."""
        (row,) = execute([table_run(learning_rate=1e20)], [table_task()], CPU)
        assert "no longer a finite number at step" in row["error"]

    def test_training_stops_when_all_have_failed(self, monkeypatch, tmp_path):
        monkeypatch.setattr(module, "_SAVE_EVERY", 0.0)
        steps = []
        run = table_run(learning_rate=1e20, steps=400)
        execute([run], [table_task()], CPU, checkpoint=tmp_path / "c", progress=lambda step, _: steps.append(step))
        assert steps[-1] < 400

    def test_a_failed_row_is_that_of_its_run(self):
        row = failed_row(table_run(), "out of memory")
        assert (row["identity"], row["error"], row["kind"]) == (table_run().identity, "out of memory", "run")


class TestCheckpoint:
    def interrupt(self, monkeypatch, checkpoint, at, runs, tasks):
        monkeypatch.setattr(module, "_SAVE_EVERY", 0.0)

        def progress(step, _):
            if step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            execute(runs, tasks, CPU, checkpoint=checkpoint, progress=progress)

    @pytest.mark.parametrize("at", [5, 20, 35])
    def test_interrupted_training_goes_on_to_the_same_result(self, monkeypatch, tmp_path, at):
        runs, tasks = [table_run(seed=0), table_run(seed=1, beta=3)], [table_task()] * 2
        self.interrupt(monkeypatch, tmp_path / "c", at, runs, tasks)
        began = []
        rows = execute(runs, tasks, CPU, checkpoint=tmp_path / "c", progress=lambda step, _: began.append(step))
        assert began[0] == at + 5
        assert [outcome(row) for row in rows] == [outcome(row) for row in execute(runs, tasks, CPU)]

    def test_so_does_one_of_images(self, monkeypatch, tmp_path):
        self.interrupt(monkeypatch, tmp_path / "c", 5, [image_run()], [image_task()])
        (row,) = execute([image_run()], [image_task()], CPU, checkpoint=tmp_path / "c")
        assert outcome(row) == outcome(execute([image_run()], [image_task()], CPU)[0])

    def test_a_finished_one_is_only_measured(self, monkeypatch, tmp_path):
        self.interrupt(monkeypatch, tmp_path / "c", 40, [table_run()], [table_task()])
        (row,) = execute([table_run()], [table_task()], CPU, checkpoint=tmp_path / "c")
        assert outcome(row) == outcome(execute([table_run()], [table_task()], CPU)[0])

    def test_a_failed_member_stays_failed(self, monkeypatch, tmp_path):
        broken = dataclasses.replace(table_task(), train=np.full((60, 6), np.nan))
        runs, tasks = [table_run(), table_run(seed=1)], [table_task(), broken]
        self.interrupt(monkeypatch, tmp_path / "c", 20, runs, tasks)
        rows = execute(runs, tasks, CPU, checkpoint=tmp_path / "c")
        assert [row["error"] is None for row in rows] == [True, False]

    def test_seconds_add_up_over_sessions(self, monkeypatch, tmp_path):
        self.interrupt(monkeypatch, tmp_path / "c", 20, [table_run()], [table_task()])
        spent = artifact.load(tmp_path / "c", "checkpoint")[0]["notes"]["spent"]
        (row,) = execute([table_run()], [table_task()], CPU, checkpoint=tmp_path / "c")
        assert row["seconds"]["wall"] > spent[0] > 0

    @pytest.mark.parametrize("damage", ["other bytes", "cut short", "of another version", "of another network"])
    def test_one_that_cannot_be_used_is_ignored(self, tmp_path, damage):
        path = tmp_path / "c"
        assert execute([table_run()], [table_task()], CPU, checkpoint=path, deadline=time.monotonic()) is None
        metadata, tensors = artifact.load(path, "checkpoint")
        if damage == "other bytes":
            path.write_bytes(b"nothing")
        elif damage == "cut short":
            path.write_bytes(path.read_bytes()[:-20])
        else:
            metadata = {name: metadata[name] for name in ("seal", "step", "stopped", "notes")}
            name = next(name for name in tensors if name.endswith("weight"))
            if damage == "of another version":
                del metadata["notes"]
            else:
                tensors[name] = tensors[name][..., :1]
            artifact.save(path, "checkpoint", metadata, tensors)
        with pytest.warns(UserWarning, match="seed 0 begins anew, its checkpoint cannot be used: "):
            (row,) = execute([table_run()], [table_task()], CPU, checkpoint=path)
        assert outcome(row) == outcome(execute([table_run()], [table_task()], CPU)[0])

    def test_at_the_deadline_it_is_saved(self, tmp_path):
        run, checkpoint = table_run(), tmp_path / "c"
        assert execute([run], [table_task()], CPU, checkpoint=checkpoint, deadline=time.monotonic()) is None
        (row,) = execute([run], [table_task()], CPU, checkpoint=checkpoint)
        assert outcome(row) == outcome(execute([run], [table_task()], CPU)[0])

    def test_what_is_finished_at_the_deadline_has_rows(self, tmp_path):
        (row,) = execute([table_run(steps=5)], [table_task()], CPU, checkpoint=tmp_path / "c", deadline=0.0)
        assert row["last"]["step"] == 5


@pytest.mark.parametrize(
    ("runs", "device", "message"),
    [
        ([table_run(), table_run(learning_rate=0.5)], "cpu", "the runs of a stack must have one learning_rate"),
        ([table_run(precision="tf32")], "cpu", "precision 'tf32' needs a CUDA device"),
        ([table_run()], "meta", "runs need a cpu or a cuda device, not meta"),
    ],
)
def test_what_cannot_be_run_is_refused(runs, device, message):
    with pytest.raises(ValueError, match=message):
        execute(runs, [table_task()] * len(runs), torch.device(device))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_between_two_measurements_nothing_waits_for_the_gpu(precision, monkeypatch):
    device = torch.device("cuda")
    execute([image_run(precision=precision)], [image_task()], device)  # what is set up once may wait
    inner = Session._note_measurement

    def may_wait(session):
        torch.cuda.set_sync_debug_mode("default")
        inner(session)
        torch.cuda.set_sync_debug_mode("error" if session.step < session.steps else "default")

    monkeypatch.setattr(Session, "_note_measurement", may_wait)
    (row,) = execute([image_run(precision=precision)], [image_task()], device)
    (there,) = execute([image_run()], [image_task()], CPU)
    np.testing.assert_allclose(row["curve"]["loss"], there["curve"]["loss"], rtol=0.05)
