"""The command line: what it reads, writes and prints, and one clear sentence for all that can be wrong."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import commands
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy
import torch
from commands import COMMAND, done, rows_of, tollad
from pyarrow import parquet

from tollad import TollDetector, metrics
from tollad.cli.main import COMMANDS
from tollad.cli.options import DETECTOR_OPTIONS
from tollad.io import files
from tollad.io.outputs import write_tables
from tollad.io.rows import with_names
from tollad.io.sources import open_table

SMALL = ("--network", "mlp", "--hidden", "8", "--latent-dim", "2", "--n-members", "1", "--corruption", "none")
QUICK = (*SMALL, "--steps", "30", "--quiet")
COLUMNS = ("a", "b", "c")


def refused(folder: Path, *arguments: object, given: bytes | None = None) -> str:
    """Return the one line that a command says when it fails, leaving the folder as it was."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said = commands.refused(*arguments, given=given)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return said


def scores_of(text: str) -> list[float]:
    return [float(row["score"]) for row in rows_of(text)]


def write_csv(path: Path, columns: dict[str, Any]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def data() -> np.ndarray[Any, Any]:
    """Sixty normal rows of three columns, and after them twenty anomalies."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(60, 3)), rng.normal(6, size=(20, 3))]).round(6)


@pytest.fixture(scope="module")
def columns(data: np.ndarray[Any, Any]) -> dict[str, list[Any]]:
    kind = ["fine"] * 40 + ["good"] * 20 + ["broken"] * 20
    identifier = [f'row "{i}", größe' for i in range(80)]
    return {"id": identifier, **{name: data[:, j].tolist() for j, name in enumerate(COLUMNS)}, "kind": kind}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[Any]]) -> Path:
    """A folder with labelled data, a model of its normal rows, and a model of small images."""
    folder = tmp_path_factory.mktemp("home")
    train = write_csv(folder / "data.csv", columns)
    done("fit", train, "-o", folder / "m.tollad", "--label", "kind", "--normal", "fine", "--normal", "good",
         "--drop", "id", *QUICK)  # fmt: skip
    np.save(folder / "images.npy", np.random.default_rng(0).random((20, 5, 6)))
    done("fit", folder / "images.npy", "-o", folder / "images.tollad", *QUICK)
    return folder


# --- the surface ------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_without_loading_anything_heavy() -> None:
    code = (
        "import sys\n"
        "from tollad.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'sklearn', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules)))\n"
    )
    for arguments in ([], ["fit"], ["score"]):
        shown = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True, check=True
        )
        assert shown.stdout.endswith("\n[]\n")
    listed = tollad("--help").stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_options_of_fit_are_the_parameters_of_the_detector() -> None:
    parameters = TollDetector().get_params()
    assert {option.name for option in DETECTOR_OPTIONS} == set(parameters)
    defaults = click.Command("fit", params=list(DETECTOR_OPTIONS)).make_context("fit", []).params
    assert defaults == {**parameters, "random_state": 0, "verbose": True}


@pytest.mark.parametrize(
    ("given", "parameter", "value"),
    [
        ("--beta=0.5", "beta", 0.5),
        ("--latent-dim=16", "latent_dim", 16),
        ("--hidden=256,128", "hidden", (256, 128)),
        ("--hidden=auto", "hidden", "auto"),
        ("--preprocess=none", "preprocess", None),
        ("--corruption=none", "corruption", None),
        ("--early-stopping", "early_stopping", True),
        ("--contamination=0.2", "contamination", 0.2),
        ("--quiet", "verbose", False),
    ],
)
def test_options_become_what_the_detector_takes(given: str, parameter: str, value: object) -> None:
    parsed = click.Command("fit", params=list(DETECTOR_OPTIONS)).make_context("fit", [given]).params
    assert parsed[parameter] == value
    assert type(parsed[parameter]) is type(value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit",),
        ("fit", "data.csv"),
        ("fit", "data.csv", "-o", "m", "--latent-dim", "many"),
        ("fit", "data.csv", "-o", "m", "--hidden", "8,x"),
        ("fit", "data.csv", "-o", "m", "--label", "kind"),
        ("fit", "data.csv", "-o", "m", "--normal", "fine"),
        ("fit", "data.csv", "-o", "m", "--threads", "0"),
        ("fit", "data.csv", "-o", "m", "--threads", "100000"),
        ("evaluate", "m", "data.csv", "--normal", "fine"),
        ("evaluate", "m", "data.csv", "--label", "kind"),
        ("score", "m", "data.csv", "--fdr", "0"),
        ("score", "m", "data.csv", "--fdr", "1"),
        ("score", "m", "data.csv", "--explain", "0"),
        ("calibrate", "m", "data.csv"),
        ("calibrate", "m", "data.csv", "-o", "n", "--label", "kind"),
        ("guess",),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = tollad(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_one_thread_unless_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    done("score", home / "m.tollad", home / "data.csv")
    done("score", home / "m.tollad", home / "data.csv", "--threads", "3")
    assert calls == [1, 3]


def test_kinds_of_columns(home: Path, tmp_path: Path) -> None:
    """A code of digits is a category when the user says so, and scores of the file are those of the model."""
    lines = [f"{i % 3},{i / 60}" for i in range(60)]
    (tmp_path / "codes.csv").write_text("\n".join(["code,size", *lines]))
    done("fit", tmp_path / "codes.csv", "-o", tmp_path / "codes.tollad", "--column", "code=category", "--steps", "3")
    model = TollDetector.load(tmp_path / "codes.tollad")
    assert [column.kind for column in model.columns_] == ["category", "number"]
    assert done("score", tmp_path / "codes.tollad", tmp_path / "codes.csv").stdout.count("\n") == 61


@pytest.mark.parametrize(
    ("kinds", "words"), [(["category"], "zip=category"), (["a=category", "a=number"], "the kind of a column twice")]
)
def test_kinds_that_say_nothing_are_usage_errors(home: Path, tmp_path: Path, kinds: list[str], words: str) -> None:
    result = tollad("fit", home / "data.csv", "-o", tmp_path / "m", *(f"--column={kind}" for kind in kinds))
    assert result.exit_code == 2
    assert words in result.stderr


# --- fit --------------------------------------------------------------------------------------------------------------


def test_fit_is_the_detector_on_the_normal_rows(home: Path, data: np.ndarray[Any, Any]) -> None:
    model = TollDetector.load(home / "m.tollad")
    expected = TollDetector(
        network="mlp", hidden=(8,), latent_dim=2, n_members=1, corruption=None, steps=30, random_state=0
    ).fit(with_names(data[:60], COLUMNS))
    assert model.feature_names_in_.tolist() == list(COLUMNS)
    assert model.offset_ == expected.offset_
    assert (model.training_scores_ == expected.training_scores_).all()
    assert model.notes_ == {
        "source": "data.csv",
        "header": True,
        "label": "kind",
        "normal": ["fine", "good"],
        "drop": ["id"],
        "n_read": 80,
        "n_used": 60,
    }


def test_fit_sums_up_what_it_did(home: Path, tmp_path: Path) -> None:
    arguments = ("fit", home / "data.csv", "--label=-1", "--normal", "good", "--drop", "id", *QUICK)
    text = done(*arguments, "-o", tmp_path / "m").stdout
    result = json.loads(done(*arguments, "-o", tmp_path / "m", "--force", "--json").stdout)
    model = TollDetector.load(tmp_path / "m")
    assert result == {
        "model": str(tmp_path / "m"),
        "rows_read": 80,
        "rows_used": 20,
        "shape": [3],
        "kinds": {},
        "steps": 30,
        "initial_loss": model.history_.initial_loss[0],
        "loss": model.history_.loss[-1][0],
        "threshold": -model.offset_,
    }
    for words in ("20 of 80 (kind is good)", "3: a, b, c", f"{-model.offset_:.4g}", str(tmp_path / "m")):
        assert words in text


def test_progress_goes_to_standard_error_unless_quiet(home: Path, tmp_path: Path) -> None:
    shown = done("fit", home / "images.npy", "-o", tmp_path / "m", *SMALL, "--steps", "30")
    assert "step 30/30  loss" in shown.stderr
    assert "step" not in done("fit", home / "images.npy", "-o", tmp_path / "m", "--force", *QUICK).stderr


def test_a_warning_is_one_line(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", {"a": [1.0, 2.5, 4.0], "b": [7, 7, 7]})
    shown = done("fit", train, "-o", tmp_path / "m", *QUICK).stderr.splitlines()
    assert [line for line in shown if "constant" in line] == [
        "Warning: these columns are constant among the training rows: 'b'; they tell nothing until a row differs "
        "from them"
    ]
    assert all(line.startswith("Warning: ") for line in shown)


# --- what can be read -------------------------------------------------------------------------------------------------


def _text(data: np.ndarray[Any, Any], separator: str = ",") -> bytes:
    lines = [separator.join(COLUMNS), *(separator.join(map(repr, row)) for row in data.tolist())]
    return ("\n".join(lines) + "\n").encode()


WRITERS: dict[str, Callable[[Path, np.ndarray[Any, Any]], object]] = {
    "x.csv": lambda path, data: path.write_bytes(_text(data)),
    "x.tsv": lambda path, data: path.write_bytes(_text(data, "\t")),
    "x.csv.gz": lambda path, data: path.write_bytes(gzip.compress(_text(data))),
    "x.parquet": lambda path, data: parquet.write_table(with_names(data, COLUMNS), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_gives_the_same_scores_in_every_format(
    home: Path, tmp_path: Path, data: np.ndarray[Any, Any], name: str
) -> None:
    WRITERS[name](tmp_path / name, data)
    done("fit", tmp_path / name, "-o", tmp_path / "m", *QUICK)
    done("fit", "-", "-o", tmp_path / "piped", *QUICK, given=_text(data))
    scores = scores_of(done("score", tmp_path / "m", tmp_path / name).stdout)
    assert scores == scores_of(done("score", tmp_path / "piped", "-", given=_text(data)).stdout)
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
    (tmp_path / "x.csv").write_bytes(_text(data).partition(b"\n")[2])
    done("fit", tmp_path / name, "-o", tmp_path / "array", *key, *QUICK)
    done("fit", tmp_path / "x.csv", "-o", tmp_path / "text", "--no-header", *QUICK)
    scores = TollDetector.load(tmp_path / "array").anomaly_score(data).tolist()
    assert scores == scores_of(done("score", tmp_path / "array", tmp_path / name, *key).stdout)
    assert scores == scores_of(done("score", tmp_path / "text", tmp_path / "x.csv").stdout)
    # Columns are the same by name whatever file they came from.
    assert scores == scores_of(done("score", tmp_path / "text", tmp_path / name, *key).stdout)
    assert scores == scores_of(done("score", tmp_path / "array", tmp_path / "x.csv", "--no-header").stdout)


def test_a_row_that_was_taken_for_names_is_warned_of(tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    rows = _text(data).partition(b"\n")[2]
    (tmp_path / "x.csv").write_bytes(rows)
    warning = f"Warning: {tmp_path / 'x.csv'}: the first line, taken for the names of the columns, holds numbers only"
    shown = done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK)
    assert f"{warning}; if it is a row, read the file with --no-header\n" in shown.stderr
    assert warning in done("fit", tmp_path / "x.csv", "-o", tmp_path / "s", "--window", "8", "--steps", "3").stderr
    # Known by then, and there may be tables with such names.
    assert done("score", tmp_path / "m", tmp_path / "x.csv").stderr == ""
    (tmp_path / "y.csv").write_bytes(rows.partition(b"\n")[2])
    message = refused(tmp_path, "score", tmp_path / "m", tmp_path / "y.csv")
    assert "lacks columns" in message
    assert message.endswith(" instead; if its first line is a row, read it with --no-header\n")


@pytest.mark.parametrize("names", [b"0,1,2", b",0,1,2", b"x1,2,3"])
def test_names_of_pandas_are_no_row(tmp_path: Path, data: np.ndarray[Any, Any], names: bytes) -> None:
    index = b"7," if names.startswith(b",") else b""
    rows = [index + row for row in _text(data).splitlines()[1:]]
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


# --- score ------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_detector_row_by_row(
    home: Path, data: np.ndarray[Any, Any], columns: dict[str, list[Any]]
) -> None:
    written = rows_of(done("score", home / "m.tollad", home / "data.csv", "--id", "id").stdout)
    model = TollDetector.load(home / "m.tollad")
    frame = with_names(data, COLUMNS)
    assert list(written[0]) == ["row", "id", "score", "verdict"]
    assert [int(row["row"]) for row in written] == list(range(1, 81))
    assert [row["id"] for row in written] == columns["id"]
    assert [float(row["score"]) for row in written] == model.anomaly_score(frame).tolist()
    verdicts = ["anomaly" if prediction == -1 else "normal" for prediction in model.predict(frame)]
    assert [row["verdict"] for row in written] == verdicts
    assert set(verdicts) == {"anomaly", "normal"}

    chosen = rows_of(done("score", home / "m.tollad", home / "data.csv", "--id", "id", "--only-anomalies").stdout)
    assert chosen == [row for row in written if row["verdict"] == "anomaly"]


@pytest.mark.parametrize("options", [(), ("--id", "id"), ("--only-anomalies", "--id=-1")])
def test_all_outputs_say_the_same(home: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = ("score", home / "m.tollad", home / "data.csv", *options)
    expected = done(*run).stdout
    for name in ("s.csv", "s.jsonl", "s.parquet"):
        shown = done(*run, "-o", tmp_path / name)
        assert shown.output == ""
    assert (tmp_path / "s.csv").read_text("utf-8") == expected
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text("utf-8").splitlines()]
    assert lines == parquet.read_table(tmp_path / "s.parquet").to_pylist()
    assert [{name: str(value) for name, value in line.items()} for line in lines] == rows_of(expected)


def test_no_anomaly_leaves_a_table_without_rows(home: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    model = TollDetector.load(home / "m.tollad")
    calm = data[:60][model.predict(with_names(data[:60], COLUMNS)) == 1]
    (tmp_path / "x.csv").write_bytes(_text(calm))
    run = ("score", home / "m.tollad", tmp_path / "x.csv", "--only-anomalies")
    assert done(*run).stdout == "row,score,verdict\n"
    done(*run, "-o", tmp_path / "s.parquet")
    assert parquet.read_table(tmp_path / "s.parquet").to_pylist() == []


def test_columns_are_found_by_name_and_those_of_fit_that_are_no_features_are_ignored(
    home: Path, tmp_path: Path, columns: dict[str, list[Any]]
) -> None:
    shuffled = write_csv(tmp_path / "x.csv", {name: columns[name] for name in ("c", "kind", "a", "b", "id")})
    expected = done("score", home / "m.tollad", home / "data.csv").stdout
    assert done("score", home / "m.tollad", shuffled).stdout == expected
    few = write_csv(tmp_path / "y.csv", {"my id": columns["id"], **{name: columns[name] for name in COLUMNS}})
    assert scores_of(done("score", home / "m.tollad", few, "--id", "my id").stdout) == scores_of(expected)


@pytest.fixture(scope="module")
def long(home: Path, data: np.ndarray[Any, Any]) -> Path:
    """More rows than a block holds, and in the last one a word."""
    path = home / "long.csv"
    path.write_bytes(_text(np.tile(data, (250, 1))) + b"1,oops,3\n")
    return path


def test_rows_are_written_while_the_input_is_still_being_read(home: Path, long: Path, tmp_path: Path) -> None:
    result = tollad("score", home / "m.tollad", long)
    assert result.exit_code == 1
    assert f"Error: {long}, line 20002, column 'b': 'oops' is not a number" in result.stderr
    written = rows_of(result.stdout)
    assert [int(row["row"]) for row in written] == list(range(1, len(written) + 1))
    assert 10_000 < len(written) < 20_001
    refused(tmp_path, "score", home / "m.tollad", long, "-o", tmp_path / "s.parquet")


def test_nothing_is_lost_when_standard_output_takes_a_few_bytes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:7])

    written = Trickle()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    write_tables(None, [pa.table({"row": [1, 2], "id": ["ä,b", None]})] * 2, overwrite=False)
    assert written.getvalue().decode() == 'row,id\n1,"ä,b"\n2,\n1,"ä,b"\n2,\n'


def test_a_closed_pipe_ends_it_quietly(home: Path, long: Path) -> None:
    command = [*COMMAND, "score", str(home / "m.tollad"), str(long)]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"row,score,verdict\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


# --- columns that are no numbers --------------------------------------------------------------------------------------

PEOPLE = ("--steps", "40", "--n-members", "2", "--quiet")


def people(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, categories, dates, truth values, and codes of digits."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(3),
            "city": rng.choice(["Bonn", "Oslo", "São Paulo, SP"], n),
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
            "member": rng.random(n) < 0.5,
            "code": [f"0{i % 4}" for i in range(n)],
        }
    )
    frame.loc[::9, "age"] = np.nan
    frame.loc[::7, "city"] = None
    return frame


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of people as text, as Parquet, and a model of it."""
    folder = tmp_path_factory.mktemp("town")
    people().to_csv(folder / "people.csv", index=False)
    people().to_parquet(folder / "people.parquet")
    done("fit", folder / "people.csv", "-o", folder / "m.tollad", "--column", "code=category", *PEOPLE)
    return folder


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_a_frame_and_its_file_give_the_same_model_and_scores(town: Path, tmp_path: Path, name: str) -> None:
    detector = TollDetector(columns={"code": "category"}, steps=40, n_members=2, random_state=0).fit(people())
    done("fit", town / name, "-o", tmp_path / "m", "--column", "code=category", *PEOPLE)
    model = TollDetector.load(tmp_path / "m")
    assert model.columns_ == detector.columns_
    assert [column.kind for column in model.columns_] == ["number", "category", "date", "number", "category"]
    assert model.offset_ == detector.offset_
    np.testing.assert_array_equal(model.training_scores_, detector.training_scores_)
    np.testing.assert_array_equal(model.anomaly_score(people()), detector.training_scores_)
    for file in ("people.csv", "people.parquet"):
        scores = scores_of(done("score", tmp_path / "m", town / file).stdout)
        assert scores == detector.anomaly_score(people()).tolist()


def test_what_was_decided_is_said(town: Path, tmp_path: Path) -> None:
    run = ("fit", town / "people.csv", "-o", tmp_path / "m", "--column=-1=category", "--force", *PEOPLE)
    kinds = {"age": "number", "city": "category", "seen": "date", "member": "number", "code": "category"}
    assert json.loads(done(*run, "--json").stdout)["kinds"] == kinds
    for shown in (done(*run).stdout, done("info", tmp_path / "m").stdout):
        assert "5: age, city, seen, member, code; all numbers but\n" in shown
        assert "  city: category, 4 levels one-hot\n" in shown
        assert "  seen: date from 2024-01-" in shown


def test_types_come_from_the_model_and_never_from_a_block(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a block of one row a category may look like a number, and a column may hold nothing."""
    frame = people(30, seed=1).assign(city="7")
    frame.loc[:, "seen"] = pd.NaT
    frame.to_csv(tmp_path / "x.csv", index=False)
    whole = done("score", town / "m.tollad", tmp_path / "x.csv").stdout
    monkeypatch.setattr("tollad.io.inputs.open_table", partial(open_table, block_rows=1))
    assert np.allclose(scores_of(done("score", town / "m.tollad", tmp_path / "x.csv").stdout), scores_of(whole))
    expected = TollDetector.load(town / "m.tollad").anomaly_score(frame)
    np.testing.assert_allclose(scores_of(whole), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("age", "old", "'old' is not a number like 1234.5, but the column is one of numbers; correct it"),
        ("seen", "2024-02-30", "'2024-02-30' is not a date like 2024-12-31"),
        ("member", "maybe", "'maybe' is not a number"),
        ("age", "inf", "the value is infinite"),
    ],
)
def test_values_of_another_kind_are_named_by_line_and_column(
    town: Path, tmp_path: Path, column: str, value: str, words: str
) -> None:
    frame = people().astype(str)
    frame.loc[100, column] = value
    frame.to_csv(tmp_path / "x.csv", index=False)
    message = refused(tmp_path, "score", town / "m.tollad", tmp_path / "x.csv", "-o", tmp_path / "s.csv")
    assert f"x.csv, line 102, column '{column}': {words}" in message
    assert "--drop" not in message


def test_a_column_that_changed_its_type_is_refused(town: Path, tmp_path: Path) -> None:
    people().assign(city=7).to_parquet(tmp_path / "x.parquet")
    message = refused(tmp_path, "score", town / "m.tollad", tmp_path / "x.parquet")
    assert "x.parquet, row 1, column 'city': '7' is int64, but the column is a category of texts" in message


def test_dropped_columns_may_be_there_or_not(town: Path, tmp_path: Path) -> None:
    frame = people().assign(id=[f"p{i}" for i in range(120)])
    frame.to_csv(tmp_path / "x.csv", index=False)
    for option in ("--drop=id", "--column=id=drop"):
        done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", option, "--column=code=category", "--force", *PEOPLE)
        expected = done("score", town / "m.tollad", town / "people.csv").stdout
        assert done("score", tmp_path / "m", tmp_path / "x.csv").stdout == expected
        assert done("score", tmp_path / "m", town / "people.csv").stdout == expected


def test_kinds_are_decided_by_the_rows_that_are_trained_on(tmp_path: Path) -> None:
    """What an anomaly holds is not learnt; and the line of a slip is that of the file."""
    lines = [f"{i % 7},{i % 5},{'bad' if i % 2 else 'ok'}" for i in range(60)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,kind", "broken,1,bad", *lines]))
    fit = ("fit", tmp_path / "x.csv", "-o", tmp_path / "m", "--label", "kind", "--normal", "ok", *QUICK)
    done(*fit)
    assert not hasattr(TollDetector.load(tmp_path / "m"), "columns_")
    lines[30] = "broken,1,ok"
    (tmp_path / "x.csv").write_text("\n".join(["a,b,kind", "broken,1,bad", *lines]))
    assert "x.csv, line 33, column 'a': 'broken' is not a number" in refused(tmp_path, *fit, "--force")


def test_columns_of_an_array_may_be_categories(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([np.arange(60) % 3, np.arange(60) / 60], 1))
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--column", "x1=category", *PEOPLE)
    assert [column.kind for column in TollDetector.load(tmp_path / "m").columns_] == ["category", "number"]
    assert len(scores_of(done("score", tmp_path / "m", tmp_path / "x.npy").stdout)) == 60


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--column=cities=category", "people.csv: has no column 'cities'; did you mean 'city'?"),
        ("--column=-1=date", "people.csv: the kind of a column is given twice, by name and by number; give it once"),
        ("--column=city=text", "column 'city': 'text' is no kind of column; the kinds are 'number', 'category'"),
        ("--column=city=number", "people.csv, line 3, column 'city': 'Oslo' is not a number"),
    ],
)
def test_wrong_kinds_are_refused(town: Path, tmp_path: Path, option: str, words: str) -> None:
    frame = people().assign(city=["Bonn", *["Oslo"] * 119])
    frame.loc[0, "city"] = "1"
    frame.to_csv(tmp_path / "people.csv", index=False)
    code = "--column=code=category"
    assert words in refused(tmp_path, "fit", tmp_path / "people.csv", "-o", tmp_path / "m", code, option)


# --- evaluate and info ------------------------------------------------------------------------------------------------


def test_evaluate_measures_what_the_detector_says(home: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    run = ("evaluate", home / "m.tollad", home / "data.csv", "--label", "kind", "--normal", "good", "--normal", "fine")
    model = TollDetector.load(home / "m.tollad")
    labels, frame = np.repeat([0, 1], [60, 20]), with_names(data, COLUMNS)
    scores, alarms = model.anomaly_score(frame), model.predict(frame) == -1
    result = json.loads(done(*run, "--json", "--plot", tmp_path / "p.png").stdout)
    assert result == {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "f1": metrics.f1(labels, alarms),
        "false_alarm_rate": metrics.false_alarm_rate(labels, alarms),
        "threshold": -model.offset_,
        "n_normal": 60,
        "n_anomalies": 20,
        "n_false_alarms": int(alarms[:60].sum()),
        "n_found": int(alarms[60:].sum()),
    }
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    lines = done(*run).stdout.splitlines()
    assert lines[0] == f"AUROC {result['auroc']:.3f}"
    assert lines[1] == f"average precision {result['average_precision']:.3f}"
    assert lines[2].startswith(f"F1 {result['f1']:.3f} at the threshold {-model.offset_:.4g}: ")
    assert (
        lines[3] == f"false-alarm rate {result['false_alarm_rate']:.3f}: {result['n_false_alarms']} of 60 normal rows"
    )


def test_info_says_what_the_model_is(home: Path) -> None:
    model = TollDetector.load(home / "m.tollad")
    card = json.loads(done("info", home / "m.tollad", "--json").stdout)
    assert card["notes"] == model.notes_
    assert card["feature_names"] == list(COLUMNS)
    assert card["threshold"] == -model.offset_
    assert card["share_above_threshold"] == (model.training_scores_ > -model.offset_).mean() == 0.1
    assert card["history"]["loss"] == model.history_.loss
    assert card["settings"]["steps"] == 30
    assert set(card["versions"]) == {"tollad", "torch", "numpy", "scikit-learn", "python"}
    lines = dict(
        line.split(maxsplit=1) for line in done("info", home / "m.tollad").stdout.splitlines() if line[0] > " "
    )
    assert lines["data"] == "data.csv"
    assert lines["rows"] == "60 of 80 (kind is fine or good)"
    assert lines["columns"] == "3: a, b, c"
    assert lines["left"].split() == ["out", "id"]
    meaning = "10.0% of the training rows score higher, of new normal rows more"
    assert lines["threshold"] == f"{-model.offset_:.4g}; {meaning}"
    assert lines["calibration"] == "none"
    assert (lines["beta"], lines["hidden"], lines["preprocess"]) == ("1.0", "8", "auto")


def test_info_counts_the_rows_that_predict_calls_anomalous(home: Path, tmp_path: Path) -> None:
    """A row exactly at the threshold is none."""
    model = TollDetector.load(home / "m.tollad")
    model.set_threshold(anomaly_score=np.sort(model.training_scores_)[-3]).save(tmp_path / "m")
    assert json.loads(done("info", tmp_path / "m", "--json").stdout)["share_above_threshold"] == 2 / 60


def test_info_knows_models_that_were_not_made_on_the_command_line(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    small = TollDetector(network="mlp", hidden=(4,), n_members=1, corruption=None, steps=100, random_state=0)
    small.fit(rows).save(tmp_path / "m")
    shown = done("info", tmp_path / "m").stdout
    assert "unknown" in shown
    assert "2 without names" in shown
    np.save(tmp_path / "x.npy", rows)
    assert scores_of(done("score", tmp_path / "m", tmp_path / "x.npy").stdout) == small.training_scores_.tolist()


# --- what is wrong with the input -------------------------------------------------------------------------------------

CSV = "a,b\n1,2\n3,4\n5,6\n"
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
    "table.xlsx": (b"PK\x03\x04", ("unknown kind of file",)),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused(tmp_path: Path, name: str) -> None:
    content, words = BAD_TABLES[name]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    message = refused(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m", *QUICK)
    for word in words:
        assert word in message
    if name not in ("missing.csv", "one row.csv", "identifiers.csv"):  # the detector, which knows no files, finds these
        assert str(tmp_path / name) in message


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, words in (("none.csv", "there is no such file"), ("folder.csv", "is a folder")):
        assert f"{name}: {words}" in refused(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m")


def test_arrays_that_are_no_numbers_or_not_named_are_refused(tmp_path: Path) -> None:
    objects = np.array([[1, "a"], [None, 2]], dtype=object)
    np.save(tmp_path / "o.npy", objects)
    np.savez(tmp_path / "o.npz", x=objects)
    np.savez(tmp_path / "two.npz", x=np.ones((3, 2)), y=np.ones(3))
    for name in ("o.npy", "o.npz"):
        assert "Python objects" in refused(tmp_path, "fit", tmp_path / name, "-o", tmp_path / "m")
    np.savez(tmp_path / "none.npz")
    assert "none.npz: holds no arrays; save one in it" in refused(
        tmp_path, "fit", tmp_path / "none.npz", "-o", tmp_path / "m"
    )
    assert "several arrays; choose one by its key: 'x', 'y'" in refused(
        tmp_path, "fit", tmp_path / "two.npz", "-o", tmp_path / "m"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", "sort", "--normal", "fine"), ("no column 'sort'", "'kind'")),
        (
            ("--label", "kind", "--normal", "best", "--drop", "id"),
            ("column 'kind'", "'best'", "'fine', 'good', 'broken'"),
        ),
        (("--drop", "x"), ("no column 'x'",)),
        (("--drop=id", "--drop=a", "--drop=b", "--drop=c", "--drop=kind"), ("no column is left",)),
        (("--key", "x"), ("key 'x'",)),
    ],
)
def test_columns_and_labels_that_are_not_there_are_refused(
    home: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    message = refused(tmp_path, "fit", home / "data.csv", "-o", tmp_path / "m", *options)
    for word in ("data.csv", *words):
        assert word in message


@pytest.mark.parametrize("large", [False, True])
def test_a_label_that_no_row_has_is_warned_of(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr("tollad.tables.large.IN_MEMORY_BYTES", 0 if large else 1 << 30)
    data, normal = home / "data.csv", ("--label", "kind", "--normal", "fine", "--normal", "god", "--normal", "good")
    warning = f"Warning: {data}, column 'kind': no row is labelled 'god'; the labels are 'fine', 'good', 'broken'\n"
    fresh = write_csv(tmp_path / "x.csv", {name: np.arange(9) / 9 for name in COLUMNS} | {"kind": ["fine"] * 9})
    assert warning in done("fit", data, "-o", tmp_path / "m", "--drop", "id", *normal, *QUICK).stderr
    assert done("evaluate", home / "m.tollad", data, *normal).stderr == warning
    missed = done("calibrate", home / "m.tollad", fresh, "-o", tmp_path / "c", *normal).stderr
    assert "no row is labelled 'god', 'good'; the labels are 'fine'" in missed


def test_at_most_ten_labels_are_listed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", {"a": range(30), "b": [f"k{i}" for i in range(30)]})
    message = refused(tmp_path, "fit", path, "-o", tmp_path / "m", "--label", "b", "--normal", "k")
    assert "'k0', 'k1', " in message
    assert "'k9', ...\n" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--beta", "-1"), "beta must be a finite number >= 0"),
        (("--beta", "nan"), "beta must be a finite number >= 0"),
        (("--latent-dim", "0"), "latent_dim must be an integer >= 1"),
        (("--contamination", "0"), "contamination must be a share"),
        (("--contamination", "0.7"), "contamination must be a share"),
        (("--norm", "l3"), "the known ones are 'l1', 'l2', 'linf'"),
        (("--network", "mpl"), "the known ones are auto, "),
        (("--random-state", "-1"), "random_state must be"),
        (("--network", "mlp", "--hidden", "8192,8192", "--n-members", "1000"), "of memory"),
        pytest.param(
            ("--device", "cuda"),
            "device 'cuda' is not on this machine",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_parameters_out_of_range_are_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "x.csv").write_text(CSV)
    assert words in refused(tmp_path, "fit", tmp_path / "x.csv", "-o", tmp_path / "m", *options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", ("lacks columns", "'c'")),
        ("a,b,C\n1,2,3\n", ("lacks columns", "'c' and has 'C' instead")),
        ("a,b,c,d\n1,2,3,4\n", ("not fitted on: 'd'",)),
        ("a,b,c\n1,2,3\n1,two,3\n", ("line 3, column 'b'", "'two' is not a number")),
        ("a,b,c\n1,2,-inf\n", ("line 2, column 'c'", "infinite")),
    ],
)
def test_rows_unlike_those_of_fit_are_refused(home: Path, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "x.csv").write_text(text)
    message = refused(tmp_path, "score", home / "m.tollad", tmp_path / "x.csv", "-o", tmp_path / "s.csv")
    for word in (str(tmp_path / "x.csv"), *words):
        assert word in message


def test_arrays_of_another_shape_are_refused(home: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 5, 7)))
    (tmp_path / "x.csv").write_text(CSV)
    other = refused(tmp_path, "score", home / "images.tollad", tmp_path / "x.npy")
    assert "x.npy: the rows have shape (5, 7), but the model was fitted on (5, 6)" in other
    assert "fitted on (3,)" in refused(tmp_path, "score", home / "m.tollad", tmp_path / "x.npy")
    table = refused(tmp_path, "score", home / "images.tollad", tmp_path / "x.csv")
    assert "x.csv: is a table, but the model was fitted on rows of shape (5, 6)" in table


def test_images_have_no_labels(home: Path, tmp_path: Path) -> None:
    images, labelled = home / "images.npy", ("--label", "-1", "--normal", "0")
    for run in (
        ("fit", images, "-o", tmp_path / "m", *labelled),
        ("fit", images, "-o", tmp_path / "m", "--drop", "x1"),
        ("fit", images, "-o", tmp_path / "m", "--column", "x1=category"),
        ("score", home / "images.tollad", images, "--id", "x1"),
        ("evaluate", home / "images.tollad", images, *labelled),
    ):
        assert "(20, 5, 6), which has no columns; leave out the label" in refused(tmp_path, *run)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["ok", "ok", "ok"], "every row is normal"),
        (["bad", "bad", "worse"], "every row is an anomaly"),
        (["ok", "", "bad"], "x.csv, line 3, column 'kind': the label is missing"),
    ],
)
def test_evaluate_needs_both_kinds_and_all_labels(home: Path, tmp_path: Path, kinds: list[str], words: str) -> None:
    path = write_csv(tmp_path / "x.csv", {"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 2, 3], "kind": kinds})
    run = ("evaluate", home / "m.tollad", path, "--label", "kind", "--normal", "ok", "--plot", tmp_path / "p.png")
    assert f"{path}" in (message := refused(tmp_path, *run))
    assert words in message


def test_an_identifier_cannot_take_the_name_of_an_output(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b,c,score\n1,2,3,4\n")
    message = refused(tmp_path, "score", home / "m.tollad", tmp_path / "x.csv", "--id", "score")
    assert "column 'score' is taken" in message


def _bad_models(model: bytes) -> dict[str, tuple[bytes, str]]:
    altered = bytearray(model)
    altered[-3] ^= 1
    return {
        "truncated": (model[:-100], "is truncated"),
        "altered": (bytes(altered), "was altered"),
        "foreign": (safetensors.numpy.save({"x": np.zeros(3)}), "not one that tollad wrote"),
        "pickled": (pickle.dumps({"x": 1}), "never unpickles"),
        "text": (CSV.encode(), "looks like text"),
        "empty": (b"", "is empty"),
    }


@pytest.mark.parametrize("kind", ["truncated", "altered", "foreign", "pickled", "text", "empty"])
def test_files_that_are_no_models_are_refused(home: Path, tmp_path: Path, kind: str) -> None:
    content, words = _bad_models((home / "m.tollad").read_bytes())[kind]
    (tmp_path / "m.tollad").write_bytes(content)
    for run in (("info", tmp_path / "m.tollad"), ("score", tmp_path / "m.tollad", home / "data.csv")):
        message = refused(tmp_path, *run)
        assert "m.tollad" in message
        assert words in message


# --- what is wrong with the output ------------------------------------------------------------------------------------


def _outputs(home: Path, folder: Path) -> list[tuple[object, ...]]:
    labelled = ("--label", "kind", "--normal", "fine")
    return [
        ("fit", home / "none.csv", "-o", folder / "out.csv"),
        ("score", home / "none.tollad", home / "none.csv", "-o", folder / "out.csv"),
        ("evaluate", home / "none.tollad", home / "none.csv", *labelled, "--plot", folder / "out.png"),
    ]


def test_outputs_that_cannot_be_written_are_refused_before_any_work(home: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.png"):
        (tmp_path / name).write_bytes(b"mine")
    for run in _outputs(home, tmp_path / "nowhere"):
        assert f"there is no folder {tmp_path / 'nowhere'}" in refused(tmp_path, *run)
    for run in _outputs(home, tmp_path):
        assert "already exists; replace it with --force" in refused(tmp_path, *run)
    # With --force the work begins, and fails, since there is nothing to read.
    for run in _outputs(home, tmp_path):
        assert "none." in refused(tmp_path, *run, "--force")


def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work(home: Path, tmp_path: Path) -> None:
    run = ("fit", home / "none.csv", "-o", tmp_path / "m", "--checkpoint", tmp_path / "nowhere" / "c")
    assert f"there is no folder {tmp_path / 'nowhere'}" in refused(tmp_path, *run)


def test_outputs_of_unknown_format_are_refused_before_any_work(home: Path, tmp_path: Path) -> None:
    score = ("score", home / "none.tollad", home / "none.csv", "-o", tmp_path / "s.xlsx")
    assert "s.xlsx: cannot tell the format from the ending; the known ones are .csv, .jsonl" in refused(
        tmp_path, *score
    )
    labelled = ("--label", "kind", "--normal", "fine", "--plot", tmp_path / "p.doc")
    assert "p.doc: cannot tell" in refused(tmp_path, "evaluate", home / "none.tollad", home / "none.csv", *labelled)


def test_force_replaces_outputs(home: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"old")
    done("score", home / "m.tollad", home / "data.csv", "-o", tmp_path / "s.csv", "--force")
    assert len(rows_of((tmp_path / "s.csv").read_text("utf-8"))) == 80


def test_not_even_force_replaces_what_is_read(home: Path, tmp_path: Path) -> None:
    data, model = tmp_path / "d.csv", tmp_path / "m.tollad"
    data.write_bytes((home / "data.csv").read_bytes())
    model.write_bytes((home / "m.tollad").read_bytes())
    labelled = ("--label", "kind", "--normal", "fine")
    for run in (
        ("fit", data, "-o", data),
        ("fit", data, "-o", tmp_path / "new", "--checkpoint", data),
        ("score", model, data, "-o", data),
        ("score", model, data, "-o", model),
        ("score", model, data, "--on-error", "skip", "--skipped", data),
        ("evaluate", model, data, *labelled, "--plot", data),
        ("calibrate", model, data, *labelled, "-o", data),
    ):
        assert ": it is a file that the command reads; give the output another name" in refused(
            tmp_path, *run, "--force"
        )
    done("calibrate", model, data, "--label", "kind", "--normal", "broken", "-o", model, "--force")


def test_a_full_disk_leaves_no_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x.csv").write_text(CSV)
    monkeypatch.setattr(os, "fsync", full)
    for run in (
        ("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK),
        ("score", home / "m.tollad", home / "data.csv", "-o", tmp_path / "s.parquet"),
    ):
        assert "the disk is full" in refused(tmp_path, *run)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [("info", "m.tollad"), ("score", "m.tollad", "data.csv"), ("data", "list"), ("paper", "list"), ("--help",)],
)
def test_standard_output_on_a_full_disk_is_one_sentence(home: Path, arguments: tuple[str, ...]) -> None:
    command = [*COMMAND, *arguments]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=home)
    assert result.returncode == 1
    words = "cannot write to standard output: the disk is full; free some space or write somewhere else"
    assert result.stderr == f"Error: {words}\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("reader", ["left", "full"])
def test_what_is_told_on_the_side_never_ends_the_work(tmp_path: Path, reader: str) -> None:
    """Neither progress nor a warning, of which this table causes one."""
    train = write_csv(tmp_path / "train.csv", {"a": [1.0, 2.5, 4.0], "b": [7, 7, 7]})
    if reader == "left":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open("/dev/full", os.O_WRONLY)
    command = [*COMMAND, "fit", train, "-o", tmp_path / "m", *SMALL, "--steps", "30"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    assert result.returncode == 0
    assert str(tmp_path / "m") in result.stdout
    assert TollDetector.load(tmp_path / "m").n_steps_ == 30


def test_a_checkpoint_is_not_the_model(home: Path, tmp_path: Path) -> None:
    run = ("fit", home / "data.csv", "-o", tmp_path / "m", "--checkpoint", tmp_path / "m")
    assert f"two outputs would be one file, {tmp_path / 'm'}; give each a name of its own" in refused(tmp_path, *run)


@pytest.mark.parametrize("key", ["parameters", "offset", "notes", "history", "n_steps", "columns", "versions"])
@pytest.mark.parametrize("value", [None, "text", ["text"]])
def test_a_model_of_another_make_is_named(home: Path, tmp_path: Path, key: str, value: object) -> None:
    """Its digest is right: another tollad, or another tool, wrote it."""
    metadata, tensors = files.unpack((home / "m.tollad").read_bytes(), name="m.tollad")
    (tmp_path / "m.tollad").write_bytes(files.pack({**metadata, key: value}, tensors))
    for command in (("info",), ("score", home / "data.csv")):
        result = tollad(command[0], tmp_path / "m.tollad", *command[1:])
        assert result.exit_code in (0, 1)
        assert result.exit_code == 0 or "m.tollad: is no model that this tollad knows" in result.stderr


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_the_checkpoint_and_the_same_command_goes_on(
    home: Path, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    run = ["fit", home / "data.csv", "--label=kind", "--normal=fine", "--drop=id", "--threads=1", *SMALL]
    run += ["--steps=500", "-o", tmp_path / "m", "--checkpoint", tmp_path / "state"]
    command = [*COMMAND, *map(str, run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step 50/500")
        process.send_signal(sent)
        shown, printed = process.communicate()
    assert process.returncode == status
    assert shown == ""
    *progress, last = printed.splitlines()
    assert last == f"Interrupted; the same command goes on from {tmp_path / 'state'}"
    assert all(line.startswith("step ") for line in progress)
    assert "step 500/500" not in printed
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]

    resumed = done(*run)
    assert "step 50/500" not in resumed.stderr
    straight = done(*run[:-4], "-o", tmp_path / "straight")
    assert "step 50/500" in straight.stderr
    first, second = (TollDetector.load(tmp_path / name) for name in ("m", "straight"))
    assert first.offset_ == second.offset_
    assert (first.training_scores_ == second.training_scores_).all()


def test_ctrl_c_without_a_checkpoint_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TollDetector, "fit", interrupt)
    monkeypatch.setattr(TollDetector, "anomaly_score", interrupt)
    for run in (
        ("fit", home / "images.npy", "-o", tmp_path / "m"),
        ("score", home / "m.tollad", home / "data.csv", "-o", tmp_path / "s.csv"),
    ):
        result = tollad(*run)
        assert result.exit_code == 130
        assert result.output == "Interrupted\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_sigterm_leaves_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where Ctrl-C is switched off, as in the background of a shell."""

    def terminate(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TollDetector, "anomaly_score", terminate)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = tollad("score", home / "m.tollad", home / "data.csv", "-o", tmp_path / "s.csv")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.output) == (143, "Interrupted\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not list(tmp_path.iterdir())
