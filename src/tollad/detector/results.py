"""Rows of a file with their scores, and tables of results: labels, p-values, reasons; and a warning of drift."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.arrays import MAX_GIB
from tollad.io.inputs import display_name, row_blocks
from tollad.io.labels import check_normal, listed_labels, matches, unmatched
from tollad.io.rows import RowBlock, TableOrArray, concat_rows, filter_rows, take_rows
from tollad.io.source import Expected
from tollad.tables.features import names_of
from tollad.tables.schema import number_columns
from tollad.warn import warn

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.io.skipped import Reject


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
    """Return what a detector expects of a file: the columns of the fit, in text written as it was then.

    The label and the dropped columns of the file of the fit may be in the file, too.
    """
    numbers = number_columns(names_of(detector), getattr(detector, "truths_", None))
    return Expected.after(
        detector.source_,
        shape=detector.input_shape_,
        columns=tuple(getattr(detector, "columns_", None) or numbers),
        named=hasattr(detector, "feature_names_in_") or hasattr(detector, "columns_"),
    )


def score_blocks(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    beside: Sequence[str] = (),
    drop: Sequence[str] = (),
    reject: Reject | None = None,
    written: Mapping[str, Any] | None = None,
    max_gib: float = MAX_GIB,
) -> Iterator[Scored]:
    """Read the rows of a file block by block, as `tollad.io.inputs.row_blocks` does, and score them.

    `written` overrides how its text is written, by attributes of `tollad.io.dialect.Dialect`: None is as at the fit.
    """
    expected = expected_by(detector)
    for block in row_blocks(
        expected,
        path,
        header=header,
        key=key,
        column=column,
        beside=beside,
        drop=drop,
        reject=reject,
        dialect=expected.dialect.changed(**written or {}),
        max_gib=max_gib,
    ):
        scores = detector.anomaly_score(block.rows)
        yield Scored(**vars(block), scores=scores, alarms=detector.decision_.is_anomaly(scores))


def labels_and_scores(
    blocks: Iterable[Scored], path: str, label: str, normal: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the labels and the scores of the rows of a labelled file.

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
            where = f"{display_name(path)}, {place}, column {scored.column!r}"
            raise ValueError(f"{where}: the label is missing; fill it in or remove the row")
        seen |= dict.fromkeys(scored.values)
        labels.append(~matches(scored.values, normal))
        scores.append(scored.scores)
    anomalous = np.concatenate(labels)
    if anomalous.all() or not anomalous.any():
        kind = "an anomaly" if anomalous.all() else "normal"
        raise ValueError(
            f"{display_name(path)}: every row is {kind}, so there is nothing to compare; the labels are "
            f"{listed_labels(seen)}, and {listed_labels(normal)} {'means' if len(normal) == 1 else 'mean'} normal"
        )
    check_normal(display_name(path), label, normal, unmatched(normal, [*seen]), seen)
    return anomalous.astype(np.int64), np.concatenate(scores)


def result_tables(
    detector: TollDetector,
    blocks: Iterable[Scored],
    *,
    only_anomalies: bool = False,
    fdr: float | None = None,
    n_reasons: int = 0,
) -> Iterator[pa.Table]:
    """Turn scored rows into tables of results.

    Parameters
    ----------
    detector : TollDetector
        The detector of the scores; `fdr` needs one with calibration rows.
    blocks : iterable of Scored
        From `score_blocks`.
    only_anomalies : bool, default False
        Whether to leave out the rows called normal.
    fdr : float in (0, 1), optional
        Choose the alarms not by the threshold but among all rows together, so that on average at most this share of the
        alarms is false. Then nothing is yielded before the last row has been scored: the results of all rows are kept
        in memory.
    n_reasons : int >= 0, default 0
        How many reasons to give, that is columns with the largest parts of the score; at most all columns.

    Yields
    ------
    pyarrow.Table
        One table for each block, with the columns row (from 1), those that were asked for, score, p_value (with `fdr`),
        verdict, and reason_1 to reason_K, null where there are fewer.

    Raises
    ------
    ValueError
        If a column that was asked for has the name of a column of results; if reasons are wanted of rows that are no
        table; and errors of `blocks`.

    Warns
    -----
    UserWarning
        If `fdr` gives no alarm only because the calibration rows are too few.
    """
    if n_reasons and len(detector.input_shape_) == 1:
        n_reasons = min(n_reasons, detector.n_features_in_)
    held: list[tuple[pa.Table, NDArray[np.bool_], NDArray[np.float64]]] = []
    for block in blocks:
        every = np.ones(len(block.scores), np.bool_)
        if fdr is None:
            kept = block.alarms if only_anomalies else every
            table = _without_verdicts(detector, block, kept, None, n_reasons)
            yield _with_verdicts(table, block.alarms[kept], n_reasons)
        else:
            from tollad.calibration import p_values  # imports SciPy, which takes a second

            p = p_values(detector.calibration_scores_, block.scores)
            # No alarm of Benjamini-Hochberg has a p-value above fdr, whatever the other rows are.
            kept = p <= fdr if only_anomalies else every
            held.append((_without_verdicts(detector, block, kept, p, n_reasons), kept, p))
    if fdr is None:
        return
    from tollad.calibration import benjamini_hochberg

    p = np.concatenate([p for _, _, p in held])
    alarms = benjamini_hochberg(p, fdr)
    _warn_of_too_few_calibration_rows(alarms, p, len(detector.calibration_scores_), fdr)
    for table, kept, p in held:
        its, alarms = alarms[: len(p)][kept], alarms[len(p) :]
        written = its if only_anomalies else np.ones(len(its), np.bool_)
        yield _with_verdicts(table.filter(pa.array(written)), its[written], n_reasons)


def watch_drift(blocks: Iterable[Scored], calibration_scores: NDArray[np.float64]) -> Iterator[Scored]:
    """Yield the blocks unchanged, and warn once when their scores differ from those of the calibration rows."""
    from tollad.calibration import DriftMonitor

    monitor = DriftMonitor(calibration_scores)
    for block in blocks:
        if monitor.drift is None and (drift := monitor.update(block.scores)):
            warn(str(drift))
        yield block


class Counted:
    """Counts the rows of tables of results that `watch` yields, and the anomalies among them.

    Attributes
    ----------
    n_rows, n_anomalies : int
    """

    def __init__(self) -> None:
        self.n_rows = self.n_anomalies = 0

    def watch(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables unchanged."""
        for table in tables:
            self.n_rows += table.num_rows
            self.n_anomalies += table["verdict"].to_pylist().count("anomaly")
            yield table


