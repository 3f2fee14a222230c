"""Networks that are not dense stacks as nodes of a graph: convolutions, and modules of known layers, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn

from tollad.method.initial import OutputBias
from tollad.method.networks import Autoencoder
from tollad.serve.graph import Graph
from tollad.training.dense import is_plain
from tollad.training.stack import Stack


@dataclass(frozen=True)
class LayerWriter:
    """Writes the members of a stack as nodes, layer by layer.

    Attributes
    ----------
    stack : Stack
    shape : tuple of int
        Of a row in the network.
    """

    stack: Stack
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def data_type(self) -> int:
        """Type of the values, of `onnx.TensorProto`."""
        return int(TensorProto.DOUBLE if self.stack.dtype == torch.float64 else TensorProto.FLOAT)

    @property
    def latent_dim(self) -> int:
        """Values of a latent."""
        sample = torch.zeros(len(self), 1, *self.shape, dtype=self.stack.dtype, device=self.stack.device)
        with torch.no_grad():
            return int(self.stack.eval()(sample)[1].shape[-1])

    @property
    def width(self) -> int:
        """Values of a flat row."""
        return math.prod(self.shape)

    def outputs(self, graph: Graph, views: Sequence[str]) -> list[tuple[str, str]]:
        """Return the flat latents, (n, latent_dim), and the flat reconstructions, (n, d), of each member.

        Parameters
        ----------
        graph : Graph
        views : sequence of str
            The flat rows of each member, (n, d), of the type of the layers.

        Raises
        ------
        ValueError
            For a layer that this module does not know; the message names it.
        """
        found = []
        for member, view in enumerate(views):
            network = self.stack[member]
            if type(network) is not Autoencoder:
                raise _unknown(network)
            sample = torch.zeros(1, *self.shape, dtype=self.stack.dtype, device=self.stack.device)
            values, flat = _shaped(graph, view, sample), []
            for part in (network.encoder, network.decoder):
                values, sample = _layers(graph, part, values, sample)
                flat.append(_shaped(graph, values, sample.flatten(1)))
            found.append((flat[0], flat[1]))
        return found


def _unknown(layer: nn.Module) -> ValueError:
    known = ", ".join(sorted(layer_type.__name__ for layer_type in _WRITERS))
    return ValueError(
        f"a layer of type {type(layer).__name__} with these settings cannot be exported; those of a graph are {known}, "
        "in an encoder and a decoder"
    )


def _layers(graph: Graph, module: nn.Module, values: str, sample: Tensor) -> tuple[str, Tensor]:
    """Write a module; return its output, and that of a row of zeros, which tells the shape."""
    if type(module) is nn.Sequential and is_plain(module):
        for layer in module:
            values, sample = _layers(graph, layer, values, sample)
        return values, sample
    write = _WRITERS.get(type(module))
    if write is None or not is_plain(module):
        raise _unknown(module)
    with torch.no_grad():
        sample = module.eval()(sample)
    return write(graph, module, values, sample), sample


def _shaped(graph: Graph, values: str, sample: Tensor) -> str:
    return graph("Reshape", values, graph.constant([-1, *sample.shape[1:]], "int64"))


def _tensors(graph: Graph, *tensors: Tensor | None) -> list[str]:
    arrays = [tensor.detach().cpu().numpy() for tensor in tensors if tensor is not None]
    return [graph.constant(array, array.dtype) for array in arrays]


def _linear(graph: Graph, layer: Any, values: str, sample: Tensor) -> str:
    product = graph("MatMul", values, *_tensors(graph, layer.weight.t()))
    return product if layer.bias is None else graph("Add", product, *_tensors(graph, layer.bias))


def _convolution(graph: Graph, layer: Any, values: str, sample: Tensor) -> str:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _unknown(layer)
    how = {
        "strides": layer.stride,
        "pads": [*layer.padding, *layer.padding],
        "dilations": layer.dilation,
        "group": layer.groups,
    }
    if layer.transposed:
        how["output_padding"] = layer.output_padding
    operator = "ConvTranspose" if layer.transposed else "Conv"
    return graph(operator, values, *_tensors(graph, layer.weight, layer.bias), **how)


def _batch_norm(graph: Graph, layer: Any, values: str, sample: Tensor) -> str:
    if layer.running_mean is None or layer.weight is None:
        raise _unknown(layer)
    tensors = _tensors(graph, layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return graph("BatchNormalization", values, *tensors, epsilon=layer.eps)


def _layer_norm(graph: Graph, layer: Any, values: str, sample: Tensor) -> str:
    if layer.weight is None:
        raise _unknown(layer)
    tensors = _tensors(graph, layer.weight, layer.bias)
    return graph("LayerNormalization", values, *tensors, axis=-len(layer.normalized_shape), epsilon=layer.eps)


def _named(operator: str) -> Callable[[Graph, Any, str, Tensor], str]:
    return lambda graph, layer, values, sample: graph(operator, values)


_WRITERS: dict[type[nn.Module], Callable[[Graph, Any, str, Tensor], str]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.ConvTranspose1d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.ReLU: _named("Relu"),
    nn.Tanh: _named("Tanh"),
    nn.Sigmoid: _named("Sigmoid"),
    nn.Identity: _named("Identity"),
    nn.Dropout: _named("Identity"),
    nn.LeakyReLU: lambda graph, layer, values, _: graph("LeakyRelu", values, alpha=layer.negative_slope),
    nn.Flatten: lambda graph, _, values, sample: _shaped(graph, values, sample),
    nn.Unflatten: lambda graph, _, values, sample: _shaped(graph, values, sample),
    OutputBias: lambda graph, layer, values, _: graph("Add", values, *_tensors(graph, layer.bias)),
}
"""What writes each type of layer: ``(graph, layer, input, output for a row of zeros)`` to the name of the output."""
