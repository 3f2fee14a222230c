"""What a command asks of a file: rows to train on, or rows as a model takes them, block by block, and their scores."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.images import ImageSource, is_images, open_images
from tollad.io.intake import is_large, large_rows, spooled_input
from tollad.io.sources import (
    Block,
    TableSource,
    check_whole,
    column_as_strings,
    matches,
    may_lack_header,
    open_table,
    read_array,
    read_table,
    resolve_column,
    warn_of_lost_row,
)
from tollad.tables.decode import typed
from tollad.tables.encode import encode
from tollad.tables.features import column_names
from tollad.tables.schema import Column
from tollad.tables.survey import fit_columns
from tollad.tables.values import unreadable

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.io.text import Reject
    from tollad.tables.large import LargeRows

# Values of a block of images or series: 32 MB as float64.
_BLOCK_VALUES = 1 << 22
_MOST_LISTED = 10

Rows: TypeAlias = "pa.Table | NDArray[Any]"


@dataclass(frozen=True)
class Training:
    """What to fit a detector on.

    Attributes
    ----------
    rows : pyarrow.Table, ndarray or LargeRows
        What `TollDetector.fit` takes: a table with one type a column, or an array where the file has no column names.
        Of a large file the rows are on disk.
    columns : dict of str to str or None
        The kinds that were asked for, by name: the parameter `columns` of the detector.
    notes : dict
        What the rows were, as JSON values, to be kept with the model and used by `row_blocks`.
    """

    rows: Rows | LargeRows
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
    numbers : ndarray of int64, (n,), or None
        Number of each row in the file, where rows were left out; None if they follow `first_row`.
    lines : ndarray of int64, (n,), or None
        The line on which each row begins, from 1, where that is known.
    """

    first_row: int
    rows: Rows
    column: str | None
    values: list[str | None]
    numbers: NDArray[np.int64] | None = field(default=None, kw_only=True)
    lines: NDArray[np.int64] | None = field(default=None, kw_only=True)

    def row_numbers(self) -> NDArray[np.int64]:
        """Return the number of each row in the file, from 0: (n,)."""
        return np.arange(self.first_row, self.first_row + len(self.rows)) if self.numbers is None else self.numbers


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
    size: tuple[int, int] | None = None,
    grey: bool = False,
) -> Training:
    """Read the rows to fit a detector on: into memory, or what would take much of it, to disk.

    Parameters
    ----------
    path, header, key
        As in `tollad.io.sources.open_table`; an array of images or series may have three or four axes. Or images as
        `tollad.io.images.open_images` takes them: a folder, or an IDX file.
    label : str, optional
        A column that says which rows are normal. It is no feature.
    normal : sequence of str
        The labels of the rows to keep.
    drop : sequence of str
        Columns that are no features.
    kinds : mapping of str to str, optional
        What columns are; all others are decided by their values, see `tollad.tables.survey.fit_columns`.
    size, grey
        As in `tollad.io.images.open_images`, for images only.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown or cannot be learnt from, or no row is left.
    """
    notes: dict[str, Any] = {
        "source": PurePath(_shown(path)).name or path,
        "header": header,
        "label": label,
        "normal": [*normal],
        "drop": [*drop],
    }
    if is_images(path):
        if key is not None or drop or kinds:
            raise ValueError(f"{path}: holds images, no arrays or columns; leave out --key, --drop and --column")
        notes["images"] = {"size": None if size is None else [*size], "grey": grey}
        return _training_images(open_images(path, size=size, grey=grey), label, normal, notes)
    if size is not None or grey:
        raise ValueError(f"{_shown(path)}: is no folder of images and no IDX file; leave out --size and --grey")
    array = _images(path, key, has_columns=label is not None or bool(drop) or bool(kinds))
    if array is not None:
        return Training(array, None, {**notes, "n_read": len(array), "n_used": len(array)})
    with contextlib.ExitStack() as stack:
        spooled = stack.enter_context(spooled_input()) if path == "-" else None
        source = open_table(path, header=header, key=key, spooled=spooled)
        return _read_training_table(source, is_large(path, spooled), _is_array(path), label, normal, drop, kinds, notes)


