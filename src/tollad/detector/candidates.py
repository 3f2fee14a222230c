"""The candidates of a sweep: their criteria, the choice among them, and their table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad import metrics
from tollad.detector.estimator import TollDetector

CRITERIA = {
    "shuffled": "AUROC of held-out rows beside the same rows with each column shuffled; high = told apart",
    "agreement": "mean rank correlation of the held-out scores with those of the other seeds; high = stable",
    "generalisation": "mean training score / mean held-out score; near 1 = new rows score like training rows",
}
"""What is measured of each candidate without a label, the better the higher, and what it means."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One detector of a sweep, and its criteria.

    Attributes
    ----------
    detector : TollDetector
        Fitted, and calibrated on the rows that were held out.
    beta : float
    latent_dim, random_state : int
    criteria : dict of str to float
        By the names of `CRITERIA`; "agreement" is missing if there is only one seed.
    remarks : tuple of str
        Warnings of the fit.

    Examples
    --------
    >>> from tollad.detector.sweep import sweep
    >>> one = sweep(np.random.default_rng(0).normal(size=(80, 3)), betas=[1], seeds=[0], steps=5)[0]
    >>> one.beta, one.random_state, one.detector.calibration_scores_.shape
    (1, 0, (16,))
    """

    detector: TollDetector
    beta: float
    latent_dim: int
    random_state: int
    criteria: dict[str, float]
    remarks: tuple[str, ...] = field(default=())


def with_criteria(found: Sequence[Candidate], held: NDArray[Any]) -> list[Candidate]:
    """Return the candidates with their criteria on the held-out rows."""
    preparation = found[0].detector._preparation
    labels = np.repeat([0, 1], len(held))
    both = np.concatenate([held, _shuffled(held, None if held.ndim > 2 else preparation.origin[: held.shape[1]])])
    scores = [candidate.detector._scorer.scores(both, preparation) for candidate in found]
    measured = []
    for candidate, own in zip(found, scores, strict=True):
        normal = own[: len(held)]
        others = [
            other[: len(held)]
            for other_one, other in zip(found, scores, strict=True)
            if other_one.random_state != candidate.random_state
            and (other_one.beta, other_one.latent_dim) == (candidate.beta, candidate.latent_dim)
        ]
        criteria = {"shuffled": metrics.auroc(labels, own)}
        if others:
            criteria["agreement"] = float(np.mean([_rank_correlation(normal, other) for other in others]))
        trained = candidate.detector.training_scores_.mean()
        criteria["generalisation"] = float(trained / normal.mean()) if normal.mean() > 0 else math.nan
        measured.append(replace(candidate, criteria=criteria))
    return measured


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1])


def _shuffled(rows: NDArray[Any], origin: NDArray[np.int64] | None) -> NDArray[Any]:
    """Permute each column by itself, so that rows mix values of several; inputs of one column stay together."""
    random, moved = np.random.default_rng(len(rows)), rows.copy()
    if origin is None:
        flat = moved.reshape(len(rows), -1)
        origin, moved = np.arange(flat.shape[1]), flat
    for columns in _columns(origin):
        moved[:, columns] = moved[random.permutation(len(rows))][:, columns]
    return moved.reshape(rows.shape)


def _columns(origin: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for column in np.unique(origin):
        yield np.flatnonzero(origin == column)


def best_of(found: Sequence[Candidate], by: str) -> Candidate:
    """Choose beta and latent_dim by the highest mean of a criterion over seeds, then the best seed of these.

    Parameters
    ----------
    found : sequence of Candidate
        Of one sweep.
    by : str
        A key of their `criteria`.

    Returns
    -------
    Candidate

    Raises
    ------
    ValueError
        If the candidates lack this criterion.

    Examples
    --------
    >>> from tollad.detector.sweep import sweep
    >>> found = sweep(np.random.default_rng(0).normal(size=(80, 3)), betas=[0, 1], seeds=[0], steps=5)
    >>> best_of(found, "shuffled").beta in (0, 1)
    True
    """
    if by not in found[0].criteria:
        raise ValueError(f"there is no {by} of these fits; there is {', '.join(found[0].criteria)}")

    cell = max(_cells(found), key=lambda cell: float(np.mean([one.criteria[by] for one in cell])))
    return max(cell, key=lambda one: one.criteria[by])


def records(found: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Return the candidates, in their order, as plain records: beta, latent_dim, random_state, criteria and remarks.

    Examples
    --------
    >>> from tollad.detector.sweep import sweep
    >>> found = sweep(np.random.default_rng(0).normal(size=(80, 3)), betas=[1], seeds=[0], steps=5)
    >>> list(records(found)[0])
    ['beta', 'latent_dim', 'random_state', 'shuffled', 'generalisation', 'remarks']
    """
    return [
        {
            "beta": one.beta,
            "latent_dim": one.latent_dim,
            "random_state": one.random_state,
            **one.criteria,
            "remarks": "; ".join(one.remarks),
        }
        for one in found
    ]


def averaged(found: Sequence[Candidate]) -> str:
    """Return a table as text: for each beta and latent_dim, mean and standard deviation of each criterion.

    Parameters
    ----------
    found : sequence of Candidate
        Of one sweep.

    Examples
    --------
    >>> from tollad.detector.sweep import sweep
    >>> found = sweep(np.random.default_rng(0).normal(size=(80, 3)), betas=[0, 1], seeds=[0], steps=5)
    >>> [line.split()[:3] for line in averaged(found).splitlines()]
    [['beta', 'latent', 'fits'], ['0', '128', '1'], ['1', '128', '1']]
    """
    names = [*found[0].criteria]
    lines = [["beta", "latent", "fits", *names, ""]]
    for cell in _cells(found):
        values = [[one.criteria[name] for one in cell] for name in names]
        shown = [f"{np.mean(each):.3f} +-{np.std(each):.3f}" for each in values]
        warned = sum(bool(one.remarks) for one in cell)
        lines.append(
            [f"{cell[0].beta:g}", f"{cell[0].latent_dim}", f"{len(cell)}", *shown, f"{warned} warned" if warned else ""]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cells(found: Sequence[Candidate]) -> list[list[Candidate]]:
    cells: dict[tuple[float, int], list[Candidate]] = {}
    for one in found:
        cells.setdefault((one.beta, one.latent_dim), []).append(one)
    return list(cells.values())
