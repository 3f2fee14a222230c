"""The checks of FITYMI's facts, on a backbone of random weights; and one on the real one."""

from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.images.backbones import has_efficientnet_lite2
from tollad.methods import FITYMI, DistanceToMean, fakes, trunks
from tollad.methods.fitymi import neighbours, spread

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 3, 16, 16)).astype(np.uint8)
OTHERS = made.images(20, side=16, seed=1).repeat(3, 1)
HALF = {"trained_blocks": 1}


def small(**changes):
    return FITYMI(**{"backbone": "random", "side": 16, "epochs": 2, "batch_size": 8, **changes})


def features(images, trained_blocks=0):
    """Of unit length, by the backbone alone."""
    behind = trunks.trunk("random", trained_blocks)
    with torch.no_grad():
        seen = behind.tail(behind.frozen(torch.from_numpy(images / 255).float()))
    return nn.functional.normalize(seen, dim=1).double().numpy()


def unit(n, dim=5, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim))).requires_grad_(True)


@pytest.mark.parametrize("changes", [{}, HALF], ids=["frozen", "half-frozen"])
def test_without_a_step_it_is_the_distance_to_neighbours_of_the_backbone(changes):
    """DN2."""
    method = small(epochs=0, **changes).fit(IMAGES)
    bank, others = features(IMAGES, **changes), features(OTHERS, **changes)
    squares = ((others[:, None] - bank[None]) ** 2).sum(2)

    expected = np.sort(squares, 1)[:, :2].sum(1)

    np.testing.assert_allclose(method.anomaly_score(OTHERS), expected, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, HALF], ids=["frozen", "half-frozen"])
def test_a_weight_of_0_is_the_method_without_the_term_to_the_bit_and_another_is_not(changes, monkeypatch):
    plain = small(**changes).fit(IMAGES).anomaly_score(OTHERS)
    assert (small(collapse=0.1, **changes).fit(IMAGES).anomaly_score(OTHERS) != plain).any()

    monkeypatch.setattr("tollad.methods.fitymi.spread", None)
    assert (small(collapse=0.0, **changes).fit(IMAGES).anomaly_score(OTHERS) == plain).all()


@pytest.mark.parametrize("changes", [{}, {"task": "centre"}, HALF], ids=["fakes", "centre", "half-frozen"])
def test_the_term_draws_normal_images_together(changes):
    distance = {
        beta: small(epochs=20, learning_rate=1e-2, collapse=beta, **changes).fit(IMAGES).diagnose(IMAGES)
        for beta in (0.0, 30.0)
    }
    assert distance[30.0]["mean_distance"] < 0.9 * distance[0.0]["mean_distance"]


def test_the_loss_begins_near_log_2():
    method = small(epochs=0).fit(IMAGES)
    (phase,) = method._phases(torch.from_numpy(_rows(method)).float())

    loss = phase.update(torch.from_numpy(_rows(method)).float())

    assert loss.item() == pytest.approx(math.log(2), abs=0.1)


def _rows(method):
    seen = [method._frozen(images) for images in (IMAGES / 255, fakes.make(IMAGES / 255, method.kinds, method.seed))]
    return np.concatenate([np.c_[part, np.full(len(part), mark)] for mark, part in enumerate(seen)])


def test_the_gradient_of_the_term_is_a_unit_vector_each():
    f = unit(7)
    spread(f).backward()
    away = (f - f.mean(0)).detach()
    torch.testing.assert_close(f.grad, away / away.norm(dim=1, keepdim=True) / 7)


def test_the_gradients_through_the_mean_would_sum_to_0():
    f = unit(7)
    torch.linalg.vector_norm(f - f.mean(0), dim=1).mean().backward()
    torch.testing.assert_close(f.grad.sum(0), torch.zeros(5, dtype=f.dtype), atol=1e-12, rtol=0)


def test_of_two_images_the_term_is_half_their_distance():
    f = unit(2)
    value = spread(f)
    value.backward()
    apart = (f[0] - f[1]).detach()
    torch.testing.assert_close(value, apart.norm() / 2)
    torch.testing.assert_close(f.grad, torch.stack([apart, -apart]) / apart.norm() / 2)


@pytest.mark.parametrize("n", [0, 1])
def test_of_one_image_or_none_the_term_is_0_and_so_is_its_gradient(n):
    f = unit(n)
    value = spread(f)
    value.backward()
    assert value.item() == 0
    assert (f.grad == 0).all()


@pytest.mark.parametrize("n_trained", [0, 1, 2])
def test_what_is_frozen_stays_and_what_is_trained_changes(n_trained):
    method = small(trained_blocks=n_trained, learning_rate=1e-2)
    before = [p.clone() for p in trunks._trunk("random", n_trained).frozen.parameters()]
    first = trunks.trunk("random", n_trained).tail.state_dict()

    method.fit(IMAGES)

    after = trunks._trunk("random", n_trained).frozen.parameters()
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert len(first) == 2 * n_trained
    assert all((value != method._parts.tail.state_dict()[name]).any() for name, value in first.items())
    again = trunks.trunk("random", n_trained).tail.state_dict()
    assert all((value == again[name]).all() for name, value in first.items()), "the next fit begins where this one did"


