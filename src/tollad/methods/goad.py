"""GOAD: a classifier that tells which random map was applied to a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tollad.methods.layers import Drawn, build, default, dense_layers
from tollad.methods.neural import Neural, Phase, need_table
from tollad.training.adam import Adam


class _Maps(Drawn):
    """M fixed linear maps of normal entries: (B, d) -> (B, M, r)."""

    weight: Tensor

    def __init__(self, d: int, n_maps: int, map_dim: int) -> None:
        super().__init__()
        self._n_maps = n_maps
        self.register_buffer("weight", torch.zeros(d, n_maps * map_dim))

    def draw(self, generator: torch.Generator) -> None:
        self.weight.normal_(generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight).unflatten(1, (self._n_maps, -1))


class _Networks(nn.Module):
    sums: Tensor
    n_batches: Tensor
    centers: Tensor

    def __init__(self, d: int, n_maps: int, map_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = _Maps(d, n_maps, map_dim)
        self.features = dense_layers((map_dim, *widths), lambda: nn.LeakyReLU(0.2), bias=False)
        self.head = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(widths[-1], n_maps))
        self.register_buffer("sums", torch.zeros(n_maps, widths[-1]))
        self.register_buffer("n_batches", torch.zeros(()))
        self.register_buffer("centers", torch.zeros(n_maps, widths[-1]))


def distances(z: Tensor, centers: Tensor) -> Tensor:
    """Return the squared distances of each map's features to every centre: (B, M, e), (M, e) -> (B, M, M)."""
    squared = z.square().sum(2)[..., None] + centers.square().sum(1)
    return squared - 2 * torch.einsum("bme,ne->bmn", z, centers)


def triplet(found: Tensor, margin: float) -> Tensor:
    """Return the mean hinge of own distance + margin - least other distance, from distances (B, M, M)."""
    own = found.diagonal(dim1=1, dim2=2)
    others = found.masked_fill(torch.eye(found.shape[1], dtype=torch.bool), torch.inf).amin(2)
    return (own + margin - others).clamp(min=0).mean()


def negative_log_likelihood(found: Tensor) -> Tensor:
    """Return -sum_m log softmax(-distances)[m] of each row, from distances (B, M, M): (B,)."""
    return -(-found).log_softmax(2).diagonal(dim1=1, dim2=2).sum(1)


@dataclass(kw_only=True, eq=False)
class GOAD(Neural):
    """Classification-based anomaly detection for general data, Bergman and Hoshen, ICLR 2020, for tables.

    M random linear maps of a row go through a shared network f. The loss is the cross-entropy of a head that names the
    map, plus 0.1 times a hinge that pulls each map's features to their mean over the batch and away from the nearest
    other. The score is the sum over maps of -log of the softmax of negative squared distances to the centres.

    With the linear f of the published recipe and standardised rows, all exact centres are 0 and the score is the
    constant M log M. The published result is that of ``centers="batches"``, an unweighted mean over batches of which
    the last has one row, and a network that was never trained does as well: report both, and the norm of the row.

    Parameters
    ----------
    n_maps, map_dim : int
        M, and the values of a map.
    widths : tuple of int
        Widths of the layers of f, without biases and with leaky ReLUs between them.
    centers : {"batches", "exact"}
        Centres as in the authors' code, or the paper's mean over all training rows in evaluation mode. Without an epoch
        there are no batches, and they are exact.
    trained : bool
        Whether to train. If not, all weights stay as they were drawn.
    margin, triplet_weight : float
    epochs, batch_size : int
        The last rows of an epoch are a smaller batch.
    learning_rate : float

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> GOAD(n_maps=8).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "standardise"
    n_maps: int = 256
    map_dim: int = 32
    widths: tuple[int, ...] = (8,)
    centers: Literal["batches", "exact"] = "batches"
    trained: bool = True
    margin: float = 1.0
    triplet_weight: float = 0.1
    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-3

    title: ClassVar[str] = "GOAD"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        d = need_table(shape, self.title)
        return build(lambda: _Networks(d, self.n_maps, self.map_dim, self.widths), self.seed, default)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        parts = self._parts
        adam = Adam([*parts.features.parameters(), *parts.head.parameters()], self.learning_rate, betas=(0.5, 0.999))

        def update(x: Tensor) -> Tensor:
            z = parts.features(parts.maps(x))
            means = z.mean(0)
            logits = parts.head(z).flatten(0, 1)
            targets = torch.arange(self.n_maps).repeat(len(x))
            loss = nn.functional.cross_entropy(logits, targets)
            loss = loss + self.triplet_weight * triplet(distances(z, means), self.margin)
            if self.trained:
                adam.minimise(loss)
            parts.sums += means.detach()
            parts.n_batches += 1
            return loss

        def at_epoch(epoch: int) -> None:
            parts.sums.zero_()
            parts.n_batches.zero_()

        return [
            Phase(
                "the classification",
                self.epochs,
                self.batch_size,
                update,
                {"classify": adam},
                at_epoch=at_epoch,
                keep_last=True,
            )
        ]

    def _finish(self, rows: Tensor) -> None:
        parts = self._parts
        if self.centers == "batches" and self.epochs:
            parts.centers.copy_(parts.sums / parts.n_batches)
        else:
            sums = sum(parts.features(parts.maps(block)).double().sum(0) for block in rows.split(64))
            parts.centers.copy_(sums / len(rows))

    def _anomaly(self, x: Tensor) -> Tensor:
        z = self._parts.features(self._parts.maps(x)).double()
        return negative_log_likelihood(distances(z, self._parts.centers.double()))
