"""Printing to a terminal or pipe that may be gone, and signals that end a command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

import click

from tollad.io.streams import standard_output

# A closed terminal sends SIGHUP; Windows has none.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


# Packages whose import calls Python from C++, where an exception would abort the process; and after how many seconds an
# interrupt comes again.
_ABORTING, _AGAIN = ("torch", "onnxruntime"), 0.05


def say(text: str, end: str = "\n") -> None:
    """Print a text followed by `end`, without buffering."""
    with standard_output():
        click.echo(text + end, nl=False)


def drop_lost_output() -> None:
    """Redirect a standard stream that cannot be written to, so that Python's flush at exit does not fail."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def ended_by_signals(came: list[int]) -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP act like Ctrl-C, so that files are cleaned up. Their numbers go to `came`.

    An interrupt is a `KeyboardInterrupt` wherever it comes: before Python 3.12 one in the middle of a class statement,
    as in an import, becomes the cause of a RuntimeError. Only in the middle of an import of `_ABORTING` it waits for
    the end of that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    at_first = signal.getsignal(signal.SIGINT)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if _aborts():
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signum))
            again.daemon = True
            again.start()
            return
        if signum != signal.SIGINT:
            came.append(signum)
        handler = signal.getsignal(signal.SIGINT)
        if handler is interrupt:
            handler = at_first
        if not callable(handler):  # SIGINT is ignored in background jobs of a shell
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    # Under nohup SIGHUP is ignored, and in background jobs SIGINT; they stay so.
    numbers = [number for number in (signal.SIGINT, *_ENDING) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _aborts() -> bool:
    """Return whether an exception would abort the process, since a package of `_ABORTING` is being imported."""
    specs = [getattr(sys.modules.get(name), "__spec__", None) for name in _ABORTING]
    return any(getattr(spec, "_initializing", False) for spec in specs)
