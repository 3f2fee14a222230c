"""Frames of pandas, polars and Arrow as Arrow tables."""

from __future__ import annotations

import contextlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tollad.tables.schema import Column
from tollad.warn import listed

# Names that pandas gives to columns without a name: in text, and to an index in Parquet and Arrow.
_NAMELESS = re.compile(r"|Unnamed: [0-9]+|__index_level_[0-9]+__")


def as_rows(X: Any) -> Any:
    """Return rows in a form that `to_arrow` or NumPy takes. Rows in such a form are not copied.

    A dict of values and a pandas Series with named values are one row. A list of dicts has a row in each dict. A
    structured array is a table. A sparse matrix of SciPy and sparse columns of pandas are made dense, block by block
    where they are read in blocks. A tensor loses its gradient. A reader of record batches is read to its end.

    Raises
    ------
    TypeError
        For a lazy frame of polars, a path, a dict of columns, a generator, a set, and None.

    Examples
    --------
    >>> as_rows({"age": 31, "city": "Bonn"}).to_pylist()
    [{'age': 31, 'city': 'Bonn'}]
    """
    if hasattr(X, "collect_schema") and not hasattr(X, "get_columns"):
        raise TypeError("the rows are a lazy frame, which holds none yet; call collect() on it first")
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(f"the rows are the path {os.fspath(X)!r}; read the file first, as pandas.read_csv does")
    if hasattr(X, "tocsr") and hasattr(X, "toarray"):
        return X.toarray()
    if hasattr(X, "detach"):
        tensor = X.detach().cpu()
        # NumPy has no numbers like those of bfloat16.
        return (tensor.float() if tensor.is_floating_point() and tensor.element_size() == 2 else tensor).numpy()
    if isinstance(X, pa.RecordBatchReader):
        return X.read_all()
    if X is None or isinstance(X, (Iterator, Set)):
        raise TypeError(f"the rows are of type {type(X).__name__}; give an array, a list of rows, or a frame")
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        dense = {name: kind.subtype for name, kind in X.dtypes.items() if hasattr(kind, "fill_value")}
        X = X.astype(dense) if dense else X
        # In columns of Python objects, NumPy cannot read pandas' own NA as a number.
        return X.mask(X.isna(), np.nan) if any(kind.kind == "O" for kind in X.dtypes) else X
    if isinstance(X, Mapping):
        with_lists = [str(name) for name, value in X.items() if isinstance(value, (list, tuple, np.ndarray))]
        if with_lists:
            raise TypeError(
                f"a dict is one row, but its values for {listed(with_lists, most=10)} are lists; make a frame of "
                "columns, as pandas.DataFrame(rows) does"
            )
        X = [X]
    elif _is_named_row(X):
        X = [X]
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) or _is_named_row(row) for row in X):
        by_name = [{str(name): value for name, value in row.items()} for row in X]
        names = dict.fromkeys(name for row in by_name for name in row)
        return pa.table([_to_array(name, [row.get(name) for row in by_name]) for name in names], names=list(names))
    if isinstance(X, np.ndarray) and X.dtype.names:
        return pa.table([_to_array(name, X[name]) for name in X.dtype.names], names=list(X.dtype.names))
    return X


def _is_named_row(row: Any) -> bool:
    """Return whether a row is a pandas Series whose values have names."""
    is_series = hasattr(row, "iloc") and not hasattr(row, "columns")
    return is_series and not all(isinstance(name, int) for name in row.index)


def to_arrow(X: Any) -> pa.Table | None:
    """Return a pandas or polars frame, an Arrow table or a record batch as an Arrow table; None for anything else.

    The index of a pandas frame is left out, even where it is a column of an Arrow table. Names become text. ValueError
    for a column that mixes types or has a type that Arrow lacks.
    """
    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    if isinstance(X, pa.Table):
        check_distinct(X.column_names)
        index = index_names(X.schema)
        return X.drop_columns(index) if index else X
    if not (hasattr(X, "iloc") or hasattr(X, "to_arrow")) or not hasattr(X, "columns"):
        return None
    series = [X.iloc[:, j] for j in range(X.shape[1])] if hasattr(X, "iloc") else X.get_columns()
    names = [str(name) for name in X.columns]
    check_distinct(names)
    return pa.table([_to_array(*named) for named in zip(names, series, strict=True)], names=names)


def has_category_type(kind: pa.DataType) -> bool:
    """Return whether the type is one of categories, as pandas and polars have, whatever the values are."""
    return pa.types.is_dictionary(kind) and not pa.types.is_temporal(kind.value_type)


def index_names(schema: pa.Schema) -> list[str]:
    """Return the columns of an Arrow table or a Parquet file that hold the index of the original pandas frame.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, 40]}, index=[7, 5])
    >>> index_names(pa.Table.from_pandas(frame).schema)
    ['__index_level_0__']
    """
    # The index may also be a range, which is described by a dict and has no column.
    return [name for name in _of_pandas(schema, "index_columns") if isinstance(name, str) and name in schema.names]


def category_names(schema: pa.Schema) -> set[str]:
    """Return the columns of an Arrow table or a Parquet file that are categories, by their type or of pandas.

    Parquet keeps the type of categories of text only.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, 40], "zip": pd.Categorical([53111, 53113])})
    >>> category_names(pa.Table.from_pandas(frame).schema)
    {'zip'}
    """
    by_type = {field.name for field in schema if has_category_type(field.type)}
    columns = [column for column in _of_pandas(schema, "columns") if isinstance(column, dict)]
    return by_type | {str(column.get("field_name")) for column in columns if column.get("pandas_type") == "categorical"}


