"""Scorer: rows become scores; one pass through the networks also gives parts, latents and reconstructions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.detector.nearest import Nearest
from tollad.detector.preparation import Preparation
from tollad.method.objective import Objective
from tollad.tables.large import LargeRows, RowFile, Rows, in_blocks, mean_of_rows
from tollad.training import scoring
from tollad.training.rowwise import RowWise
from tollad.training.scoring import Network
from tollad.training.stack import Stack


@dataclass(frozen=True, eq=False)
class Passed:
    """Results of one pass over n rows.

    Attributes
    ----------
    scores : ndarray of float64, (n,)
    parts : ndarray of float64, (n, *shape)
        Part of each network input in the score: in its reconstruction errors and its distance to the nearest row.
    latent : ndarray of float64, (n,)
        Part of the latent term.
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

    The score of a single member is its objective. The score of several is the mean over members, each divided by its
    mean over the training rows. If there is `nearest`, the distance to the nearest kept training row is added.

    Attributes
    ----------
    stack : Stack
        In evaluation mode.
    objective : Objective
        The one that it was trained with.
    center : Tensor, (M, latent_dim), or None
        Target of the collapse if that of the objective is the mean of the batch: the mean latent of the training rows.
    member_means : ndarray of float64, (M,)
        Mean score of each member over the training rows.
    nearest : Nearest or None
        The third term: the distance to the nearest training row.
    doubled : bool
        Whether the networks run in double precision, whatever precision they were trained in.
    """

    stack: Stack
    objective: Objective
    center: Tensor | None
    member_means: NDArray[np.float64]
    nearest: Nearest | None = None
    doubled: bool = False
    _network: Network = field(init=False)
    _weights: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        weights = self.member_weights
        if self.nearest is not None:
            weights = np.concatenate([weights, self.nearest.weights])
        object.__setattr__(self, "_network", scoring.scoring_copy(self.stack, doubled=self.doubled))
        object.__setattr__(self, "_weights", weights)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_network", "_weights")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()  # computed from the other fields

    @classmethod
    def learn(
        cls,
        stack: Stack,
        objective: Objective,
        preparation: Preparation,
        rows: Rows,
        nearest: Nearest | None = None,
    ) -> tuple[Scorer, NDArray[np.float64]]:
        """Return the scorer of a trained stack, and the scores of the training rows, (n,). It scales `nearest`."""
        network, center = scoring.scoring_copy(stack), None
        if objective.target == "batch_mean":
            center = scoring.mean_latent(network, rows, preparation)
        n_members = len(stack)
        scorer = cls(stack, objective, center, np.ones(n_members), nearest)
        terms = scorer._all_terms(rows, preparation)
        means = mean_of_rows(terms)
        if nearest is not None and n_members > 1:
            positive = terms.changed(_positive) if isinstance(terms, LargeRows) else _positive(terms)
            nearest = nearest.in_units_of(means[n_members:], mean_of_rows(positive)[n_members:])
        scorer = replace(scorer, member_means=means[:n_members], nearest=nearest)
        blocks = in_blocks(terms) if isinstance(terms, LargeRows) else [terms]
        return scorer, np.concatenate([scorer._joined(block) for block in blocks])

    def in_units_of(self, other: Scorer) -> Scorer:
        """Return this scorer with scores in the units of another one, which has the same members.

        Scores of several members are divided by their means over the training rows, so those of two fits cannot be
        compared. With the means of one fit in both, they can.
        """
        nearest = self.nearest
        if nearest is not None and other.nearest is not None:
            nearest = replace(nearest, means=other.nearest.means)
        return replace(self, member_means=other.member_means, nearest=nearest)

    @property
    def member_weights(self) -> NDArray[np.float64]:
        """Factor of each member in the score: (M,)."""
        means = self.member_means
        return np.ones(1) if len(means) == 1 else 1 / (len(means) * np.where(means > 0, means, 1.0))

    @property
    def in_double(self) -> bool:
        """Whether scores are computed in double precision throughout."""
        return self.doubled or self.stack.dtype == torch.float64

    def scores(self, rows: Rows, preparation: Preparation) -> NDArray[np.float64]:
        """Return the anomaly score of each row: (n,)."""
        blocks = in_blocks(rows) if isinstance(rows, LargeRows) else [rows]
        return np.concatenate([self._joined(self._terms(block, preparation)) for block in blocks])

    def latents(self, rows: NDArray[Any], preparation: Preparation) -> NDArray[np.float64]:
        """Return the latents of each row by each member: (n, M, latent_dim)."""
        return scoring.latents(self._network, rows, preparation)

    def reconstructions(self, rows: NDArray[Any], preparation: Preparation) -> NDArray[np.float64]:
        """Return the reconstruction of each row by each member: (M, n, *shape)."""
        return scoring.reconstructions(self._network, rows, preparation).swapaxes(0, 1)

    def run(self, rows: Rows, preparation: Preparation) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield ``(x, x_hat, z)`` of blocks of rows, see `tollad.training.scoring.run`."""
        return scoring.run(self._network, rows, preparation)

    def explained(self, rows: NDArray[Any], preparation: Preparation) -> Passed:
        """Return scores, parts and reconstructions from one pass. The scores equal those of `scores` to the bit."""
        blocks = []
        errors = {name: w for name, w in self.objective.weights.items() if not name.startswith("latent_")}
        error, n_members = Objective(errors), len(self.member_means)
        for x, x_hat, z in self.run(rows, preparation):
            by_member = self.objective(x, x_hat, z, center=self.center)
            arrays = [tensor.double().cpu().numpy() for tensor in (x, x_hat, by_member, error(x, x_hat, z))]
            parts, latent = split_error(*arrays)
            terms, shares = arrays[2], np.tensordot(self._weights[:n_members], parts, 1)
            if self.nearest is not None:
                distances, nearest = self.nearest.find(x)
                parts, _ = split_error(arrays[0][: len(nearest)], nearest, distances, distances)
                terms, shares = (
                    np.concatenate([terms, distances]),
                    shares + np.tensordot(self.nearest.weights, parts, 1),
                )
            blocks.append((self._joined(terms.T), shares, self._weights[:n_members] @ latent, arrays[1]))
        scores, parts, latent = (np.concatenate(part) for part in list(zip(*blocks, strict=True))[:3])
        return Passed(scores, parts, latent, np.concatenate([block[3] for block in blocks], axis=1))

    def _terms(self, rows: NDArray[Any], preparation: Preparation) -> NDArray[np.float64]:
        """Return the summands of the score before weighting, (n, M or more): scores of the members, then distances."""
        blocks = []
        # Each call costs less than without gradients only. Modules of the user may keep tensors for a later training.
        with torch.inference_mode(isinstance(self._network, RowWise)):
            for x, x_hat, z in self.run(rows, preparation):
                terms = self.objective(x, x_hat, z, center=self.center).double().cpu().numpy()
                if self.nearest is not None:
                    terms = np.concatenate([terms, self.nearest.find(x)[0]])
                blocks.append(np.ascontiguousarray(terms.T))
        return np.concatenate(blocks)

    def _all_terms(self, rows: Rows, preparation: Preparation) -> Rows:
        """Return the terms of training rows, on disk if the rows are."""
        if not isinstance(rows, LargeRows):
            return self._terms(rows, preparation)
        kept = RowFile(len(self._weights), len(rows))
        for block in in_blocks(rows):
            kept.append(self._terms(block, preparation))
        return LargeRows(kept)

    def _joined(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each row, (n,), from its terms, (n, M or more).

        Without preprocessing values may be too large to square. Such a row gets the largest finite number as score.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            # Term by term, since the rounding of NumPy's sum along an axis depends on the number of rows.
            joined = terms[:, 0] * self._weights[0]
            for term in range(1, len(self._weights)):
                joined = joined + terms[:, term] * self._weights[term]
        if not np.isfinite(joined).all():
            most = np.finfo(np.float64).max
            joined = np.nan_to_num(joined, copy=False, nan=most, posinf=most)
        return joined


def split_error(
    x: NDArray[np.float64],
    x_hat: NDArray[np.float64],
    scores: NDArray[np.float64],
    error: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split the scores of members into parts by value and a latent part.

    The error of equation (1) is a norm and no sum over values, but ``||r|| = sum_j r_j^2 / ||r||``, and each summand is
    the part of one value. Other errors are divided in proportion to the same squares, or evenly if all squares are 0.

    Parameters
    ----------
    x, x_hat : ndarray, (M, n, *shape)
        Inputs and reconstructions.
    scores, error : ndarray, (M, n)
        Scores, and the reconstruction error that each contains.

    Returns
    -------
    parts : ndarray, (M, n, *shape)
    latent : ndarray, (M, n)
    """
    squared = np.square(x_hat - x)
    axes = tuple(range(2, x.ndim))
    total = squared.sum(axes, keepdims=True)
    even = np.full_like(squared, 1 / math.prod(x.shape[2:]))
    parts = np.divide(squared, total, out=even, where=total > 0) * error.reshape(total.shape)
    return parts, np.maximum(scores - error, 0.0)


def _positive(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    return (terms > 0).astype(np.float64)
