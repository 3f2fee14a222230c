"""ALAD: a bidirectional GAN with cycle consistency, scored in the features of its discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tollad.methods.gan import (
    Averaged,
    Joint,
    Paired,
    Spectral,
    adam,
    false,
    generator_32,
    joint_for_tables,
    leaky,
    true,
)
from tollad.methods.layers import Dropout, build, dense_layers, glorot, keras_norm, normal
from tollad.methods.neural import Neural, Phase


class _Networks(nn.Module):
    """Encoder, generator, the three discriminators, and the averaged copies that score."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, title: str) -> None:
        super().__init__()
        make = _for_tables if len(shape) == 1 else _for_images
        if len(shape) != 1 and shape != (3, 32, 32):
            raise ValueError(f"{title} has networks for tables and for images of shape (3, 32, 32), not {shape}")
        # Pairs of images are joined one above the other.
        self.axis = 1 if len(shape) == 1 else 2
        self.encoder, self.generator, self.joint, self.paired_x, self.paired_z = make(shape, latent_dim)
        encoder, generator, _, paired_x, _ = make(shape, latent_dim)
        self.averaged = nn.ModuleDict(
            {"encoder": Averaged(encoder), "generator": Averaged(generator), "paired_x": Averaged(paired_x)}
        )

    def follow(self, decay: float) -> None:
        """Move the averaged copies."""
        for name, copy in self.averaged.items():
            cast(Averaged, copy).follow(getattr(self, name), decay)

    def discriminators(self) -> list[nn.Parameter]:
        """Return the weights of the three discriminators."""
        return [p for part in (self.joint, self.paired_x, self.paired_z) for p in part.parameters()]

    def others(self) -> list[nn.Parameter]:
        """Return the weights of generator and encoder."""
        return [*self.generator.parameters(), *self.encoder.parameters()]


_Parts = tuple[nn.Module, nn.Module, Joint, Paired, Paired]


def _for_tables(shape: tuple[int, ...], latent_dim: int) -> _Parts:
    (d,) = shape
    return (
        dense_layers((d, 256, 128, latent_dim), leaky),
        dense_layers((latent_dim, 128, 256, d), nn.ReLU),
        joint_for_tables(d, latent_dim),
        _paired((2 * d, 256, 128), plain=True),
        _paired((2 * latent_dim, 64, 32), plain=True),
    )


def _paired(widths: tuple[int, ...], *, plain: bool) -> Paired:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        dense = nn.Linear(before, after)
        layers += [dense if plain else Spectral(dense), leaky(), Dropout(0.2)]
    return Paired(nn.Sequential(*layers), nn.Linear(widths[-1], 1))


def _for_images(shape: tuple[int, ...], latent_dim: int) -> _Parts:
    def halved(before: int, after: int, norm: bool = True) -> list[nn.Module]:
        convolution = Spectral(nn.Conv2d(before, after, 4, 2, 1))
        return [convolution, *([keras_norm(after, 2)] if norm else []), leaky()]

    encoder = [*halved(3, 128), *halved(128, 256), *halved(256, 512), nn.Conv2d(512, latent_dim, 4), nn.Flatten()]
    of_x = [*halved(3, 128, norm=False), *halved(128, 256), *halved(256, 512), nn.Flatten()]
    of_z: list[nn.Module] = []
    for before in (latent_dim, 512):
        of_z += [Spectral(nn.Linear(before, 512)), leaky(), Dropout(0.2)]
    head = nn.Sequential(Spectral(nn.Linear(8192 + 512, 1024)), leaky(), Dropout(0.2), nn.Linear(1024, 1))
    tall: list[nn.Module] = []
    for before, after in ((3, 64), (64, 128)):
        # TensorFlow pads one line above and left, two below and right.
        tall += [nn.ZeroPad2d((1, 2, 1, 2)), Spectral(nn.Conv2d(before, after, 5, 2)), leaky(), Dropout(0.2)]
    return (
        nn.Sequential(*encoder),
        generator_32(latent_dim),
        Joint(nn.Sequential(*of_x), nn.Sequential(*of_z), head),
        Paired(nn.Sequential(*tall, nn.Flatten()), nn.Linear(16384, 1)),
        _paired((2 * latent_dim, 64, 32), plain=False),
    )


