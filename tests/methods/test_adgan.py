from __future__ import annotations

import copy

import made
import numpy as np
import pytest
import torch
from torch import nn

from tollad.methods import ADGAN, adgan
from tollad.methods.adgan import gradient_penalty, search
from tollad.methods.layers import build
from tollad.training.adam import Adam

SMALL = {**made.SMALL["ADGAN"], "n_starts": 2, "n_steps": 2}
IMAGES = made.images(12)


@pytest.fixture(scope="module")
def fitted():
    return ADGAN(**SMALL).fit(IMAGES)


def test_a_linear_critic_is_penalised_by_the_norm_of_its_weights():
    critic = nn.Linear(3, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[0.0, 3.0, 4.0]]))

    assert gradient_penalty(critic, torch.rand(5, 3)).item() == pytest.approx(16)


def test_a_score_leaves_the_generator_as_it_was(fitted):
    before = copy.deepcopy(fitted._net.state_dict())

    fitted.anomaly_score(IMAGES)

    assert all((tensor == before[name]).all() for name, tensor in fitted._net.state_dict().items())


def test_without_steps_the_score_is_the_mean_distance_to_the_starts(fitted):
    method = ADGAN(**{**SMALL, "n_steps": 0})
    method.load_state(fitted.state(), (1, 28, 28))
    x = method._parts.pad(torch.from_numpy(IMAGES / 127.5 - 1).float())
    starts = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made_of = method._parts.generator.eval()(starts)

    expected = (x[:, None] - made_of).square().mean((1, 2, 3, 4))

    np.testing.assert_allclose(method.anomaly_score(IMAGES), expected, rtol=1e-5)


def test_a_search_goes_nearer(fitted):
    none = ADGAN(**{**SMALL, "n_steps": 0})
    none.load_state(fitted.state(), (1, 28, 28))

    assert (fitted.anomaly_score(IMAGES) < none.anomaly_score(IMAGES)).all()


def linear() -> nn.Linear:
    torch.random.manual_seed(0)
    return nn.Linear(2, 5)


@pytest.mark.usefixtures("global_random_states_stay")
def test_a_linear_generator_leaves_the_distance_to_its_range_and_with_its_weights_free_nothing():
    with torch.random.fork_rng():
        generator = linear()
        image = torch.randn(1, 5)
    w, b = generator.weight.detach(), generator.bias.detach()
    rest = (image - b).T
    residual = rest - w @ torch.linalg.lstsq(w, rest).solution

    frozen, _ = search(generator, image, torch.zeros(1, 2), 400, 0.05, 0.0)

    assert frozen.item() == pytest.approx(residual.square().mean().item(), rel=1e-2)
    assert (generator.weight == w).all()
    assert search(generator, image, torch.zeros(1, 2), 400, 0.05, 0.05)[0].item() < 1e-3


