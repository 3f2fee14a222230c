"""Several stacks of one architecture as one, also of networks whose latents differ in length.

A shorter latent is filled up with units whose incoming and outgoing weights are 0. Their values and gradients are then
0, so they stay 0, and each member trains as it would with its own latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from tollad.training.stack import Stack


def join(stacks: Sequence[Stack], into: Stack) -> None:
    """Copy the members of all stacks, one after another, into a stack with the longest latent.

    Parameters
    ----------
    stacks : sequence of Stack
        Their networks may differ in the length of the latent only.
    into : Stack
        Has as many members as the others together. Its tensors are replaced.
    """
    for whole in into.state().values():
        whole.zero_()
    for part, whole in _pairs(stacks, into):
        whole.copy_(part)


def separate(whole: Stack, into: Sequence[Stack]) -> None:
    """Copy the members of a stack back into those it was joined from."""
    for part, tensor in _pairs(into, whole):
        part.copy_(tensor)


def _pairs(stacks: Sequence[Stack], whole: Stack) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each tensor of each stack, and its place within the whole."""
    first = 0
    for stack in stacks:
        for name, tensor in stack.state().items():
            corner = tuple(slice(size) for size in tensor.shape[1:])
            yield tensor, whole.state()[name][(slice(first, first + len(stack)), *corner)]
        first += len(stack)
