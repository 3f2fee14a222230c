"""The networks of the Deep SVDD papers: small convolutions for images, dense layers for tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from tollad.method.networks import Autoencoder
from tollad.methods.layers import dense_layers, no_network

_norm1d: Callable[[int], nn.Module] = partial(nn.BatchNorm1d, eps=1e-4, affine=False)
_norm2d: Callable[[int], nn.Module] = partial(nn.BatchNorm2d, eps=1e-4, affine=False)


def autoencoder(shape: tuple[int, ...], title: str) -> Autoencoder:
    """Return the network for rows of a shape; its encoder alone is Deep SVDD's.

    No layer has a bias. BatchNorm has eps 1e-4 and nothing to learn, leaky ReLUs have a slope of 0.01.

    NOTE[DIFF] In the authors' first code (Theano) BatchNorm has a learnt shift and scale, which act as the biases that
    the paper forbids. Their PyTorch code drops them, and so does this one. The decoder is that of the first code, with
    convolutions; the second has transposed ones.

    Parameters
    ----------
    shape : (1, 28, 28), (3, 32, 32) or (d,)
        Latents have 32 values, and 128 for images of 32 x 32.
    title : str
        Name of the method, for the error.

    Raises
    ------
    ValueError
        For another shape.
    """
    if shape == (1, 28, 28):
        return _for_28()
    if shape == (3, 32, 32):
        return _for_32()
    if len(shape) == 1:
        return _for_tables(shape[0])
    raise no_network(title, shape)


def _down(before: int, after: int) -> list[nn.Module]:
    return [*_same(before, after), nn.MaxPool2d(2)]


def _same(before: int, after: int, padding: int = 2) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 5, padding=padding, bias=False), _norm2d(after), nn.LeakyReLU()]


def _up() -> nn.Module:
    return nn.Upsample(scale_factor=2)


def _for_28() -> Autoencoder:
    encoder = [*_down(1, 8), *_down(8, 4), nn.Flatten(), nn.Linear(196, 32, bias=False)]
    decoder = [nn.Unflatten(1, (2, 4, 4)), nn.LeakyReLU(), _up(), *_same(2, 4), _up(), *_same(4, 8, padding=1), _up()]
    decoder += [nn.Conv2d(8, 1, 5, padding=2, bias=False), nn.Sigmoid()]
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))


def _for_32() -> Autoencoder:
    encoder = [*_down(3, 32), *_down(32, 64), *_down(64, 128), nn.Flatten(), nn.Linear(2048, 128, bias=False)]
    decoder = [nn.Unflatten(1, (8, 4, 4)), nn.LeakyReLU(), *_same(8, 128), _up(), *_same(128, 64), _up()]
    decoder += [*_same(64, 32), _up(), nn.Conv2d(32, 3, 5, padding=2, bias=False), nn.Sigmoid()]
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))


def _for_tables(d: int) -> Autoencoder:
    encoder = dense_layers((d, 128, 64, 32), nn.LeakyReLU, norm=_norm1d, bias=False)
    decoder = dense_layers((32, 64, 128, d), nn.LeakyReLU, norm=_norm1d, bias=False)
    return Autoencoder(encoder, nn.Sequential(*decoder, nn.Sigmoid()))
