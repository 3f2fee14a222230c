"""Adam over some tensors, and over the weights of a stack.

The update is torch's own; only the classes around it are ours. Constructing a `torch.optim.Optimizer` would import
torch's compiler, which takes longer than many fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

from tollad.training.stack import Stack


class Adam:
    """Adam over some parameters. It minimises a loss without a gradient for any other parameter.

    Parameters
    ----------
    parameters : iterable of Tensor
    learning_rate : float > 0
    betas : (float, float)
    weight_decay : float >= 0
        Added to the gradient, times the weight: the penalty ``weight_decay / 2 * ||w||^2`` in the loss.
    eps : float > 0

    Attributes
    ----------
    learning_rate : float
        May be changed between steps.

    Examples
    --------
    >>> import torch
    >>> weights = torch.nn.Parameter(torch.tensor([2.0, -2.0]))
    >>> optimiser = Adam([weights], learning_rate=0.5)
    >>> optimiser.minimise((weights**2).sum())
    >>> weights.tolist()
    [1.5, -1.5]
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.learning_rate = learning_rate
        self._parameters = list(parameters)
        self._betas, self._weight_decay, self._eps = betas, weight_decay, eps
        # One kernel where torch has one. It counts the steps on the device of the weights.
        self._fused = all(p.device.type in ("cpu", "cuda") for p in self._parameters)
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device if self._fused else None) for p in self._parameters]

    def minimise(self, loss: Tensor, *, keep_graph: bool = False) -> None:
        """Take one step against the gradient of a scalar; `keep_graph` if another optimiser needs it, too."""
        self.step(
            torch.autograd.grad(
                loss, self._parameters, retain_graph=keep_graph, materialize_grads=True, allow_unused=True
            )
        )

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step against gradients, one for each parameter and of its shape."""
        with torch.no_grad():
            adam(
                [p.detach() for p in self._parameters],
                list(gradients),
                self._means,
                self._squares,
                [],
                self._steps,
                foreach=False,
                fused=self._fused,
                amsgrad=False,
                beta1=self._betas[0],
                beta2=self._betas[1],
                lr=self.learning_rate,
                weight_decay=self._weight_decay,
                eps=self._eps,
                maximize=False,
            )

    def state(self) -> dict[str, Tensor]:
        """Return the moments and counts, by parameter."""
        groups = {"mean": self._means, "square": self._squares, "step": self._steps}
        return {f"{name}.{i}": tensor for name, tensors in groups.items() for i, tensor in enumerate(tensors)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy what `state` returned into the optimiser."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class StackAdam(Adam):
    """Adam over the weights of a stack. Its state does not depend on how these lie in memory.

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
        super().__init__([stack.weights], learning_rate)
        self._stack = stack

    def state(self) -> dict[str, Tensor]:
        """Return copies of the moments, parameter by parameter in their logical order, and the number of steps."""
        moments = {name: torch.cat([part.flatten() for part in parts]) for name, parts in self._parts().items()}
        return {**moments, "step": self._steps[0].clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy what `state` returned into the optimiser."""
        self._steps[0].copy_(state["step"])
        for name, parts in self._parts().items():
            for part, given in zip(parts, state[name].split([part.numel() for part in parts]), strict=True):
                part.copy_(given.view(part.shape))

    def _parts(self) -> dict[str, list[Tensor]]:
        moments = {"exp_avg": self._means[0], "exp_avg_sq": self._squares[0]}
        return {name: list(self._stack.views(moment).values()) for name, moment in moments.items()}