def _read_training_table(
    source: TableSource,
    large: bool,
    is_array: bool,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str],
    kinds: Mapping[str, str] | None,
    notes: dict[str, Any],
) -> Training:
    warn_of_lost_row(source)
    label = None if label is None else resolve_column(source.path, source.names, label)
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    asked = {resolve_column(source.path, source.names, name): kind for name, kind in (kinds or {}).items()}
    if len(asked) < len(kinds or ()):
        raise ValueError(f"{source.path}: the kind of a column is given twice, by name and by number; give it once")
    names = [name for name in source.names if name != label and name not in drop]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    # The columns of an array have no names; numbered from the first, they need none to be found again.
    named = not (is_array and not asked and names == column_names(None, len(names)))
    if large:
        rows, n_read = large_rows(source, names, asked, _Labelled(source.path, label, normal), named=named)
        return Training(
            rows, asked or None, {**notes, "label": label, "drop": drop, "n_read": n_read, "n_used": len(rows)}
        )
    block = read_table(source)
    kept = labelled(block, label, normal)
    table, numbers = block.table.select(names).filter(pa.array(kept)), np.flatnonzero(kept)

    def where(row: int) -> str:
        return block.where(int(numbers[row]))

    columns = fit_columns(table, asked, where=where)
    notes |= {"label": label, "drop": drop, "n_read": len(block), "n_used": len(table)}
    if not named:
        return Training(encode(table, columns, where=where), None, notes)
    return Training(typed(table, columns, where=where), asked or None, notes)


