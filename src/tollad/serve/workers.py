"""Several processes that answer on one socket, share the memory of the models, and add up what they count."""

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
"""Seconds before a process that died is replaced, lest one that cannot live is started without end."""


@contextmanager
def counting_together() -> Iterator[None]:
    """Let the processes that are started within the block add up their metrics.

    It must be entered before prometheus_client is imported, which reads the variable then.
    """
    with tempfile.TemporaryDirectory(prefix="tollad-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def run(n: int, work: Callable[[], None]) -> NoReturn:
    """Run `work` in `n` forked processes until this one is interrupted; a process that dies before is replaced.

    SIGHUP is handed on to all. When this process is interrupted, or dies, all get SIGTERM; they are waited for.

    Parameters
    ----------
    n : int
    work : callable
        Ends when its process gets SIGTERM.

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
    """Fork a process that works, and ends with this one; return its number."""
    process = os.fork()
    if process:
        return process
    try:
        os.setpgid(0, 0)  # Ctrl-C reaches the parent only, which then ends all
        os.close(theirs)
        threading.Thread(target=_end_with_parent, args=(ours,), daemon=True).start()
        work()
    except KeyboardInterrupt:
        pass
    except BaseException as error:  # noqa: BLE001 - it is told here, for nothing may run what the parent is to run
        sys.stderr.write(f"a worker failed: {error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(0)


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: it returns when the parent is gone
    os.kill(os.getpid(), signal.SIGTERM)


def _tell(running: set[int], what: signal.Signals) -> None:
    for process in [*running]:
        os.kill(process, what)
