from __future__ import annotations

import numpy as np
import pytest

from tollad.methods.scaling import STEPS, Scaling, contrast


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 1, 6, 5)).astype(np.uint8)


def test_a_table_is_scaled_column_by_column():
    rows = np.array([[0.0, 5, 1], [4, 5, 3], [2, 5, 8]])

    standard, unit = Scaling("standardise").fit(rows)(rows), Scaling("minmax").fit(rows)

    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(standard.std(0), [1, 0, 1])
    assert unit(rows).min() == 0
    assert unit(rows).max() == 1
    assert unit(rows[:1] - 4)[0, 0] == -1, "not clipped"


def test_images_are_scaled_as_their_steps_say(images):
    assert (Scaling("unit").fit(images)(images) == images / 255).all()
    signed = Scaling("signed").fit(images)(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    assert signed.ravel().tolist() == [-1, 1]
    scaled = Scaling("contrast").fit(images)(images)
    assert (scaled.min(), scaled.max()) == (0, 1)
    np.testing.assert_allclose(np.abs(contrast(images)).mean((1, 2, 3)), 1)


def test_principal_components_explain_95_percent(images):
    flat = images.reshape(20, -1).astype(float)
    for rows in (flat, flat[:, :4]):  # fewer rows than columns, and more
        components = Scaling("pca").fit(rows)(rows)
        values = np.linalg.eigvalsh(np.cov(rows.T, ddof=0))[::-1]
        n = components.shape[1]
        assert values[: n - 1].sum() < 0.95 * values.sum() <= values[:n].sum()
        np.testing.assert_allclose(components.var(0), values[:n])


@pytest.mark.parametrize("steps", [*STEPS, "contrast+pca", "standardise+pca"])
def test_its_state_is_all_that_it_is(steps, images):
    scaling = Scaling(steps).fit(images)

    again = Scaling.from_state(steps, scaling.state())

    assert (again(images) == scaling(images)).all()


@pytest.mark.parametrize("steps", ["unit", "signed", "unit+pca"])
def test_images_from_0_to_1_are_not_taken_for_nearly_black_ones(steps, images):
    with pytest.raises(ValueError, match="multiply them by 255"):
        Scaling(steps).fit(images / 255)


def test_an_image_of_one_value_has_no_contrast():
    assert (contrast(np.full((1, 1, 2, 2), 7, np.uint8)) == 0).all()
