"""Parquet files: types, missing values and mistakes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import fails, numbers, to_numbers, write

from tollad.io.sources import column_as_strings, open_table, read_table


def test_parquet_types(tmp_path):
    path = tmp_path / "data.parquet"
    columns = {
        "float": pa.array([1.5, float("nan"), None], pa.float32()),
        "int": pa.array([2**62, None, 3]),
        "bool": pa.array([True, False, None]),
        "text": pa.array(["1", " 2.5", "NA"], pa.large_string()),
        "category": pa.array(["7", None, "8"]).dictionary_encode(),
        "empty": pa.nulls(3),
    }
    parquet.write_table(pa.table(columns), path)
    table = open_table(path, block_rows=2)
    assert [len(block) for block in table] == [2, 1]
    nan = np.nan
    expected = [[1.5, 2**62, 1, 1, 7, nan], [nan, nan, 0, 2.5, nan, nan], [nan, 3, nan, nan, 8, nan]]
    np.testing.assert_equal(numbers(path), expected)
    block = read_table(table)
    assert column_as_strings(block, "float") == ["1.5", None, None]
    assert column_as_strings(block, "category") == ["7", None, "8"]
    assert column_as_strings(block, "bool") == ["true", "false", None]


def test_mistakes_in_parquet_files(tmp_path):
    path = tmp_path / "data.parquet"
    columns = {
        "list": [[1], [2]],
        "when": pa.array([0, 1], pa.timestamp("s")),
        "raw": [b"\xff", b"\0"],
        "far": [1.0, float("-inf")],
        "word": ["1", "abc"],
    }
    parquet.write_table(pa.table(columns), path)
    (block,) = open_table(path)
    for name, words in [
        ("list", "column 'list' holds values of type list"),
        ("when", r".*data\.parquet, row 1, column 'when': '1970-01-01 .*' is not a number"),
        ("raw", "column 'raw' holds values of type binary"),
        ("far", r".*data\.parquet, row 2, column 'far': the value is infinite"),
        ("word", r".*data\.parquet, row 2, column 'word': 'abc' is not a number"),
    ]:
        with pytest.raises(ValueError, match=f"^{words}"):
            to_numbers(block, [name])
    for name in ("list", "raw"):
        with pytest.raises(ValueError, match=rf"data\.parquet, column '{name}'.*no text"):
            column_as_strings(block, name)
    content = path.read_bytes()
    for damaged in (content[:-20], content[10:], b"a,b\n1,2\n", b""):
        fails(write(path, damaged), "no Parquet file, or damaged or cut short")
    parquet.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    fails(path, "no rows")
    parquet.write_table(pa.table([[1], [2]], names=["a", "a "]), path)
    fails(path, "several columns called 'a'")
