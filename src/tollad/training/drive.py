"""The loop around the steps of any training: measurements, checkpoints, Ctrl-C and a deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from tollad.training.checkpoint import Checkpoint, deferred_interrupts


class Training(Protocol):
    """A training that `drive` runs, such as a `tollad.training.session.Session`."""

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        ...

    def losses(self) -> Iterator[Tensor]:
        """Take the steps that are left, one at a time, and yield the loss after each."""
        ...

    def note(self, loss: Tensor) -> bool:
        """Count a step, and measure if it is time to. Return whether it was."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all that is needed to resume: (metadata, tensors)."""
        ...

    def restore(self, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], /) -> None:
        """Resume from what `state` returned."""
        ...


T = TypeVar("T", bound=Training)


def resume(training: Training, checkpoint: Checkpoint | None) -> bool:
    """Restore the state in a checkpoint, if there is one. Return whether there was.

    Raises
    ------
    ValueError
        If the checkpoint is damaged, or of another training.
    """
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        training.restore(*saved)
    return saved is not None


def drive(
    training: T,
    checkpoint: Checkpoint | None = None,
    *,
    observe: Callable[[T], None] = lambda training: None,
    deadline: float = math.inf,
) -> bool:
    """Train to the end.

    Parameters
    ----------
    training : Training
    checkpoint : Checkpoint, optional
        Where to save when a save is due, on Ctrl-C, at the deadline and at the end.
    observe : callable
        Called after each measurement, and after the save that goes with it.
    deadline : float, default infinity
        By `time.monotonic`. The training stops at the first measurement after it.

    Returns
    -------
    bool
        Whether the training is finished; False if it stopped at the deadline.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C; with a checkpoint, after the state was saved.
    """
    with deferred_interrupts(checkpoint is not None) as interrupted:
        for loss in training.losses():
            measured = training.note(loss)
            late = measured and time.monotonic() > deadline
            if checkpoint is not None and (checkpoint.due or training.finished or late or interrupted()):
                checkpoint.save(*training.state())
            if interrupted():
                raise KeyboardInterrupt
            if measured:
                observe(training)
            if training.finished:
                break
            if late:
                return False
    return True
