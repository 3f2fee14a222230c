"""The only training loop: a generator that the caller drives step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor
from torch.optim.adam import adam

from tollad.method.objective import Objective
from tollad.method.terms import l2
from tollad.training.stack import Stack

Precision: TypeAlias = Literal["float32", "float64", "bf16"]


_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """Adam over the weights of a stack, with its default betas and epsilon; fused into one kernel where torch has one.

    The update is torch's own; only the class around it is ours. Constructing a `torch.optim.Optimizer` imports torch's
    compiler, which takes longer than many fits.

    Parameters
    ----------
    stack : Stack
    learning_rate : float > 0

    Attributes
    ----------
    learning_rate : float
        May be changed between steps.
    """

    def __init__(self, stack: Stack, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._stack, self._weights = stack, stack.weights
        self._fused = stack.device.type in ("cpu", "cuda")
        self._state = {name: torch.zeros_like(stack.weights) for name in _MOMENTS}
        self._state["step"] = torch.zeros((), device=stack.device if self._fused else None)

    def step(self) -> None:
        """Update the weights by ``weights.grad``."""
        state = self._state
        adam(
            [self._weights],
            [cast(Tensor, self._weights.grad)],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            foreach=False,
            fused=self._fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Return copies of the moments, parameter by parameter in their logical order, and the number of steps."""
        moments = {name: torch.cat([part.flatten() for part in self._parts(name)]) for name in _MOMENTS}
        return {**moments, "step": self._state["step"].clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy what `state` returned into the optimiser."""
        self._state["step"].copy_(state["step"])
        for name in _MOMENTS:
            parts = self._parts(name)
            for part, given in zip(parts, state[name].split([part.numel() for part in parts]), strict=True):
                part.copy_(given.view(part.shape))

    def _parts(self, name: str) -> list[Tensor]:
        return list(self._stack.views(self._state[name]).values())


def train(
    stack: Stack,
    objective: Objective,
    batches: Callable[[int], tuple[Tensor, Tensor]],
    optimizer: Adam,
    *,
    start: int = 0,
    stop: int,
    learning_rate: Callable[[int], float] | None = None,
    precision: Precision = "float32",
) -> Iterator[tuple[int, Tensor]]:
    """Train a stack step by step.

    The caller drives the loop: between two steps it may score, save, or stop.

    Parameters
    ----------
    stack : Stack
        Of M members. The caller sets evaluation mode to score and need not set it back.
    objective : Objective
        Its mean over a batch is the loss of each member. The gradient is taken of the sum over members. They share no
        weights, so each is trained as if alone.
    batches : callable
        ``step -> (inputs, x)``, each (M, B, *shape), such as `tollad.training.batches.Batches`: the rows that the
        network is given, and those that it should reconstruct. If the two are one tensor, the loss is the paper's. If
        they differ, the target distance of a latent is the distance of its input from its row.
    optimizer : Adam
        Over this stack.
    start, stop : int
        The first step and the one after the last.
    learning_rate : callable, optional
        ``step -> float``; by default the optimiser's own rate stays.
    precision : {"float32", "float64", "bf16"}, default "float32"
        ``"bf16"`` runs the network under autocast; weights, losses and Adam stay in the stack's own type.

    Yields
    ------
    step : int
        How many steps are done, from ``start + 1`` to `stop`.
    loss : Tensor, (M,)
        The losses of the step before its update; on the stack's device, so reading it makes a GPU wait.
    """
    for step in range(start, stop):
        inputs, x = batches(step)
        stack.train()
        with torch.autocast(stack.device.type, torch.bfloat16, enabled=precision == "bf16"):
            x_hat, z = stack(inputs)
        moved = None if inputs is x else l2(x, inputs, batch_dims=2)
        loss = objective.loss(x, x_hat, z, radius=moved)
        if learning_rate is not None:
            optimizer.learning_rate = learning_rate(step)
        stack.backward(loss.sum())
        optimizer.step()
        yield step + 1, loss.detach()
