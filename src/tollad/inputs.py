"""What a command asks of a file: rows to train on, or rows as a model takes them, block by block, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.columns import Column, encode, fit_columns, typed
from tollad.features import column_names
from tollad.sources import (
    Block,
    TableSource,
    column_as_strings,
    matches,
    open_table,
    read_array,
    read_table,
    resolve_column,
)

if TYPE_CHECKING:
    from tollad.detector import TollDetector

# Values of a block of images or series: 32 MB as float64.
_BLOCK_VALUES = 1 << 22
_MOST_LISTED = 10

Rows: TypeAlias = "pa.Table | NDArray[Any]"


@dataclass(frozen=True)
class Training:
    """What to fit a detector on.

    Attributes
    ----------
    rows : pyarrow.Table or ndarray
        What `TollDetector.fit` takes: a table with one type a column, or an array where the file has no column names.
    columns : dict of str to str or None
        The kinds that were asked for, by name: the parameter `columns` of the detector.
    notes : dict
        What the rows were, as JSON values, to be kept with the model and used by `row_blocks`.
    """

    rows: Rows
    columns: dict[str, str] | None
    notes: dict[str, Any]


@dataclass(frozen=True)
class RowBlock:
    """Successive rows of a file.

    Attributes
    ----------
    first_row : int
        Number of the first row in the file, from 0.
    rows : pyarrow.Table or ndarray
        What the methods of the detector take.
    column : str or None
        Name of the column that was asked for.
    values : list of n str or None
        Its values, None where missing; empty if there was none asked for.
    """

    first_row: int
    rows: Rows
    column: str | None
    values: list[str | None]


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


def read_training_rows(
    path: str,
    *,
    header: bool,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str],
    kinds: Mapping[str, str] | None,
) -> Training:
    """Read the rows to fit a detector on, all into memory.

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
    kinds : mapping of str to str, optional
        What columns are; all others are decided by their values, see `tollad.columns.fit_columns`.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown or cannot be learnt from, or no row is left.
    """
    notes = {
        "source": PurePath(_shown(path)).name,
        "header": header,
        "label": label,
        "normal": [*normal],
        "drop": [*drop],
    }
    array = _images(path, key, has_columns=label is not None or bool(drop) or bool(kinds))
    if array is not None:
        return Training(array, None, {**notes, "n_read": len(array), "n_used": len(array)})
    source = open_table(path, header=header, key=key)
    label = None if label is None else resolve_column(source.path, source.names, label)
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    asked = {resolve_column(source.path, source.names, name): kind for name, kind in (kinds or {}).items()}
    names = [name for name in source.names if name != label and name not in drop]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    block = read_table(source)
    kept = np.ones(len(block), np.bool_) if label is None else labelled(block, label, normal)
    table, numbers = block.table.select(names).filter(pa.array(kept)), np.flatnonzero(kept)

    def where(row: int) -> str:
        return block.where(int(numbers[row]))

    columns = fit_columns(table, asked, where=where)
    notes |= {"label": label, "drop": drop, "n_read": len(block), "n_used": len(table)}
    # The columns of an array have no names; numbered from the first, they need none to be found again.
    if _is_array(path) and not asked and names == column_names(None, len(names)):
        return Training(encode(table, columns, where=where), None, notes)
    return Training(typed(table, columns, where=where), asked or None, notes)


def row_blocks(
    detector: TollDetector, path: str, *, header: bool | None, key: str | None, column: str | None = None
) -> Iterator[RowBlock]:
    """Read the rows of a file block by block, as the detector takes them.

    What a column is, the detector knows; it is never decided by a block.

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
    RowBlock
        In the order of the rows.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, has other columns or shapes than at fit, or a value that is not of the kind of its
        column.
    """
    array = _images(path, key, has_columns=column is not None)
    if array is not None:
        yield from _array_blocks(detector, path, array)
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
    columns = getattr(detector, "columns_", None) or [Column(name, "number") for name in names]
    names = [known.name for known in columns if known.kind != "drop"]
    dropped = {known.name for known in columns} - {*names}
    check_columns(source, names, {column, notes.get("label"), *notes.get("drop", ()), *dropped})
    named = hasattr(detector, "feature_names_in_") or hasattr(detector, "columns_")
    understand = typed if named else encode
    for block in source:
        rows = understand(block.table.select(names), columns, where=block.where)
        yield RowBlock(block.first_row, rows, column, [] if column is None else column_as_strings(block, column))


def read_rows(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
) -> Rows:
    """Read the rows of a file as the detector takes them, all into memory: those labelled normal, or all of them.

    Parameters
    ----------
    detector, path, header, key
        As in `row_blocks`.
    label, normal
        As in `read_training_rows`.

    Raises
    ------
    ValueError, OSError
        As `row_blocks`, or if no row is left.
    """
    parts: list[Rows] = []
    seen: dict[str | None, None] = {}
    for block in row_blocks(detector, path, header=header, key=key, column=label):
        seen |= dict.fromkeys(block.values)
        parts.append(block.rows if label is None else chosen(block.rows, matches(block.values, normal)))
    rows = pa.concat_tables(parts) if isinstance(parts[0], pa.Table) else np.concatenate(parts)
    if not len(rows):
        raise _no_such_label(_shown(path), label, normal, seen)
    return rows


def score_blocks(
    detector: TollDetector, path: str, *, header: bool | None, key: str | None, column: str | None = None
) -> Iterator[Scored]:
    """Score the rows of a file, reading it block by block: as `row_blocks`, with the scores."""
    for block in row_blocks(detector, path, header=header, key=key, column=column):
        scores = detector.anomaly_score(block.rows)
        alarms = scores > -detector.offset_
        yield Scored(block.first_row, block.rows, block.column, block.values, scores, alarms)


def score_labelled(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    label: str,
    normal: Sequence[str],
    scored_blocks: Callable[..., Iterator[Scored]] = score_blocks,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Score the rows of a labelled file.

    Parameters
    ----------
    detector, path, header, key
        As in `row_blocks`.
    label : str
        The column of the labels.
    normal : sequence of str
        The labels of normal rows; rows of any other label are anomalies.
    scored_blocks : callable
        What reads and scores the file.

    Returns
    -------
    labels : ndarray of int64, (n,)
        1 = anomaly; both 0 and 1 occur.
    scores : ndarray of float64, (n,)

    Raises
    ------
    ValueError, OSError
        As `row_blocks`; and if a label is missing, or all rows are normal or all are anomalies.
    """
    labels: list[NDArray[np.bool_]] = []
    scores: list[NDArray[np.float64]] = []
    seen: dict[str | None, None] = {}
    for scored in scored_blocks(detector, path, header=header, key=key, column=label):
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


