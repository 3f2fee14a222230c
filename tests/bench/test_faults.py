"""Faults of files, devices and disks as a user of the command meets them: one sentence each, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os

import pytest
import torch
from bench.synthetic import image_run, image_task, table_run, table_task
from click.testing import CliRunner
from torch.utils._python_dispatch import TorchDispatchMode

from tollad.bench import execute as execution
from tollad.bench import runner
from tollad.bench.execute import execute
from tollad.bench.results import Results
from tollad.bench.runner import carry_out
from tollad.cli.main import main
from tollad.datasets.catalogue import CATALOGUE
from tollad.io import files
from tollad.training import session

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The folder in which the data sets should lie."""
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def refused(*arguments):
    """Run a command that must fail with one line and leave no result; return the line."""
    done = CliRunner().invoke(main, ["paper", *arguments])
    assert done.exit_code not in (0, None)
    assert isinstance(done.exception, SystemExit), done.exception
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
    assert "Traceback" not in done.output
    assert not os.path.exists("results/mnist.jsonl")
    return line


def write(folder, name, change=lambda content: content):
    """Write zeros where the files of the training images of a set should be, changed."""
    (folder / name).mkdir(parents=True)
    for file in CATALOGUE[name].splits["train"].files:
        n = 3
        if name == "mnist":
            images = file.startswith("train-images")
            header = bytes([0, 0, 8, 3 if images else 1, 0, 0, 0, n]) + (bytes([0, 0, 0, 28] * 2) if images else b"")
            content = header + bytes(n * 28 * 28 if images else n)
        else:
            content = bytes(n * 3073)
        (folder / name / file).write_bytes(change(content))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "table9"], "there is no table 'table9'; there are table1, "),
        (["report", "table9"], "there is no table 'table9'; there are table1, "),
        (["run", "table1", "--normal", "ten"], "table1 has no cell 'ten'; its cells are 0, 1, 2"),
        (["run", "table1", "--seeds", "8-12"], "table1 has seeds 0 to 9, not 12"),
        (["run", "table1", "--seeds", "9-8"], "'9-8' is no range of seeds; give 3, 0-9 or 0,2,4-6."),
        (["run", "table6"], "table6 holds published numbers only; there is nothing to run"),
        (["run", "table1"], "the data set mnist is not in "),
    ],
)
@pytest.mark.usefixtures("data")
def test_what_is_not_there_is_one_sentence(arguments, message):
    assert message in refused(*arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.usefixtures("data")
def test_no_gpu_is_one_sentence():
    line = refused("run", "table1", "--device", "cuda")
    assert line == "Error: device 'cuda' is not on this machine, or not in this torch; use --device auto"


def test_a_missing_data_set_says_how_to_get_it(data):
    line = refused("run", "table2")
    assert f"the data set cifar10 is not in {data / 'cifar10'} (data_batch_1.bin is missing)" in line
    assert "`tollad data fetch cifar10`" in line


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "table1",
            lambda content: b"\x00\x00\x0d" + content[3:],
            "is no IDX file of bytes (it begins with 00 00 0d 03",
        ),
        ("table1", lambda content: content[:-1], "which announces 3 x 28 x 28 = 2352; download it again"),
        ("table1", lambda content: content, "3 rows, and the official files hold 60000; download them again"),
        ("table2", lambda content: content[:-1], "data_batch_1.bin"),
        ("table2", lambda content: content, "15 rows, and the official files hold 50000"),
    ],
    ids=["wrong magic", "short", "too few images", "wrong length", "too few records"],
)
def test_a_damaged_data_set_names_the_file_and_what_to_do(data, table, change, message):
    name = {"table1": "mnist", "table2": "cifar10"}[table]
    write(data, name, change)
    line = refused("run", table, "--seeds", "0")
    assert message in line
    assert f"{data / name}" in line
    assert f"`tollad data fetch {name}`" in line


@pytest.mark.usefixtures("data")
def test_results_of_a_newer_version_are_not_touched(tmp_path):
    (tmp_path / "results").mkdir()
    newer = json.dumps({"format": 2, "identity": "x", "error": None}) + "\n"
    (tmp_path / "results" / "arrhythmia.jsonl").write_text(newer)
    for arguments in (["report"], ["run", "table4", "--missing"], ["plot", "curves", "--table", "table4"]):
        assert "line 1 has format 2, and this tollad reads formats up to 1; upgrade tollad" in refused(*arguments)
    assert (tmp_path / "results" / "arrhythmia.jsonl").read_text() == newer


