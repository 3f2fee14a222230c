"""The only training loop: a generator that the caller drives step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor

from tollad.method.objective import Objective
from tollad.method.terms import l2
from tollad.training.adam import StackAdam
from tollad.training.stack import Stack

Precision: TypeAlias = Literal["float32", "float64", "bf16"]


def train(
    stack: Stack,
    objective: Objective,
    batches: Callable[[int], tuple[Tensor, Tensor]],
    optimizer: StackAdam,
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
    optimizer : StackAdam
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
        optimizer.step([cast(Tensor, stack.weights.grad)])
        yield step + 1, loss.detach()
