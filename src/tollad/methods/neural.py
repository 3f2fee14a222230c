"""The training of all methods with weights: phases of steps over shuffled batches.

Measurements, checkpoints and Ctrl-C are handled as in every training, see `tollad.training.drive`. The steps differ
from those of a `tollad.training.session.Session`, which trains a stack by one objective and one optimiser and draws
every batch anew. Methods here alternate up to three optimisers within a step, compute values from all rows (a centre, a
radius) before a phase or an epoch, and go through the rows in epochs.

The random numbers of a step depend on (seed, phase, step) only, so an interrupted training resumes to the same bits.

A row's score must not depend on the rows it comes with, yet a product in single precision rounds differently at
another place of a batch. So tables, which cost little, are scored in double precision and the score is rounded to
single; images are scored in single precision on blocks of one size, the last one padded with zeros.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import SeedSequence
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.io.artifact import under_prefix
from tollad.methods.base import Comparator, Watched
from tollad.methods.layers import need_two_rows, seed_dropout
from tollad.training.adam import Adam
from tollad.training.checkpoint import Checkpoint
from tollad.training.drive import drive, resume


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
        Rows in a step; all rows if there are fewer.
    update : callable
        ``batch -> loss``: takes a step of the optimisers and returns a loss, which must stay finite.
    optimizers : mapping of str to Adam
    begin : callable
        Called before the first step.
    at_epoch : callable
        ``epoch -> None``: called before the first step of each, in evaluation mode.
    drop_after : int, optional
        The epoch after which the step sizes are a tenth.
    keep_last : bool
        Whether the last rows of an epoch are a smaller batch; if not, they are left out.
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
        """Return the number of steps in an epoch."""
        if self.keep_last:
            return math.ceil(n_rows / self.batch_size)
        return max(1, n_rows // self.batch_size)


@dataclass(kw_only=True, eq=False)
class Neural(Comparator):
    """A method that learns weights. A subclass names its networks, its phases and its score."""

    _block: ClassVar[int] = 64  # rows that are scored at once
    _score_gradients: ClassVar[bool] = False  # whether the score itself needs gradients

    # -- what a subclass defines ---------------------------------------------------------------------------------------
    @abstractmethod
    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the network for rows of a shape, drawn from `seed`. Kept values that are not learnt are buffers."""

    @abstractmethod
    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        """Return the training on these rows."""

    @abstractmethod
    def _anomaly(self, x: Tensor) -> Tensor:
        """Return the anomaly scores, (B,), of a block in evaluation mode."""

    def _finish(self, rows: Tensor) -> None:
        """Compute values that scores need besides the weights, from all training rows, in evaluation mode."""

    # -- what all share ------------------------------------------------------------------------------------------------
    def _fit(self, rows: NDArray[np.float64], watched: Watched) -> None:
        with np.errstate(over="ignore"):  # the loss is infinite then, and says so
            x = torch.from_numpy(rows.astype(np.float32))
        self._start(tuple(x.shape[1:]))
        training = _Phases(self, x, watched)
        checkpoint = None if watched.checkpoint is None else Checkpoint(watched.checkpoint, self._identity(rows))
        resume(training, checkpoint)
        drive(training, checkpoint)
        self._at_rest(x)

    def _start(self, shape: tuple[int, ...]) -> None:
        self._net = self._build(shape)
        self._generator = torch.Generator()
        seed_dropout(self._net, self._generator)

    def _at_rest(self, rows: Tensor) -> None:
        self._net.eval()
        with torch.no_grad():
            self._finish(rows)

    def _seed(self, *numbers: int) -> None:
        """Restart the generator from these numbers."""
        words = SeedSequence([self.seed, *numbers]).generate_state(2, np.uint32)
        self._generator.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)

    def _identity(self, rows: NDArray[np.float64]) -> str:
        return sha256(repr((type(self).__name__, asdict(self), rows.shape)).encode() + rows.tobytes()).hexdigest()

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
                block = np.array(
                    rows[start : start + self._block]
                )  # a copy, since torch warns of rows that are read-only
                x = torch.from_numpy(block).to(dtype)
                filled = torch.cat([x, x.new_zeros(self._block - len(x), *x.shape[1:])])
                with torch.set_grad_enabled(self._score_gradients):
                    scores.append(self._anomaly(filled)[: len(x)].detach())
        finally:
            self._net = learnt
        return torch.cat(scores).float().double().numpy()

    def _at_rows(self, rows: NDArray[np.float64], function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a function of scaled rows in evaluation mode, computed in blocks and without gradients."""
        self._net.eval()
        with torch.no_grad():
            return torch.cat([function(block) for block in torch.from_numpy(rows.astype(np.float32)).split(1000)])

    # -- files ---------------------------------------------------------------------------------------------------------
    def _fitted(self) -> dict[str, NDArray[Any]]:
        return {name: tensor.numpy() for name, tensor in self._net.state_dict().items()}

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        # A scaled row may have another shape than the row.
        shape = self._scaling(np.zeros((1, *self._shape))).shape[1:]
        self._start(shape)
        self._net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in fitted.items()})
        self._net.eval()


class _Phases:
    """The phases of one fit, step by step: a `tollad.training.drive.Training`."""

    def __init__(self, method: Neural, rows: Tensor, watched: Watched) -> None:
        self._method, self._rows, self._call = method, rows, watched.call
        self._phases = method._phases(rows)
        self._number, self._step = 0, 0  # the phase, and its steps done
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in method._net.modules()):
            for phase in self._phases:
                need_two_rows(min(phase.batch_size, len(rows)), method.title)
        n_steps = self._n_steps(self._phases[-1])
        self._marks = {round(n_steps * (i + 1) / watched.times) for i in range(watched.times)}

    @property
    def finished(self) -> bool:
        return self._is_last and self._step == self._n_steps(self._phases[-1])

    def losses(self) -> Iterator[Tensor]:
        while True:
            yield from self._losses_of_phase(self._phases[self._number])
            if self._is_last:
                return
            self._number, self._step = self._number + 1, 0

    def note(self, loss: Tensor) -> bool:
        self._step += 1
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss of {self._method.title} is no longer a finite number at step {self._step} of "
                f"{self._phases[self._number].name}; lower the learning rate or scale the rows"
            )
        if self._call is None or not self._is_last or self._step not in self._marks:
            return False
        self._method._at_rest(self._rows)
        self._call(self._step)
        return True

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        tensors = {f"net.{name}": tensor for name, tensor in self._method._net.state_dict().items()}
        for name, optimizer in self._phases[self._number].optimizers.items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in optimizer.state().items()}
        return {"phase": self._number, "step": self._step}, {name: part.numpy() for name, part in tensors.items()}

    def restore(self, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self._number, self._step = metadata["phase"], metadata["step"]
        self._method._net.load_state_dict(under_prefix(tensors, "net."))
        for name, optimizer in self._phases[self._number].optimizers.items():
            optimizer.load_state(under_prefix(tensors, f"{name}."))

    @property
    def _is_last(self) -> bool:
        return self._number == len(self._phases) - 1

    def _n_steps(self, phase: Phase) -> int:
        return phase.epochs * phase.steps_of_an_epoch(len(self._rows))

    def _losses_of_phase(self, phase: Phase) -> Iterator[Tensor]:
        method, x, number = self._method, self._rows, self._number
        per_epoch, n_steps = phase.steps_of_an_epoch(len(x)), self._n_steps(phase)
        rates = {name: optimizer.learning_rate for name, optimizer in phase.optimizers.items()}
        if self._step == 0:
            method._seed(number, n_steps)
            method._net.eval()
            phase.begin()
        order, order_of = torch.empty(0, dtype=torch.int64), -1
        for step in range(self._step, n_steps):
            epoch, place = divmod(step, per_epoch)
            if epoch != order_of:
                drawn = np.random.default_rng(SeedSequence([method.seed, number, epoch])).permutation(len(x))
                order, order_of = torch.from_numpy(drawn), epoch
            if place == 0:
                method._net.eval()
                phase.at_epoch(epoch)
            falls = phase.drop_after is not None and epoch >= phase.drop_after
            for name, optimizer in phase.optimizers.items():
                optimizer.learning_rate = rates[name] / (10 if falls else 1)
            batch = x.index_select(0, order[place * phase.batch_size : (place + 1) * phase.batch_size])
            method._seed(number, step)
            method._net.train()
            yield phase.update(batch)


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