def outcomes(folder):
    return {row["identity"]: (row["error"], row["last"], row["best_validation"]) for row in Results(folder)}


class TestFullDisk:
    """It costs what came after the last saved state, and the same command goes on to the same results."""

    work = (table_run(seed=0), table_run(seed=1, beta=2))

    @pytest.fixture(autouse=True)
    def _tasks(self, monkeypatch):
        monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: table_task(seed))
        monkeypatch.setattr(execution, "_SAVE_EVERY", 0.0)

    def carry(self, folder):
        lines = []
        carry_out(self.work, Results(folder / "results"), CPU, scratch=folder / "scratch", say=lines.append)
        return lines

    def test_while_the_state_is_saved(self, tmp_path, monkeypatch):
        sync, left = files.os.fsync, iter([True] * 3)

        def full(descriptor):
            if not next(left, False):
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(descriptor)

        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match=r"cannot write .*\.tollad: the disk is full"):
            self.carry(tmp_path)
        assert outcomes(tmp_path / "results") == {}
        assert [path.suffix for path in sorted((tmp_path / "scratch").iterdir())] == [".lock", ".tollad"]
        monkeypatch.setattr(files.os, "fsync", sync)
        lines = self.carry(tmp_path)
        assert lines[0].endswith("goes on")
        self.carry(tmp_path / "whole")
        assert outcomes(tmp_path / "results") == outcomes(tmp_path / "whole" / "results")

    def test_while_the_results_are_written(self, tmp_path, monkeypatch):
        write = os.write

        def full(descriptor, content):
            write(descriptor, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("tollad.bench.results.os.write", full)
            with pytest.raises(
                OSError, match=r"cannot write .*table\.jsonl: the disk is full; free some space and run"
            ):
                self.carry(tmp_path)
        assert outcomes(tmp_path / "results") == {}
        # All steps are done and saved: the rows are only measured again.
        lines = self.carry(tmp_path)
        assert lines[0].endswith("goes on")
        assert not any("step" in line for line in lines if "(step" not in line)
        assert len(outcomes(tmp_path / "results")) == 2


class _Waits(TorchDispatchMode):
    """Collects the operations whose results the processor must wait for: a GPU would stand still meanwhile."""

    NAMES = frozenset(
        {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "_unique2", "item"}
    )

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        # A mask as an index is looked through for what is true.
        masks = name in ("index", "index_put_") and any(t is not None and t.dtype == torch.bool for t in args[1])
        if masks or name in self.NAMES:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("runs", "task"),
    [
        ([table_run(seed=0), table_run(seed=1, beta=2)], table_task()),
        ([table_run()], table_task(cut=0.5)),
        ([image_run(seed=0), image_run(seed=1)], image_task()),
    ],
    ids=["dense", "f1", "convolutions"],
)
def test_between_measurements_nothing_waits_for_a_device(monkeypatch, precision, runs, task):
    """Neither a step nor the sum of its losses; the same is asked of a real GPU in test_execute."""
    waits, train, add = _Waits(), session.train, session.Session._add

    def to_the_processor(self, *arguments, **keywords):
        raise AssertionError("a tensor is read within the loop")

    def watch(call, *arguments):
        with monkeypatch.context() as patch, waits:
            for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__array__"):
                patch.setattr(torch.Tensor, name, to_the_processor)
            return call(*arguments)

    def watched(*arguments, **options):
        steps = train(*arguments, **options)
        while (done := watch(next, steps, None)) is not None:
            yield done

    monkeypatch.setattr(session, "train", watched)
    monkeypatch.setattr(session.Session, "_add", lambda self, loss: watch(add, self, loss))
    runs = [execution.dataclasses.replace(run, precision=precision) for run in runs]
    rows = execute(runs, [task] * len(runs), CPU)
    assert [row["error"] for row in rows] == [None] * len(runs)
    assert waits.found == set()


@pytest.mark.parametrize("wait", [lambda t: t[t > 0], lambda t: bool(t.sum() > 0), lambda t: t.unique()])
def test_waiting_would_be_found(wait):
    with _Waits() as waits:
        wait(torch.ones(3))
    assert waits.found
