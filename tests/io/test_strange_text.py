"""Text that is not quite a table: other things under its name, titles, separators too many, and encodings."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from commands import QUICK, done, refused

from tollad.io.dialect import Dialect
from tollad.io.inputs import check_columns
from tollad.io.records import _NO_TABLES
from tollad.io.sources import open_table, read_table

TEXT = "a,b\n1,2\n3,4\n"


def read(path: Path, content: bytes | str, **options) -> dict[str, list[str | None]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(open_table(path, **options)).table.to_pydict()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.csv", "<!DOCTYPE html><html>\n404, not found\n", "looks like a web page or XML; give a table"),
        ("d.csv", "version https://git-lfs.github.com/spec/v1\nsize 9\n", "is a pointer of Git LFS; fetch the file"),
        ("d.csv", '[{"a": 1}, {"a": 2}]\n', "looks like JSON; write one object a line"),
        ("d.csv", b"BZh91AY&SY\0\0", "it looks compressed; unpack it, or compress it by gzip"),
        ("d.csv", b"\x28\xb5\x2f\xfd\x04\x00", "it looks compressed"),
        ("d.csv", b"\xd0\xcf\x11\xe0\0\0", r"old Excel sheet \(.xls\); save it as .xlsx or as CSV"),
        ("d.csv", TEXT.encode("utf-16-le"), "it looks like UTF-16; name its encoding, as in encoding='utf-16-le'"),
        ("d.csv", TEXT.encode("utf-16-be"), "encoding='utf-16-be'"),
        ("d.csv.gz", TEXT, "the gzip data are damaged, or none though the name ends in .gz; rename it"),
        ("d.csv", "Sales of 2024\n\na,b\n1,2\n", "line 3.*if the first line, 'Sales of 2024', is a title, remove what"),
        ("d.csv", ",\n,\na,b\n1,2\n", "the first line holds no names; remove it if it is empty"),
        ("d.csv", "a,b\n1,2,\n3,4,\n", "line 2.*the line ends with a separator that the first line lacks"),
        ("d.csv", "a,b\n1,2\n   \n", "line 3: .*; the line holds spaces only; remove it"),
        ("d.csv", "a,b\n1,2\n# end\n", "line 3: .*; the line is a comment, and these may only stand above the names"),
        ("d.csv", "a,b\n1,2\n(1 row)\n", "line 3: .*; remove the line if it is a note and no row"),
        ("d.csv", "a,b\n1,2\n\x1a", "line 3: .*; the line holds the sign that ends a file in DOS"),
        ("d.csv", "a,b\n1,2\n3,\0\n", "line 3: holds a null byte, as no text does; remove it"),
        ("d.csv", "<table><tr>\n", "looks like a web page or XML"),
        ("d.csv", "a;b\n1;2;\n3;4;\n", "line 2.*found 3; the line ends with a separator that the first line lacks"),
        ("d.tsv", "a\tb\n1\t2\t \t\n", "line 2.*the line ends with separators that the first line lacks"),
        ("d.zip", b"PK", "unpack it first, or compress it by gzip"),
        ("d.xls", b"", "save it as .xlsx or as CSV"),
        ("d.json", "[]", "write one object a line, as jq -c"),
        ("d", TEXT, "let its name say what it is, as table.csv does"),
        ("d.jsonl", '[{"a": 1}]\n', "is no JSON object but a list; write one object a line"),
        ("d.jsonl", '[\n{"a": 1}\n]\n', "is the beginning of a list or an object; write one object a line"),
        ("d.jsonl", '{"a": 1, "a": 2}\n', "line 1: the key 'a' stands there twice"),
        (
            "d.txt",
            "1 1:0.5 2:3\n-1 2:4.5\n",
            r"looks like LIBSVM text; read it with sklearn.datasets.load_svmlight_file",
        ),
        ("d.csv", "% of 2024\n@RELATION x\n@data\n1,2\n", "looks like ARFF; read it with scipy.io.arff.loadarff"),
        ("d.csv", "-- dump\nINSERT INTO t VALUES (1,2);\n", "looks like SQL; export the table as CSV"),
        ("d.txt", "- a: 1\n  b: 2\n- a: 3\n  b: 4\n", "looks like YAML; give a table"),
        ("d.txt", "t=1 host=a\nt=2 host=b\n", "looks like pairs key=value; write one JSON object a line"),
        (
            "d.txt",
            "+---+---+\n| a | b |\n+===+===+\n",
            "has drawn lines, as a report has; take them away, and the bars",
        ),
        ("d.txt", "| a | b |\n|---|:-:|\n| 1 | 2 |\n", "has drawn lines"),
        ("d.txt", " a | b \n---+---\n 1 | 2 \n", "has drawn lines"),
        ("d.txt", "-----\n|a|b|\n-----\n", "has drawn lines"),
        ("d.txt", "% made by x\n% a b\n1 2\n", "begins with comments after '%'; write '#' in its place"),
        ("d.csv", "a^b\n1^2\n", r"looks separated by '\^'; name the separator, as in separator='\^'"),
        ("d.csv", "a\x01b\n1\x012\n", r"looks separated by '\\x01'; name the separator"),
        ("d.csv", "a\uff0cb\n1\uff0c2\n", "looks separated by '\uff0c'; write commas in its place"),
        ("d.txt", "name  a b\nxy  1 2\nz 3  4\n", "looks separated by spaces; name the separator, as in separator=' '"),
        ("d.txt", '"a" "b"\n"1" 3 4\n"2" 5 6\n', "looks separated by spaces"),
        ("d.csv", '"a","b"\n"1",3,4\n"2",5,6\n', "R gives names to rows, which the first line lacks"),
        ("d.jsonl", '{"a": "\\ud800"}\n', "line 1: the value of 'a' holds a half of a character"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path, name, content, words):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name)) + "(?s:.*)" + words):
        read(tmp_path / name, content)


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\r"])
def test_the_separator_that_excel_says_is_taken(tmp_path, line):
    path = tmp_path / "d.csv"
    assert read(path, line + "a;b\n1,5;2\n") == {"a": ["1,5"], "b": ["2"]}
    assert read_table(open_table(path)).where(0).endswith("line 3")


def test_a_byte_order_mark_of_four_bytes(tmp_path):
    assert read(tmp_path / "d.csv", TEXT.encode("utf-32")) == {"a": ["1", "3"], "b": ["2", "4"]}
    options = {"dialect": Dialect(encoding="utf-32")}
    assert read(tmp_path / "d.csv", TEXT.encode("utf-32"), **options) == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize("encoding", ["undefined", "rot13", "hex", "a\0b", "punycode", "none of these"])
def test_what_is_no_encoding(encoding):
    with pytest.raises(ValueError, match="is no known encoding; give one such as 'cp1252'"):
        Dialect(encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "idna"])
def test_another_encoding_than_the_text_has(tmp_path, encoding):
    with pytest.raises(ValueError, match=r"d\.csv: .*; name the encoding it has"):
        read(tmp_path / "d.csv", "\u00e4,b\n" + TEXT, dialect=Dialect(encoding=encoding))


def test_separators_at_the_end_of_all_lines_make_columns_without_names_and_values(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("".join(f"{line},,\n" for line in ("a,b", *(f"{k % 7},{k % 5}" for k in range(40)))))
    said = done("fit", path, "-o", tmp_path / "m", "--steps", 2).stderr
    for name in ("Unnamed: 2", "Unnamed: 3"):
        assert f"column '{name}' has neither a name nor a value; it is left out" in said
    done("score", tmp_path / "m", path)


def test_a_comma_that_was_the_decimal_sign_and_now_separates(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a;b\n" + "".join(f"{k % 7},5;{k % 5}\n" for k in range(40)))
    done("fit", path, "-o", tmp_path / "m", "--decimal", ",", "--steps", 2)
    (tmp_path / "new.csv").write_text("a,b\n1.5,2\n")
    assert "new.csv: commas separate its values" in (said := refused("score", tmp_path / "m", tmp_path / "new.csv"))
    assert "--decimal '.'" in said
    done("score", tmp_path / "m", tmp_path / "new.csv", "--decimal", ".")


def test_a_column_without_a_name_can_be_chosen(tmp_path):
    (tmp_path / "d.csv").write_text("a,\n" + "".join(f"{k % 7},id{k}\n" for k in range(40)))
    assert "--column =drop" in refused("fit", tmp_path / "d.csv", "-o", tmp_path / "m", "--steps", 2)
    done("fit", tmp_path / "d.csv", "-o", tmp_path / "m", "--steps", 2, "--column", "=drop")


def test_a_model_is_no_standard_output(tmp_path):
    (tmp_path / "d.csv").write_bytes(gzip.compress(TEXT.encode()))
    assert "cannot write '-': give the name of a file" in refused("fit", tmp_path / "d.csv", "-o", "-", "--steps", 2)


def test_pipes_are_refused_without_being_opened(tmp_path):
    """Nobody may ever write to them."""
    (tmp_path / "d.csv").write_text("a,b\n" + "".join(f"{k % 7},{k % 5}\n" for k in range(40)))
    done("fit", tmp_path / "d.csv", "-o", tmp_path / "m", "--steps", 2)
    for name in ("pipe.csv", "pipe"):
        os.mkfifo(tmp_path / name)
    assert "is a device or a pipe, which may never end" in refused("score", tmp_path / "m", tmp_path / "pipe.csv")
    assert "it is a device or a pipe" in refused("score", tmp_path / "pipe", tmp_path / "d.csv")


def test_a_link_to_itself(tmp_path):
    (tmp_path / "m").symlink_to(tmp_path / "m")
    assert f"cannot read {tmp_path / 'm'}: Too many levels" in refused("info", tmp_path / "m")


@pytest.mark.parametrize("separator", ["^", ":", "~", "\x01", "\x1f"])
def test_any_sign_separates_if_it_is_named(tmp_path, separator):
    text = TEXT.replace(",", separator)
    assert read(tmp_path / "d.csv", text, dialect=Dialect(separator=separator)) == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize(
    "text",
    [
        "at\n12:30\n13:45\n",
        "eye colour\ndark red\nlight blue\n",
        "T in \N{DEGREE SIGN}C\n3\N{DEGREE SIGN}\n4\N{DEGREE SIGN}\n",
        "l\N{RIGHT SINGLE QUOTATION MARK}eau\nl\N{RIGHT SINGLE QUOTATION MARK}air\n",
        "mail\na@b.org\nc@d.org\n",
        "day\n01/02/2024\n03/04/2024\n",
        '"a^b"\n"1^2"\n',
        "% fat\n1\n2\n",
        "create table\n1\n",
        "x\n---\n4\n",
    ],
)
def test_one_column_whose_values_hold_signs_stays_one(tmp_path, text):
    assert len(read(tmp_path / "d.csv", text)) == 1


@pytest.mark.parametrize(
    "part",
    [
        *(
            "% ",
            "%\n",
            "-- x ",
            "--\n",
            "- ",
            "-",
            "|-",
            "+-",
            "| --- ",
            "a=1 ",
            'a="x" ',
            'a="',
            "1 1:2 ",
            "a: ",
            "- a: ",
        ),
        *(" ", "\n", "[", "{", "a\n|-----", "a\n------", "a\n| -", "a\n- :", "---\n", "a: b\n", "copy "),
    ],
)
def test_no_beginning_takes_long(part):
    """Some patterns could match in many ways, and would have taken years for such texts."""
    for text in (part * 20_000, part + part[-1] * 60_000, part + part[-2:] * 30_000):
        for end in ("", "x", "!\n"):
            for pattern, _ in _NO_TABLES:
                pattern.match((text + end).encode())


@pytest.mark.parametrize(
    ("text", "what"), [("a,b,\n1,2,\n", "the first line ends with a separator"), (",a,b\n0,1,2\n", "the index of a")]
)
def test_a_column_without_a_name_is_told_by_its_place(tmp_path, text, what):
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"new.csv: has columns that the model was not fitted on: '' .*{what}"):
        check_columns(open_table(path), ["a", "b"], ())


def test_byte_order_marks_of_joined_files_are_no_values(tmp_path):
    assert read(tmp_path / "d.csv", "\ufeffa,b\n1,2\n\ufeff3,4\n") == {"a": ["1", "3"], "b": ["2", "4"]}


@pytest.mark.parametrize("ending", [".parquet", ".xlsx", ".npy", ".npz", ".jsonl"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n", "text; let its name end in .csv"),
        (b"PAR1" + b"\x15\x80" * 9, "a Parquet file"),
        (b"PK\x03\x04" + b"\x80\0" * 9, "a ZIP archive"),
        (b"\x93NUMPY\x01\x00" + b"\x80" * 9, "an NPY file"),
        (b"ARROW1\0\0\x80", "an Arrow file"),
    ],
)
def test_a_file_with_the_ending_of_another_is_called_what_it_is(tmp_path, ending, content, words):
    path = tmp_path / f"data{ending}"
    path.write_bytes(content)
    own = {".parquet": "Parquet", ".xlsx": "ZIP", ".npy": "NPY", ".npz": "ZIP", ".jsonl": "text"}[ending]
    if ending == ".xlsx":
        pytest.importorskip("openpyxl")
    with pytest.raises(ValueError, match="is no .* file" if ending != ".jsonl" else "line 1: ") as refused:
        read_table(open_table(path))
    assert (f"looks like {words}" in str(refused.value)) == (own not in words)


def test_a_separator_after_the_names_alone(tmp_path):
    with pytest.raises(ValueError, match="found 2; the first line ends with a separator that the line lacks"):
        read(tmp_path / "t.csv", "a,b,\n1,2\n3,4\n")


def test_a_name_that_looks_the_same_is_said_to(tmp_path):
    table = "caf\u00e9,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(20))
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--drop", "b", *QUICK)
    for name in ("cafe\u0301", "caf\u00e9\u200b"):
        (tmp_path / "n.csv").write_text(table.replace("caf\u00e9", name), encoding="utf-8")
        said = refused("score", tmp_path / "m", tmp_path / "n.csv")
        assert "instead, which is there in other characters that look the same; name them as at the fit" in said
