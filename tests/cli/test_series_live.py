"""Series as they happen: rows answered one by one, a state between calls, events, and windows of labels."""

from __future__ import annotations

import csv
import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from commands import COMMAND, done, refused, rows_of, tollad

from tollad import SeriesDetector

SMALL = ("--hidden", "8", "--latent-dim", "4", "--n-members", "2", "--steps", "12", "--quiet", "--time", "t")


def wave(n: int, seed: int = 0, odd: slice | None = None) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    if odd is not None:
        steps[odd, 1] += 3
    return steps


def text(steps: np.ndarray[Any, Any], first: int = 0) -> str:
    rows = (f"{first + number},{a!r},{b!r}\n" for number, (a, b) in enumerate(steps.tolist()))
    return "t,a,b\n" + "".join(rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "train.csv").write_text(text(wave(400)))
    (folder / "new.csv").write_text(text(wave(120, seed=1, odd=slice(80, 90))))
    for name, options in (("m", ()), ("causal", ("--causal", "--adapt"))):
        done("fit", folder / "train.csv", "-o", folder / name, "--window", 16, *SMALL, *options)
    return folder


def verdicts(out: str) -> list[tuple[str, ...]]:
    return [(row["t"], row["verdict"]) for row in rows_of(out)]


@pytest.mark.slow
def test_a_stream_is_answered_row_by_row(home: Path) -> None:
    lines = (home / "new.csv").read_text().splitlines(keepends=True)
    command = [*COMMAND, "score", str(home / "causal"), "-", "--causal"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines[0])
        for number, line in enumerate(lines[1:21]):
            process.stdin.write(line)
            process.stdin.flush()
            if number == 0:
                assert process.stdout.readline() == "row,t,score,verdict\n"  # waits for the imports
            start = time.perf_counter()
            answer = process.stdout.readline()
            assert answer.startswith(f"{number + 1},{number}")
            assert time.perf_counter() - start < 20
        process.stdin.close()


def test_a_state_goes_on_where_the_last_call_ended(home: Path, tmp_path: Path) -> None:
    steps, state = wave(120, seed=1, odd=slice(80, 90)), tmp_path / "state"
    whole = rows_of(done("score", home / "causal", home / "new.csv").stdout)
    found: list[dict[str, str]] = []
    for first, stop in ((0, 3), (3, 50), (50, 51), (51, 120)):
        given = text(steps[first:stop], first).encode()
        found += rows_of(done("score", home / "causal", "-", "--causal", "--state", state, given=given).stdout)
    assert [row["t"] for row in found] == [row["t"] for row in whole]
    assert [row["verdict"] for row in found] == [row["verdict"] for row in whole]
    for one, other in zip(found, whole, strict=True):
        assert (one["score"] == other["score"] == "") or float(one["score"]) == pytest.approx(
            float(other["score"]), 1e-5
        )


def test_rows_that_a_state_has_seen_are_not_doubled(home: Path, tmp_path: Path) -> None:
    steps, state = wave(60, seed=1), tmp_path / "state"
    done("score", home / "causal", "-", "--state", state, given=text(steps[:40]).encode())
    found = rows_of(done("score", home / "causal", "-", "--state", state, given=text(steps).encode()).stdout)
    assert [row["t"] for row in found] == [str(t) for t in range(40, 60)]


