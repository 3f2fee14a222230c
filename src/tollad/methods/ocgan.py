"""OCGAN: a denoising autoencoder in which every code is decoded to an image of the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.methods.gan import adam, false, leaky, true
from tollad.methods.geonets import need_images, pad
from tollad.methods.layers import Dropout, build, dense_layers, normal
from tollad.methods.neural import Neural, Phase

# Length of the step towards codes whose images the classifier takes for generated.
_MINING = 2.0
_LATENT_WEIGHT = 10.0


def _norm(channels: int) -> nn.Module:
    # MXNet's momentum is 1 minus PyTorch's.
    return nn.BatchNorm2d(channels, momentum=0.9)


def _halved(channels: int, width: int, out: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), leaky()]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 5, 2, 2, bias=False), _norm(after), leaky()]
    return [*layers, nn.Conv2d(4 * width, out, 4), nn.Flatten()]


def _doubled(latent_dim: int, channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1)), nn.ConvTranspose2d(latent_dim, 4 * width, 4)]
    widths = (4 * width, 2 * width, width, channels)
    for before, after in pairwise(widths):
        layers += [_norm(before), *([Dropout(0.5)] if before == width else []), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(before, after, 5, 2, 2, 1))
    return [*layers, nn.Tanh()]


class _Networks(nn.Module):
    step: Tensor

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int, critic_width: int, title: str) -> None:
        super().__init__()
        channels = need_images(shape, title)
        self.pad = pad(shape)
        self.encoder = nn.Sequential(*_halved(channels, width, latent_dim), nn.Tanh())
        self.decoder = nn.Sequential(*_doubled(latent_dim, channels, width))
        self.of_codes = dense_layers((latent_dim, 128, 64, 32, 16, 1), nn.ReLU)
        self.of_images = nn.Sequential(*_halved(channels, critic_width, 1))
        self.classifier = nn.Sequential(*_halved(channels, width, 1))
        self.register_buffer("step", torch.zeros(()))


def distance_from_uniform(codes: Tensor) -> float:
    """Return the Kolmogorov distance of the values of codes from the uniform distribution on (-1, 1).

    Parameters
    ----------
    codes : Tensor, (n, latent_dim)

    Returns
    -------
    float from 1 / (2 n) to 1
        The largest difference of the two distribution functions, a mean over the axes of the codes.

    Examples
    --------
    >>> evenly, collapsed = torch.linspace(-0.99, 0.99, 100)[:, None], torch.ones(100, 1)
    >>> round(distance_from_uniform(evenly), 3), distance_from_uniform(collapsed)
    (0.005, 1.0)
    """
    below = (codes.double().sort(0).values + 1) / 2
    places = torch.arange(len(codes) + 1, dtype=torch.float64)[:, None] / len(codes)
    return float(torch.maximum(places[1:] - below, below - places[:-1]).amax(0).mean())


@dataclass(kw_only=True, eq=False)
class OCGAN(Neural):
    """Perera, Nallapati and Xiang, "OCGAN: one-class novelty detection", CVPR 2019, after their code.

    Codes En(x + noise) lie in (-1, 1) and a discriminator makes them uniform there; another one makes decoded uniform
    codes look like images of the class. A classifier tells reconstructions from decoded uniform codes, and after
    `mine_after` epochs the decoder is trained on codes moved one step towards those that this classifier takes for
    generated. The score is ``mean (De(En(x)) - x)^2``.

    NOTE[DIFF] Images are 32 x 32 (the authors': 61 x 61, a quarter of the speed), convolutions padded by two lines, and
    grey images have one channel (the authors': three equal ones). BatchNorm begins at a scale of 1, not at N(1, 0.02).

    NOTE[DIFF] The encoder ends in tanh and the discriminator of codes in one logit, as in the paper; in the code there
    is no tanh, and 16 sigmoids go through another sigmoid. No noise is added when scoring, so that a score is a
    function of its image. The discriminators see images and codes of the training mode, those that encoder and decoder
    are trained to make; in the code, those of the running means. The step of the mining is the code's; apart from that
    step, its codes lie within tanh(1) of 0.

    In the first hundreds of steps most values of the codes go to -1 or 1, where tanh is flat, and only then spread.
    `diagnose` tells how far they are from uniform; a training that ends before has learnt one image.

    Parameters
    ----------
    latent_dim : int
    width, critic_width : int
        Channels of the first convolution: of encoder and classifier, and of the discriminator of images.
    noise : float
        Standard deviation.
    error_weight : float
        Weight of half the mean squared error.
    adversarial : bool
        Whether to train adversarially. If not, it is a denoising autoencoder.
    mine_after : int
    epochs, batch_size : int
    learning_rate : float
        Of Adam with betas 0.5 and 0.999.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28))
    >>> OCGAN(width=2, epochs=1, batch_size=8).fit(X).anomaly_score(X).shape
    (8,)
    """

    scale: str = "signed"
    latent_dim: int = 16
    width: int = 64
    critic_width: int = 12
    noise: float = 0.2
    error_weight: float = 10.0
    adversarial: bool = True
    mine_after: int = 150
    epochs: int = 201
    batch_size: int = 512
    learning_rate: float = 2e-4

    title: ClassVar[str] = "OCGAN"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        sizes = (self.latent_dim, self.width, self.critic_width)
        return build(lambda: _Networks(shape, *sizes, self.title), self.seed, normal(0.02))

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def mine(self, uniform: Tensor) -> Tensor:
        """Move codes in (-1, 1), (B, latent_dim), a step towards those that look generated to the classifier."""
        own = self._parts
        start = uniform.clone().requires_grad_()
        # With a sum, each code moves by its own gradient.
        lost = nn.functional.softplus(own.classifier(own.decoder(start.tanh()))).sum()
        (gradient,) = torch.autograd.grad(lost, start)
        return (start.detach() - _MINING * gradient).tanh()

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        critics = adam([*own.of_codes.parameters(), *own.of_images.parameters()], self.learning_rate)
        classifier = adam(own.classifier.parameters(), self.learning_rate)
        makers = adam([*own.encoder.parameters(), *own.decoder.parameters()], self.learning_rate)

        def update(x: Tensor) -> Tensor:
            x = own.pad(x)
            noisy = x + self.noise * torch.randn(x.shape, generator=self._generator)
            uniform, judged = None, torch.zeros(())
            if self.adversarial:
                uniform = self._uniform(len(x))
                lost, told = self._judged(x, noisy, uniform)
                critics.minimise(lost)
                classifier.minimise(told)
                if own.step.item() >= first_mined:
                    uniform = self.mine(self._uniform(len(x)))
                judged = lost.detach() + told.detach()
            loss = self._made(x, noisy, uniform)
            makers.minimise(loss)
            own.step += 1
            return judged + loss.detach()

        optimizers = {"critics": critics, "classifier": classifier, "makers": makers}
        phase = Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers)
        first_mined = self.mine_after * phase.steps_of_an_epoch(len(rows))
        return [phase]

    def _uniform(self, n: int) -> Tensor:
        return 2 * torch.rand(n, self.latent_dim, generator=self._generator) - 1

    def _judged(self, x: Tensor, noisy: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of both discriminators, and that of the classifier."""
        own = self._parts
        with torch.no_grad():
            code, made = own.encoder(noisy), own.decoder(uniform)
            again = own.decoder(code)
        of_codes = (false(own.of_codes(code)) + true(own.of_codes(uniform))) / 2
        of_images = (false(own.of_images(made)) + true(own.of_images(x))) / 2
        return of_codes + of_images, (false(own.classifier(made)) + true(own.classifier(again))) / 2

    def _made(self, x: Tensor, noisy: Tensor, uniform: Tensor | None) -> Tensor:
        """Return the loss of encoder and decoder; without uniform codes that of a denoising autoencoder."""
        own = self._parts
        code = own.encoder(noisy)
        loss = self.error_weight * (x - own.decoder(code)).square().mean() / 2
        if uniform is None:
            return loss
        return loss + _LATENT_WEIGHT * true(own.of_codes(code)) + true(own.of_images(own.decoder(uniform)))

    def _anomaly(self, x: Tensor) -> Tensor:
        own = self._parts
        x = own.pad(x)
        return (own.decoder(own.encoder(x)) - x).square().mean((1, 2, 3))

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the distance of the codes from the uniform distribution that they should have."""
        own = self._parts
        codes = self._at_rows(rows, lambda x: own.encoder(own.pad(x)))
        return {"distance_from_uniform": distance_from_uniform(codes)}
