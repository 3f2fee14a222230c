from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bench.synthetic import table_run, table_task

from tollad.bench import execute as execution
from tollad.bench import runner
from tollad.bench.results import Results, claim
from tollad.bench.runner import carry_out
from tollad.bench.spec import Baseline
from tollad.bench.values import digest
from tollad.datasets.files import user_cache

CPU = torch.device("cpu")
MEAN = Baseline("synthetic", "table", "mean", "raw")


@pytest.fixture(autouse=True)
def _tasks(monkeypatch):
    monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: table_task(seed))


def outcomes(folder):
    return {row["identity"]: (row["error"], row["last"], row["best_validation"]) for row in Results(folder)}


def carry(tmp_path, work, **options):
    lines = []
    options = {"scratch": tmp_path / "scratch", "say": lines.append} | options
    return carry_out(work, Results(tmp_path / "results"), CPU, **options).done, lines


def test_every_run_has_a_row_and_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "_SAVE_EVERY", 0.0)
    work = [table_run(seed=0), table_run(seed=1), table_run(split_seed=3), MEAN]
    done, lines = carry(tmp_path, work)
    assert done
    assert outcomes(tmp_path / "results").keys() == {item.identity for item in work}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["table.jsonl"]
    assert not list((tmp_path / "scratch").glob("*.tollad"))
    assert sum("begins" in line for line in lines) == 2
    assert sum("last" in line for line in lines) == 4


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_what_is_in_flight_lies_in_the_user_s_cache_wherever_the_data_are(monkeypatch, tmp_path, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path))
    assert runner.default_scratch() == user_cache() / "runs"


def test_missing_runs_only_what_has_no_result(tmp_path):
    carry(tmp_path, [table_run(seed=0), MEAN])
    done, lines = carry(tmp_path, [table_run(seed=0), table_run(seed=1), MEAN], missing=True)
    assert done
    assert len(list(Results(tmp_path / "results"))) == 3
    assert not any("seed 0:" in line or "mean" in line for line in lines)


def test_runs_that_are_carried_out_elsewhere_have_the_same_results(tmp_path):
    work = [table_run(seed=0), table_run(seed=1), table_run(split_seed=3), MEAN]

    def elsewhere(function, calls):
        for number, arguments in reversed([*enumerate(calls)]):
            yield number, function(*arguments)

    carry(tmp_path / "here", work)
    done, lines = carry(tmp_path / "there", work, each=elsewhere)
    assert done
    assert outcomes(tmp_path / "there" / "results") == outcomes(tmp_path / "here" / "results")
    assert not any("step" in line and "/" in line for line in lines)
    done, lines = carry(tmp_path / "there", work, each=elsewhere, missing=True)
    assert (done, lines) == (True, [])


def test_without_it_all_are_run_again(tmp_path):
    for _ in range(2):
        carry(tmp_path, [MEAN])
    (path,) = (tmp_path / "results").glob("*.jsonl")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert len(list(Results(tmp_path / "results"))) == 1


def test_what_another_process_holds_is_left_to_it(tmp_path):
    with claim(tmp_path / "scratch" / f"{digest([MEAN.identity])}.lock") as free:
        assert free
        done, lines = carry(tmp_path, [MEAN, table_run()])
    assert not done
    assert any("mean, raw: another process is at it" in line for line in lines)
    assert outcomes(tmp_path / "results").keys() == {table_run().identity}


def test_time_that_is_up_stops_before_and_within_a_stack(tmp_path, monkeypatch):
    done, lines = carry(tmp_path, [table_run()], max_minutes=-1)
    assert (done, lines) == (False, [])
    whole = execution.execute
    monkeypatch.setattr(runner, "execute", lambda *runs, **options: whole(*runs, **options | {"deadline": 0.0}))
    done, lines = carry(tmp_path, [table_run()])
    assert not done
    assert lines[-1].endswith("time is up; the next run of what is missing goes on from here")
    assert len(list((tmp_path / "scratch").glob("*.tollad"))) == 1
    monkeypatch.setattr(runner, "execute", whole)
    done, lines = carry(tmp_path, [table_run()])
    assert done
    assert lines[0].endswith("goes on")


def test_data_that_cannot_be_had_are_no_failure_of_a_run(tmp_path, monkeypatch):
    def make_task(protocol, dataset, normal, seed):
        raise RuntimeError("no home")

    monkeypatch.setattr(runner, "make_task", make_task)
    with pytest.raises(RuntimeError, match="no home"):
        carry(tmp_path, [table_run()])
    assert outcomes(tmp_path / "results") == {}


