from __future__ import annotations

import math

import made
import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from tollad.methods import MEMGAN, MemAE
from tollad.methods.layers import build
from tollad.methods.memae import Memory, entropy
from tollad.training.adam import Adam

Z = torch.from_numpy(made.rows(50, d=4)).double()


def memory(n=8, **options):
    return build(lambda: Memory(n, 4, **options), 0).double()


@pytest.mark.parametrize("similarity", ["inner", "cosine"])
def test_weights_are_not_negative_and_sum_to_1_or_are_all_0(similarity):
    w = memory(similarity=similarity, threshold=0.13).weights(Z)

    assert (w >= 0).all()
    sums = w.sum(1)
    assert (torch.isclose(sums, torch.ones(50).double()) | (sums == 0)).all()


def test_shrinking_keeps_what_is_above_the_threshold_and_its_gradient():
    plain, shrunk = memory(), memory(threshold=0.125)
    w, found = plain.weights(Z), shrunk.weights(Z)
    kept = torch.where(w > 0.125, w, 0)

    torch.testing.assert_close(found, kept / kept.sum(1, keepdim=True), atol=1e-8, rtol=1e-6)
    # Above the threshold a logit has the gradient of a softmax over the slots that are kept, below it none.
    z = Z[:1].clone().requires_grad_()
    (kept_place,) = (found[0] > 0).nonzero(as_tuple=True)
    slots, first = shrunk.slots.detach()[kept_place], kept_place[0]
    (gradient,) = torch.autograd.grad(shrunk.weights(z)[0, first], z)
    torch.testing.assert_close(gradient[0], found[0, first] * (slots[0] - found[0, kept_place] @ slots))


def test_a_cosine_cannot_be_sparse():
    w = memory(100, similarity="cosine").weights(Z)

    assert w.max() <= math.e**2 / (math.e**2 + 99)
    assert (memory(100, similarity="cosine", threshold=0.07).weights(Z) == 0).all()


def test_entropies_of_uniform_and_of_single_weights():
    assert entropy(torch.full((1, 5), 0.2)).item() == pytest.approx(math.log(5))
    assert entropy(torch.eye(3)).abs().max() < 1e-6
    assert (entropy(memory().weights(Z)) < math.log(8)).all()


def test_what_is_remembered_lies_in_the_hull_of_the_slots():
    store = memory(6)
    remembered, _ = store(Z)
    slots = store.slots.detach().numpy()

    for point in remembered[:5].detach().numpy():
        found = linprog(np.zeros(6), A_eq=np.vstack([slots.T, np.ones(6)]), b_eq=[*point, 1], bounds=[(0, None)] * 6)
        assert found.success


def test_the_order_of_slots_is_of_no_account():
    store, other = memory(threshold=0.1), memory(threshold=0.1)
    with torch.no_grad():
        other.slots.copy_(store.slots[torch.randperm(8, generator=torch.Generator().manual_seed(0))])

    torch.testing.assert_close(store(Z)[0], other(Z)[0])


def test_with_one_slot_every_row_is_reconstructed_alike():
    rows = made.rows(60)
    method = MemAE(n_slots=1, threshold=0.0, hidden=(), latent_dim=2, scale="none", epochs=300, learning_rate=0.05)

    scores = method.fit(rows).anomaly_score(rows)

    distance = ((rows - rows.mean(0)) ** 2).sum(1)
    np.testing.assert_allclose(scores, distance, rtol=0.05, atol=0.5)


def test_a_threshold_above_all_weights_leaves_nothing_and_says_so():
    method = MemAE(threshold=1.0, epochs=1, hidden=(5,), latent_dim=2).fit(made.rows())

    assert method.diagnose(made.rows())["empty_rows"] == 1
    x_hat = method._parts(torch.zeros(3, 6))[0]
    assert (x_hat == x_hat[0]).all()


