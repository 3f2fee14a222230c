"""Dense autoencoders of M members as one differentiable function.

Autograd would keep a node for each layer, transpose the gradient of each weight (half the cost of a product) and
return twenty gradients to be joined. Here one node runs the whole network forward and backward, and writes each
gradient into its place in the vector that the optimiser steps. Values and gradients equal those of the members' own
modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tollad.method.networks import Autoencoder

Tensors: TypeAlias = Mapping[str, Tensor]
_Kept: TypeAlias = tuple[Tensor, ...]


class _Layer(Protocol):
    """One or two modules. `forward` returns the output, and what `backward` needs besides the weights."""

    overwrites: bool  # whether `backward` may overwrite the gradient that it is given

    def forward(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]: ...

    def backward(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept, needed: bool) -> Tensor | None:
        """Fill in the `grads` of the layer's own weights and return that of its input, if `needed`.

        Weights that are not trained are not among `grads`.
        """


class _Linear:
    # If all members are given the same rows, their weights form one wide layer: one large product, whose outputs lie in
    # memory as (B, M, out), which is what BatchNorm takes.
    overwrites = False

    def __init__(self, module: nn.Module, prefix: str) -> None:
        self._weight, self._bias = prefix + "weight", prefix + "bias"

    def forward(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        weight, bias = tensors[self._weight], tensors[self._bias]
        if _is_shared(x):
            y = torch.addmm(bias.view(-1), x[0], weight.view(-1, x.shape[2]).t())
            return y.view(x.shape[1], *bias.shape).transpose(0, 1), (x,)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2)), (x,)

    def backward(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept, needed: bool) -> Tensor | None:
        (x,) = kept
        if self._weight in grads and _is_shared(x):
            wide = grad.transpose(0, 1).flatten(1)
            torch.mm(wide.t(), x[0], out=grads[self._weight].view(-1, x.shape[2]))
        elif self._weight in grads:
            torch.bmm(grad.transpose(1, 2), x, out=grads[self._weight])
        if self._bias in grads:
            torch.sum(grad, 1, out=grads[self._bias])
        return torch.bmm(grad, tensors[self._weight]) if needed else None


class _ReLU:
    overwrites = True

    def __init__(self, module: nn.Module, prefix: str) -> None: ...

    def forward(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        y = x.relu()
        return y, (y,)

    def backward(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept, needed: bool) -> Tensor | None:
        return _through_relu(grad, kept[0])


class _Norm(ABC):
    """A normalisation, its scale and shift, and the ReLU that may follow: fewer passes over memory than apart."""

    overwrites = True

    def __init__(self, module: nn.Module, prefix: str) -> None:
        assert isinstance(module, nn.LayerNorm | nn.BatchNorm1d)
        self._weight, self._bias = prefix + "weight", prefix + "bias"
        self._module, self._prefix = module, prefix
        self._eps = module.eps
        self.has_relu = False

    def forward(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        y, kept = self._normalise(tensors, x.to(tensors[self._weight].dtype))  # autocast may have halved its precision
        if not self.has_relu:
            return y, kept
        y = y.relu_()
        return y, (*kept, y)

    def backward(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept, needed: bool) -> Tensor | None:
        if self.has_relu:
            grad = _through_relu(grad, kept[-1])
        return self._unnormalise(tensors, grads, grad, kept)

    @abstractmethod
    def _normalise(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        """Return scaled and shifted rows and what `_unnormalise` needs."""

    @abstractmethod
    def _unnormalise(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept) -> Tensor:
        """Fill in the gradients of scale and shift and return that of the rows; `grad` may be overwritten."""


class _LayerNorm(_Norm):
    def _normalise(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        normalised, mean, scale = torch.native_layer_norm(x, x.shape[-1:], None, None, self._eps)
        y = torch.addcmul(tensors[self._bias].unsqueeze(1), normalised, tensors[self._weight].unsqueeze(1))
        return y, (x, normalised, mean, scale)

    def _unnormalise(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept) -> Tensor:
        x, normalised, mean, scale = kept[:4]
        if self._bias in grads:
            torch.sum(grad, 1, out=grads[self._bias])
        if self._weight in grads:
            torch.sum(grad * normalised, 1, out=grads[self._weight])
        grad.mul_(tensors[self._weight].unsqueeze(1))
        grad_x: Tensor = torch.ops.aten.native_layer_norm_backward(
            grad, x, x.shape[-1:], mean, scale, None, None, [True, False, False]
        )[0]
        return grad_x


class _BatchNorm(_Norm):
    # BatchNorm can treat members as more features, (M, B, F) as (B, M F). On a CPU that is three times faster than the
    # formula.

    def __init__(self, module: nn.Module, prefix: str) -> None:
        super().__init__(module, prefix)
        assert isinstance(module, nn.BatchNorm1d)
        assert module.momentum is not None
        self._momentum = module.momentum

    def _normalise(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, _Kept]:
        n_members, n_rows, width = x.shape
        training = self._module.training
        if training:
            tensors[self._prefix + "num_batches_tracked"].add_(1)
        flat = x.transpose(0, 1).reshape(n_rows, n_members * width)
        weight, bias, running_mean, running_var = self._flat(tensors)
        y, mean, scale = torch.native_batch_norm(
            flat, weight, bias, running_mean, running_var, training, self._momentum, self._eps
        )
        return y.view(n_rows, n_members, width).transpose(0, 1), (flat, mean, scale)

    def _unnormalise(self, tensors: Tensors, grads: Tensors, grad: Tensor, kept: _Kept) -> Tensor:
        flat, mean, scale = kept[:3]
        n_members, n_rows, width = grad.shape
        weight, _, running_mean, running_var = self._flat(tensors)
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad.transpose(0, 1).reshape(n_rows, n_members * width),
            flat,
            weight,
            running_mean,
            running_var,
            mean,
            scale,
            self._module.training,
            self._eps,
            [True, True, True],
        )
        for name, value in ((self._weight, grad_weight), (self._bias, grad_bias)):
            if name in grads:
                grads[name].copy_(value.view(n_members, width))
        x: Tensor = grad_x.view(n_rows, n_members, width).transpose(0, 1)
        return x

    def _flat(self, tensors: Tensors) -> list[Tensor]:
        names = ("weight", "bias", "running_mean", "running_var")
        return [tensors[self._prefix + name].view(-1) for name in names]


_LAYERS: dict[type[nn.Module], Callable[[nn.Module, str], _Layer]] = {
    nn.Linear: _Linear,
    nn.BatchNorm1d: _BatchNorm,
    nn.LayerNorm: _LayerNorm,
    nn.ReLU: _ReLU,
}


def is_dense(network: nn.Module) -> TypeGuard[Autoencoder]:
    """Whether `Dense` can run the network: two plain sequences of layers known here, none sharing weights."""
    if type(network) is not Autoencoder:  # a subclass may pass more than the latent from encoder to decoder
        return False
    parts = (network.encoder, network.decoder)
    known = all(type(part) is nn.Sequential and all(_is_known(layer) for layer in part) for part in parts)
    tied = len(list(network.parameters())) < len(list(network.named_parameters(remove_duplicate=False)))
    return known and not tied and all(is_plain(module) for module in network.modules())


def _is_known(layer: nn.Module) -> bool:
    """Whether `_LAYERS` has the layer, and the layer has its bias, affine parameters and running statistics."""
    tensors = (*layer._parameters.values(), *layer._buffers.values(), getattr(layer, "momentum", 0.1))
    return type(layer) in _LAYERS and all(tensor is not None for tensor in tensors)


def is_plain(module: nn.Module) -> bool:
    """Whether calling the module does what its class says.

    It does not if there is a hook, or a weight that is computed from others at each call: spectral and weight
    normalisation do this by hooks, or by a class of their own.
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return not any(hooks) and "forward" not in vars(module)


