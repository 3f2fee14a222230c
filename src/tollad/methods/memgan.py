"""MEMGAN: a bidirectional GAN whose latents are mixtures of stored codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method import networks
from tollad.methods.gan import Joint, adam, false, joint_for_tables, leaky, true
from tollad.methods.layers import Dropout, build, no_network, normal
from tollad.methods.memae import Memory, entropy
from tollad.methods.neural import Neural, Phase


class _Units(Memory):
    """A memory of units of size 1, read by inner products without a threshold."""

    def draw(self, generator: torch.Generator) -> None:
        """Draw the units from N(0, I)."""
        self.slots.normal_(generator=generator)


class _Networks(nn.Module):
    def __init__(self, autoencoder: networks.Autoencoder, joint: Joint, memory: Memory) -> None:
        super().__init__()
        self.encoder, self.generator = autoencoder.encoder, autoencoder.decoder
        self.joint, self.memory = joint, memory


def _joint_for_images(channels: int, side: int, latent_dim: int) -> Joint:
    of_x: list[nn.Module] = [nn.Conv2d(channels, 32, 4, 2, 1), leaky(), Dropout(0.2)]
    for before, after in ((32, 64), (64, 128)):
        of_x += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), leaky(), Dropout(0.5)]
    of_z: list[nn.Module] = []
    for before in (latent_dim, 512):
        of_z += [nn.Linear(before, 512), leaky(), Dropout(0.5)]
    head = nn.Sequential(nn.Linear(128 * (side // 8) ** 2 + 512, 512), leaky(), Dropout(0.5), nn.Linear(512, 1))
    return Joint(nn.Sequential(*of_x, nn.Flatten()), nn.Sequential(*of_z), head)


@dataclass(kw_only=True, eq=False)
class MEMGAN(Neural):
    """Memory-augmented GAN, after Yang et al., TNNLS 2021.

    Latents are mixtures P of the memory's units. The discriminator tells (x, E(x)) from (G(a M), a M) for random
    mixtures a; encoder and generator are trained against it and, with the memory, by a cycle ``||x - G(P(E(x)))||``, by
    ``||E(x) - P(E(x))||``, and by an error of a as recovered from G(a M). The score is ``||x - G(P(E(x)))||``.

    NOTE[DIFF] There is no code of the authors', and only the abstract and the introduction were available. Constants
    and losses are those of the one public re-implementation, which reports no result. So a result here is not the
    paper's.

    NOTE[DIFF] That code draws a as the softmax of uniform numbers, which all lie close to the centroid of the memory;
    `mixtures` names it "uniform", and the default "normal" spreads them. Its encoder is random when it scores; here it
    is not. Labels of the discriminator are 1 and 0, and rows get no noise. For 28 x 28 images encoder and generator are
    `tollad.method.networks.conv`: those that the paper describes take hours of a processor for one class. The
    discriminator of images is after that of ALI, but smaller, for the same reason.

    Parameters
    ----------
    n_units, latent_dim : int
    mixtures : {"normal", "uniform"}
        a = softmax of 3 times normal numbers, or of uniform ones.
    hidden : tuple of int
        Widths for tables.
    epochs, batch_size : int
    learning_rate : float
        Of Adam, betas 0.5 and 0.999.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> MEMGAN(epochs=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    n_units: int = 50
    latent_dim: int = 16
    mixtures: Literal["normal", "uniform"] = "normal"
    hidden: tuple[int, ...] = (256, 128)
    epochs: int = 400
    batch_size: int = 100
    learning_rate: float = 1e-4

    title: ClassVar[str] = "MEMGAN (reconstructed)"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: self._networks(shape), self.seed, normal(0.02))

    def _networks(self, shape: tuple[int, ...]) -> _Networks:
        if len(shape) == 1:
            autoencoder = networks.mlp(shape, self.latent_dim, self.hidden)
            joint = joint_for_tables(shape[0], self.latent_dim)
        elif shape == (3, 32, 32):
            autoencoder, joint = networks.conv32(shape, self.latent_dim), _joint_for_images(3, 32, self.latent_dim)
        elif shape == (1, 28, 28):
            autoencoder, joint = networks.conv(shape, self.latent_dim), _joint_for_images(1, 28, self.latent_dim)
        else:
            raise no_network(self.title, shape)
        return _Networks(autoencoder, joint, _Units(self.n_units, self.latent_dim))

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _mixture(self, n: int) -> Tensor:
        shape = n, self.n_units
        if self.mixtures == "uniform":
            return torch.rand(shape, generator=self._generator).softmax(1)
        return (3 * torch.randn(shape, generator=self._generator)).softmax(1)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        critic = adam(own.joint.parameters(), self.learning_rate)
        coders = adam([*own.encoder.parameters(), *own.generator.parameters()], self.learning_rate)
        memory = adam(own.memory.parameters(), self.learning_rate)

        def update(x: Tensor) -> Tensor:
            a = self._mixture(len(x))
            with torch.no_grad():
                code, latent = own.encoder(x), a @ own.memory.slots
                made = own.generator(latent)
            lost = true(own.joint(x, code)) + false(own.joint(made, latent))
            critic.minimise(lost)
            adversarial, others = self._losses(x, a)
            coders.minimise(adversarial + others, keep_graph=True)
            memory.minimise(others)
            return lost.detach() + adversarial.detach() + others.detach()

        optimizers = {"critic": critic, "coders": coders, "memory": memory}
        return [Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers)]

    def _losses(self, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of encoder and generator against the discriminator, and that which the memory shares."""
        own = self._parts
        code, latent = own.encoder(x), a @ own.memory.slots
        made = own.generator(latent)
        adversarial = false(own.joint(x, code)) + true(own.joint(made, latent.detach()))
        remembered, _ = own.memory(code)
        cycle = _norm(x - own.generator(remembered)).mean()
        near = _norm(code - remembered).mean()
        found = (own.encoder(made) @ own.memory.slots.T).log_softmax(1)
        return adversarial, cycle + near - (a * found).sum(1).mean()

    def _anomaly(self, x: Tensor) -> Tensor:
        own = self._parts
        return _norm(x - own.generator(own.memory(own.encoder(x))[0]))

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the units in use, e to the entropy of the mean weights, and their mean distance from their mean."""
        own = self._parts
        w = self._at_rows(rows, lambda x: own.memory.weights(own.encoder(x)))
        slots = own.memory.slots.detach()
        spread = _norm(slots - slots.mean(0)).mean()
        return {"units": float(entropy(w.mean(0, keepdim=True)).exp()), "spread": float(spread)}


def _norm(difference: Tensor) -> Tensor:
    """Return the Euclidean norm of each row; its gradient at exactly 0 is 0."""
    return torch.linalg.vector_norm(difference.flatten(1), dim=1)
