"""ADGAN: scores an image by how badly a generator of normal images, tuned to it, reproduces it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tollad.methods import geonets
from tollad.methods.layers import build, glorot
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam

_PENALTY = 20.0


class _Networks(nn.Module):
    def __init__(self, shape: tuple[int, ...], latent_dim: int, title: str) -> None:
        super().__init__()
        channels = geonets.need_images(shape, title)
        self.pad = geonets.pad(shape)
        self.generator = geonets.generator(latent_dim, channels)
        self.critic = nn.Sequential(*geonets.convolutions(channels), nn.Linear(geonets.FLAT, 1))


def gradient_penalty(critic: nn.Module, between: Tensor) -> Tensor:
    """Return the mean of ``(||grad C(x)||_2 - 1)^2`` over images x, (B, ...); it can be differentiated again."""
    between = between.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(2, 1) - 1).square().mean()


def search(
    generator: nn.Module, image: Tensor, z: Tensor, n_steps: int, rate: float, weight_rate: float
) -> tuple[Tensor, Tensor]:
    """Move a code, and the generator's weights with it, towards an image.

    Parameters
    ----------
    generator : nn.Module
        In evaluation mode; its weights are changed.
    image : Tensor, (1, ...)
    z : Tensor, (1, latent_dim)
        Where the search begins.
    n_steps : int
    rate, weight_rate : float
        Learning rates of Adam for the code and for the weights. 0 leaves the weights as they are.

    Returns
    -------
    loss : Tensor, ()
        The mean squared error at the end.
    z : Tensor, (1, latent_dim)
    """
    code = nn.Parameter(z.clone())
    of_code = Adam([code], rate, betas=(0.5, 0.999))
    of_weights = Adam(generator.parameters(), weight_rate, betas=(0.5, 0.999))

    def loss() -> Tensor:
        error: Tensor = (generator(code) - image).square().mean()
        return error

    for _ in range(n_steps):
        of_code.minimise(loss())
        if weight_rate:
            of_weights.minimise(loss())
    with torch.no_grad():
        return loss(), code.detach()


@dataclass(kw_only=True, eq=False)
class ADGAN(Neural):
    """Deecke et al., "Image anomaly detection with generative adversarial networks", ECML 2018.

    A Wasserstein GAN with gradient penalty learns normal images. For each image, `n_starts` searches move a code z and
    the weights of the generator together; the score is the mean of their last ``mean (G(z) - x)^2``. Constants and
    networks are those of GeoTrans's authors, whose run is quoted by the tables. ADGAN's authors published no code.

    NOTE[DIFF] In a search the generator is in evaluation mode throughout. The quoted run takes these steps in training
    mode with a batch of one, where BatchNorm makes the first layer's output independent of z.

    NOTE[DIFF] All images start from the same codes, drawn from `seed`, so that no score depends on another image.

    Parameters
    ----------
    latent_dim : int
    n_starts, n_steps : int
        Number of searches for an image, and of steps in each.
    code_rate, weight_rate : float
        Learning rates of Adam for code and weights in a search.
    epochs, batch_size : int
        One step of the generator, and two of the critic, a batch; the source takes 10,000.
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28))
    >>> ADGAN(epochs=1, batch_size=8, n_starts=1, n_steps=1).fit(X).anomaly_score(X).shape
    (8,)
    """

    scale: str = "signed"
    latent_dim: int = 256
    n_starts: int = 8
    n_steps: int = 5
    code_rate: float = 0.25
    weight_rate: float = 5e-5
    epochs: int = 256
    batch_size: int = 128
    learning_rate: float = 1e-4

    title: ClassVar[str] = "ADGAN"
    _block: ClassVar[int] = 1
    _score_gradients: ClassVar[bool] = True

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: _Networks(shape, self.latent_dim, self.title), self.seed, glorot)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        of_critic = Adam(own.critic.parameters(), self.learning_rate, betas=(0.0, 0.9))
        of_generator = Adam(own.generator.parameters(), self.learning_rate, betas=(0.0, 0.9))

        def criticise(x: Tensor) -> Tensor:
            own.generator.eval()  # as in the source, images for the critic are made with running means
            with torch.no_grad():
                made = own.generator(self._codes(len(x)))
            own.generator.train()
            share = torch.rand(len(x), 1, 1, 1, generator=self._generator)
            penalty = gradient_penalty(own.critic, share * x + (1 - share) * made)
            loss = own.critic(made).mean() - own.critic(x).mean() + _PENALTY * penalty
            of_critic.minimise(loss)
            return loss.detach()

        def update(x: Tensor) -> Tensor:
            criticise(own.pad(x))
            other = torch.randperm(len(rows), generator=self._generator)[: len(x)]
            lost = criticise(own.pad(rows[other]))
            loss = -own.critic(own.generator(self._codes(len(x)))).mean()
            of_generator.minimise(loss)
            return lost + loss.detach()

        optimizers = {"critic": of_critic, "generator": of_generator}
        return [Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers)]

    def _codes(self, n: int) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=self._generator)

    def _anomaly(self, x: Tensor) -> Tensor:
        own = self._parts
        x = own.pad(x)
        starts = torch.randn(self.n_starts, 1, self.latent_dim, generator=torch.Generator().manual_seed(self.seed))
        moved = copy.deepcopy(own.generator)
        losses = []
        for z in starts:
            with torch.no_grad():
                for weight, trained in zip(moved.parameters(), own.generator.parameters(), strict=True):
                    weight.copy_(trained)
            losses.append(search(moved, x, z, self.n_steps, self.code_rate, self.weight_rate)[0])
        return torch.stack(losses).mean()[None]
