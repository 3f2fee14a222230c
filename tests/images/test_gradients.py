from __future__ import annotations

import numpy as np
import pytest

from tollad.images.gradients import oriented_gradients


def by_hand(image: np.ndarray) -> np.ndarray:
    """The same for one grey image of 28 x 28 pixels, place by place."""
    padded = np.pad(image, 1, mode="edge")
    down, across = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2, (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    cells = np.empty((8, 8, 8))
    for y in range(8):
        for x in range(8):
            window = (slice(3 * y, 3 * y + 7), slice(3 * x, 3 * x + 7))
            for k in range(8):
                projected = across[window] * np.cos(k * np.pi / 4) + down[window] * np.sin(k * np.pi / 4)
                cells[y, x, k] = np.sqrt(np.maximum(projected, 0).mean())
    return cells / np.linalg.norm(cells) * np.sqrt(512)


def test_is_what_it_says():
    images = np.random.default_rng(0).uniform(size=(3, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(
        oriented_gradients(images), [by_hand(image[0]) for image in images], rtol=1e-4, atol=1e-4
    )


def test_brightness_and_contrast_change_nothing():
    image = np.random.default_rng(0).uniform(0, 0.4, size=(1, 1, 40, 20))
    np.testing.assert_allclose(oriented_gradients(image * 2 + 0.1), oriented_gradients(image), rtol=1e-3, atol=1e-3)


def test_image_without_edges_is_nothing():
    assert not oriented_gradients(np.full((1, 3, 28, 28), 0.5)).any()


@pytest.mark.parametrize("side", [16, 28, 33, 64])
def test_any_size_has_the_same_cells(side):
    assert oriented_gradients(np.zeros((2, 3, side, side + 5))).shape == (2, 8, 8, 8)
