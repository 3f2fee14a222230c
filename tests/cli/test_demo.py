"""The demonstration finds the malignant rows and writes what it says."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_breast_cancer

from tollad import TollDetector, metrics
from tollad.cli import demonstration as demo
from tollad.cli.main import main
from tollad.io.rows import with_names

# The default detector is measured by the benchmarks; here a small one shows that the demonstration is right.
SMALL = partial(TollDetector, network="mlp", hidden=(16,), n_members=1, corruption=None, steps=60)


@pytest.fixture(autouse=True)
def small_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TollDetector", SMALL)


def test_what_it_says_is_what_it_wrote(tmp_path: Path) -> None:
    result = demo.run(tmp_path / "new" / "folder")
    with open(result.scores, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers, scores = np.array([int(row["row"]) for row in rows]), np.array([float(row["score"]) for row in rows])
    labels = np.array([int(row["diagnosis"] == "malignant") for row in rows])
    alarms = np.array([row["verdict"] == "anomaly" for row in rows])

    table = load_breast_cancer()
    names = [*map(str, table.feature_names), "diagnosis"]
    whole = Path(result.table).read_text("utf-8").splitlines()
    assert whole[0].split(",") == names
    *values, diagnosis = whole[20].split(",")
    assert (diagnosis, [*map(float, values)]) == ("benign", table.data[19].tolist())
    assert (labels == (table.target[numbers - 1] == 0)).all()
    assert (result.n_trained, result.n_normal, result.n_anomalies) == (178, 179, 212)
    assert len(set(numbers)) == len(rows) == 391
    model = TollDetector.load(result.model)
    assert (model.anomaly_score(with_names(table.data[numbers - 1], names[:-1])) == scores).all()
    assert (alarms == (scores > result.threshold)).all()
    assert result.auroc == metrics.auroc(labels, scores) > 0.9
    assert result.average_precision == metrics.average_precision(labels, scores)
    assert result.false_alarm_rate == alarms[labels == 0].mean()
    order = np.argsort(-scores)[:5]
    truth = ["malignant" if labels[i] else "benign" for i in order]
    assert result.most_anomalous == list(zip(numbers[order].tolist(), scores[order].tolist(), truth, strict=True))
    assert result.picture is not None
    assert Path(result.picture).read_bytes().startswith(b"\x89PNG")
    files = (result.table, result.model, result.scores, result.picture)
    assert sorted(map(str, Path(result.model).parent.iterdir())) == sorted(files)


def test_the_command_prints_it_and_can_be_repeated(tmp_path: Path) -> None:
    first = CliRunner().invoke(main, ["demo", "--out", str(tmp_path)])
    again = CliRunner().invoke(main, ["demo", "--out", str(tmp_path), "--json"])
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    result = json.loads(again.stdout)
    assert "step 60/60  loss" in first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith(f"AUROC {result['auroc']:.3f} ")
    assert lines[1] == f"average precision {result['average_precision']:.3f}"
    assert lines[2].startswith(f"false-alarm rate {result['false_alarm_rate']:.3f} ")
    for line, (row, score, truth) in zip(lines[4:9], result["most_anomalous"], strict=True):
        assert line.split() == ["row", str(row), "score", f"{score:.4g}", truth]
    assert lines[9:] == [f"{kind:<8} {result[kind]}" for kind in ("table", "model", "scores", "picture")]


def test_without_matplotlib_it_says_how_to_get_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "pip install 'tollad[plot]'" in result.stdout
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".csv", ".tollad"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot write to {tmp_path / 'file'}: it is a file; give the name of a folder\n"
