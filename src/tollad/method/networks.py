"""Autoencoders: the networks of Appendix B, and general ones for tables, images and series.

Each builder is a function ``(input_shape, latent_dim, ...) -> Autoencoder`` and its name is the name by which
`tollad.TollDetector` and the command line know it. A new network is one function, decorated with its `Traits`
and listed in ``__all__``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from tollad.method.initial import OutputBias
from tollad.method.traits import Builder, Traits

__all__ = ["conv", "conv1d", "conv28", "conv32", "mlp", "mlp_layernorm"]

# The least height, width or number of time steps that strided convolutions take.
_LEAST_SIDE = 8


class Autoencoder(nn.Module):
    """An encoder and a decoder.

    Parameters
    ----------
    encoder : nn.Module
        (B, *input_shape) -> (B, latent_dim).
    decoder : nn.Module
        (B, latent_dim) -> (B, *input_shape).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(x_hat, z)`` for a batch: (B, *input_shape) and (B, latent_dim)."""
        z = self.encoder(x)
        return self.decoder(z), z


def find_builder(network: str | Builder) -> Builder:
    """Return the builder of a name, or the builder that is given.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if not isinstance(network, str):
        return network
    if network not in __all__:
        raise ValueError(f"unknown network {network!r}; the known ones are {', '.join(__all__)}")
    builder: Builder = globals()[network]
    return builder


def is_modules(network: object) -> bool:
    """Whether a network is given as torch modules: one, or a pair (encoder, decoder)."""
    if isinstance(network, tuple):
        return len(network) == 2 and all(isinstance(part, nn.Module) for part in network)
    return isinstance(network, nn.Module)


def traits_of(network: object) -> Traits:
    """Return the traits of a builder, or of the builder of a name; the default `Traits()` if none are declared."""
    named = globals()[network] if isinstance(network, str) and network in __all__ else network
    traits: Traits = getattr(named, "traits", Traits())
    return traits


def automatic(shape: Sequence[int], corruption: str | None) -> str:
    """Return the name of the network that "auto" stands for, as the traits of the networks declare it.

    Parameters
    ----------
    shape : sequence of int
        Of a row: (d,), (C, T) or (C, H, W).
    corruption : {"auto", "mixed"} or None
        As in `tollad.TollDetector`.
    """
    return next(name for name in __all__ if traits_of(name).automatic(shape, corruption))


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and min(shape[1:]) >= _LEAST_SIDE


def _is_denoised(shape: Sequence[int], corruption: str | None) -> bool:
    """Whether rows are corrupted in training: rows of tables are by default."""
    return corruption == "mixed" or (corruption == "auto" and len(shape) == 1)


@Traits(
    n_axes=1,
    # 16 as in B.3. Never above half the columns: no bottleneck otherwise.
    latent_dim=lambda size: min(16, math.ceil(size / 2)),
    batched=True,
    automatic=lambda shape, corruption: not _is_image(shape) and not _is_denoised(shape, corruption),
)
def mlp(input_shape: Sequence[int], latent_dim: int, hidden: Sequence[int] = (256, 128)) -> Autoencoder:
    """Dense layers with BatchNorm and ReLU; the default widths with ``latent_dim=16`` are B.3 (Arrhythmia).

    Parameters
    ----------
    input_shape : (d,)
    latent_dim : int
    hidden : sequence of int
        Widths from the input towards the latent; the decoder mirrors them. May be empty: a linear autoencoder.

    Raises
    ------
    ValueError
        For rows of another number of axes.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = mlp((5,), latent_dim=2, hidden=(8,))(torch.zeros(3, 5))
    >>> x_hat.shape, z.shape
    (torch.Size([3, 5]), torch.Size([3, 2]))
    """
    return _dense(_need_axes(input_shape, 1, "mlp"), latent_dim, hidden, nn.BatchNorm1d)


