"""Fake anomalies made of normal images, for training a classifier where no anomaly is known.

Each kind of fake is a function of one image and a random generator. To add a kind, write such a function and decorate
it. `tollad.methods.FITYMI` takes the function's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_Image: TypeAlias = NDArray[np.float64]
_Kind: TypeAlias = Callable[[_Image, np.random.Generator], _Image]
_KINDS: dict[str, _Kind] = {}
# Constants of the kinds: parts of a side that jigsaw exchanges, shares of an image that CutPaste copies, radians, and
# shares of a side.
_PARTS = 4
_AREA = (0.08, 0.25)
_TURN = np.pi / 2
_SHIFT, _KNOTS = 0.06, 5


def _kind(function: _Kind) -> _Kind:
    _KINDS[function.__name__] = function
    return function


@_kind
def jigsaw(image: _Image, generator: np.random.Generator) -> _Image:
    """Exchange the 4 x 4 parts of an image; lines that are left over stay where they are."""
    height, width = (side // _PARTS for side in image.shape[1:])
    fake = image.copy()
    order = generator.permutation(_PARTS**2)
    for to, origin in enumerate(order):
        (row, column), (top, left) = divmod(to, _PARTS), divmod(int(origin), _PARTS)
        part = image[:, top * height : (top + 1) * height, left * width : (left + 1) * width]
        fake[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = part
    return fake


@_kind
def cutpaste(image: _Image, generator: np.random.Generator) -> _Image:
    """Copy a rectangle of 8 to 25 % of an image to another place in it (CutPaste, Li et al., CVPR 2021)."""
    area = generator.uniform(*_AREA) * image[0].size
    ratio = np.exp(generator.uniform(-1, 1))
    height = int(np.clip(np.sqrt(area * ratio), 1, image.shape[1] - 1))
    width = int(np.clip(np.sqrt(area / ratio), 1, image.shape[2] - 1))
    (row, column), (top, left) = generator.integers(
        0, (image.shape[1] - height + 1, image.shape[2] - width + 1), (2, 2)
    ).tolist()
    fake = image.copy()
    fake[:, row : row + height, column : column + width] = image[:, top : top + height, left : left + width]
    return fake


@_kind
def phase(image: _Image, generator: np.random.Generator) -> _Image:
    """Turn the phases of the Fourier transform by up to a quarter turn, the same in all channels. Amplitudes stay."""
    spectrum = np.fft.rfft2(image)
    turns = generator.uniform(-_TURN, _TURN, spectrum.shape[1:])
    turns[0, 0] = 0
    fake: _Image = np.fft.irfft2(spectrum * np.exp(1j * turns), image.shape[1:])
    return fake


@_kind
def elastic(image: _Image, generator: np.random.Generator) -> _Image:
    """Move the pixels along a smooth random field, by about a sixteenth of a side."""
    sides = np.array(image.shape[1:])
    knots = generator.normal(0, _SHIFT, (2, _KNOTS, _KNOTS)) * sides[:, None, None]
    field = np.stack([ndimage.zoom(axis, sides / _KNOTS, order=3, grid_mode=True, mode="nearest") for axis in knots])
    places = np.indices(image.shape[1:]) + field
    fake: _Image = np.stack([ndimage.map_coordinates(part, places, order=1, mode="reflect") for part in image])
    return fake


KINDS = tuple(_KINDS)
"""The names of all kinds."""


def make(images: NDArray[np.float64], kinds: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Return a fake of each image. All kinds are equally frequent.

    Parameters
    ----------
    images : ndarray, (n, channels, height, width)
        Values from 0 to 1; sides from 4 pixels up.
    kinds : sequence of str
        Of `KINDS`.
    seed : int
        A fake depends on its image, the image's number and this seed.

    Returns
    -------
    ndarray of the same shape
        Values from 0 to 1.

    Raises
    ------
    ValueError
        For an unknown kind, or none.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4) / 16
    >>> fake = make(image, ["jigsaw"], seed=0)
    >>> bool((np.sort(fake, None) == np.sort(image, None)).all())
    True
    """
    check(kinds)
    fakes = [
        _KINDS[kinds[number % len(kinds)]](image, np.random.default_rng([seed, number]))
        for number, image in enumerate(images)
    ]
    return np.stack(fakes).clip(0, 1)


def check(kinds: Sequence[str]) -> None:
    """Raise a ValueError for an unknown kind, or none."""
    if not kinds:
        raise ValueError(f"give one kind of fakes at least, of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in _KINDS:
            raise ValueError(f"there are no fakes {kind!r}; there are {', '.join(KINDS)}")