def chosen(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows where the mask, (n,), is true."""
    return rows.filter(pa.array(mask)) if isinstance(rows, pa.Table) else rows[mask]


def with_names(rows: NDArray[np.float64], names: Sequence[str]) -> pa.Table:
    """Return rows as a table, from which scikit-learn takes the names of the columns."""
    return pa.table([pa.array(column) for column in rows.T], names=list(names))


def labelled(block: Block, label: str, normal: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows of a file have one of the labels, (n,); ValueError if none has."""
    labels = column_as_strings(block, label)
    kept = matches(labels, normal)
    if not kept.any():
        raise _no_such_label(block.path, label, normal, dict.fromkeys(labels))
    return kept


def _no_such_label(path: str, label: str | None, normal: Sequence[str], seen: Iterable[str | None]) -> ValueError:
    return ValueError(f"{path}, column {label!r}: no row is labelled {_listed(normal)}; the labels are {_listed(seen)}")


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
            f"{path}: holds an array of shape {array.shape}, which has no columns; "
            "leave out --label, --drop, --column and --id"
        )
    return array


def _array_blocks(detector: TollDetector, path: str, array: NDArray[Any]) -> Iterator[RowBlock]:
    if array.shape[1:] != detector.input_shape_:
        raise ValueError(
            f"{path}: the rows have shape {array.shape[1:]}, but the model was fitted on {detector.input_shape_}"
        )
    size = max(1, _BLOCK_VALUES // math.prod(array.shape[1:]))
    for start in range(0, len(array), size):
        yield RowBlock(start, array[start : start + size], None, [])


def check_columns(source: TableSource, names: Sequence[str], ignored: set[str | None]) -> None:
    """Raise ValueError for a file that lacks a column of the fit, or has another one that is not to be ignored."""
    missing = [name for name in names if name not in source.names]
    unknown = [name for name in source.names if name not in names and name not in ignored]
    if missing:
        beside = f" and has {_listed(unknown)} instead" if unknown else ""
        raise ValueError(f"{source.path}: lacks columns that the model was fitted on: {_listed(missing)}{beside}")
    if unknown:
        raise ValueError(
            f"{source.path}: has columns that the model was not fitted on: {_listed(unknown)}; remove them or fit again"
        )
