"""Write tables of a stream as CSV, JSON lines or Parquet. A file appears when it is whole, or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from tollad.io import files
from tollad.io.streams import output_bytes, standard_output

# Endings of the files that are read or written, and of their relatives.
_OF_FILES = re.compile(
    r"\.(csv|tsv|tab|txt|data|jsonl|ndjson|json|parquet|pq|feather|arrow|xlsx|xls|ods|npy|npz|gz|zip|bz2|xz|zst|png|jpg"
    r"|jpeg|gif|webp|bmp|tif|tiff|pdf|svg|eps|ps|md|html|htm|xml|yaml|yml|toml|tollad|onnx|pt|pth|pkl|pickle|joblib|h5"
    r"|safetensors|py|ipynb|log|doc|docx|odt|rtf|tex|rst|ppt|pptx)"
)


def check_output(path: str, *, overwrite: bool) -> None:
    """Raise, before any work is done, the OSError that `tollad.io.files.atomic_write` would raise after it."""
    with contextlib.suppress(InterruptedError), files.atomic_write(path, overwrite=overwrite):
        raise InterruptedError("nothing is to be written yet")


def check_ending(path: str, what: str, *endings: str) -> None:
    """Raise ValueError if the ending of an output is that of another kind of file.

    Parameters
    ----------
    path : str
        A file, or a folder.
    what : str
        What it is to be, such as "a model".
    endings : str
        Its own endings, the usual one first. With none it is a folder.

    Examples
    --------
    >>> check_ending("flowers.tollad", "a model", ".tollad")
    >>> check_ending("flowers.csv", "a model", ".tollad")
    Traceback (most recent call last):
    ValueError: flowers.csv: is to be a model, but its ending is that of another kind of file; name it flowers.tollad, \
for example
    """
    name = PurePath(path)
    ending = name.suffix.lower()
    if _OF_FILES.fullmatch(ending) and ending not in endings:
        raise ValueError(
            f"{path}: is to be {what}, but its ending is that of another kind of file; name it "
            f"{name.with_suffix(endings[0] if endings else '')}, for example"
        )


def check_different_files(*paths: str | None, read: Sequence[str] = ()) -> None:
    """Raise ValueError if two outputs are the same file, or an output is one of the files in `read`. None is skipped.

    This holds even if files may be replaced: nobody wants to lose the input.
    """
    seen: dict[str, str] = {}
    for path in filter(None, paths):
        place = os.path.realpath(path)
        if place in seen:
            names = path if seen[place] == path else f"{seen[place]} and {path}"
            raise ValueError(f"two outputs would be one file, {names}; give each a name of its own")
        seen[place] = path
        # Comparing names is not enough: there are hard links, and disks that ignore case.
        if any(os.path.exists(path) and os.path.exists(file) and os.path.samefile(path, file) for file in read):
            raise ValueError(f"cannot write {path}: it is a file that the command reads; give the output another name")


def check_table_output(path: str, *, overwrite: bool) -> None:
    """Check as `check_output` does, and raise ValueError if the ending of `path` is not in `WRITERS`."""
    _writer(path)
    check_output(path, overwrite=overwrite)


def write_tables(path: str | None, tables: Iterable[pa.Table], *, overwrite: bool) -> None:
    """Write tables with equal columns one below the other, each as soon as the iterable yields it.

    Parameters
    ----------
    path : str or None
        A file whose ending is a key of `WRITERS`; None is standard output, as CSV.
    tables : iterable of pyarrow.Table
        At least one; it may have no rows.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If the ending is unknown.
    OSError
        If the file cannot be written, see `tollad.io.files.atomic_write`.
    """
    if path is None:
        with standard_output():
            _write_csv(output_bytes(), tables)
        return
    write = _writer(path)
    with files.atomic_write(path, overwrite=overwrite) as file:
        write(file, tables)


def _write_csv(file: BinaryIO, tables: Iterable[pa.Table]) -> None:
    for number, table in enumerate(tables):
        text = io.StringIO()
        if number == 0:
            csv.writer(text, lineterminator="\n").writerow(table.column_names)
        lines = pc.binary_join_element_wise(*map(_as_text, table.columns), ",").to_pylist()
        text.writelines(f"{line}\n" for line in lines)
        rest = memoryview(text.getvalue().encode())
        # Under PYTHONUNBUFFERED standard output has no buffer, and a pipe may take only a part of the bytes.
        while rest:
            rest = rest[file.write(rest) :]
        file.flush()


def _as_text(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as `csv.writer` writes its values, without a Python object for each."""
    values = column.combine_chunks()
    text = values.cast(pa.string())
    if pa.types.is_floating(column.type):
        # Arrow writes the same digits, except for whole numbers, where it leaves out the point, and for exponents.
        size = pc.abs(values)
        alike = pc.and_(pc.greater_equal(size, 1e-4), pc.less(size, 1e10))
        differs = pc.invert(pc.and_(alike, pc.not_equal(values, pc.floor(values)))).fill_null(False)
        if pc.any(differs).as_py():
            text = pc.replace_with_mask(
                text, differs, pa.array(map(repr, values.filter(differs).to_pylist()), pa.string())
            )
    elif pa.types.is_string(column.type):
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        text = pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)
    return text.fill_null("")


def _write_json_lines(file: BinaryIO, tables: Iterable[pa.Table]) -> None:
    for table in tables:
        for row in _rows(table):
            line = json.dumps(dict(zip(table.column_names, row, strict=True)), ensure_ascii=False)
            file.write(line.encode() + b"\n")


def _write_parquet(file: BinaryIO, tables: Iterable[pa.Table]) -> None:
    from pyarrow import parquet

    stream = iter(tables)
    first = next(stream)
    with parquet.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in stream:
            writer.write_table(table)


WRITERS: dict[str, Callable[[BinaryIO, Iterable[pa.Table]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}


def _writer(path: str) -> Callable[[BinaryIO, Iterable[pa.Table]], None]:
    ending = PurePath(path).suffix.lower()
    if ending not in WRITERS:
        raise ValueError(f"{path}: cannot tell the format from the ending; the known ones are {', '.join(WRITERS)}")
    return WRITERS[ending]


def _rows(table: pa.Table) -> Iterator[tuple[object, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
