"""Several processes on one port: their counts add up, a new file reaches all, one that is killed is replaced."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager

import httpx
import pytest
from commands import COMMAND
from detectors import FEW_STEPS, table, train

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

pytestmark = [
    pytest.mark.filterwarnings(FEW_STEPS),
    pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="it looks for processes in /proc"),
]
ROWS = {"rows": table(3).tolist()}


@contextmanager
def serving(path, n_workers):
    command = [*COMMAND, "serve", str(path), "--port", "0", "--workers", str(n_workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, process.stderr.readline().removeprefix("Listening on ").strip()
        finally:
            process.kill()


def children(process: int) -> list[int]:
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as text:
        return [int(word) for word in text.read().split()]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as text:
            return text.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_workers_count_together_reload_and_stop(tmp_path):
    path = tmp_path / "m.tollad"
    first, second = train("mlp"), train("mlp", random_state=1)
    first.save(path)
    with serving(path, 2) as (process, address):

        def threshold() -> float:
            return float(httpx.post(f"{address}/score", json=ROWS, timeout=60).json()["threshold"])

        assert [threshold() for _ in range(40)] == [-first.offset_] * 40
        told = httpx.get(f"{address}/metrics").text
        assert 'tollad_rows_total{model="m"} 120.0' in told
        assert re.search(r'tollad_requests_total\{path="/score",status="200"\} 40\.0', told)

        second.save(path)
        process.send_signal(signal.SIGHUP)
        until(lambda: {threshold() for _ in range(20)} == {-second.offset_})

        workers = children(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len({*children(process.pid)} - {workers[0]}) == 2)
        assert {threshold() for _ in range(20)} == {-second.offset_}

        workers = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert all(map(gone, workers))


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    train("mlp").save(tmp_path / "m.tollad")
    with serving(tmp_path / "m.tollad", 2) as (process, address):
        httpx.post(f"{address}/score", json=ROWS, timeout=60)
        workers = children(process.pid)
        process.kill()
        until(lambda: all(map(gone, workers)))
