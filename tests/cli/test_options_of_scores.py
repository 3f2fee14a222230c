"""Options of score, evaluate and calibrate: device, threshold, JSON, several columns beside the scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import done, refused, rows_of, tollad

from tollad import TollDetector

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