@dataclass(kw_only=True, eq=False)
class ALAD(Neural):
    """Adversarially learned anomaly detection of Zenati et al., ICDM 2018, after its authors' code.

    Discriminators tell (x, E(x)) from (G(z), z), (x, x) from (x, G(E(x))), and (z, z) from (z, E(G(z))); E and G are
    trained against all three. With f the last hidden layer of the second, the score is
    ``||f(x, x) - f(x, G(E(x)))||_1``, by weights that are running means.

    NOTE[DIFF] The authors' Arrhythmia run also trains on the anomalies of its half; here all training rows are normal.
    No source gives the number of epochs. Generator and encoder are given rows that are drawn anew in each step; in the
    authors' code these come from a second shuffled pass over the rows.

    Parameters
    ----------
    latent_dim : int
    epochs, batch_size : int
    learning_rate : float
        Of Adam with betas 0.5 and 0.999.
    decay : float in [0, 1)
        Of the running means of the weights, which begin at the initial weights.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> ALAD(epochs=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    latent_dim: int = 64
    epochs: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-5
    decay: float = 0.999

    title: ClassVar[str] = "ALAD"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        init = glorot if len(shape) == 1 else normal(0.01)
        return build(lambda: _Networks(shape, self.latent_dim, self.title), self.seed, init)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _normal(self, n: int) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=self._generator)

    def discriminate(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the loss of the discriminators on rows and as many draws of the prior."""
        own = self._parts
        with torch.no_grad():
            code, made = own.encoder(x), own.generator(z)
            again, code_again = own.generator(code), own.encoder(made)
        return (
            true(own.joint(x, code))
            + false(own.joint(made, z))
            + true(own.paired_x(x, x, own.axis))
            + false(own.paired_x(x, again, own.axis))
            + true(own.paired_z(z, z))
            + false(own.paired_z(z, code_again))
        )

    def deceive(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return three losses: of the generator, of the encoder, and the cycle loss of both."""
        own = self._parts
        code, made = own.encoder(x), own.generator(z)
        cycle = (
            false(own.paired_x(x, x, own.axis))
            + true(own.paired_x(x, own.generator(code), own.axis))
            + false(own.paired_z(z, z))
            + true(own.paired_z(z, own.encoder(made)))
        )
        return true(own.joint(made, z)), false(own.joint(x, code)), cycle

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        critics, makers = adam(own.discriminators(), self.learning_rate), adam(own.others(), self.learning_rate)

        def update(x: Tensor) -> Tensor:
            lost = self.discriminate(x, self._normal(len(x)))
            critics.minimise(lost)
            # Generator and encoder are given another batch and other draws than the discriminators.
            chosen = torch.randperm(len(rows), generator=self._generator)[: len(x)]
            generator, encoder, cycle = self.deceive(rows[chosen], self._normal(len(x)))
            total = generator + encoder + cycle
            makers.minimise(total)
            own.follow(self.decay)
            return lost.detach() + total.detach()

        optimizers = {"critics": critics, "makers": makers}
        begin = lambda: own.follow(0.0)  # noqa: E731
        return [Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers, begin=begin)]

    def _anomaly(self, x: Tensor) -> Tensor:
        encoder, generator, paired = (cast(Averaged, part).copy for part in self._parts.averaged.values())
        again, paired = generator(encoder(x)), cast(Paired, paired)
        axis = self._parts.axis
        return (paired.hidden(x, x, axis) - paired.hidden(x, again, axis)).abs().sum(1)
