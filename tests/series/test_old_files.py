"""Models of series of released versions, which every later version must load and score as before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import done, rows_of

from tollad import SeriesDetector

# The network is one of convolutions, which run in single precision: its last bits differ between processors.
RTOL = 1e-6
FILES = sorted((Path(__file__).parent / "files").glob("series-*.tollad"))


def test_there_is_a_file() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scores_and_alarms_are_those_of_the_version_that_wrote_it(path: Path, tmp_path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    detector, new = SeriesDetector.load(path), np.array(expected["steps"])
    alarms = np.array(expected["verdicts"]) == "anomaly"
    np.testing.assert_allclose(detector.anomaly_score(new), expected["scores"], rtol=RTOL)
    np.testing.assert_array_equal(detector.predict(new) == -1, alarms)
    data = tmp_path / "new.csv"
    np.savetxt(data, np.column_stack([np.arange(len(new)), new]), "%.4f", ",", header="t,a,b", comments="")
    rows = rows_of(done("score", path, data).stdout)
    assert [row["verdict"] for row in rows] == expected["verdicts"]
    assert "windows of 16 steps" in done("info", path).stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_model_is_saved_as_a_new_one(path: Path, tmp_path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    SeriesDetector.load(path).save(tmp_path / "m.tollad")
    detector = SeriesDetector.load(tmp_path / "m.tollad")
    np.testing.assert_allclose(detector.anomaly_score(expected["steps"]), expected["scores"], rtol=RTOL)
    np.testing.assert_array_equal(
        detector.predict(expected["steps"]) == -1, np.array(expected["verdicts"]) == "anomaly"
    )
