"""``--on-error skip`` of ``tollad score`` and ``evaluate``, and streams that are torn or left."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import COMMAND, done, tollad
from pyarrow import parquet

from tollad.io import records as textfile

QUICK = ("--network", "mlp", "--hidden", "8", "--latent-dim", "2", "--n-members", "1", "--corruption", "none",
         "--steps", "30", "--quiet")  # fmt: skip


def same_scores(some: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    """Up to the rounding of products, which depends on how many rows come together."""
    np.testing.assert_allclose(*([float(row["score"]) for row in rows] for rows in (some, others)), rtol=1e-9)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def good() -> list[str]:
    """Lines of 300 rows of three numbers, without that of the names."""
    return [",".join(map(repr, row)) for row in np.random.default_rng(0).normal(size=(300, 3)).round(6).tolist()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, good: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "good.csv").write_text("\n".join(["a,b,c", *good]) + "\n")
    done("fit", folder / "good.csv", "-o", folder / "m.tollad", *QUICK)
    done("score", folder / "m.tollad", folder / "good.csv", "-o", folder / "scores.csv")
    return folder


# What stands in a line, and what is said of it.
BAD = {
    b"1,2": "expected 3 values, found 2",
    b"1,2,3,4": "expected 3 values, found 4",
    b"1,oops,3": "column 'b': 'oops' is not a number like 1234.5, but the column is one of numbers",
    b"1;2;3": "expected 3 values, found 1",
    b"1,2,1e999": "column 'c': the value is infinite",
    b"1,\xff\xfe,3": "is no UTF-8 text",
    b"1,\0\0,3": "is no UTF-8 text",
}


def soiled(good: list[str], every: int = 20) -> tuple[bytes, list[int], list[bytes]]:
    """Return a file with a bad line after each `every` good ones, the rows that are bad, and what stands in them."""
    lines, rows, texts = [], [], []
    for number, line in enumerate(good):
        if number % every == every - 1:
            texts.append(list(BAD)[len(texts) % len(BAD)])
            rows.append(len(lines) + 1)
            lines.append(texts[-1])
        lines.append(line.encode())
    return b"\n".join([b"a,b,c", *lines]) + b"\n", rows, texts


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("chunk_bytes", [50, 1000, 1 << 22])
def test_bad_rows_are_left_out_and_listed(home, good, tmp_path, monkeypatch, chunk_bytes, zipped):
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", chunk_bytes)
    content, rows, texts = soiled(good)
    data = tmp_path / "data.csv"
    data.write_bytes(gzip.compress(content) if zipped else content)
    result = done("score", home / "m.tollad", data, "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert result.stderr == f"Warning: {len(rows)} rows could not be read; see {tmp_path / 's.skipped.csv'}\n"
    listed = sorted(read(tmp_path / "s.skipped.csv"), key=lambda row: int(row["row"]))
    assert [int(row["row"]) for row in listed] == rows
    assert [int(row["line"]) for row in listed] == [row + 1 for row in rows]
    assert [row["reason"] for row in listed] == [BAD[text] for text in texts]
    assert [row["text"] for row in listed] == [text.decode(errors="backslashreplace") for text in texts]
    scored, clean = read(tmp_path / "s.csv"), read(home / "scores.csv")
    same_scores(scored, clean)
    assert {int(row["row"]) for row in scored} | {*rows} == set(range(1, len(good) + len(rows) + 1))


def test_the_first_bad_row_is_an_error_by_default(home, good, tmp_path):
    (tmp_path / "data.csv").write_bytes(soiled(good[:50])[0])
    result = tollad("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv")
    assert result.exit_code == 1
    assert f"{tmp_path / 'data.csv'}, line 21: expected 3 values, found 2; correct the line" in result.stderr
    assert not (tmp_path / "s.csv").exists()


def test_what_is_good_gives_an_empty_list(home, tmp_path):
    result = done("score", home / "m.tollad", home / "good.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert result.stderr == ""
    assert (tmp_path / "s.skipped.csv").read_text() == "row,line,reason,text\n"
    assert (tmp_path / "s.csv").read_text() == (home / "scores.csv").read_text()


def test_quotes_that_never_close_cost_one_row(home, good, tmp_path):
    lines = [*good[:100], '1,2,"3', *good[100:]]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,c", *lines]))
    done("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    (listed,) = read(tmp_path / "s.skipped.csv")
    assert listed == {"row": "101", "line": "102", "reason": "opens quotes that never close", "text": '1,2,"3'}
    assert len(read(tmp_path / "s.csv")) == 300


def test_quotes_that_close_on_another_line_are_one_row(home, good, tmp_path):
    (tmp_path / "data.csv").write_text("\n".join(["a,b,c", *good[:2], '1,2,"', '3",4', *good[2:]]))
    done("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    (listed,) = read(tmp_path / "s.skipped.csv")
    assert listed == {"row": "3", "line": "4", "reason": "expected 3 values, found 4", "text": '1,2,"\n3",4'}
    assert [row["row"] for row in read(tmp_path / "s.csv")][:4] == ["1", "2", "4", "5"]


def test_rows_of_parquet_have_no_line(home, tmp_path):
    columns = {"a": [1.0, 2.0, float("inf"), 4.0], "b": ["1", "x", "3", "4"], "c": [1, 2, 3, 4]}
    parquet.write_table(pa.table(columns), tmp_path / "data.parquet")
    done("score", home / "m.tollad", tmp_path / "data.parquet", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert [row["row"] for row in read(tmp_path / "s.csv")] == ["1", "4"]
    listed = [(row["row"], row["line"], row["text"]) for row in read(tmp_path / "s.skipped.csv")]
    assert listed == [("2", "", "2.0,x,2"), ("3", "", "inf,3,3")]


@pytest.mark.parametrize("options", [["--only-anomalies"], ["--explain", "2"], ["--id", "a"]])
def test_row_numbers_count_what_was_left_out(home, good, tmp_path, options):
    content, rows, _ = soiled(good)
    (tmp_path / "data.csv").write_bytes(content)
    done("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip", *options)
    done("score", home / "m.tollad", home / "good.csv", "-o", tmp_path / "clean.csv", *options)
    scored, clean = read(tmp_path / "s.csv"), read(tmp_path / "clean.csv")
    kept = [row for row in range(1, len(good) + len(rows) + 1) if row not in rows]
    assert [int(row["row"]) for row in scored] == [kept[int(row["row"]) - 1] for row in clean]
    same_scores(scored, clean)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["1,2", "x", "1,2,3,4"], "not one of its rows can be read; leave none out to see why"),
        (["1,b,3", "1,b,3"], "line 2, column 'b': 'b' is not a number"),
        ([], "has column names but no rows"),
        (None, "line 1: is no UTF-8 text"),
    ],
)
def test_a_file_of_bad_rows_is_another_file(home, tmp_path, lines, words):
    text = b"a,\xff,c\n1,2,3\n" if lines is None else "\n".join(["a,b,c", *lines]).encode()
    (tmp_path / "data.csv").write_bytes(text)
    result = tollad("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert result.exit_code == 1
    assert words in result.stderr
    assert os.listdir(tmp_path) == ["data.csv"]


def test_another_encoding_is_named(home, tmp_path):
    (tmp_path / "data.csv").write_bytes("größe,b,c\n1,2,3\n".encode("cp1252"))
    result = tollad("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert (
        "line 1: is no UTF-8 text; save it as UTF-8 text, or name its encoding, as in --encoding cp1252"
        in result.stderr
    )


def test_columns_of_another_table_are_no_bad_rows(home, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    result = tollad("score", home / "m.tollad", tmp_path / "data.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert result.exit_code == 1
    assert "lacks columns that the model was fitted on: 'c'" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--on-error", "skip"], "needs --skipped FILE"), (["--skipped", "x.csv"], "is the list of --on-error skip")],
)
def test_options_that_do_not_go_together(home, options, words):
    result = tollad("score", home / "m.tollad", home / "good.csv", *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_evaluate_leaves_bad_rows_out(home, good, tmp_path):
    """The measures are those of the good rows."""
    labelled = [f"{line},{'good' if number < 200 else 'bad'}" for number, line in enumerate(good)]
    (tmp_path / "good.csv").write_text("\n".join(["a,b,c,kind", *labelled]) + "\n")
    (tmp_path / "bad.csv").write_text(
        "\n".join(["a,b,c,kind", *labelled[:9], "1,oops,3,good", *labelled[9:], "1"]) + "\n"
    )
    known = ("--label", "kind", "--normal", "good", "--json")
    skip = ("--on-error", "skip", "--skipped", tmp_path / "bad.skipped.csv")
    expected = json.loads(done("evaluate", home / "m.tollad", tmp_path / "good.csv", *known).stdout)
    result = done("evaluate", home / "m.tollad", tmp_path / "bad.csv", *known, *skip)
    assert json.loads(result.stdout) == {**expected, "rows_skipped": 2}
    assert "2 rows could not be read" in result.stderr
    assert {row["line"] for row in read(tmp_path / "bad.skipped.csv")} == {"11", "303"}
    refused = tollad("evaluate", home / "m.tollad", tmp_path / "bad.csv", *known[:4], "--on-error", "skip")
    assert (refused.exit_code, "needs --skipped FILE" in refused.stderr) == (2, True)


def test_a_list_is_not_replaced_unasked(home, tmp_path):
    (tmp_path / "s.skipped.csv").write_text("mine")
    result = tollad("score", home / "m.tollad", home / "good.csv", "-o", tmp_path / "s.csv", "--on-error", "skip")
    assert result.exit_code == 1
    assert "s.skipped.csv already exists" in result.stderr
    assert os.listdir(tmp_path) == ["s.skipped.csv"]


# --- streams that end -----------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_named(home, good):
    """The program that wrote into the pipe died within a line."""
    content = "\n".join(["a,b,c", *good[:50]]) + "\n1.5,2"
    result = tollad("score", home / "m.tollad", "-", given=content.encode())
    assert result.exit_code == 1
    assert "standard input, line 52: expected 3 values, found 2; the text ends within this line" in result.stderr


def test_a_torn_last_line_can_be_skipped(home, good, tmp_path):
    content = "\n".join(["a,b,c", *good[:50]]) + "\n1.5,2"
    done(
        "score", home / "m.tollad", "-", "--on-error", "skip", "--skipped", tmp_path / "bad.csv", given=content.encode()
    )
    (listed,) = read(tmp_path / "bad.csv")
    assert listed["reason"] == "expected 3 values, found 2; the text ends within this line"


@pytest.mark.parametrize("other", [("--skipped", "s.csv"), ("--skipped", "./s.csv"), ("--plot", "link.png")])
def test_no_output_is_written_over_another(home, tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    os.symlink("s.csv", "link.png")
    run = ("score", home / "m.tollad", home / "good.csv", "-o", "s.csv", *other, "--on-error", "skip", "--force")
    assert "two outputs would be one file, " in tollad(*run).stderr
    assert os.listdir() == ["link.png"]


def test_a_torn_gzip_stream_is_an_error(home, good):
    torn = gzip.compress("\n".join(["a,b,c", *good]).encode())[:-20]
    result = tollad("score", home / "m.tollad", "-", given=torn)
    assert result.exit_code == 1
    assert "the gzip data are damaged or cut short" in result.stderr


@pytest.mark.slow
def test_two_writers_of_one_output_never_mix(home, good, tmp_path):
    """Both have the whole input before either writes, and one of the two outputs is there, whole."""
    halves = []
    for number, lines in enumerate([good[:100], good[100:]]):
        data = tmp_path / f"data{number}.csv"
        data.write_text("\n".join(["a,b,c", *lines]) + "\n")
        done("score", home / "m.tollad", data, "-o", tmp_path / f"alone{number}.csv")
        halves.append((data, (tmp_path / f"alone{number}.csv").read_bytes()))
    for force in (["--force"], []):
        (tmp_path / "s.csv").unlink(missing_ok=True)
        command = [*COMMAND, "score", str(home / "m.tollad"), "-", "-o", str(tmp_path / "s.csv"), *force]
        writers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in halves
        ]
        for writer, (data, _) in zip(writers, halves, strict=True):
            assert writer.stdin is not None
            writer.stdin.write(data.read_bytes())
            writer.stdin.flush()
        said = [writer.communicate()[1] for writer in writers]
        ended = [writer.returncode for writer in writers]
        assert 0 in ended
        assert all(code == 0 or b"already exists" in text for code, text in zip(ended, said, strict=True))
        assert (tmp_path / "s.csv").read_bytes() in [scores for _, scores in halves]
