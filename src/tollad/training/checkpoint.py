"""The state of a training in a file, and a Ctrl-C that waits for it."""

from __future__ import annotations

import hmac
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.io import artifact


class Checkpoint:
    """Training state in a file, replaced whole every so often.

    Parameters
    ----------
    path : str or os.PathLike
    identity : str
        What decides the outcome (parameters and data), as a digest. State of another identity is refused. It is no part
        of the file, which is sealed with it: whoever changes the file, with a right digest too, would need the data.
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
        seal = metadata.pop("seal", None)
        if seal != self._seal(metadata, tensors):
            raise ValueError(
                f"{os.fspath(self._path)}: this checkpoint is of other data or other parameters, or was altered; "
                "repeat the fit that began it, or give another file"
            )
        return metadata, tensors

    def save(self, metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        """Replace the file."""
        artifact.save(self._path, "checkpoint", {**metadata, "seal": self._seal(metadata, tensors)}, tensors)
        self._saved_at = time.monotonic()

    def _seal(self, metadata: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
        seal = hmac.new(self._identity.encode(), json.dumps(metadata).encode(), "sha256")
        for name, array in sorted(tensors.items()):
            seal.update(f"{name} {array.dtype} {array.shape}".encode())
            seal.update(np.ascontiguousarray(array).data)
        return seal.hexdigest()

    @property
    def due(self) -> bool:
        """Whether the last save is so old that there should be another."""
        return time.monotonic() - self._saved_at > self._every


@contextmanager
def deferred_interrupts(defer: bool) -> Iterator[Callable[[], bool]]:
    """Within the block a Ctrl-C only sets a flag, so that state is saved between two steps and never within one."""
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