def row_blocks(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    reject: Reject | None = None,
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
        A column to hand on as text, such as a label or an identifier; it need not be a feature. Of a folder of images
        it is `file` if none is asked for.
    reject : callable, optional
        As in `tollad.io.sources.open_table`; and rows of a table with a value that is not of the kind of its column are
        left out, too.

    Yields
    ------
    RowBlock
        In the order of the rows; of at least one row.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, has other columns or shapes than at fit, or a value that is not of the kind of its
        column. With `reject`, if no row of the file can be read, or none of its first block: it is another file then.
    """
    if is_images(path):
        yield from _image_blocks(detector, path, column)
        return
    array = _images(path, key, has_columns=column is not None)
    if array is not None:
        yield from _array_blocks(detector, path, array)
        return
    notes = detector.notes_
    header = notes.get("header", True) if header is None else header
    source = open_table(path, header=header, key=key, reject=reject)
    if len(detector.input_shape_) > 1:
        raise ValueError(
            f"{_shown(path)}: is a table, but the model was fitted on rows of shape {detector.input_shape_}; "
            "give an NPY or NPZ file of such rows"
        )
    if column is not None:
        column = resolve_column(source.path, source.names, column)
    names = column_names(getattr(detector, "feature_names_in_", None), detector.n_features_in_)
    columns = getattr(detector, "columns_", None) or [Column(name, "number") for name in names]
    names = [known.name for known in columns if known.kind != "drop"]
    dropped = {known.name for known in columns} - {*names}
    check_columns(source, names, {column, notes.get("label"), *notes.get("drop", ()), *dropped})
    named = hasattr(detector, "feature_names_in_") or hasattr(detector, "columns_")
    understand = typed if named else encode
    source.numeric.update(known.name for known in columns if known.kind == "number" and known.name != column)
    any_read = False
    for block in source:
        if reject is not None:
            block = readable(block, columns, names, reject, any_read=any_read)
            if not len(block):
                continue
        any_read = True
        rows = understand(block.table.select(names), columns, where=block.where)
        values = [] if column is None else column_as_strings(block, column)
        yield RowBlock(block.first_row, rows, column, values, numbers=block.numbers, lines=block.lines)
    if not any_read:
        raise ValueError(f"{source.path}: not one of its rows can be read; see what is wrong with --on-error fail")


def readable(block: Block, columns: Sequence[Column], names: Sequence[str], reject: Reject, *, any_read: bool) -> Block:
    """Return the rows of a block in which every value is of the kind of its column.

    Parameters
    ----------
    block : Block
    columns : sequence of Column
        What the columns are.
    names : sequence of str
        Those that are not dropped.
    reject : callable
        Is told of the other rows, see `tollad.io.sources.open_table`.
    any_read : bool
        Whether rows were read before. If not, and none of these can be, the first of them is an error.
    """
    table = block.table.select(names)
    bad = unreadable(table, columns)
    if not bad:
        return block
    if len(bad) == len(block) and not any_read:
        encode(table, columns, where=block.where)
    numbers = np.arange(block.first_row, block.first_row + len(block)) if block.numbers is None else block.numbers
    rejected = zip(*(column.to_pylist() for column in block.table.take(list(bad)).columns), strict=True)
    for (row, problem), values in zip(bad.items(), rejected, strict=True):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(values)
        line = None if block.lines is None else int(block.lines[row])
        reject(int(numbers[row]), line, problem, text.getvalue())
    good = np.delete(np.arange(len(block)), list(bad))
    lines = None if block.lines is None else block.lines[good]
    return Block(block.path, block.names, block.first_row, block.table.take(good), lines, numbers[good])


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
    if label is not None:
        _check_normal(_shown(path), label, normal, _unmatched(normal, [*seen]), seen)
    return joined(parts)


def score_blocks(
    detector: TollDetector,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    reject: Reject | None = None,
) -> Iterator[Scored]:
    """Score the rows of a file, reading it block by block: as `row_blocks`, with the scores."""
    for block in row_blocks(detector, path, header=header, key=key, column=column, reject=reject):
        scores = detector.anomaly_score(block.rows)
        yield Scored(**vars(block), scores=scores, alarms=scores > -detector.offset_)


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
            row = scored.values.index(None)
            place = f"row {scored.row_numbers()[row] + 1}" if scored.lines is None else f"line {scored.lines[row]}"
            where = f"{_shown(path)}, {place}, column {scored.column!r}"
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
    _check_normal(_shown(path), label, normal, _unmatched(normal, [*seen]), seen)
    return anomalous.astype(np.int64), np.concatenate(scores)


def chosen(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows where the mask, (n,), is true."""
    return rows.filter(pa.array(mask)) if isinstance(rows, pa.Table) else rows[mask]


def taken(rows: Rows, order: NDArray[np.intp]) -> Rows:
    """Return a copy of the rows of these numbers, in this order."""
    return rows.take(pa.array(order)) if isinstance(rows, pa.Table) else rows[order]


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows of one kind one below the other."""
    return pa.concat_tables(parts) if isinstance(parts[0], pa.Table) else np.concatenate(parts)


def with_names(rows: NDArray[np.float64], names: Sequence[str]) -> pa.Table:
    """Return rows as a table, from which scikit-learn takes the names of the columns."""
    return pa.table([pa.array(column) for column in rows.T], names=list(names))


def _training_images(source: ImageSource, label: str | None, normal: Sequence[str], notes: dict[str, Any]) -> Training:
    kept = np.arange(len(source))
    if label is not None:
        label = _column_of_images(source, label)
        values = source.columns[label]
        _check_normal(source.path, label, normal, _unmatched(normal, values), dict.fromkeys(values))
        kept = np.flatnonzero(matches(values, normal))
    return Training(source.take(kept), None, {**notes, "label": label, "n_read": len(source), "n_used": len(kept)})


def _image_blocks(detector: TollDetector, path: str, column: str | None) -> Iterator[RowBlock]:
    asked = detector.notes_.get("images")
    if asked is None:
        raise ValueError(
            f"{path}: holds images, whose pixels are read as 0 to 1, but the model was not fitted on such; fit on a "
            "folder of images or an IDX file, or score rows like those of the fit"
        )
    size = None if asked["size"] is None else tuple(asked["size"])
    source = open_images(path, size=size, grey=asked["grey"])
    if source.shape != detector.input_shape_:
        raise ValueError(
            f"{path}: holds {_described(source.shape)}, but the model was fitted on "
            f"{_described(detector.input_shape_)}; convert them, or fit again with --size "
            "or --grey, to which all later images are then brought"
        )
    column = "file" if column is None and "file" in source.columns else column
    column = None if column is None else _column_of_images(source, column)
    for start, images in source.blocks(rows_in_block(source.shape)):
        values: list[str | None] = [] if column is None else [*source.columns[column][start : start + len(images)]]
        yield RowBlock(start, images, column, values)


def _column_of_images(source: ImageSource, wanted: str) -> str:
    if not source.columns:
        raise ValueError(
            f"{source.path}: has no column {wanted!r}, since no file of labels lies beside it; put it there, with "
            "labels for images and idx1 for idx3 in its name"
        )
    return resolve_column(source.path, [*source.columns], wanted)


def _described(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} images of {height}x{width} pixels"


class _Labelled:
    """Which rows of a table have one of the labels; all of them without a label."""

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
        self._unmatched = _unmatched(self._unmatched, labels)
        return matches(labels, self._normal)

    def check(self) -> None:
        """Raise ValueError if there was no such row, and warn of labels that no row has."""
        if self._label is not None:
            _check_normal(self._path, self._label, self._normal, self._unmatched, self._seen)


def labelled(block: Block, label: str | None, normal: Sequence[str]) -> NDArray[np.bool_]:
    """Return which rows of a whole file have one of the labels, (n,), all without `label`; see `_Labelled.check`."""
    chosen = _Labelled(block.path, label, normal)
    kept = chosen(block)
    chosen.check()
    return kept


def _check_normal(
    path: str, label: str, normal: Sequence[str], unmatched: Sequence[str], seen: Iterable[str | None]
) -> None:
    """Raise ValueError if no row has one of the labels that mean normal, and warn of those that no row has."""
    if not unmatched:
        return
    problem = f"{path}, column {label!r}: no row is labelled {_listed(unmatched)}; the labels are {_listed(seen)}"
    if len(unmatched) == len(normal):
        raise ValueError(problem)
    warnings.warn(problem, stacklevel=2)


def _unmatched(normal: Sequence[str], seen: Sequence[str | None]) -> list[str]:
    """Return the labels that mean normal and are none of those seen."""
    return [value for value in normal if not matches(seen, [value]).any()]


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
    if "images" in detector.notes_ and array.dtype.kind != "f":
        raise ValueError(
            f"{path}: holds {array.dtype} values, but the model was fitted on images, whose pixels are read as 0 to 1; "
            "divide them by the largest value that they can have"
        )
    size = rows_in_block(array.shape[1:])
    for start in range(0, len(array), size):
        check_whole(path, array)
        yield RowBlock(start, array[start : start + size], None, [])


def rows_in_block(shape: Sequence[int]) -> int:
    """Return how many rows of some shape, such as images, a block holds."""
    return max(1, _BLOCK_VALUES // math.prod(shape))


def check_columns(source: TableSource, names: Sequence[str], ignored: set[str | None]) -> None:
    """Raise ValueError for a file that lacks a column of the fit, or has another one that is not to be ignored."""
    missing = [name for name in names if name not in source.names]
    unknown = [name for name in source.names if name not in names and name not in ignored]
    if missing:
        beside = f" and has {_listed(unknown)} instead" if unknown else ""
        row = "; if its first line is a row, add --no-header" if may_lack_header(source) else ""
        raise ValueError(f"{source.path}: lacks columns that the model was fitted on: {_listed(missing)}{beside}{row}")
    if unknown:
        raise ValueError(
            f"{source.path}: has columns that the model was not fitted on: {_listed(unknown)}; remove them or fit again"
        )
