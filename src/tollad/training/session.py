"""One training of a stack, from the first step to the best weights: measured, checkpointed, resumable, observed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.io.artifact import group
from tollad.method.objective import Objective
from tollad.training.checkpoint import Checkpoint, deferred_interrupts
from tollad.training.loop import Adam, Precision, train
from tollad.training.progress import progress_of
from tollad.training.scoring import Prepare, Sliced, mean_latent, score
from tollad.training.stack import Stack
from tollad.warn import warn

Schedule: TypeAlias = Literal["constant", "cosine"]

# A fit is measured about this many times.
_MEASUREMENTS = 100
# Early stopping gives up after a tenth of the steps without a new best, and at least so many measurements.
_LEAST_PATIENCE = 10
# Steps over which a falling learning rate first rises.
_WARM_UP = 20


@dataclass
class History:
    """What a fit measured on its way.

    Attributes
    ----------
    initial_loss : list of M floats
        Loss of each member on its first batch, before any update.
    step : list of int
        When it was measured.
    loss : list of lists of M floats
        Mean training loss of each member since the measurement before.
    held_out : list of lists of M floats
        What was measured of rows that are not trained on: for a detector their mean score. Empty when nothing is.
    """

    initial_loss: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    held_out: list[list[float]] = field(default_factory=list)


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


class Session:
    """One training of a stack: what it is made of, how far it is, and what was measured on the way.

    `run` trains to the end, or goes on from a checkpoint. Between two measurements nothing waits for the device.

    Parameters
    ----------
    stack, objective, batches, precision
        As in `tollad.training.loop.train`; the stack is trained in place.
    steps : int
        How many steps to train.
    every : int
        Steps from one measurement to the next; there is one after the last step, too.
    learning_rate : float
        The highest step size of Adam.
    schedule : {"constant", "cosine"}, default "constant"
        "constant" is the paper's; "cosine" warms up over 20 steps and then falls to 0 along a cosine.
    first_step : int, default 0
        Number of the first batch: continued training with new rows must not draw the same random numbers again.
    measure : callable, optional
        Called in evaluation mode when a measurement is due; returns a number for each member, (M,), on any device. The
        weights of each member's best moment are kept, the earliest if several are equal.
    better : {"lower", "higher"}, default "lower"
        "higher" is for measures in [0, 1]: only what lies above 0 is better than the initial weights.
    patience : int, optional
        A member gives up after so many measurements without a new best; the training ends when all have.
    keep_failures : bool, default False
        Whether a member whose loss or measure is no longer finite only gets a place in `failed_at` while the others go
        on. Otherwise that is an error.
    loss_type : torch.dtype, optional
        Type in which losses are averaged, each divided by the interval first. By default they are summed in the type of
        the stack, and the sum is divided.

    Attributes
    ----------
    step : int
        Steps done.
    history : History
    stopped : bool
        Whether the training ended before its last step: all members gave up, or all failed.
    notes : dict of JSON values
        The caller's own, kept in the checkpoint.
    """

    def __init__(
        self,
        stack: Stack,
        objective: Objective,
        batches: Callable[[int], tuple[Tensor, Tensor]],
        *,
        steps: int,
        every: int,
        learning_rate: float,
        schedule: Schedule = "constant",
        first_step: int = 0,
        precision: Precision = "float32",
        measure: Callable[[], Tensor] | None = None,
        better: Literal["lower", "higher"] = "lower",
        patience: int | None = None,
        keep_failures: bool = False,
        loss_type: torch.dtype | None = None,
    ) -> None:
        self.stack = stack
        self.steps = steps
        self.step = 0
        self.stopped = False
        self.history = History()
        self.notes: dict[str, Any] = {}
        self._every = every
        self._measure, self._sign = measure, 1.0 if better == "lower" else -1.0
        self._patience = math.inf if patience is None else patience
        self._optimizer = Adam(stack, learning_rate)
        self._first_step = first_step
        self._train = partial(
            train,
            stack,
            objective,
            batches,
            self._optimizer,
            learning_rate=None if schedule == "constant" else _cosine(learning_rate, first_step, steps),
            precision=precision,
        )
        self._shares = 1 if loss_type is None else every
        self._total = torch.zeros(len(stack), dtype=loss_type or stack.dtype, device=stack.device)
        self._first_loss = torch.zeros(len(stack), dtype=stack.dtype, device=stack.device)
        self._best = None if measure is None else {name: tensor.clone() for name, tensor in stack.state().items()}
        self._best_value = torch.full_like(self._total, math.inf if better == "lower" else 0.0)
        self._best_step = torch.zeros_like(self._total)
        self._since_best = torch.zeros_like(self._total)
        # The first step without a finite number, 0 for none.
        self._failed_at = torch.zeros_like(self._total) if keep_failures else None

    def run(
        self,
        checkpoint: Checkpoint | None = None,
        *,
        observe: Callable[[Session], None] = lambda session: None,
        deadline: float = math.inf,
    ) -> bool:
        """Train to the end and leave the stack in evaluation mode, with the last weights.

        Parameters
        ----------
        checkpoint : Checkpoint, optional
            Where to save to when a save is due, on Ctrl-C, at the deadline and at the end.
        observe : callable
            Called after each measurement, and the save that goes with it.
        deadline : float, default infinity
            By `time.monotonic`: the training leaves at the next measurement.

        Returns
        -------
        bool
            Whether it is finished; False when the deadline came first.

        Raises
        ------
        FloatingPointError
            When a loss or a measure is no longer a finite number, unless failures are kept.
        KeyboardInterrupt
            On Ctrl-C, with a checkpoint after the state was saved.
        """
        begin, end = self._first_step + self.step, self._first_step + (self.step if self.stopped else self.steps)
        try:
            with deferred_interrupts(checkpoint is not None) as interrupted:
                for _, loss in self._train(start=begin, stop=end):
                    self._add(loss)
                    measured = self.step % self._every == 0 or self.step == self.steps
                    if measured:
                        self._note_measurement()
                    finished = self.stopped or self.step == self.steps
                    late = measured and time.monotonic() > deadline
                    if checkpoint is not None and (checkpoint.due or finished or late or interrupted()):
                        checkpoint.save(*self.state())
                    if interrupted():
                        raise KeyboardInterrupt
                    if measured:
                        observe(self)
                    if finished:
                        break
                    if late:
                        return False
        finally:
            self.stack.eval()
        return True

    def trial(self) -> Iterator[None]:
        """Train step after step without end and yield after each. It serves to measure time: no step is counted."""
        for _ in self._train(start=0, stop=sys.maxsize):
            yield

    def load_best(self) -> None:
        """Give each member the weights of its best moment."""
        if self._best is not None:
            self.stack.load_state(self._best)

    @property
    def best(self) -> list[tuple[int, float]]:
        """The step of each member's best moment, 0 for the initial weights, and what was measured there."""
        return [
            (int(step), value) for step, value in zip(*map(_floats, (self._best_step, self._best_value)), strict=True)
        ]

    @property
    def failed_at(self) -> list[int]:
        """The first step at which a member had no finite number, 0 for none."""
        return [0] * len(self.stack) if self._failed_at is None else [int(step) for step in self._failed_at.tolist()]

    def _add(self, loss: Tensor) -> None:
        self.step += 1
        self._total += loss / self._shares
        if self.step == 1:
            self._first_loss.copy_(loss)
        self._note_failures(loss)

    def _note_measurement(self) -> None:
        """End an interval of steps: record its mean loss and, with a measure, which members are at their best."""
        history = self.history
        if not history.step:
            history.initial_loss = self._finite(self._first_loss, 1)
        n_steps = self.step - (history.step[-1] if history.step else 0)
        loss = self._finite(self._total / (n_steps / self._shares), self.step)
        history.step.append(self.step)
        history.loss.append(loss)
        self._total.zero_()
        if self._measure is not None:
            self.stack.eval()
            self._note_value(self._measure().to(self._total))
        if self._failed_at is not None:
            self.stopped |= bool((self._failed_at > 0).all())

    def _note_value(self, value: Tensor) -> None:
        self._note_failures(value)
        self.history.held_out.append(self._finite(value, self.step))
        # A member that gave up stays as it is while others go on, as it would alone.
        better = (self._sign * value < self._sign * self._best_value) & (self._since_best < self._patience)
        self._best_value = torch.where(better, value, self._best_value)
        self._best_step = torch.where(better, self.step, self._best_step)
        self._since_best = torch.where(better, 0, self._since_best + 1)
        assert self._best is not None
        for name, tensor in self.stack.state().items():
            torch.where(better.view(-1, *[1] * (tensor.ndim - 1)), tensor, self._best[name], out=self._best[name])
        self.stopped = bool((self._since_best >= self._patience).all())

    def _note_failures(self, values: Tensor) -> None:
        if self._failed_at is not None:
            failing = (self._failed_at == 0) & ~values.isfinite()
            self._failed_at = torch.where(failing, self.step, self._failed_at)

    def _finite(self, values: Tensor, step: int) -> list[float]:
        listed = _floats(values)
        if self._failed_at is None and not np.isfinite(listed).all():
            raise FloatingPointError(
                f"the loss is no longer a finite number at step {step}; lower learning_rate or beta, or look for "
                "values of extreme size in the training rows"
            )
        return listed

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return everything that a checkpoint must hold to go on as if nothing had happened: (metadata, tensors)."""
        tensors = {f"stack.{name}": tensor for name, tensor in self.stack.state().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in (self._best or {}).items()}
        tensors |= {f"adam.{name}": tensor for name, tensor in self._optimizer.state().items()}
        tensors |= {f"run.{name}": tensor for name, tensor in self._tensors().items()}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        # Not as JSON, which knows no NaN: a member that failed may have such losses.
        arrays |= {f"history.{name}": np.array(values, np.float64) for name, values in asdict(self.history).items()}
        return {"step": self.step, "stopped": self.stopped, "notes": self.notes}, arrays

    def restore(self, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `state` returned.

        Raises
        ------
        ValueError, KeyError
            If it is of another session.
        """
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.step, self.stopped, self.notes = metadata["step"], metadata["stopped"], metadata["notes"]
        history: dict[str, Any] = {name: tensor.tolist() for name, tensor in group(tensors, "history.").items()}
        self.history = History(**history | {"step": [int(step) for step in history["step"]]})
        self.stack.load_state(group(tensors, "stack."))
        _copy(group(tensors, "best."), self._best or {})
        self._optimizer.load_state(group(tensors, "adam."))
        _copy(group(tensors, "run."), self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            "total": self._total,
            "first_loss": self._first_loss,
            "best_value": self._best_value,
            "best_step": self._best_step,
            "since_best": self._since_best,
        }
        return tensors if self._failed_at is None else {**tensors, "failed_at": self._failed_at}


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
    if checkpoint is not None and (saved := checkpoint.load()):
        session.restore(*saved)
    with progress_of(session, verbose) as observe:
        session.run(checkpoint, observe=observe)
    session.load_best()
    # What was trained before begins where improvement ends.
    if first_step == 0:
        warn_if_not_improved(session.history)
    return session.history


