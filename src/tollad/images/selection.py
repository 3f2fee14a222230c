"""Which levels of the whole image serve: the good images tell, without labels.

- A homogeneous texture needs none: what is anomalous in it, is so at its positions.
- Photos of many kinds need "kind", the last layer of a network.
- What always looks alike, at the same place, as a part below a camera, needs "spread": how much its features vary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.images.levels import Positions
from tollad.images.positions import NearestPositions
from tollad.images.representations import KIND, SPREAD, ImageFeatures

# Images are homogeneous if opposite corners have at most this share of their variance in common. With 100 images, draws
# of textures have up to 0.014, and classes of photos 0.030 and more. With 50 they overlap.
_MOST_IN_COMMON, _LEAST_TO_TELL = 0.02, 100
# Images are diverse if the mean cosine of two of them is lower: 0.44 to 0.59 in classes of photos, 0.75 and 0.80 in
# tiles.
_LEAST_COSINE = 0.67


def used_levels(seen: ImageFeatures, level: Positions | NearestPositions, levels: str) -> tuple[str, ...]:
    """Return the levels of the whole image that judge images with positions.

    Parameters
    ----------
    seen : ImageFeatures
        Of n good images.
    level : Positions or NearestPositions
        Fitted to their positions.
    levels : {"auto", "both", "image", "positions"}
        As in `tollad.ImageDetector`.
    """
    if levels == "positions" or (levels == "auto" and are_homogeneous(level, seen.positions)):
        return ()
    diverse = KIND in seen.whole and are_diverse(seen.whole[KIND])
    serves = {KIND: diverse, SPREAD: isinstance(level, Positions) and not diverse}
    return tuple(name for name in seen.whole if serves.get(name, True))


def are_homogeneous(level: Positions | NearestPositions, positions: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether good images, (n, h, w, c) by name, are alike but for what is near in them, as those of a texture.

    In a homogeneous texture, opposite corners of an image have no more in common than corners of different images. In
    a photo they have: its light, its sharpness, its scene. Then the image as a whole tells more than its positions do.
    """
    n = len(next(iter(positions.values())))
    if not isinstance(level, NearestPositions) or n < _LEAST_TO_TELL:
        return False
    whitened = level.whitened(positions)
    height, across = (-(-side // 4) for side in whitened.shape[1:3])
    rows, columns = (np.s_[:height], np.s_[-height:]), (np.s_[:across], np.s_[-across:])
    corners = np.array([[whitened[:, y, x].mean((1, 2), dtype=np.float64) for x in columns] for y in rows])
    corners -= corners.mean(2, keepdims=True)  # (2, 2, n, c)
    # Products of different images take off what the mean over few images leaves.
    opposite = corners[0, 0] @ corners[1, 1].T + corners[0, 1] @ corners[1, 0].T
    own = np.trace(opposite)
    in_common = own / n - (opposite.sum() - own) / (n * (n - 1))
    return bool(2 * in_common * (n - 1) <= _MOST_IN_COMMON * np.square(corners).sum())


def are_diverse(rows: NDArray[Any]) -> bool:
    """Return whether good images show many kinds of things: by features of length 1, (n, d)."""
    n, total = len(rows), rows.sum(0, dtype=np.float64)
    return bool(total @ total - n < _LEAST_COSINE * n * (n - 1))
