"""Files a user has: every format and every mistake, by the useful words of its message."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reading import fails, numbers, to_numbers, write

from tollad.io import records as textfile
from tollad.io.blocks import column_as_strings
from tollad.io.sources import open_table, read_table
from tollad.tables.schema import MISSING

FUZZ = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> io.BytesIO:
    buffer = io.BytesIO(content)
    monkeypatch.setattr(sys, "stdin", mock.Mock(buffer=buffer))
    return buffer


# Text


def test_csv_with_everything_a_spreadsheet_does(tmp_path):
    path = write(
        tmp_path / "data.csv", b'\xef\xbb\xbf age , "name"\r\n31,"Muller, ""Ann""\nII"\r\n\r\n 4.5 , x\r\n1e3,NA\r\n+1,'
    )
    table = open_table(path)
    (block,) = table
    assert table.names == block.names == ("age", '"name"')
    assert to_numbers(block, ["age"]).ravel().tolist() == [31, 4.5, 1000, 1]
    assert column_as_strings(block, '"name"') == ['Muller, "Ann"\nII', " x", None, None]
    assert [block.where(i) for i in range(4)] == [f"{path}, line {n}" for n in (2, 5, 6, 7)]


@pytest.mark.parametrize("word", [*MISSING, "  ", " ? ", "nan "])
def test_words_for_missing_values(tmp_path, word):
    assert np.isnan(numbers(write(tmp_path / "data.csv", f"a,b\n{word},1\n2,{word}\n"))).tolist() == [[1, 0], [0, 1]]


def test_truth_values_are_one_and_zero(tmp_path):
    path = write(tmp_path / "data.csv", "a,b\ntrue,False\n,TRUE\n")
    np.testing.assert_equal(numbers(path), [[1, 0], [np.nan, 1]])


@pytest.mark.parametrize("ending", [".csv", ".CSV", ".tsv", ".tab", ".txt", ".data"])
@pytest.mark.parametrize("zipped", [False, True])
def test_endings_of_text_files(tmp_path, ending, zipped):
    text = "a,b\n1,2\n".replace(",", "\t" if ending in (".tsv", ".tab") else ",").encode()
    path = write(tmp_path / f"data{ending}{'.gz' if zipped else ''}", gzip.compress(text, mtime=0) if zipped else text)
    assert numbers(path).tolist() == [[1, 2]]


def test_gzip_without_its_ending_is_recognised(tmp_path):
    assert numbers(write(tmp_path / "data.csv", gzip.compress(b"a,b\n1,2\n", mtime=0))).tolist() == [[1, 2]]


def test_headerless_text_counts_its_columns_and_lines(tmp_path):
    path = write(tmp_path / "data.csv", "1,2\n3,4\n")
    (block,) = open_table(path, header=False)
    assert block.names == ("x1", "x2")
    assert to_numbers(block, ["x2", "x1"]).tolist() == [[2, 1], [4, 3]]
    fails(write(path, "1,2\n3,no\n"), "line 2", "column 'x2'", "'no'", header=False)


def test_old_line_ends_and_no_last_line_end(tmp_path):
    assert numbers(write(tmp_path / "data.csv", b"a,b\r1,2\r3,4")).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("age\n1\n2\n3\n4\n5\nabc\n7\n", ["line 7", "column 'age'", "'abc' is not a number"]),
        ("a,two words\n1,x\n", ["line 2", "column 'two words'"]),
        ('a,b\n"x\ny",1\n\n2,1,5\n', ["line 5", "expected 2 values, found 3"]),
        ('a,b\n1,"\n"\n\n2,no\n', ["line 5", "column 'b'", "'no'"]),
        ("a\n1,5\n", ["line 2", "expected 1 value, found 2"]),
        ('a\n"1,5"\n', ["line 2", "'1,5' is not a number"]),
        ("a\n1_000\n", ["'1_000'"]),
        ("a\n0x10\n", ["'0x10'"]),
        ("a\n1\n-inf\n", ["line 3", "column 'a'", "the value is infinite"]),
        ("a\n1\n Infinity\n", ["line 3", "infinite"]),
        ("a\n1e999\n", ["line 2", "the value is infinite"]),
        ("a\n" + "z" * 1000, ["'zzz", "...", "is not a number"]),
        ("", ["is empty"]),
        ("\n\r\n\n", ["is empty"]),
        (b"\xef\xbb\xbf", ["is empty"]),
        ("a,b\n", ["no rows"]),
        ("a,b", ["no rows"]),
        ("a,b, a\n1,2,3\n", ["several columns called 'a'; give each column its own name"]),
        ("1,2,2\n1,2,3\n", ["several columns called '2'", "or read it with header=False if its first line is a row"]),
        ('a,b\n1,2\n3,"4\n5,6\n', ["line 3", "quotes that never close"]),
        (b"a,b\n1,2\nM\xfcller,3\n", ["line 3", "UTF-8"]),
        (b"a,b\n1,\0\n", ["line 2", "holds a null byte, as no text does; remove it"]),
        (b"PAR1\x15\0\x15", ["looks like a Parquet file"]),
        (b"\x89PNG\r\n\x1a\n\0\0", ["looks like a PNG image"]),
        (b"PK\x03\x04\x14\0", ["ZIP archive"]),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6], ["gzip", "cut short"]),
    ],
)
def test_mistakes_in_text_files(tmp_path, content, words):
    fails(write(tmp_path / "data.csv", content), *words)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x1f\x8b\x08\0" + bytes(30)])
def test_broken_gzip(tmp_path, content):
    fails(write(tmp_path / "data.csv.gz", content), "gzip data are damaged")


@pytest.mark.parametrize("row", [2, 3, 19_999, 20_000])
@pytest.mark.parametrize("chunk_bytes", [1 << 22, 1000])
def test_the_line_is_right_at_any_depth(tmp_path, monkeypatch, row, chunk_bytes):
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", chunk_bytes)
    lines = ["a,b", *(f"{i},{i}" for i in range(20_000))]
    for wrong, words in [("1", "expected 2 values, found 1"), ("1,x", "'x' is not a number")]:
        path = write(tmp_path / "data.csv", "\n".join([*lines[: row - 1], wrong, *lines[row:]]))
        fails(path, f"line {row}", words)


def test_a_record_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", 8)
    monkeypatch.setattr(textfile, "_MAX_RECORD_BYTES", 32)
    fails(write(tmp_path / "data.csv", 'a,b\n1,2\n"' + "x\n" * 50), "line 3", "quotes that never close")
    fails(write(tmp_path / "data.csv", "a,b\n1,2\n" + "1" * 100), "line 3", "is over")


def test_the_cost_of_a_long_record_is_linear(tmp_path, monkeypatch):
    """Its beginning is scanned again with each read; as these grow, all scans together are a few times its length."""
    scanned, mask = [], textfile.mask_quoted_breaks
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", 64)
    monkeypatch.setattr(
        textfile, "mask_quoted_breaks", lambda text, separator: scanned.append(len(text)) or mask(text, separator)
    )
    value = "x\n" * 20_000
    block = read_table(open_table(write(tmp_path / "data.csv", f'a\n"{value}"\n')))
    assert column_as_strings(block, "a") == [value]
    assert sum(scanned) < 10 * len(value)


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: there is no such file"):
        open_table(tmp_path / "none.csv")
    with pytest.raises(IsADirectoryError, match=r"folder"):
        open_table(tmp_path)
    for name in ("data.xls", "data", "data.parquet.gz", "data.gz"):
        fails(write(tmp_path / name, "a\n1\n"), "unknown kind of file", ".csv", ".parquet", ".npy")
    fails(write(tmp_path / "data.csv", "a\n1\n"), "key 'x'", key="x")
    with pytest.raises(ValueError, match="block_rows"):
        open_table(tmp_path / "data.csv", block_rows=0)


# Streams


def test_a_source_can_be_read_again(tmp_path):
    table = open_table(write(tmp_path / "data.csv", "a\n1\n2\n3\n"), block_rows=2)
    for _ in range(2):
        assert [(block.first_row, len(block)) for block in table] == [(0, 2), (2, 1)]


def test_constant_memory(tmp_path, monkeypatch):
    """A million lines are never held together, whatever follows them."""
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", 1 << 16)
    path = tmp_path / "data.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"a\n" + b"1\n" * 1_000_000)
    before, peak, rows = pa.total_allocated_bytes(), 0, 0
    for block in open_table(path):
        rows += len(block)
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert rows == 1_000_000
    assert peak < 4_000_000


@pytest.mark.parametrize("zipped", [False, True])
def test_standard_input(monkeypatch, zipped):
    text = b"a,b\n" + b"1,2\n" * 20_000
    buffer = feed(monkeypatch, gzip.compress(text, mtime=0) if zipped else text)
    table = open_table("-")
    assert table.names == ("a", "b")
    assert sum(len(block) for block in table) == 20_000
    assert not buffer.closed
    with pytest.raises(ValueError, match="standard input: can be read only once"):
        list(table)


def test_standard_input_that_is_closed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed; name a file"):
        open_table("-")


def test_mistakes_on_standard_input(monkeypatch):
    feed(monkeypatch, b"a,b\n1,2\n1,two\n")
    fails("-", "line 3", "column 'b'", "'two'")
    feed(monkeypatch, b"")
    fails("-", "is empty")


cells = st.one_of(
    st.none(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.sampled_from('a1 ,"\n\r;é\t'), max_size=6)
)


@FUZZ
@given(
    rows=st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(cells, min_size=d, max_size=d), min_size=1)),
    chunk_bytes=st.integers(1, 60),
    block_rows=st.integers(1, 5),
    zipped=st.booleans(),
)
def test_tables_come_back_whatever_the_blocks(rows, chunk_bytes, block_rows, zipped):
    names = [f"column {j}" for j in range(len(rows[0]))]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([names, *rows])
    expected = [[None if c is None or str(c).strip() in MISSING else str(c) for c in row] for row in rows]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(textfile, "_CHUNK_BYTES", chunk_bytes):
        content = text.getvalue().encode()
        path = write(Path(folder, "data.csv"), gzip.compress(content, mtime=0) if zipped else content)
        blocks = list(open_table(path, block_rows=block_rows))
    found = [list(row) for block in blocks for row in zip(*(column_as_strings(block, n) for n in names), strict=True)]
    assert found == expected
    assert all(1 <= len(block) <= block_rows for block in blocks)
    assert [block.first_row for block in blocks] == np.cumsum([0, *map(len, blocks)])[:-1].tolist()
    line_breaks = text.getvalue().replace("\r\n", "\n").replace("\r", "\n").count("\n")
    assert 2 <= min(block.lines[0] for block in blocks) <= max(block.lines[-1] for block in blocks) <= line_breaks


@FUZZ
@given(values=hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.floats()))
def test_numbers_come_back_to_the_last_bit(values):
    values[np.isinf(values)] = np.nan
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(",".join(map(repr, row)) for row in values.tolist())
        np.testing.assert_array_equal(numbers(write(Path(folder, "data.csv"), text), header=False), values)


csv_like = st.lists(st.sampled_from(["a", "1", ",", '"', "\n", "\r", "\r\n", " ", "é"]), max_size=30)


@FUZZ
@given(
    content=st.one_of(st.binary(max_size=200), csv_like.map(lambda parts: "".join(parts).encode())),
    header=st.booleans(),
    chunk_bytes=st.integers(1, 20),
)
def test_any_bytes_give_a_table_or_a_value_error(content, header, chunk_bytes):
    """And the size of the pieces in which the file is read changes nothing."""
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "data.csv"), content)
        for size in (1 << 22, chunk_bytes):
            with mock.patch.object(textfile, "_CHUNK_BYTES", size):
                try:
                    block = read_table(open_table(path, header=header))
                except ValueError as error:
                    outcomes.append(type(error))
                else:
                    assert len(block.lines) == len(block)
                    outcomes.append((block.names, block.table.to_pydict(), block.lines.tolist()))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] is ValueError or isinstance(outcomes[0], tuple)


# Columns
