"""A stack: M autoencoders of one architecture, trained and scored as one.

Every parameter and buffer is one tensor with a leading member axis, and each member is an ordinary module whose weights
are views into it. Adam is elementwise and BatchNorm keeps its statistics for each member, so the sum of the members'
losses trains M independent models. All trainable weights lie in one vector besides: a step of the optimiser is then one
kernel, where twenty small tensors cost more than the products of a small network. In that vector, the weights of
convolutions over images lie channels last, as torch's kernels need them: a step of table B.2 is a tenth faster than one
that reorders them.

How a stack runs is private to this module:

- one member, or a network with layers other than the dense ones: a loop over the members' own modules. vmap turns
  convolutions of M members into grouped ones, which `benchmarks/stack.py` finds slower than the loop;
- several members of dense layers: batched matrix products over the member axis, in `tollad.training.dense`.

Both are held to one law: a member gives the same scores alone and in any stack.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tollad.training.dense import Dense, is_dense


class Stack:
    """M >= 1 autoencoders of one architecture.

    Parameters
    ----------
    members : sequence of nn.Module
        Each maps (B, *shape) to ``(x_hat, z)``. Copied. All of one architecture, data type and device; their weights
        differ.
    device : torch.device or str, optional
        Where the copies are to be; by default where the members are.
    dtype : torch.dtype, optional
        Floating-point type of the copies; by default that of the members.

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
    >>> from tollad.method.networks import mlp
    >>> stack = Stack([mlp((5,), 2), mlp((5,), 2), mlp((5,), 2)])
    >>> x_hat, z = stack(torch.zeros(3, 7, 5))
    >>> x_hat.shape, z.shape
    (torch.Size([3, 7, 5]), torch.Size([3, 7, 2]))
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not members:
            raise ValueError("a stack needs at least one member")
        # Not deep: values are copied once, into the stack, since large networks fill the memory.
        self._members = [_copy(member, deep=False) for member in members]
        self._mode: bool | None = None  # unknown: parts may differ
        self.weights, self._tensors = _share(self._members, device, dtype)
        first = self._members[0]
        self.is_dense = is_dense(first)
        self._trainable = trainable = _trainable(first)
        self._dense: Dense | None = None
        if len(members) > 1 and is_dense(first):
            self._dense = Dense(first, self._tensors, self.weights, trainable)
        # The parameters that a pass reads, in the order of `weights`.
        self._leaves = [member.get_parameter(name) for name in trainable for member in self._members]
        turned = _channels_last(first)
        self._turned = [name in turned for name in trainable for _ in self._members]

    # A pickled view takes the whole vector along. So copies of the members are pickled, and loading shares them anew.
    def __getstate__(self) -> list[nn.Module]:
        return [_copy(member) for member in self._members]

    def __setstate__(self, members: list[nn.Module]) -> None:
        Stack.__init__(self, members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, member: int) -> nn.Module:
        """Return one member as an ordinary module; its weights are views into the stack.

        Those of convolutions over images may lie channels last: call ``.contiguous()`` before a function that takes a
        ``.view()``.
        """
        return self._members[member]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct and encode: (M, B, *shape) -> ``(x_hat, z)``, (M, B, *shape) and (M, B, latent_dim)."""
        if len(self) == 1:
            x_hat, z = self._members[0](x.squeeze(0))
            return x_hat.unsqueeze(0), z.unsqueeze(0)
        if self._dense is not None:
            return self._dense(x)
        outputs = [member(rows) for member, rows in zip(self._members, x, strict=True)]
        return torch.stack([x_hat for x_hat, _ in outputs]), torch.stack([z for _, z in outputs])

    def backward(self, loss: Tensor) -> None:
        """Set ``weights.grad`` to the gradient of a scalar."""
        if self._dense is not None:
            self._dense.lend(self.weights.grad)
            try:
                (self.weights.grad,) = torch.autograd.grad(loss, [self._dense.leaf])
            finally:
                self._dense.lend(None)  # no other pass may write into it
            return
        gradients = torch.autograd.grad(loss, self._leaves, materialize_grads=True)
        if self.weights.grad is None:
            self.weights.grad = torch.empty_like(self.weights)
        flat = [
            (gradient.permute(_CHANNELS_LAST) if turned else gradient).reshape(-1)
            for gradient, turned in zip(gradients, self._turned, strict=True)
        ]
        torch.cat(flat, out=self.weights.grad)

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a vector that lies like `weights`, (M, ...) each, by the name of the parameter."""
        return _views(self._members[0], {name: self._tensors[name].shape for name in self._trainable}, vector)

    def train(self, mode: bool = True) -> Stack:
        """Set training mode (BatchNorm uses the batch) or, with ``False``, evaluation mode (stored statistics)."""
        if self._mode != mode:  # walking all modules at every step is slow
            for member in self._members:
                member.train(mode)
            self._mode = mode
        return self

    def eval(self) -> Stack:
        """Set evaluation mode: BatchNorm uses its stored statistics."""
        return self.train(False)

    def state(self) -> dict[str, Tensor]:
        """Return every parameter and buffer, (M, ...) each, by name. Views: clone what must not change."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Copy tensors named and shaped as in `state` into the stack.

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
            tensor.copy_(state[name])

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Stack:
        """Return a copy on another device or in another floating-point type, in the same mode."""
        return Stack(self._members, device=device, dtype=dtype)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(iter(self._tensors.values())).device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return next(t.dtype for t in self._tensors.values() if t.is_floating_point())


def _copy(member: nn.Module, *, deep: bool = True) -> nn.Module:
    """Return a copy with tensors of its own. A plain copy of a view would keep the whole vector in memory.

    If it is not deep, the tensors are new, but share their memory with those of the member.
    """
    memo: dict[int, Tensor] = {}
    for tensor in (*member.parameters(), *member.buffers()):
        own = tensor.detach().clone() if deep else tensor.detach()
        memo[id(tensor)] = nn.Parameter(own, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else own
    return copy.deepcopy(member, memo)


def _share(
    members: Sequence[nn.Module], device: torch.device | str | None, dtype: torch.dtype | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the vector of all trainable weights, and all tensors stacked.

    The members' own tensors become views of these.
    """
    named = [_named_tensors(member) for member in members]
    shapes = [{name: (t.shape, t.dtype, t.device) for name, t in tensors.items()} for tensors in named]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("the members of a stack must have one architecture, data type and device")
    trainable = _trainable(members[0])
    if not trainable:
        raise ValueError("the network has no trainable weights")
    first = named[0]
    kind = dtype or functools.reduce(torch.promote_types, [first[name].dtype for name in trainable])
    sizes = {name: torch.Size([len(members), *first[name].shape]) for name in trainable}
    place = first[trainable[0]].device if device is None else device
    weights = torch.empty(sum(size.numel() for size in sizes.values()), dtype=kind, device=place)
    stacked = _views(members[0], sizes, weights)
    for name, tensor in first.items():
        if name not in stacked:
            own = dtype if tensor.is_floating_point() else None
            stacked[name] = torch.empty(
                (len(members), *tensor.shape), dtype=own or tensor.dtype, device=device or tensor.device
            )
    stacked = {name: stacked[name] for name in first}
    for name, tensor in stacked.items():
        for tensors, view in zip(named, tensor, strict=True):
            tensors[name].data = view.copy_(tensors[name].detach())
    return weights, stacked