@Traits(
    n_axes=1,
    latent_dim=lambda size: 128,
    batched=True,
    corruption="mixed",
    automatic=lambda shape, corruption: not _is_image(shape) and _is_denoised(shape, corruption),
)
def mlp_layernorm(input_shape: Sequence[int], latent_dim: int, hidden: Sequence[int] = (256, 128)) -> Autoencoder:
    """Dense layers as in `mlp`, with LayerNorm: corrupted rows of a batch do not change how clean ones are normalised.

    The default for tables, with ``latent_dim=128``. Parameters and errors as in `mlp`.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = mlp_layernorm((5,), latent_dim=2, hidden=(8,))(torch.zeros(3, 5))
    >>> x_hat.shape, z.shape
    (torch.Size([3, 5]), torch.Size([3, 2]))
    """
    return _dense(_need_axes(input_shape, 1, "mlp_layernorm"), latent_dim, hidden, nn.LayerNorm)


def _dense(
    input_shape: tuple[int, ...], latent_dim: int, hidden: Sequence[int], norm: Callable[[int], nn.Module]
) -> Autoencoder:
    def part(*widths: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths[:-1]):
            layers += [nn.Linear(before, after), norm(after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    (d,) = input_shape
    return Autoencoder(part(d, *hidden, latent_dim), part(latent_dim, *reversed(hidden), d))


@Traits(n_axes=3)
def conv28(input_shape: Sequence[int], latent_dim: int) -> Autoencoder:
    """B.1, the network for MNIST and Fashion-MNIST; 2.7 GFLOP an image to train.

    Parameters
    ----------
    input_shape : (1, 28, 28)
    latent_dim : int

    Raises
    ------
    ValueError
        For another shape.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = conv28((1, 28, 28), latent_dim=8)(torch.zeros(2, 1, 28, 28))
    >>> x_hat.shape, z.shape
    (torch.Size([2, 1, 28, 28]), torch.Size([2, 8]))
    """
    _need_shape(input_shape, (1, 28, 28), "conv28")
    encoder: list[nn.Module] = []
    for before, after, stride in ((1, 64, 1), (64, 128, 1), (128, 256, 2), (256, 512, 1)):
        encoder += [nn.Conv2d(before, after, 4, stride), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    encoder += [nn.Conv2d(512, 64, 4), nn.Flatten(), nn.Linear(1024, latent_dim)]
    decoder: list[nn.Module] = [nn.Linear(latent_dim, 1024), nn.Unflatten(1, (64, 4, 4))]
    for before, after, stride in ((64, 512, 1), (512, 256, 1), (256, 128, 2), (128, 64, 1)):
        decoder += [nn.ConvTranspose2d(before, after, 4, stride), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    decoder.append(nn.ConvTranspose2d(64, 1, 4))
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))


@Traits(n_axes=3)
def conv32(input_shape: Sequence[int], latent_dim: int) -> Autoencoder:
    """B.2, the network for CIFAR-10 and CIFAR-100.

    NOTE[DIFF] Appendix B.2 ends in a convolution; the authors' code gives that layer no bias of its own and adds a
    learnt bias of shape (3, 32, 32), initially 0, to the output. This follows the code.

    Parameters
    ----------
    input_shape : (3, 32, 32)
    latent_dim : int

    Raises
    ------
    ValueError
        For another shape.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = conv32((3, 32, 32), latent_dim=8)(torch.zeros(2, 3, 32, 32))
    >>> x_hat.shape, z.shape
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 8]))
    """
    _need_shape(input_shape, (3, 32, 32), "conv32")
    encoder: list[nn.Module] = []
    for before, after, kernel, stride in (
        (3, 32, 5, 1),
        (32, 64, 4, 2),
        (64, 128, 4, 1),
        (128, 256, 4, 2),
        (256, 512, 4, 1),
        (512, 512, 1, 1),
    ):
        encoder += [nn.Conv2d(before, after, kernel, stride, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    encoder += [nn.Conv2d(512, latent_dim, 1), nn.Flatten()]
    decoder: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1))]
    for before, after, kernel, stride in (
        (latent_dim, 256, 4, 1),
        (256, 128, 4, 2),
        (128, 64, 4, 1),
        (64, 32, 4, 2),
        (32, 32, 5, 1),
    ):
        layer = nn.ConvTranspose2d(before, after, kernel, stride, bias=False)
        decoder += [layer, nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    decoder += [nn.Conv2d(32, 32, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.1)]
    decoder += [nn.Conv2d(32, 3, 1, bias=False), OutputBias((3, 32, 32))]
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))


