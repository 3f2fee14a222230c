"""GANomaly: an autoencoder with a second encoder, scored by the distance of the two codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method.terms import latent_l2
from tollad.methods import geonets
from tollad.methods.gan import adam, false, leaky, true
from tollad.methods.layers import build, dense_layers, normal
from tollad.methods.neural import Neural, Phase

# If the loss of the discriminator falls below this, nothing can be learnt from it any more, and its weights are drawn
# again.
_WON = 1e-5
_INIT = normal(0.02)


class _Networks(nn.Module):
    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int, title: str) -> None:
        super().__init__()
        if len(shape) == 1:
            self.pad: nn.Module = nn.Identity()
            widths = (shape[0], 2 * width, width)
            self.encoder: nn.Module = dense_layers((*widths, latent_dim), leaky, norm=nn.BatchNorm1d)
            self.second: nn.Module = dense_layers((*widths, latent_dim), leaky, norm=nn.BatchNorm1d)
            self.decoder: nn.Module = dense_layers((latent_dim, *widths[::-1]), nn.ReLU, norm=nn.BatchNorm1d)
            self.features: nn.Module = nn.Sequential(*dense_layers(widths, leaky, norm=nn.BatchNorm1d), leaky())
            self.head: nn.Module = nn.Linear(width, 1)
            return
        channels = geonets.need_images(shape, title)
        self.pad = geonets.pad(shape)
        wide = 4 * width
        self.encoder = nn.Sequential(
            *_halved(channels, width), nn.Conv2d(wide, latent_dim, 4, bias=False), nn.Flatten()
        )
        self.second = nn.Sequential(*_halved(channels, width), nn.Conv2d(wide, latent_dim, 4, bias=False), nn.Flatten())
        self.decoder = nn.Sequential(*_doubled(latent_dim, channels, width))
        self.features = nn.Sequential(*_halved(channels, width))
        self.head = nn.Sequential(nn.Conv2d(wide, 1, 4, bias=False), nn.Flatten())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the code of padded rows, their reconstruction, and the code of that."""
        z = self.encoder(x)
        x_hat = self.decoder(z)
        return z, x_hat, self.second(x_hat)


def _halved(channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), leaky()]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), leaky()]
    return layers


def _doubled(latent_dim: int, channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1))]
    layers.append(nn.ConvTranspose2d(latent_dim, 4 * width, 4, bias=False))
    for before, after in ((4 * width, 2 * width), (2 * width, width), (width, channels)):
        layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    return [*layers, nn.Tanh()]


@dataclass(kw_only=True, eq=False)
class GANomaly(Neural):
    """GANomaly of Akcay et al., ACCV 2018, after its authors' code.

    With z = E(x), x' = De(z) and z' = E'(x'), the autoencoder minimises
    ``adversarial_weight * mean (f(x) - f(x'))^2 + error_weight * mean |x - x'| + code_weight * mean (z - z')^2``, f the
    features of a discriminator that tells x from x'. The score is ``mean (z - z')^2``.

    NOTE[DIFF] The score is computed in evaluation mode. The authors' code leaves BatchNorm in training mode on test
    batches that hold one kind of image each, a leak worth more than ten points, and it reports the best epoch on the
    test set. It also scales scores by the extremes of the test set, which does not change their order.

    NOTE[DIFF] BatchNorm begins at a scale of 1, not at N(1, 0.02). The network for tables is our choice.

    Parameters
    ----------
    latent_dim, width : int
        Values of the code, and channels of the first convolution (tables: units of the last layer before the code).
    adversarial_weight, error_weight, code_weight : float
    collapse : float >= 0
        Weight of the mean of ``||z||_2`` in the loss of the autoencoder: Toll's term; the score is the same.
    epochs, batch_size : int
    learning_rate : float
        Of Adam with betas 0.5 and 0.999.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> GANomaly(epochs=2, width=8, latent_dim=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    latent_dim: int = 100
    width: int = 64
    adversarial_weight: float = 1.0
    error_weight: float = 50.0
    code_weight: float = 1.0
    collapse: float = 0.0
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-4

    title: ClassVar[str] = "GANomaly"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: _Networks(shape, self.latent_dim, self.width, self.title), self.seed, _INIT)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def generate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the autoencoder on padded rows, and its reconstructions."""
        own = self._parts
        z, x_hat, z_again = own(x)
        adversarial = (own.features(x) - own.features(x_hat)).square().mean()
        error, code = (x - x_hat).abs().mean(), (z - z_again).square().mean()
        loss = self.adversarial_weight * adversarial + self.error_weight * error + self.code_weight * code
        if self.collapse:
            loss = loss + self.collapse * latent_l2(z).mean()
        return loss, x_hat.detach()

    def discriminate(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Return the loss of the discriminator."""
        own = self._parts
        real, made = (own.head(own.features(rows)) for rows in (x, x_hat))
        return (true(real) + false(made)) / 2

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        own = self._parts
        critics = [*own.features.parameters(), *own.head.parameters()]
        maker = adam(
            [p for part in (own.encoder, own.decoder, own.second) for p in part.parameters()], self.learning_rate
        )
        critic = adam(critics, self.learning_rate)

        def update(x: Tensor) -> Tensor:
            x = own.pad(x)
            made, x_hat = self.generate(x)
            maker.minimise(made)
            lost = self.discriminate(x, x_hat)
            critic.minimise(lost)
            if lost.item() < _WON:
                self._draw_anew(critics)
            return made.detach() + lost.detach()

        optimizers = {"maker": maker, "critic": critic}
        return [Phase("the adversarial training", self.epochs, self.batch_size, update, optimizers)]

    @torch.no_grad()
    def _draw_anew(self, weights: Sequence[nn.Parameter]) -> None:
        """Draw the discriminator's weights again; Adam keeps its moments, as in the authors' code."""
        for weight in weights:
            if weight.ndim > 1:
                _INIT(weight, self._generator)
        for part in (self._parts.features, self._parts.head):
            for layer in part.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.reset_parameters()

    def _anomaly(self, x: Tensor) -> Tensor:
        z, _, z_again = self._parts(self._parts.pad(x))
        return (z - z_again).square().mean(1)

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the mean size of the codes' values.

        If both encoders shrink codes, the score ranks images by contrast.
        """
        z = self._at_rows(rows, lambda x: self._parts.encoder(self._parts.pad(x)))
        return {"mean_absolute_code": float(z.abs().mean())}