# Orders of axes: (out, in, height, width) to channels last; and for a stack of such weights, back from it.
_CHANNELS_LAST = (0, 2, 3, 1)
_CHANNELS_FIRST = (0, 1, 4, 2, 3)
_OURS = ("torch", "tollad")


def _channels_last(member: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that lie channels last: the weights of convolutions over images.

    A network with modules of the user has none: these may call ``.view()`` on a weight, or on the output of a
    convolution, whose layout follows its weight.
    """
    modules = dict(member.named_modules())
    if any(type(module).__module__.partition(".")[0] not in _OURS for module in modules.values()):
        return frozenset()
    turned = (nn.Conv2d, nn.ConvTranspose2d)
    return frozenset(f"{name}.weight" for name, module in modules.items() if type(module) in turned)


def _views(member: nn.Module, shapes: Mapping[str, torch.Size], vector: Tensor) -> dict[str, Tensor]:
    """Return the parts of a vector of all trainable weights, in the shapes that they have in a stack."""
    parts = vector.split([shape.numel() for shape in shapes.values()])
    turned = _channels_last(member)
    views = {}
    for (name, shape), part in zip(shapes.items(), parts, strict=True):
        if name in turned:
            n_members, n_out, n_in, height, width = shape
            views[name] = part.view(n_members, n_out, height, width, n_in).permute(_CHANNELS_FIRST)
        else:
            views[name] = part.view(shape)
    return views


def _trainable(member: nn.Module) -> list[str]:
    return [name for name, parameter in member.named_parameters() if parameter.requires_grad]


def _named_tensors(member: nn.Module) -> dict[str, Tensor]:
    parameters: Iterable[tuple[str, Tensor]] = member.named_parameters()
    return dict(parameters) | dict(member.named_buffers())