@pytest.mark.parametrize("again", [False, True], ids=["the rest", "the file again"])
def test_the_hour_that_occurs_twice_is_neither_lost_nor_doubled_by_a_state(
    tmp_path: Path, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone, begin = ZoneInfo("Europe/Berlin"), datetime(2024, 10, 26, 21, tzinfo=UTC)
    stamps = [(begin + timedelta(minutes=10 * row)).astimezone(zone).strftime("%d.%m.%Y %H:%M") for row in range(200)]
    lines = [f"{stamp};{value:.4f}\n".replace(".", ",") for stamp, value in zip(stamps, wave(200)[:, 0], strict=True)]
    lines = [line.replace(",", ".", 2) for line in lines]  # in dates
    (tmp_path / "train.csv").write_text("t;a\n" + "".join(lines))
    options = ("--decimal", ",", "--time-zone", "Europe/Berlin", "--gaps", "fail", "--causal")
    done("fit", tmp_path / "train.csv", "-o", tmp_path / "m", "--window", 16, *SMALL, *options)
    whole = rows_of(done("score", tmp_path / "m", tmp_path / "train.csv").stdout)
    monkeypatch.setattr("tollad.series.reading._CHUNK_BYTES", 24)  # a row at a time
    assert stamps[18] == stamps[24] == "27.10.2024 02:00"
    for cut in (20, 24, 27):
        found = []
        for part in (lines[:cut], lines[:40] if again else lines[cut:40]):
            given = ("t;a\n" + "".join(part)).encode()
            found += rows_of(
                done("score", tmp_path / "m", "-", "--state", tmp_path / f"{cut}.state", given=given).stdout
            )
        assert [(row["t"], row["score"]) for row in found] == [(row["t"], row["score"]) for row in whole[:40]]


def test_update_says_what_the_stream_says(home: Path) -> None:
    detector, steps = SeriesDetector.load(home / "causal"), wave(120, seed=1, odd=slice(80, 90))
    found = [detector.update(step) for step in steps]
    np.testing.assert_allclose([step.scores[0] for step in found], detector.anomaly_score(steps), rtol=1e-5)
    assert [step.alarms[0] for step in found] == (detector.predict(steps) == -1).tolist()


def test_events_are_written_with_reasons(home: Path, tmp_path: Path) -> None:
    done(
        "score", home / "m", home / "new.csv", "--events", tmp_path / "e.csv", "--explain", 2, "-o", tmp_path / "s.csv"
    )
    with open(tmp_path / "e.csv", newline="", encoding="utf-8") as file:
        events = list(csv.DictReader(file))
    top = max(events, key=lambda event: float(event["score"]))
    assert list(top)[:8] == ["event", "begin", "end", "peak", "score", "p_value", "channel", "seen"]
    assert 75 <= float(top["begin"]) <= float(top["peak"]) <= float(top["end"]) <= 95
    assert top["channel"] == "b"
    assert top["reason_1"].startswith("b: ")


def test_evaluate_takes_windows_of_anomalies(home: Path, tmp_path: Path) -> None:
    for windows in ([[80, 89]], {"other.csv": [], "new.csv": [[80, 89]]}):
        (tmp_path / "w.json").write_text(json.dumps(windows))
        said = done("evaluate", home / "m", home / "new.csv", "--windows", tmp_path / "w.json", "--json").stdout
        result = json.loads(said)
        assert (result["n_anomalies"], result["events"]["n_events"], result["events"]["n_hit"]) == (10, 1, 1)
    (tmp_path / "w.json").write_text('{"other.csv": []}')
    assert "says nothing about" in refused("evaluate", home / "m", home / "new.csv", "--windows", tmp_path / "w.json")


# --- what can be wrong ------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_causal_is_no_stream(home: Path, tmp_path: Path) -> None:
    for option in (("--causal",), ("--state", tmp_path / "s")):
        assert "is not causal: it scores a time step only a window later" in refused(
            "score", home / "m", home / "new.csv", *option
        )
    with pytest.raises(ValueError, match="fit with causal=True"):
        SeriesDetector.load(home / "m").update([0.0, 0.0])


def test_a_state_of_another_model_or_a_torn_one_is_refused(home: Path, tmp_path: Path) -> None:
    done("fit", home / "train.csv", "-o", tmp_path / "other", "--window", 17, *SMALL, "--causal")
    done("score", tmp_path / "other", home / "new.csv", "--state", tmp_path / "s")
    call = ("score", home / "causal", home / "new.csv", "--state", tmp_path / "s")
    assert "is the state of another model" in refused(*call)
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:-20])
    said = refused(*call)
    assert str(tmp_path / "s") in said
    assert said.rstrip().endswith("; remove this state to begin anew")
    (tmp_path / "s").write_bytes((home / "m").read_bytes())
    assert "is no state of a series" in refused(*call)