def test_a_made_image_whose_code_is_the_start_scores_0(fitted):
    generator = copy.deepcopy(fitted._parts.generator).eval()
    z = torch.randn(1, 3, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        image = generator(z)

    loss, end = search(generator, image, z, 3, 0.25, 5e-5)

    assert loss.item() < 1e-9
    torch.testing.assert_close(end, z)


def test_rows_of_a_table_are_refused():
    with pytest.raises(ValueError, match="28 x 28 or 32 x 32"):
        ADGAN(**SMALL).fit(made.rows())


def test_several_starts_are_the_mean_of_each(fitted):
    x = fitted._parts.pad(torch.from_numpy(IMAGES[:1] / 127.5 - 1).float())
    starts = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    single = [
        search(copy.deepcopy(fitted._parts.generator).eval(), x, z, 2, fitted.code_rate, fitted.weight_rate)[0]
        for z in starts
    ]

    assert fitted.anomaly_score(IMAGES[:1])[0] == pytest.approx(float(torch.stack(single).mean()), rel=1e-6)


def test_without_a_step_of_the_weights_they_stay_while_the_code_moves(fitted):
    generator, z = copy.deepcopy(fitted._parts.generator).eval(), torch.zeros(1, 3)
    before = copy.deepcopy(generator.state_dict())

    _, code = search(generator, fitted._parts.pad(torch.zeros(1, 1, 28, 28)), z, 3, 0.25, 0.0)

    assert (code != z).any()
    assert all((tensor == before[name]).all() for name, tensor in generator.state_dict().items())


def test_a_penalised_critic_of_two_points_tells_their_distance():
    """Of C(x) = a x the best a is 1 + d / (2 * 20), and the gap of the critic a d."""
    critic = build(lambda: nn.Linear(1, 1), 0)
    with torch.no_grad():
        critic.weight.fill_(0.5)  # from below 0 it would end at the slope -1
    near, far = torch.zeros(8, 1), torch.full((8, 1), 3.0)
    adam = Adam(critic.parameters(), 0.02)
    for _ in range(400):
        between = torch.rand(8, 1, generator=torch.Generator().manual_seed(0)) * far
        adam.minimise(critic(near).mean() - critic(far).mean() + 20 * gradient_penalty(critic, between))

    gap = (critic(far).mean() - critic(near).mean()).item()
    assert gap == pytest.approx(3 * (1 + 3 / 40), abs=0.05)


def test_the_networks_have_the_weights_of_the_quoted_run():
    net = ADGAN()._build((3, 32, 32))
    n = {name: sum(p.numel() for p in getattr(net, name).parameters()) for name in ("generator", "critic")}

    norms = {"generator": 2 * (4096 + 128 + 64), "critic": 2 * (64 + 128 + 256)}
    assert n["generator"] - norms["generator"] == 257 * 4096 + 9 * (256 * 128 + 128 * 64 + 64 * 3) + 128 + 64 + 3
    assert n["critic"] - norms["critic"] == 9 * (3 * 64 + 64 * 128 + 128 * 256) + 64 + 128 + 256 + 4097


def test_in_training_mode_a_single_code_would_not_matter():
    """Why a search is in evaluation mode: the statistics of one row, here twice, leave the bias of the first norm."""
    generator = copy.deepcopy(ADGAN(latent_dim=3)._build((1, 28, 28)).generator).train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        one, other = (generator(torch.randn(1, 3, generator=draw).expand(2, 3)) for _ in range(2))
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
        generator.eval()
        one, other = (generator(torch.randn(1, 3, generator=draw).expand(2, 3)) for _ in range(2))
    assert (one - other).abs().max() > 1e-3


class _Grey(nn.Module):
    """A generator of one grey image, which notes the mode in which it is asked."""

    def __init__(self):
        super().__init__()
        self.level, self.asked = nn.Parameter(torch.tensor(0.25)), []

    def forward(self, z):
        self.asked.append(self.training)
        return self.level.expand(len(z), 1, 32, 32)


def stepped(monkeypatch):
    """One update, at a learning rate of 0, with a linear critic and all images equal; and what it was penalised at."""
    between = []

    def noted(critic, images):
        between.append(images)
        return gradient_penalty(critic, images)

    monkeypatch.setattr(adgan, "gradient_penalty", noted)
    method = ADGAN(**SMALL, learning_rate=0.0)
    method._start((1, 32, 32))
    method._seed(0)
    own = method._parts
    own.generator = _Grey()
    own.critic = build(lambda: nn.Sequential(nn.Flatten(), nn.Linear(1024, 1)), 0)
    x = torch.full((8, 1, 32, 32), 0.75)
    (phase,) = method._phases(x)
    own.train()
    return own, phase, phase.update(x), between


def test_the_losses_are_those_of_a_wasserstein_gan_with_twenty_times_the_penalty(monkeypatch):
    own, _, loss, _ = stepped(monkeypatch)
    weight, bias = own.critic[1].weight, own.critic[1].bias

    real, made_of = (level * weight.sum() + bias for level in (0.75, 0.25))
    criticised = made_of - real + 20 * (weight.norm() - 1) ** 2

    assert loss.item() == pytest.approx((criticised - made_of).item(), rel=1e-5)


def test_two_steps_of_the_critic_on_running_means_come_before_one_of_the_generator(monkeypatch):
    own, phase, _, _ = stepped(monkeypatch)

    assert own.generator.asked == [False, False, True]
    assert [phase.optimizers[name].state()["step.0"].item() for name in ("critic", "generator")] == [2, 1]


def test_the_critic_is_penalised_between_real_and_made_images(monkeypatch):
    *_, between = stepped(monkeypatch)
    shares = (torch.cat(between) - 0.25) / 0.5

    assert (shares.flatten(1) - shares[:, :1, 0, 0]).abs().max() < 1e-5, "one share an image"
    assert 0 <= shares.min() < 0.3 < 0.7 < shares.max() <= 1


def test_a_score_depends_on_nothing_but_its_image(fitted):
    scores = fitted.anomaly_score(IMAGES[:4])

    assert (fitted.anomaly_score(IMAGES[3::-1])[::-1] == scores).all()
    assert fitted.anomaly_score(IMAGES[2:3])[0] == scores[2]
