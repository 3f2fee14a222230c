"""Explanations: a score split exactly into parts, and the value that the network expected in place of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.detector.preparation import Preparation
from tollad.detector.scorer import Passed
from tollad.detector.usual import Usual, truths_in_words
from tollad.detector.wording import Wording, compared
from tollad.tables.decode import decode, values_of
from tollad.tables.frames import as_rows, to_arrow
from tollad.tables.schema import Column, number_columns
from tollad.warn import printable

# Smaller shares would be shown as 0 %.
_LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Explanation:
    """The parts of the scores of rows, and what was expected of the rows.

    The parts of a row and its latent part add up to its score to the precision of a float. A part is large where the
    reconstruction differs from the row; the latent part, beta times the norm of z, belongs to the row as a whole.

    Attributes
    ----------
    names : tuple of str, (d,)
        Columns, or channels of images and series.
    scores : ndarray of float64, (n,)
        Anomaly scores.
    parts : ndarray of float64, (n, *row shape), >= 0
        Share of each column, pixel or time step in the reconstruction error, in the units of the score.
    latent : ndarray of float64, (n,), >= 0
        The latent term.
    seen, expected : ndarray, (n, *row shape)
        The rows, and what the network makes of them, in the rows' own units. A category is expected to be the level of
        the largest reconstruction.
    wording : callable or None
        ``(row, column) -> str``: what is unusual about a value, where `seen` and `expected` do not show it, as for
        rare categories and for cycles of dates.

    Examples
    --------
    >>> import numpy as np
    >>> from tollad import TollDetector
    >>> normal = np.random.default_rng(0).normal(40, 10, size=(300, 2))
    >>> detector = TollDetector(steps=100, random_state=0).fit(normal)
    >>> explanation = detector.explain([[41.0, 400.0]])
    >>> explanation.reasons(0, most=1)[0].split(",")[0]
    'x2: 400'
    """

    names: tuple[str, ...]
    scores: NDArray[np.float64]
    parts: NDArray[np.float64]
    latent: NDArray[np.float64]
    seen: NDArray[Any]
    expected: NDArray[Any]
    wording: Callable[[int, int], str] | None = None

    def reasons(self, row: int, most: int = 3) -> list[str]:
        """Return the columns that contribute most to the score of one row of a table, in words, the largest part first.

        Parameters
        ----------
        row : int
            Number of the row, from 0.
        most : int, default 3
            How many parts at most.

        Returns
        -------
        list of str
            Such as ``"age: 3, expected about 41 (62 % of the score)"``. The rest of the 100 % are other columns and the
            latent part. Parts of less than half a per cent are left out, but for the largest.

        Raises
        ------
        ValueError
            For rows that are images or series, whose parts have no names.
        """
        if self.parts.ndim != 2:
            raise ValueError("reasons in words are for tables; of images and series look at the parts as a picture")
        columns = np.argsort(-self.parts[row], kind="stable")[:most]
        parts = self.parts[row, columns]
        kept = (parts > 0) & ((parts >= _LEAST_SHARE * self.scores[row]) | (parts == parts[0]))
        return [self._reason(row, int(column)) for column in columns[kept]]

    def finding(self, row: int, column: int) -> str:
        """Return the value of a column and what was expected instead: ``"age: 3, expected about 41"``.

        Parameters
        ----------
        row, column : int
            Numbers of the row and of the column, from 0.
        """
        name = printable(str(self.names[column]))
        if self.wording is not None:
            return f"{name}: {self.wording(row, column)}"
        return f"{name}: {compared(self.seen[row, column], self.expected[row, column])}"

    def _reason(self, row: int, column: int) -> str:
        share = self.parts[row, column] / self.scores[row]
        return f"{self.finding(row, column)} ({100 * share:.0f} % of the score)"


def explanation(
    passed: Passed,
    given: Any,
    rows: NDArray[Any],
    preparation: Preparation,
    columns: Sequence[Column] | None,
    words: Sequence[str] = (),
) -> Explanation:
    """Return the explanation of some rows.

    Parameters
    ----------
    passed : Passed
        Their scores, parts and reconstructions.
    given : array-like
        The rows as the user gave them.
    rows : ndarray, (n, ...)
        The same as numbers, see `Preparation`.
    preparation : Preparation
    columns : sequence of Column or None
        Those of a frame of mixed columns.
    words : sequence of str
        Columns that were true and false in the file of the fit.
    """
    parts, seen, wording, names = passed.parts, rows, None, preparation.names
    expected: NDArray[Any] = preparation.reconstructed(passed.x_hat, rows)
    if rows.ndim == 2:
        parts = sum_groups(parts, preparation.origin.tolist(), len(names))
        usual, in_words = Usual.of(preparation, columns), truths_in_words(given, names).union(words)
        reconstructed = expected
        if columns is not None:
            seen, expected = values_of(to_arrow(as_rows(given)), columns), decode(expected, columns)
        kinds = number_columns(names, None) if columns is None else columns
        wording = Wording(kinds, rows, reconstructed, passed.parts, seen, expected, usual, in_words)
    return Explanation(names, passed.scores, parts.reshape(seen.shape), passed.latent, seen, expected, wording)


def sum_groups(parts: NDArray[np.float64], groups: Sequence[int], n_groups: int) -> NDArray[np.float64]:
    """Add up the parts that belong to one column: (n, m) -> (n, n_groups), `groups` holding the column of each part."""
    summed = np.zeros((len(parts), n_groups))
    for part, group in zip(parts.T, groups, strict=True):
        summed[:, group] += part
    return summed
