"""A stack: M autoencoders of one architecture, trained and scored as one.

Every parameter and buffer is one tensor with a leading member axis, and each member is an ordinary module whose weights
are views into it. Adam is elementwise and BatchNorm keeps its statistics for each member, so the sum of the members'
losses trains M independent models. All trainable weights lie in one vector besides: a step of the optimiser is then one
kernel, where twenty small tensors cost more than the products of a small network.

How a stack runs is private to this module:

- one member, or a network with layers other than the dense ones: a loop over the members' own modules. vmap turns
  convolutions of M members into grouped ones, which `benchmarks/stack.py` finds slower than the loop;
- several members of dense layers: batched matrix products over the member axis.

Both are held to one law: a member gives the same scores alone and in any stack.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tollad.networks import Autoencoder

_Tensors: TypeAlias = Mapping[str, Tensor]
_Run: TypeAlias = Callable[[nn.Module, _Tensors, Tensor], Tensor]


class Stack:
    """M >= 1 autoencoders of one architecture.

    Parameters
    ----------
    members : sequence of Autoencoder
        Copied. All of one architecture, data type and device; their weights differ.

    Attributes
    ----------
    weights : Tensor, (number of trainable weights,)
        All trainable weights of all members, for the optimiser to step. The members' own are views into it.
    is_dense : bool
        Whether the network is a plain sequence of dense layers, which batched products can run.

    Raises
    ------
    ValueError
        If there is no member, or two differ in their parameters' names or shapes.

    Examples
    --------
    >>> from tollad.networks import mlp
    >>> stack = Stack([mlp((5,), 2), mlp((5,), 2), mlp((5,), 2)])
    >>> x_hat, z = stack(torch.zeros(3, 7, 5))
    >>> x_hat.shape, z.shape
    (torch.Size([3, 7, 5]), torch.Size([3, 7, 2]))
    """

    def __init__(self, members: Sequence[Autoencoder]) -> None:
        if not members:
            raise ValueError("a stack needs at least one member")
        self._members = [_copy(member) for member in members]
        self._mode: bool | None = None  # unknown: parts may differ
        self.weights, self._tensors = _share(self._members)
        self.is_dense = _is_dense(self._members[0])
        self._batched = len(members) > 1 and self.is_dense
        self._plans = {part: self._plan(part) for part in ("encoder", "decoder")} if self._batched else {}
        # What a pass computes with, in the order of the weights.
        trainable = _trainable(self._members[0])
        if self._batched:
            self._leaves = [self._tensors[name].requires_grad_() for name in trainable]
        else:
            self._leaves = [member.get_parameter(name) for name in trainable for member in self._members]

    # A pickled view drags along all that it is a part of, so copies of the members travel and are shared anew.
    def __getstate__(self) -> list[Autoencoder]:
        return [_copy(member) for member in self._members]

    def __setstate__(self, members: list[Autoencoder]) -> None:
        Stack.__init__(self, members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, member: int) -> Autoencoder:
        """Return one member as an ordinary module; its weights are views into the stack."""
        return self._members[member]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct and encode: (M, B, *shape) -> ``(x_hat, z)``, (M, B, *shape) and (M, B, latent_dim)."""
        if len(self) == 1:
            x_hat, z = self._members[0](x.squeeze(0))
            return x_hat.unsqueeze(0), z.unsqueeze(0)
        if not self._batched:
            outputs = [member(rows) for member, rows in zip(self._members, x, strict=True)]
            return torch.stack([x_hat for x_hat, _ in outputs]), torch.stack([z for _, z in outputs])
        z = self._run_dense("encoder", x)
        return self._run_dense("decoder", z), z

    def backward(self, loss: Tensor) -> None:
        """Set ``weights.grad`` to the gradient of a scalar."""
        gradients = torch.autograd.grad(loss, self._leaves, materialize_grads=True)
        if self.weights.grad is None:
            self.weights.grad = torch.empty_like(self.weights)
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=self.weights.grad)

    def train(self, mode: bool = True) -> Stack:
        """Set training mode (BatchNorm uses the batch) or, with ``False``, evaluation mode (stored statistics)."""
        if self._mode != mode:  # to walk all modules at every step costs more than it seems
            for member in self._members:
                member.train(mode)
            self._mode = mode
        return self

    def eval(self) -> Stack:
        return self.train(False)

    def state(self) -> dict[str, Tensor]:
        """Return every parameter and buffer, (M, ...) each, by name. Views: clone what must not change."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def load_state(self, state: Mapping[str, Tensor], members: Tensor | None = None) -> None:
        """Copy tensors named and shaped as in `state` into the stack, for all members or those where `members` is true.

        Raises
        ------
        ValueError
            If a name or a shape differs.
        """
        own = self.state()
        if own.keys() != state.keys():
            raise ValueError(f"the weights of another network: {sorted(own.keys() ^ state.keys())[0]!r} is in one only")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(
                    f"the weights of another network: {name!r} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
                )
        for name, tensor in own.items():
            if members is None:
                tensor.copy_(state[name])
            else:
                tensor[members] = state[name][members].to(tensor)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Stack:
        """Return a copy on another device or in another floating-point type, in the same mode."""
        return Stack([_copy(member).to(device=device, dtype=dtype) for member in self._members])

    @property
    def device(self) -> torch.device:
        return next(iter(self._tensors.values())).device

    @property
    def dtype(self) -> torch.dtype:
        return next(t.dtype for t in self._tensors.values() if t.is_floating_point())

    def _plan(self, part: str) -> list[tuple[_Run, nn.Module, _Tensors]]:
        """Return for each layer of the encoder or decoder what runs it, itself, and its stacked tensors by name."""
        plan: list[tuple[_Run, nn.Module, _Tensors]] = []
        for name, layer in getattr(self._members[0], part).named_children():
            if isinstance(layer, nn.ReLU) and plan and plan[-1][0] is _layer_norm:
                plan[-1] = _layer_norm_relu, *plan[-1][1:]
                continue
            prefix = f"{part}.{name}."
            tensors = {key.removeprefix(prefix): t for key, t in self._tensors.items() if key.startswith(prefix)}
            plan.append((_DENSE[type(layer)], layer, tensors))
        return plan

    def _run_dense(self, part: str, x: Tensor) -> Tensor:
        for run, layer, tensors in self._plans[part]:
            x = run(layer, tensors, x)
        return x


class _Linear(torch.autograd.Function):
    """``x @ weight' + bias`` for each member.

    Gradients are those of autograd to the bit, but that of the weight comes in the order of the weight: autograd's is
    that of its transpose, and to turn it round costs as much as half the product.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad_x = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        return grad_x, torch.bmm(grad.transpose(1, 2), x), grad.sum(1)


