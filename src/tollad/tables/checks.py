"""Checks of rows given as arrays: their shape, and their missing and infinite values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.tables.large import Rows, in_blocks


def check_axes(shape: Sequence[int]) -> None:
    """Raise ValueError for rows that are no table, images or series, and for images with the channels last."""
    if len(shape) not in (2, 3, 4):
        raise ValueError(f"the rows must be (n, d), (n, H, W), (n, C, H, W) or (n, C, T), not of shape {tuple(shape)}")
    if 0 in shape[1:]:
        raise ValueError(f"the rows have shape {tuple(shape)} and hold no value; give rows with at least one")
    if len(shape) == 4 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        raise ValueError(
            f"the images have shape {tuple(shape)}, with the channels last; pass X.transpose(0, 3, 1, 2) instead"
        )


def refuse_missing(X: Rows) -> None:
    """Raise ValueError for a missing value in images or series, with its row."""
    place = _first(X, np.isnan)
    if place is not None:
        raise ValueError(f"row {place[0]} has missing values (NaN), which only tables may have; fill them first")


def refuse_infinite(X: Rows, names: Sequence[str]) -> None:
    """Raise ValueError for an infinite value, with its row and column."""
    place = _first(X, np.isinf)
    if place is not None:
        row, column, *_ = place
        where = f"row {row}, column {names[column]!r}" if X.ndim == 2 else f"row {row}"
        remedy = ", or mark it as missing (NaN)" if X.ndim == 2 else ""
        raise ValueError(f"{where}: the value is infinite; correct it{remedy}")


def _first(X: Rows, test: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> list[int] | None:
    """Return the place of the first value that passes a test, None if there is none."""
    start = 0
    for block in in_blocks(X):
        passed = test(block)
        if passed.any():
            row, *rest = np.argwhere(passed)[0].tolist()
            return [start + row, *rest]
        start += len(block)
    return None
