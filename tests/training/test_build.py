"""From names and seeds to a stack on a device."""

from __future__ import annotations

import pytest
import small
import torch
from torch import nn

from tollad.method import networks
from tollad.training import build
from tollad.training.build import build_stack, custom_stack, find_device, member_seeds

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestDevice:
    def test_auto_is_there(self):
        found = find_device("auto")
        assert torch.zeros(1, device=found).device.type == found.type

    @pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "cpu:0"])
    def test_cpu(self, device):
        assert find_device(device).type == "cpu"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
    @pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")])
    def test_no_gpu_here(self, device):
        with pytest.raises(ValueError, match=r"device 'cuda(:0)?' is not on this machine, .*; use device='auto'"):
            find_device(device)

    @pytest.mark.parametrize("device", ["cpu:9", "cuda:99"])
    def test_no_such_number(self, device):
        with pytest.raises(ValueError, match=f"device '{device}' is not on this machine"):
            find_device(device)

    @pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
    def test_unknown(self, device):
        with pytest.raises(ValueError, match=f"unknown device '{device}'; the known ones are auto, cpu, cuda, mps"):
            find_device(device)

    @pytest.mark.parametrize("device", [None, 1.5])
    def test_no_device_at_all(self, device):
        with pytest.raises((TypeError, ValueError), match=f"device.*{device}.*auto, cpu, cuda, mps"):
            find_device(device)

    @pytest.mark.parametrize("device", ["meta", "xpu", "hpu"])
    def test_devices_of_torch_that_cannot_compute_here(self, device):
        if device == "xpu" and torch.xpu.is_available():
            pytest.skip("there is such a device here")
        with pytest.raises(ValueError, match=f"device '{device}'"):
            find_device(device)


class TestSeeds:
    def test_do_not_depend_on_the_number_of_members(self):
        assert member_seeds(0, 2) == member_seeds(0, 2)

    def test_all_differ(self):
        seeds = [seed for root in range(5) for member in range(20) for seed in member_seeds(root, member)]
        assert len(set(seeds)) == len(seeds)

    @pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**64])
    def test_any_size(self, seed):
        assert all(0 <= part < 2**64 for part in member_seeds(seed, 0))


