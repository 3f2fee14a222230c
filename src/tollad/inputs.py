"""What a command asks of a file: its training rows, or the scores of its rows block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.features import column_names
from tollad.sources import (
    TableSource,
    column_as_strings,
    matches,
    open_table,
    read_array,
    resolve_column,
    to_numbers,
)

if TYPE_CHECKING:
    from tollad.detector import TollDetector

# Values of a block of images or series: 32 MB as float64.
_BLOCK_VALUES = 1 << 22
_MOST_LISTED = 10


@dataclass(frozen=True)
class Scored:
    """Scores of successive rows of a file.

    Attributes
    ----------
    first_row : int
        Number of the first row in the file, from 0.
    scores : ndarray of float64, (n,)
    alarms : ndarray of bool, (n,)
        Which rows are called anomalous.
    column : str or None
        Name of the column that was asked for.
    values : list of n str or None
        Its values, None where missing; empty if there was none asked for.
    """

    first_row: int
    scores: NDArray[np.float64]
    alarms: NDArray[np.bool_]
    column: str | None
    values: list[str | None]


def read_training_rows(
    path: str, *, header: bool, key: str | None, label: str | None, normal: Sequence[str], drop: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """Read the rows to fit a detector on.

    Parameters
    ----------
    path, header, key
        As in `tollad.sources.open_table`; an array of images or series may have three or four axes.
    label : str, optional
        A column that says which rows are normal. It is no feature.
    normal : sequence of str
        The labels of the rows to keep.
    drop : sequence of str
        Columns that are no features.

    Returns
    -------
    rows : pyarrow.Table or ndarray
        What `TollDetector.fit` takes, with column names where the file has them.
    notes : dict
        What the rows were, as JSON values, to be kept with the model and used by `score_blocks`.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown or holds no numbers, or no row is left.
    """
    notes = {
        "source": PurePath(_shown(path)).name,
        "header": header,
        "label": label,
        "normal": [*normal],
        "drop": [*drop],
    }
    array = _images(path, key, has_columns=label is not None or bool(drop))
    if array is not None:
        return array, {**notes, "n_read": len(array), "n_used": len(array)}
    source = open_table(path, header=header, key=key)
    label = None if label is None else resolve_column(source.path, source.names, label)
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    names = [name for name in source.names if name != label and name not in drop]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    parts: list[NDArray[np.float64]] = []
    seen: dict[str | None, None] = {}
    n_read = 0
    for block in source:
        numbers = to_numbers(block, names)
        if label is not None:
            labels = column_as_strings(block, label)
            seen |= dict.fromkeys(labels)
            numbers = numbers[matches(labels, normal)]
        parts.append(numbers)
        n_read += len(block)
    rows = np.concatenate(parts)
    if not len(rows):
        raise ValueError(
            f"{source.path}, column {label!r}: no row is labelled {_listed(normal)}; the labels are {_listed(seen)}"
        )
    notes |= {"label": label, "drop": drop, "n_read": n_read, "n_used": len(rows)}
    # The columns of an array have no names; numbered from the first, they need none to be found again.
    nameless = _is_array(path) and names == column_names(None, len(names))
    return (rows if nameless else with_names(rows, names)), notes


def score_blocks(
    detector: TollDetector, path: str, *, header: bool | None, key: str | None, column: str | None = None
) -> Iterator[Scored]:
    """Score the rows of a file, reading it block by block.

    Parameters
    ----------
    detector : TollDetector
        Loaded from a file. If its notes are those of `read_training_rows`, the columns that were no features at fit
        may be there, too, and are ignored.
    path, key
        As in `read_training_rows`.
    header : bool or None
        As in `read_training_rows`; None is as it was at fit.
    column : str, optional
        A column to hand on as text, such as a label or an identifier; it need not be a feature.

    Yields
    ------
    Scored
        In the order of the rows.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, has other columns or shapes than at fit, or a feature that is no number.
    """
    array = _images(path, key, has_columns=column is not None)
    if array is not None:
        yield from _score_array(detector, path, array)
        return
    if len(detector.input_shape_) > 1:
        raise ValueError(
            f"{_shown(path)}: is a table, but the model was fitted on rows of shape {detector.input_shape_}; "
            "give an NPY or NPZ file of such rows"
        )
    notes = detector.notes_
    source = open_table(path, header=notes.get("header", True) if header is None else header, key=key)
    if column is not None:
        column = resolve_column(source.path, source.names, column)
    names = column_names(getattr(detector, "feature_names_in_", None), detector.n_features_in_)
    _check_columns(source, names, {column, notes.get("label"), *notes.get("drop", ())})
    for block in source:
        numbers = to_numbers(block, names)
        named = hasattr(detector, "feature_names_in_")
        scores = detector.anomaly_score(with_names(numbers, names) if named else numbers)
        values = [] if column is None else column_as_strings(block, column)
        yield Scored(block.first_row, scores, scores > -detector.offset_, column, values)


def score_labelled(
    detector: TollDetector, path: str, *, header: bool | None, key: str | None, label: str, normal: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Score the rows of a labelled file.

    Parameters
    ----------
    detector, path, header, key
        As in `score_blocks`.
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
    ValueError, OSError
        As `score_blocks`; and if a label is missing, or all rows are normal or all are anomalies.
    """
    labels: list[NDArray[np.bool_]] = []
    scores: list[NDArray[np.float64]] = []
    seen: dict[str | None, None] = {}
    for scored in score_blocks(detector, path, header=header, key=key, column=label):
        if None in scored.values:
            row = scored.first_row + scored.values.index(None) + 1
            where = f"{_shown(path)}, row {row}, column {scored.column!r}"
            raise ValueError(f"{where}: the label is missing; fill it in or remove the row")
        seen |= dict.fromkeys(scored.values)
        labels.append(~matches(scored.values, normal))
        scores.append(scored.scores)
    anomalous = np.concatenate(labels)
    if anomalous.all() or not anomalous.any():
        kind = "an anomaly" if anomalous.all() else "normal"
        raise ValueError(
            f"{_shown(path)}: every row is {kind}, so there is nothing to compare; --normal is {_listed(normal)}, "
            f"and the labels are {_listed(seen)}"
        )
    return anomalous.astype(np.int64), np.concatenate(scores)


