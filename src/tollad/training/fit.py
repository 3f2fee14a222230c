"""The training of a detector: one session to the end, early stopping, progress and warnings included."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.method.objective import Objective
from tollad.training.checkpoint import Checkpoint
from tollad.training.drive import resume
from tollad.training.loop import Precision
from tollad.training.outcome import warn_if_not_improved
from tollad.training.progress import progress_of
from tollad.training.scoring import Prepare, Sliced, mean_latent, score
from tollad.training.session import History, Schedule, Session
from tollad.training.stack import Stack

# A fit is measured about this many times.
_MEASUREMENTS = 100
# Early stopping waits a tenth of the steps for a new best, but at least this many measurements.
_LEAST_PATIENCE = 10


class HeldOut(NamedTuple):
    """Normal rows that are not trained on.

    Attributes
    ----------
    rows, prepare
        As in `tollad.training.scoring.run`.
    """

    rows: Sliced
    prepare: Prepare

    @classmethod
    def of(cls, prepared: NDArray[Any]) -> Self:
        """Return rows that are prepared already, (M, n, *shape), or (1, n, *shape) if all members take the same."""
        return cls(np.arange(prepared.shape[1]), lambda numbers: prepared[:, numbers])


def fit(
    stack: Stack,
    objective: Objective,
    batches: Callable[[int], tuple[Tensor, Tensor]],
    *,
    steps: int,
    learning_rate: float,
    schedule: Schedule = "constant",
    first_step: int = 0,
    precision: Precision = "float32",
    held_out: HeldOut | None = None,
    checkpoint: Checkpoint | None = None,
    verbose: int = 0,
) -> History:
    """Train a stack to the end, as a detector does, and leave it in evaluation mode.

    Parameters
    ----------
    stack, objective, batches, steps, learning_rate, schedule, first_step, precision
        As in `Session`.
    held_out : HeldOut, optional
        When given, each member ends with the weights of its lowest mean score on these rows, and training stops early
        when no member has improved for a tenth of the steps.
    checkpoint : Checkpoint, optional
        Where to go on from, and to save to when a save is due and on Ctrl-C.
    verbose : int, default 0
        1 shows progress on standard error: a bar on a terminal, plain lines elsewhere.

    Raises
    ------
    FloatingPointError
        When a loss is no longer a finite number.

    Warns
    -----
    UserWarning
        When the loss of a member did not fall below its initial value.
    """
    every = max(1, steps // _MEASUREMENTS)
    patience = max(_LEAST_PATIENCE, math.ceil(steps / (10 * every)))
    session = Session(
        stack,
        objective,
        batches,
        steps=steps,
        every=every,
        learning_rate=learning_rate,
        schedule=schedule,
        first_step=first_step,
        precision=precision,
        measure=None if held_out is None else partial(_mean_score, stack, objective, held_out),
        patience=patience,
    )
    resume(session, checkpoint)
    with progress_of(session, verbose) as observe:
        session.run(checkpoint, observe=observe)
    session.load_best()
    # A stack that was trained before starts near its lowest loss, so it need not improve.
    if first_step == 0:
        warn_if_not_improved(session.history)
    return session.history


def _mean_score(stack: Stack, objective: Objective, held_out: HeldOut) -> Tensor:
    """Return the mean score of each member over the rows held out: (M,)."""
    center = mean_latent(stack, *held_out) if objective.target == "batch_mean" else None
    return torch.from_numpy(score(stack, objective, *held_out, center).mean(0)).to(stack.device, stack.dtype)
