"""Tables that a command writes."""

from __future__ import annotations

import csv
import io
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad.io.outputs import check_different_files, write_tables


def reference(table: pa.Table) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue()


def written(tmp_path, table: pa.Table) -> str:
    path = tmp_path / "out.csv"
    write_tables(str(path), [table], overwrite=True)
    return path.read_bytes().decode()


def test_numbers_are_written_as_python_writes_them(tmp_path):
    """To the last digit and with the same exponents: whoever reads them gets the same bits."""
    rng = np.random.default_rng(0)
    sizes = np.concatenate([10.0 ** rng.uniform(-320, 308, 5000), 10.0 ** rng.uniform(-6, 18, 5000)])
    special = [0.0, -0.0, 1.0, 1e10, 1e-4, 9999999999.9, 5e-324, np.inf, -np.inf, np.nan, None]
    values = [*(sizes * rng.choice([-1, 1], len(sizes))).tolist(), *special]
    table = pa.table({"row": np.arange(len(values)), "score": pa.array(values, pa.float64())})
    assert written(tmp_path, table) == reference(table)


@given(texts=st.lists(st.one_of(st.none(), st.text(st.sampled_from('a,"\n\r ;é'), max_size=4)), min_size=1))
def test_text_is_quoted_where_it_has_to_be(tmp_path_factory, texts):
    table = pa.table({"row": range(len(texts)), "name, or none": pa.array(texts, pa.string())})
    text = written(tmp_path_factory.getbasetemp(), table)
    expected = [[str(row), value or ""] for row, value in enumerate(texts)]
    assert list(csv.reader(io.StringIO(text, newline=""))) == [table.column_names, *expected]
    if not any("\r" in (value or "") for value in texts):  # which some versions of Python leave without quotes
        assert text == reference(table)


def test_text_is_never_altered(tmp_path):
    # The names of rows join the scores to the data. So formulas and escape sequences stay what they are.
    table = pa.table({"id": ["=1+1", "+1", "@SUM(A1)", "\x1b[2J", "\t=1"]})
    assert written(tmp_path, table).splitlines()[1:] == table["id"].to_pylist()


def test_standard_output_that_is_closed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(OSError, match="standard output: it is closed; name a file to write to"):
        write_tables(None, [pa.table({"row": [1]})], overwrite=False)


@pytest.mark.parametrize("name", ["data.csv", "./data.csv", "symbolic.csv", "hard.csv"])
def test_no_output_is_a_file_that_is_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a\n1\n")
    os.symlink("data.csv", "symbolic.csv")
    os.link("data.csv", "hard.csv")
    with pytest.raises(ValueError, match=f"cannot write {name}: it is a file that the command reads; give the output"):
        check_different_files("other.csv", None, name, read=("-", "m.tollad", "data.csv"))
