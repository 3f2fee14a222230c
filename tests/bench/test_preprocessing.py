"""Preprocessing: the formulas, and the constants that stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tollad.bench.preprocessing import Preprocessing
from tollad.methods.scaling import contrast

IMAGES = {"mnist": 60000, "fashion_mnist": 60000, "cifar10": 50000, "cifar100": 50000}


class TestPreprocessing:
    @given(n=st.integers(1, 5), seed=st.integers(0, 100))
    def test_contrast(self, n, seed):
        images = np.random.default_rng(seed).integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
        values = contrast(images)
        assert values.dtype == np.float64
        assert values.shape == images.shape
        assert np.allclose(values.mean((1, 2, 3)), 0)
        assert np.allclose(np.abs(values).mean((1, 2, 3)), 1)
        scaled = Preprocessing("contrast", (-2.0, 6.0))(images)
        assert scaled.dtype == np.float32
        assert np.allclose(scaled, (values + 2) / 8, atol=1e-6)

    def test_contrast_knows_no_image_but_its_own(self):
        images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
        together = contrast(images)
        for image, values in zip(images, together, strict=True):
            assert np.array_equal(contrast(image[None])[0], values)

    def test_an_image_of_one_value(self):
        assert not contrast(np.full((1, 3, 2, 2), 77, np.uint8)).any()

    def test_scale(self):
        values = Preprocessing("scale", (0.5, 0.25))(np.array([[[[0, 255]]]], np.uint8))
        assert values.dtype == np.float32
        assert values.tolist() == [[[[-2.0, 2.0]]]]

    def test_standardise_and_none(self):
        rows = np.array([[1.0, 2.0], [3.0, 4.0]])
        assert Preprocessing("standardise", ((1.0, 2.0), (2.0, 4.0)))(rows).tolist() == [[0, 0], [1, 0.5]]
        assert np.array_equal(Preprocessing("none")(rows), rows)

    def test_is_a_value(self):
        assert len({Preprocessing("scale", (0.1, 0.2)), Preprocessing("scale", (0.1, 0.2))}) == 1
