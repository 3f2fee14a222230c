from __future__ import annotations

import re

import pytest
import torch
from bench.synthetic import image_run, image_task, table_run, table_task

from tollad.bench import clock, projection, runner
from tollad.bench import execute as execution
from tollad.bench.clock import Pace
from tollad.bench.execute import execute, measure_pace
from tollad.bench.projection import in_units, project
from tollad.bench.results import Results
from tollad.bench.runner import carry_out, checkpoint_of
from tollad.bench.spec import Baseline
from tollad.io import artifact
from tollad.training.batches import Batches

CPU = torch.device("cpu")
MEAN = Baseline("synthetic", "table", "mean", "raw")
PACE = Pace(step=2.0, validation=30.0, test=60.0)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tasks = {"table": table_task(), "images": image_task()}
    monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: tasks[dataset])
    monkeypatch.setattr(clock, "_TIMED", 0.0)


@pytest.fixture
def scripted(monkeypatch):
    """Every step takes two seconds a member."""
    measured = []

    def measure(runs, tasks, device):
        measured.append(len(runs))
        return Pace(len(runs) * PACE.step, len(runs) * PACE.validation, len(runs) * PACE.test)

    monkeypatch.setattr(projection, "measure_pace", measure)
    return measured


def lines(tmp_path, work, **options):
    return list(project(work, Results(tmp_path / "results"), CPU, scratch=tmp_path / "scratch", **options))


class TestPace:
    def test_a_run_is_its_steps_validations_and_two_tests(self):
        run = table_run(steps=40, validate_every=5)
        assert PACE.seconds(run) == 40 * 2 + 8 * 30 + 2 * 60
        assert PACE.seconds(run, done=30) == 10 * 2 + 2 * 30 + 2 * 60
        assert Pace(2.0, 0.0, 60.0).seconds(run) == 40 * 2 + 60

    def test_is_near_what_a_run_then_takes(self, monkeypatch):
        monkeypatch.setattr(clock, "_TIMED", 0.2)
        run, task = image_run(steps=60, validate_every=20), image_task()
        expected = measure_pace([run], [task], CPU)
        (row,) = execute([run], [task], CPU)
        # Within a factor that no other work on the machine exceeds.
        assert 1 / 5 < expected.step / row["seconds"]["step"] < 5
        assert expected.validation == pytest.approx(expected.test)

    def test_a_long_step_is_taken_once(self, monkeypatch):
        monkeypatch.setattr(clock, "_LONG_CALL", 0.0)
        steps = []
        drawn = Batches.__call__
        monkeypatch.setattr(Batches, "__call__", lambda self, step: steps.append(step) or drawn(self, step))
        assert measure_pace([table_run()], [table_task()], CPU).step > 0
        assert steps == [0]

    def test_without_validation_rows_there_is_no_validation(self):
        assert measure_pace([table_run()], [table_task(validates=False)], CPU).validation == 0

    def test_what_cannot_be_run_is_refused(self):
        with pytest.raises(ValueError, match="precision 'tf32' needs a CUDA device"):
            measure_pace([table_run(precision="tf32")], [table_task()], CPU)


def test_each_kind_of_stack_is_measured_once_and_the_total_is_theirs(tmp_path, scripted):
    work = [*(table_run(seed=seed) for seed in range(3)), *(image_run(seed=seed, beta=2) for seed in range(4)), MEAN]
    found = lines(tmp_path, work)
    assert scripted == [3, 1]
    # 40 steps and 8 validations of 3 members; 10 and 2 of one.
    assert found[:4] == [
        "synthetic table, mlp, batch 20, float32: 3 runs",
        "  1 stack of 3: 40 steps of 6.0 s, 90.0 s a validation every 5; 22.0 min a stack, 22.0 min left",
        "synthetic images, conv, batch 20, float32: 4 runs",
        "  4 stacks of 1: 10 steps of 2.0 s, 30.0 s a validation every 5; 3.3 min a stack, 13.3 min left",
    ]
    assert found[4] == "1 baseline: not measured, seconds to minutes each"
    assert found[5].startswith("projected for all runs: 35.3 min on cpu, ")
    assert found[5].endswith(f"{torch.get_num_threads()} threads" if torch.get_num_threads() > 1 else ", 1 thread")


def test_what_is_done_does_not_count(tmp_path, scripted, monkeypatch):
    runs = [table_run(seed=seed) for seed in range(3)]
    options = {"scratch": tmp_path / "scratch", "say": lambda line: None}
    carry_out(runs[:1], Results(tmp_path / "results"), CPU, **options)
    assert lines(tmp_path, runs, missing=True)[0].endswith("2 runs")
    assert lines(tmp_path, runs)[0].endswith("3 runs")
    assert lines(tmp_path, runs[:1], missing=True) == []
    # Stopped after 5 of its 40 steps, as a stack of its own.
    whole = execution.execute
    monkeypatch.setattr(runner, "execute", lambda *runs, **options: whole(*runs, **options | {"deadline": 0.0}))
    carry_out(runs[1:2], Results(tmp_path / "results"), CPU, **options)
    (left,) = re.findall(r"([\d.]+) min left", lines(tmp_path, runs[1:2])[1])
    assert float(left) == pytest.approx((35 * 2 + 7 * 30 + 2 * 60) / 60, abs=0.05)


@pytest.mark.parametrize("damage", ["other bytes", "without a step"])
def test_a_checkpoint_that_cannot_be_used_counts_for_nothing(tmp_path, scripted, damage):
    path = checkpoint_of([table_run()], tmp_path / "scratch")
    path.parent.mkdir()
    if damage == "other bytes":
        path.write_bytes(b"nothing")
    else:
        artifact.save(path, "checkpoint", {}, {})
    assert lines(tmp_path, [table_run()]) == lines(tmp_path / "without", [table_run()])


def test_a_stack_of_another_size_is_compared(tmp_path, scripted):
    assert lines(tmp_path, [table_run()], compare=True)[2] == (
        "  a step of one run: 2.0 s in a stack of 1, 2.0 s in a stack of 2"
    )
    assert lines(tmp_path, [table_run(seed=s) for s in range(3)], compare=True)[2].endswith("2.0 s in a stack of 3")
    assert scripted == [1, 2, 3, 1]


@pytest.mark.parametrize("size", [1, 2])
def test_a_lack_of_memory_is_said_and_the_rest_goes_on(tmp_path, monkeypatch, size):
    def measure(runs, tasks, device):
        if len(runs) == size and runs[0].network == "mlp":
            raise RuntimeError("out of memory")
        return PACE

    monkeypatch.setattr(projection, "measure_pace", measure)
    found = lines(tmp_path, [table_run(), image_run()], compare=True)
    if size == 1:
        assert found[1] == "  cannot be measured: out of memory"
        assert found[-1].startswith("projected for the others: 3.3 min")
    else:
        assert found[2] == "  a stack of 2 cannot be measured: out of memory"
        # 440 s and 200 s.
        assert found[-1].startswith("projected for all runs: 10.7 min")


def test_nothing_is_written(tmp_path):
    found = lines(tmp_path, [table_run(), image_run()], compare=True)
    assert len(found) == 7
    assert not list(tmp_path.iterdir())


def test_milliseconds_keep_two_digits():
    assert in_units(0.00123) == "1.2 ms"
