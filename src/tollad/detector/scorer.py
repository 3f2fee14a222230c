"""Scorer: prepared rows become scores, and everything that one pass through the networks can tell of a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.detector.explain import split_error
from tollad.detector.preparation import Preparation
from tollad.method.objective import Objective
from tollad.tables.features import mean_of_rows
from tollad.tables.large import LargeRows, RowFile, Rows, in_blocks
from tollad.training import scoring
from tollad.training.scoring import Network
from tollad.training.stack import Stack


@dataclass(frozen=True, eq=False)
class Passed:
    """What one pass tells of n rows.

    Attributes
    ----------
    scores : ndarray of float64, (n,)
    parts : ndarray of float64, (n, *shape)
        Share of each input of the network in the score, the mean over the members.
    latent : ndarray of float64, (n,)
        Share of the latent term.
    x_hat : ndarray of float64, (M, n, *shape)
        Reconstructions by each member.
    """

    scores: NDArray[np.float64]
    parts: NDArray[np.float64]
    latent: NDArray[np.float64]
    x_hat: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scorer:
    """A trained stack with its objective: equation (3).

    Of one member the score is the objective. Of several it is the mean of theirs, each divided by its mean over the
    training rows.

    Attributes
    ----------
    stack : Stack
        In evaluation mode.
    objective : Objective
        The one that it was trained with.
    center : Tensor, (M, latent_dim), or None
        Target of the collapse in place of the objective's own, for one that was the mean of the batch.
    member_means : ndarray of float64, (M,)
        Mean score of each member over the training rows.
    """

    stack: Stack
    objective: Objective
    center: Tensor | None
    member_means: NDArray[np.float64]
    _network: Network = field(init=False)
    _weights: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        means = self.member_means
        weights = np.ones(1) if len(means) == 1 else 1 / (len(means) * np.where(means > 0, means, 1.0))
        object.__setattr__(self, "_network", scoring.scoring_copy(self.stack))
        object.__setattr__(self, "_weights", weights)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_network", "_weights")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()  # what follows from the stack need not travel

    @classmethod
    def learn(
        cls, stack: Stack, objective: Objective, preparation: Preparation, rows: Rows
    ) -> tuple[Scorer, NDArray[np.float64]]:
        """Return the scorer of a trained stack, and the scores of its training rows, (n,)."""
        network, center = scoring.scoring_copy(stack), None
        if objective.target == "batch_mean":
            center = scoring.mean_latent(network, rows, preparation)
        by_member = _by_member(network, objective, center, preparation, rows)
        scorer = cls(stack, objective, center, mean_of_rows(by_member))
        blocks = in_blocks(by_member) if isinstance(by_member, LargeRows) else [by_member]
        return scorer, np.concatenate([scorer._joined(block) for block in blocks])

    @property
    def in_double(self) -> bool:
        """Whether scores are computed in double precision."""
        return self._network.dtype == torch.float64

    def scores(self, rows: Rows, preparation: Preparation) -> NDArray[np.float64]:
        """Return the anomaly score of each row: (n,)."""
        blocks = in_blocks(rows) if isinstance(rows, LargeRows) else [rows]
        by_member = (scoring.score(self._network, self.objective, b, preparation, self.center) for b in blocks)
        return np.concatenate([self._joined(block) for block in by_member])

    def latents(self, rows: NDArray[Any], preparation: Preparation) -> NDArray[np.float64]:
        """Return the latents of each row by each member: (n, M, latent_dim)."""
        return scoring.encode(self._network, rows, preparation)

    def reconstructions(self, rows: NDArray[Any], preparation: Preparation) -> NDArray[np.float64]:
        """Return the reconstruction of each row by each member: (M, n, *shape)."""
        return scoring.reconstruct(self._network, rows, preparation).swapaxes(0, 1)

    def run(self, rows: Rows, preparation: Preparation) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield ``(x, x_hat, z)`` of blocks of rows, see `tollad.training.scoring.run`."""
        return scoring.run(self._network, rows, preparation)

    def explained(self, rows: NDArray[Any], preparation: Preparation) -> Passed:
        """Return all that one pass tells of the rows; the scores are those of `scores` to the bit."""
        blocks = []
        errors = {name: w for name, w in self.objective.weights.items() if not name.startswith("latent_")}
        error = Objective(errors)
        for x, x_hat, z in self.run(rows, preparation):
            by_member = self.objective(x, x_hat, z, center=self.center)
            arrays = [tensor.double().cpu().numpy() for tensor in (x, x_hat, by_member, error(x, x_hat, z))]
            parts, latent = split_error(*arrays)
            scores = self._joined(arrays[2].T)
            blocks.append((scores, np.tensordot(self._weights, parts, 1), self._weights @ latent, arrays[1]))
        scores, parts, latent = (np.concatenate(part) for part in list(zip(*blocks, strict=True))[:3])
        return Passed(scores, parts, latent, np.concatenate([block[3] for block in blocks], axis=1))

    def _joined(self, by_member: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one score a row from those of the members, (n, M).

        Values that are taken as they are may be too large to square: such a row gets the largest of all numbers.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            # Member by member: how NumPy sums along an axis depends on how many rows there are.
            joined = by_member[:, 0] * self._weights[0]
            for member in range(1, len(self._weights)):
                joined = joined + by_member[:, member] * self._weights[member]
        most = np.finfo(np.float64).max
        return np.nan_to_num(joined, copy=False, nan=most, posinf=most)


def _by_member(
    network: Network, objective: Objective, center: Tensor | None, preparation: Preparation, rows: Rows
) -> Rows:
    """Return the score of each row by each member, (n, M): beyond memory if the rows are."""
    if not isinstance(rows, LargeRows):
        return scoring.score(network, objective, rows, preparation, center)
    kept = RowFile(len(network), len(rows))
    for block in in_blocks(rows):
        kept.append(scoring.score(network, objective, block, preparation, center))
    return LargeRows(kept)