class _LayerNormReLU(torch.autograd.Function):
    """LayerNorm, its scale and shift for each member, and ReLU, with fewer passes over memory than one by one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        normalised, mean, scale = torch.native_layer_norm(x, x.shape[-1:], None, None, eps)
        y = torch.addcmul(bias.unsqueeze(1), normalised, weight.unsqueeze(1)).relu_()
        ctx.save_for_backward(x, normalised, mean, scale, weight, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, normalised, mean, scale, weight, y = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, y, 0)
        grad_weight, grad_bias = (grad * normalised).sum(1), grad.sum(1)
        grad.mul_(weight.unsqueeze(1))
        grad_x, _, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, x.shape[-1:], mean, scale, None, None, [True, False, False]
        )
        return grad_x, grad_weight, grad_bias, None


def _apply(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    run: Callable[..., Tensor] = function.apply  # torch leaves it without types
    return run(*inputs)


def _linear(layer: nn.Module, tensors: _Tensors, x: Tensor) -> Tensor:
    weight, bias = tensors["weight"], tensors["bias"]
    if torch.is_autocast_enabled(x.device.type):  # does not reach into functions of one's own
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
    return _apply(_Linear, x, weight, bias)


def _batch_norm(layer: nn.Module, tensors: _Tensors, x: Tensor) -> Tensor:
    # To BatchNorm, members are only more features: (M, B, F) as (B, M F). Three times faster on a CPU than the formula.
    assert isinstance(layer, nn.BatchNorm1d)
    assert layer.momentum is not None
    n_members, n_rows, width = x.shape
    if layer.training:
        tensors["num_batches_tracked"].add_(1)
    y = functional.batch_norm(
        x.transpose(0, 1).reshape(n_rows, n_members * width),
        tensors["running_mean"].view(-1),
        tensors["running_var"].view(-1),
        tensors["weight"].view(-1),
        tensors["bias"].view(-1),
        layer.training,
        layer.momentum,
        layer.eps,
    )
    return y.view(n_rows, n_members, width).transpose(0, 1)


def _layer_norm(layer: nn.Module, tensors: _Tensors, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    normalised = functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    return torch.addcmul(tensors["bias"].unsqueeze(1), normalised, tensors["weight"].unsqueeze(1))


def _layer_norm_relu(layer: nn.Module, tensors: _Tensors, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    if torch.is_autocast_enabled(x.device.type):
        return functional.relu(_layer_norm(layer, tensors, x))
    return _apply(_LayerNormReLU, x, tensors["weight"], tensors["bias"], layer.eps)


def _elementwise(layer: nn.Module, tensors: _Tensors, x: Tensor) -> Tensor:
    y: Tensor = layer(x)
    return y


_DENSE: dict[type[nn.Module], _Run] = {
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.ReLU: _elementwise,
}


def _is_dense(member: Autoencoder) -> bool:
    """Whether batched products can run the network: two plain sequences of layers known here, none sharing weights."""
    parts = (member.encoder, member.decoder)
    known = all(type(part) is nn.Sequential and all(_is_known(layer) for layer in part) for part in parts)
    tied = len(list(member.parameters())) < len(list(member.named_parameters(remove_duplicate=False)))
    return known and not tied


def _is_known(layer: nn.Module) -> bool:
    """Whether `_DENSE` runs the layer: not without bias, affine parameters or running statistics."""
    tensors = (*layer._parameters.values(), *layer._buffers.values(), getattr(layer, "momentum", 0.1))
    return type(layer) in _DENSE and all(tensor is not None for tensor in tensors)


def _copy(member: Autoencoder) -> Autoencoder:
    """Return a copy whose tensors are its own: one of a view would hold all that the view is a part of."""
    memo: dict[int, Tensor] = {}
    for tensor in (*member.parameters(), *member.buffers()):
        own = tensor.detach().clone()
        memo[id(tensor)] = nn.Parameter(own, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else own
    return copy.deepcopy(member, memo)


def _share(members: Sequence[Autoencoder]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the vector of all trainable weights and every tensor stacked; make the members' own views into them."""
    named = [_named_tensors(member) for member in members]
    shapes = [{name: (t.shape, t.dtype, t.device) for name, t in tensors.items()} for tensors in named]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("the members of a stack must have one architecture, data type and device")
    trainable = _trainable(members[0])
    if not trainable:
        raise ValueError("the network has no trainable weights")
    stacked = {name: torch.stack([tensors[name].detach() for tensors in named]) for name in named[0]}
    weights = torch.cat([stacked[name].reshape(-1) for name in trainable])
    sizes = [stacked[name].numel() for name in trainable]
    for name, part in zip(trainable, weights.split(sizes), strict=True):
        stacked[name] = part.view_as(stacked[name])
    for name, tensor in stacked.items():
        for tensors, view in zip(named, tensor, strict=True):
            tensors[name].data = view
    return weights, stacked


def _trainable(member: nn.Module) -> list[str]:
    return [name for name, parameter in member.named_parameters() if parameter.requires_grad]


def _named_tensors(member: nn.Module) -> dict[str, Tensor]:
    parameters: Iterable[tuple[str, Tensor]] = member.named_parameters()
    return dict(parameters) | dict(member.named_buffers())
