"""Many series in one file or several files, gaps, rows that are left out, and a state that survives."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COMMAND, done, refused, rows_of, tollad

from tollad import SeriesDetector

SMALL = ("--hidden", "8", "--latent-dim", "4", "--n-members", "2", "--steps", "12", "--quiet", "--time", "t")
MACHINES = ("m0", "m1")


def wave(n: int, seed: int = 0, odd: slice | None = None) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    if odd is not None:
        steps[odd, 1] += 3
    return steps


def lines_of(n: int, seed: int = 0, machines: tuple[str, ...] = MACHINES, odd: slice | None = None) -> list[str]:
    """Return a row a time step and machine; they take turns."""
    waves = [wave(n, seed + number, odd if number == 1 else None).tolist() for number in range(len(machines))]
    return [
        f"{t},{name},{one[t][0]!r},{one[t][1]!r}\n" for t in range(n) for name, one in zip(machines, waves, strict=True)
    ]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("t,machine,a,b\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write(folder / "train.csv", lines_of(300))
    write(folder / "new.csv", lines_of(120, seed=5, odd=slice(80, 90)))
    for name, options in (("m", ()), ("causal", ("--causal",)), ("each", ("--per-group",))):
        fit(folder / "train.csv", folder / name, "--group", "machine", *options)
    return folder


def fit(data: Path, model: Path, *options: object) -> Any:
    return done("fit", data, "-o", model, "--window", 16, *SMALL, *options)


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m", "causal"])
def test_rows_come_back_in_the_order_of_the_file_and_each_machine_is_scored_alone(
    home: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollad.io.sources.TableSource.block_rows", 7, raising=False)
    rows = rows_of(done("score", home / name, home / "new.csv").stdout)
    assert [int(row["row"]) for row in rows] == list(range(1, 241))
    for number, machine in enumerate(MACHINES):
        alone = write(tmp_path / "alone.csv", lines_of(120, seed=5, odd=slice(80, 90))[number::2])
        expected = rows_of(done("score", home / name, alone).stdout)
        assert [row["score"] for row in rows[number::2]] == [row["score"] for row in expected], machine
        assert [row["verdict"] for row in rows[number::2]] == [row["verdict"] for row in expected]


def test_the_command_fits_what_python_fits(home: Path) -> None:
    from tollad.io.sources import open_table, read_table

    table = read_table(open_table(home / "train.csv")).table
    frame = {name: table[name].to_pylist() for name in ("t", "machine", "a", "b")}
    import pyarrow as pa

    typed = pa.table(
        {"machine": frame["machine"]} | {name: [float(v) for v in frame[name]] for name in ("t", "a", "b")}
    )
    detector = SeriesDetector(
        window=16, time="t", hidden=(8,), latent_dim=4, n_members=2, steps=12, random_state=0
    ).fit(typed, group="machine")
    loaded = SeriesDetector.load(home / "m")
    assert detector.threshold_ == loaded.threshold_
    assert loaded.model_.groups == ["m0", "m1"]
    assert "2 groups: machine" in done("info", home / "m").stdout


def test_events_say_whose_they_are(home: Path, tmp_path: Path) -> None:
    # A network of a few units sees so little that long windows would say alone where the alarm is.
    done("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--group", "machine", "--time", "t")
    done("score", tmp_path / "m", home / "new.csv", "--events", tmp_path / "e.csv", "-o", tmp_path / "s.csv")
    with open(tmp_path / "e.csv", newline="", encoding="utf-8") as file:
        top = max(csv.DictReader(file), key=lambda event: float(event["score"]))
    assert (top["group"], top["channel"]) == ("m1", "b")
    # Long windows let an alarm begin before what is odd, but its peak lies within.
    assert 70 <= float(top["begin"]) <= float(top["peak"]) <= float(top["end"]) <= 95
    assert float(top["peak"]) >= 75


def test_evaluate_and_calibrate_take_groups(home: Path, tmp_path: Path) -> None:
    lines = [line.replace("\n", ",odd\n" if 160 <= row < 180 and row % 2 else ",fine\n") for row, line in
             enumerate(lines_of(120, seed=5, odd=slice(80, 90)))]  # fmt: skip
    labelled = tmp_path / "l.csv"
    labelled.write_text("t,machine,a,b,label\n" + "".join(lines))
    said = done("evaluate", home / "m", labelled, "--label", "label", "--normal", "fine").stdout
    assert float(said.split()[1]) > 0.9
    done("calibrate", home / "m", write(tmp_path / "f.csv", lines_of(200, seed=9)), "-o", tmp_path / "m2")
    assert len(SeriesDetector.load(tmp_path / "m2").calibration_scores_) == 400


def test_an_event_is_one_of_a_machine_though_rows_take_turns(home: Path, tmp_path: Path) -> None:
    lines = [line.replace("\n", ",odd\n" if 160 <= row < 180 and row % 2 else ",fine\n") for row, line in
             enumerate(lines_of(120, seed=5, odd=slice(80, 90)))]  # fmt: skip
    labelled = tmp_path / "l.csv"
    labelled.write_text("t,machine,a,b,label\n" + "".join(lines))
    said = done("evaluate", home / "m", labelled, "--label", "label", "--normal", "fine", "--json").stdout
    assert json.loads(said)["events"]["n_events"] == 1


def test_each_machine_may_have_a_model_of_its_own(home: Path, tmp_path: Path) -> None:
    model, state = tmp_path / "each", tmp_path / "state"
    said = fit(home / "train.csv", model, "--group", "machine", "--per-group", "--causal").stdout
    assert "2 groups: machine, 2 with a model and a threshold each, beside that of all" in said
    assert "2 with a model and a threshold each" in done("info", model).stdout
    whole = rows_of(done("score", model, home / "new.csv").stdout)
    for number, machine in enumerate(MACHINES):
        alone = SeriesDetector.load(model)
        alone.model_ = alone.model_.own[machine]
        alone.save(tmp_path / machine)
        data = write(tmp_path / "alone.csv", lines_of(120, seed=5, odd=slice(80, 90))[number::2])
        expected = rows_of(done("score", tmp_path / machine, data).stdout)
        assert [row["score"] for row in whole[number::2]] == [row["score"] for row in expected]
    lines, found = lines_of(120, seed=5, odd=slice(80, 90)), []
    for part in (lines[:101], lines[101:]):
        given = ("t,machine,a,b\n" + "".join(part)).encode()
        found += rows_of(done("score", model, "-", "--state", state, given=given).stdout)
    assert [row["score"] for row in found] == [row["score"] for row in whole]
    assert "is the state of another model" in refused("score", home / "causal", home / "new.csv", "--state", state)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("fit", "train.csv", "-o", "x", "--window", 16, "--per-group"), "--per-group needs --group"),
        (("score", "each", "new.csv", "--fdr", 0.1), "--fdr needs the p-values of one model"),
        (
            ("evaluate", "each", "new.csv", "--label", "a", "--normal", 1, "--plot", "p.png"),
            "--plot draws one threshold",
        ),
        (("export", "each", "-o", "g.onnx"), "a model for each group is more than one graph"),
    ],
)
def test_what_models_of_machines_do_not_do_is_said(
    home: Path, command: tuple[object, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert words in tollad(*command).stderr


@pytest.mark.slow
def test_interleaved_groups_in_a_stream_are_answered_row_by_row(home: Path) -> None:
    lines = (home / "new.csv").read_text().splitlines(keepends=True)
    command = [*COMMAND, "score", str(home / "causal"), "-", "--causal"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines[0] + lines[1])
        assert process.stdout.readline() == "row,t,score,verdict\n"
        for number, line in enumerate(lines[2:42]):
            assert process.stdout.readline().startswith(f"{number + 1},{number // 2},")
            process.stdin.write(line)
        process.stdin.close()


def test_a_new_group_is_told_of_and_judged(home: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "d.csv", lines_of(60, seed=5, machines=("m0", "m9", "m8")))
    result = done("score", home / "m", data)
    assert "line 3, column 'machine': 'm9' is no group of the fit, which had 'm0', 'm1'; it is judged" in result.stderr
    assert len(rows_of(result.stdout)) == 180


def test_several_files_are_series_of_their_own(home: Path, tmp_path: Path) -> None:
    one, other = (write(tmp_path / f"{name}.csv", lines_of(200, seed=seed, machines=("m",)))
                  for seed, name in enumerate("ab"))  # fmt: skip
    done("fit", one, other, "-o", tmp_path / "m", "--window", 16, *SMALL, "--drop", "machine")
    model = SeriesDetector.load(tmp_path / "m").model_
    assert len(model.detector.training_scores_) == 2 * (200 - 15)
    assert model.source.name == "a.csv, b.csv"
    assert "several files are for series" in tollad("fit", one, other, "-o", tmp_path / "m2").stderr
    (tmp_path / "c.csv").write_text("t,machine,c\n" + "".join(f"{t},m,{t % 3}\n" for t in range(50)))
    said = refused("fit", one, tmp_path / "c.csv", "-o", tmp_path / "m2", "--window", 16, *SMALL, "--drop", "machine")
    assert "c.csv: has the columns 'c', and " in said
    assert "a.csv has 'a', 'b'; give files with the same columns" in said


# --- gaps and rows left out -------------------------------------------------------------------------------------------


def test_interpolated_steps_are_no_rows_that_were_used(tmp_path: Path) -> None:
    lines = lines_of(300, machines=("m0",))
    data = write(
        tmp_path / "d.csv", [*lines[:100], *lines[103:155], "154.3" + lines[155].removeprefix("155"), *lines[155:]]
    )
    result = fit(data, tmp_path / "m", "--drop", "machine", "--gaps", "interpolate", "--json")
    assert "1 time step comes after less than half of the usual time, and stays as it is" in result.stderr
    known = json.loads(result.stdout)
    assert known["rows_used"] == known["rows_read"] == 298


def test_a_missing_row_is_interpolated_and_counted(home: Path, tmp_path: Path) -> None:
    lines = lines_of(120, seed=5)
    fit(home / "train.csv", tmp_path / "m", "--group", "machine", "--gaps", "interpolate")
    data = write(
        tmp_path / "d.csv", [*lines[:100], lines[100].rpartition(",")[0] + ",\n", *lines[101:120], *lines[123:]]
    )
    result = done("score", tmp_path / "m", data)
    assert "3 time steps are missing in 2 gaps; 1 value is missing; 4 steps were interpolated" in result.stderr
    rows = rows_of(result.stdout)
    assert len(rows) == 237
    assert all(row["score"] for row in rows)


def test_an_endless_gap_is_no_endless_series(home: Path, tmp_path: Path) -> None:
    fit(home / "train.csv", tmp_path / "m", "--group", "machine", "--gaps", "interpolate", "--causal")
    lines = lines_of(120, seed=5)
    far = [line.replace(f"{t},", f"{10**15 + t},", 1) for line in lines[120:] for t in [int(line.partition(",")[0])]]
    start = time.perf_counter()
    result = done("score", tmp_path / "m", write(tmp_path / "d.csv", [*lines[:120], *far]))
    assert time.perf_counter() - start < 30
    assert "in 2 gaps; 0 steps were interpolated, and the series was cut at 2 places" in result.stderr
    rows = rows_of(result.stdout)
    assert [row["score"] for row in rows[120:150]] == [""] * 30
    assert all(row["score"] for row in rows[150:])


def test_rows_out_of_order_are_left_out_and_listed(home: Path, tmp_path: Path) -> None:
    lines = lines_of(300)
    bad = [*lines[:50], lines[50], lines[50], lines[20], "x,m0,1,2\n", "t,machine,a,b\n", "51,m0\n", *lines[51:]]
    data = write(tmp_path / "bad.csv", bad)
    said = done("fit", data, "-o", tmp_path / "m", "--window", 16, *SMALL, "--group", "machine", "--on-error", "skip")
    assert "5 rows could not be read" in said.stderr
    with open(tmp_path / "m.skipped.csv", newline="", encoding="utf-8") as file:
        listed = sorted((int(row["line"]), row["reason"]) for row in csv.DictReader(file))
    assert [line for line, _ in listed] == [53, 54, 55, 56, 57]
    assert "the time stamp occurred before" in listed[0][1]
    assert "comes before that of an earlier row" in listed[1][1]
    assert SeriesDetector.load(tmp_path / "m").threshold_ == SeriesDetector.load(home / "m").threshold_
    for source, given in ((data, None), ("-", data.read_bytes())):
        for name in ("m", "causal"):
            listed = tmp_path / f"{name}{given is None}"
            found = done("score", home / name, source, "--on-error", "skip", "--skipped", listed, given=given)
            rows = rows_of(found.stdout)
            assert [int(row["row"]) for row in rows] == [*range(1, 52), *range(57, 606)]
            clean = rows_of(done("score", home / name, home / "train.csv").stdout)
            assert [row["score"] for row in rows] == [row["score"] for row in clean]


# --- a state ----------------------------------------------------------------------------------------------------------


def test_a_state_holds_every_group(home: Path, tmp_path: Path) -> None:
    lines, state = lines_of(120, seed=5, odd=slice(80, 90)), tmp_path / "state"
    whole = rows_of(done("score", home / "causal", home / "new.csv").stdout)
    found = []
    for first, stop in ((0, 3), (3, 101), (101, 102), (60, 240)):
        given = ("t,machine,a,b\n" + "".join(lines[first:stop])).encode()
        found += rows_of(done("score", home / "causal", "-", "--state", state, given=given).stdout)
    for name in ("t", "score", "verdict"):
        assert [row[name] for row in found] == [row[name] for row in whole]


@pytest.mark.slow
def test_no_step_is_lost_or_doubled_when_killed_between_two_rows(home: Path, tmp_path: Path) -> None:
    data, state = home / "new.csv", tmp_path / "state"
    lines = data.read_text().splitlines(keepends=True)
    whole = rows_of(done("score", home / "causal", data).stdout)
    command = [*COMMAND, "score", str(home / "causal"), "-", "--state", str(state)]
    answers: list[str] = []

    def age() -> float:
        """Seconds since the state was written; none before there is one newer than the last kill."""
        written = state.stat().st_mtime_ns if state.exists() else 0
        return (time.time_ns() - written) / 1e9 if written > begun else 0.0

    for stop in (41, 42, 90):
        begun = time.time_ns()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("".join(lines[:stop]))
            process.stdin.flush()
            process.stdout.readline()
            while len(answers) < stop - 1:
                answers.append(process.stdout.readline())
            deadline = time.monotonic() + 20
            while age() < 0.5:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.kill()
    last = rows_of(done("score", home / "causal", "-", "--state", state, given=data.read_bytes()).stdout)
    scores = [line.split(",")[1:3] for line in answers] + [[row["t"], row["score"]] for row in last]
    assert scores == [[row["t"], row["score"]] for row in whole]


# --- what can be wrong ------------------------------------------------------------------------------------------------


def test_an_unknown_group_column_is_refused(home: Path, tmp_path: Path) -> None:
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--group", "machin", *SMALL)
    assert "has no column 'machin'; did you mean 'machine'?" in said
    data = tmp_path / "d.csv"
    data.write_text("t,a,b\n" + "1,2,3\n" * 30)
    assert "lacks columns that the model was fitted on: 'machine'" in refused("score", home / "m", data)


def test_a_window_longer_than_each_group_is_refused(home: Path, tmp_path: Path) -> None:
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 400, "--group", "machine", *SMALL)
    assert "train.csv: has no more than 300 normal time steps in a row, fewer than a window of 400" in said


def test_all_of_a_channel_missing_is_refused(home: Path, tmp_path: Path) -> None:
    empty = write(tmp_path / "d.csv", [line.rpartition(",")[0] + ",\n" for line in lines_of(60)])
    fit(home / "train.csv", tmp_path / "m", "--group", "machine", "--gaps", "split")
    words = "d.csv, column 'b': every value is missing"
    assert words in refused("fit", empty, "-o", tmp_path / "m2", "--window", 16, *SMALL, "--group", "machine", "--gaps",
                            "split")  # fmt: skip
    assert words in refused("score", tmp_path / "m", empty, "-o", tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("options", [("--group", "machine"), ("--gaps", "split"), ("--on-error", "skip")])
def test_options_of_series_need_a_window(home: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    result = tollad("fit", home / "train.csv", "-o", tmp_path / "m", *options)
    assert result.exit_code == 2
    assert f"{options[0]} is for series; give --window, too" in result.stderr


def test_a_picture_shows_one_series(home: Path, tmp_path: Path) -> None:
    result = tollad("score", home / "m", home / "new.csv", "--plot", tmp_path / "p.png")
    assert result.exit_code == 2
    assert "--plot draws one series, and MODEL tells several apart" in result.stderr
