"""One training of a stack, from the first step to the best weights: measured, checkpointed, resumable, observed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.io.artifact import under_prefix
from tollad.method.objective import Objective
from tollad.training.adam import StackAdam
from tollad.training.checkpoint import Checkpoint
from tollad.training.drive import drive
from tollad.training.loop import Precision, train
from tollad.training.stack import Stack

Schedule: TypeAlias = Literal["constant", "cosine"]

# Steps over which the cosine schedule warms up.
_WARM_UP = 20


@dataclass
class History:
    """The measurements of a training.

    Attributes
    ----------
    initial_loss : list of M floats
        Loss of each member on its first batch, before any update.
    step : list of int
        When it was measured.
    loss : list of lists of M floats
        Mean training loss of each member since the measurement before.
    held_out : list of lists of M floats
        Measure of each member on rows that are not trained on; for a detector, their mean score. Empty without a
        measure.

    Examples
    --------
    >>> import numpy as np
    >>> from tollad import TollDetector
    >>> history = TollDetector(steps=5, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 3))).history_
    >>> history.step[-1], len(history.loss[-1])
    (5, 2)
    """

    initial_loss: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    held_out: list[list[float]] = field(default_factory=list)


class Session:
    """One training of a stack: its parts, its progress and its measurements.

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
        "higher" is for measures in [0, 1]: only values above 0 are better than the initial weights.
    patience : int, optional
        A member gives up after so many measurements without a new best; the training ends when all have.
    keep_failures : bool, default False
        If true, a member whose loss or measure is no longer finite is noted in `failed_at`, and the others go on. If
        false, that is an error.
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
        Values of the caller, kept in the checkpoint.
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
        self._optimizer = StackAdam(stack, learning_rate)
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
            By `time.monotonic`. The training stops at the first measurement after it.

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
        try:
            return drive(self, checkpoint, observe=observe, deadline=deadline)
        finally:
            self.stack.eval()

    @property
    def finished(self) -> bool:
        """Whether no step is left, or all members gave up or failed."""
        return self.stopped or self.step == self.steps

    def losses(self) -> Iterator[Tensor]:
        """Take the steps that are left; yield the losses, (M,), of each."""
        begin, end = self._first_step + self.step, self._first_step + (self.step if self.stopped else self.steps)
        for _, loss in self._train(start=begin, stop=end):
            yield loss

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
        """The step of each member's best moment, 0 for the initial weights, and its measure there."""
        return [
            (int(step), value) for step, value in zip(*map(_floats, (self._best_step, self._best_value)), strict=True)
        ]

    @property
    def failed_at(self) -> list[int]:
        """The first step at which a member had no finite number, 0 for none."""
        return [0] * len(self.stack) if self._failed_at is None else [int(step) for step in self._failed_at.tolist()]

    def note(self, loss: Tensor) -> bool:
        """Count a step with its losses, (M,), and measure if it is time to. Return whether it was."""
        self._add(loss)
        measured = self.step % self._every == 0 or self.step == self.steps
        if measured:
            self._note_measurement()
        return measured

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
        # A member that gave up takes no new best while others go on: alone, it would have stopped.
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
        # Not as JSON: a member that failed may have a loss of NaN, which JSON lacks.
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
        history: dict[str, Any] = {name: tensor.tolist() for name, tensor in under_prefix(tensors, "history.").items()}
        self.history = History(**history | {"step": [int(step) for step in history["step"]]})
        self.stack.load_state(under_prefix(tensors, "stack."))
        _copy(under_prefix(tensors, "best."), self._best or {})
        self._optimizer.load_state(under_prefix(tensors, "adam."))
        _copy(under_prefix(tensors, "run."), self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            "total": self._total,
            "first_loss": self._first_loss,
            "best_value": self._best_value,
            "best_step": self._best_step,
            "since_best": self._since_best,
        }
        return tensors if self._failed_at is None else {**tensors, "failed_at": self._failed_at}


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
