"""What is usual in a column of a table: how many training rows had no value, and how many truth values were 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.preparation import Preparation
from tollad.tables.frames import as_rows, to_arrow
from tollad.tables.schema import MAX_LEVELS, Column

# A larger share is called usual.
_USUAL = 2 / 3


@dataclass(frozen=True)
class Usual:
    """Shares of the training rows by column of the user.

    Attributes
    ----------
    missing : ndarray of float64, (k,)
        Share without a value; NaN where nothing tells.
    true : ndarray of float64, (k,)
        Share of 1 in a column that held 0 and 1 only; NaN for other columns.
    flags : ndarray of int64, (k,)
        Which input of the network says that the value is missing; -1 if none does.
    """

    missing: NDArray[np.float64]
    true: NDArray[np.float64]
    flags: NDArray[np.int64]

    @classmethod
    def of(cls, preparation: Preparation, columns: Sequence[Column] | None) -> Self:
        """Return the shares that the constants of a preparation hold; with standardised columns these are means."""
        features, origin = preparation.features, preparation.origin
        n_columns, n_inputs = len(preparation.names), len(features.fill)
        missing, true = np.full((2, n_columns), np.nan)
        flags = np.full(n_columns, -1)
        of_flags = [*zip(origin[n_inputs:], range(n_inputs, len(origin)), strict=True)]
        if columns is not None:
            last = {int(origin[place]): place for place in range(n_inputs)}
            of_flags += [(j, last[j]) for j, column in enumerate(columns) if column.kind == "date"]
        for j, place in of_flags:
            flags[j] = place
        if len(features.mean):
            missing[:] = 0.0
            flagged = flags >= 0
            missing[flagged] = features.mean[flags[flagged]]
            for place in np.flatnonzero(features.truths).tolist():
                j = int(origin[place])
                if columns is None or columns[j].kind == "number":
                    true[j] = features.mean[place]
        for j, column in enumerate(columns or ()):
            if column.kind == "drop":
                missing[j] = np.nan
            elif column.kind == "category":
                counts = dict(zip(column.levels, column.counts, strict=True))
                missing[j] = counts.get(None, 0) / sum(counts.values())
                if None in counts and len(counts) <= MAX_LEVELS:
                    flags[j] = np.flatnonzero(origin == j)[column.levels.index(None)]
        return cls(missing, true, flags)

    def to_json(self) -> dict[str, list[Any]]:
        """Return the shares as JSON values, None where nothing tells."""
        shares = {"missing": self.missing.tolist(), "true": self.true.tolist()}
        said = {name: [None if share != share else share for share in of] for name, of in shares.items()}
        return {**said, "flags": self.flags.tolist()}

    def gap(self, column: int, *, missing: bool) -> str:
        """Say what is unusual about a missing value, or about one that is there; "" if nothing is.

        Examples
        --------
        >>> usual = Usual(np.array([0.97, 0.0]), np.full(2, np.nan), np.array([2, -1]))
        >>> usual.gap(0, missing=False), usual.gap(1, missing=True)
        ('present, where 97 % of the training rows have none', 'missing, where all training rows have a value')
        >>> usual.gap(0, missing=True), usual.gap(1, missing=False)
        ('missing, as in 97 % of the training rows', '')
        """
        share = self.missing[column]
        if np.isnan(share):
            return ""
        if missing:
            if share > 0.5:
                return f"missing, as in {_percent(share)} of the training rows"
            return f"missing, where {_rows(1 - share)} have a value"
        return f"present, where {_rows(share)} have none" if share > 0.5 else ""

    def truth(self, column: int, value: float, expected: float, *, in_words: bool) -> str:
        """Say what is unusual about a 0 or 1; "" if the column had other numbers, or the value is another.

        `in_words` says whether it was given as true or false.

        Examples
        --------
        >>> usual = Usual(np.zeros(1), np.array([0.11]), np.array([-1]))
        >>> usual.truth(0, 1.0, 0.9, in_words=True)
        'true, where false is usual: 89 % of the training rows'
        >>> usual.truth(0, 0.0, 0.8, in_words=False)
        '0, as in 89 % of the training rows, but 1 is expected here'
        """
        if np.isnan(self.true[column]) or value not in (0, 1):
            return ""
        words = ("false", "true") if in_words else ("0", "1")
        is_true = bool(value == 1)
        seen, other = words[is_true], words[not is_true]
        share = self.true[column] if is_true else 1 - self.true[column]
        if 1 - share > _USUAL:
            return f"{seen}, where {other} is usual: {_rows(1 - share)}"
        but = f", but {other} is expected here" if (expected >= 0.5) != is_true else ""
        return f"{seen}, as in {_percent(share)} of the training rows{but}"


def truths_in_words(given: Any, names: Sequence[str]) -> frozenset[str]:
    """Return which columns of rows, of those called `names`, were given as true and false, not as 1 and 0."""
    table = to_arrow(as_rows(given))
    if table is None:
        return frozenset(names if np.asarray(given).dtype == np.bool_ else ())
    return frozenset(field.name for field in table.schema if pa.types.is_boolean(field.type))


def _rows(share: float) -> str:
    return "all training rows" if share >= 1 else f"{_percent(share)} of the training rows"


def _percent(share: float) -> str:
    """Return a share in per cent, which is 0 or 100 % only if it is exactly that.

    Examples
    --------
    >>> _percent(0.974), _percent(0.9996), _percent(0.001)
    ('97 %', 'over 99 %', 'under 1 %')
    """
    if 0.995 < share < 1:
        return "over 99 %"
    return "under 1 %" if 0 < share < 0.005 else f"{int(100 * share + 0.5)} %"