def test_neighbours_are_those_of_brute_force_and_ranks_bear_scale_and_shift():
    generator = np.random.default_rng(0)
    rows, bank = generator.normal(size=(600, 4)), generator.normal(size=(50, 4))
    expected = np.sort(((rows[:, None] - bank) ** 2).sum(2), 1)[:, :2].sum(1)

    found = neighbours(rows, bank)

    np.testing.assert_allclose(found, expected)
    assert (np.argsort(neighbours(3 * rows + 7, 3 * bank + 7)) == np.argsort(found)).all()


def test_the_head_judges_by_the_odds_of_a_fake():
    method = small(judge="head", epochs=60, learning_rate=1e-2, batch_size=16).fit(IMAGES)
    made_of = (fakes.make(IMAGES / 255, method.kinds, 0) * 255).round().astype(np.uint8)

    assert method.anomaly_score(made_of).mean() > method.anomaly_score(IMAGES).mean() + 0.5


@pytest.mark.slow
def test_by_the_centre_alone_long_training_collapses():
    """PANDA's loss has no opponent: features end at one point."""
    long = small(task="centre", trained_blocks=2, epochs=300, learning_rate=3e-3).fit(IMAGES).diagnose(IMAGES)
    short = small(task="centre", trained_blocks=2, epochs=1, learning_rate=1e-4).fit(IMAGES).diagnose(IMAGES)
    assert long["mean_distance"] < 0.2 * short["mean_distance"]


def test_a_few_images_are_drawn_by_the_seed():
    few = small(n_fit=5, epochs=0)
    assert few.fit(IMAGES)._bank.shape == (5, 32)
    assert (small(n_fit=5, epochs=0, seed=1).fit(IMAGES)._bank != few._bank).any()


def test_grey_images_are_shown_in_three_equal_channels():
    grey = IMAGES[:, :1]
    assert (
        small().fit(grey).anomaly_score(grey) == small().fit(grey.repeat(3, 1)).anomaly_score(grey.repeat(3, 1))
    ).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "vit"}, "backbone must be efficientnet_lite2 or random, or the folder of a vision .*, not 'vit'"),
        ({"task": "centre", "judge": "head"}, "judge='head' needs task='fakes'"),
        ({"kinds": ("mixup",)}, "no fakes 'mixup'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


def test_too_many_blocks_and_rows_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match="trained_blocks must be at most the 3 of the backbone, not 4"):
        small(trained_blocks=4).fit(IMAGES)
    with pytest.raises(ValueError, match="takes images of 1 or 3 channels"):
        small().fit(np.zeros((5, 2, 8, 8)))
    with pytest.raises(ValueError, match="needs 2 training images"):
        small().fit(IMAGES[:1])


@pytest.mark.skipif(not has_efficientnet_lite2(), reason="needs the weights of the extra vision")
@pytest.mark.parametrize("trained_blocks", [0, 1])
def test_the_real_backbone_sees_each_image_alone_and_keeps_its_parts(trained_blocks):
    method = FITYMI(side=32, epochs=1, batch_size=8, trained_blocks=trained_blocks, n_fit=8).fit(IMAGES)
    scores = method.anomaly_score(OTHERS)
    assert (method.anomaly_score(OTHERS[::-1])[::-1] == scores).all()
    assert (method.anomaly_score(OTHERS[3:4]) == scores[3]).all()
    assert method._bank.shape == (8, 1280)
    assert np.isfinite(DistanceToMean().fit(method._bank).anomaly_score(method._bank)).all()


def test_trials_of_other_seeds_pass_the_images_that_they_share_through_the_backbone_once(monkeypatch):
    passed = []
    compute = trunks._outputs
    monkeypatch.setattr(trunks, "_outputs", lambda *given: passed.append(len(given[-1])) or compute(*given))
    trunks._cached.cache_clear()

    for seed in range(2):
        method = small(n_fit=4, seed=seed).fit(IMAGES)
        for rows in (OTHERS[:7], OTHERS[:9]):
            method.anomaly_score(rows)

    assert passed == [4, 4, 7, 9, 4, 4]


def test_one_small_step_towards_the_centre_keeps_the_order_of_the_neighbours_and_a_large_one_does_not():
    def order(**changes):
        return np.argsort(small(task="centre", batch_size=24, **HALF, **changes).fit(IMAGES).anomaly_score(OTHERS))

    before = order(epochs=0)

    assert (order(epochs=1, learning_rate=1e-7) == before).all()
    assert (order(epochs=30, learning_rate=1e-2) != before).any()


def test_the_losses_are_cross_entropy_or_distance_and_the_term():
    for task in ("fakes", "centre"):
        method = small(task=task, epochs=0, collapse=0.5, learning_rate=0.0).fit(IMAGES)
        rows = _rows(method) if task == "fakes" else _rows(method)[: len(IMAGES)]
        x = torch.from_numpy(rows).float()
        (phase,) = method._phases(x)
        f = method._parts(x[:, :-1])
        normal = f[: len(IMAGES)]
        if task == "fakes":
            p = method._parts.head(f).softmax(1)
            loss = -torch.cat([p[: len(IMAGES), 0], p[len(IMAGES) :, 1]]).log().mean()
        else:
            loss = (f - torch.from_numpy(method._bank).float().mean(0)).square().sum(1).mean()

        expected = loss + 0.5 * (normal - normal.mean(0)).norm(dim=1).mean()

        torch.testing.assert_close(phase.update(x), expected)
