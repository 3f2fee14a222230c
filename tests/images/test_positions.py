"""Positions of textures: how they are told from others, and the nearest good positions."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.images import positions as module
from tollad.images.levels import Positions
from tollad.images.positions import NearestPositions, are_interchangeable, fit_positions, from_arrays

RNG = np.random.default_rng(0)


def texture(n: int, side: int = 16, width: int = 6) -> np.ndarray:
    """Features that are drawn alike at all positions, of unequal spread."""
    return RNG.normal(size=(n, side, side, width)) * np.arange(1, width + 1)


def test_positions_of_textures_are_interchangeable_and_those_of_objects_are_not():
    assert are_interchangeable({"coarse": texture(20, 8), "fine": texture(20)})
    aligned = texture(20) + np.linspace(0, 6, 16)[:, None]
    assert not are_interchangeable({"coarse": texture(20, 8), "fine": aligned})
    assert not are_interchangeable({"few": texture(20, 6)})
    # What differs near the edge alone, as features of a padded image do, does not count.
    padded = texture(20)
    padded[:, :2] += 9
    assert are_interchangeable({"fine": padded})
    assert isinstance(fit_positions({"fine": padded})[0], NearestPositions)
    assert isinstance(fit_positions({"fine": aligned})[0], Positions)


@pytest.mark.parametrize(("n", "share", "is_texture"), [(30, 0.04, False), (100, 0.04, False), (300, 0.006, True)])
def test_the_number_of_good_images_does_not_decide_whether_positions_are_interchangeable(n, share, is_texture):
    # Means of 2 x 2 positions, as they are compared, have a variance of 1/4.
    pattern = np.sqrt(share / 4) * RNG.normal(size=(16, 16, 6)).repeat(2, 0).repeat(2, 1)
    assert are_interchangeable({"fine": texture(n, 32) + pattern * np.arange(1, 7)}) is is_texture


def test_a_distance_is_that_to_the_nearest_good_position_of_other_images():
    good = texture(9, 8)
    level, distances = NearestPositions.fit({"a": good})
    cells = good.reshape(9, 4, 2, 4, 2, 6).mean((2, 4))
    whitened = (cells - cells.mean((0, 1, 2))) @ level.whitening.astype(float)
    apart = np.linalg.norm(whitened[0, 1, 2] - whitened[1:], axis=-1)
    assert distances.shape == (9, 4, 4)
    assert distances[0, 1, 2] == pytest.approx(apart.min(), rel=1e-4)
    assert level({"a": good}).max() < 1e-4  # at home, each is its own nearest


def test_an_average_position_of_new_good_images_has_one_and_a_defect_more():
    level, unit, scores = fit_positions({"a": texture(60)})
    assert isinstance(level, NearestPositions)
    new = texture(200)
    new[:, 4:6, 6:8] += 15
    maps = level({"a": new})
    assert np.delete(maps.reshape(200, -1), 2 * 8 + 3, axis=1).mean() == pytest.approx(1, abs=0.05)
    assert maps[:, 2, 3].min() > 1.5
    assert np.median(scores) == pytest.approx(1)
    assert unit > 1


def test_the_nearest_row_is_that_of_the_smallest_squared_distance():
    level, _ = NearestPositions.fit({"a": texture(9, 12, 40)})
    (maps,) = texture(1, 6, 40).astype(np.float32)
    whitened = level._whitened(maps)
    squares = np.square(level.rows).sum(1) - 2 * (whitened @ level.rows.T)
    expected = np.sqrt(np.square(whitened - level.rows[squares.argmin(1)], dtype=np.float64).sum(1))
    np.testing.assert_array_equal(level._nearest(whitened, level._halves), expected)


def test_what_is_kept_is_bounded_and_comes_back_from_a_file(monkeypatch):
    monkeypatch.setattr(module, "_MOST_KEPT", 100)
    level, _, _ = fit_positions({"a": texture(12), "b": texture(12, 8)})
    assert level.rows.shape == (100, 12)
    again = from_arrays(level.names, 1.0, level.arrays())
    new = {"a": texture(3), "b": texture(3, 8)}
    np.testing.assert_array_equal(again(new), level(new))


def test_an_image_does_not_depend_on_its_batch():
    level, _ = NearestPositions.fit({"a": texture(9, 12, 40)})
    maps = texture(7, 12, 40)
    distances = level({"a": maps})
    for some in (slice(1, 2), slice(2, 7), np.arange(7)[::-1]):
        np.testing.assert_array_equal(level({"a": maps[some]}), distances[some])


def test_positions_that_never_vary_give_finite_distances():
    same = np.ones((9, 8, 8, 3))
    level, _, scores = fit_positions({"a": same})
    assert np.isfinite(scores).all()
    assert np.isfinite(level({"a": same + 1})).all()
