"""How the weights of a method are learnt: phases of steps over shuffled batches, the same for all methods.

This is no `tollad.training.session.Session`, which trains a stack by one objective and one optimiser over one vector of
all weights. The methods here alternate up to three optimisers within a step. They have phases, at whose beginning and
at each epoch something is computed from all rows (a centre, a radius). They go through the rows
in epochs, each row once, where a session draws every batch anew. A session that is given all of this would keep nothing
of its own but the checkpoint, and that is shared already. The paper's method, `tollad.methods.targeted`, has a session.

What a step draws is a function of (seed, phase, step) only, so a training that was interrupted goes on as if nothing
had happened.

A row's score must not depend on the rows it comes with, yet a product in single precision rounds differently at
another place of a batch. So tables, which cost little, are scored in double precision and the score is rounded to
single; images are scored in single precision on blocks of one size, the last one filled up with zeros.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import SeedSequence
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.io.artifact import group
from tollad.methods.base import Comparator, Watched
from tollad.methods.layers import Adam, seed_dropout
from tollad.training.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Phase:
    """A part of a training.

    Attributes
    ----------
    name : str
        For messages.
    epochs : int
        Passes over the rows.
    batch_size : int
        Rows in a step; all of them where there are fewer.
    update : callable
        ``batch -> loss``: takes a step of its optimisers and returns what must stay finite.
    optimizers : mapping of str to Adam
    begin : callable
        Called before the first step.
    at_epoch : callable
        ``epoch -> None``: called before the first step of each, in evaluation mode.
    drop_after : int, optional
        The epoch after which the step sizes are a tenth.
    keep_last : bool
        Whether the rest of the rows is a smaller batch of its own; otherwise an epoch leaves it out.
    """

    name: str
    epochs: int
    batch_size: int
    update: Callable[[Tensor], Tensor]
    optimizers: Mapping[str, Adam] = field(default_factory=dict)
    begin: Callable[[], None] = lambda: None
    at_epoch: Callable[[int], None] = lambda epoch: None
    drop_after: int | None = None
    keep_last: bool = False

    def steps_of_an_epoch(self, n_rows: int) -> int:
        """Return in how many steps the rows are seen once."""
        if self.keep_last:
            return math.ceil(n_rows / self.batch_size)
        return max(1, n_rows // self.batch_size)


@dataclass(kw_only=True, eq=False)
class Neural(Comparator):
    """A method that learns weights. A subclass names its networks, its phases and its score."""

    _block: ClassVar[int] = 64  # rows that are scored at once
    _score_gradients: ClassVar[bool] = False  # whether the score itself needs gradients

    # -- what a subclass says ------------------------------------------------------------------------------------------
    @abstractmethod
    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return all that is learnt, for rows of a shape, drawn from `seed`; what is kept besides are buffers."""

    @abstractmethod
    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        """Return the training on these rows."""

    @abstractmethod
    def _anomaly(self, x: Tensor) -> Tensor:
        """Return the anomaly scores, (B,), of a block in evaluation mode."""

    def _finish(self, rows: Tensor) -> None:
        """Compute what scores need besides the weights, from all training rows, in evaluation mode."""

    # -- what all share ------------------------------------------------------------------------------------------------
    def _fit(self, rows: NDArray[np.float64], watched: Watched) -> None:
        x = torch.from_numpy(rows.astype(np.float32))
        self._start(tuple(x.shape[1:]))
        phases = self._phases(x)
        saved = None if watched.checkpoint is None else Checkpoint(watched.checkpoint, self._identity(rows))
        first, done = self._resume(saved, phases)
        for number, phase in enumerate(phases[first:], first):
            self._train(phase, number, done, x, saved, watched if number == len(phases) - 1 else Watched())
            done = 0
        self._at_rest(x)

    def _start(self, shape: tuple[int, ...]) -> None:
        self._net = self._build(shape)
        self._generator = torch.Generator()
        seed_dropout(self._net, self._generator)

    def _train(
        self,
        phase: Phase,
        number: int,
        done: int,
        x: Tensor,
        saved: Checkpoint | None,
        watched: Watched,
    ) -> None:
        per_epoch = phase.steps_of_an_epoch(len(x))
        n_steps = phase.epochs * per_epoch
        marks = {round(n_steps * (i + 1) / watched.times) for i in range(watched.times)}
        rates = {name: optimizer.learning_rate for name, optimizer in phase.optimizers.items()}
        if done == 0:
            self._seed(number, n_steps)
            self._net.eval()
            phase.begin()
        order, order_of = torch.empty(0, dtype=torch.int64), -1
        for step in range(done, n_steps):
            epoch, place = divmod(step, per_epoch)
            if epoch != order_of:
                drawn = np.random.default_rng(SeedSequence([self.seed, number, epoch])).permutation(len(x))
                order, order_of = torch.from_numpy(drawn), epoch
            if place == 0:
                self._net.eval()
                phase.at_epoch(epoch)
            falls = phase.drop_after is not None and epoch >= phase.drop_after
            for name, optimizer in phase.optimizers.items():
                optimizer.learning_rate = rates[name] / (10 if falls else 1)
            batch = x.index_select(0, order[place * phase.batch_size : (place + 1) * phase.batch_size])
            self._seed(number, step)
            self._net.train()
            loss = phase.update(batch)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(
                    f"the loss of {self.title} is no longer a finite number at step {step + 1} of {phase.name}; lower "
                    "the learning rate or scale the rows"
                )
            if step + 1 in marks and watched.call is not None:
                self._at_rest(x)
                watched.call(step + 1)
            if saved is not None and (saved.due or step + 1 == n_steps):
                saved.save(*self._progress(phase, number, step + 1))

    def _at_rest(self, rows: Tensor) -> None:
        self._net.eval()
        with torch.no_grad():
            self._finish(rows)

    def _seed(self, *numbers: int) -> None:
        """Let the generator begin anew, as these numbers say."""
        words = SeedSequence([self.seed, *numbers]).generate_state(2, np.uint32)
        self._generator.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)

    # -- interruption --------------------------------------------------------------------------------------------------
    def _identity(self, rows: NDArray[np.float64]) -> str:
        return sha256(repr((type(self).__name__, asdict(self), rows.shape)).encode() + rows.tobytes()).hexdigest()

    def _progress(self, phase: Phase, number: int, step: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        tensors = {f"net.{name}": tensor for name, tensor in self._net.state_dict().items()}
        for name, optimizer in phase.optimizers.items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in optimizer.state().items()}
        return {"phase": number, "step": step}, {name: tensor.numpy() for name, tensor in tensors.items()}

    def _resume(self, saved: Checkpoint | None, phases: Sequence[Phase]) -> tuple[int, int]:
        """Return the phase and how many of its steps are done."""
        found = None if saved is None else saved.load()
        if found is None:
            return 0, 0
        metadata, arrays = found
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self._net.load_state_dict(group(tensors, "net."))
        for name, optimizer in phases[metadata["phase"]].optimizers.items():
            optimizer.load_state(group(tensors, f"{name}."))
        return metadata["phase"], metadata["step"]

    # -- scores --------------------------------------------------------------------------------------------------------
    def _score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        learnt = self._net
        dtype = torch.float64 if rows.ndim == 2 else torch.float32
        if dtype == torch.float64:
            self._net = copy.deepcopy(learnt).double()
        self._net.eval()
        scores = []
        try:
            for start in range(0, len(rows), self._block):
                x = torch.from_numpy(rows[start : start + self._block]).to(dtype)
                filled = torch.cat([x, x.new_zeros(self._block - len(x), *x.shape[1:])])
                with torch.set_grad_enabled(self._score_gradients):
                    scores.append(self._anomaly(filled)[: len(x)].detach())
        finally:
            self._net = learnt
        return torch.cat(scores).float().double().numpy()

    # -- files ---------------------------------------------------------------------------------------------------------
    def _fitted(self) -> dict[str, NDArray[Any]]:
        return {name: tensor.numpy() for name, tensor in self._net.state_dict().items()}

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        # The shape of a scaled row may be another than that of a row.
        shape = self._scaling(np.zeros((1, *self._shape))).shape[1:]
        self._start(shape)
        self._net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in fitted.items()})
        self._net.eval()


def need_table(shape: tuple[int, ...], title: str) -> int:
    """Return the number of columns of rows of a shape; a ValueError says what the method takes."""
    if len(shape) != 1:
        raise ValueError(f"{title} takes tables of shape (n, columns), not rows of shape {shape}")
    return shape[0]


def effective_rank(z: Tensor) -> float:
    """Return e to the entropy of the singular values of rows (n, d) less their mean: 1 when they lie on a line."""
    values = torch.linalg.svdvals((z - z.mean(0)).double())
    if not values.sum() > 0:
        return 0.0
    shares = values[values > 0] / values.sum()
    return float((-(shares * shares.log()).sum()).exp())
