"""The paper's method: an autoencoder whose latents collapse towards the origin, alone or as a member of a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tollad.method import networks, terms
from tollad.method.objective import Objective
from tollad.methods.base import Comparator, Watched
from tollad.methods.layers import need_two_rows
from tollad.training import scoring
from tollad.training.batches import Batches
from tollad.training.build import build_stack
from tollad.training.checkpoint import Checkpoint
from tollad.training.session import Session
from tollad.training.stack import Stack

SHARED = ("network", "latent_dim", "hidden", "norm", "learning_rate", "batch_size", "steps")
"""The fields in which the members of a stack must agree. The others may differ."""


@dataclass(kw_only=True, eq=False)
class TargetedCollapse(Comparator):
    """Targeted collapse, equations (2) and (3): trained on ``||x_hat - x||_2 + beta * ||z||``, and scored by the same.

    The defaults are those of Table 4. `stacked` gives several members that are trained together, at little more cost
    than one. Each gets the bits that it would get alone.

    Parameters
    ----------
    network, latent_dim, hidden
        The autoencoder, see `tollad.method.networks`. `hidden` is None for the network's own widths.
    beta : float, >= 0
        Weight of the latent norm, in the loss and in the score.
    norm : str
        Penalty of the latent: a term of `tollad.method.terms` without "latent_".
    learning_rate : float, > 0
        Step size of Adam, constant.
    batch_size, steps : int, >= 1
        Rows in a step, and steps.
    precision : {"float32", "bf16"}
        Of the network in training: bf16 is faster for convolutions. Scores are in float32.
    seed : int, >= 0
        Of the initial weights.
    batch_seed : int, >= 0
        Of the rows of the batches.

    Examples
    --------
    >>> import numpy as np
    >>> normal = np.random.default_rng(0).normal(size=(200, 4))
    >>> method = TargetedCollapse(latent_dim=2, steps=100).fit(normal)
    >>> near, far = method.anomaly_score(np.array([[0.0] * 4, [9.0] * 4]))
    >>> bool(near < far)
    True
    """

    network: str = "mlp"
    latent_dim: int = 16
    hidden: tuple[int, ...] | None = None
    beta: float = 10.0
    norm: str = "l2"
    learning_rate: float = 1e-3
    batch_size: int = 100
    steps: int = 2000
    precision: Literal["float32", "bf16"] = "float32"
    batch_seed: int = 0

    title: ClassVar[str] = "Targeted collapse"

    def __post_init__(self) -> None:
        super().__post_init__()
        # So 10 and 10.0 are one recipe, and a list and a tuple, too.
        self.beta, self.learning_rate = float(self.beta), float(self.learning_rate)
        self.hidden = None if self.hidden is None else tuple(self.hidden)
        _need(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        _need(self.network in networks.__all__, "network", f"one of {', '.join(networks.__all__)}", self.network)
        penalties = terms.latent_penalties()
        _need(self.norm in penalties, "norm", f"one of {', '.join(penalties)}", self.norm)

    @classmethod
    def stacked(
        cls, members: Sequence[Self], shape: Sequence[int], device: torch.device | None = None
    ) -> tuple[Stack, Objective]:
        """Return the members as one stack before its first step, and their common objective.

        Parameters
        ----------
        members : sequence of M TargetedCollapse
            Alike in `SHARED`.
        shape : sequence of int
            Shape of a network input.
        device : torch.device, optional
            By default the CPU.

        Raises
        ------
        ValueError
            If the network does not take such rows.
        MemoryError
            If the memory of the device is too small for the training.
        """
        first, device = members[0], torch.device("cpu") if device is None else device
        seeds, betas = [member.seed for member in members], [member.beta for member in members]
        stack = build_stack(first.network, shape, first.latent_dim, first.hidden, seeds, first.batch_size, device)
        weight = betas if len(set(betas)) > 1 else betas[0]
        return stack.to(device=device), Objective({"l2": 1, f"latent_{first.norm}": weight})

    def _fit(self, rows: NDArray[np.float64], watched: Watched) -> None:
        need_two_rows(min(self.batch_size, len(rows)), self.title)
        with np.errstate(over="ignore"):  # the loss is infinite then, and says so
            x = torch.from_numpy(rows.astype(np.float32))
        self._start(tuple(x.shape[1:]))
        session = Session(
            self._stack,
            self._objective,
            Batches(x, self.batch_size, [self.batch_seed]),
            steps=self.steps,
            every=1 if watched.times else self.steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )
        saved = None if watched.checkpoint is None else Checkpoint(watched.checkpoint, self._identity(rows))
        if saved is not None and (found := saved.load()):
            session.restore(*found)
        marks = {round(self.steps * (i + 1) / watched.times) for i in range(watched.times)}

        def observe(session: Session) -> None:
            if session.step in marks and watched.call is not None:
                watched.call(session.step)

        session.run(saved, observe=observe)

    def _start(self, shape: tuple[int, ...]) -> None:
        self._stack, self._objective = self.stacked([self], shape)

    def _identity(self, rows: NDArray[np.float64]) -> str:
        return sha256(repr((asdict(self), rows.shape)).encode() + rows.tobytes()).hexdigest()

    def _score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        network = scoring.scoring_copy(self._stack)
        return scoring.score(network, self._objective, rows, lambda block: block[None])[:, 0]

    def _fitted(self) -> Mapping[str, NDArray[Any]]:
        return {name: tensor.numpy() for name, tensor in self._stack.state().items()}

    def _restore(self, fitted: Mapping[str, NDArray[Any]]) -> None:
        # A scaled row may have another shape than the row.
        self._start(self._scaling(np.zeros((1, *self._shape))).shape[1:])
        self._stack.load_state({name: torch.from_numpy(np.array(value)) for name, value in fitted.items()})
        self._stack.eval()


def _need(holds: bool, name: str, wanted: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
