"""Pre-trained networks in two parts: a frozen part, whose outputs are computed once, and a part that may be trained."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.methods import vit
from tollad.methods.layers import build

BACKBONES = ("efficientnet_lite2", "random")
"""The names of backbones. Any other text is the folder of a vision transformer."""

# Number of images in a block for the frozen part. It is always the same, so that no output depends on other images.
_BLOCK = 16
_RANDOM_WIDTHS = (3, 8, 16, 32)


@dataclass(frozen=True)
class Trunk:
    """A backbone for images.

    Attributes
    ----------
    frozen : callable
        (B, 3, side, side) from 0 to 1 -> inputs of `tail`: features (B, dim) if nothing is trained, else maps.
    tail : nn.Module
        -> (B, dim). Without trained blocks it is the identity.
    dim : int
        Number of features.
    side : int or None
        The only side of images that it takes; None if it takes any.
    """

    frozen: Callable[[Tensor], Tensor]
    tail: nn.Module
    dim: int
    side: int | None = None


class _Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Return averages over all positions."""
        return x.mean((2, 3))


@functools.cache
def _trunk(backbone: str, n_trained: int) -> Trunk:
    if backbone == "random":
        blocks = build(lambda: nn.Sequential(*map(_random_block, _RANDOM_WIDTHS, _RANDOM_WIDTHS[1:])), 0)
        return _split(nn.Identity(), list(blocks.children()), [_Pooled()], n_trained, _RANDOM_WIDTHS[-1])
    if backbone not in BACKBONES:
        known = vit.load(backbone)
        return replace(_split(known.first, known.blocks, known.last, n_trained, known.dim), side=known.side)
    from tollad.images.backbones import load_efficientnet_lite2

    network = copy.deepcopy(load_efficientnet_lite2()[0])
    stem = nn.Sequential(_Centred(), network.stem)
    return _split(stem, list(network.blocks), [network.head, _Pooled()], n_trained, len(network.head.bias))


def _random_block(n_in: int, n_out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, 2, 1), nn.ReLU())


class _Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Return values from about -1 to 1, the inputs of EfficientNet-Lite."""
        return (x * 255 - 127) / 128


def _split(first: nn.Module, blocks: list[nn.Module], last: list[nn.Module], n_trained: int, dim: int) -> Trunk:
    if n_trained > len(blocks):
        raise ValueError(f"trained_blocks must be at most the {len(blocks)} of the backbone, not {n_trained}")
    kept = len(blocks) - n_trained
    trained = [*blocks[kept:], *last] if n_trained else []
    frozen = nn.Sequential(first, *blocks[:kept], *([] if n_trained else last)).eval().requires_grad_(False)
    return Trunk(frozen, nn.Sequential(*trained), dim)


def trunk(backbone: str, n_trained: int) -> Trunk:
    """Return a backbone whose tail is a copy that may be trained.

    Parameters
    ----------
    backbone : {"efficientnet_lite2", "random"} or path
        The second is three convolutions with random weights, which shows a method without pre-training. Any other text
        is the folder of a vision transformer, see `tollad.methods.vit.load`.
    n_trained : int >= 0
        Number of last blocks in the tail.

    Raises
    ------
    ValueError
        If the backbone has fewer blocks, or the folder holds no vision transformer.
    ImportError
        If the package that holds or reads the weights is not installed.
    """
    known = _trunk(backbone, n_trained)
    return replace(known, tail=copy.deepcopy(known.tail).requires_grad_(True))


class _Images:
    """Images that are equal if their pixels are: the key of a cache."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.pixels = pixels
        self._digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Images) and self._digest == other._digest


def frozen_outputs(backbone: str, n_trained: int, side: int, images: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the outputs of the frozen part. Features of the last few calls are cached, since trials repeat them.

    Parameters
    ----------
    backbone, n_trained
        As in `trunk`.
    side : int
        Side in pixels to which images are enlarged. A vision transformer takes one side only.
    images : ndarray, (n, 1 or 3, height, width)
        Values from 0 to 1; grey images become three equal channels.

    Returns
    -------
    ndarray, (n, dim), or (n, c, h, w), or (n, tokens, dim)

    Raises
    ------
    ValueError
        If the backbone takes only another `side`.
    """
    if (only := _trunk(backbone, n_trained).side) not in (None, side):
        raise ValueError(f"this vision transformer takes images of {only} x {only} pixels: side must be {only}")
    pixels = images.astype(np.float32)
    return _outputs(backbone, n_trained, side, pixels) if n_trained else _cached(backbone, side, _Images(pixels))


# A trial sees four sets of images: for training, fakes of these, for validation and for test. The next one sees the
# last two again.
@functools.lru_cache(maxsize=4)
def _cached(backbone: str, side: int, images: _Images) -> NDArray[np.float32]:
    return _outputs(backbone, 0, side, images.pixels)


def _outputs(backbone: str, n_trained: int, side: int, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    frozen, seen = _trunk(backbone, n_trained).frozen, []
    with torch.inference_mode():
        for start in range(0, len(pixels), _BLOCK):
            x = torch.from_numpy(pixels[start : start + _BLOCK]).expand(-1, 3, -1, -1)
            filled = torch.cat([x, x.new_zeros(_BLOCK - len(x), *x.shape[1:])])
            shown = nn.functional.interpolate(filled, size=(side, side), mode="bilinear", align_corners=False)
            seen.append(frozen(shown)[: len(x)].clone().numpy())
    outputs = np.concatenate(seen)
    outputs.flags.writeable = False
    return outputs
