"""Deep SVDD, one-class and soft-boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.method.terms import latent_l2
from tollad.methods import lenet
from tollad.methods.dcae import DCAE, reconstruction_phase
from tollad.methods.layers import build, glorot_relu
from tollad.methods.neural import Neural, Phase, effective_rank
from tollad.training.adam import Adam

# No component of the centre is nearer to 0 than this: the network could reach 0 whatever its input.
_LEAST = 0.1


class _Networks(nn.Module):
    """The autoencoder of the pre-training, whose encoder is trained further; the centre and the radius."""

    center: Tensor
    radius_squared: Tensor

    def __init__(self, shape: tuple[int, ...], title: str) -> None:
        super().__init__()
        self.autoencoder = lenet.autoencoder(shape, title)
        *_, last = (layer for layer in self.autoencoder.encoder.modules() if isinstance(layer, nn.Linear))
        self.register_buffer("center", torch.zeros(last.out_features))
        self.register_buffer("radius_squared", torch.zeros(()))


@dataclass(kw_only=True, eq=False)
class DeepSVDD(Neural):
    """Deep SVDD of Ruff et al., "Deep One-Class Classification", ICML 2018.

    After the pre-training of `tollad.methods.DCAE`, the centre c is the mean latent of the training rows, components
    within 0.1 of 0 moved to 0.1 from it, and the encoder phi minimises the mean of ``||phi(x) - c||^2`` plus
    ``weight_decay / 2 * ||W||^2`` (one-class), or ``R^2 + mean(max(0, ||phi(x) - c||^2 - R^2)) / nu`` plus the same
    decay (soft boundary). The score is ``||phi(x) - c||^2``, less R^2 with a soft boundary.

    NOTE[DIFF] With a soft boundary, R^2 is 0 for `warm_up` epochs. Then it is set once an epoch to the (1 - nu)
    quantile of the squared distances of all training rows, which minimises the loss for fixed weights. The authors take
    the quantile of each mini-batch, or a line search that mixes R and R^2.

    Parameters
    ----------
    epochs, drop_after, batch_size, learning_rate, weight_decay
        Of the training after the pre-training, see `tollad.methods.DCAE`.
    pretrain_epochs, pretrain_drop_after : int
        Of the pre-training; 0 epochs leave it out.
    pretrain_weight_decay : float
    soft : bool
        Whether the boundary is soft.
    nu : float in (0, 1]
        Upper bound on the share of training rows outside a soft boundary.
    warm_up : int
        Epochs before a soft boundary has a radius.
    collapse : float >= 0
        Weight of the mean of ``||phi(x) - c||_2`` in the loss: the paper's term, not squared; the score is the same.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> DeepSVDD(epochs=2, pretrain_epochs=2, batch_size=20).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "minmax"
    epochs: int = 150
    drop_after: int = 50
    batch_size: int = 200
    learning_rate: float = 1e-4
    weight_decay: float = 1e-6
    pretrain_epochs: int = 150
    pretrain_drop_after: int = 50
    pretrain_weight_decay: float = 1e-6
    soft: bool = False
    nu: float = 0.1
    warm_up: int = 10
    collapse: float = 0.0

    title: ClassVar[str] = "Deep SVDD"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: _Networks(shape, self.title), self.seed, glorot_relu)

    @property
    def _parts(self) -> _Networks:
        return cast(_Networks, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        parts = self._parts
        encoder = parts.autoencoder.encoder
        adam = Adam(encoder.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        before = DCAE(
            epochs=self.pretrain_epochs,
            drop_after=self.pretrain_drop_after,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.pretrain_weight_decay,
        )

        def update(x: Tensor) -> Tensor:
            offset = encoder(x) - parts.center
            loss = offset.square().sum(1)
            if self.soft:
                outside = (loss - parts.radius_squared).clamp(min=0)
                mean = parts.radius_squared + outside.mean() / self.nu
            else:
                mean = loss.mean()
            if self.collapse:
                mean = mean + self.collapse * latent_l2(offset).mean()
            adam.minimise(mean)
            return mean

        def begin() -> None:
            with torch.no_grad():
                parts.center.copy_(away_from_zero(self._latents(rows).mean(0)))

        def at_epoch(epoch: int) -> None:
            if self.soft and epoch >= self.warm_up:
                with torch.no_grad():
                    distances = (self._latents(rows) - parts.center).square().sum(1)
                parts.radius_squared.copy_(distances.quantile(1 - self.nu))

        one_class = Phase(
            "the one-class training",
            self.epochs,
            self.batch_size,
            update,
            {"one_class": adam},
            begin=begin,
            at_epoch=at_epoch,
            drop_after=self.drop_after,
        )
        return [reconstruction_phase(before, parts.autoencoder), one_class]

    def _latents(self, rows: Tensor) -> Tensor:
        return torch.cat([self._parts.autoencoder.encoder(block) for block in rows.split(1000)])

    def _distance(self, x: Tensor) -> Tensor:
        return (self._parts.autoencoder.encoder(x) - self._parts.center).square().sum(1)

    def _anomaly(self, x: Tensor) -> Tensor:
        return self._distance(x) - self._parts.radius_squared

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the effective rank of the latents, near 1 after a collapse, and their mean distance to c."""
        z = self._at_rows(rows, self._parts.autoencoder.encoder)
        distance = (z - self._parts.center).square().sum(1)
        return {"rank": effective_rank(z), "mean_squared_distance": float(distance.mean())}


def away_from_zero(center: Tensor) -> Tensor:
    """Move components within 0.1 of 0 to 0.1 from it, keeping their sign.

    NOTE[DIFF] An exact 0 becomes 0.1; in the authors' code it stays.
    """
    sign = torch.where(center < 0, -1.0, 1.0)
    return torch.where(center.abs() < _LEAST, _LEAST * sign, center)
