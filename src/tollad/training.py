"""The only training loop: a generator that the caller drives step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from tollad.objective import Objective
from tollad.stack import Stack
from tollad.terms import l2

Precision: TypeAlias = Literal["float32", "float64", "bf16"]


def adam(stack: Stack, learning_rate: float) -> torch.optim.Adam:
    """Return Adam over a stack, with its default betas and epsilon; fused into one kernel where torch has one."""
    return torch.optim.Adam([stack.weights], lr=learning_rate, fused=stack.device.type in ("cpu", "cuda"))


def train(
    stack: Stack,
    objective: Objective,
    batches: Callable[[int], tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    start: int = 0,
    stop: int,
    learning_rate: Callable[[int], float] | None = None,
    precision: Precision = "float32",
) -> Iterator[tuple[int, Tensor]]:
    """Train a stack step by step.

    The caller drives: between two steps it may score, save, or leave.

    Parameters
    ----------
    stack : Stack
        Of M members. The caller sets evaluation mode to score and need not set it back.
    objective : Objective
        Its mean over a batch is the loss of each member; the sum over members is what the gradient is taken of, and as
        members share no weights each is trained as if alone.
    batches : callable
        ``step -> (inputs, x)``, each (M, B, *shape), such as `tollad.batches.Batches`: what the network is given and
        what it should make of it. Where the two are one tensor the loss is that of the paper; where they differ, a
        latent should lie as far from the target as its input from its row.
    optimizer : torch.optim.Optimizer
        Over ``stack.weights``.
    start, stop : int
        The first step and the one after the last.
    learning_rate : callable, optional
        ``step -> float``; by default the optimizer's own rate stays.
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
            optimizer.param_groups[0]["lr"] = learning_rate(step)
        stack.backward(loss.sum())
        optimizer.step()
        yield step + 1, loss.detach()
