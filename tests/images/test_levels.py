"""Positions in images: what is learnt of them, in which unit, and how much is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tollad.images.levels import Positions
from tollad.images.positions import fit_positions

RNG = np.random.default_rng(0)


def good(n: int, height: int = 6, across: int = 5, width: int = 3) -> np.ndarray:
    """Positions whose mean goes from left to right, and whose numbers vary more from two to two rows."""
    spread = (1.0 + np.arange(height) // 2)[:, None, None]
    return np.linspace(0, 3, across)[:, None] + spread * RNG.normal(size=(n, height, across, width))


def test_every_place_has_a_mean_and_every_neighbourhood_a_covariance():
    level = Positions.fit({"a": good(400)})
    assert level.factors.shape == (9, 3, 3)
    maps = level({"a": good(400)})
    np.testing.assert_allclose(np.square(maps).mean((0, 2)), 1, rtol=0.1)
    shifted = good(400)
    shifted[:, 0, 0] += 1
    assert level({"a": shifted})[:, 0, 0].mean() > 1.2 * maps[:, 0, 0].mean()


def test_with_one_covariance_it_is_the_distance_of_mahalanobis():
    rows = RNG.normal(size=(3000, 4)) @ (np.eye(4) + 0.2 * RNG.normal(size=(4, 4)))
    level = Positions.fit({"a": rows.reshape(-1, 1, 1, 4)})
    offsets = rows - rows.mean(0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", offsets, np.linalg.inv(np.cov(offsets.T)), offsets) / 4)
    np.testing.assert_allclose(level({"a": rows.reshape(-1, 1, 1, 4)})[:, 0, 0], expected, rtol=0.05)


def test_an_average_place_of_new_good_images_has_one():
    level, unit, scores = fit_positions({"a": good(60), "b": good(60, 3, 3, 2)})
    assert level({"a": good(200), "b": good(200, 3, 3, 2)}).mean() == pytest.approx(1, abs=0.1)
    assert np.median(scores) == pytest.approx(1)
    assert unit > 1


def test_no_position_is_anomalous_more_often_than_others():
    """At the left all images share three features, so that distances from few good images are smaller there."""

    def drawn(n: int) -> np.ndarray:
        maps = RNG.normal(size=(n, 16, 16, 12))
        maps[:, :, :8, 3:] = maps[:, :, :8, :1]
        return maps + np.linspace(0, 3, 16)[:, None]

    level, _, _ = fit_positions({"a": drawn(40)})
    new = level({"a": drawn(200)}).mean(0)
    bare = replace(level, units=np.ones((16, 16), np.float32))({"a": drawn(200)}).mean(0)
    assert abs(bare[:, :6].mean() / bare[:, 10:].mean() - 1) > 0.1
    assert new[:, :6].mean() / new[:, 10:].mean() == pytest.approx(1, abs=0.03)


def test_older_files_have_one_unit_for_all_positions():
    level = Positions.fit({"a": good(30)})
    arrays = {name: array for name, array in level.arrays().items() if name != "units"}
    again = Positions.from_arrays(level.names, 2.0, arrays)
    maps = good(3)
    np.testing.assert_allclose(again({"a": maps}), level({"a": maps}) / 2, rtol=1e-6)


def test_maps_lie_over_each_other_on_the_finest_grid():
    level = Positions.fit({"coarse": good(30, 3, 3, 2), "fine": good(30)})
    assert level.mean.shape == (6, 5, 5)
    assert level({"coarse": good(2, 3, 3, 2), "fine": good(2)}).shape == (2, 6, 5)


def test_what_is_kept_is_bounded():
    level = Positions.fit({"a": good(4, 66, 18, 300)})
    assert level.mean.shape == (66, 18, 256)
    assert len(level.factors) <= 256
    again = Positions.from_arrays(level.names, 1.0, level.arrays())
    maps = good(2, 66, 18, 300)
    np.testing.assert_array_equal(again({"a": maps}), level({"a": maps}))
    np.testing.assert_array_equal(level({"a": maps})[1], level({"a": maps[1:]})[0])


@pytest.mark.parametrize("width", [40, 120])
def test_an_image_does_not_depend_on_its_batch(width):
    level = Positions.fit({"a": good(9, 12, 12, width)})
    maps = good(7, 12, 12, width)
    distances = level({"a": maps})
    for some in (slice(1, 2), slice(2, 7), slice(None, None, -1)):
        np.testing.assert_array_equal(level({"a": maps[some]}), distances[some])


def test_positions_that_never_vary_give_finite_distances():
    same = np.ones((9, 4, 4, 3))
    assert np.isfinite(Positions.fit({"a": same})({"a": same + 1})).all()