def _cosine(highest: float, first_step: int, steps: int) -> Callable[[int], float]:
    def rate(step: int) -> float:
        done = step - first_step
        return highest * min(1.0, (done + 1) / _WARM_UP) * (1 + math.cos(math.pi * done / steps)) / 2

    return rate


def _floats(values: Tensor) -> list[float]:
    listed: list[float] = values.tolist()
    return listed


def _copy(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    if {name: tensor.shape for name, tensor in given.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise ValueError("it is of another stack")
    for name, tensor in own.items():
        tensor.copy_(given[name])


def _mean_score(stack: Stack, objective: Objective, held_out: HeldOut) -> Tensor:
    """Return the mean score of each member over the rows held out: (M,)."""
    center = mean_latent(stack, *held_out) if objective.target == "batch_mean" else None
    return torch.from_numpy(score(stack, objective, *held_out, center).mean(0)).to(stack.device, stack.dtype)


def warn_if_not_improved(history: History) -> None:
    """Warn when the loss of a member did not fall below that of its first batch.

    Warns
    -----
    UserWarning
    """
    # A single batch may be unlucky: the last tenth of the training counts.
    n_last = max(_LEAST_PATIENCE, math.ceil(len(history.loss) / 10))
    last, first = np.mean(history.loss[-n_last:], axis=0), np.array(history.initial_loss)
    if (last >= first).any():
        warn(
            "training did not improve on the initial loss; try a lower learning_rate, more steps, or preprocess='auto'"
        )


def warn_if_collapsed(x: Tensor, x_hat: Tensor) -> None:
    """Warn when the reconstructions of different rows are all alike: their latents have become one point.

    The size of the latents themselves says nothing, since the decoder can scale up whatever the encoder scales down.

    Parameters
    ----------
    x, x_hat : Tensor, (M, n, *shape)
        Rows and reconstructions in evaluation mode.

    Warns
    -----
    UserWarning
        When reconstructions have less than a thousandth of the rows' own variance.
    """
    if x.shape[1] < 2:
        return
    ratio = x_hat.var(1).flatten(1).sum(1) / x.var(1).flatten(1).sum(1)
    collapsed = int((ratio < 1e-3).sum())
    if collapsed:
        members = "the latent" if len(x) == 1 else f"the latents of {collapsed} of {len(x)} members"
        warn(
            f"{members} collapsed to a point: reconstructions hardly differ between rows, so the score is little more "
            "than a distance to their mean; lower beta or raise steps"
        )
