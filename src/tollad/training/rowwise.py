"""Networks in evaluation mode, in which the outputs of a sample never depend on the samples it comes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from tollad.training.stack import Stack

# How a matrix product rounds a row depends on the number of rows and on the row's place. Other kernels run at the
# edges, where a width is odd or small. So zeros widen the matrices, which keeps rows away from the edges.
_MULTIPLE, _LEAST_INNER = 16, 64
# Numbers of rows in a product: few, so that all can be compared.
_SIZES = (64, 16, 4)
# Rows of a block for other networks: enough to keep a processor busy, and few enough that one image needs little
# padding.
_BLOCK = 16
_BLOCK_ON_GPU = 256


def block_size(device: torch.device) -> int:
    """Return how many rows a network that is not dense takes at once."""
    return _BLOCK if device.type == "cpu" else _BLOCK_ON_GPU


class FixedBlocks:
    """Blocks of a few fixed sizes, in which products give a row the same bits whatever rows come with it.

    Before rows first share a block, the sizes are compared on this machine. If they differ, each row gets a block of
    its own.

    Parameters
    ----------
    outputs : callable
        Maps one block, (1, size, width), to outputs of shape (M, size, ...) each.
    width : int
        Values of a row.
    device, dtype
        Of the rows.
    """

    def __init__(
        self, outputs: Callable[[Tensor], Sequence[Tensor]], width: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._outputs, self._width, self._device, self._dtype = outputs, width, device, dtype
        self._n_threads = 0  # that the sizes were compared with
        self._alone = False

    def __call__(self, n_rows: int) -> list[tuple[int, int, int]]:
        """Return ``(first row, rows, size to fill up to)`` of each block."""
        if n_rows > 1 and self._n_threads != torch.get_num_threads():
            self._compare()
        if self._alone:
            return [(row, 1, _SIZES[-1]) for row in range(n_rows)]
        blocks, first = [], 0
        while first < n_rows:
            left = n_rows - first
            size = next((size for size in _SIZES if size <= left), _SIZES[-1])
            blocks.append((first, min(left, size), size))
            first += size
        return blocks

    def _compare(self) -> None:
        """Note whether a row has the same outputs in blocks of all sizes and at every place in them."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, _SIZES[0], self._width, generator=generator, dtype=torch.float64)
        x = x.to(self._device, self._dtype)
        given = self._outputs(x)
        turned = self._outputs(x.flip(1))
        smaller = [self._outputs(x[:, :size]) for size in _SIZES[1:]]
        self._alone = not all(
            torch.equal(whole, back.flip(1)) and all(torch.equal(whole[:, : part.shape[1]], part) for part in parts)
            for whole, back, *parts in zip(given, turned, *smaller, strict=True)
        )
        self._n_threads = torch.get_num_threads()


class RowWise:
    """A dense stack in evaluation mode.

    A row has the same outputs, to the bit, whatever rows come with it, see `FixedBlocks`.

    Rows and outputs are in double precision, so that norms and sums over them are, too.

    Parameters
    ----------
    stack : Stack
        Its `is_dense` must be true. Its weights are copied.
    precision : torch.dtype, optional
        Type that the layers compute in; by default that of the training.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
        Of rows and outputs.
    precision : torch.dtype
        Of the layers.
    parts : list of list of callable
        The layers of the encoder and of the decoder: `Linear`, `LayerNorm`, `BatchNorm` or ``torch.relu``.
    """

    dtype = torch.float64

    def __init__(self, stack: Stack, precision: torch.dtype | None = None) -> None:
        self.device = stack.device
        self.precision = precision or stack.dtype
        self._n_members = len(stack)
        tensors, member = stack.state(), stack[0]
        self.parts = [
            [*_layers(tensors, part, getattr(member, part), self.precision)] for part in ("encoder", "decoder")
        ]
        width = next(layer for layer in self.parts[0] if isinstance(layer, Linear)).n_inputs
        # Not a bound method: that would be a reference cycle, and a large network would stay in memory until Python
        # finds it.
        self._outputs = partial(_outputs, self.parts, self.precision, self._n_members)
        self._blocks = FixedBlocks(self._outputs, width, self.device, self.dtype)

    def __len__(self) -> int:
        return self._n_members

    def blocks(self, x: Tensor) -> list[tuple[int, int, int]]:
        """Return ``(first row, rows, size to fill up to)`` of each block of rows, (M or 1, n, d)."""
        return self._blocks(x.shape[1])

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x_hat, z)`` for one block: (M, size, d) and (M, size, latent_dim) for (M or 1, size, d)."""
        return self._outputs(x)


def _outputs(
    parts: Sequence[Sequence[Callable[[Tensor], Tensor]]], precision: torch.dtype, n_members: int, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the encoders and decoders of all members on one block. Return ``(x_hat, z)``."""
    outputs = []
    x = x.to(precision)
    for part in parts:
        for layer in part:
            x = layer(x)
        outputs.append(x)
    z, x_hat = (
        output.to(RowWise.dtype) if output.size(0) == n_members else output.to(RowWise.dtype).expand(n_members, -1, -1)
        for output in outputs
    )
    return x_hat, z


