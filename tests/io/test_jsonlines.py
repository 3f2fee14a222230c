"""JSON lines as tables: keys, kinds of values, what is missing, and every mistake with its line."""

from __future__ import annotations

import gzip
from pathlib import Path
from unittest import mock

import pytest
from commands import done, rows_of
from reading import write

from tollad.io import records
from tollad.io.dialect import Dialect
from tollad.io.sources import open_table, read_table


def read(path: Path, **options) -> dict[str, list[str | None]]:
    return read_table(open_table(path, **options)).table.to_pydict()


@pytest.mark.parametrize("size", [3, 1 << 20])
def test_values_of_every_kind(tmp_path, size):
    text = '{"a": 1, "b": "Größe"}\n\n{"b": null, "c": true, "a": 0.10}\r\n{"a": 12345678901234567890, "c": "false"}'
    with mock.patch.object(records, "_CHUNK_BYTES", size):
        block = read_table(open_table(write(tmp_path / "data.jsonl", text)))
    assert block.table.to_pydict() == {
        "a": ["1", "0.10", "12345678901234567890"],
        "b": ["Größe", None, None],
        "c": [None, "true", "false"],
    }
    assert [block.where(row)[-6:] for row in range(3)] == ["line 1", "line 3", "line 4"]


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson", "data.JSONL.gz"])
def test_endings(tmp_path, name):
    content = b'{"a": NaN}\n{"a": 2}\n'
    assert read(write(tmp_path / name, gzip.compress(content, mtime=0) if "gz" in name else content)) == {
        "a": [None, "2"]
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('{"a": 1}\n{"a": }\n', r"line 2: is no JSON \(Expecting value at column 7\)"),
        ('{"a": 1}\n[1]\n', "line 2: is no JSON object but a list"),
        ('{"a": 1}\n3\n', "line 2: is no JSON object but a value"),
        ('{"a": {"b": 1}}\n', "line 1: the value of 'a' is an object"),
        ("[" * 100_000, "line 1: is nested too deeply"),
        (b'{"a": "\xff"}', "line 1: is no UTF-8 text"),
        ('{"a": 1, " a": 1}', "several columns called 'a'"),
        ("{}\n{}\n", "has no columns"),
    ],
)
def test_mistakes(tmp_path, text, words):
    with pytest.raises(ValueError, match=rf"\A[^\n]*data\.jsonl[^\n]*{words}[^\n]*\Z"):
        read(write(tmp_path / "data.jsonl", text))


def test_keys_that_come_late(tmp_path):
    path = write(tmp_path / "data.jsonl", '{"a": 1}\n{"b": 2}\n{"c": 3}\n')
    assert list(read(path)) == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"line 3: the key 'c' is not among those of the first lines: 'a', 'b'"):
        read(path, block_rows=2)


def test_commands(tmp_path):
    lines = "".join(f'{{"a": {k % 7}, "b": {k * k % 11}}}\n' for k in range(60))
    path = write(tmp_path / "rows.jsonl", lines)
    done("fit", path, "-o", tmp_path / "m", "--steps", "3", "--n-members", "1")
    scores = rows_of(done("score", tmp_path / "m", path).stdout)
    write(path, lines + '{"a": \n{"a": "x", "b": 1}\n')
    done("score", tmp_path / "m", path, "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert rows_of((tmp_path / "s.csv").read_text()) == scores
    listed = rows_of((tmp_path / "s.skipped.csv").read_text())
    assert [(row["row"], row["line"]) for row in listed] == [("61", "61"), ("62", "62")]


def test_numbers_stay_numbers_where_text_has_decimal_commas(tmp_path):
    """A model that was fitted on text with decimal commas may get requests with numbers."""
    path = write(tmp_path / "data.jsonl", '{"a": 1234.5, "b": "1.234,5"}\n{"a": 1.5e-7, "b": "2"}\n')
    block = read_table(open_table(path, dialect=Dialect(decimal=",")))
    assert block.select(["a", "b"]).to_pydict() == {"a": ["1234.5", "1.5e-7"], "b": ["1234.5", "2"]}
