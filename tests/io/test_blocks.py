"""Columns of a block, by the names that a user gives."""

from __future__ import annotations

import pytest
from reading import write

from tollad.io.blocks import column_as_strings, resolve_column
from tollad.io.sources import open_table, read_table


def test_resolve_column():
    names = ["age", "-1", "income"]
    assert resolve_column("f.csv", names, "income") == "income"
    assert resolve_column("f.csv", names, "-1") == "-1"
    assert resolve_column("f.csv", names, "-3") == "age"
    for wanted, words in [("incone", "did you mean 'income'"), ("-4", "it has 'age'"), ("zzz", "it has 'age'")]:
        with pytest.raises(ValueError, match=rf"f\.csv: has no column '{wanted}'; .*{words}"):
            resolve_column("f.csv", names, wanted)


def test_unknown_column_of_a_block(tmp_path):
    block = read_table(open_table(write(tmp_path / "data.csv", "age,b\n1,2\n")))
    with pytest.raises(ValueError, match=r"data\.csv: has no column 'agee'; did you mean 'age'"):
        column_as_strings(block, "agee")
