"""Bodies of requests as rows that a detector of a table takes."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.estimator import TollDetector
from tollad.detector.results import expected_by
from tollad.io.inputs import row_blocks
from tollad.io.rows import concat_rows
from tollad.tables.features import names_of

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
FILES = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet"}
TYPES = (JSON, ARROW, *FILES)
"""The content types that are taken."""

NUMBERS = {int, float, bool, type(None)}
"""The types of values that are numbers, missing ones too."""
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
        Of the columns that rows have, those that are dropped left out.
    """

    def __init__(self, detector: TollDetector) -> None:
        self._detector, self._has_kinds = detector, hasattr(detector, "columns_")
        self._has_names = self._has_kinds or hasattr(detector, "feature_names_in_")
        columns = getattr(detector, "columns_", None)
        every = names_of(detector) if columns is None else [column.name for column in columns if column.kind != "drop"]
        self.names = [*every]

    def rows(self, kind: str, body: bytes) -> Any:
        """Return the rows of a body.

        Parameters
        ----------
        kind : str
            One of `TYPES`.
        body : bytes

        Returns
        -------
        ndarray, (n, d), or pyarrow.Table

        Raises
        ------
        ValueError
            For a body of another form or of other columns.
        """
        if kind == JSON:
            return self._of_json(from_json(body))
        if kind == ARROW:
            try:
                table = pa.ipc.open_stream(io.BytesIO(body)).read_all()
            except (pa.ArrowException, OSError, EOFError) as error:
                raise ValueError(f"the body is no Arrow stream ({' '.join(str(error).split())})") from None
            return self._in_order(table)
        # Read as the commands read the file: with the separator, decimals and dates of the fit.
        with written(f"body{FILES[kind]}", body) as path:
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
            return _matrix(rows)
        columns = zip(*rows, strict=True)
        return self.of_columns(dict(zip(self.names, columns, strict=True)))

    def _in_order(self, table: pa.Table) -> Any:
        """Return a table with numbers in the order of the fit; of a detector without named columns its numbers."""
        if self._has_kinds:
            return table
        as_expected = sorted(table.column_names) == sorted(self.names)
        if self._has_names:
            return table.select(self.names) if as_expected else table
        if not as_expected:
            raise ValueError(f"the columns must be {', '.join(self.names)}")
        return np.column_stack([_numbers(name, table[name].to_pylist()) for name in self.names])


@contextmanager
def written(name: str, body: bytes) -> Iterator[str]:
    """Write a body to a file for as long as the block runs, and keep its folder out of messages."""
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(body)
        try:
            yield path
        except (ValueError, OSError) as error:
            raise ValueError(str(error).replace(f"{folder}{os.sep}", "").replace(folder, "the body")) from None


def from_json(body: bytes) -> Any:
    """Return the plain values of a text; ValueError for what is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON: {error}") from None


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    number = first_of_another_kind(values, NUMBERS)
    if number is not None:
        raise ValueError(f"row {number}, column {name!r}: {values[number]!r:.60} is no number")
    return floats(values)


def _matrix(rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    if not {*map(type, chain.from_iterable(rows))} <= NUMBERS:
        for number, row in enumerate(rows):
            place = first_of_another_kind(row, NUMBERS)
            if place is not None:
                raise ValueError(f"row {number}, value {place}: {row[place]!r:.60} is no number")
    return floats(rows)


def floats(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return values of `NUMBERS` as an array; ValueError for an integer that is too large."""
    try:
        return np.array(values, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        raise ValueError("a number is too large for a float") from None


def _array(name: str, values: Sequence[Any]) -> pa.Array:
    number = first_of_another_kind(values, _VALUES)
    if number is not None:
        raise ValueError(f"row {number}, column {name!r:.60}: {values[number]!r:.60} is no number, text or truth value")
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        raise ValueError(f"column {name!r:.60} mixes kinds of values; make them all numbers or all text") from None


def first_of_another_kind(values: Sequence[Any], kinds: set[type]) -> int | None:
    """Return the place of the first value that is of none of these types."""
    if {*map(type, values)} <= kinds:
        return None
    return next(place for place, value in enumerate(values) if type(value) not in kinds)
