"""Excel sheets as tables: headers, kinds of cells, what is missing, and every mistake with its row."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import done, refused, rows_of

from tollad.io.dialect import Dialect
from tollad.io.sources import open_table, read_table
from tollad.tables.encode import encode
from tollad.tables.schema import Column

openpyxl = pytest.importorskip("openpyxl")


def write(path: Path, *rows, title: str = "Sheet", **others) -> Path:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    for name, more in others.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    book.save(path)
    return path


def read(path: Path, **options) -> dict[str, list[str | None]]:
    return read_table(open_table(path, **options)).table.to_pydict()


def test_cells_of_every_kind(tmp_path):
    day = datetime.datetime(2024, 2, 29, 17, 30)
    path = write(
        tmp_path / "data.xlsx",
        ["n", "text", "truth", "when", "time", "span"],
        [1, "Bonn", True, day, datetime.time(1, 0, 30), datetime.timedelta(minutes=2)],
        [0.1, "#N/A", False, day.replace(hour=0, minute=0), None, None],
        [1e300, None, None, None, None, None],
    )
    assert read(path) == {
        "n": ["1", "0.1", "1e+300"],
        "text": ["Bonn", None, None],
        "truth": ["true", "false", None],
        "when": ["2024-02-29 17:30:00", "2024-02-29 00:00:00", None],
        "time": ["3630.0", None, None],
        "span": ["120.0", None, None],
    }


def test_numbers_keep_all_their_digits(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 2)) * 10.0 ** np.arange(-3, 97, 2)[:, None]
    path = write(tmp_path / "data.xlsx", *values.tolist())
    block = read_table(open_table(path, header=False))
    numbers = encode(block.select(["x1", "x2"]), [Column("x1", "number"), Column("x2", "number")])
    np.testing.assert_allclose(numbers, values, rtol=1e-15)  # openpyxl writes sixteen digits


def test_rows_have_the_numbers_that_excel_shows(tmp_path):
    path = write(tmp_path / "data.xlsx", [], ["a", "b"], [1, 2], [], [3, 4, None], ["x"])
    block = read_table(open_table(path))
    assert [block.where(row) for row in range(3)] == [f"{path}, row {n}" for n in (3, 5, 6)]
    with pytest.raises(ValueError, match=r"data.xlsx, row 6, column 'a': 'x' is not a number"):
        encode(block.select(["a"]), [Column("a", "number")], where=block.where)


def test_blocks(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a"], *([k] for k in range(10)))
    blocks = [*open_table(path, block_rows=4)]
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert [block.first_row for block in blocks] == [0, 4, 8]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "is empty"),
        ([["a", "b"]], "no rows"),
        ([["a", "a"], [1, 2]], "several columns called 'a'"),
        ([["a", "b"], [1, 2, 3]], "row 2: expected 2 values, found 3; no column has a name above '3'"),
    ],
)
def test_mistakes(tmp_path, rows, words):
    with pytest.raises(ValueError, match=rf"data\.xlsx.*{words}"):
        read(write(tmp_path / "data.xlsx", *rows))


def test_one_of_several_sheets(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a"], [1], title="one", two=[["b"], [2]])
    assert read(path, key="two") == {"b": ["2"]}
    for key, words in ((None, "several sheets"), ("three", "no sheet 'three'")):
        with pytest.raises(
            ValueError, match=rf"data\.xlsx: holds {words}; choose one, as in key='one', of 'one', 'two'"
        ):
            read(path, key=key)


def test_what_is_no_workbook(tmp_path):
    (tmp_path / "data.xlsx").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(
        ValueError, match=r"data\.xlsx: is no Excel file; it looks like text; let its name end in \.csv"
    ):
        read(tmp_path / "data.xlsx")
    with zipfile.ZipFile(tmp_path / "data.xlsx", "w") as archive:
        archive.writestr("x.npy", b"")
    with pytest.raises(ValueError, match=r"data\.xlsx: is no Excel file, or damaged or cut short"):
        read(tmp_path / "data.xlsx")


def test_a_workbook_that_unpacks_to_too_much(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a"], *([k] for k in range(1000)))
    with pytest.raises(ValueError, match=r"is unpacked to .* GiB, and 1e-06 is the limit; .* max_gib=1"):
        read(path, max_gib=1e-6)


def test_commands(tmp_path):
    rng = np.random.default_rng(0)
    rows = [[round(float(a), 6), "Bonn" if a > 0 else "Oslo"] for a in rng.normal(size=60)]
    path = write(tmp_path / "rows.xlsx", ["a", "city"], *rows)
    (tmp_path / "rows.csv").write_text("a,city\n" + "".join(f"{a!r},{city}\n" for a, city in rows))
    scores = []
    for name in ("rows.xlsx", "rows.csv"):
        done("fit", tmp_path / name, "-o", tmp_path / f"{name}.m", "--steps", "3", "--n-members", "1")
        scores.append(rows_of(done("score", tmp_path / f"{name}.m", tmp_path / name).stdout))
    assert scores[0] == scores[1]
    write(path, ["a", "city"], [1, "Bonn"], ["far", "Oslo"])
    assert "rows.xlsx, row 3, column 'a': 'far' is not a number" in refused("score", tmp_path / "rows.xlsx.m", path)


def test_the_only_sheet_that_is_shown_is_read(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a"], [1], hidden=[["b"], [2]])
    book = openpyxl.load_workbook(path)
    book["hidden"].sheet_state = "hidden"
    book.save(path)
    assert read(path) == {"a": ["1"]}
    assert read(path, key="hidden") == {"b": ["2"]}


def test_a_formula_without_a_saved_value_is_refused(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a", "b"], [1, 5], [2, "=A2*2"])
    with pytest.raises(ValueError, match="cell B3 holds a formula whose value was not saved; open the workbook"):
        read(path)


def test_merged_cells_are_warned_of(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a", "b"], [1, "x"], [2, None])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("B2:B3")
    book.save(path)
    with pytest.warns(UserWarning, match="cells B2:B3 are merged, so that only the first of them has a value"):
        assert read(path) == {"a": ["1", "2"], "b": ["x", None]}


def test_a_title_above_the_names_is_said_to_be_one(tmp_path):
    path = write(tmp_path / "data.xlsx", ["My report"], [], ["a", "b"], [1, 2])
    with pytest.raises(ValueError, match=r"row 3: expected 1 value, found 2; .* above the names .*, such as 'My rep"):
        read(path)


def test_a_workbook_of_an_old_excel_or_with_a_password_is_said_to_be_one(tmp_path):
    (tmp_path / "data.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" * 200)
    with pytest.raises(ValueError, match=r"is a workbook of an old Excel or one with a password; save it as \.xlsx"):
        read(tmp_path / "data.xlsx")


def test_numbers_stay_numbers_where_text_has_decimal_commas(tmp_path):
    """A German sheet holds numbers as such, and beside them some that were exported as text."""
    path = write(
        tmp_path / "data.xlsx",
        ["n", "text", "span"],
        [1234.5, "1.234,5", datetime.time(0, 0, 1, 500000)],
        [2, "2", None],
    )
    block = read_table(open_table(path, dialect=Dialect(decimal=",")))
    assert block.select(["n", "text", "span"]).to_pydict() == {
        "n": ["1234.5", "2"],
        "text": ["1234.5", "2"],
        "span": ["1.5", None],
    }


def test_empty_sheets_need_no_choice(tmp_path):
    """Old workbooks begin with three sheets, of which two stay empty."""
    path = write(tmp_path / "data.xlsx", Sheet2=[["a"], [1]], Sheet3=[[" "]])
    assert read(path) == {"a": ["1"]}
    with pytest.raises(ValueError, match="is empty"):
        read(write(tmp_path / "none.xlsx", Sheet2=[]))


def test_cells_of_spaces_are_empty(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a", "b"], [1, " "], [2, "x", None, None, "  "], [], [None, " "])
    assert read(path) == {"a": ["1", "2"], "b": [None, "x"]}


def test_a_value_beside_the_table_is_named(tmp_path):
    path = write(tmp_path / "data.xlsx", ["a", "b"], [1, 2], [3, 4, None, "see below"])
    with pytest.raises(ValueError, match="row 3: expected 2 values, found 4; no column has a name above 'see below'"):
        read(path)


@pytest.mark.parametrize("what", ["row", "column"])
def test_hidden_rows_and_columns_are_warned_of(tmp_path, what):
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1, 2], [3, 4]):
        book.active.append(row)
    (book.active.row_dimensions[2] if what == "row" else book.active.column_dimensions["B"]).hidden = True
    book.save(tmp_path / "data.xlsx")
    with pytest.warns(
        UserWarning, match=f"some {what}s are hidden in Excel, as by a filter, and are read like all others"
    ):
        assert read(tmp_path / "data.xlsx") == {"a": ["1", "3"], "b": ["2", "4"]}
