"""Anomaly maps as files: heat over the image to look at, and numbers to work with. Masks of defects to compare with."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from tollad.io.files import atomic_write
from tollad.io.pictures import Aspect, import_pillow, resized
from tollad.warn import warn

MAP_SCALE = 1000
# An average place of a good image has the value 1. Colour begins at the first value here and is full at the second.
_LEAST_SHOWN, _MOST_SHOWN = 1.5, 6.0
_ENDINGS = ("", "_mask")


def write_map(
    folder: str | os.PathLike[str],
    name: str,
    image: NDArray[np.float32],
    heat: NDArray[np.float64],
    *,
    overwrite: bool,
) -> None:
    """Write a map as ``NAME.heat.png``, 8-bit, over the image; and as ``NAME.map.png``, 16-bit grey, the raw values.

    Parameters
    ----------
    folder : path
        Missing folders are made.
    name : str
        Path of the image within its folder. The ending is left out.
    image : ndarray of float, (C, H, W)
        From 0 to 1.
    heat : ndarray of float, (H, W), >= 0
        The 16-bit values are 1000 times these, at most 65535.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    OSError
        If a file cannot be written, or exists and may not be replaced.
    """
    pillow = import_pillow()
    stem = Path(folder, PurePath(name).with_suffix(""))
    stem.parent.mkdir(parents=True, exist_ok=True)
    strength = np.clip((heat - _LEAST_SHOWN) / (_MOST_SHOWN - _LEAST_SHOWN), 0, 1)[..., None]
    grey = image.mean(0)[..., None] if len(image) != 3 else image.transpose(1, 2, 0)
    colour = np.concatenate([np.ones_like(strength), strength**2, np.zeros_like(strength)], 2)  # red to yellow
    shown = grey * (1 - 0.8 * np.sqrt(strength)) + colour * 0.8 * np.sqrt(strength)
    raw = np.minimum(np.round(heat * MAP_SCALE), 65535).astype(np.uint16)
    for ending, pixels in (("heat", np.round(shown * 255).astype(np.uint8)), ("map", raw)):
        with atomic_write(f"{stem}.{ending}.png", overwrite=overwrite) as file:
            pillow.fromarray(pixels).save(file, "PNG")


def read_mask(
    folder: str, image: str, name: str, size: tuple[int, int], aspect: Aspect = "stretch"
) -> NDArray[np.bool_]:
    """Read the mask of a defect: a PNG of the image's name and folder, ``KIND/NAME.png`` or ``KIND/NAME_mask.png``.

    Parameters
    ----------
    folder : str
        Folder of the masks.
    image : str
        Path of the image, whose size in pixels the mask must have.
    name : str
        Path of the image within its folder.
    size : (int, int)
        Height and width to bring the mask to.
    aspect
        How the images were brought to this size, see `tollad.io.images.open_images`.

    Returns
    -------
    ndarray of bool, (H, W)
        True where the mask is not black: there is the defect.

    Raises
    ------
    ValueError
        If there is no mask, or it has another size than the image.
    OSError
        If a file cannot be read.

    Warns
    -----
    UserWarning
        If the mask shows no defect.
    """
    pillow = import_pillow()
    stem = PurePath(name).with_suffix("")
    paths = [Path(folder, f"{stem}{ending}.png") for ending in _ENDINGS]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise ValueError(f"{paths[0]}: the mask of {image} is missing; add it, or leave the image out")
    with pillow.open(path, formats=("PNG",)) as mask, pillow.open(image) as original:
        if mask.size != original.size:
            wrong, right = (f"{one.size[1]}x{one.size[0]}" for one in (mask, original))
            raise ValueError(
                f"{path}: is {wrong} pixels (height x width), and its image is {right}; make them one size"
            )
        marked = (np.asarray(mask.convert("L")) > 0).astype(np.float32)
    share = resized(marked[None], size, aspect, outside=0.0)[0]
    if not share.any():
        warn(f"{path}: shows no defect; its image counts as a whole, and not among the pixels")
        return share > 0
    return share >= share.max() / 2  # keeps defects smaller than a pixel
