"""Dense networks as nodes of a graph, member by member.

ONNX runtimes pack the constant factor of a product of two matrices once, but that of a stack of matrices at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

from tollad.serve.graph import Graph
from tollad.training.rowwise import BatchNorm, LayerNorm, Linear, RowWise

# Narrow products are padded to a multiple: special kernels for the remainder round differently, so the bits of a row
# would depend on its batch.
_WIDTH = 16


@dataclass(frozen=True)
class DenseWriter:
    """Writes the members of a dense stack as nodes.

    Attributes
    ----------
    network : RowWise
    """

    network: RowWise

    def __len__(self) -> int:
        return len(self.network)

    @property
    def data_type(self) -> int:
        """Type of the values, of `onnx.TensorProto`."""
        return int(TensorProto.DOUBLE if self.network.precision == torch.float64 else TensorProto.FLOAT)

    @property
    def latent_dim(self) -> int:
        """Values of a latent."""
        return _width(self.network.parts[0])

    @property
    def width(self) -> int:
        """Values of a row."""
        return _width(self.network.parts[1])

    def outputs(self, graph: Graph, views: Sequence[str]) -> list[tuple[str, str]]:
        """Return the latents, (n, latent_dim), and the reconstructions, (n, d), of each member.

        Parameters
        ----------
        graph : Graph
        views : sequence of str
            The rows of each member, (n, d), of the type of the layers.
        """
        encoder, decoder = self.network.parts
        found = []
        for member, rows in enumerate(views):
            z = _passed(graph, encoder, member, rows)
            found.append((z, _passed(graph, decoder, member, z)))
        return found


def _width(layers: Sequence[Any]) -> int:
    return next(layer.weight.shape[-1] for layer in reversed(layers) if isinstance(layer, Linear))


def _passed(graph: Graph, layers: Sequence[Any], member: int, x: str) -> str:
    """Return the output of the layers of one member for x, (n, d)."""

    def of_member(tensor: Tensor) -> str:
        array = tensor[member, 0].detach().cpu().numpy()
        return graph.constant(array, array.dtype)

    for layer in layers:
        if isinstance(layer, Linear):
            x = _linear(graph, layer, member, x)
        elif isinstance(layer, LayerNorm):
            scale, bias = of_member(layer.weight), of_member(layer.bias)
            x = graph("LayerNormalization", x, scale, bias, axis=-1, epsilon=layer.eps)
        elif isinstance(layer, BatchNorm):
            x = graph("Mul", graph("Sub", x, of_member(layer.mean)), of_member(layer.scale))
            x = graph("Add", x, of_member(layer.bias))
        else:
            x = graph("Relu", x)
    return x


def _linear(graph: Graph, layer: Linear, member: int, x: str) -> str:
    n_outputs = layer.weight.shape[-1]
    added = max(_WIDTH - n_outputs, 0)
    tensors = (functional.pad(tensor[member], (0, added)) for tensor in (layer.weight, layer.bias[:, 0]))
    arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
    y = graph("Gemm", x, *(graph.constant(array, array.dtype) for array in arrays))
    if not added:
        return y
    return graph("Slice", y, graph.axes(0), graph.constant([n_outputs], np.int64), graph.axes(1))