@pytest.mark.parametrize(("kind", "shape"), [(MemAE, (1, 28, 28)), (MemAE, (3, 32, 32)), (MEMGAN, (1, 28, 28))])
def test_images_pass_through_the_networks(kind, shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    method = kind(scale="signed", epochs=1, batch_size=4).fit(images)

    assert np.isfinite(method.anomaly_score(images)).all()
    with pytest.raises(ValueError, match="networks for tables and for images of shape"):
        kind().fit(np.zeros((2, 1, 9, 9)))


@pytest.mark.parametrize("similarity", ["inner", "cosine"])
def test_the_loss_is_a_sum_over_values_and_the_entropy_of_the_weights(similarity):
    recipe = {"n_slots": 4, "threshold": 0.2, "entropy_weight": 3.0, "hidden": (5,), "latent_dim": 2}
    method = MemAE(**recipe, similarity=similarity, epochs=0, learning_rate=0.0).fit(made.rows())
    own, x = method._parts.eval(), torch.from_numpy(made.rows(9, seed=1)).float()
    (phase,) = method._phases(x)
    z, slots = own.encoder(x), own.memory.slots
    lengths = z.norm(dim=1)[:, None] * slots.norm(dim=1)
    w = (z @ slots.T / (lengths if similarity == "cosine" else 1)).softmax(1)
    w = torch.where(w > 0.2, w, 0)
    w = w / w.sum(1, keepdim=True)
    bits = -torch.special.xlogy(w, w).sum(1)

    expected = (x - own.decoder(w @ slots)).square().sum(1).mean() + 3 * bits.mean()

    torch.testing.assert_close(phase.update(x), expected)


def test_the_networks_of_memae_have_the_layers_of_its_paper():
    widths = {}
    for shape in ((1, 28, 28), (3, 32, 32)):
        net = MemAE()._networks(shape)
        widths[shape[0]] = [p.shape[0] for p in net.encoder.parameters() if p.ndim == 4]
        assert net.memory.slots.shape[1] == {1: 1024, 3: 1024}[shape[0]]
    assert widths == {1: [16, 32, 64], 3: [64, 128, 128, 256]}


class TestMEMGAN:
    @pytest.fixture
    def method(self):
        fitted = MEMGAN(epochs=1, n_units=5, latent_dim=3, hidden=(5,), batch_size=10).fit(made.rows())
        fitted._generator.manual_seed(0)
        return fitted

    def test_the_cycle_of_mixtures_costs_at_least_their_entropy(self, method):
        method._net.eval()
        a = method._mixture(200)
        found = torch.rand(200, 5, generator=torch.Generator().manual_seed(1)).log_softmax(1)

        assert (-(a * found).sum(1) >= entropy(a) - 1e-5).all()
        torch.testing.assert_close(-(a * a.log()).sum(1), entropy(a))

    def test_uniform_mixtures_lie_near_the_centroid(self, method):
        units = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
        method.n_units = 50
        spread = {}
        for method.mixtures in ("uniform", "normal"):
            latents = method._mixture(500) @ units
            spread[method.mixtures] = (latents - units.mean(0)).norm(dim=1).mean().item()

        assert spread["uniform"] < 0.5 < 2 < spread["normal"]

    def test_with_one_unit_the_score_is_the_distance_to_one_row(self):
        rows = made.rows()
        method = MEMGAN(n_units=1, epochs=1, latent_dim=2, hidden=(4,), scale="none").fit(rows)
        with torch.no_grad():
            one = method._parts.generator(method._parts.memory.slots).numpy()

        np.testing.assert_allclose(method.anomaly_score(rows), np.linalg.norm(rows - one, axis=1), rtol=1e-4)
        assert method.diagnose(rows)["units"] == pytest.approx(1)

    def test_large_units_remember_the_one_of_the_largest_product(self):
        store = memory()
        best = (Z @ store.slots.T).argmax(1)
        with torch.no_grad():
            plain = store.slots.clone()
            store.slots *= 1e6
            remembered, _ = store(Z)

        torch.testing.assert_close(remembered / 1e6, plain[best])

    def test_a_code_that_is_remembered_as_itself_costs_nothing(self, method):
        method._net.eval()
        with torch.no_grad():
            slot = method._parts.memory.slots[:1].clone()
            method._parts.memory.slots.copy_(slot.expand(5, -1))
            remembered, _ = method._parts.memory(slot)
            other, _ = method._parts.memory(slot + 1)

        torch.testing.assert_close(remembered, slot)
        assert (other - slot - 1).norm() > 1

    def test_the_order_of_units_is_of_no_account(self, method):
        rows = made.rows()
        before = method.anomaly_score(rows)
        with torch.no_grad():
            method._parts.memory.slots.copy_(method._parts.memory.slots.flip(0).clone())

        np.testing.assert_allclose(method.anomaly_score(rows), before, rtol=1e-6)

    def test_without_its_other_terms_it_remembers_as_memae_without_sparsity(self, method):
        plain = memory(5).float()
        with torch.no_grad():
            plain.slots[:, :3].copy_(method._parts.memory.slots)
            plain.slots[:, 3:].zero_()
        code = torch.randn(9, 4, generator=torch.Generator().manual_seed(3))

        torch.testing.assert_close(method._parts.memory.weights(code[:, :3]), plain.weights(code))
        assert (plain.weights(code) > 0).all()

    def test_a_discriminator_that_guesses_pulls_at_nothing(self, method):
        method._net.eval()
        with torch.no_grad():
            head = method._parts.joint.head[-1]
            head.weight.zero_()
            head.bias.zero_()
        x = torch.from_numpy(made.rows(10)).float()

        adversarial, _ = method._losses(x, method._mixture(10))

        assert adversarial.item() == pytest.approx(2 * math.log(2))
        weights = [*method._parts.encoder.parameters(), *method._parts.generator.parameters()]
        pulled = torch.autograd.grad(adversarial, weights, allow_unused=True, materialize_grads=True)
        assert max(gradient.abs().max() for gradient in pulled) == 0

    def test_the_losses_are_those_of_the_definition(self, method):
        own = method._parts.eval()
        x, a = torch.from_numpy(made.rows(10)).float(), method._mixture(10)
        units = own.memory.slots

        def norms(difference):
            return difference.square().sum(1).sqrt().mean()

        def remember(z):
            return (z @ units.T).softmax(1) @ units

        def sce(logits, target):
            return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

        code, made_of = own.encoder(x), own.generator(a @ units)
        recovered = -(a * (own.encoder(made_of) @ units.T).log_softmax(1)).sum(1)

        adversarial, others = method._losses(x, a)

        torch.testing.assert_close(adversarial, sce(own.joint(x, code), 0.0) + sce(own.joint(made_of, a @ units), 1.0))
        cycle = norms(x - own.generator(remember(code)))
        torch.testing.assert_close(others, cycle + norms(code - remember(code)) + recovered.mean())
        assert recovered.mean() >= entropy(a).mean()
        rows = torch.from_numpy(method._scaling(made.rows(10))).float()
        again = (rows - own.generator(remember(own.encoder(rows)))).norm(dim=1).detach()
        np.testing.assert_allclose(method.anomaly_score(made.rows(10)), again, rtol=1e-5)

    def test_a_mixture_that_the_encoder_finds_again_costs_its_entropy(self, method):
        """With G the identity, units I and E = log, softmax(M E(G(a M))) is a."""

        class Log(nn.Module):
            def forward(self, x):
                return x.log()

        own = method._parts
        a = method._mixture(10)
        own.encoder, own.generator, own.memory = Log(), nn.Identity(), memory(5).float()
        own.memory.slots = nn.Parameter(torch.eye(5))
        own.joint = nn.Bilinear(5, 5, 1)
        x = torch.full((10, 5), 0.2)  # P(E(x)) = x, so the cycle costs nothing
        near = (x.log() - x).norm(dim=1).mean()

        _, others = method._losses(x, a)

        torch.testing.assert_close(others, near + entropy(a).mean())

    def test_with_one_unit_the_cycle_is_least_at_the_geometric_median(self):
        rows = np.random.default_rng(0).exponential(size=(60, 3)) ** 2
        method = MEMGAN(n_units=1, latent_dim=2, hidden=(), scale="none", epochs=0).fit(rows)
        own, x = method._parts, torch.from_numpy(rows).float()
        adam = Adam(own.generator.parameters(), 0.02)
        for _ in range(500):
            adam.minimise(method._losses(x, torch.ones(60, 1))[1])
        median = rows.mean(0)
        for _ in range(500):  # Weiszfeld
            weights = 1 / np.linalg.norm(rows - median, axis=1)
            median = weights @ rows / weights.sum()

        found = own.generator(own.memory.slots).detach().numpy()[0]

        np.testing.assert_allclose(found, median, atol=0.05)
        assert np.linalg.norm(rows.mean(0) - median) > 0.5


def test_a_sharp_memory_of_the_codes_themselves_returns_the_nearest():
    store = memory(8).float()
    codes = nn.functional.normalize(torch.randn(8, 4, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        store.slots.copy_(codes)
        nearest = torch.cdist(codes + 0.01, codes).argmin(1)
        remembered, _ = store(300 * (codes + 0.01))

    torch.testing.assert_close(remembered, codes[nearest], atol=1e-3, rtol=0)


def test_without_threshold_and_entropy_every_slot_counts():
    method = MemAE(threshold=0.0, entropy_weight=0.0, epochs=2, hidden=(5,), latent_dim=2, n_slots=4).fit(made.rows())

    with torch.no_grad():
        w = method._parts.memory.weights(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))

    assert (w > 0).all()
    assert method.diagnose(made.rows())["empty_rows"] == 0


@pytest.mark.slow
def test_units_go_to_the_corners_of_a_triangle_and_rows_outside_it_are_far():
    generator = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    rows = generator.dirichlet(np.ones(3), 256) @ corners
    outside = corners.mean(0) + 2.5 * (corners - corners.mean(0))
    recipe = {"n_units": 3, "latent_dim": 2, "hidden": (), "scale": "none", "batch_size": 128, "learning_rate": 2e-2}

    method = MEMGAN(**recipe, epochs=100, seed=1).fit(rows)

    assert method.diagnose(rows)["units"] > 2.9
    assert 4 * np.median(method.anomaly_score(rows)) < method.anomaly_score(outside).min()
    with torch.no_grad():
        made_of = method._parts.eval().generator(method._parts.memory.slots).numpy()
    nearest = np.linalg.norm(made_of[:, None] - corners, axis=2).min(0)
    assert nearest.max() < 1.5
