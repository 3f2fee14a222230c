from __future__ import annotations

import numpy as np
import pytest

from tollad.methods import fakes

IMAGES = np.random.default_rng(0).random((6, 3, 32, 30))


@pytest.mark.parametrize("kind", fakes.KINDS)
def test_a_fake_is_another_image_of_the_same_range_and_follows_from_the_seed(kind):
    before = IMAGES.copy()

    made = fakes.make(IMAGES, [kind], 3)

    assert (before == IMAGES).all()
    assert made.shape == IMAGES.shape
    assert 0 <= made.min() < made.max() <= 1
    assert (np.abs(made - IMAGES).mean((1, 2, 3)) > 0.005).all()
    assert (fakes.make(IMAGES, [kind], 3) == made).all()
    assert (fakes.make(IMAGES[:2], [kind], 3) == made[:2]).all(), "a fake depends on no other image"
    assert (fakes.make(IMAGES, [kind], 4) != made).any()


def test_jigsaw_keeps_the_pixels_and_cutpaste_adds_none():
    jigsaw, cutpaste = (fakes.make(IMAGES, [kind], 0) for kind in ("jigsaw", "cutpaste"))

    assert (np.sort(jigsaw[:, :, :, :28], None) == np.sort(IMAGES[:, :, :, :28], None)).all()
    assert np.isin(cutpaste, IMAGES).all()
    changed = (cutpaste != IMAGES).any(1).mean((1, 2))
    assert (changed <= 0.26).all()


def test_phase_keeps_the_amplitudes_and_the_mean():
    image = 0.5 + 0.01 * np.random.default_rng(0).normal(size=(1, 1, 16, 16))

    fake = fakes.make(image, ["phase"], 0)

    assert fake.mean() == pytest.approx(image.mean())
    inner = np.s_[..., 1:-1]  # a column of its own conjugate keeps the real part only
    np.testing.assert_allclose(np.abs(np.fft.rfft2(fake))[inner], np.abs(np.fft.rfft2(image))[inner])


def test_an_image_of_one_value_has_no_other_fake():
    image = np.full((1, 1, 8, 8), 0.25)
    for kind in fakes.KINDS:
        np.testing.assert_allclose(fakes.make(image, [kind], 0), image)


def test_kinds_are_used_in_turn():
    made = fakes.make(IMAGES, ["jigsaw", "elastic"], 0)

    assert (made[::2] == fakes.make(IMAGES, ["jigsaw"], 0)[::2]).all()
    assert (made[1::2] == fakes.make(IMAGES, ["elastic"], 0)[1::2]).all()


@pytest.mark.parametrize(("kinds", "words"), [([], "give one kind of fakes"), (["mixup"], "no fakes 'mixup'")])
def test_unknown_kinds_are_refused(kinds, words):
    with pytest.raises(ValueError, match=words):
        fakes.make(IMAGES, kinds, 0)
