from __future__ import annotations

import made
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import digamma
from torch import nn

from tollad.methods import GeoTrans
from tollad.methods.geotrans import dirichlet, inverse_digamma, maps, transform

SMALL = made.SMALL["GeoTrans"]
IMAGE = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 32, 32)))


def moved(index: int, x: torch.Tensor = IMAGE) -> torch.Tensor:
    return transform(x, "all", torch.tensor([index]))


def test_the_network_has_the_weights_of_the_authors_code():
    assert sum(p.numel() for p in GeoTrans()._build((3, 32, 32)).parameters()) == 1214744


def test_all_maps_differ_and_stand_where_the_source_has_them():
    known = maps("all")
    every = torch.cat([moved(i) for i in range(72)])

    assert [len(maps(kind)) for kind in ("all", "flips and turns", "turns")] == [72, 8, 4]
    assert known[36 + 12 * 1 + 4 * 2 + 3] == (True, -8, 8, 3)
    assert len({image.numpy().tobytes() for image in every}) == 72
    assert (moved(0) == IMAGE).all()


def test_flips_and_turns_come_back():
    assert (moved(36, moved(36)) == IMAGE).all()
    assert (moved(1, moved(3)) == IMAGE).all()


def test_a_shift_continues_with_the_mirror_image():
    padded = np.pad(IMAGE[0, 0].numpy(), 8, mode="symmetric")

    assert (moved(4 * 2)[0, 0].numpy() == padded[8:40, 0:32]).all()
    assert (moved(12 * 1)[0, 0].numpy() == padded[16:48, 8:40]).all()


def test_digamma_is_inverted():
    a = torch.logspace(-3, 3, 50, dtype=torch.float64)

    torch.testing.assert_close(inverse_digamma(torch.digamma(a)), a, rtol=1e-9, atol=0)


def test_known_parameters_are_found_and_two_agree_with_the_beta_distribution():
    p = torch.from_numpy(np.random.default_rng(0).dirichlet([0.7, 2.0, 5.0], 100_000))
    two = torch.from_numpy(np.random.default_rng(1).dirichlet([2.0, 3.0], 500))

    found = dirichlet(p.mean(0), p.log().mean(0))
    a, b, *_ = stats.beta.fit(two[:, 0].numpy(), floc=0, fscale=1)

    np.testing.assert_allclose(found, [0.7, 2.0, 5.0], rtol=0.02)
    np.testing.assert_allclose(dirichlet(two.mean(0), two.log().mean(0)), [a, b], rtol=1e-3)


def test_equal_vectors_have_finite_parameters():
    even = torch.full((4,), 0.25, dtype=torch.float64)

    assert torch.isfinite(dirichlet(even, even.log())).all()


@pytest.fixture
def fitted():
    return GeoTrans(**SMALL).fit(made.images(20))


def test_flat_distributions_score_0(fitted):
    fitted._parts.alpha.fill_(1)

    assert (fitted.anomaly_score(made.images(5)) == 0).all()


def test_the_order_of_the_labels_is_without_meaning(fitted):
    images = made.images(5, seed=3)
    before, order = fitted.anomaly_score(images), [2, 0, 3, 1]
    last = fitted._parts.classify[-1]

    with torch.no_grad():
        last.weight.copy_(last.weight[order])
        last.bias.copy_(last.bias[order])
        fitted._parts.alpha.copy_(fitted._parts.alpha[:, order])

    np.testing.assert_allclose(fitted.anomaly_score(images), before, rtol=1e-5)


def test_an_image_of_one_value_looks_the_same_after_every_turn(fitted):
    fitted._net.eval()
    with torch.no_grad():
        found = [fitted._log_p(torch.full((1, 1, 32, 32), 0.3), t) for t in range(4)]

    assert all((p == found[0]).all() for p in found)


