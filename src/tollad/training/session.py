"""What a fit needs around the training loop: progress, early stopping, checkpoints, warnings."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.io import artifact
from tollad.method.objective import Objective
from tollad.training.loop import Adam, Precision, train
from tollad.training.scoring import mean_latent, score
from tollad.training.stack import Stack
from tollad.warn import tell, warn

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
        Mean score of the held-out normal rows; empty without early stopping.
    """

    initial_loss: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    held_out: list[list[float]] = field(default_factory=list)


class HeldOut(Protocol):
    """Rows already prepared, (M or 1, n, *shape): an array, or what prepares some when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, chosen: tuple[slice, NDArray[np.int64]], /) -> NDArray[Any]: ...


class Checkpoint:
    """Training state in a file, replaced whole about every second.

    Parameters
    ----------
    path : str or os.PathLike
    identity : str
        What decides the outcome (parameters and data), as a digest. State of another identity is refused.
    """

    def __init__(self, path: str | os.PathLike[str], identity: str) -> None:
        self._path = path
        self._identity = identity
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
        if metadata["identity"] != self._identity:
            raise ValueError(
                f"{os.fspath(self._path)}: this checkpoint is of other data or other parameters; "
                "repeat the fit that began it, or give another file"
            )
        return metadata, tensors

    def save(self, metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        """Replace the file."""
        artifact.save(self._path, "checkpoint", {**metadata, "identity": self._identity}, tensors)
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last save is a second old."""
        return time.monotonic() - self._saved_at > 1


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
    """Train a stack to the end and leave it in evaluation mode.

    Parameters
    ----------
    stack, objective, batches, precision
        As in `train`.
    steps : int
        How many steps to train.
    learning_rate : float
        The highest step size of Adam.
    schedule : {"constant", "cosine"}, default "constant"
        "constant" is the paper's; "cosine" warms up over 20 steps and then falls to 0 along a cosine.
    first_step : int, default 0
        Number of the first batch: training that goes on with new rows does not draw the old numbers again.
    held_out : ndarray, (M, n, *shape) or (1, n, *shape), optional
        Normal rows that are not trained on. When given, each member ends with the weights of its lowest mean score on
        them, and training stops early when no member has improved for a tenth of the steps.
    checkpoint : Checkpoint, optional
        Where to go on from, and to save to about every second and on Ctrl-C.
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
    run = _Run(stack, Adam(stack, learning_rate), patience, keep_best=held_out is not None)
    saved = checkpoint.load() if checkpoint else None
    if saved:
        run.restore(*saved)
    show = _progress(steps, verbose)
    remaining = range(first_step + run.step, first_step + (run.step if run.stopped else steps))
    try:
        with _deferred_interrupts(checkpoint is not None) as interrupted:
            for _, loss in train(
                stack,
                objective,
                batches,
                run.optimizer,
                start=remaining.start,
                stop=remaining.stop,
                learning_rate=None if schedule == "constant" else _cosine(learning_rate, first_step, steps),
                precision=precision,
            ):
                run.add(loss)
                if run.step % every == 0 or run.step == steps:
                    run.measure(None if held_out is None else _mean_score(stack, objective, held_out))
                    show(run)
                finished = run.stopped or run.step == steps
                if checkpoint and (finished or checkpoint.due or interrupted()):
                    checkpoint.save(*run.state())
                if interrupted():
                    raise KeyboardInterrupt
                if finished:
                    break
    finally:
        stack.eval()
    if run.best is not None:
        stack.load_state(run.best)
    # A single batch may be unlucky: the last tenth of the training counts.
    last, first = np.mean(run.history.loss[-patience:], axis=0), np.array(run.history.initial_loss)
    # What was trained before begins where improvement ends.
    if first_step == 0 and (last >= first).any():
        warn(
            "training did not improve on the initial loss; try a lower learning_rate, more steps, or preprocess='auto'"
        )
    return run.history


def _cosine(highest: float, first_step: int, steps: int) -> Callable[[int], float]:
    def rate(step: int) -> float:
        done = step - first_step
        return highest * min(1.0, (done + 1) / _WARM_UP) * (1 + math.cos(math.pi * done / steps)) / 2

    return rate


class _Run:
    """The state of a fit: everything that a checkpoint must hold to go on as if nothing had happened."""

    def __init__(self, stack: Stack, optimizer: Adam, patience: int, *, keep_best: bool) -> None:
        self.stack = stack
        self.optimizer = optimizer
        self._patience = patience  # in measurements
        self.step = 0
        self.stopped = False  # whether no member has improved for so long that training should end
        self.history = History()
        self._total = torch.zeros(len(stack), dtype=stack.dtype, device=stack.device)
        self.best = {name: tensor.clone() for name, tensor in stack.state().items()} if keep_best else None
        self._best_score = torch.full_like(self._total, torch.inf)
        self._since_best = torch.zeros_like(self._total)

    def add(self, loss: Tensor) -> None:
        self.step += 1
        self._total += loss
        if self.step == 1:
            self.history.initial_loss = self._finite(loss)

    def measure(self, held_out: Tensor | None) -> None:
        """Close an interval of steps: note its mean loss and, with the held-out score, who is at his best."""
        history = self.history
        loss = self._finite(self._total / (self.step - (history.step[-1] if history.step else 0)))
        history.step.append(self.step)
        history.loss.append(loss)
        self._total.zero_()
        if held_out is None or self.best is None:
            return
        history.held_out.append(self._finite(held_out))
        # A member that gave up stays as it is while others go on, as it would alone.
        better = (held_out < self._best_score) & (self._since_best < self._patience)
        self._best_score = torch.where(better, held_out, self._best_score)
        self._since_best = torch.where(better, 0, self._since_best + 1)
        for name, tensor in self.stack.state().items():
            self.best[name][better] = tensor[better]
        self.stopped = bool((self._since_best >= self._patience).all())

    def _finite(self, loss: Tensor) -> list[float]:
        values: list[float] = loss.tolist()
        if not np.isfinite(values).all():
            raise FloatingPointError(
                f"the loss is no longer a finite number at step {self.step}; lower learning_rate or beta, or look for "
                "values of extreme size in the training rows"
            )
        return values

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        groups = {"stack": self.stack.state(), "best": self.best or {}}
        tensors = {f"{group}.{name}": t for group, named in groups.items() for name, t in named.items()}
        tensors |= {f"adam.{name}": t for name, t in self.optimizer.state().items()}
        tensors |= {"total": self._total, "best_score": self._best_score, "since_best": self._since_best}
        return {"step": self.step, "stopped": self.stopped, "history": asdict(self.history)}, {
            name: t.detach().cpu().numpy() for name, t in tensors.items()
        }

    def restore(self, metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.step = metadata["step"]
        self.stopped = metadata["stopped"]
        self.history = History(**metadata["history"])
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.stack.load_state(_group(tensors, "stack."))
        self.best = {name: t.to(self.stack.device) for name, t in _group(tensors, "best.").items()} or None
        self.optimizer.load_state(_group(tensors, "adam."))
        self._total, self._best_score, self._since_best = (
            tensors[name].to(self.stack.device) for name in ("total", "best_score", "since_best")
        )


def _group(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _mean_score(stack: Stack, objective: Objective, rows: HeldOut) -> Tensor:
    """Return the mean score of each member over rows already prepared, (M or 1, n, *shape): (M,)."""
    stack.eval()
    numbers = np.arange(rows.shape[1])

    def prepare(chosen: NDArray[Any]) -> NDArray[Any]:
        return rows[slice(None), chosen]

    center = mean_latent(stack, numbers, prepare) if objective.target == "batch_mean" else None
    return torch.from_numpy(score(stack, objective, numbers, prepare, center).mean(0)).to(stack.device, stack.dtype)


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


@contextmanager
def _deferred_interrupts(defer: bool) -> Iterator[Callable[[], bool]]:
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


def _progress(steps: int, verbose: int) -> Callable[[_Run], None]:
    """Return what shows how far a fit is: a bar on a terminal, otherwise a line for each tenth."""
    terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(run: _Run) -> None:
        step, history = run.step, run.history
        finished = run.stopped or step == steps
        text = f"step {step}/{steps}  loss {np.mean(history.loss[-1]):.4g}"
        if history.held_out:
            text += f"  held out {np.mean(history.held_out[-1]):.4g}"
        if terminal:
            bar = "█" * (20 * step // steps)
            tell(f"\r{bar:░<20} {text} ", end="\n" if finished else "")
            return
        before = history.step[-2] if len(history.step) > 1 else 0
        if finished or 10 * step // steps > 10 * before // steps:
            tell(text)

    return show if verbose else lambda run: None
