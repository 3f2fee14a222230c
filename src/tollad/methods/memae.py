"""MemAE: an autoencoder whose decoder sees a few stored codes instead of the row's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method.terms import latent_l2, squared_l2
from tollad.methods.layers import Drawn, build, dense_layers, no_network, normal
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam

_SMALL = 1e-12

Similarity = Literal["cosine", "inner"]


class Memory(Drawn):
    """Slots m_i, (n_slots, dim), whose weighted mean replaces a code.

    Parameters
    ----------
    n_slots, dim : int
    similarity : {"cosine", "inner"}
    threshold : float >= 0
        Weights up to it become 0, and the others are scaled to sum to 1.
    """

    def __init__(self, n_slots: int, dim: int, similarity: Similarity = "inner", threshold: float = 0.0) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.zeros(n_slots, dim))
        self._similarity, self._threshold = similarity, threshold

    def draw(self, generator: torch.Generator) -> None:
        """Draw the slots uniformly up to 1 / sqrt(dim)."""
        bound = 1 / math.sqrt(self.slots.shape[1])
        self.slots.uniform_(-bound, bound, generator=generator)

    def weights(self, z: Tensor) -> Tensor:
        """Return the weight of each slot for each code: (B, dim) -> (B, n_slots), not negative, sum 1 or all 0."""
        slots: Tensor = self.slots
        if self._similarity == "cosine":
            z, slots = nn.functional.normalize(z, dim=1), nn.functional.normalize(slots, dim=1)
        w = (z @ slots.T).softmax(1)
        if self._threshold == 0:
            return w
        # The ratio is 1 above the threshold and 0 below, and a gradient flows through it.
        above = w - self._threshold
        w = above.relu() * w / (above.abs() + _SMALL)
        return w / w.sum(1, keepdim=True).clamp(min=_SMALL)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted means of slots that replace codes, (B, dim), and the weights, (B, n_slots)."""
        w = self.weights(z)
        return w @ self.slots, w


def entropy(w: Tensor) -> Tensor:
    """Return -sum w log w of each row of weights: (B, n) -> (B,)."""
    return -(w * (w + _SMALL).log()).sum(1)


class _Networks(nn.Module):
    def __init__(self, encoder: nn.Module, memory: Memory, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.memory, self.decoder = encoder, memory, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and the weights of the slots."""
        code, w = self.memory(self.encoder(x))
        return self.decoder(code), w


def _convolutions(channels: int, kernels: Sequence[int], widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for kernel, before, after in zip(kernels, (channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2), nn.BatchNorm2d(after), nn.ReLU()]
    return [*layers, nn.Flatten()]


def _transposed(sides: Sequence[int], widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Unflatten(1, (widths[0], sides[0], sides[0]))]
    last = len(widths) - 1
    for i, (before, after) in enumerate(pairwise(widths), 1):
        layers.append(nn.ConvTranspose2d(before, after, 3, 2, 1, sides[i] - 2 * sides[i - 1] + 1))
        layers += [nn.BatchNorm2d(after), nn.ReLU()] if i < last else []
    return layers


@dataclass(kw_only=True, eq=False)
class MemAE(Neural):
    """Memory-augmented autoencoder of Gong et al., ICCV 2019.

    The decoder is given ``w M`` instead of the code z, with w = softmax of the similarities of z to the slots of the
    memory M; weights up to `threshold` become 0. The loss is ``||x - x_hat||^2 + entropy_weight * H(w)``, the score
    ``||x - x_hat||^2``.

    NOTE[DIFF] The paper leaves open whether an image is one query or one for each position of its code; here it is one.
    Similarity is the inner product, as in the authors' code. With the paper's cosine the softmax is nearly uniform, and
    `threshold` sets all weights to 0. A row without any weight is reconstructed from a code of 0; `diagnose` counts
    them.

    NOTE[DIFF] The error is the paper's sum over the values of a row. The authors' code, for video, takes its mean,
    which weighs the entropy 784 or 3072 times more. BatchNorm begins at a scale of 1, not at N(1, 0.02).

    NOTE[DIFF] No source has such tables. The network for tables is that of the paper's table B.3 with a memory.

    Parameters
    ----------
    n_slots : int
    threshold : float, optional
        By default 1 / `n_slots`, the least that the paper names.
    similarity : {"inner", "cosine"}
    entropy_weight : float
    hidden, latent_dim
        Of the network for tables, BatchNorm and ReLU.
    collapse : float >= 0
        Weight of the mean of ``||z||_2`` in the loss: the paper's term; the score is the same.
    epochs, batch_size : int
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> MemAE(epochs=2).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    n_slots: int = 50
    threshold: float | None = None
    similarity: Similarity = "inner"
    entropy_weight: float = 2e-4
    hidden: tuple[int, ...] = (256, 128)
    latent_dim: int = 16
    collapse: float = 0.0
    epochs: int = 200
    batch_size: int = 100
    learning_rate: float = 1e-4

    title: ClassVar[str] = "MemAE"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: self._networks(shape), self.seed, normal(0.02) if len(shape) > 1 else self._dense_init)

    @staticmethod
    def _dense_init(weight: Tensor, generator: torch.Generator) -> None:
        nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)

    def _networks(self, shape: tuple[int, ...]) -> _Networks:
        if len(shape) == 1:
            widths = (shape[0], *self.hidden, self.latent_dim)
            encoder: nn.Module = dense_layers(widths, nn.ReLU, norm=nn.BatchNorm1d)
            decoder: nn.Module = dense_layers(widths[::-1], nn.ReLU, norm=nn.BatchNorm1d)
            dim = self.latent_dim
        elif shape == (1, 28, 28):
            encoder = nn.Sequential(*_convolutions(1, (1, 3, 3), (16, 32, 64)))
            decoder = nn.Sequential(*_transposed((4, 7, 14, 28), (64, 64, 32, 1)))
            dim = 64 * 4 * 4
        elif shape == (3, 32, 32):
            encoder = nn.Sequential(*_convolutions(3, (3, 3, 3, 3), (64, 128, 128, 256)))
            decoder = nn.Sequential(*_transposed((2, 4, 8, 16, 32), (256, 256, 128, 128, 3)))
            dim = 256 * 2 * 2
        else:
            raise no_network(self.title, shape)
        threshold = 1 / self.n_slots if self.threshold is None else self.threshold
        return _Networks(encoder, Memory(self.n_slots, dim, self.similarity, threshold), decoder)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        adam = Adam(self._parts.parameters(), self.learning_rate)

        def update(x: Tensor) -> Tensor:
            z = self._parts.encoder(x)
            code, w = self._parts.memory(z)
            x_hat = self._parts.decoder(code)
            loss = (squared_l2(x, x_hat) + self.entropy_weight * entropy(w)).mean()
            if self.collapse:
                loss = loss + self.collapse * latent_l2(z).mean()
            adam.minimise(loss)
            return loss

        return [Phase("the training", self.epochs, self.batch_size, update, {"reconstruct": adam})]

    def _anomaly(self, x: Tensor) -> Tensor:
        return squared_l2(x, self._parts(x)[0])

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the share of rows without a weight, and the slots in use: e to the entropy of the mean weights."""
        w = self._at_rows(rows, lambda x: self._parts(x)[1])
        used = float(entropy(w.mean(0, keepdim=True) / w.mean(0).sum().clamp(min=_SMALL)).exp())
        return {"empty_rows": float((w.sum(1) == 0).float().mean()), "slots": used}
