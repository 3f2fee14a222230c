"""Rows of a file with their scores: what the commands ask of a detector and a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tollad.io.arrays import MAX_GIB
from tollad.io.dialect import Dialect
from tollad.io.expected import Expected
from tollad.io.inputs import row_blocks, shown
from tollad.io.labels import check_normal, listed, matches, unmatched
from tollad.io.pictures import Shaping
from tollad.io.rows import RowBlock
from tollad.io.source import Source
from tollad.tables.features import names_of
from tollad.tables.schema import Column

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.io.text import Reject


@dataclass(frozen=True)
class Scored(RowBlock):
    """Scores of successive rows of a file.

    Attributes
    ----------
    scores : ndarray of float64, (n,)
    alarms : ndarray of bool, (n,)
        Which rows are called anomalous.
    """

    scores: NDArray[np.float64]
    alarms: NDArray[np.bool_]


def expected_by(detector: TollDetector) -> Expected:
    """Return what a detector expects of a file: the columns of its fit, read as they were then.

    Columns that were no features at a fit by the command line may be in the file, too.
    """
    source = detector.source_ or Source("", 0, 0)
    names = names_of(detector)
    return Expected(
        shape=detector.input_shape_,
        columns=tuple(getattr(detector, "columns_", None) or [Column(name, "number") for name in names]),
        named=hasattr(detector, "feature_names_in_") or hasattr(detector, "columns_"),
        ignored=frozenset({*source.drop, *([] if source.label is None else [source.label])}),
        header=source.header,
        images=None if source.images is None else Shaping.from_json(source.images),
        dialect=Dialect.from_json(source.dialect),
    )


def score_blocks(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    beside: Sequence[str] = (),
    reject: Reject | None = None,
    written: Mapping[str, Any] | None = None,
    max_gib: float = MAX_GIB,
) -> Iterator[Scored]:
    """Score the rows of a file, reading it block by block: as `tollad.io.inputs.row_blocks`, with the scores.

    `written` says how its text differs from that of the fit, by attributes of `tollad.io.dialect.Dialect`.
    """
    expected = expected_by(detector)
    for block in row_blocks(
        expected,
        path,
        header=header,
        key=key,
        column=column,
        beside=beside,
        reject=reject,
        dialect=expected.dialect.changed(**written or {}),
        max_gib=max_gib,
    ):
        scores = detector.anomaly_score(block.rows)
        yield Scored(**vars(block), scores=scores, alarms=detector.decision_.is_anomaly(scores))


def labels_and_scores(
    blocks: Iterable[Scored], path: str, label: str, normal: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what is known and what is said of the rows of a labelled file.

    Parameters
    ----------
    blocks : iterable of Scored
        With the column `label`.
    path : str
        The file, for messages.
    label : str
        The column of the labels.
    normal : sequence of str
        The labels of normal rows; rows of any other label are anomalies.

    Returns
    -------
    labels : ndarray of int64, (n,)
        1 = anomaly; both 0 and 1 occur.
    scores : ndarray of float64, (n,)

    Raises
    ------
    ValueError
        If a label is missing, or all rows are normal or all are anomalies.
    """
    labels: list[NDArray[np.bool_]] = []
    scores: list[NDArray[np.float64]] = []
    seen: dict[str | None, None] = {}
    for scored in blocks:
        if None in scored.values:
            row = scored.values.index(None)
            place = f"row {scored.row_numbers()[row] + 1}" if scored.lines is None else f"line {scored.lines[row]}"
            where = f"{shown(path)}, {place}, column {scored.column!r}"
            raise ValueError(f"{where}: the label is missing; fill it in or remove the row")
        seen |= dict.fromkeys(scored.values)
        labels.append(~matches(scored.values, normal))
        scores.append(scored.scores)
    anomalous = np.concatenate(labels)
    if anomalous.all() or not anomalous.any():
        kind = "an anomaly" if anomalous.all() else "normal"
        raise ValueError(
            f"{shown(path)}: every row is {kind}, so there is nothing to compare; {listed(normal)} mean normal, "
            f"and the labels are {listed(seen)}"
        )
    check_normal(shown(path), label, normal, unmatched(normal, [*seen]), seen)
    return anomalous.astype(np.int64), np.concatenate(scores)
