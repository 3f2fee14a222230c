"""Read the rows of a file block by block, in the form that a model takes."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tollad.io.arrays import MAX_GIB, check_unchanged, fingerprint, read_array
from tollad.io.blocks import Block, column_as_strings, resolve_column
from tollad.io.dialect import Dialect, contradicting, why_contradicting
from tollad.io.images import ImageSource, is_images, open_images
from tollad.io.labels import check_normal, matches, unmatched
from tollad.io.rows import RowBlock, TableOrArray, concat_rows, filter_rows, rows_in_block
from tollad.io.source import Expected
from tollad.io.sources import TableSource, may_lack_header, open_table
from tollad.tables.decode import typed
from tollad.tables.encode import encode
from tollad.tables.frames import is_nameless, look_alike
from tollad.tables.schema import Column
from tollad.tables.values import unreadable
from tollad.warn import listed

if TYPE_CHECKING:
    from tollad.io.skipped import Reject

# Of more columns, a message gives no option to leave each of them out.
_MOST_DROPPED = 10


def row_blocks(
    expected: Expected,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None = None,
    beside: Sequence[str] = (),
    drop: Sequence[str] = (),
    reject: Reject | None = None,
    dialect: Dialect | None = None,
    max_gib: float = MAX_GIB,
) -> Iterator[RowBlock]:
    """Read the rows of a file block by block, in the form that a model takes.

    The kinds of columns come from the model and never depend on a block.

    Parameters
    ----------
    expected : Expected
        What the model expects of the file.
    path, key
        As in `tollad.io.training.read_training_rows`.
    header : bool or None
        As in `tollad.io.training.read_training_rows`. With None, as at fit.
    column : str, optional
        A column to return as text, such as a label or an identifier; it need not be a feature. For a folder of images
        the default is `file`.
    beside : sequence of str
        More such columns.
    drop : sequence of str
        Columns of the file to leave out, which the model was not fitted on.
    reject : callable, optional
        As in `tollad.io.sources.open_table` and `tollad.io.images.open_images`. Rows of a table with a value that does
        not fit the kind of its column are left out, too.
    dialect : Dialect, optional
        How the file is written; by default as at fit.
    max_gib : float, default 1
        As in `tollad.io.sources.open_table`.

    Yields
    ------
    RowBlock
        Blocks of at least one row, in file order.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, has other columns or shapes than at fit, or a value that is not of the kind of its
        column. With `reject`, only if no row of the file, or none of its first block, can be read.
    """
    if is_images(path):
        if drop:
            raise ValueError(f"{path}: holds images, which have no columns to drop; leave these out")
        yield from _image_blocks(expected, path, column, beside, reject)
        return
    array = read_images_array(path, key, max_gib, has_columns=column is not None or bool(drop))
    if array is not None:
        yield from _array_blocks(expected, path, array)
        return
    source = open_table(
        path,
        header=expected.header if header is None else header,
        key=key,
        reject=reject,
        dialect=expected.dialect if dialect is None else dialect,
        max_gib=max_gib,
    ).named_like(expected.names)
    if len(expected.shape) > 1:
        raise ValueError(
            f"{display_name(path)}: is a table, but the model was fitted on rows of shape {expected.shape}; "
            "give an NPY or NPZ file of such rows"
        )
    if column is not None:
        column = resolve_column(source.path, source.names, column)
    beside = [resolve_column(source.path, source.names, name) for name in beside]
    columns, names = expected.columns, expected.names
    dropped = {known.name for known in columns} - {*names}
    check_columns(source, names, {column, *beside, *expected.ignored, *dropped}, drop)
    # True and false may be 2 in a new row, which then is that number.
    columns = tuple(replace(known, words=False) for known in columns)
    understand = typed if expected.named else encode
    source.numeric.update(
        known.name for known in columns if known.kind == "number" and known.name not in (column, *beside)
    )
    any_read = False
    for block in source:
        if reject is not None:
            block = readable(block, columns, names, reject, any_read=any_read)
            if not len(block):
                continue
        any_read = True
        rows = understand(block.select(names), columns, where=block.where)
        values = [] if column is None else column_as_strings(block, column)
        others = {name: column_as_strings(block, name) for name in beside}
        yield RowBlock(block.first_row, rows, column, values, beside=others, numbers=block.numbers, lines=block.lines)
    if not any_read:
        raise ValueError(f"{source.path}: not one of its rows can be read; leave none out to see why")


def readable(block: Block, columns: Sequence[Column], names: Sequence[str], reject: Reject, *, any_read: bool) -> Block:
    """Return the rows of a block in which every value is of the kind of its column.

    Parameters
    ----------
    block : Block
    columns : sequence of Column
        The columns of the model.
    names : sequence of str
        Names of the columns that are not dropped.
    reject : callable
        Called for each row that is left out, see `tollad.io.sources.open_table`.
    any_read : bool
        Whether a row was read before. If not, and no row of this block can be read, the first row is an error.
    """
    bad: dict[int, str] = {}
    for name in names:
        values = block.table[name]
        for row in contradicting(values, block.dialect):
            bad.setdefault(row, f"column {name!r}: {why_contradicting(values[row].as_py())}")
    if bad:
        kept = np.delete(np.arange(len(block)), list(bad))
        table = rows_of(block, kept).select(names)
        bad |= {int(kept[row]): why for row, why in unreadable(table, columns).items()}
        bad = dict(sorted(bad.items()))
    else:
        table = block.select(names)
        bad = unreadable(table, columns)
    if not bad:
        return block
    if len(bad) == len(block) and not any_read:
        encode(block.select(names), columns, where=block.where)
    return without_rows(block, bad, reject)


def without_rows(block: Block, bad: Mapping[int, str], reject: Reject) -> Block:
    """Return a block without the rows of `bad`, which gives the reason for each, in ascending order."""
    if not bad:
        return block
    numbers = block.row_numbers()
    rejected = zip(*(column.to_pylist() for column in block.table.take(list(bad)).columns), strict=True)
    for (row, problem), texts in zip(bad.items(), rejected, strict=True):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(texts)
        line = None if block.lines is None else int(block.lines[row])
        reject(int(numbers[row]), line, problem, text.getvalue())
    return rows_of(block, np.delete(np.arange(len(block)), list(bad)))


def rows_of(block: Block, rows: NDArray[np.int64]) -> Block:
    """Return a block of some rows of a block."""
    lines = None if block.lines is None else block.lines[rows]
    return replace(block, table=block.table.take(rows), lines=lines, numbers=block.row_numbers()[rows])


def read_rows(
    expected: Expected,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str] = (),
    dialect: Dialect | None = None,
    max_gib: float = MAX_GIB,
) -> TableOrArray:
    """Read the rows of a file into memory, in the form that a model takes: the rows labelled normal, or all.

    Parameters
    ----------
    expected, path, header, key
        As in `row_blocks`.
    label, normal
        As in `tollad.io.training.read_training_rows`.
    drop, dialect, max_gib
        As in `row_blocks`.

    Raises
    ------
    ValueError, OSError
        As `row_blocks`, and if no row is left.
    """
    parts: list[TableOrArray] = []
    seen: dict[str | None, None] = {}
    blocks = row_blocks(
        expected, path, header=header, key=key, column=label, drop=drop, dialect=dialect, max_gib=max_gib
    )
    for block in blocks:
        seen |= dict.fromkeys(block.values)
        parts.append(block.rows if label is None else filter_rows(block.rows, matches(block.values, normal)))
    if label is not None:
        check_normal(display_name(path), label, normal, unmatched(normal, [*seen]), seen)
    return concat_rows(parts)


def _image_blocks(
    expected: Expected, path: str, column: str | None, beside: Sequence[str], reject: Reject | None
) -> Iterator[RowBlock]:
    if expected.images is None and os.path.isdir(path):
        raise ValueError(
            f"{path}: is a folder, which is read as images, but the model was not fitted on such; name a file of rows"
        )
    if expected.images is None:
        raise ValueError(
            f"{path}: holds images, whose pixels are read as 0 to 1, but the model was not fitted on such; fit on a "
            "folder of images or an IDX file, or score rows like those of the fit"
        )
    source = open_images(path, **vars(expected.images), reject=reject)
    if source.shape != expected.shape:
        raise ValueError(
            f"{path}: holds {_described(source.shape)}, but the model was fitted on {_described(expected.shape)}; "
            "convert them, or fit again with a size, or as grey or as colour images, which all later ones then "
            "become"
        )
    column = "file" if column is None and "file" in source.columns else column
    column = None if column is None else column_of_images(source, column)
    beside = [column_of_images(source, name) for name in beside]
    size, any_read = rows_in_block(source.shape), reject is None
    for start in range(0, len(source), size):
        rows: Sequence[int] = range(start, min(start + size, len(source)))
        if reject is None:
            images = source.take(rows)
        else:
            rows, images = source.take_readable(rows, reject)
            if not rows:
                continue
            any_read = True
        values: list[str | None] = [] if column is None else [source.columns[column][row] for row in rows]
        others: dict[str, list[str | None]] = {name: [source.columns[name][row] for row in rows] for name in beside}
        numbers = source.numbers[rows]
        yield RowBlock(int(numbers[0]), images, column, values, beside=others, numbers=numbers)
    if not any_read:
        raise ValueError(f"{path}: none of its {len(source)} images can be read; check that they are images")


def column_of_images(source: ImageSource, wanted: str) -> str:
    """Return the column `wanted` of a source of images, see `tollad.io.sources.resolve_column`."""
    if not source.columns:
        raise ValueError(
            f"{source.path}: has no column {wanted!r}, since no file of labels lies beside it; put it there, with "
            "labels for images and idx1 for idx3 in its name"
        )
    return resolve_column(source.path, [*source.columns], wanted)


def _described(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} images of {height}x{width} pixels"


def display_name(path: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if path == "-" else path


def is_array(path: str) -> bool:
    """Return whether a file holds NumPy arrays, by its name."""
    return path.lower().endswith((".npy", ".npz"))


def read_images_array(path: str, key: str | None, max_gib: float, *, has_columns: bool) -> NDArray[Any] | None:
    """Return the array of a file if its rows are images or series; None if they are rows of a table."""
    array = read_array(path, key, max_gib=max_gib) if is_array(path) else None
    if array is None or array.ndim == 2:
        return None
    if has_columns:
        raise ValueError(
            f"{path}: holds an array of shape {array.shape}, which has no columns; "
            "leave out the label, the identifier, columns to drop and kinds of columns"
        )
    return array


def _array_blocks(expected: Expected, path: str, array: NDArray[Any]) -> Iterator[RowBlock]:
    if array.shape[1:] != expected.shape:
        raise ValueError(f"{path}: the rows have shape {array.shape[1:]}, but the model was fitted on {expected.shape}")
    if expected.images is not None and array.dtype.kind != "f":
        raise ValueError(
            f"{path}: holds {array.dtype} values, but the model was fitted on images, whose pixels are read as 0 to 1; "
            "divide them by the largest value that they can have"
        )
    size, before = rows_in_block(array.shape[1:]), fingerprint(path)
    for start in range(0, len(array), size):
        check_unchanged(path, before)
        yield RowBlock(start, array[start : start + size], None, [])


def check_columns(
    source: TableSource, names: Sequence[str], ignored: Collection[str | None], drop: Sequence[str] = ()
) -> None:
    """Raise ValueError for a file that lacks a column of the fit, or has another that is not in `ignored` or `drop`.

    Columns of the fit cannot be in `drop`.
    """
    left_out = {resolve_column(source.path, source.names, name) for name in drop}
    if needed := [name for name in names if name in left_out]:
        raise ValueError(
            f"{source.path}: the model was fitted on {listed(needed, most=10)}, so this cannot be left out; leave it in"
            ", or fit again without it"
        )
    there, known = {*source.names}, {*names, *ignored, *left_out, *source.index}  # of ten thousand columns, perhaps
    missing = [name for name in names if name not in there]
    unknown = [name for name in source.names if name not in known]
    if missing:
        beside = f" and has {listed(unknown, most=10)} instead" if unknown else ""
        beside += look_alike(missing, unknown)
        remedy = "name them as at the fit" if unknown else "add them"
        if may_lack_header(source):
            remedy = "if its first line is a row, read it with header=False"
        raise ValueError(
            f"{source.path}: lacks columns that the model was fitted on: {listed(missing, most=10)}{beside}; {remedy}, "
            "or fit again"
        )
    if unknown:
        nameless = [name for name in unknown if is_nameless(name)]
        what = ""
        if nameless and [*source.names[-len(nameless) :]] == nameless:
            what = (
                " (the first line ends with a separator, which makes a column without a name: take it away from all "
                "lines)"
            )
        elif nameless:
            what = " (one without a name is mostly the index of a frame: write it with index=False)"
        way = f"leave them out with drop={unknown}" if len(unknown) <= _MOST_DROPPED else "remove them"
        raise ValueError(
            f"{source.path}: has columns that the model was not fitted on: {listed(unknown, most=10)}{what}; {way}, "
            "or fit again"
        )