def with_names(rows: NDArray[np.float64], names: Sequence[str]) -> pa.Table:
    """Return rows as a table, from which scikit-learn takes the names of the columns."""
    return pa.table([pa.array(column) for column in rows.T], names=list(names))


def _listed(values: Iterable[str | None]) -> str:
    """Return the first ten values, quoted, for a message."""
    shown = ["(missing)" if value is None else repr(value) for value in values]
    return ", ".join(shown[:_MOST_LISTED]) + (", ..." if len(shown) > _MOST_LISTED else "")


def _shown(path: str) -> str:
    return "standard input" if path == "-" else path


def _is_array(path: str) -> bool:
    return path.lower().endswith((".npy", ".npz"))


def _images(path: str, key: str | None, *, has_columns: bool) -> NDArray[Any] | None:
    """Return the array of a file if its rows are images or series, None if they are rows of a table."""
    array = read_array(path, key) if _is_array(path) else None
    if array is None or array.ndim == 2:
        return None
    if has_columns:
        raise ValueError(
            f"{path}: holds an array of shape {array.shape}, which has no columns; leave out --label, --drop and --id"
        )
    return array


def _score_array(detector: TollDetector, path: str, array: NDArray[Any]) -> Iterator[Scored]:
    if array.shape[1:] != detector.input_shape_:
        raise ValueError(
            f"{path}: the rows have shape {array.shape[1:]}, but the model was fitted on {detector.input_shape_}"
        )
    size = max(1, _BLOCK_VALUES // math.prod(array.shape[1:]))
    for start in range(0, len(array), size):
        scores = detector.anomaly_score(array[start : start + size])
        yield Scored(start, scores, scores > -detector.offset_, None, [])


def _check_columns(source: TableSource, names: Sequence[str], ignored: set[str | None]) -> None:
    missing = [name for name in names if name not in source.names]
    unknown = [name for name in source.names if name not in names and name not in ignored]
    if missing:
        beside = f" and has {_listed(unknown)} instead" if unknown else ""
        raise ValueError(f"{source.path}: lacks columns that the model was fitted on: {_listed(missing)}{beside}")
    if unknown:
        raise ValueError(
            f"{source.path}: has columns that the model was not fitted on: {_listed(unknown)}; remove them or fit again"
        )
