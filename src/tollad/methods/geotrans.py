"""GeoTrans: a classifier that tells which geometric map was applied to an image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tollad.methods.geonets import need_images, pad
from tollad.methods.layers import build
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam

_SHIFT = 8
_EULER = 0.57722
_TURNS = 4
_WIDTHS = (16, 32, 64)
Maps = Literal["all", "flips and turns", "turns"]
_CHOICES: dict[str, tuple[tuple[bool, ...], tuple[int, ...]]] = {
    "all": ((False, True), (0, -_SHIFT, _SHIFT)),
    "flips and turns": ((False, True), (0,)),
    "turns": ((False,), (0,)),
}


def maps(kind: Maps) -> list[tuple[bool, int, int, int]]:
    """Return the maps as (flip, shift along lines, shift along columns, quarter turns): 72, 8 or 4, the identity first.

    The index of a map of "all" is ``36 flip + 12 i + 4 j + turns``, with i and j the positions of the shifts in
    (0, -8, 8).
    """
    flips, shifts = _CHOICES[kind]
    return list(itertools.product(flips, shifts, shifts, range(_TURNS)))


def transform(x: Tensor, kind: Maps, index: Tensor) -> Tensor:
    """Apply to each image the map of its index: (B, C, s, s), (B,) -> (B, C, s, s).

    First a flip from left to right, then a shift that is filled with the mirror image (with its edge line twice), then
    the turns.
    """
    known = maps(kind)
    out = torch.empty_like(x)
    for i in index.unique().tolist():
        out[index == i] = _apply(x[index == i], *known[i])
    return out


def _apply(x: Tensor, flip: bool, down: int, right: int, turns: int) -> Tensor:
    if flip:
        x = x.flip(3)
    for axis, shift in ((2, down), (3, right)):
        if shift:
            x = x.index_select(axis, _mirrored(x.shape[axis], shift))
    return torch.rot90(x, turns, (2, 3))


@cache
def _mirrored(n: int, shift: int) -> Tensor:
    """Return the index of the line that moves to each place."""
    place = (torch.arange(n) - shift) % (2 * n)
    return torch.minimum(place, 2 * n - 1 - place)


class _Norm(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU())


class _Block(nn.Module):
    """Two convolutions with a 1 x 1 shortcut: (B, before, h, w) -> (B, after, h / stride, w / stride)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm = _Norm(before)
        # Keras pads a stride of 2 to the right and below only.
        padding: nn.Module = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
        self.long = nn.Sequential(
            padding,
            nn.Conv2d(before, after, 3, stride, bias=False),
            _Norm(after),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        self.short = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.long(x) + self.short(x)


class _Networks(nn.Module):
    alpha: Tensor

    def __init__(self, shape: tuple[int, ...], widen: int, n_maps: int, title: str) -> None:
        super().__init__()
        channels = need_images(shape, title)
        widths = [width * widen for width in _WIDTHS]
        self.pad = pad(shape)
        blocks = [
            _Block(before, after, stride)
            for before, after, stride in zip([16, *widths], widths, (1, 2, 2), strict=False)
        ]
        self.classify = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            *blocks,
            _Norm(widths[-1]),
            nn.AvgPool2d(8),
            nn.Flatten(),
            nn.Linear(widths[-1], n_maps),
        )
        self.register_buffer("alpha", torch.zeros(n_maps, n_maps, dtype=torch.float64))


def inverse_digamma(y: Tensor) -> Tensor:
    """Return a > 0 with psi(a) = y, by Newton's method."""
    a = torch.where(y >= -2.22, y.exp() + 0.5, -1 / (y - torch.digamma(torch.ones_like(y))))
    for _ in range(5):
        a = a - (torch.digamma(a) - y) / torch.polygamma(1, a)
    return a


