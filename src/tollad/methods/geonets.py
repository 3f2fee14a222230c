"""The networks of the baselines that GeoTrans's authors ran on images, for DSEBM, DAGMM and ADGAN."""

from __future__ import annotations

from torch import Tensor, nn

from tollad.methods.layers import Pad, keras_norm

WIDTHS = (64, 128, 256)
SIDE = 32
_SPREAD = SIDE // 2 ** len(WIDTHS)
FLAT = WIDTHS[-1] * _SPREAD**2
"""Values of an image after the last convolution, (256, 4, 4)."""


def need_images(shape: tuple[int, ...], title: str) -> int:
    """Return the number of channels of rows that this encoder takes.

    Raises
    ------
    ValueError
        If the rows are not images of 28 x 28, which are padded, or 32 x 32.
    """
    if len(shape) == 3 and shape[1:] in ((28, 28), (SIDE, SIDE)):
        return shape[0]
    what = f"images of {shape[1]} x {shape[2]}; resize them" if len(shape) == 3 else f"rows of shape {shape}"
    raise ValueError(f"{title} takes images of 28 x 28 or 32 x 32, not {what}")


def pad(shape: tuple[int, ...]) -> nn.Module:
    """Return a layer that pads images to 32 x 32 with -1, which is black for values in [-1, 1]."""
    return Pad(-1.0) if shape[1:] == (28, 28) else nn.Identity()


class HalvedSame(nn.Module):
    """A convolution of 3 x 3 and stride 2 that pads as Keras does: a line to the right and below only."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, h, w) -> (B, after, h / 2, w / 2)."""
        return self.convolution(nn.functional.pad(x, (0, 1, 0, 1)))


class DoubledSame(nn.Module):
    """The transposed convolution of `HalvedSame`."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(before, after, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, h, w) -> (B, after, 2 h, 2 w)."""
        return self.convolution(x)[..., :-1, :-1]


def convolutions(channels: int) -> list[nn.Module]:
    """Return the layers from (B, channels, 32, 32) to (B, `FLAT`)."""
    layers: list[nn.Module] = []
    for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
        layers += [HalvedSame(before, after), keras_norm(after, 2), nn.ReLU()]
    return [*layers, nn.Flatten()]


def generator(latent_dim: int, channels: int) -> nn.Sequential:
    """Return the decoder from (B, latent_dim) to (B, channels, 32, 32), values in [-1, 1]."""
    layers: list[nn.Module] = [nn.Linear(latent_dim, FLAT), keras_norm(FLAT), nn.ReLU()]
    layers.append(nn.Unflatten(1, (WIDTHS[-1], _SPREAD, _SPREAD)))
    for before, after in ((256, 128), (128, 64)):
        layers += [DoubledSame(before, after), keras_norm(after, 2), nn.ReLU()]
    return nn.Sequential(*layers, DoubledSame(64, channels), nn.Tanh())
