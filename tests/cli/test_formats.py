"""What the commands read: every format gives the same scores, and one sentence says what is wrong."""

from __future__ import annotations

import gzip
import json
import pickle
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COLUMNS, CSV, QUICK, done, refused_in, rows_of, scores_of, text_of
from pyarrow import parquet

from tollad import TollDetector
from tollad.io.rows import with_names

WRITERS: dict[str, Callable[[Path, np.ndarray[Any, Any]], object]] = {
    "x.csv": lambda path, data: path.write_bytes(text_of(data)),
    "x.tsv": lambda path, data: path.write_bytes(text_of(data, "\t")),
    "x.csv.gz": lambda path, data: path.write_bytes(gzip.compress(text_of(data))),
    "x.parquet": lambda path, data: parquet.write_table(with_names(data, COLUMNS), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_gives_the_same_scores_in_every_format(
    fitted: Path, tmp_path: Path, data: np.ndarray[Any, Any], name: str
) -> None:
    WRITERS[name](tmp_path / name, data)
    done("fit", tmp_path / name, "-o", tmp_path / "m", *QUICK)
    done("fit", "-", "-o", tmp_path / "piped", *QUICK, given=text_of(data))
    scores = scores_of(done("score", tmp_path / "m", tmp_path / name).stdout)
    assert scores == scores_of(done("score", tmp_path / "piped", "-", given=text_of(data)).stdout)
    assert scores == TollDetector.load(tmp_path / "m").anomaly_score(with_names(data, COLUMNS)).tolist()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "two.npz"])
def test_arrays_and_text_without_header_number_their_columns(
    tmp_path: Path, data: np.ndarray[Any, Any], name: str
) -> None:
    key = ("--key", "table") if name == "two.npz" else ()
    if name == "x.npy":
        np.save(tmp_path / name, data)
    else:
        np.savez(tmp_path / name, table=data, **({"other": data[0]} if key else {}))
    (tmp_path / "x.csv").write_bytes(text_of(data).partition(b"\n")[2])
    done("fit", tmp_path / name, "-o", tmp_path / "array", *key, *QUICK)
    done("fit", tmp_path / "x.csv", "-o", tmp_path / "text", "--no-header", *QUICK)
    scores = TollDetector.load(tmp_path / "array").anomaly_score(data).tolist()
    assert scores == scores_of(done("score", tmp_path / "array", tmp_path / name, *key).stdout)
    assert scores == scores_of(done("score", tmp_path / "text", tmp_path / "x.csv").stdout)
    # Columns are the same by name whatever file they came from.
    assert scores == scores_of(done("score", tmp_path / "text", tmp_path / name, *key).stdout)
    assert scores == scores_of(done("score", tmp_path / "array", tmp_path / "x.csv", "--no-header").stdout)


def test_a_row_that_was_taken_for_names_is_warned_of(tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    rows = text_of(data).partition(b"\n")[2]
    (tmp_path / "x.csv").write_bytes(rows)
    warning = f"Warning: {tmp_path / 'x.csv'}: the first line, taken for the names of the columns, holds numbers only"
    shown = done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK)
    assert f"{warning}; if it is a row, read the file with --no-header\n" in shown.stderr
    assert warning in done("fit", tmp_path / "x.csv", "-o", tmp_path / "s", "--window", "8", "--steps", "3").stderr
    # Known by then, and there may be tables with such names.
    assert done("score", tmp_path / "m", tmp_path / "x.csv").stderr == ""
    (tmp_path / "y.csv").write_bytes(rows.partition(b"\n")[2])
    message = refused_in(tmp_path, "score", tmp_path / "m", tmp_path / "y.csv")
    assert "lacks columns" in message
    assert message.endswith(" instead; if its first line is a row, read it with --no-header, or fit again\n")


@pytest.mark.parametrize("names", [b"0,1,2", b",0,1,2", b"x1,2,3"])
def test_names_of_pandas_are_no_row(tmp_path: Path, data: np.ndarray[Any, Any], names: bytes) -> None:
    index = b"7," if names.startswith(b",") else b""
    rows = [index + row for row in text_of(data).splitlines()[1:]]
    (tmp_path / "x.csv").write_bytes(b"\n".join([names, *rows]))
    assert "--no-header" not in done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK).stderr


