"""The variational autoencoder of Tables 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method.terms import squared_l2
from tollad.methods.layers import build, dense_layers, no_network
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam


class _Residual(nn.Module):
    """A leaky ReLU of the sum of two paths."""

    def __init__(self, path: nn.Module, short: nn.Module) -> None:
        super().__init__()
        self.path, self.short = path, short

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(self.path(x) + self.short(x))


def _down(before: int, after: int) -> nn.Module:
    path = nn.Sequential(
        nn.Conv2d(before, after, 3, 2, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    return _Residual(path, nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after)))


def _up(before: int, after: int) -> nn.Module:
    path = nn.Sequential(
        nn.ConvTranspose2d(before, after, 5, 2, 2, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    short = nn.ConvTranspose2d(before, after, 1, 2, output_padding=1, bias=False)
    return _Residual(path, nn.Sequential(short, nn.BatchNorm2d(after)))


def _same(channels: int) -> nn.Module:
    def part() -> list[nn.Module]:
        return [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)]

    return _Residual(nn.Sequential(*part(), nn.LeakyReLU(), *part()), nn.Identity())


def _dense(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU()]


class _Networks(nn.Module):
    def __init__(self, body: nn.Module, width: int, latent_dim: int, decoder: nn.Module) -> None:
        super().__init__()
        self.body, self.decoder = body, decoder
        self.mean, self.log_variance = nn.Linear(width, latent_dim), nn.Linear(width, latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latent, (B, latent_dim) each."""
        h = self.body(x)
        return self.mean(h), self.log_variance(h)


def _for_28(latent_dim: int) -> _Networks:
    body = [_down(1, 32), _down(32, 64), nn.Flatten(), *_dense(3136, 64)]
    decoder = [*_dense(latent_dim, 64), *_dense(64, 3136), nn.Unflatten(1, (64, 7, 7)), _up(64, 32), _up(32, 16)]
    return _Networks(nn.Sequential(*body), 64, latent_dim, nn.Sequential(*decoder, nn.Conv2d(16, 1, 1, bias=False)))


def _for_32(latent_dim: int) -> _Networks:
    first = [nn.Conv2d(3, 32, 3, bias=False), nn.LeakyReLU(), _same(32)]
    body = [*first, _down(32, 64), _down(64, 128), _down(128, 256), nn.Flatten(), *_dense(4096, 256)]
    decoder = [*_dense(latent_dim, 256), *_dense(256, 4096), nn.Unflatten(1, (256, 4, 4))]
    decoder += [_up(256, 128), _up(128, 64), _up(64, 32), _same(32), nn.Conv2d(32, 3, 1, bias=False)]
    return _Networks(nn.Sequential(*body), 256, latent_dim, nn.Sequential(*decoder))


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of N(mean, variance) from N(0, I) of each row: (B, d), (B, d) -> (B,)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


@dataclass(kw_only=True, eq=False)
class VAE(Neural):
    """Variational autoencoder with a Gaussian decoder, scored by its negative evidence lower bound.

    The loss is the mean of ``||x - x_hat(z)||^2 + kl_weight * KL(q(z|x), N(0, I))``: a decoder variance of one half at
    weight 1. The score is the same with z at the mean of q, so it is not random.

    The published columns were quoted twice and come from "Latent Space Autoregression for Novelty Detection" (Abati et
    al., CVPR 2019). Its code has the networks but no VAE; networks, step size and batches here are from that code.

    NOTE[DIFF] The likelihood, the weight of the KL term and the size of the code are not public. Here the likelihood is
    Gaussian, the weight is 1 and the code has 64 values, as in the source's own method.

    Parameters
    ----------
    score_by : {"elbo", "reconstruction", "kl"}
        The whole bound, or one of its terms.
    latent_dim : int
    hidden : tuple of int
        Widths for tables; empty for a linear VAE.
    kl_weight : float
    epochs, batch_size : int
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> VAE(epochs=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    score_by: Literal["elbo", "reconstruction", "kl"] = "elbo"
    latent_dim: int = 64
    hidden: tuple[int, ...] = (256, 128)
    kl_weight: float = 1.0
    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-4

    title: ClassVar[str] = "VAE"
    _block: ClassVar[int] = 32

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: self._networks(shape), self.seed)

    def _networks(self, shape: tuple[int, ...]) -> _Networks:
        if shape == (1, 28, 28):
            return _for_28(self.latent_dim)
        if shape == (3, 32, 32):
            return _for_32(self.latent_dim)
        if len(shape) != 1:
            raise no_network(self.title, shape)
        widths = (shape[0], *self.hidden)
        body: list[nn.Module] = []
        for before, after in pairwise(widths):
            body += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        decoder = dense_layers((self.latent_dim, *reversed(self.hidden), shape[0]), nn.ReLU, norm=nn.BatchNorm1d)
        return _Networks(nn.Sequential(*body), widths[-1], self.latent_dim, decoder)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        adam = Adam(self._parts.parameters(), self.learning_rate)

        def update(x: Tensor) -> Tensor:
            mean, log_variance = self._parts.encode(x)
            noise = torch.randn(mean.shape, generator=self._generator)
            x_hat = self._parts.decoder(mean + (log_variance / 2).exp() * noise)
            loss = (squared_l2(x, x_hat) + self.kl_weight * kl(mean, log_variance)).mean()
            adam.minimise(loss)
            return loss

        return [Phase("the training", self.epochs, self.batch_size, update, {"elbo": adam})]

    def _anomaly(self, x: Tensor) -> Tensor:
        mean, log_variance = self._parts.encode(x)
        divergence = self.kl_weight * kl(mean, log_variance)
        if self.score_by == "kl":
            return divergence
        error = squared_l2(x, self._parts.decoder(mean))
        return error if self.score_by == "reconstruction" else error + divergence

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the number of latents in use: those whose mean has a variance above 0.01 over the rows."""
        means = self._at_rows(rows, lambda x: self._parts.encode(x)[0])
        return {"active_units": float((means.var(0) > 0.01).sum())}