class TestBuildStack:
    @pytest.mark.parametrize("name", networks.__all__)
    def test_is_manual_seed_and_build(self, name):
        shape = small.input_shape(name)
        stack = build_stack(name, shape, 2, None, [3, 4], 2)
        for member, seed in enumerate([3, 4]):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                wanted = getattr(networks, name)(shape, 2).state_dict()
            for key, tensor in wanted.items():
                assert torch.equal(stack[member].state_dict()[key], tensor), key
        assert stack.dtype == torch.float32
        assert stack.device.type == "cpu"

    @pytest.mark.parametrize("name", networks.__all__)
    def test_is_ready_to_be_trained(self, name):
        """And carries nothing of the pass by which its memory was estimated."""
        stack = build_stack(name, small.input_shape(name), 2, None, [3, 4], 2)
        for member in range(2):
            assert all(module.training and not module._forward_hooks for module in stack[member].modules())

    def test_widths(self):
        stack = build_stack("mlp", (5,), 2, (7, 3), [0], 2)
        assert stack.state()["encoder.0.weight"].shape == (1, 7, 5)

    def test_default_widths(self):
        assert build_stack("mlp", (5,), 2, None, [0], 2).state()["encoder.0.weight"].shape == (1, 256, 5)

    def test_no_widths_are_a_linear_autoencoder(self):
        """And not the network's own default."""
        stack = build_stack("mlp", (5,), 2, (), [0], 2)
        assert list(stack.state()) == ["encoder.0.weight", "encoder.0.bias", "decoder.0.weight", "decoder.0.bias"]

    def test_rows_that_the_network_does_not_take(self):
        with pytest.raises(ValueError, match="network 'conv' takes rows of shape"):
            build_stack("conv", (5,), 2, None, [0], 2)

    @pytest.mark.parametrize(
        ("batch_size", "n_members", "words"),
        [(2, 3, "3 members need about"), (100_000, 1, "1 members? needs? about")],
        ids=["weights", "activations"],
    )
    def test_more_than_memory_holds_is_refused(self, monkeypatch, batch_size, n_members, words):
        monkeypatch.setattr(build, "_available_memory", lambda device: 4 * 2**20)
        with pytest.raises(MemoryError, match=rf"{words} \d+\.\d GiB of memory, 0\.0 GiB are free; lower n_members, "):
            build_stack("mlp", (5,), 2, (256, 256), range(n_members), batch_size)

    @pytest.mark.parametrize(
        ("free", "message"),
        [
            ({"cuda": 4 * 2**20, "cpu": 2**40}, r"GiB of memory, 0\.0 GiB are free on cuda:0; lower n_members, "),
            # Made on the CPU before it goes to the device.
            ({"cuda": 2**40, "cpu": 2**20}, r"GiB of memory, 0\.0 GiB are free; lower n_members, "),
            ({"cuda": 2**40, "cpu": 8 * 2**20}, None),
        ],
    )
    def test_what_counts_is_the_memory_of_the_device(self, monkeypatch, free, message):
        monkeypatch.setattr(build, "_available_memory", lambda device: free[device.type])
        gpu = torch.device("cuda:0")
        with torch.random.fork_rng():
            network = nn.Linear(60_000, 2), nn.Linear(2, 60_000)
        for make in (
            lambda: build_stack("mlp", (5,), 2, (256, 256), range(5), 2, gpu),
            lambda: custom_stack(network, (60_000,), 3, gpu),
        ):
            if message is None:
                make()
            else:
                with pytest.raises(MemoryError, match=message):
                    make()

    def test_free_on_a_gpu_is_what_no_tensor_holds(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
        assert build._available_memory(torch.device("cuda:0")) == 1400

    def test_refusal_takes_no_memory(self):
        """The estimate is made on a network without values."""
        with pytest.raises(MemoryError, match="members need about"):
            build_stack("mlp", (100,), 2, (10**6, 10**6), [0], 2)

    def test_unknown_free_memory_refuses_nothing(self, monkeypatch):
        monkeypatch.setattr(build, "open", lambda *_, **__: (_ for _ in ()).throw(OSError), raising=False)
        monkeypatch.setattr(build.os, "sysconf_names", {})
        assert len(build_stack("mlp", (5,), 2, (8,), [0], 2)) == 1


class TestCustomStack:
    def make(self, d=5, latent_dim=2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Linear(d, latent_dim), nn.Linear(latent_dim, d)

    def test_copies_with_the_weights_they_have(self):
        encoder, decoder = self.make()
        stack, latent_dim = custom_stack((encoder, decoder), (5,), 2)
        assert (len(stack), latent_dim) == (2, 2)
        for member in range(2):
            assert torch.equal(stack[member].encoder.weight, encoder.weight)
        stack.weights.detach().zero_()
        assert encoder.weight.abs().max() > 0

    def test_the_modules_keep_type_and_mode(self):
        encoder, decoder = (part.double() for part in self.make())
        stack, _ = custom_stack((encoder, decoder), (5,), 1)
        assert stack.dtype == torch.float32
        assert encoder.weight.dtype == torch.float64
        assert encoder.training

    def test_weights_that_the_modules_share_stay_shared(self):
        encoder, decoder = self.make()
        alone, _ = custom_stack((encoder, decoder), (5,), 2)
        stack, _ = custom_stack((encoder, nn.Sequential(decoder, encoder, decoder)), (5,), 2)
        assert stack.weights.numel() == alone.weights.numel()

    def test_other_rows_are_refused(self):
        with pytest.raises(ValueError, match=r"the network does not take rows of shape \(6,\)"):
            custom_stack(self.make(), (6,), 1)

    def test_latent_must_be_a_vector(self):
        with pytest.raises(ValueError, match=r"the encoder must return \(batch, latent_dim\); it made \(2, 5, 1\)"):
            custom_stack((nn.Unflatten(1, (5, 1)), nn.Flatten()), (5,), 1)

    def test_reconstruction_must_have_the_shape_of_the_rows(self):
        encoder, _ = self.make()
        with pytest.raises(ValueError, match=r"the decoder must return .* the rows, \(2, 5\); it made \(2, 4\)"):
            custom_stack((encoder, self.make(4)[1]), (5,), 1)

    def test_encoder_that_returns_no_tensor_is_refused(self):
        """A variational encoder, say."""

        class Two(nn.Module):
            def __init__(self, inner):
                super().__init__()
                self.inner = inner

            def forward(self, x):
                return self.inner(x), self.inner(x)

        encoder, decoder = self.make()
        with pytest.raises(ValueError, match="the encoder must return one tensor"):
            custom_stack((Two(encoder), decoder), (5,), 1)

    def test_more_than_memory_holds_is_refused(self, monkeypatch):
        monkeypatch.setattr(build, "_available_memory", lambda device: 100)
        with pytest.raises(MemoryError, match=r"members? needs? about"):
            custom_stack(self.make(), (5,), 3)

    def test_many_members_are_refused_before_anything_is_made(self):
        with pytest.raises(MemoryError, match="members need about"):
            custom_stack(self.make(), (5,), 10**12)


class Skipping(nn.Module):
    """What no pair of encoder and decoder can say: the decoder sees more of the row than its latent."""

    def __init__(self, shape, latent_dim):
        super().__init__()
        self.narrow, self.past = nn.Linear(shape[0], latent_dim), nn.Linear(shape[0], 2)
        self.out = nn.Linear(latent_dim + 2, shape[0])

    def forward(self, x):
        z = self.narrow(x)
        return self.out(torch.cat([z, self.past(x)], 1)), z


class TestSkipConnections:
    def test_a_builder_of_the_user_has_seeds(self):
        stack = build_stack(Skipping, (5,), 3, None, [0, 1], 4)
        again = build_stack(Skipping, (5,), 3, None, [1], 4)
        x = torch.arange(20.0).view(1, 4, 5)
        x_hat, z = stack.eval()(x.expand(2, 4, 5))
        assert (x_hat.shape, z.shape) == ((2, 4, 5), (2, 4, 3))
        assert torch.equal(again.eval()(x)[0][0], x_hat[1])
        assert not stack.is_dense

    def test_one_module_keeps_its_weights(self):
        with torch.random.fork_rng():
            module = Skipping((5,), 3)
        stack, latent_dim = custom_stack(module, (5,), 2)
        x = torch.arange(20.0).view(4, 5)
        assert latent_dim == 3
        assert torch.equal(stack(x.expand(2, 4, 5))[0][1], module(x)[0])

    def test_one_that_returns_something_else_is_refused(self):
        with pytest.raises(ValueError, match=r"a network of one module must return \(x_hat, z\), two tensors"):
            custom_stack(nn.Identity(), (5,), 1)
