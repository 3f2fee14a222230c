"""A row of a product comes out the same, to the bit, whatever it comes with and wherever it stands."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tollad.training.product import Product


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("d", "k"), [(1, 1), (7, 3), (37, 37), (270, 512), (512, 270), (816, 300), (1280, 7)])
def test_company_does_not_matter(d, k, dtype):
    generator = np.random.default_rng(d)
    rows, matrix = generator.normal(size=(203, d)), generator.normal(size=(d, k)).astype(dtype)
    times = Product(matrix)
    found = times(rows)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, rows.astype(dtype) @ matrix, rtol=0, atol=d * 20 * np.finfo(dtype).eps)
    assert (times(rows[::-1])[::-1] == found).all()
    for n in (1, 2, 5, 13, 64, 129):
        assert (times(rows[n:][:n]) == found[n:][:n]).all()


def test_no_rows_give_no_rows():
    assert Product(np.ones((3, 2)))(np.empty((0, 3))).shape == (0, 2)


def test_a_copy_gives_the_same():
    times, rows = Product(np.array([[2.0], [0.5]])), np.array([[1.0, 4.0]])
    assert (copy.deepcopy(times)(rows) == times(rows)).all()
