"""The state of a training in a file, and a way to finish writing it before Ctrl-C takes effect."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from numpy.typing import NDArray

from tollad.io import artifact


class Checkpoint:
    """Training state in a file, which is replaced as a whole from time to time.

    Parameters
    ----------
    path : str or os.PathLike
    identity : str
        Digest of the parameters and the data, which decide the outcome. State of another identity is refused. The file
        is sealed with the identity but does not contain it, so nobody can forge a state without knowing the data.
    every : float, default 1
        Seconds after which a save is due again.
    """

    def __init__(self, path: str | os.PathLike[str], identity: str, every: float = 1.0) -> None:
        self._path = path
        self._identity = identity
        self._every = every
        self._saved_at = time.monotonic()

    def load(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return the saved (metadata, tensors), or None when there is no file yet.

        Raises
        ------
        ValueError
            If the file is no checkpoint, is damaged, or is of other data or parameters.
        """
        if not os.path.exists(self._path):
            return None
        metadata, tensors = artifact.load(self._path, "checkpoint")
        del metadata["versions"]
        if metadata.pop("seal", None) != artifact.seal(metadata, tensors, self._identity):
            raise ValueError(
                f"{os.fspath(self._path)}: this checkpoint is of other data or other parameters, or was altered; "
                "repeat the fit that began it, or give another file"
            )
        return metadata, tensors

    def save(self, metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        """Replace the file."""
        sealed = {**metadata, "seal": artifact.seal(metadata, tensors, self._identity)}
        artifact.save(self._path, "checkpoint", sealed, tensors)
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last save is more than `every` seconds old."""
        return time.monotonic() - self._saved_at > self._every


@contextmanager
def deferred_interrupts(defer: bool) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C only set a flag within the block, so that state is saved between two steps and never within one."""
    pressed = threading.Event()
    if not defer or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def note(signum: int, frame: FrameType | None) -> None:
        pressed.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