def dirichlet(mean: Tensor, mean_log: Tensor) -> Tensor:
    """Return the parameters of the Dirichlet distributions that make probability vectors most likely: (..., K).

    Parameters
    ----------
    mean, mean_log : Tensor of float64, (..., K)
        Means of the vectors, and of their logarithms.
    """
    k = mean.shape[-1]
    # By Jensen's inequality it is at least 0, and 0 if all vectors are equal. Rounding must not make it negative.
    gap = (torch.xlogy(mean, mean) - mean * mean_log).sum(-1, keepdim=True).clamp(min=1e-12)
    alpha = mean * ((k - 1) * _EULER / gap)
    for _ in range(1000):
        before = alpha
        alpha = inverse_digamma(torch.digamma(alpha.sum(-1, keepdim=True)) + mean_log)
        if (alpha - before).norm(dim=-1).max() < 1e-9:
            break
    return alpha


def _he(weight: Tensor, generator: torch.Generator) -> None:
    if weight.ndim == 2:
        bound = weight.shape[1] ** -0.5
        weight.uniform_(-bound, bound, generator=generator)
    else:
        weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)


@dataclass(kw_only=True, eq=False)
class GeoTrans(Neural):
    """Golan and El-Yaniv, "Deep anomaly detection using geometric transformations", NeurIPS 2018, after their code.

    A wide residual network tells which of M maps was applied to an image. With p_t its probabilities for the image
    after map t, and alpha_t the parameters of the Dirichlet distribution of these over the training images, the score
    is ``-1/M sum_t sum_j (alpha_tj - 1) log p_tj``.

    NOTE[DIFF] Logarithms are taken before the softmax is rounded, in float64: the authors' code takes them of a float32
    softmax, whose exact zeros become NaN. One map is drawn for each image in each step, and not all are stored. So an
    epoch here sees each image once, and `epochs` is M times the authors' number.

    Parameters
    ----------
    maps : {"all", "flips and turns", "turns"}
        The set of maps: 72, 8 or 4.
    widen : int
        4 in the source: channels of 64, 128, 256.
    n_fit : int, optional
        Number of training images, drawn at random, to which the Dirichlet distributions are fitted; by default all.
    epochs, batch_size : int
    learning_rate : float
    weight_decay : float
        Penalty on all weights, added to the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28))
    >>> GeoTrans(maps="turns", widen=1, epochs=1, batch_size=8).fit(X).anomaly_score(X).shape
    (8,)
    """

    scale: str = "signed"
    maps: Maps = "all"
    widen: int = 4
    n_fit: int | None = None
    epochs: int = 216
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4

    title: ClassVar[str] = "GeoTrans"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        n_maps = len(maps(self.maps))
        return build(lambda: _Networks(shape, self.widen, n_maps, self.title), self.seed, _he)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        parts = self._parts
        weights = list(parts.classify.parameters())
        adam = Adam(weights, self.learning_rate, weight_decay=self.weight_decay, eps=1e-7)

        def update(x: Tensor) -> Tensor:
            index = torch.randint(len(parts.alpha), (len(x),), generator=self._generator)
            loss = nn.functional.cross_entropy(parts.classify(transform(parts.pad(x), self.maps, index)), index)
            adam.minimise(loss)
            return loss

        return [Phase("the classification", self.epochs, self.batch_size, update, {"classify": adam})]

    def _log_p(self, x: Tensor, t: int) -> Tensor:
        """Return log p_t of padded images after map t: (B, M), in float64."""
        moved = _apply(x, *maps(self.maps)[t])
        return cast(Tensor, self._parts.classify(moved.contiguous())).double().log_softmax(1)

    def _finish(self, rows: Tensor) -> None:
        if self.n_fit is not None and self.n_fit < len(rows):
            drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))[: self.n_fit]
            rows = rows[drawn]
        means, mean_logs = [], []
        for t in range(len(self._parts.alpha)):
            log_p = torch.cat([self._log_p(self._parts.pad(block), t) for block in rows.split(self._block)])
            means.append(log_p.exp().mean(0))
            mean_logs.append(log_p.mean(0))
        self._parts.alpha.copy_(dirichlet(torch.stack(means), torch.stack(mean_logs)))

    def _anomaly(self, x: Tensor) -> Tensor:
        x = self._parts.pad(x)
        alpha = self._parts.alpha
        return -torch.stack([self._log_p(x, t) @ (alpha[t] - 1) for t in range(len(alpha))]).mean(0)
