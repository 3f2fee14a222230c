"""Read bodies of requests as rows for a detector of tables."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from tollad.detector.estimator import TollDetector
from tollad.detector.results import expected_by
from tollad.io.inputs import row_blocks
from tollad.io.rows import concat_rows
from tollad.serve.limits import RefusedError, too_many
from tollad.tables.features import names_of
from tollad.tables.objects import numbers_of

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
FILES = {"text/csv": ".csv", PARQUET: ".parquet"}
TYPES = (JSON, ARROW, *FILES)
"""The content types that are accepted."""
FORM = "multipart/form-data"
"""The content type of several files in one body."""
_UNPACKED = 1 << 30
"""Limit of the unpacked size of a file of compressed columns, in bytes."""

NUMBERS = {int, float, bool, type(None)}
"""The types of values that are numbers or missing."""
_VALUES = {*NUMBERS, str}


class Reader:
    """Reads bodies as rows of one detector.

    Parameters
    ----------
    detector : TollDetector
        Of a table.

    Attributes
    ----------
    names : list of str
        Names of the columns of a row, without dropped ones.
    """

    def __init__(self, detector: TollDetector) -> None:
        self._detector, self._has_kinds = detector, hasattr(detector, "columns_")
        self._has_names = self._has_kinds or hasattr(detector, "feature_names_in_")
        columns = getattr(detector, "columns_", None)
        every = names_of(detector) if columns is None else [column.name for column in columns if column.kind != "drop"]
        self.names = [*every]

    def rows(self, content_type: str, body: bytes, most: int) -> Any:
        """Return the rows of a body.

        Parameters
        ----------
        content_type : str
            One of `TYPES`.
        body : bytes
        most : int
            Most rows of a body. The rows of a compressed body are counted before or while it is unpacked.

        Returns
        -------
        ndarray, (n, d), or pyarrow.Table

        Raises
        ------
        ValueError
            For a body of another form or with other columns.
        RefusedError
            For a body with more rows.
        """
        rows = self._rows(content_type, body, most)
        if len(rows) > most:
            raise too_many(len(rows), most)
        return rows

    def _rows(self, content_type: str, body: bytes, most: int) -> Any:
        if content_type == JSON:
            return self._of_json(from_json(body))
        if content_type == ARROW:
            return self._in_order(_from_arrow(body, most))
        # Read as the command line reads files: with the separator, decimals and dates of the fit.
        name = f"body{FILES[content_type]}"
        with written({name: body}) as folder:
            path = os.path.join(folder, name)
            blocks = [block.rows for block in row_blocks(expected_by(self._detector), path, header=None, key=None)]
        return concat_rows(blocks)

    def of_columns(self, columns: Mapping[str, Sequence[Any]]) -> Any:
        """Return rows given as a list of values for each column, all of one length."""
        return self._in_order(pa.table([_array(name, values) for name, values in columns.items()], [*columns]))

    def _of_json(self, given: Any) -> Any:
        if not isinstance(given, Mapping) or len(given) != 1 or next(iter(given)) not in ("rows", "columns"):
            raise ValueError('the body must be {"rows": [...]} or {"columns": {...}}')
        if "columns" in given:
            columns = given["columns"]
            if not isinstance(columns, Mapping) or not all(isinstance(values, list) for values in columns.values()):
                raise ValueError('"columns" must be an object with a list of values for each column')
            lengths = {len(values) for values in columns.values()}
            if len(lengths) != 1 or lengths == {0}:
                raise ValueError("all columns must have as many values as one another, and at least one")
            return self.of_columns(columns)
        rows = given["rows"]
        if not isinstance(rows, list) or not rows:
            raise ValueError('"rows" must be a list with at least one row')
        if all(isinstance(row, Mapping) for row in rows):
            present = list(dict.fromkeys(chain.from_iterable(rows)))
            return self.of_columns({name: [row.get(name) for row in rows] for name in present})
        n_columns = len(self.names)
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != n_columns:
                raise ValueError(f"row {number}: a row is a list of {n_columns} values, in the order of the columns")
        if not self._has_kinds:
            return self._matrix(rows)
        columns = zip(*rows, strict=True)
        return self.of_columns(dict(zip(self.names, columns, strict=True)))

    def _in_order(self, table: pa.Table) -> Any:
        """Return numbers with the columns of the fit in order: a table or, if the fit had no names, an array."""
        if self._has_kinds:
            return table
        if sorted(table.column_names) != sorted(self.names):
            raise ValueError(f"the columns must be {', '.join(self.names)}")
        if self._has_names:
            return table.select(self.names)
        columns = [_numbers(name, table[name].to_pylist()) for name in self.names]
        if any(pa.types.is_boolean(one) for one in table.schema.types):
            self._refuse_truths(np.array([table[name].to_pylist() for name in self.names], dtype=object).T)
        return np.column_stack(columns)

    def _matrix(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        types = {*map(type, chain.from_iterable(rows))}
        if not types <= NUMBERS:
            for number, row in enumerate(rows):
                place = first_of_another_type(row, NUMBERS)
                if place is not None:
                    raise ValueError(f"row {number}, value {place}: {row[place]!r:.60} is no number")
        matrix = floats(rows)
        if bool in types:
            self._refuse_truths(np.array(rows, dtype=object))
        return matrix

    def _refuse_truths(self, rows: NDArray[np.object_]) -> None:
        """Raise ValueError for true or false in a column of other numbers."""
        numbers_of(rows, self.names, getattr(self._detector, "truths_", None))


@contextmanager
def written(files: Mapping[str, bytes]) -> Iterator[str]:
    """Write files to a temporary folder while the block runs. Error messages do not show the folder."""
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        try:
            yield folder
        except (ValueError, OSError) as error:
            raise ValueError(str(error).replace(f"{folder}{os.sep}", "").replace(folder, "the body")) from None


def check_packed(content_type: str, body: bytes, most: int) -> None:
    """Refuse a Parquet file whose header states too many rows or bytes, before it is unpacked.

    Raises
    ------
    RefusedError
    """
    if content_type != PARQUET:
        return
    from pyarrow import parquet  # slow to import: it brings clients of cloud storage

    try:
        known = parquet.read_metadata(pa.BufferReader(body))
    except (pa.ArrowException, OSError):
        return  # the reader will raise the error
    if known.num_rows > most:
        raise too_many(known.num_rows, most)
    if sum(known.row_group(number).total_byte_size for number in range(known.num_row_groups)) > _UNPACKED:
        raise RefusedError(413, f"the body unpacks to more than {_UNPACKED >> 20:,} MiB; send fewer rows at once")


def files_of(header: str, body: bytes, most: int) -> list[tuple[str, bytes]]:
    """Return content type and bytes of each file in a form, or of a body that is one file.

    Parameters
    ----------
    header : str
        The content type of the body.
    body : bytes
    most : int
        Most files of a form.

    Raises
    ------
    ValueError
        For a form that cannot be read, or holds something other than files.
    RefusedError
        For a form with more files.
    """
    given, parameters = parse_options_header(header)
    if given != FORM.encode():
        return [(content_type_of(header), body)]
    found: list[tuple[str, bytes]] = []
    is_whole = []

    def take(file: Any) -> None:
        if len(found) == most:
            raise RefusedError(413, f"the form has more than {most:,} files; send fewer at once")
        file.file_object.seek(0)
        found.append((content_type_of(file.content_type or ""), file.file_object.read()))

    def refuse(_: Any) -> None:
        raise ValueError("the form holds a field that is no file")

    try:
        parser = FormParser(
            FORM,
            refuse,
            take,
            lambda: is_whole.append(True),
            boundary=parameters.get(b"boundary"),
            config={"MAX_MEMORY_FILE_SIZE": len(body)},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(f"the form cannot be read: {error}") from None
    if not found or not is_whole:
        raise ValueError("the form is cut short, or holds no file")
    return found


def content_type_of(header: str) -> str:
    """Return a content type without its parameters."""
    return header.partition(";")[0].strip().lower()


def _from_arrow(body: bytes, most: int) -> pa.Table:
    batches, n_rows = [], 0
    try:
        with pa.ipc.open_stream(io.BytesIO(body)) as stream:
            for batch in stream:
                batch.validate(full=True)  # offsets beyond the body are refused, not followed
                batches.append(batch)
                n_rows += batch.num_rows
                if n_rows > most:
                    raise too_many(n_rows, most)
            return pa.Table.from_batches(batches, stream.schema)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise ValueError(f"the body is no Arrow stream ({' '.join(str(error).split())})") from None


def from_json(body: bytes) -> Any:
    """Return the plain values of a JSON text; ValueError for other text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        found = re.match("NaN|Infinity", error.doc[error.pos :])
        remedy = f"; JSON has no {found[0]}, and a missing value is null" if found else ""
        raise ValueError(f"the body is no JSON: {error}{remedy}") from None


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    number = first_of_another_type(values, NUMBERS)
    if number is not None:
        raise ValueError(f"row {number}, column {name!r}: {values[number]!r:.60} is no number")
    return floats(values)


def floats(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return values of `NUMBERS` as an array; ValueError for an integer that is too large."""
    try:
        return np.array(values, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        raise ValueError("a number is too large for a float") from None


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    number = first_of_another_type(values, _VALUES)
    if number is not None:
        raise ValueError(f"row {number}, column {name!r:.60}: {values[number]!r:.60} is no number, text or truth value")
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        raise ValueError(f"column {name!r:.60} mixes kinds of values; make them all numbers or all text") from None


def first_of_another_type(values: Sequence[Any], types: set[type]) -> int | None:
    """Return the index of the first value of another type than these; None if there is none."""
    if {*map(type, values)} <= types:
        return None
    return next(place for place, value in enumerate(values) if type(value) not in types)
