"""Warnings about the outcome of a training: no improvement, or a collapsed latent."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from tollad.training.session import History
from tollad.warn import warn

# The last tenth of the measurements counts, but at least this many.
_LEAST_MEASUREMENTS = 10


def warn_if_not_improved(history: History) -> None:
    """Warn when the loss of a member did not fall below that of its first batch.

    Warns
    -----
    UserWarning
    """
    # A single batch may be unlucky: the last tenth of the training counts.
    n_last = max(_LEAST_MEASUREMENTS, math.ceil(len(history.loss) / 10))
    last, first = np.mean(history.loss[-n_last:], axis=0), np.array(history.initial_loss)
    if (last >= first).any():
        warn(
            "training did not improve on the initial loss; try a lower learning_rate, more steps, or preprocess='auto'"
        )


def warn_if_collapsed(x: Tensor, x_hat: Tensor) -> None:
    """Warn when the reconstructions of different rows are all alike: their latents have become one point.

    The size of the latents themselves says nothing, since the decoder can scale up whatever the encoder scales down.

    Parameters
    ----------
    x, x_hat : Tensor, (M, n, *shape)
        Rows and reconstructions in evaluation mode.

    Warns
    -----
    UserWarning
        When reconstructions have less than a thousandth of the rows' own variance.
    """
    if x.shape[1] < 2:
        return
    ratio = x_hat.var(1).flatten(1).sum(1) / x.var(1).flatten(1).sum(1)
    collapsed = int((ratio < 1e-3).sum())
    if collapsed:
        members = "the latent" if len(x) == 1 else f"the latents of {collapsed} of {len(x)} members"
        warn(
            f"{members} collapsed to a point: reconstructions hardly differ between rows, so the score is little more "
            "than a distance to their mean; lower beta or raise steps"
        )