def test_the_last_column_of_text_without_header_can_be_the_label(tmp_path: Path) -> None:
    path = tmp_path / "x.data"
    path.write_text("".join(f"{i},{i * i % 7},{'?' if i == 3 else i % 5},{i % 2}\n" for i in range(20)))
    done("fit", path, "-o", tmp_path / "m", "--no-header", "--label", "-1", "--normal", "0", *QUICK)
    assert TollDetector.load(tmp_path / "m").feature_names_in_.tolist() == ["x1", "x2", "x3"]
    result = done("evaluate", tmp_path / "m", path, "--label", "-1", "--normal", "0.0", "--json")
    assert (json.loads(result.stdout)["n_normal"], json.loads(result.stdout)["n_anomalies"]) == (10, 10)


@pytest.mark.parametrize("shape", [(20, 5, 6), (20, 3, 5, 6)])
def test_images_are_fitted_and_scored(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = (255 * np.random.default_rng(0).random(shape)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    assert f"rray of shape {shape[1:]}" in done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *QUICK).stdout
    written = rows_of(done("score", tmp_path / "m", tmp_path / "x.npy").stdout)
    assert [int(row["row"]) for row in written] == list(range(1, 21))
    assert [float(row["score"]) for row in written] == TollDetector.load(tmp_path / "m").anomaly_score(images).tolist()
    assert str(shape[1:]) in done("info", tmp_path / "m").stdout


BAD_TABLES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty.csv": ("", ("is empty",)),
    "header.csv": ("a,b\n", ("no rows",)),
    "binary.csv": (b"\x93NUMPY\x01\x00v\x00{'descr'", ("looks like an NPY file",)),
    "broken.csv.gz": (gzip.compress(CSV.encode())[:-12], ("gzip data are damaged or cut short",)),
    "ragged.csv": ("a,b\n1,2\n3,4,5\n", ("line 3", "found 3")),
    "twice.csv": ("a,b,a\n1,2,3\n", ("several columns called 'a'",)),
    "missing.csv": ("a,b\n1,\n2,?\n3,NA\n", ("column 'b'", "no value")),
    "infinite.csv": ("a,b\n1,2\n3,inf\n", ("line 3, column 'b'", "infinite")),
    "text.csv": (
        "a,b\n" + "1,2\n" * 999 + "3,red\n",
        ("line 1001, column 'b'", "'red' is not a number", "correct it", "--column b=category", "--column b=drop"),
    ),
    "dates.csv": (
        "a,b\n1,2023-02-28\n1,2023-02-30\n",
        ("line 3, column 'b'", "'2023-02-30' is not a date", "correct it", "--column b=category"),
    ),
    "identifiers.csv": (
        "a,b\n" + "".join(f"{i % 7},r{i}\n" for i in range(20)),
        ("column 'b' holds another text in every row", "--column b=drop", "--column b=category"),
    ),
    "one row.csv": ("a,b\n1,2\n", ("at least 2 rows",)),
    "damaged.parquet": (b"PAR1 and more", ("Parquet",)),
    "pickle.npy": (pickle.dumps([1.0]), ("NPY",)),
    "table.xlsx": (b"PK\x03\x04", ("is no Excel file",)),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused(tmp_path: Path, name: str) -> None:
    content, words = BAD_TABLES[name]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    message = refused_in(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m", *QUICK)
    for word in words:
        assert word in message
    if name not in ("missing.csv", "one row.csv", "identifiers.csv"):  # the detector, which knows no files, finds these
        assert str(tmp_path / name) in message


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, words in (("none.csv", "there is no such file"), ("folder.csv", "is a folder")):
        assert f"{name}: {words}" in refused_in(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m")


def test_arrays_that_are_no_numbers_or_not_named_are_refused(tmp_path: Path) -> None:
    objects = np.array([[1, "a"], [None, 2]], dtype=object)
    np.save(tmp_path / "o.npy", objects)
    np.savez(tmp_path / "o.npz", x=objects)
    np.savez(tmp_path / "two.npz", x=np.ones((3, 2)), y=np.ones(3))
    for name in ("o.npy", "o.npz"):
        assert "Python objects" in refused_in(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m")
    np.savez(tmp_path / "none.npz")
    assert "none.npz: holds no arrays; save one in it" in refused_in(
        tmp_path, "fit", tmp_path / "none.npz", "-o", tmp_path / "m"
    )
    assert "several arrays; choose one, as in --key x, of 'x', 'y'" in refused_in(
        tmp_path, "fit", tmp_path / "two.npz", "-o", tmp_path / "m"
    )


@pytest.mark.parametrize(
    ("form", "option"),
    [
        (lambda k: f"{k % 11},5", "--decimal ','"),
        (lambda k: f"{50000 + k:,}", "--decimal '.'"),
        (lambda k: f"{50 + k} {100 + k}", "--decimal '.'"),
        (lambda k: "#DIV/0!" if k == 7 else f"{k}.5", "--na '#DIV/0!'"),
        (lambda k: "inf" if k == 7 else f"{k}.5", "--na inf"),
        (lambda k: f"{1 + k % 28} May 2024", "--date-format '%d %b %Y'"),
        (lambda k: f"0{1 + k % 9}/0{1 + k % 7}/2024", "--date-format %d/%m/%Y"),
        (lambda k: f"{k} kg", "--column a=category"),
        (lambda k: f"(1.{k})", "--column a=drop"),
    ],
)
def test_what_is_refused_can_be_read_with_the_option_that_is_named(
    tmp_path: Path, form: Callable[[int], str], option: str
) -> None:
    rows = "".join(f"{form(k)};{k % 7}\n" for k in range(60))
    (tmp_path / "d.csv").write_text(f"a;b\n{rows}")
    message = refused_in(tmp_path, "fit", tmp_path / "d.csv", "-o", tmp_path / "m")
    assert message.startswith((f"Error: {tmp_path / 'd.csv'}, ", f"Error: {tmp_path / 'd.csv'}: "))
    assert f" {option}" in message
    done("fit", tmp_path / "d.csv", *shlex.split(option), "-o", tmp_path / "m", "--steps", 2)
    done("score", tmp_path / "m", tmp_path / "d.csv")


def test_a_warning_is_shown_once(tmp_path: Path) -> None:
    """The detector sees again what was seen in the file."""
    (tmp_path / "k.csv").write_text("id,b\n" + "".join(f"{k + 100},{k % 7}\n" for k in range(60)))
    said = done("fit", tmp_path / "k.csv", "-o", tmp_path / "m", "--steps", 2).stderr
    assert said.count("column 'id' is a key by its name") == 1


def test_a_first_line_of_text_that_looks_like_a_row_is_warned_of(tmp_path: Path) -> None:
    rows = [f"{k / 7:.3f},{'xy'[k % 2]},2024-01-{k + 1:02}" for k in range(30)]
    fit = ("fit", tmp_path / "x.csv", "-o", tmp_path / "m", "--force", *QUICK)
    (tmp_path / "x.csv").write_text("\n".join(rows) + "\n")
    assert "looks like the rows below it; if it is one, read the file with --no-header" in done(*fit).stderr
    assert "looks like" not in done(*fit, "--no-header").stderr
    (tmp_path / "x.csv").write_text("\n".join(["2023,y,day", *rows]) + "\n")
    assert "looks like" not in done(*fit).stderr


def test_the_place_of_a_folder_is_no_file_of_rows(fitted: Path, tmp_path: Path) -> None:
    assert "is a folder, which is read as images" in refused_in(tmp_path, "score", fitted / "m.tollad", tmp_path)


@pytest.mark.parametrize(("form", "asked"), [("%d.%m.%Y", "%d.%m.%Y"), ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M")])
def test_dates_in_another_form_than_learnt_are_read_as_the_message_says(tmp_path: Path, form: str, asked: str) -> None:
    days = [datetime(2024, 1, 3 + k % 26, k % 24) for k in range(60)]

    def write(form: str) -> Path:
        path = tmp_path / "t.csv"
        path.write_text("size,seen\n" + "".join(f"{k % 7},{day.strftime(form)}\n" for k, day in enumerate(days)))
        return path

    done("fit", write("%d.%m.%Y %H:%M"), "-o", tmp_path / "m", *QUICK)
    path = write(form)
    said = refused_in(tmp_path, "score", tmp_path / "m", path)
    assert "is not a date like" in said
    assert f"--date-format {shlex.quote(asked)}, or" in said
    done("score", tmp_path / "m", path, "--date-format", asked)
    done("score", tmp_path / "m", write("%Y-%m-%d %H:%M"))
