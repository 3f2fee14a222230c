"""DSEBM: deep structured energy-based models, scored by energy or by reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tollad.methods import geonets
from tollad.methods.layers import Drawn, build, glorot
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam

_FEATURES = 256


class Energy(Drawn):
    """E(x) = 1/2 ||x - b||^2 - the sum of the features h(x).

    Parameters
    ----------
    features : nn.Module
        (B, *shape) -> (B, k).
    shape : tuple of int
    """

    def __init__(self, features: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.features = features
        self.b = nn.Parameter(torch.zeros(shape))

    def draw(self, generator: torch.Generator) -> None:
        """Leave b at 0, as in all sources."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the energies: (B, *shape) -> (B,)."""
        return (x - self.b).square().flatten(1).sum(1) / 2 - self.features(x).flatten(1).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of each row's energy by the row, (B, *shape); it can be differentiated again.

        In training mode, BatchNorm makes each row's energy depend on its batch; this is the gradient of the sum of
        energies.
        """
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(x).sum(), x, create_graph=torch.is_grad_enabled())
        return gradient


class _Padded(nn.Module):
    def __init__(self, pad: nn.Module, energy: Energy) -> None:
        super().__init__()
        self.pad, self.energy = pad, energy


@dataclass(kw_only=True, eq=False)
class DSEBM(Neural):
    """Deep structured energy-based model of Zhai et al., ICML 2016, trained by denoising score matching.

    With f(x) = x - grad E(x), the loss is the mean square of f(x + e) - x, e ~ N(0, noise^2). For tables h is a chain
    of dense softplus layers, so its gradient makes f a tied autoencoder. For images it is the network
    of GeoTrans's authors, whose experiments are the published columns of Tables 2 and 3: three convolutions of stride 2
    with BatchNorm and ReLU, and a dense layer of 256.

    NOTE[DIFF] b is one vector for all rows, as in the paper. ALAD's code, the source of many copies, has one for each
    place in the batch, and explicit decoding layers in place of the gradient.

    Parameters
    ----------
    score_by : {"energy", "reconstruction"}
        DSEBM-e, E(x); or DSEBM-r, ||x - f(x)||.
    hidden : tuple of int
        Widths of h for tables.
    noise : float > 0
        Standard deviation, in the units of the scaled rows.
    epochs, batch_size : int
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> DSEBM(epochs=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    score_by: Literal["energy", "reconstruction"] = "energy"
    hidden: tuple[int, ...] = (128, 512)
    noise: float = 0.5
    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3

    title: ClassVar[str] = "DSEBM"
    _score_gradients: ClassVar[bool] = True

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: self._network(shape), self.seed, glorot)

    def _network(self, shape: tuple[int, ...]) -> nn.Module:
        if len(shape) == 1:
            widths = (shape[0], *self.hidden)
            layers: list[nn.Module] = []
            for before, after in zip(widths, self.hidden, strict=False):
                layers += [nn.Linear(before, after), nn.Softplus()]
            return _Padded(nn.Identity(), Energy(nn.Sequential(*layers), shape))
        channels = geonets.need_images(shape, self.title)
        features = [*geonets.convolutions(channels), nn.Linear(geonets.FLAT, _FEATURES), nn.ReLU()]
        energy = Energy(nn.Sequential(*features), (channels, geonets.SIDE, geonets.SIDE))
        return _Padded(geonets.pad(shape), energy)

    @property
    def _padded(self) -> _Padded:
        return cast(_Padded, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        energy, pad = self._padded.energy, self._padded.pad
        adam = Adam(energy.parameters(), self.learning_rate)

        def update(x: Tensor) -> Tensor:
            x = pad(x)
            noisy = x + self.noise * torch.randn(x.shape, generator=self._generator)
            loss = (noisy - energy.gradient(noisy) - x).square().mean()
            adam.minimise(loss)
            return loss

        return [Phase("the denoising training", self.epochs, self.batch_size, update, {"denoise": adam})]

    def _anomaly(self, x: Tensor) -> Tensor:
        x = self._padded.pad(x)
        if self.score_by == "energy":
            return self._padded.energy(x)
        return torch.linalg.vector_norm(self._padded.energy.gradient(x).flatten(1), dim=1)