class Dense:
    """M dense autoencoders of one architecture, by batched products over the member axis.

    Parameters
    ----------
    network : Autoencoder
        One of the members; `is_dense` holds for it. Its modules say whether they are in training mode.
    tensors : mapping of str to Tensor, (M, ...)
        Every parameter and buffer of the members, stacked, by its name in `network`.
    weights : Tensor, (number of trainable weights,)
        The trainable ones of `tensors` are views into it.
    trainable : sequence of str
        Their names, in the order in which they lie in `weights`.
    """

    def __init__(self, network: Autoencoder, tensors: Tensors, weights: Tensor, trainable: Sequence[str]) -> None:
        self._tensors = tensors
        self._trainable = trainable
        self._sizes = [tensors[name].numel() for name in trainable]
        # Autograd differentiates with respect to this leaf: the values of the weights, without their history.
        self.leaf = weights.detach().requires_grad_()
        self._lent: Tensor | None = None
        self._parts = [list(_layers(network, part)) for part in ("encoder", "decoder")]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x_hat, z)`` for (M, B, d): (M, B, d) and (M, B, latent_dim)."""
        if not torch.is_grad_enabled():
            return self._plain(self._tensors, x)
        if torch.is_autocast_enabled(x.device.type):  # autocast does not reach into custom functions
            return self._plain({**self._tensors, **self._views(self.leaf)}, x)
        run: Callable[..., tuple[Tensor, Tensor]] = _Pass.apply  # torch leaves it without types
        return run(x, self.leaf, self)

    def lend(self, vector: Tensor | None) -> None:
        """Let the next backward pass write into this vector, as long as the weights. None: use a new one.

        Allocating the vector anew at every step would cost more than filling it.
        """
        self._lent = vector

    def _plain(self, tensors: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for part in self._parts:
            for layer in part:
                x, _ = layer.forward(tensors, x)
            outputs.append(x)
        z, x_hat = outputs
        return x_hat, z

    def _views(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a vector that lies like the weights, by name and in their shapes."""
        parts = zip(self._trainable, vector.split(self._sizes), strict=True)
        return {name: part.view_as(self._tensors[name]) for name, part in parts}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[_Kept]]:
        """Return ``(x_hat, z)`` and what each layer keeps for `backward`."""
        kept: list[_Kept] = []
        outputs = []
        for part in self._parts:
            for layer in part:
                x, own = layer.forward(self._tensors, x)
                kept.append(own)
            outputs.append(x)
        z, x_hat = outputs
        return x_hat, z, kept

    def backward(
        self, grad_x_hat: Tensor | None, grad_z: Tensor | None, kept: Sequence[_Kept], needs_input: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of the input, if it is needed, and of the weights."""
        encoder, decoder = self._parts
        vector = torch.empty_like(self.leaf) if self._lent is None else self._lent
        self._lent = None  # a second pass through the same graph must not overwrite it
        if grad_x_hat is None:
            vector.zero_()  # nothing else writes the gradients of the decoder
        grads = self._views(vector)
        grad = grad_z
        if grad_x_hat is not None:
            # Others may still hold the gradients that autograd passes in.
            own = grad_x_hat.clone() if decoder[-1].overwrites else grad_x_hat
            through = _back(decoder, self._tensors, grads, own, kept[len(encoder) :], True)
            assert through is not None
            grad = through if grad_z is None else through.add_(grad_z)
        elif grad_z is not None:
            grad = grad_z.clone()
        assert grad is not None
        return _back(encoder, self._tensors, grads, grad, kept[: len(encoder)], needs_input), vector


def _back(
    layers: Sequence[_Layer], tensors: Tensors, grads: Tensors, grad: Tensor, kept: Sequence[_Kept], needed: bool
) -> Tensor | None:
    result: Tensor | None = grad
    for i in reversed(range(len(layers))):
        assert result is not None
        result = layers[i].backward(tensors, grads, result, kept[i], needed or i > 0)
    return result


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, leaf: Tensor, dense: Dense) -> tuple[Tensor, Tensor]:
        x_hat, z, kept = dense.forward(x)
        ctx.set_materialize_grads(False)
        ctx.dense, ctx.sizes = dense, [len(own) for own in kept]
        # The weights are saved so that torch refuses the backward pass if they have changed: it reads them again.
        ctx.save_for_backward(leaf, *(tensor for own in kept for tensor in own))
        return x_hat, z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_x_hat: Tensor | None, grad_z: Tensor | None) -> tuple[Tensor | None, Tensor, None]:
        saved = iter(ctx.saved_tensors[1:])
        kept = [tuple(islice(saved, size)) for size in ctx.sizes]
        return *ctx.dense.backward(grad_x_hat, grad_z, kept, ctx.needs_input_grad[0]), None


def _is_shared(x: Tensor) -> bool:
    """Whether all members are given the same rows: (M, B, d) of which only one (B, d) is in memory."""
    return x.stride(0) == 0


def _layers(network: Autoencoder, part: str) -> Iterator[_Layer]:
    """Yield the layers that run the modules of the encoder or decoder."""
    before: _Layer | None = None
    for name, module in getattr(network, part).named_children():
        if isinstance(module, nn.ReLU) and isinstance(before, _Norm) and not before.has_relu:
            before.has_relu = True
            continue
        before = _LAYERS[type(module)](module, f"{part}.{name}.")
        yield before


def _through_relu(grad: Tensor, y: Tensor) -> Tensor:
    grad_x: Tensor = torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=grad)
    return grad_x