class MostAnomalous:
    """Keeps the rows with the highest scores of all blocks that `watch` yields.

    Parameters
    ----------
    most : int >= 1, default 1
        How many rows to keep.

    Attributes
    ----------
    found : list of (float, int, str or None)
        Score, row number (from 0) and value of the column that was asked for; the highest score first, and the first
        row among equal scores.
    rows : pyarrow.Table or ndarray, (n, ...)
        These rows as the detector takes them. Not set before the first block.
    """

    rows: TableOrArray

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.found: list[tuple[float, int, str | None]] = []

    def watch(self, blocks: Iterable[Scored]) -> Iterator[Scored]:
        """Yield the blocks unchanged."""
        for block in blocks:
            top = np.argsort(-block.scores, kind="stable")[: self.most]
            numbers = block.row_numbers()
            values: Sequence[str | None] = block.values or [None] * len(block.scores)
            new = [(float(block.scores[row]), int(numbers[row]), values[row]) for row in top]
            rows = take_rows(block.rows, top)
            if self.found:
                rows = concat_rows([self.rows, rows])
            self.found += new
            order = np.argsort([-score for score, _, _ in self.found], kind="stable")[: self.most]
            self.found, self.rows = [self.found[place] for place in order], take_rows(rows, order)
            yield block


def _without_verdicts(
    detector: TollDetector,
    block: Scored,
    kept: NDArray[np.bool_],
    p: NDArray[np.float64] | None,
    n_reasons: int,
) -> pa.Table:
    """Return the columns of results of some rows, without the verdict."""
    columns: list[tuple[str, pa.Array]] = [("row", pa.array(block.row_numbers()[kept] + 1))]
    if block.column is not None:
        columns.append((block.column, pa.array(block.values, pa.string()).filter(pa.array(kept))))
    for name, values in block.beside.items():
        columns.append((name, pa.array(values, pa.string()).filter(pa.array(kept))))
    columns.append(("score", pa.array(block.scores[kept], from_pandas=True)))
    if p is not None:
        columns.append(("p_value", pa.array(p[kept])))
    columns += _reasons(detector, filter_rows(block.rows, kept), n_reasons)
    names = [name for name, _ in columns]
    for name in filter(None, (block.column, *block.beside)):
        if [*names, "verdict"].count(name) > 1:
            raise ValueError(f"the name of column {name!r} is taken by the output; rename the column")
    return pa.table([column for _, column in columns], names=names)


def _reasons(detector: TollDetector, rows: TableOrArray, n_reasons: int) -> list[tuple[str, pa.Array]]:
    given: list[list[str]] = []
    if n_reasons and len(rows):
        explanation = detector.explain(rows)
        given = [explanation.reasons(row, n_reasons) for row in range(len(rows))]
    return [
        (f"reason_{k + 1}", pa.array([reasons[k] if k < len(reasons) else None for reasons in given], pa.string()))
        for k in range(n_reasons)
    ]


def _with_verdicts(table: pa.Table, alarms: NDArray[np.bool_], n_reasons: int) -> pa.Table:
    """Insert the column of verdicts before the reasons."""
    words = pa.array(np.where(alarms, "anomaly", "normal"), pa.string())
    return table.add_column(table.num_columns - n_reasons, "verdict", words)


def _warn_of_too_few_calibration_rows(
    alarms: NDArray[np.bool_], p: NDArray[np.float64], n_calibration: int, fdr: float
) -> None:
    """Warn if rows have the smallest possible p-value, 1 / (n_calibration + 1), and it is too large for any alarm."""
    least = 1 / (n_calibration + 1)
    n_beyond = int((p <= least).sum())
    if alarms.any() or not n_beyond:
        return
    warn(
        f"no row raises an alarm, although {n_beyond:,} of {len(p):,} score higher than all {n_calibration:,} "
        f"calibration rows: at a false discovery rate of {fdr:g} it takes {math.ceil(len(p) * least / fdr):,} such "
        f"rows, or {math.ceil(len(p) / (fdr * n_beyond)) - 1:,} calibration rows"
    )
