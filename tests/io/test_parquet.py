"""Parquet files: types, missing values and mistakes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import fails, numbers, to_numbers, write

from tollad.io.blocks import column_as_strings
from tollad.io.sources import open_table, read_table
from tollad.io.training import read_training_rows
from tollad.tables import large as stored
from tollad.tables.frames import to_arrow
from tollad.tables.survey import fit_columns


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
    for damaged in (content[:-20], content[10:], b"\x80,b\n1,2\n", b""):
        fails(write(path, damaged), "no Parquet file, or damaged or cut short")
    parquet.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    fails(path, "no rows")
    parquet.write_table(pa.table([[1], [2]], names=["a", "a "]), path)
    fails(path, "several columns called 'a'")


def test_categories_of_pandas_stay_categories(tmp_path, monkeypatch):
    """The command line learns what a frame is in Python, whatever its categories are, and however large it is."""
    path, values = (
        tmp_path / "data.parquet",
        {"whole": [1, 20, 1], "half": [0.5, 1.5, 0.5], "truth": [True, False, True]},
    )
    values |= {"code": ["01", "2", "01"], "plain": [1.5, 2.0, 3.5]}
    frame = pd.DataFrame({name: pd.Categorical(v) if name != "plain" else v for name, v in values.items()})
    frame.to_parquet(path)
    kept = {"header": True, "key": None, "label": None, "normal": (), "drop": ()}
    read = read_training_rows(str(path), kinds=None, **kept)
    learnt = fit_columns(read.rows, read.columns)
    assert learnt == fit_columns(to_arrow(frame))
    assert [column.kind for column in learnt] == [*["category"] * 4, "number"]
    asked = read_training_rows(str(path), kinds={"whole": "number", "truth": "number"}, **kept)
    assert [column.kind for column in fit_columns(asked.rows, asked.columns)][:3] == ["number", "category", "number"]
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    large = read_training_rows(str(path), kinds=None, **kept)
    assert list(large.rows.columns) == learnt


@pytest.mark.parametrize("written", [b"{", b"[]", b'{"index_columns": 3, "columns": [1, {}]}', b'{"columns": null}'])
def test_what_pandas_would_not_write_is_ignored(tmp_path, written):
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"a": [1.0, 2.0]}).replace_schema_metadata({b"pandas": written}), path)
    table = open_table(path)
    assert (table.names, table.index, table.categories) == (("a",), frozenset(), frozenset())
