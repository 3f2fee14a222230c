"""What files say never steers a terminal, and what ends a command leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import COMMAND, done, refused, tollad
from pyarrow import parquet

from tollad.cli.terminal import ended_by_signals
from tollad.warn import printable

OWNED = "x\x1b]0;owned\x07"
EVIL = "a\x1b[2J\nWarning: all is well\u202e"
QUICK = ("--steps", "3", "--n-members", "1", "--quiet")


@pytest.mark.parametrize("text", ["", "größe", "a b", "x = {'a': 1}", "日本"])
def test_plain_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\r", "\x9b2J", "\u202e", "\u2028", "\x07", "\udcff", "\0"])
def test_what_steers_is_shown(text):
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape").encode("utf-16", "surrogatepass") == text.encode(
        "utf-16", "surrogatepass"
    )


@pytest.fixture
def evil(tmp_path) -> Path:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    kinds = [OWNED if k % 3 else "fine" for k in range(60)]
    parquet.write_table(pa.table({EVIL: rows[:, 0], "b": rows[:, 1], "k": kinds}), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_names_are_shown_on_one_line(evil, tmp_path):
    for run in (
        (
            "fit",
            evil,
            "-o",
            tmp_path / "m",
            "--label",
            "k",
            "--normal",
            "fine",
            "--normal",
            "x\x1b]0;owned\x07",
            *QUICK,
        ),
        ("info", tmp_path / "m"),
    ):
        result = done(*run)
        for text in (result.stdout, result.stderr):
            assert all(line.isprintable() for line in text.splitlines())
            assert "\nWarning: all is well" not in text
    parquet.write_table(pa.table({EVIL: ["far"], "b": ["1"]}), tmp_path / "text.parquet")
    assert refused("score", tmp_path / "m", tmp_path / "text.parquet").rstrip("\n").isprintable()


def test_a_picture_of_a_file_whose_name_is_no_text(evil, tmp_path):
    done("fit", evil, "-o", tmp_path / "m", "--column", "k=drop", *QUICK)
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.parquet")
    os.rename(evil, name)
    result = tollad("score", tmp_path / "m", name, "-o", tmp_path / "s.csv", "--plot", tmp_path / "p.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_command_and_leave_nothing_behind(tmp_path, number):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(100, 3)))
    arguments = ["fit", "rows.npy", "-o", "m", "--steps", "10000000", "--checkpoint", "c"]

    def as_usual() -> None:
        signal.signal(number, signal.SIG_DFL)  # what nohup starts, these tests perhaps, ignores SIGHUP

    with subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=as_usual) as running:
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "c").exists():  # the checkpoint, which comes with the training
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            running.send_signal(number)
            said = running.communicate(timeout=60)[1]
        finally:
            running.kill()
    assert running.returncode == 128 + number
    assert b"Interrupted" in said
    assert {*os.listdir(tmp_path)} <= {"rows.npy", "c"}


def test_an_interrupt_within_a_class_statement_is_an_interrupt():
    class Interrupted:
        def __set_name__(self, owner, name):
            signal.raise_signal(signal.SIGTERM)

    came = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals(came):
        type("Class", (), {"member": Interrupted()})
    assert came == [signal.SIGTERM]


@pytest.mark.parametrize("ignored", [False, True], ids=["", "in the background of a shell"])
def test_an_interrupt_in_the_middle_of_the_import_of_torch_waits_for_its_end(monkeypatch, ignored):
    """Else C++ code that calls Python aborts the process."""
    package = types.ModuleType("torch")
    package.__spec__ = types.SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "torch", package)
    came, reached = [], []

    def imported():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.1)
        reached.append("the end of the import")
        package.__spec__._initializing = False
        time.sleep(10)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), ended_by_signals(came):
            imported()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (reached, came) == (["the end of the import"], [signal.SIGTERM])


def test_other_errors_within_a_command_stay():
    with pytest.raises(RuntimeError, match="defect"), ended_by_signals([]):
        raise RuntimeError("defect")
