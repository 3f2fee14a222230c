"""Representations: features of whole images, and of positions in them.

A representation is a function from images, (n, C, H, W) from 0 to 1, to `ImageFeatures`, with a few traits. To add
one, write such a function, decorate it with `represents`, and add its name to ``__all__``: users choose it by this
name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tollad.images import backbones
from tollad.images.gradients import oriented_gradients
from tollad.images.onnx_file import run_onnx
from tollad.images.timm_networks import is_timm, load_timm

__all__ = ["efficientnet_lite2", "efficientnet_lite2_fine", "gradients", "pixels"]

# Images in a batch of a network. It is always full, so that features of an image never depend on others.
_BLOCK = 4
# Blocks, from 0, of strides 8, 16, 16, 32 and 32, with 816 channels together. Deeper ones localise defects less.
BLOCKS = (6, 10, 14, 19, 20)
WITH_POSITIONS = (6, 10, 14)
# Smaller images are enlarged, and are only scored as a whole.
SMALL, _LEAST_SHOWN, _MOST_SHOWN = 64, 128, 256
# Levels of the whole image that serve only some images with positions, see `tollad.images.selection`.
KIND, SPREAD = "kind", "spread"
LEAST_DEVIATION = 1e-6
# Sides to which efficientnet_lite2_fine enlarges images below 64 pixels, and all others.
_FINE_KINDS, _FINE_POSITIONS = 192, 256


@dataclass(frozen=True)
class ImageFeatures:
    """Features of n images.

    Attributes
    ----------
    whole : dict of str to ndarray, (n, d) or (n, C, H, W)
        Features of each image as a whole, by level.
    positions : dict of str to ndarray, (n, h, w, c)
        Features of positions in each image, by the name of the map; maps may have different grids.
    """

    whole: dict[str, NDArray[Any]]
    positions: dict[str, NDArray[Any]]


Seen = ImageFeatures  # its former name


@dataclass(frozen=True)
class Representation:
    """A function from images to their features, with traits.

    Attributes
    ----------
    name : str
    extract : callable
        (n, C, H, W), from 0 to 1 -> ImageFeatures.
    head : str
        Default head for the whole image, a name in `tollad.images.heads.HEADS`.
    least_side : int
        The least side of an image, in pixels.
    cells : tuple of int or None
        (h, w, k) if the features of the whole image form a grid. Parts of a score are then a map.
    weights : callable or None
        Returns the SHA-256 of the weights of its network.
    """

    name: str
    extract: Callable[[NDArray[np.float32]], ImageFeatures]
    head: str
    least_side: int = 1
    cells: tuple[int, int, int] | None = None
    weights: Callable[[], str] | None = None


_KNOWN: dict[str, Representation] = {}


def represents(**traits: Any) -> Callable[[Callable[[NDArray[np.float32]], ImageFeatures]], Any]:
    """Declare a function from images to their features as a representation; `traits` are those of `Representation`."""

    def register(extract: Callable[[NDArray[np.float32]], ImageFeatures]) -> Any:
        _KNOWN[extract.__name__] = Representation(extract.__name__, extract, **traits)
        return extract

    return register


@represents(head="collapse")
def pixels(images: NDArray[np.float32]) -> ImageFeatures:
    """Pixels, for the networks of the paper.

    Parameters
    ----------
    images : ndarray of float32, (n, C, H, W)
        From 0 to 1.

    Returns
    -------
    ImageFeatures
        One level of the whole image, ``"pixels"``: the images as they are.

    Examples
    --------
    >>> pixels(np.zeros((3, 1, 28, 28), np.float32)).whole["pixels"].shape
    (3, 1, 28, 28)
    """
    return ImageFeatures({"pixels": images}, {})


@represents(head="nearest", least_side=16, cells=(8, 8, 8))
def gradients(images: NDArray[np.float32]) -> ImageFeatures:
    """Oriented gradients of 8 x 8 cells, see `tollad.images.gradients`: for small grey images.

    Parameters
    ----------
    images : ndarray of float32, (n, C, H, W), H, W >= 16
        From 0 to 1.

    Returns
    -------
    ImageFeatures
        One level of the whole image, ``"gradients"``, (n, 512).

    Examples
    --------
    >>> gradients(np.zeros((3, 1, 28, 28), np.float32)).whole["gradients"].shape
    (3, 512)
    """
    return ImageFeatures({"gradients": oriented_gradients(images).reshape(len(images), -1)}, {})


@represents(head="ledoit_wolf", least_side=16, weights=lambda: backbones.load_efficientnet_lite2()[1])
def efficientnet_lite2(images: NDArray[np.float32]) -> ImageFeatures:
    """A network trained on a million photos, see `tollad.images.backbones`, for colour images and for defects.

    The level "texture" has means and standard deviations of five blocks over all positions, scaled to length 1, "kind"
    the averages of the last layer, scaled to length 1. Images of 64 pixels and more also have the first three blocks by
    position, averaged over 3 x 3 positions and scaled to length 1, and the level "spread", logarithms of the standard
    deviations. Images are resized to a shorter side of 128 to 256 pixels.

    Parameters
    ----------
    images : ndarray of float32, (n, C, H, W), H, W >= 16
        From 0 to 1.

    Returns
    -------
    ImageFeatures

    Raises
    ------
    ImportError
        Without the extra `vision`.
    """
    return _by_network(images, *shown_and_near("efficientnet_lite2", images.shape[2:]))


@represents(head="ledoit_wolf", least_side=16, weights=lambda: backbones.load_efficientnet_lite2()[1])
def efficientnet_lite2_fine(images: NDArray[np.float32]) -> ImageFeatures:
    """The same network on larger images, for kinds of objects and small defects, at two to four times the cost.

    The shorter side of images below 64 pixels is resized to 192, that of all others to 256. Positions are averaged over
    5 x 5. Parameters, levels and errors as in `efficientnet_lite2`.
    """
    return _by_network(images, *shown_and_near("efficientnet_lite2_fine", images.shape[2:]))


def shown_and_near(name: str, size: Sequence[int]) -> tuple[int, int]:
    """Return what `_by_network` takes for images of a size, (H, W), by the representation of this name."""
    shorter = min(size)
    if name == "efficientnet_lite2":
        return min(max(shorter, _LEAST_SHOWN), _MOST_SHOWN), 3
    return (_FINE_KINDS if shorter < SMALL else _FINE_POSITIONS), 5


def size_shown(size: Sequence[int], shown: int) -> tuple[int, int]:
    """Return the size, (H, W), of images whose shorter side is resized to `shown` pixels."""
    height, width = (max(1, round(side * shown / min(size))) for side in size)
    return height, width


def _by_network(images: NDArray[np.float32], shown: int, near: int) -> ImageFeatures:
    """Return features of images whose shorter side is resized to `shown` pixels.

    Each feature of a position is averaged over `near` x `near` positions.
    """
    network, _ = backbones.load_efficientnet_lite2()
    is_small = min(images.shape[2:]) < SMALL
    whole: dict[str, list[NDArray[np.float32]]] = {"texture": [], KIND: [], **({} if is_small else {SPREAD: []})}
    positions: dict[str, list[NDArray[np.float32]]] = {f"block {number}": [] for number in WITH_POSITIONS}
    for block, n in _blocks(images):
        with torch.inference_mode():
            pooled, outputs = network(_resized(block, shown), BLOCKS)
            means, deviations = ([part(output) for output in outputs] for part in (_means, _deviations))
            moments = [part for both in zip(means, deviations, strict=True) for part in both]
            whole["texture"].append(_of_length_1(torch.cat(moments, 1))[:n].numpy())
            whole[KIND].append(_of_length_1(pooled)[:n].numpy())
            if not is_small:
                whole[SPREAD].append((torch.cat(deviations, 1) + LEAST_DEVIATION).log()[:n].numpy())
                for kept, output in zip(positions.values(), outputs, strict=False):
                    mean = functional.avg_pool2d(output, near, 1, near // 2, count_include_pad=False)
                    kept.append(_of_length_1(mean)[:n].permute(0, 2, 3, 1).numpy().copy())
    return ImageFeatures(_joined(whole), {} if is_small else _joined(positions))


def _joined(parts: dict[str, list[NDArray[np.float32]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate(blocks) for name, blocks in parts.items()}


def of(what: str | nn.Module | Representation) -> Representation:
    """Return the representation that a user gave.

    Parameters
    ----------
    what : str, nn.Module or Representation
        A name; ``timm:`` and the name of a network of timm; the path of an ONNX file; or a torch module. A file or a
        module takes images, (b, C, H, W), float32 from
        0 to 1, and returns features of the whole image, (b, d), or of positions in it, (b, c, h, w). A file gets four
        images at a time. A module runs in evaluation mode and is never trained.

    Raises
    ------
    ValueError
        For an unknown name, with a list of the known ones; for a file that is no such ONNX model.
    ImportError
        For an ONNX file, if onnxruntime is not installed; for a network of timm, if that is not.
    OSError
        If the file cannot be read, or the weights of timm are not on this machine.
    """
    if isinstance(what, Representation):
        return what
    if isinstance(what, nn.Module):
        return _of_outputs("module", _run_module(what), lambda: _digest_of(what))
    if is_timm(what):
        network = load_timm(what)
        return _of_outputs(what, _run_module(network), lambda: _digest_of(network))
    if is_onnx(what):
        try:
            content = Path(what).read_bytes()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{what}: there is no such file; give the path of your network, an ONNX file"
            ) from error
        digest = hashlib.sha256(content).hexdigest()
        return _of_outputs(what, run_onnx(what, content), lambda: digest)
    if what not in __all__:
        raise ValueError(
            f"unknown representation {what!r}; there are {', '.join(__all__)}, or give timm:NAME, an .onnx file or a "
            "torch module"
        )
    return _KNOWN[what]


def is_onnx(name: str) -> bool:
    """Return whether a name ends like that of an ONNX file."""
    return name.endswith(".onnx")


def is_found_by_name(name: str) -> bool:
    """Return whether `of` finds a representation by its name alone."""
    return name in __all__ or is_onnx(name) or is_timm(name)


def _of_outputs(name: str, run: Callable[[Tensor], Any], weights: Callable[[], str]) -> Representation:
    """Return the representation of a network that returns features of the whole image or of positions."""

    def extract(images: NDArray[np.float32]) -> ImageFeatures:
        outputs = []
        for block, n in _blocks(images):
            output = run(block)
            if not isinstance(output, Tensor) or output.ndim not in (2, 4) or len(output) != len(block):
                raise ValueError(
                    f"{name} must give (b, d) or (b, c, h, w) for images {tuple(block.shape)}, not "
                    f"{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}"
                )
            outputs.append(output[:n].float())
        seen = torch.cat(outputs)
        if seen.ndim == 2:
            return ImageFeatures({"whole": seen.numpy()}, {})
        moments = torch.cat([_means(seen), _deviations(seen)], 1)
        # Model files hold the name of the map.
        return ImageFeatures({"texture": moments.numpy()}, {"places": seen.permute(0, 2, 3, 1).numpy().copy()})

    return Representation(name, extract, "ledoit_wolf", weights=weights)


def _run_module(module: nn.Module) -> Callable[[Tensor], Any]:
    def run(block: Tensor) -> Any:
        training = module.training
        try:
            module.eval()
            with torch.inference_mode():
                return module(block)
        finally:
            module.train(training)

    return run


def _digest_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor.cpu()).tobytes())
    return digest.hexdigest()


def choose(shape: tuple[int, int, int]) -> tuple[str, str]:
    """Choose a representation for images of shape (C, H, W); return its name, and the reason in words."""
    channels, *sides = shape
    if min(sides) < _KNOWN["gradients"].least_side:
        return "pixels", "images this small are best taken as they are"
    if channels == 1 and min(sides) < SMALL:
        return "gradients", "small grey images are best seen by their gradients: under a millisecond each"
    if backbones.has_efficientnet_lite2():
        if min(sides) < _LEAST_SHOWN:
            return (
                "efficientnet_lite2_fine",
                "a pre-trained network, shown small images enlarged: 40 to 70 ms each on one core; "
                "efficientnet_lite2 takes less than half of that and finds less",
            )
        return (
            "efficientnet_lite2",
            "a pre-trained network: about 20 ms an image of 128 x 128 pixels on one core; below 256 pixels "
            "efficientnet_lite2_fine takes longer and finds smaller defects",
        )
    return (
        "gradients",
        "in colour, or of 64 pixels and more, images are far better seen by a pre-trained network; "
        "install it with: pip install 'tollad[vision]'",
    )


def _blocks(images: NDArray[np.float32]) -> Any:
    """Yield blocks of images of one size, the last one padded with zeros, and the number of images in each."""
    for start in range(0, len(images), _BLOCK):
        n = len(images[start : start + _BLOCK])
        block = torch.zeros(_BLOCK, *images.shape[1:])
        block[:n] = torch.tensor(images[start : start + n])
        yield block, n


def _resized(images: Tensor, shown: int) -> Tensor:
    """Return images with three channels, resized to a shorter side of `shown` pixels."""
    shorter = min(images.shape[2:])
    if shown != shorter:
        size = [*size_shown(images.shape[2:], shown)]
        images = functional.interpolate(images, size=size, mode="bilinear", antialias=shown < shorter)
    return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _means(maps: Tensor) -> Tensor:
    return maps.mean((2, 3))


def _deviations(maps: Tensor) -> Tensor:
    return maps.std((2, 3), correction=0)


def _of_length_1(rows: Tensor) -> Tensor:
    """Scale vectors along the second axis to length 1."""
    return functional.normalize(rows, dim=1)
