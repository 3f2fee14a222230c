"""Which levels of the whole image serve."""

from __future__ import annotations

import numpy as np
from images.test_positions import RNG, texture

from tollad.images.positions import fit_positions
from tollad.images.representations import ImageFeatures
from tollad.images.selection import are_diverse, are_homogeneous, used_levels


def test_images_are_homogeneous_if_far_parts_of_them_have_nothing_in_common():
    def judged(good: np.ndarray) -> bool:
        return are_homogeneous(fit_positions({"fine": good})[0], {"fine": good})

    assert judged(texture(100))
    assert judged(texture(200) + np.repeat(texture(200, 2), 8, 1).repeat(8, 2))  # what is near may be alike
    assert not judged(texture(99))  # too few to tell
    light = RNG.normal(size=(100, 1, 1, 6)) * np.arange(1, 7)
    assert not judged(texture(100) + 0.2 * light)
    assert judged(texture(100) + 0.01 * light)
    assert not judged(texture(100) + np.linspace(0, 6, 16)[:, None])  # aligned


def of_length_1(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ALIKE, DIVERSE = (of_length_1(RNG.normal(size=(100, 40)) + common) for common in (3, 1))


def test_images_are_diverse_if_they_point_in_many_directions():
    assert are_diverse(DIVERSE)
    assert not are_diverse(ALIKE)
    assert are_diverse(DIVERSE[:5])  # however few there are
    assert not are_diverse(ALIKE[:5])


def test_good_images_tell_which_levels_serve():
    grain = texture(100)
    photos, parts = grain + RNG.normal(size=(100, 1, 1, 6)), grain + np.linspace(0, 6, 16)[:, None]

    def used(positions: np.ndarray, kinds: np.ndarray, levels: str = "auto") -> tuple[str, ...]:
        whole = {"texture": kinds, "kind": kinds, "spread": kinds}
        seen = ImageFeatures(whole, {"fine": positions})
        return used_levels(seen, fit_positions(seen.positions)[0], levels)

    assert used(grain, ALIKE) == ()
    assert used(grain, ALIKE, "both") == used(grain, ALIKE, "image") == ("texture",)
    assert used(photos, DIVERSE) == used(parts, DIVERSE) == ("texture", "kind")
    assert used(photos, ALIKE) == ("texture",)
    assert used(parts, ALIKE) == ("texture", "spread")
    assert used(parts, ALIKE, "positions") == ()
