"""Choose the rows of a file by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tollad.io.blocks import Block, column_as_strings
from tollad.io.dialect import NUMBER_IN_TEXT
from tollad.warn import warn

_MOST_LISTED = 10


class Labelled:
    """Tells which rows of a table have one of the normal labels. Without a column of labels, all rows have.

    Parameters
    ----------
    path : str
        The file, as messages name it.
    label : str or None
        The column of the labels.
    normal : sequence of str
        The labels that mean normal.
    """

    def __init__(self, path: str, label: str | None, normal: Sequence[str]) -> None:
        self._path, self._label, self._normal = path, label, normal
        self._unmatched = [*normal]
        self._seen: dict[str | None, None] = {}

    def __call__(self, block: Block) -> NDArray[np.bool_]:
        if self._label is None:
            return np.ones(len(block), np.bool_)
        labels = column_as_strings(block, self._label)
        if len(self._seen) <= _MOST_LISTED:
            self._seen |= dict.fromkeys(labels)
        self._unmatched = unmatched(self._unmatched, labels)
        return matches(labels, self._normal)

    def check(self) -> None:
        """Raise ValueError if no row had a normal label, and warn of normal labels that no row had."""
        if self._label is not None:
            check_normal(self._path, self._label, self._normal, self._unmatched, self._seen)


def labelled(block: Block, label: str | None, normal: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows of a whole file have a normal label, (n,); without `label` all.

    Checked as by `Labelled.check`.
    """
    wanted = Labelled(block.path, label, normal)
    kept = wanted(block)
    wanted.check()
    return kept


def check_normal(
    path: str, label: str, normal: Sequence[str], without_rows: Sequence[str], seen: Iterable[str | None]
) -> None:
    """Raise ValueError if no row has a normal label, and warn of normal labels that no row has."""
    if not without_rows:
        return
    problem = (
        f"{path}, column {label!r}: no row is labelled {listed_labels(without_rows)}; "
        f"the labels are {listed_labels(seen)}"
    )
    if len(without_rows) == len(normal):
        raise ValueError(problem)
    warn(problem)


def unmatched(normal: Sequence[str], seen: Sequence[str | None]) -> list[str]:
    """Return the normal labels that were not seen."""
    return [value for value in normal if not matches(seen, [value]).any()]


def matches(values: Sequence[str | None], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Return which values equal one of `wanted`: as numbers if both are numbers, else as text without outer spaces.

    Examples
    --------
    >>> matches(["1.0", "10", " normal", "True", None], ["1", "normal", "true"]).tolist()
    [True, False, True, True, False]
    """
    targets = {_comparable(text) for text in wanted}
    hits = {text for text in set(values) if text is not None and _comparable(text) in targets}
    return np.array([text in hits for text in values], dtype=np.bool_)


def _comparable(text: str) -> str | Decimal:
    """Return an object that is equal for equal values.

    It is no float, since floats round long identifiers to equal values.
    """
    text = text.strip()
    if NUMBER_IN_TEXT.fullmatch(text):
        return Decimal(text)
    return text.lower() if text.lower() in ("true", "false") else text


def listed_labels(values: Iterable[str | None]) -> str:
    """Return the first ten values, quoted, for a message."""
    shown = ["(missing)" if value is None else repr(value) for value in values]
    return ", ".join(shown[:_MOST_LISTED]) + (", ..." if len(shown) > _MOST_LISTED else "")