def test_failures_are_rows_and_the_rest_goes_on(tmp_path, monkeypatch):
    def execute(runs, tasks, device, **options):
        if runs[0].learning_rate == 0.5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return execution.execute(runs, tasks, device, **options)

    monkeypatch.setattr(runner, "execute", execute)
    broken = dataclasses.replace(table_task(), train=np.full((60, 6), np.nan))
    monkeypatch.setattr(runner, "make_task", lambda *names, normal, seed: broken if seed else table_task())
    work = [table_run(learning_rate=0.5), table_run(split_seed=1), table_run()]
    done, lines = carry(tmp_path, work)
    assert not done
    errors = {identity: error for identity, (error, *_) in outcomes(tmp_path / "results").items()}
    assert errors[work[0].identity] == "OutOfMemoryError: CUDA out of memory"
    assert errors[work[1].identity] == "the loss or a score was no longer a finite number at step 1"
    assert errors[work[2].identity] is None
    assert any("out of memory" in line for line in lines)
    # What failed is still missing.
    _, lines = carry(tmp_path, work, missing=True)
    assert sum("begins" in line for line in lines) == 2


def test_lack_of_memory_that_is_seen_beforehand_fails_its_stack_alone(tmp_path, monkeypatch):
    from tollad.training import build

    small, needed = build._available_memory, []

    def available(device):
        needed.append(device)
        return 1024 if len(needed) == 1 else small(device)

    monkeypatch.setattr(build, "_available_memory", available)
    work = [table_run(learning_rate=0.5), table_run()]
    done, _ = carry(tmp_path, work)
    assert not done
    errors = {identity: error for identity, (error, *_) in outcomes(tmp_path / "results").items()}
    assert errors[work[0].identity].startswith("MemoryError: 1 members need about")
    assert errors[work[1].identity] is None


def test_what_was_interrupted_is_found_again_though_a_member_of_another_stack_failed(tmp_path, monkeypatch):
    broken = dataclasses.replace(table_task(), train=np.full((60, 6), np.nan))
    monkeypatch.setattr(runner, "make_task", lambda *names, normal, seed: table_task() if seed != 1 else broken)
    whole, stacks = execution.execute, []

    def execute(runs, tasks, device, **options):
        stacks.append([run.split_seed for run in runs])
        return whole(runs, tasks, device, **options | ({"deadline": 0.0} if len(stacks) == 2 else {}))

    monkeypatch.setattr(runner, "execute", execute)
    work = [table_run(split_seed=seed) for seed in range(5)]
    carry(tmp_path, work, n_members=2, missing=True)
    _, lines = carry(tmp_path, work, n_members=2, missing=True)
    begun = [line.rpartition(": ")[2] for line in lines if line.endswith(("begins", "goes on"))]
    assert begun == ["begins", "goes on", "begins"]
    assert stacks == [[0, 1], [2, 3], [1], [2, 3], [4]]
    assert {row["run"]["split_seed"] for row in Results(tmp_path / "results") if row["error"] is None} == {0, 2, 3, 4}


def test_a_table_by_path_has_a_file_of_its_own_name(tmp_path):
    carry(tmp_path, [dataclasses.replace(MEAN, dataset="/some/where/wine.npz")])
    assert (tmp_path / "results" / "wine.jsonl").exists()


SCRIPT = """
import sys, time
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
from bench.synthetic import table_run, table_task
from tollad.bench import runner, execute
from tollad.bench.results import Results
torch.set_num_threads(1)
runner.make_task = lambda protocol, dataset, normal, seed: table_task(seed)
execute._SAVE_EVERY = 0.0
folder = Path({folder!r})
slow = {slow!r}
def say(line):
    print(line, flush=True)
    time.sleep(slow)
work = [table_run(seed=0), table_run(seed=1, beta=2)]
options = {{"scratch": folder / "scratch", "missing": True, "say": say}}
runner.carry_out(work, Results(folder / "results"), torch.device("cpu"), **options)
"""


def start(folder: Path, slow: float) -> subprocess.Popen[str]:
    script = SCRIPT.format(tests=str(Path(__file__).parent.parent), folder=str(folder), slow=slow)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_in_the_middle_it_goes_on_to_the_same_results(tmp_path):
    with start(tmp_path, slow=0.3) as process:
        for line in process.stdout:
            if "step 15/40" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert outcomes(tmp_path / "results") == {}
    work = [table_run(seed=0), table_run(seed=1, beta=2)]
    done, lines = carry(tmp_path, work, missing=True)
    assert done
    assert lines[0].endswith("goes on")
    carry(tmp_path / "whole", work)
    assert outcomes(tmp_path / "results") == outcomes(tmp_path / "whole" / "results")


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path):
    with start(tmp_path, slow=0.02) as one, start(tmp_path, slow=0.02) as other:
        for process in (one, other):
            process.communicate(timeout=120)
    assert sorted(row["identity"] for row in Results(tmp_path / "results")) == sorted(
        run.identity for run in (table_run(seed=0), table_run(seed=1, beta=2))
    )