def test_a_clock_that_jumps_back_and_a_second_header_are_refused_with_their_line(home: Path) -> None:
    lines = text(wave(30)).splitlines(keepends=True)
    for place, line, words in ((20, lines[5], "comes before the time stamp"), (20, lines[0], "'t' is not a number")):
        given = "".join([*lines[:place], line, *lines[place:]]).encode()
        result = tollad("score", home / "causal", "-", given=given)
        assert result.exit_code == 1
        assert f"standard input, line {place + 1}, column 't'" in result.stderr
        assert words in result.stderr


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M", "%b %d %Y %H:%M"])
def test_time_stamps_in_other_forms_are_read(tmp_path: Path, form: str) -> None:
    """One form is told by the values; the other is given, and kept with the model."""
    steps = wave(150).tolist()
    stamps = [(datetime(2024, 3, 1) + timedelta(minutes=10 * k)).strftime(form) for k in range(150)]
    lines = ["t,a,b", *(f"{stamp},{a},{b}" for stamp, (a, b) in zip(stamps, steps, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    given = ("--date-format", form) if "%b" in form else ()
    fit = ("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--window", 16, *SMALL, "--steps", 2, "--causal")
    done(*fit, *given)
    assert SeriesDetector.load(tmp_path / "m").model_.clock.usual == pytest.approx(1 / 144)
    plot = tmp_path / "p.png"
    scored = done("score", tmp_path / "m", tmp_path / "t.csv", "--state", tmp_path / "state", "--plot", plot)
    assert [row["t"] for row in rows_of(scored.stdout)] == stamps
    assert plot.stat().st_size
    again = done("score", tmp_path / "m", "-", "--state", tmp_path / "state", given="\n".join(lines[:90]).encode())
    assert again.stdout == ""
    assert "holds no time step after those of the state" in again.stderr


def test_a_stream_of_names_alone_is_refused(home: Path, tmp_path: Path) -> None:
    assert "has no time step; give" in refused("score", home / "causal", "-", given=b"t,a,b\n")
    state = ("--state", tmp_path / "state")
    assert "after those of the state" in done("score", home / "causal", "-", *state, given=b"t,a,b\n").stderr


def test_a_state_that_cannot_be_written_is_refused_before_a_row_is_answered(home: Path, tmp_path: Path) -> None:
    said = refused("score", home / "causal", home / "new.csv", "--state", tmp_path / "no" / "state")
    assert "there is no folder" in said


def test_true_is_no_number_like_those_of_the_fit(home: Path, tmp_path: Path) -> None:
    lines = (home / "new.csv").read_text().splitlines()
    lines[5] = "4,0.5,True"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    words = "t.csv, line 6, column 'b': 'True' is not a number like 1234.5"
    assert words in refused("score", home / "causal", tmp_path / "t.csv")
    assert words in refused("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--window", 16, *SMALL)


def test_a_number_that_stands_for_a_missing_one_is_warned_of_by_its_channel(tmp_path: Path) -> None:
    steps = wave(100)
    steps[[7, 50], 1] = -999
    (tmp_path / "t.csv").write_text(text(steps))
    said = done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--window", 16, *SMALL, "--steps", 2).stderr
    assert said.count("holds -999") == said.count("column 'b' holds -999 in 2 rows") == 1


def test_a_convolution_knows_its_channels_of_true_and_false(tmp_path: Path) -> None:
    steps = np.column_stack([wave(80)[:, 0], np.arange(80) % 2])
    (tmp_path / "t.csv").write_text(text(steps).replace(",1.0\n", ",true\n").replace(",0.0\n", ",false\n"))
    done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--window", 16, *SMALL, "--network", "conv1d", "--steps", 2)
    done("score", tmp_path / "m", tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*lines[:5], "4,true,true", *lines[6:]]) + "\n")
    assert "line 6, column 'a': 'true' is not a number" in refused("score", tmp_path / "m", tmp_path / "t.csv")
