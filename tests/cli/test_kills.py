"""Commands that are killed at random moments: no half file, no lost work, one sentence, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tollad.cli.main as commands
from tollad import TollDetector
from tollad.cli.terminal import ended_by_signals

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")]
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
N_KILLS = 16
QUICK = ("--hidden", "16", "--latent-dim", "2")


def run(*arguments: object, kill: int | None = None, after: float = 0.0) -> tuple[int, str]:
    """Run a command in a fork, which has all imports; return its exit status and what it said.

    The signal `kill` is sent so many seconds after the command has begun to handle signals.
    """
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:

        @contextlib.contextmanager
        def announced(came: list[int]) -> Iterator[None]:
            with ended_by_signals(came):
                os.write(begun, b".")
                yield

        commands.ended_by_signals = announced
        code = 99
        try:
            with open("said", "w") as said, open(os.devnull, "w") as nothing:
                sys.stdout, sys.stderr = nothing, said
                signal.signal(signal.SIGINT, signal.default_int_handler)
                commands.main([*map(str, arguments)], prog_name="tollad")
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    os.close(begun)
    os.read(ready, 1)
    os.close(ready)
    if kill is not None:
        time.sleep(after)
        os.kill(child, kill)  # a child that has ended stays until it is waited for
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), Path("said").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, n in (("t.csv", 300), ("big.csv", 40_000)):
        np.savetxt(name, rng.normal(size=(n, 4)), "%.4f", ",", header="a,b,c,d", comments="")
    return tmp_path


COMMANDS: dict[str, tuple[str, ...]] = {
    "fit": ("fit", "t.csv", "-o", "out", "--checkpoint", "state", "--steps", "80", "--quiet", *QUICK),
    "score": ("score", "model", "big.csv", "-o", "out.csv"),
    "export": ("export", "model", "-o", "out.onnx"),
    "calibrate": ("calibrate", "model", "big.csv", "-o", "out", "--false-alarm-rate", "0.1"),
    "sweep": ("sweep", "t.csv", "--seeds", "2", "--beta", "0.1,1", "--steps", "30", "-o", "out.csv", *QUICK),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill_leaves_whole_files_only(folder: Path, name: str) -> None:
    command, moments = COMMANDS[name], random.Random(0)
    output = command[command.index("-o") + 1]

    def content() -> Any:
        if not Path(output).exists():
            return None
        if name == "fit":  # a model states when it was written
            return TollDetector.load(output).training_scores_.tolist()
        if name == "calibrate":
            return TollDetector.load(output).calibration_scores_.tolist()
        # Names of a graph may be numbered anew.
        return len(Path(output).read_bytes()) // 1000 if name == "export" else Path(output).read_bytes()

    run("fit", "t.csv", "-o", "model", "--steps", "20", "--quiet", *QUICK)
    run(*command)
    began = time.monotonic()
    whole, (code, said) = content(), run(*command, "--force")
    takes = time.monotonic() - began
    assert code == 0, said
    for number in range(N_KILLS):
        for path in (output, "state"):
            Path(path).unlink(missing_ok=True)
        kill = getattr(signal, SIGNALS[number % 4])
        code, said = run(*command, kill=kill, after=moments.random() * takes)
        assert content() in (None, whole)
        if code == 0 or kill == signal.SIGKILL:
            assert code in (0, -signal.SIGKILL)
        else:
            assert code == 128 + kill, said
            assert said.splitlines()[-1].startswith("Interrupted")
            assert not list(folder.glob(".*.tmp"))
        # The next call finishes the work, and sweeps what a killed one left a minute ago.
        for hidden in folder.glob(".*.tmp"):
            os.utime(hidden, (time.time() - 100,) * 2)
        code, said = run(*command, *(["--force"] if Path(output).exists() else []))
        assert code == 0, said
        assert content() == whole
        assert not list(folder.glob(".*.tmp"))
