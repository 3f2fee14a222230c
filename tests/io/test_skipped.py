"""Text of which bad records are skipped: nothing is lost, whatever the bytes and the pieces they come in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollad.io import records as textfile
from tollad.io.skipped import SkippedRows, beside
from tollad.io.sources import open_table

csv_like = st.lists(
    st.sampled_from([b"a", b"1", b",", b",", b'"', b"\n", b"\n", b"\r", b"\r\n", b"\xff", b"\0"]), max_size=40
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=csv_like.map(b"".join), chunk_bytes=st.integers(1, 20), n_columns=st.integers(1, 3))
def test_every_record_is_read_or_rejected(content, chunk_bytes, n_columns):
    content = b",".join([b"x", b"y", b"z"][:n_columns]) + b"\n" + content
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.csv")
        path.write_bytes(content)
        for size in (1 << 22, chunk_bytes):
            rejected: list[tuple[int, int | None, str, str]] = []
            rows = {}
            with mock.patch.object(textfile, "_CHUNK_BYTES", size):
                try:
                    source = open_table(path, reject=lambda *row, rejected=rejected: rejected.append(row))
                    for block in source:
                        numbers = np.arange(block.first_row, block.first_row + len(block))
                        numbers = numbers if block.numbers is None else block.numbers
                        rows |= dict(zip(numbers.tolist(), block.table.to_pylist(), strict=True))
                except ValueError as error:
                    if "has column names but no rows" not in str(error):
                        raise
            assert [row[0] for row in rejected] == sorted(row[0] for row in rejected)
            assert sorted([*rows, *(row[0] for row in rejected)]) == list(range(len(rows) + len(rejected)))
            outcomes.append((rows, rejected))
    assert outcomes[0] == outcomes[1]


def test_a_list_that_fails_is_not_there(tmp_path):
    path = tmp_path / "skipped.csv"

    def fail():
        with SkippedRows(str(path), overwrite=False) as skipped:
            skipped(0, None, "is odd", "1,2")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_text_that_is_no_unicode_is_listed_all_the_same(tmp_path):
    """Half a pair of surrogates, as a row of JSON or of an array of text can hold."""
    with SkippedRows(str(tmp_path / "skipped.csv"), overwrite=False) as skipped:
        skipped(0, None, "is odd", "größe \ud800")
    assert (tmp_path / "skipped.csv").read_text("utf-8").splitlines()[1] == r"1,,is odd,größe \ud800"


@pytest.mark.parametrize(("output", "expected"), [("a/s.csv", "a/s.skipped.csv"), ("s.x.jsonl", "s.x.skipped.csv")])
def test_the_list_lies_beside_the_output(output, expected):
    assert Path(beside(output)) == Path(expected)
