"""Several processes that answer on one socket, share the memory of the models, and add up their metrics."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

_PAUSE = 1.0
"""Seconds before a process that died is replaced, so that one that always dies is not started in a tight loop."""


@contextmanager
def counting_together() -> Iterator[None]:
    """Add up the metrics of processes that are started within the block.

    Enter it before prometheus_client is imported: the package reads its environment variable at import.
    """
    with tempfile.TemporaryDirectory(prefix="tollad-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def run(n: int, work: Callable[[], None]) -> NoReturn:
    """Run `work` in `n` forked processes until this one is interrupted; a process that dies before is replaced.

    All get the SIGHUP that this process gets. When this process is interrupted or dies, all get SIGTERM, and it waits
    for them.

    Parameters
    ----------
    n : int
    work : callable
        Must end when its process gets SIGTERM.

    Raises
    ------
    ValueError
        Where processes cannot be forked.
    KeyboardInterrupt
        When interrupted, once all have ended.
    """
    if not hasattr(os, "fork"):
        raise ValueError("this system cannot fork processes; use one worker, or start several behind a proxy")
    ours, theirs = os.pipe()
    running: set[int] = set()
    signal.signal(signal.SIGHUP, lambda *_: _tell(running, signal.SIGHUP))
    try:
        while True:
            while len(running) < n:
                running.add(_started(work, ours, theirs))
            ended, _ = os.wait()
            running.discard(ended)
            time.sleep(_PAUSE)
    finally:
        _tell(running, signal.SIGTERM)
        for process in running:
            os.waitpid(process, 0)


def _started(work: Callable[[], None], ours: int, theirs: int) -> int:
    """Fork a process that runs `work` and ends with this one; return its process id."""
    process = os.fork()
    if process:
        return process
    try:
        os.setpgid(0, 0)  # Ctrl-C then reaches the parent only, which ends all
        os.close(theirs)
        threading.Thread(target=_end_with_parent, args=(ours,), daemon=True).start()
        work()
    except KeyboardInterrupt:
        pass
    except BaseException as error:  # noqa: BLE001 - printed here: the child must never run the code of the parent
        sys.stderr.write(f"a worker failed: {error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(0)


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written, so this returns when the parent is gone
    os.kill(os.getpid(), signal.SIGTERM)


def _tell(running: set[int], what: signal.Signals) -> None:
    for process in [*running]:
        os.kill(process, what)
