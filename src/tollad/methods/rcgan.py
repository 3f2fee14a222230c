"""RCGAN: ALAD with a penalty distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tollad.methods.alad import ALAD
from tollad.methods.gan import false


@dataclass(kw_only=True, eq=False)
class RCGAN(ALAD):
    """ALAD with a penalty distribution, after Yang et al., "Regularized Cycle Consistent GAN", ECAI 2020.

    The discriminator of (x, z) also learns to refuse pairs (t, E(t)) of rows t drawn from N(0, I), which draws encoder
    and generator towards normal rows even for anomalous ones.

    NOTE[DIFF] There is no code of the authors', and only their abstract was available. The loss is reconstructed from
    the code of a later paper (RCALAD), which adopts the term; the score is ALAD's. So a result here is not the paper's.
    That code draws t once; here it is drawn anew at each step. t has the size of standardised rows.

    Parameters
    ----------
    penalty : float >= 0
        Weight of the term; at 0 this is ALAD, to the bit. All other fields are those of ALAD.

    Examples
    --------
    >>> import numpy as np
    >>> normal = np.random.default_rng(0).normal(size=(60, 4))
    >>> RCGAN(epochs=1).fit(normal).anomaly_score(normal).shape
    (60,)
    """

    penalty: float = 1.0

    title: ClassVar[str] = "RCGAN (reconstructed)"

    def discriminate(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the loss of ALAD's discriminators and of the penalty."""
        lost = super().discriminate(x, z)
        if self.penalty == 0:
            return lost
        own = self._parts
        noise = torch.randn(x.shape, generator=self._generator)
        with torch.no_grad():
            code = own.encoder(noise)
        return lost + self.penalty * false(own.joint(noise, code))
