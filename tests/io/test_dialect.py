"""Text as people write it: separators, decimal commas, encodings, words for what is missing, dates and comments."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import done, refused, rows_of
from reading import write

from tollad.io.dialect import Dialect, guess_separator, learn_dates
from tollad.io.sources import open_table, read_table
from tollad.io.training import read_training_rows
from tollad.tables.encode import encode
from tollad.tables.schema import Column


def read(path: Path, header: bool = True, **dialect) -> pa.Table:
    block = read_table(open_table(path, header=header, dialect=Dialect(**dialect)))
    return block.select(block.names)


def numbers(path: Path, header: bool = True, **dialect) -> list[list[float]]:
    table = read(path, header, **dialect)
    return encode(table, [Column(name, "number") for name in table.column_names]).tolist()


class TestSeparator:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "   ", " \t "])
    @pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "data"])
    @pytest.mark.parametrize("header", [True, False])
    def test_is_told_by_the_first_lines(self, tmp_path, separator, ending, header):
        rows = [["a", "b", "c"], *[["1", "2.5", str(k)] for k in range(60)]]
        lines = [separator.join(row) for row in rows[not header :]]
        path = write(tmp_path / f"data.{ending}", "\n".join(lines) + "\n")
        assert numbers(path, header) == [[1, 2.5, k] for k in range(60)]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a;b\n1,5;2,5\n3;4\n", ";"),
            ("1,5;2,5\n3,1;4,2\n", ";"),
            ('a,b\n"x;y",1\n"z;w",2\n', ","),
            ('"a;b;c"\n"1;2;3"\n', ","),
            ("name\nNew York\nSan Jose\n", ","),
            ("time\n2024-01-01 12:00\n2024-01-01 13:00\n", ","),
            ("1 2 3\n4 5\n", ","),
            ("1 2 3\n4 ? 5\n", " "),
            ("a,b\n1,2,3\n", ","),
            ("a\n1\n2\n", ","),
            ("", ","),
        ],
    )
    def test_is_the_one_that_each_line_has_as_often(self, text, expected):
        assert guess_separator(text, ",") == expected

    def test_that_is_given_wins(self, tmp_path):
        path = write(tmp_path / "data.csv", "a;b\n1;2\n")
        assert read(path, separator=";").column_names == ["a", "b"]
        with pytest.raises(ValueError, match="looks separated by semicolons, but is read as separated by commas; name"):
            read(path, separator=",")

    def test_lines_are_those_of_the_file(self, tmp_path):
        path = write(tmp_path / "data.txt", "# made today\n\n  a   b\n 1  2 \n3   4   5\n")
        with pytest.raises(ValueError, match="line 5: expected 2 values, found 3"):
            read(path, separator=" ")


class TestNumbers:
    def test_decimal_commas_and_groups(self, tmp_path):
        path = write(tmp_path / "data.csv", "a;b\n1.234,5;-0,5\n1 234 567;,5\n1'000;1e3\n12;?\n")
        expected = [[1234.5, -0.5], [1234567, 0.5], [1000, 1000], [12, np.nan]]
        np.testing.assert_array_equal(numbers(path, decimal=","), expected)

    def test_groups_with_points(self, tmp_path):
        path = write(tmp_path / "data.csv", 'a,b\n"1,234,567.5",2\n"12,345",1.5\n')
        assert numbers(path, decimal=".") == [[1234567.5, 2], [12345, 1.5]]
        with pytest.raises(ValueError, match=r"'1,234,567.5' is not a number"):
            numbers(path)

    @pytest.mark.parametrize("value", ["1.5", "1.2345", "12.34.5", "1234.567,8"])
    def test_what_can_be_read_in_two_ways_is_refused(self, tmp_path, value):
        path = write(tmp_path / "data.csv", f"a;b\n1,5;2\n{value};3\n")
        with pytest.raises(
            ValueError, match=rf"(line 3|row 1), column 'a': '{value}' (has a decimal point|is not a number)"
        ):
            numbers(path, decimal=",")

    def test_the_fast_way_reads_the_same(self, tmp_path):
        path = write(tmp_path / "data.csv", "a;b\n" + "".join(f"{k},25;1.{k:03},5\n" for k in range(100)))
        source = open_table(path, dialect=Dialect(decimal=","))
        slow = read_table(source).select(["a", "b"])
        source.numeric.update(["a", "b"])
        columns = [Column("a", "number"), Column("b", "number")]
        np.testing.assert_array_equal(encode(slow, columns), encode(read_table(source).select(["a", "b"]), columns))


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("zipped", [False, True])
    def test_utf_16_is_told_by_its_mark(self, tmp_path, encoding, zipped):
        mark = "" if encoding == "utf-16" else "\ufeff"
        text = (mark + "größe;b\r\n1;2\r\n3;ß\r\n").encode(encoding)
        table = read(write(tmp_path / "data.csv", gzip.compress(text, mtime=0) if zipped else text))
        assert table.to_pydict() == {"größe": ["1", "3"], "b": ["2", "ß"]}

    def test_that_is_given(self, tmp_path):
        path = write(tmp_path / "data.csv", "a,b\n1,Müller\n".encode("cp1252"))
        assert read(path, encoding="cp1252")["b"].to_pylist() == ["Müller"]
        with pytest.raises(ValueError, match=r"line 2: is no UTF-8 text; .* as in encoding='cp1252'"):
            read(path)

    def test_text_of_another_encoding(self, tmp_path):
        path = write(tmp_path / "data.csv", b"\xff\xfea\0,\0b\0\n\0\0\xd8")
        with pytest.raises(ValueError, match=r"data.csv: is no utf-16\S* text \(.*\); name the encoding it has"):
            read(path)

    @pytest.mark.parametrize("name", ["klingon", "zip", "rot13"])
    def test_that_is_none(self, name):
        with pytest.raises(ValueError, match=f"'{name}' is no known encoding"):
            Dialect(encoding=name)


class TestComments:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("# made by x\n# on Monday\na,b\n1,2\n", ["a", "b"]),
            ("# a,b\n1,2\n", ["# a", "b"]),
            ("#a,b\nx,Bonn\n", ["#a", "b"]),
            ("# made by x, y\na,b\n1,2\n", ["a", "b"]),
            ("# one\n\n#x,y\n1,2\n", ["#x", "y"]),
        ],
    )
    def test_come_before_the_names(self, tmp_path, text, names):
        assert read(write(tmp_path / "data.csv", text)).column_names == names

    def test_are_no_rows_without_names(self, tmp_path):
        assert numbers(write(tmp_path / "data.csv", "# 1,2\n3,4\n"), header=False) == [[3, 4]]

    def test_alone_are_no_table(self, tmp_path):
        with pytest.raises(ValueError, match="is empty"):
            read(write(tmp_path / "data.csv", "# nothing\n# at all"))


def test_own_words_for_missing_values(tmp_path):
    path = write(tmp_path / "data.csv", "a,b\nnil,1\n2,-9\n")
    np.testing.assert_array_equal(numbers(path, missing=("nil", "-9")), [[np.nan, 1], [2, np.nan]])


class TestDates:
    @pytest.mark.parametrize(
        ("values", "form", "first"),
        [
            (["31.12.2024", "1.2.2024"], "%d.%m.%Y", "2024-12-31"),
            (["01.02.2024", "03.04.2024"], "%d.%m.%Y", "2024-02-01"),
            (["12/31/2024", "01/02/2024"], "%m/%d/%Y", "2024-12-31"),
            (["31/12/2024 7:05", "01/02/2024 17:30"], "%d/%m/%Y %H:%M", "2024-12-31 07:05:00"),
        ],
    )
    def test_that_can_be_told(self, tmp_path, values, form, first):
        path = write(tmp_path / "data.csv", "when\n" + "".join(f"{value}\n" for value in [*values, "?"]))
        source = open_table(path)
        source.learn_dates(["when"])
        assert source.dialect.dates == {"when": form}
        assert read_table(source).select(["when"])["when"].to_pylist()[0] == first

    @pytest.mark.parametrize("values", [["2024-12-31"], ["1.2.3"], ["1.2.2024", "soon"], ["13/13/2024"], [None]])
    def test_that_are_none(self, values):
        dialect = Dialect()
        learn_dates(dialect, pa.table({"when": pa.array(values, pa.string())}), "data.csv")
        assert dialect.dates == {}

    def test_that_can_be_read_in_two_ways(self):
        with pytest.raises(ValueError, match=r"data.csv, column 'when': '03/04/2024' can be read in two ways; say"):
            learn_dates(Dialect(), pa.table({"when": ["03/04/2024", "05/06/2024"]}), "data.csv")

    def test_the_31st_of_february_is_no_date(self, tmp_path):
        path = write(tmp_path / "data.csv", "when\n" + "1.2.2024\n" * 30 + "31.02.2024\n")
        with pytest.raises(ValueError, match=r"data.csv, line 32, column 'when': '31.02.2024' is not a date"):
            read_training_rows(
                str(path), header=True, key=None, label=None, normal=(), drop=(), kinds=None,
                dialect=Dialect(date_format="%d.%m.%Y"),
            )  # fmt: skip


@pytest.mark.parametrize("record", [{"separator": "a"}, {"decimal": ";"}, {"separator": ",", "decimal": ","}])
def test_a_dialect_that_is_none(record):
    with pytest.raises(ValueError, match=r"separator|decimal"):
        Dialect(**record)


def test_a_dialect_is_kept_as_json():
    dialect = Dialect(";", ",", "cp1252", ("nil",), None, {"when": "%d.%m.%Y"})
    assert Dialect.from_json(dialect.to_json()) == dialect
    assert Dialect().to_json() == {}


class TestCommands:
    """What was learnt at fit holds at scoring."""

    @pytest.fixture
    def german(self, tmp_path) -> Path:
        rng = np.random.default_rng(0)
        lines = ["wert;größe;tag;ort"]
        for k in range(120):
            a, b = rng.normal(1000, 100), rng.normal()
            lines.append(f"{a:,.2f};{b:.3f};".replace(",", " ").replace(".", ",") + f"{k % 28 + 1:02}.03.2024;-")
        return write(tmp_path / "rows.csv", "\n".join(lines).encode("cp1252"))

    def test_the_model_keeps_the_dialect(self, tmp_path, german):
        dialect = ("--decimal", ",", "--encoding", "cp1252", "--na", "nil", "--column", "ort=drop")
        done("fit", german, "-o", tmp_path / "m", "--steps", "3", "--n-members", "1", *dialect)
        scores = rows_of(done("score", tmp_path / "m", german).stdout)
        english = german.read_text("cp1252").replace(" ", "").replace(",", ".").replace(";", ",")
        lines = english.splitlines()
        days = [lines[0], *(f"{a},{b},2024-03-{day[:2]},{o}" for a, b, day, o in (r.split(",") for r in lines[1:]))]
        write(tmp_path / "plain.csv", "\n".join(days) + "\n")
        done("fit", tmp_path / "plain.csv", "-o", tmp_path / "n", "--steps", "3", "--n-members", "1", *dialect[-2:])
        assert scores == rows_of(done("score", tmp_path / "n", tmp_path / "plain.csv").stdout)

    def test_hints_are_options(self, tmp_path, german):
        assert "name its encoding, as in --encoding cp1252" in refused("fit", german, "-o", tmp_path / "m")
        path = write(tmp_path / "dates.csv", "d,x\n" + "03/04/2024,1\n" * 30)
        assert "with --date-format %d/%m/%Y or --date-format %m/%d/%Y" in refused("fit", path, "-o", tmp_path / "m")

    def test_rows_of_two_readings_are_skipped(self, tmp_path):
        rows = [f"{k},5;{k * k % 7}" for k in range(60)]
        path = write(tmp_path / "rows.csv", "\n".join(["a;b", *rows]) + "\n")
        done("fit", path, "-o", tmp_path / "m", "--decimal", ",", "--steps", "3", "--n-members", "1")
        write(path, "\n".join(["a;b", *rows[:5], "1.5;2", "x;1", *rows[5:]]) + "\n")
        done("score", tmp_path / "m", path, "-o", tmp_path / "s.csv", "--on-error", "skip")
        listed = rows_of((tmp_path / "s.skipped.csv").read_text())
        assert [(row["line"], row["text"]) for row in listed] == [("7", "1.5,2"), ("8", "x,1")]


@pytest.mark.parametrize("form", ["", "foo", "%", "%Q", "%Y %Y", "%-d.%m.%Y", "%d.%m", "%H:%M", "yyyy-mm-dd"])
def test_what_is_no_format_of_dates_is_refused_where_no_date_needs_it(form):
    for given in ({"date_format": form}, {"dates": {"when": form}}):
        with pytest.raises(ValueError, match=f"^{re.escape(repr(form))} is no format of dates with a year; give one"):
            Dialect().changed(**given)


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%m/%Y", "%G-W%V-%u", "%Y-%j", "%y%m%d", "%Y%m%dT%H%M%S%z"])
def test_formats_of_dates(form):
    assert Dialect().changed(date_format=form).date_format == form


@pytest.mark.parametrize(("name", "said"), [("separator", "no separator"), ("encoding", "no known encoding")])
def test_nothing_is_no_separator_and_no_encoding(name, said):
    with pytest.raises(ValueError, match=f"'' is {said}"):
        Dialect().changed(**{name: ""})
