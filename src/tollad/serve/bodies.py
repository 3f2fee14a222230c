"""Bodies of requests as rows that a detector of a table takes."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.estimator import TollDetector
from tollad.detector.scored import expected_by
from tollad.io.inputs import row_blocks
from tollad.io.rows import joined
from tollad.tables.features import names_of

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
FILES = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet"}
TYPES = (JSON, ARROW, *FILES)
"""The content types that are taken."""


def wanted_names(detector: TollDetector) -> list[str]:
    """Return the names of the columns that rows have, those that are dropped left out."""
    columns = getattr(detector, "columns_", None)
    if columns is not None:
        return [column.name for column in columns if column.kind != "drop"]
    return [*names_of(detector)]


def rows_of(detector: TollDetector, kind: str, body: bytes, read_json: Any) -> Any:
    """Return the rows of a body.

    Parameters
    ----------
    detector : TollDetector
        Of a table.
    kind : str
        One of `TYPES`.
    body : bytes
    read_json : callable
        From bytes to plain values; ValueError for what is no JSON.

    Returns
    -------
    ndarray, (n, d), or pyarrow.Table

    Raises
    ------
    ValueError
        For a body of another form or of other columns.
    """
    if kind == JSON:
        return _of_json(detector, read_json(body))
    if kind == ARROW:
        try:
            table = pa.ipc.open_stream(io.BytesIO(body)).read_all()
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ValueError(f"the body is no Arrow stream ({' '.join(str(error).split())})") from None
        return _unnamed(detector, table)
    # Read as the commands read the file: with the separator, decimals and dates of the fit.
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        path = os.path.join(folder, f"body{FILES[kind]}")
        with open(path, "wb") as file:
            file.write(body)
        try:
            blocks = [block.rows for block in row_blocks(expected_by(detector), path, header=None, key=None)]
        except (ValueError, OSError) as error:
            raise ValueError(str(error).replace(f"{folder}{os.sep}", "")) from None
    return joined(blocks)


def _of_json(detector: TollDetector, given: Any) -> Any:
    if not isinstance(given, Mapping) or len(given) != 1 or next(iter(given)) not in ("rows", "columns"):
        raise ValueError('the body must be {"rows": [...]} or {"columns": {...}}')
    names = wanted_names(detector)
    if "columns" in given:
        columns = given["columns"]
        if not isinstance(columns, Mapping) or not all(isinstance(values, list) for values in columns.values()):
            raise ValueError('"columns" must be an object with a list of values for each column')
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError("all columns must have as many values as one another, and at least one")
        return _unnamed(detector, pa.table([_array(name, values) for name, values in columns.items()], [*columns]))
    rows = given["rows"]
    if not isinstance(rows, list) or not rows:
        raise ValueError('"rows" must be a list with at least one row')
    if all(isinstance(row, Mapping) for row in rows):
        present = list(dict.fromkeys(name for row in rows for name in row))
        return _unnamed(
            detector, pa.table([_array(name, [row.get(name) for row in rows]) for name in present], present)
        )
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise ValueError(f"row {number}: a row is a list of {len(names)} values, in the order of the columns")
    if not _has_names(detector):
        return _matrix(rows)
    return pa.table(
        [_array(name, list(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)], names
    )


def _has_names(detector: TollDetector) -> bool:
    return any(hasattr(detector, name) for name in ("columns_", "feature_names_in_"))


def _unnamed(detector: TollDetector, table: pa.Table) -> Any:
    """Return a table with numbers in the order of the fit, or for a detector of an array without names its numbers."""
    names = wanted_names(detector)
    if hasattr(detector, "columns_"):
        return table
    if _has_names(detector):
        return table.select(names) if sorted(table.column_names) == sorted(names) else table
    if sorted(table.column_names) != sorted(names):
        raise ValueError(f"the columns must be {', '.join(names)}")
    return np.column_stack([_numbers(name, table[name].to_pylist()) for name in names])


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    for number, value in enumerate(values):
        if not isinstance(value, (int, float, bool, type(None))):
            raise ValueError(f"row {number}, column {name!r}: {value!r:.60} is no number")
    return _matrix([[value] for value in values])[:, 0]


def _matrix(rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    for number, row in enumerate(rows):
        for place, value in enumerate(row):
            if not isinstance(value, (int, float, bool, type(None))):
                raise ValueError(f"row {number}, value {place}: {value!r:.60} is no number")
    try:
        return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    except OverflowError:
        raise ValueError("a number is too large for a float") from None


def _array(name: str, values: list[Any]) -> pa.Array:
    for number, value in enumerate(values):
        if not isinstance(value, (int, float, str, bool, type(None))):
            raise ValueError(f"row {number}, column {name!r:.60}: {value!r:.60} is no number, text or truth value")
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        raise ValueError(f"column {name!r:.60} mixes kinds of values; make them all numbers or all text") from None
