"""DCAE: the autoencoder of the Deep SVDD paper, scored by its reconstruction error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor, nn

from tollad.method.networks import Autoencoder
from tollad.method.terms import squared_l2
from tollad.methods import lenet
from tollad.methods.layers import build, glorot_relu
from tollad.methods.neural import Neural, Phase
from tollad.training.adam import Adam


@dataclass(kw_only=True, eq=False)
class DCAE(Neural):
    """Deep convolutional autoencoder of Ruff et al., "Deep One-Class Classification", ICML 2018.

    The loss is ``||x - x_hat||^2`` (a sum over the values of a row, averaged over the batch) plus
    ``weight_decay / 2 * ||W||^2``; the score is ``||x - x_hat||^2``.

    For this column, the paper's tables cite winner-take-all autoencoders, as Ruff et al. do. But neither uses sparsity:
    it is the plain autoencoder that also pre-trains Deep SVDD.

    NOTE[DIFF] The authors draw the first layer from a dictionary of patches; here it is drawn like the others. They
    leave out a sixth or a fifth of the rows and never use them; here all rows are used. Their batches are fixed blocks
    of rows in another order in each epoch; here the rows are shuffled.

    Parameters
    ----------
    epochs, drop_after : int
        Number of passes over the rows, and the pass after which the step size is a tenth.
    batch_size : int
    learning_rate : float
    weight_decay : float
        1e-3 for 28 x 28 images, 1e-6 for 32 x 32.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(40, 5))
    >>> DCAE(epochs=2, batch_size=20).fit(X).anomaly_score(X).shape
    (40,)
    """

    scale: str = "minmax"
    epochs: int = 250
    drop_after: int = 150
    batch_size: int = 200
    learning_rate: float = 1e-4
    weight_decay: float = 1e-6

    title: ClassVar[str] = "DCAE"

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        return build(lambda: lenet.autoencoder(shape, self.title), self.seed, glorot_relu)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        return [reconstruction_phase(self, cast(Autoencoder, self._net))]

    def _anomaly(self, x: Tensor) -> Tensor:
        x_hat, _ = self._net(x)
        return squared_l2(x, x_hat)


def reconstruction_phase(method: DCAE, network: Autoencoder) -> Phase:
    """Return the training of the autoencoder that DCAE and Deep SVDD share, with the parameters of a `DCAE`."""
    adam = Adam(network.parameters(), method.learning_rate, weight_decay=method.weight_decay)

    def update(x: Tensor) -> Tensor:
        x_hat, _ = network(x)
        loss = squared_l2(x, x_hat).mean()
        adam.minimise(loss)
        return loss

    return Phase(
        "the autoencoder's training",
        method.epochs,
        method.batch_size,
        update,
        {"reconstruct": adam},
        drop_after=method.drop_after,
    )
