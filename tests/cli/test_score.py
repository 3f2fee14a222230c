"""``tollad score``: the scores of the detector row by row, and rows unlike those of fit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import COLUMNS, COMMAND, CSV, done, refused_in, rows_of, scores_of, text_of, tollad, write_csv
from pyarrow import parquet

from tollad import TollDetector
from tollad.io.rows import with_names


def test_scores_are_those_of_the_detector_row_by_row(
    fitted: Path, data: np.ndarray[Any, Any], columns: dict[str, list[Any]]
) -> None:
    written = rows_of(done("score", fitted / "m.tollad", fitted / "data.csv", "--id", "id").stdout)
    model = TollDetector.load(fitted / "m.tollad")
    frame = with_names(data, COLUMNS)
    assert list(written[0]) == ["row", "id", "score", "verdict"]
    assert [int(row["row"]) for row in written] == list(range(1, 81))
    assert [row["id"] for row in written] == columns["id"]
    assert [float(row["score"]) for row in written] == model.anomaly_score(frame).tolist()
    verdicts = ["anomaly" if prediction == -1 else "normal" for prediction in model.predict(frame)]
    assert [row["verdict"] for row in written] == verdicts
    assert set(verdicts) == {"anomaly", "normal"}

    chosen = rows_of(done("score", fitted / "m.tollad", fitted / "data.csv", "--id", "id", "--only-anomalies").stdout)
    assert chosen == [row for row in written if row["verdict"] == "anomaly"]


@pytest.mark.parametrize("options", [(), ("--id", "id"), ("--only-anomalies", "--id=-1")])
def test_all_outputs_say_the_same(fitted: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = ("score", fitted / "m.tollad", fitted / "data.csv", *options)
    expected = done(*run).stdout
    for name in ("s.csv", "s.jsonl", "s.parquet"):
        shown = done(*run, "-o", tmp_path / name)
        assert shown.output == ""
    assert (tmp_path / "s.csv").read_text("utf-8") == expected
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text("utf-8").splitlines()]
    assert lines == parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert [{name: str(value) for name, value in line.items()} for line in lines] == rows_of(expected)


def test_no_anomaly_leaves_a_table_without_rows(fitted: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    model = TollDetector.load(fitted / "m.tollad")
    calm = data[:60][model.predict(with_names(data[:60], COLUMNS)) == 1]
    (tmp_path / "x.csv").write_bytes(text_of(calm))
    run = ("score", fitted / "m.tollad", tmp_path / "x.csv", "--only-anomalies")
    assert done(*run).stdout == "row,score,verdict\n"
    done(*run, "-o", tmp_path / "s.parquet")
    assert parquet.read_table(tmp_path / "s.parquet").to_pylist() == []


def test_columns_are_found_by_name_and_those_of_fit_that_are_no_features_are_ignored(
    fitted: Path, tmp_path: Path, columns: dict[str, list[Any]]
) -> None:
    shuffled = write_csv(tmp_path / "x.csv", {name: columns[name] for name in ("c", "kind", "a", "b", "id")})
    expected = done("score", fitted / "m.tollad", fitted / "data.csv").stdout
    assert done("score", fitted / "m.tollad", shuffled).stdout == expected
    few = write_csv(tmp_path / "y.csv", {"my id": columns["id"], **{name: columns[name] for name in COLUMNS}})
    assert scores_of(done("score", fitted / "m.tollad", few, "--id", "my id").stdout) == scores_of(expected)


@pytest.fixture(scope="module")
def long(fitted: Path, data: np.ndarray[Any, Any]) -> Path:
    """More rows than a block holds, and in the last one a word."""
    path = fitted / "long.csv"
    path.write_bytes(text_of(np.tile(data, (250, 1))) + b"1,oops,3\n")
    return path


def test_rows_are_written_while_the_input_is_still_being_read(fitted: Path, long: Path, tmp_path: Path) -> None:
    result = tollad("score", fitted / "m.tollad", long)
    assert result.exit_code == 1
    assert f"Error: {long}, line 20002, column 'b': 'oops' is not a number" in result.stderr
    written = rows_of(result.stdout)
    assert [int(row["row"]) for row in written] == list(range(1, len(written) + 1))
    assert 10_000 < len(written) < 20_001
    refused_in(tmp_path, "score", fitted / "m.tollad", long, "-o", tmp_path / "s.parquet")


@pytest.mark.slow
def test_a_closed_pipe_ends_it_quietly(fitted: Path, long: Path) -> None:
    command = [*COMMAND, "score", str(fitted / "m.tollad"), str(long)]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"row,score,verdict\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", ("lacks columns", "'c'; add them, or fit again")),
        ("a,b,C\n1,2,3\n", ("lacks columns", "'c' and has 'C' instead; name them as at the fit, or fit again")),
        ("1,2,3\n4,5,6\n", ("lacks columns", "if its first line is a row, read it with --no-header, or fit again")),
        ("a,b,c,d\n1,2,3,4\n", ("not fitted on: 'd'",)),
        ("a,b,c\n1,2,3\n1,two,3\n", ("line 3, column 'b'", "'two' is not a number")),
        ("a,b,c\n1,2,-inf\n", ("line 2, column 'c'", "infinite")),
    ],
)
def test_rows_unlike_those_of_fit_are_refused(fitted: Path, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "x.csv").write_text(text)
    message = refused_in(tmp_path, "score", fitted / "m.tollad", tmp_path / "x.csv", "-o", tmp_path / "s.csv")
    for word in (str(tmp_path / "x.csv"), *words):
        assert word in message


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_names_with_outer_spaces_are_those_of_files_without(tmp_path: Path, name: str) -> None:
    """As pandas reads names from a first line "a, b": readers of files take such spaces away."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", " b", "c "])
    TollDetector(steps=5, random_state=0).fit(frame).save(tmp_path / "m.tollad")
    write = frame.to_csv if name.endswith(".csv") else frame.to_parquet
    for columns in (frame.columns, ["a", "b", "c"]):
        frame.columns = columns
        write(tmp_path / name, index=False)
        scores = scores_of(done("score", tmp_path / "m.tollad", tmp_path / name).stdout)
        frame.columns = ["a", " b", "c "]
        assert scores == TollDetector.load(tmp_path / "m.tollad").anomaly_score(frame).tolist()