def _of_pandas(schema: pa.Schema, key: str) -> list[Any]:
    """Return a list of what pandas wrote about its frame beside a table; an empty one if it is not as pandas writes."""
    written = (schema.metadata or {}).get(b"pandas", b"{}")
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(written).get(key, [])
        return found if isinstance(found, list) else []
    return []


def is_nameless(name: str) -> bool:
    """Return whether a column has no name of its own, such as the row numbers in a file that pandas wrote."""
    return _NAMELESS.fullmatch(name) is not None


def all_numbers(table: pa.Table) -> bool:
    """Return whether every column is of a numeric or boolean type, so that nothing has to be decided."""
    types = pa.types
    return all(types.is_integer(t) or types.is_floating(t) or types.is_boolean(t) for t in table.schema.types)


def check_distinct(names: Sequence[str]) -> None:
    """Raise ValueError if several columns have one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"the table has several columns called {listed(twice, most=10)}; give each column its own name"
        )


def columns_by_name(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    check_distinct(table.column_names)
    return dict(zip(table.column_names, table.columns, strict=True))


def known_columns(table: pa.Table, columns: Sequence[Column]) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table by name; ValueError if they are not the columns of the fit."""
    by_name = columns_by_name(table)
    dropped = [column.name for column in columns if column.kind == "drop"]
    check_names("the table", table.column_names, [column.name for column in columns if column.kind != "drop"], dropped)
    return by_name


def check_names(what: str, names: Sequence[str], fitted: Sequence[str], ignored: Sequence[str] = ()) -> None:
    """Raise ValueError, beginning with `what`, unless the names of columns are those of a fit, and `ignored` ones.

    Examples
    --------
    >>> check_names("the table", ["b", "c"], fitted=["a", "b"])
    Traceback (most recent call last):
    ValueError: the table lacks columns that the model was fitted on: 'a'; give the columns of the fit
    """
    there, known = {*names}, {*fitted, *ignored}
    lacking, unknown = [name for name in fitted if name not in there], [name for name in names if name not in known]
    if lacking or unknown:
        problem = "lacks columns that the model was" if lacking else "has columns that the model was not"
        also = look_alike(lacking, unknown)
        raise ValueError(
            f"{what} {problem} fitted on: {listed(lacking or unknown, most=10)}{also}; give the columns of the fit"
        )


def look_alike(lacking: Sequence[str], unknown: Sequence[str]) -> str:
    """Return words for a column that is there under a name that only looks the same; "" if there is none.

    Examples
    --------
    >>> look_alike(["\u00e9"], ["e\u0301"]), look_alike(["e"], ["\u00e9"])
    (', which is there in other characters that look the same', '')
    """
    seen = {_as_seen(name) for name in unknown}
    if any(_as_seen(name) in seen for name in lacking):
        return ", which is there in other characters that look the same"
    return ""


def _as_seen(name: str) -> str:
    bare = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", bare).split())


def _to_array(name: str, series: Any) -> Any:
    try:
        if hasattr(series, "to_arrow"):
            return series.to_arrow()
        # from_pandas: a NaN among objects is a missing value and no float.
        array = pa.array(_native(series.sparse.to_dense() if hasattr(series, "sparse") else series), from_pandas=True)
        if getattr(series, "dtype", np.dtype(object)) != np.dtype(object):
            return array
        if pa.types.is_timestamp(array.type):
            return _times(series, array)
        if pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
            _refuse_truths(series, array)
        return array
    except (pa.ArrowException, OverflowError, TypeError) as error:
        types = {str(getattr(series, "dtype", "object"))}
        if types == {"object"}:
            types = {type(value).__name__ for value in series if value is not None and value == value}
        raise ValueError(
            f"column {name!r} holds values of type {' and '.join(sorted(types))}, which cannot be read "
            f"({' '.join(str(error).split())}); make them all numbers, text or dates, as "
            f"frame[{name!r}].astype(str) does, or remove the column"
        ) from None


def _native(values: Any) -> Any:
    """Return a pandas Series of numbers whose bytes are in the order of this machine, and at most eight each."""
    kind = getattr(values, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "iuf" and (kind.itemsize > 8 or not kind.isnative):
        return values.astype(np.float64 if kind.itemsize > 8 else kind.newbyteorder("="))
    return values


def _refuse_truths(values: Any, numbers: pa.Array) -> None:
    """Raise TypeError for True or False among Python objects that are other numbers than 0 and 1."""
    if any(isinstance(value, (bool, np.bool_)) for value in values):
        beside = pc.is_in(numbers.drop_null(), value_set=pa.array([0, 1], numbers.type))
        if not pc.all(beside).as_py():
            raise TypeError("True or False stands among other numbers than 0 and 1")


def _times(values: Any, array: pa.Array) -> pa.Array:
    """Return times among Python objects as Arrow's times, or as text if their zones differ or only some have one.

    Arrow itself would take times without a zone as UTC, and convert all others to the zone of the first.
    """
    given = [value if hasattr(value, "tzinfo") and value == value else None for value in values]
    zones = {str(value.tzinfo) for value in given if value is not None}
    if len(zones) < 2:
        return array
    return pa.array([None if value is None else value.isoformat() for value in given])