def test_a_stride_pads_to_the_right_and_below():
    net = GeoTrans(**SMALL)._build((1, 28, 28))

    assert [part.padding for part in net.modules() if isinstance(part, nn.ZeroPad2d)][1:] == [(0, 1, 0, 1)] * 2


def test_other_maps_and_images_are_refused():
    with pytest.raises(ValueError, match="maps must be one of all, flips and turns, turns, not 'other'"):
        GeoTrans(maps="other")
    with pytest.raises(ValueError, match="28 x 28 or 32 x 32"):
        GeoTrans(**SMALL).fit(np.zeros((4, 1, 20, 20)))


def test_the_start_of_the_parameters_is_positive_by_jensen():
    log_p = 3 * torch.randn(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_p = log_p.log_softmax(1)

    assert (torch.xlogy(log_p.exp().mean(0), log_p.exp().mean(0)) - log_p.exp().mean(0) * log_p.mean(0)).sum() > 0
    assert (dirichlet(log_p.exp().mean(0), log_p.mean(0)) > 0).all()


def test_a_map_is_first_a_flip_then_shifts_then_turns():
    padded = np.pad(IMAGE[0, 0].numpy()[:, ::-1], 8, mode="symmetric")

    found = moved(36 + 12 * 1 + 4 * 2 + 3)[0, 0].numpy()

    assert (found == np.rot90(padded[16:48, 0:32], 3)).all()


def probabilities(method, images):
    """Of each image after each map, by NumPy's turns and a plain softmax: (n, maps, maps)."""
    x = np.pad(images / 127.5 - 1, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-1)
    method._net.eval()
    with torch.no_grad():
        turned = [torch.from_numpy(np.rot90(x, k, (2, 3)).copy()).float() for k in range(4)]
        return torch.stack([method._parts.classify(each).double().softmax(1) for each in turned], 1).numpy()


def test_the_score_is_that_of_the_definition(fitted):
    images = made.images(5, seed=3)
    p, alpha = probabilities(fitted, images), fitted._parts.alpha.numpy()

    normality = [np.mean([((alpha[t] - 1) * np.log(p[i, t])).sum() for t in range(4)]) for i in range(5)]

    np.testing.assert_allclose(fitted.anomaly_score(images), -np.array(normality), rtol=1e-4)


def test_the_distributions_are_the_likeliest_of_the_training_images(fitted):
    """There psi(alpha_j) - psi(sum of alpha) is the mean of log p_j."""
    p, alpha = probabilities(fitted, made.images(20)), fitted._parts.alpha.numpy()

    expected = digamma(alpha) - digamma(alpha.sum(1, keepdims=True))

    np.testing.assert_allclose(np.log(p).mean(0), expected, rtol=1e-4)
    assert (alpha > 0).all()


def test_the_loss_is_the_cross_entropy_of_the_map_with_coupled_decay_on_all_weights():
    method = GeoTrans(**{**SMALL, "epochs": 0}, learning_rate=1e-3, weight_decay=1e9).fit(made.images(8))
    (phase,) = method._phases(torch.zeros(8, 1, 28, 28))
    x = torch.from_numpy(made.images(8) / 127.5 - 1).float()
    with torch.no_grad():
        for weight in method._parts.classify.parameters():
            weight += 0.1 * (weight.ndim == 1)  # biases begin at 0, and would have no decay
    method._generator.manual_seed(0)
    index = torch.randint(4, (8,), generator=torch.Generator().manual_seed(0))
    p = probabilities(method, made.images(8))
    before = [w.detach().clone() for w in method._parts.classify.parameters()]

    loss = phase.update(x)

    assert loss.item() == pytest.approx(-np.mean([np.log(p[i, t, t]) for i, t in enumerate(index)]), rel=1e-4)
    for w, start in zip(method._parts.classify.parameters(), before, strict=True):
        torch.testing.assert_close(w.detach(), start - 1e-3 * start.sign(), atol=1e-6, rtol=0)  # Adam's first step
