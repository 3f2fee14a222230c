"""Options of score, evaluate and calibrate: device, threshold, JSON, several columns beside the scores."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import done, refused, rows_of, tollad

from tollad import TollDetector, iter_scores

LABEL = {"score": (), "evaluate": ("--label", "kind", "--normal", "fine")}
QUICK = ("--steps", "5", "--n-members", "1", "--quiet")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200), "id": range(200), "who": "x"})
    frame["kind"] = np.where(np.arange(200) % 10, "fine", "odd")
    frame.to_csv(folder / "rows.csv", index=False)
    left_out = ("--drop", "id", "--drop", "who", "--label", "kind", "--normal", "fine")
    done("fit", folder / "rows.csv", "-o", folder / "m", "--false-alarm-rate", "0.1", *left_out, *QUICK)
    return folder


def test_thresholds_without_fitting_again(home):
    rows = rows_of(done("score", home / "m", home / "rows.csv").stdout)
    scores = np.array([float(row["score"]) for row in rows])
    middle = float(np.median(scores))
    moved = rows_of(done("score", home / "m", home / "rows.csv", "--threshold", middle).stdout)
    assert [row["verdict"] == "anomaly" for row in moved] == (scores > middle).tolist()
    model = TollDetector.load(home / "m")
    for option, value in (("contamination", 0.3), ("false_alarm_rate", 0.25)):
        model.set_threshold(**{option: value})
        flag = f"--{option.replace('_', '-')}"
        moved = rows_of(done("score", home / "m", home / "rows.csv", flag, value).stdout)
        assert [row["verdict"] == "anomaly" for row in moved] == (scores > -model.offset_).tolist()
        run = ("evaluate", home / "m", home / "rows.csv", "--label", "kind", "--normal", "fine", "--json", flag, value)
        assert json.loads(done(*run).stdout)["threshold"] == -model.offset_
    both = tollad("score", home / "m", home / "rows.csv", "--threshold", 1, "--contamination", 0.1)
    assert both.exit_code == 2
    assert "exclude each other" in both.stderr


@pytest.mark.parametrize(
    ("command", "option", "value", "words"),
    [
        ("score", "--contamination", "auto", "'auto' is no share of rows; give a number such as 0.05."),
        ("evaluate", "--contamination", "5%", "'5%' is no share of rows; give a number such as 0.05."),
        ("calibrate", "--false-alarm-rate", "2 per day", "such as 0.05; only fit takes a rate by time."),
        ("fit", "--contamination", "10%", "'10%' is no share of rows; give a number such as 0.05."),
    ],
)
def test_a_share_that_is_no_number_is_refused_with_one_that_is(home, command, option, value, words):
    said = tollad(command, home / "m", home / "rows.csv", option, value, *LABEL.get(command, ("-o", home / "n")))
    assert said.exit_code == 2
    assert said.stderr.rstrip().endswith(words)


def test_a_rate_of_a_model_without_calibration_rows_is_refused_with_the_options_that_give_some(home, tmp_path):
    done("fit", home / "rows.csv", "-o", tmp_path / "m", "--drop", "id", "--drop", "who", "--drop", "kind", *QUICK)
    said = refused("score", tmp_path / "m", home / "rows.csv", "--false-alarm-rate", 0.1)
    assert "not trained on: fit with --false-alarm-rate, or give the model some by tollad calibrate" in said


def test_a_summary_as_json(home, tmp_path):
    run = ("score", home / "m", home / "rows.csv", "--json")
    summary = json.loads(done(*run, "-o", tmp_path / "s.csv").stdout)
    rows = rows_of((tmp_path / "s.csv").read_text())
    anomalies = sum(row["verdict"] == "anomaly" for row in rows)
    assert (summary["rows_written"], summary["anomalies"], summary["rows_skipped"]) == (200, anomalies, 0)
    assert "--json needs -o OUT" in tollad(*run).stderr


def test_several_columns_beside_the_scores(home):
    rows = rows_of(done("score", home / "m", home / "rows.csv", "--id", "id", "--id", "a", "--id", "-1").stdout)
    assert list(rows[0]) == ["row", "id", "a", "kind", "score", "verdict"]
    assert [row["id"] for row in rows] == [str(k) for k in range(200)]
    assert "no column 'who is'" in refused("score", home / "m", home / "rows.csv", "--id", "id", "--id", "who is")


def test_devices(home, tmp_path):
    rows = done("score", home / "m", home / "rows.csv", "--device", "cpu").stdout
    assert rows == done("score", home / "m", home / "rows.csv").stdout
    assert "unknown device 'abacus'" in refused("score", home / "m", home / "rows.csv", "--device", "abacus")
    if torch.cuda.is_available():
        pytest.skip("the machine has the device that is to be missing")
    model = TollDetector.load(home / "m")
    model.device = "abacus"
    model.save(tmp_path / "m")
    assert "unknown device 'abacus'" in refused("score", tmp_path / "m", home / "rows.csv")
    model.device = "cuda"
    model.save(tmp_path / "m")
    result = done("score", tmp_path / "m", home / "rows.csv")
    assert result.stdout == rows
    assert result.stderr == (
        f"Warning: {tmp_path / 'm'}: was fitted on cuda, which is not on this machine; it runs on the CPU\n"
    )


@pytest.mark.parametrize("command", ["score", "evaluate", "calibrate"])
def test_columns_that_the_fit_never_saw_are_left_out_as_the_message_says(home, tmp_path, command):
    frame = pd.read_csv(home / "rows.csv").assign(**{"it's": 1, "b c": 2})
    frame.loc[:, ["a", "b"]] += 1e-3
    frame.to_csv(tmp_path / "new.csv", index=False)
    options = {
        "score": ("-o", tmp_path / "s.csv"),
        "evaluate": ("--label", "kind", "--normal", "fine"),
        "calibrate": ("--label", "kind", "--normal", "fine", "-o", tmp_path / "m2"),
    }[command]
    run = (command, home / "m", tmp_path / "new.csv", *options)
    said = refused(*run)
    advice = said[said.index("--drop") :].partition(", or")[0]
    assert shlex.split(advice) == ["--drop", "it's", "--drop", "b c"]
    done(*run, *shlex.split(advice))
    run = (*run, "--force") if command != "evaluate" else run
    assert ("--id" in said) == (command == "score")
    needed = refused(*run, "--drop", "a")
    assert "was fitted on 'a', so this cannot be left out" in needed
    assert "has no column 'nothing'" in refused(*run, "--drop", "nothing")


def test_a_file_that_is_scored_in_python_may_have_more_columns(home, tmp_path):
    pd.read_csv(home / "rows.csv").assign(more=1).to_csv(tmp_path / "new.csv", index=False)
    model = TollDetector.load(home / "m")
    with pytest.raises(ValueError, match=r"leave them out with drop=\['more'\], or fit again"):
        list(iter_scores(model, tmp_path / "new.csv"))
    found = np.concatenate([*iter_scores(model, tmp_path / "new.csv", drop=["more"])])
    assert np.array_equal(found, np.concatenate([*iter_scores(model, home / "rows.csv")]))


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_a_small_rate_is_extrapolated_as_the_message_says(home, tmp_path, command):
    few = refused(command, home / "m", home / "rows.csv", "--false-alarm-rate", 0.001, *LABEL[command])
    assert few.endswith("; calibrate on more rows or ask for a rate of 0.027 or more\n")
    rng = np.random.default_rng(1)
    pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)}).to_csv(tmp_path / "normal.csv", index=False)
    done("calibrate", home / "m", tmp_path / "normal.csv", "-o", tmp_path / "m")
    run = [command, tmp_path / "m", home / "rows.csv", "--false-alarm-rate", 0.001, *LABEL[command]]
    assert "extrapolate: calibrate with --tail" in refused(*run)
    done(*run, "--tail")
    without = tollad(command, *run[1:3], *run[5:], "--tail")
    assert without.exit_code == 2
    assert "--tail is of --false-alarm-rate" in without.stderr
