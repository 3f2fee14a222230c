"""The metrics of `tollad.metrics` for many members at once, on the device that holds their scores."""

from __future__ import annotations

import torch
from torch import Tensor


def auroc(labels: Tensor, scores: Tensor) -> Tensor:
    """Area under the ROC curve of each member, in [0, 1]; ties count half.

    Parameters
    ----------
    labels : Tensor of bool, (M, n) or (1, n)
        True = anomaly; both must occur.
    scores : Tensor, (M, n)
        Finite.

    Returns
    -------
    Tensor of float64, (M,)

    Examples
    --------
    >>> auroc(torch.tensor([[False, True, True]]), torch.tensor([[1.0, 1.0, 2.0], [3.0, 2.0, 1.0]]))
    tensor([0.7500, 0.0000], dtype=torch.float64)
    """
    ordered = scores.sort(-1).values
    scores = scores.contiguous()
    # Equal scores share the mean of their ranks, half the sum of the first and the last; all counts are exact.
    twice_the_rank = 1 + torch.searchsorted(ordered, scores) + torch.searchsorted(ordered, scores, right=True)
    anomalies = labels.sum(-1)
    normals = labels.shape[-1] - anomalies
    wins = (twice_the_rank * labels).sum(-1) - anomalies * (anomalies + 1)
    return wins.double() / (2 * anomalies * normals)


def f1_at_share(labels: Tensor, scores: Tensor, normal_share: float) -> Tensor:
    """F1 of each member when the lowest-scoring share of the rows is called normal, in [0, 1].

    Parameters
    ----------
    labels, scores
        As in `auroc`.
    normal_share : float, in (0, 1)
        ``round(normal_share * n)`` rows are called normal; the mean over all ways to choose among equal scores.

    Returns
    -------
    Tensor of float64, (M,)
    """
    n_normal = round(normal_share * scores.shape[-1])
    n_alarms = scores.shape[-1] - n_normal
    if n_alarms == 0:
        return scores.new_zeros(len(scores), dtype=torch.float64)
    threshold = scores.sort(-1).values[:, n_normal, None]
    above, equal = scores > threshold, scores == threshold
    share = (labels & equal).sum(-1).double() / equal.sum(-1)
    found = (labels & above).sum(-1) + (n_alarms - above.sum(-1)) * share
    return 2 * found / (n_alarms + labels.sum(-1))