class InBlocks:
    """Any other stack in evaluation mode. A row has the same outputs, to the bit, whatever rows come with it.

    Rows run in blocks of one size, filled up with zeros, or one by one. Before the first row, the outputs of both, and
    of a row at each place of a block, are compared on this machine.

    Parameters
    ----------
    stack : Stack
        Not copied.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack.eval()
        self.device, self.dtype = stack.device, stack.dtype
        self._n_threads = 0  # that the sizes were compared with
        self._sizes: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self._stack)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x_hat, z)`` for one block, as the stack does."""
        return self._stack(x)

    def blocks(self, x: Tensor) -> list[tuple[int, int, int]]:
        """Return ``(first row, rows, size to fill up to)`` of each block of rows, (M or 1, n, *shape)."""
        if self._n_threads != torch.get_num_threads():
            self._compare(x.shape[2:])
        n_rows, largest = x.shape[1], self._sizes[0]
        lengths = [(first, min(largest, n_rows - first)) for first in range(0, n_rows, largest)]
        return [(first, n, n if n in self._sizes else largest) for first, n in lengths]

    def _compare(self, shape: torch.Size) -> None:
        """Note the sizes of blocks in which a row has the same outputs at every place."""
        size = block_size(self.device)
        generator = torch.Generator().manual_seed(0)
        row = torch.randn(1, 1, *shape, generator=generator).to(self.device, self.dtype)
        with torch.no_grad():
            many = self(row.expand(len(self), size, *shape).contiguous())
            one = self(row.expand(len(self), 1, *shape).contiguous())
        anywhere = all(torch.equal(outputs, outputs[:, :1].expand_as(outputs)) for outputs in many)
        alone = all(torch.equal(outputs, first[:, :1]) for outputs, first in zip(one, many, strict=True))
        self._sizes = ((size, 1) if alone else (size,)) if anywhere else (1,)
        self._n_threads = torch.get_num_threads()


class Linear:
    """``x W^T + b`` of all members, (M, n_outputs, n_inputs) and (M, n_outputs), for blocks of fixed sizes."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype | None = None) -> None:
        self._n_members, self._n_outputs, self.n_inputs = weight.shape
        inner = max(_LEAST_INNER, _rounded_up(self.n_inputs))
        outer = _rounded_up(self._n_outputs)
        self._added, self._is_widened = inner - self.n_inputs, outer > self._n_outputs
        self._weight = weight.new_zeros(self._n_members, inner, outer, dtype=dtype)
        self._weight[:, : self.n_inputs, : self._n_outputs] = weight.transpose(1, 2)
        self._bias = bias.new_zeros(self._n_members, 1, outer, dtype=dtype)
        self._bias[:, 0, : self._n_outputs] = bias

    @property
    def weight(self) -> Tensor:
        """Without the zeros that widen it: (M, n_inputs, n_outputs)."""
        return self._weight[:, : self.n_inputs, : self._n_outputs]

    @property
    def bias(self) -> Tensor:
        """(M, 1, n_outputs)."""
        return self._bias[:, :, : self._n_outputs]

    def __call__(self, x: Tensor) -> Tensor:
        # For one row, calls cost more than products. So no call is made that would change nothing.
        if self._added:
            x = torch.constant_pad_nd(x, (0, self._added))
        if x.size(0) < self._n_members:
            x = x.expand(self._n_members, -1, -1)
        y = torch.baddbmm(self._bias, x, self._weight)
        return y.narrow(-1, 0, self._n_outputs) if self._is_widened else y


def _rounded_up(width: int) -> int:
    return -(-width // _MULTIPLE) * _MULTIPLE


class LayerNorm:
    """Each row to mean 0 and variance 1, then ``x weight + bias`` of each member."""

    def __init__(self, module: nn.LayerNorm, weight: Tensor, bias: Tensor) -> None:
        self._shape, self.eps = module.normalized_shape, module.eps
        self.weight, self.bias = weight.unsqueeze(1), bias.unsqueeze(1)

    def __call__(self, x: Tensor) -> Tensor:
        normalised, _, _ = torch.native_layer_norm(x, self._shape, None, None, self.eps)
        return torch.addcmul(self.bias, normalised, self.weight)


class BatchNorm:
    """``(x - mean) scale + bias`` of each member."""

    def __init__(self, module: nn.BatchNorm1d, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> None:
        self.scale = (weight * (variance + module.eps).rsqrt()).unsqueeze(1)
        self.mean, self.bias = mean.unsqueeze(1), bias.unsqueeze(1)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x - self.mean, self.scale)


def _layers(
    tensors: Mapping[str, Tensor], part: str, modules: nn.Module, dtype: torch.dtype
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield the layers of the encoder or decoder, all members at once, with copies of their tensors."""
    for name, module in modules.named_children():

        def copies(*names: str, prefix: str = f"{part}.{name}.") -> list[Tensor]:
            return [tensors[prefix + name].to(dtype, copy=True) for name in names]

        if isinstance(module, nn.Linear):
            prefix = f"{part}.{name}"
            yield Linear(tensors[f"{prefix}.weight"], tensors[f"{prefix}.bias"], dtype)
        elif isinstance(module, nn.LayerNorm):
            yield LayerNorm(module, *copies("weight", "bias"))
        elif isinstance(module, nn.BatchNorm1d):
            yield BatchNorm(module, *copies("weight", "bias", "running_mean", "running_var"))
        else:
            yield torch.relu
