"""Read the rows of a file for a fit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tollad.io.arrays import MAX_GIB
from tollad.io.blocks import resolve_column
from tollad.io.dialect import Dialect
from tollad.io.images import ImageSource, is_images, open_images
from tollad.io.inputs import column_of_images, display_name, is_array, read_images_array
from tollad.io.labels import Labelled, check_normal, labelled, matches, unmatched
from tollad.io.large import is_large, large_rows, spooled_input
from tollad.io.pictures import Shaping
from tollad.io.source import Source
from tollad.io.sources import TableSource, open_table, read_table, warn_of_lost_row, warn_of_names_like_a_row
from tollad.tables.decode import typed
from tollad.tables.encode import encode
from tollad.tables.features import column_names
from tollad.tables.schema import Column
from tollad.tables.survey import fit_columns

if TYPE_CHECKING:
    from tollad.io.rows import TableOrArray
    from tollad.tables.large import LargeRows


@dataclass(frozen=True)
class TrainingRows:
    """Rows for a fit, and how they were read.

    Attributes
    ----------
    rows : pyarrow.Table, ndarray or LargeRows
        Rows for `TollDetector.fit`: a table with one type for each column, or an array if the file has no column names.
        The rows of a large file stay on disk.
    columns : dict of str to str or None
        The kinds given by the user, for the parameter `columns` of the detector.
    source : Source
        How the file was read, to be kept with the model for later files.
    """

    rows: TableOrArray | LargeRows
    columns: dict[str, str] | None
    source: Source


def read_training_rows(
    path: str,
    *,
    header: bool,
    key: str | None,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str],
    kinds: Mapping[str, str] | None,
    shaping: Shaping | None = None,
    dialect: Dialect | None = None,
    max_gib: float = MAX_GIB,
) -> TrainingRows:
    """Read the rows for a fit into memory, or to disk if they would take much memory.

    Parameters
    ----------
    path, header, key
        As in `tollad.io.sources.open_table`, where an array of images or series may have three or four axes; or as in
        `tollad.io.images.open_images`: a folder of images, or an IDX file.
    label : str, optional
        Column of labels, which say which rows are normal. It is no feature.
    normal : sequence of str
        The labels that mean normal. Rows with other labels are left out.
    drop : sequence of str
        Columns that are no features.
    kinds : mapping of str to str, optional
        Kinds of columns by name. The kinds of the others follow from their values, see
        `tollad.tables.survey.fit_columns`.
    shaping : Shaping, optional
        How images are brought into one form; for images only.
    dialect, max_gib
        As in `tollad.io.sources.open_table`.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown or cannot be learnt from, or no row is left.
    """
    kept = Source(PurePath(display_name(path)).name or path, 0, 0, header, label, tuple(normal), tuple(drop))
    if is_images(path):
        if key is not None or drop or kinds:
            raise ValueError(f"{path}: holds images; leave out the key, columns to drop and kinds of columns")
        shaping = shaping or Shaping()
        kept = replace(kept, images=shaping.to_json())
        return _training_images(open_images(path, **vars(shaping)), label, normal, kept)
    if shaping not in (None, Shaping()):
        raise ValueError(
            f"{display_name(path)}: is no folder of images and no IDX file; leave out size, grey, colour and aspect, "
            "which say how images are read"
        )
    array = read_images_array(path, key, max_gib, has_columns=label is not None or bool(drop) or bool(kinds))
    if array is not None:
        return TrainingRows(array, None, replace(kept, n_read=len(array), n_used=len(array)))
    with contextlib.ExitStack() as stack:
        spooled = stack.enter_context(spooled_input()) if path == "-" else None
        source = open_table(path, header=header, key=key, spooled=spooled, dialect=dialect, max_gib=max_gib)
        return _read_training_table(source, is_large(path, spooled), is_array(path), label, normal, drop, kinds, kept)


def _read_training_table(
    source: TableSource,
    large: bool,
    is_array: bool,
    label: str | None,
    normal: Sequence[str],
    drop: Sequence[str],
    kinds: Mapping[str, str] | None,
    record: Source,
) -> TrainingRows:
    warn_of_lost_row(source)
    label = None if label is None else resolve_column(source.path, source.names, label)
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    asked = {resolve_column(source.path, source.names, name): kind for name, kind in (kinds or {}).items()}
    if len(asked) < len(kinds or ()):
        raise ValueError(f"{source.path}: the kind of a column is given twice, by name and by number; give it once")
    index = source.index - asked.keys()
    names = [name for name in source.names if name != label and name not in drop and name not in index]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    # The columns of an array have no names. If all are used, they are found again by their numbers.
    named = not (is_array and not asked and names == column_names(None, len(names)))
    guessed = [name for name in names if name not in asked]
    if large:
        source.learn_dates(guessed)
        rows, n_read, columns = large_rows(source, names, asked, Labelled(source.path, label, normal), named=named)
        if record.header:
            warn_of_names_like_a_row(source, rows.columns or ())
        record = replace(record, n_read=n_read, n_used=len(rows), label=label, drop=tuple(drop), words=_words(columns))
        return TrainingRows(rows, asked or None, replace(record, dialect=source.dialect.to_json()))
    block = read_table(source)
    kept = labelled(block, label, normal)
    source.learn_dates(guessed, block.table.filter(pa.array(kept)))
    table, numbers = source.with_categories(block.select(names).filter(pa.array(kept)), asked), np.flatnonzero(kept)

    def where(row: int) -> str:
        return block.where(int(numbers[row]))

    columns = fit_columns(table, asked, where=where, file=source.path)
    if record.header:
        warn_of_names_like_a_row(source, columns)
    record = replace(record, n_read=len(block), n_used=len(table), label=label, drop=tuple(drop))
    record = replace(record, dialect=source.dialect.to_json(), words=_words(columns))
    if not named:
        return TrainingRows(encode(table, columns, where=where), None, record)
    by_type = source.categories - asked.keys()
    asked |= {column.name: column.kind for column in columns if column.kind == "drop" or column.name in by_type}
    return TrainingRows(typed(table, columns, where=where), asked or None, record)


def _words(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.words)


def _training_images(source: ImageSource, label: str | None, normal: Sequence[str], record: Source) -> TrainingRows:
    kept = np.arange(len(source))
    if label is not None:
        label = column_of_images(source, label)
        values = source.columns[label]
        check_normal(source.path, label, normal, unmatched(normal, values), dict.fromkeys(values))
        kept = np.flatnonzero(matches(values, normal))
    record = replace(record, n_read=len(source), n_used=len(kept), label=label)
    return TrainingRows(source.take(kept), None, record)