def test_arrays_of_another_shape_are_refused(fitted: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 5, 7)))
    (tmp_path / "x.csv").write_text(CSV)
    other = refused_in(tmp_path, "score", fitted / "images.tollad", tmp_path / "x.npy")
    assert "x.npy: the rows have shape (5, 7), but the model was fitted on (5, 6)" in other
    assert "fitted on (3,)" in refused_in(tmp_path, "score", fitted / "m.tollad", tmp_path / "x.npy")
    table = refused_in(tmp_path, "score", fitted / "images.tollad", tmp_path / "x.csv")
    assert "x.csv: is a table, but the model was fitted on rows of shape (5, 6)" in table


def test_images_have_no_labels(fitted: Path, tmp_path: Path) -> None:
    images, labelled = fitted / "images.npy", ("--label", "-1", "--normal", "0")
    for run in (
        ("fit", images, "-o", tmp_path / "m", *labelled),
        ("fit", images, "-o", tmp_path / "m", "--drop", "x1"),
        ("fit", images, "-o", tmp_path / "m", "--column", "x1=category"),
        ("score", fitted / "images.tollad", images, "--id", "x1"),
        ("evaluate", fitted / "images.tollad", images, *labelled),
    ):
        assert "(20, 5, 6), which has no columns; leave out the label" in refused_in(tmp_path, *run)


def test_an_identifier_cannot_take_the_name_of_an_output(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c,score\n1,2,3,4\n")
    message = refused_in(tmp_path, "score", fitted / "m.tollad", tmp_path / "x.csv", "--id", "score")
    assert "column 'score' is taken" in message