@Traits(n_axes=3, automatic=lambda shape, corruption: _is_image(shape))
def conv(input_shape: Sequence[int], latent_dim: int, hidden: Sequence[int] = (32, 64, 128)) -> Autoencoder:
    """Strided convolutions for images of any number of channels, height and width from 8 up.

    Parameters
    ----------
    input_shape : (channels, height, width)
    latent_dim : int
    hidden : sequence of int
        Channels after each halving of height and width; the decoder mirrors them. At least one; each needs another
        factor of 2 in the smaller side.

    Raises
    ------
    ValueError
        For rows of another number of axes, sides below 8, or too many halvings.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = conv((1, 9, 12), latent_dim=2, hidden=(4, 8))(torch.zeros(3, 1, 9, 12))
    >>> x_hat.shape, z.shape
    (torch.Size([3, 1, 9, 12]), torch.Size([3, 2]))
    """
    return _strided(_need_axes(input_shape, 3, "conv"), latent_dim, hidden, "conv")


@Traits(n_axes=2)
def conv1d(input_shape: Sequence[int], latent_dim: int, hidden: Sequence[int] = (32, 64, 128)) -> Autoencoder:
    """Strided convolutions for windows of series, 8 time steps and longer.

    Parameters
    ----------
    input_shape : (channels, time steps)
    latent_dim : int
    hidden : sequence of int
        Channels after each halving of the window, as in `conv`.

    Raises
    ------
    ValueError
        As in `conv`.

    Examples
    --------
    >>> import torch
    >>> x_hat, z = conv1d((2, 16), latent_dim=3, hidden=(4, 8))(torch.zeros(5, 2, 16))
    >>> x_hat.shape, z.shape
    (torch.Size([5, 2, 16]), torch.Size([5, 3]))
    """
    return _strided(_need_axes(input_shape, 2, "conv1d"), latent_dim, hidden, "conv1d")


_LAYERS: dict[int, tuple[Any, Any, Any]] = {
    1: (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d),
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d),
}


def _strided(input_shape: tuple[int, ...], latent_dim: int, hidden: Sequence[int], name: str) -> Autoencoder:
    channels, *size = input_shape
    convolution, transposed, norm = _LAYERS[len(size)]
    if min(size) < _LEAST_SIDE:
        raise ValueError(
            f"network {name!r} needs sides of at least {_LEAST_SIDE}, not {tuple(size)}; use network='mlp'"
        )
    if not hidden or min(size) < 2 ** len(hidden):
        raise ValueError(
            f"each hidden width halves a side of {min(size)}; give 1 to {int(math.log2(min(size)))}, not {len(hidden)}"
        )
    sizes = [tuple(size)]
    widths = [channels, *hidden]
    encoder: list[nn.Module] = []
    for before, after in pairwise(widths):
        encoder += [convolution(before, after, 4, 2, 1), norm(after), nn.LeakyReLU(0.1)]
        sizes.append(tuple(side // 2 for side in sizes[-1]))
    flat = widths[-1] * math.prod(sizes[-1])
    encoder += [nn.Flatten(), nn.Linear(flat, latent_dim)]
    decoder: list[nn.Module] = [nn.Linear(latent_dim, flat), nn.Unflatten(1, (widths[-1], *sizes[-1]))]
    for depth in reversed(range(len(hidden))):
        # Halving an odd side drops its last line. The output padding restores it.
        odd = tuple(side % 2 for side in sizes[depth])
        decoder += [norm(widths[depth + 1]), nn.LeakyReLU(0.1)]
        decoder.append(transposed(widths[depth + 1], widths[depth], 4, 2, 1, output_padding=odd))
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))


def _need_axes(input_shape: Sequence[int], n_axes: int, name: str) -> tuple[int, ...]:
    if len(input_shape) != n_axes or min(input_shape) < 1:
        axes = {1: "(columns,)", 2: "(channels, time steps)", 3: "(channels, height, width)"}[n_axes]
        raise ValueError(f"network {name!r} takes rows of shape {axes}, not {tuple(input_shape)}")
    return tuple(input_shape)


def _need_shape(input_shape: Sequence[int], wanted: tuple[int, ...], name: str) -> None:
    if tuple(input_shape) != wanted:
        raise ValueError(f"network {name!r} takes rows of shape {wanted}, not {tuple(input_shape)}; 'conv' takes any")
