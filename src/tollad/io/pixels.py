"""Images given as arrays. Each error is one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def floats_of(images: ArrayLike) -> NDArray[np.float32]:
    """Return images as float32 from 0 to 1: (n, H, W) or (n, C, H, W) -> (n, C, H, W).

    Raises
    ------
    ValueError, TypeError
        For images of several sizes or of another type, and for values that are not finite or outside of 0 to 1.
    """
    if np.ma.is_masked(images):
        raise ValueError("the images have masked pixels; fill them, as numpy.ma.filled does, or leave these images out")
    try:
        array = np.asarray(images)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind == "U":
        raise TypeError("images are arrays, not paths; read a folder by tollad.images.open_images")
    if array.dtype == object:
        raise ValueError("the images differ in size or are no numbers; bring them to one size first")
    if array.ndim not in (3, 4) or not array.size:
        raise ValueError(f"images are (n, H, W) or (n, C, H, W), not an array of shape {array.shape}")
    array = array[:, None] if array.ndim == 3 else array
    if array.shape[1] not in (1, 3):
        last = "; move the last axis, as numpy.moveaxis(images, 3, 1) does" if array.shape[3] in (1, 3) else ""
        raise ValueError(f"images have 1 channel or 3, (n, C, H, W), not {array.shape[1]}: shape {array.shape}{last}")
    if array.dtype == np.uint8:
        return np.divide(array, 255, dtype=np.float32)
    if array.dtype.kind != "f":
        raise TypeError(
            f"images are uint8, or floats from 0 to 1, not {array.dtype}; divide them by their value of white, which "
            "makes floats"
        )
    # Copied before the check: another program may change a memory-mapped file meanwhile.
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    for number, image in enumerate(array):
        least, most = image.min(), image.max()
        if not (least >= 0 and most <= 1):  # NaN compares as neither
            if np.isnan(image).any():
                raise ValueError(f"image {number + 1} holds NaN; replace it, or leave this image out")
            raise ValueError(
                f"image {number + 1} has values from {least:g} to {most:g}, and floats go from 0 to 1; divide all "
                "images by their value of white, such as 255"
            )
    return array
