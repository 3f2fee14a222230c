from __future__ import annotations

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import ARNet, arnet
from tollad.methods.arnet import erase

SMALL = made.SMALL["ARNet"]
IMAGES = made.images(20)


def test_the_network_has_the_weights_of_the_port():
    assert sum(p.numel() for p in ARNet()._build((3, 32, 32)).parameters()) == 13395840


def test_grey_images_stay_and_turns_come_back():
    grey, colour = torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8)

    assert (erase(grey, 0) == grey).all()
    assert (erase(erase(grey, 1), 3) == grey).all()
    torch.testing.assert_close(erase(colour, 0), colour.mean(1, keepdim=True))


@pytest.mark.parametrize("side", [16, 28, 32])
def test_what_comes_out_is_as_large_as_what_goes_in(side):
    net = ARNet(**SMALL)._build((3, side, side)).eval()

    assert net(torch.rand(2, 1, side, side)).shape == (2, 3, side, side)


def test_the_errors_of_training_images_are_1_on_average_for_each_way():
    method = ARNet(**SMALL).fit(IMAGES)
    with torch.no_grad():
        errors = method._errors(torch.from_numpy(IMAGES / 255.0).float())

    torch.testing.assert_close((errors / method._parts.typical).mean(0), torch.ones(4, dtype=torch.float64))
    assert method.anomaly_score(IMAGES).mean() == pytest.approx(1, rel=1e-5)
    assert method.diagnose(IMAGES)["mean_error"] > 0


class _Constant(nn.Module):
    def __init__(self, image, typical):
        super().__init__()
        self.image, self.typical = image, typical

    def forward(self, x):
        return self.image.expand(len(x), -1, -1, -1)


def test_a_network_that_ignores_its_input_scores_by_the_distance_to_its_output():
    method = ARNet(**SMALL).fit(IMAGES)
    mean = IMAGES.mean(0, keepdims=True) / 255
    method._net = _Constant(torch.from_numpy(mean).float(), torch.ones(4, dtype=torch.float64))

    expected = np.abs(IMAGES / 255 - mean).mean((1, 2, 3))

    np.testing.assert_allclose(method.anomaly_score(IMAGES), expected, rtol=1e-5)


def test_an_image_that_every_turn_leaves_has_four_equal_errors():
    method = ARNet(**SMALL).fit(IMAGES)
    x = torch.rand(1, 1, 28, 28)
    x = sum(torch.rot90(x, k, (2, 3)) for k in range(4)) / 4
    method._net.eval()
    with torch.no_grad():
        errors = method._errors(x)

    torch.testing.assert_close(errors, errors[:, :1].expand(1, 4), rtol=1e-4, atol=1e-6)


def test_a_tanh_keeps_what_is_restored_between_minus_1_and_1():
    images = 50 * torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    bounded, free = (ARNet(width=4, tanh=tanh)._build((1, 16, 16)).train() for tanh in (True, False))
    for net in (bounded, free):
        with torch.no_grad():
            net.last.weight *= 9

    assert bounded(images).abs().max() <= 1 < free(images).abs().max()


def test_a_file_from_before_the_tanh_scores_as_before():
    method = ARNet(**SMALL, tanh=False).fit(IMAGES)
    described, arrays = method.parts()
    del described["parameters"]["tanh"]

    again = ARNet.of_parts(described, arrays)

    assert not again.tanh
    np.testing.assert_array_equal(again.anomaly_score(IMAGES), method.anomaly_score(IMAGES))


@pytest.mark.slow
def test_it_learns_to_restore():
    short, long = (ARNet(width=4, batch_size=4, epochs=n).fit(IMAGES).diagnose(IMAGES)["mean_error"] for n in (0, 60))

    assert long < 0.6 * short


def test_rows_of_a_table_and_small_images_are_refused():
    with pytest.raises(ValueError, match="square images of 16 x 16 or more"):
        ARNet(**SMALL).fit(made.rows())
    with pytest.raises(ValueError, match="square images of 16 x 16 or more"):
        ARNet(**SMALL).fit(np.zeros((4, 1, 8, 8)))


def test_the_step_is_halved_every_tenth_of_the_training():
    method = ARNet(**{**SMALL, "epochs": 10}, flip=True).fit(IMAGES[:1].repeat(10, 0))
    net, x = method._parts.eval(), torch.from_numpy(IMAGES[:10] / 255).float()
    (phase,) = method._phases(x)  # ten steps
    for step, rate in ((0, 0.1), (3, 0.0125), (9, 0.1 / 512)):
        net.step.fill_(step)
        method._generator.manual_seed(step)
        draw = torch.Generator().manual_seed(step)
        flipped = [
            image.flip(2) if u < 0.5 else image for image, u in zip(x, torch.rand(10, generator=draw), strict=True)
        ]
        turns = torch.randint(4, (10,), generator=draw)
        given = [torch.rot90(image, int(k), (1, 2)) for image, k in zip(flipped, turns, strict=True)]
        loss = (net(torch.stack(given)) - torch.stack(flipped)).square().mean()
        (slope,) = torch.autograd.grad(loss, net.last.weight)
        before = net.last.weight.detach().clone()

        torch.testing.assert_close(phase.update(x), loss)
        torch.testing.assert_close(net.last.weight.detach(), before - rate * slope, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_without_turns_it_learns_to_copy_and_anomalies_as_well(monkeypatch):
    """The ablation: nothing but the turns keeps the network from being the identity."""
    generator = np.random.default_rng(0)
    images = np.zeros((60, 1, 16, 16), np.uint8)
    for image, left, value in zip(
        images[:, 0], generator.integers(2, 6, 60), generator.integers(100, 250, 60), strict=True
    ):
        image[1:4, left : left + 9] = image[4:12, left + 3 : left + 5] = value
    error, contrast = {}, {}
    for turns in (4, 1):
        monkeypatch.setattr(arnet, "_TURNS", turns)
        method = ARNet(width=8, epochs=100, batch_size=8, tanh=False).fit(images[:40])
        error[turns] = method.diagnose(images)["mean_error"]
        upright, upset = (method.anomaly_score(rows).mean() for rows in (images[40:], images[40:, :, ::-1, ::-1]))
        contrast[turns] = upset / upright

    assert error[1] < 0.6 * error[4]
    assert contrast[1] < 0.8 * contrast[4]
