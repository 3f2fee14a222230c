"""``tollad evaluate``: measures on labelled rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COLUMNS, done, refused_in, write_csv

from tollad import TollDetector, metrics
from tollad.io.rows import with_names


def test_evaluate_measures_what_the_detector_says(fitted: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    run = (
        "evaluate",
        fitted / "m.tollad",
        fitted / "data.csv",
        "--label",
        "kind",
        "--normal",
        "good",
        "--normal",
        "fine",
    )
    model = TollDetector.load(fitted / "m.tollad")
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
        "rows_skipped": 0,
    }
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    lines = done(*run).stdout.splitlines()
    assert lines[0] == f"AUROC {result['auroc']:.3f}"
    assert lines[1] == f"average precision {result['average_precision']:.3f}"
    assert lines[2].startswith(f"F1 {result['f1']:.3f} at the threshold {-model.offset_:.4g}: ")
    assert (
        lines[3] == f"false-alarm rate {result['false_alarm_rate']:.3f}: {result['n_false_alarms']} of 60 normal rows"
    )


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (
            ["ok", "ok", "ok"],
            "every row is normal, so there is nothing to compare; the labels are 'ok', and 'ok' means",
        ),
        (["bad", "bad", "worse"], "every row is an anomaly"),
        (["ok", "", "bad"], "x.csv, line 3, column 'kind': the label is missing"),
    ],
)
def test_evaluate_needs_both_kinds_and_all_labels(fitted: Path, tmp_path: Path, kinds: list[str], words: str) -> None:
    path = write_csv(tmp_path / "x.csv", {"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 2, 3], "kind": kinds})
    run = ("evaluate", fitted / "m.tollad", path, "--label", "kind", "--normal", "ok", "--plot", tmp_path / "p.png")
    assert f"{path}" in (message := refused_in(tmp_path, *run))
    assert words in message


WARNING = "Warning: .*more than half of the normal rows have exactly the score of a training row"


def test_rows_that_were_trained_on_are_warned_of(fitted: Path, tmp_path: Path, data: np.ndarray[Any, Any]) -> None:
    run = ("--label", "kind", "--normal", "good", "--normal", "fine")
    assert re.search(WARNING, done("evaluate", fitted / "m.tollad", fitted / "data.csv", *run).stderr)
    kinds = ["good", "bad"] * 40
    write_csv(tmp_path / "new.csv", dict(zip(COLUMNS, (data + 0.01).T.tolist(), strict=True)) | {"kind": kinds})
    assert not re.search(WARNING, done("evaluate", fitted / "m.tollad", tmp_path / "new.csv", *run).stderr)
