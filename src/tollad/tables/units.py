"""Wide tables whose columns seem to share a unit, as those of embeddings and pixels do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tollad.tables.large import Rows, in_blocks

# So many columns of numbers are half standardised if none spreads more than so many times as far as their median: they
# may share a unit, as those of embeddings and pixels do. Their standard deviation is then at least the last number, so
# that no column is lost where they do not.
_WIDE, _ALIKE, _LEAST_DEVIATION = 32, 10.0, 0.2
# Fewer rows a column, of no more columns, are whitened. Their columns may then spread farther beyond their median.
_FEW_A_COLUMN, _MOST_WHITENED, _NEARLY_ALIKE = 5, 2048, 100.0


def are_few_in_one_unit(X: Rows) -> bool:
    """Return whether rows are to be whitened: few, of many columns of numbers that seem to share a unit.

    That is fewer than 5 rows a column, of 32 to 2,048 columns that vary, without those of 0 and 1, if the
    standard deviation of none is above 100 times their median. Of so few rows, the covariance tells more than which
    rows are near.
    """
    if X.ndim != 2 or not _WIDE <= X.shape[1] <= _MOST_WHITENED or len(X) >= _FEW_A_COLUMN * X.shape[1]:
        return False
    rows = np.concatenate([*in_blocks(X)]).astype(np.float64)
    numbers = ~(np.isnan(rows) | np.isin(rows, (0, 1))).all(0)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.nanstd(rows[:, numbers], axis=0)
    return _share_a_unit(spread[spread > 0], _NEARLY_ALIKE)


def deviations(
    scale: NDArray[np.float64], truths: NDArray[np.bool_], constant: NDArray[np.bool_], *, in_one_unit: bool
) -> NDArray[np.float64]:
    """Return the standard deviation that each column and flag is to have, (d + k,): 1 where it is standardised.

    Parameters
    ----------
    scale : ndarray of float64, (d + k,)
        Of standardised columns and flags, as in `tollad.tables.features.Features`.
    truths : ndarray of bool, (d,)
        Which columns hold only 0 and 1.
    constant : ndarray of bool, (d + k,)
    in_one_unit : bool
        Whether all columns of numbers are to be divided by one number, the root of their mean variance.
    """
    deviation = np.ones(len(scale))
    constant = constant[: len(truths)]
    numbers = np.flatnonzero(~constant & ~truths)
    spread = scale[numbers]
    if in_one_unit:
        # The unit of constant columns is known, too: that of the others.
        alike = np.flatnonzero(constant | ~truths)
        deviation[alike] = scale[alike] / np.sqrt(np.square(spread).mean())
    elif _share_a_unit(spread, _ALIKE):
        deviation[numbers] = np.maximum(np.sqrt(spread / spread.mean()), _LEAST_DEVIATION)
    return deviation


def _share_a_unit(spread: NDArray[np.float64], most: float) -> bool:
    """Return whether there are 32 standard deviations or more, none of them above `most` times their median."""
    return len(spread) >= _WIDE and bool(spread.max() <= most * np.median(spread))
