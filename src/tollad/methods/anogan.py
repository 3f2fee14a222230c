"""AnoGAN: a GAN of normal rows, inverted by gradient steps for each row that is scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tollad.methods.gan import adam, false, generator_32, leaky, true
from tollad.methods.layers import Drawn, Dropout, build, dense_layers, glorot, keras_norm, no_network, normal
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam


class Starts(Drawn):
    """The latents from which every inversion starts, (n_starts, latent_dim), fixed."""

    z: Tensor

    def __init__(self, n_starts: int, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("z", torch.zeros(n_starts, latent_dim))

    def draw(self, generator: torch.Generator) -> None:
        """Draw the latents from N(0, I)."""
        self.z.normal_(generator=generator)


class _Networks(nn.Module):
    """The generator, the features f and the head of the discriminator, and the starts of the inversions."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, n_starts: int, title: str) -> None:
        super().__init__()
        self.starts = Starts(n_starts, latent_dim)
        if len(shape) == 1:
            self.generator: nn.Module = dense_layers((latent_dim, 128, 256, shape[0]), nn.ReLU)
            first = [nn.Linear(shape[0], 256), leaky(), Dropout(0.2)]
            self.features: nn.Module = nn.Sequential(*first, nn.Linear(256, 128), leaky(), Dropout(0.5))
            self.head = nn.Linear(128, 1)
        elif shape == (1, 28, 28):
            self.generator, self.features = _generator_28(latent_dim), _features_28()
            self.head = nn.Linear(1024, 1)
        elif shape == (3, 32, 32):
            self.generator, self.features = generator_32(latent_dim), _features_32()
            self.head = nn.Linear(8192, 1)
        else:
            raise no_network(title, shape)

    def judge(self, x: Tensor) -> Tensor:
        """Return the logits of rows, (B,)."""
        return self.head(self.features(x)).squeeze(1)


def _generator_28(latent_dim: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((latent_dim, 1024), (1024, 6272)):
        layers += [nn.Linear(before, after), keras_norm(after), nn.ReLU()]
    layers += [nn.Unflatten(1, (128, 7, 7)), nn.ConvTranspose2d(128, 64, 4, 2, 1), keras_norm(64, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh())


def _features_28() -> nn.Module:
    slope = 0.1
    layers = [nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(slope), nn.Conv2d(64, 64, 4, 2, 1), keras_norm(64, 2)]
    layers += [nn.LeakyReLU(slope), nn.Flatten(), nn.Linear(3136, 1024), keras_norm(1024), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers)


def _features_32() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 128, 4, 2, 1), leaky()]
    for before, after in ((128, 256), (256, 512)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), keras_norm(after, 2), leaky()]
    return nn.Sequential(*layers, nn.Flatten())


@dataclass(kw_only=True, eq=False)
class AnoGAN(Neural):
    """AnoGAN of Schlegl et al., IPMI 2017.

    A generator G and a discriminator with features f are trained as a GAN. To score x, Adam takes `n_steps` steps on z
    alone of ``(1 - feature_weight) * ||x - G(z)||_1 + feature_weight * ||f(x) - f(G(z))||_1``, in evaluation mode; the
    score is the value at the last step, the least of all starts.

    NOTE[DIFF] All rows start from the same latents, drawn from the seed, so that a score does not depend on the order
    of rows; the source draws anew for each. The source's step size of 1e-3 moves a coordinate by at most half a
    standard deviation of the prior; the default here, 1e-2, lets it cross the prior.

    NOTE[DIFF] Networks are those of ALAD's authors (tables, 32 x 32) and of EGBAD's (28 x 28); AnoGAN's own code was
    never public, and neither was that of Tables 1 and 2, whose latents are said to have 256 values. As in both codes
    latents are N(0, I), in the paper uniform. ALAD's authors swap the two weights by mistake, and invert a generator of
    running means; here the weights are as in the paper, and the generator is the last one.

    Parameters
    ----------
    latent_dim : int
    feature_weight : float in [0, 1]
        Lambda of the paper.
    n_steps, n_starts : int
        Of an inversion.
    step_size : float
        Learning rate of Adam in an inversion.
    epochs, batch_size : int
    learning_rate : float
        Of the GAN's Adam, betas 0.5 and 0.999.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> AnoGAN(epochs=2, n_steps=3).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    latent_dim: int = 64
    feature_weight: float = 0.1
    n_steps: int = 500
    n_starts: int = 1
    step_size: float = 1e-2
    epochs: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-5

    title: ClassVar[str] = "AnoGAN"
    _score_gradients: ClassVar[bool] = True

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        init = glorot if len(shape) == 1 else normal(0.01 if shape[0] == 3 else 0.02)
        return build(lambda: _Networks(shape, self.latent_dim, self.n_starts, self.title), self.seed, init)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        critic = adam([*own.features.parameters(), *own.head.parameters()], self.learning_rate)
        maker = adam(own.generator.parameters(), self.learning_rate)

        def made(n: int) -> Tensor:
            return own.generator(torch.randn(n, self.latent_dim, generator=self._generator))

        def update(x: Tensor) -> Tensor:
            lost = true(own.judge(x)) + false(own.judge(made(len(x)).detach()))
            critic.minimise(lost)
            deceived = true(own.judge(made(len(x))))
            maker.minimise(deceived)
            return lost.detach() + deceived.detach()

        optimizers = {"critic": critic, "maker": maker}
        return [Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers)]

    def distance(self, x: Tensor, z: Tensor) -> Tensor:
        """Return L(z) of each row: (B, *shape), (B, latent_dim) -> (B,)."""
        own = self._parts
        made = own.generator(z)
        residual = (x - made).abs().flatten(1).sum(1)
        if self.feature_weight == 0:
            return residual
        features = (own.features(x) - own.features(made)).abs().flatten(1).sum(1)
        return (1 - self.feature_weight) * residual + self.feature_weight * features

    def invert(self, x: Tensor, start: Tensor) -> Tensor:
        """Return the latents of rows after `n_steps` steps from one start, (latent_dim,): (B, latent_dim)."""
        z = nn.Parameter(start.to(x.dtype).expand(len(x), -1).clone())
        inversion = Adam([z], self.step_size)
        for _ in range(self.n_steps):
            # With a sum, the gradient of each latent comes from its own row only.
            inversion.minimise(self.distance(x, z).sum())
        return z.detach()

    def _anomaly(self, x: Tensor) -> Tensor:
        found = [self.distance(x, self.invert(x, start)).detach() for start in self._parts.starts.z]
        return torch.stack(found).amin(0)
