"""A model that is read to score and not to fit: the same answers, and no scikit-learn."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from commands import done
from detectors import FEW_STEPS, KINDS, NAN, make, people, table

from tollad import TollDetector
from tollad.detector.fitted import read_fitted

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

WITHOUT_SKLEARN = """
import sys
for name in ("sklearn", "scipy.stats"):
    sys.modules[name] = None
from tollad.cli.main import main
main()
"""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "own modules"])
def test_its_answers_are_those_of_the_detector(fitted, tmp_path, kind):
    rows, _ = KINDS[kind]
    detector = fitted[kind]
    detector.save(tmp_path / "m")
    read = read_fitted(tmp_path / "m")
    np.testing.assert_array_equal(read.anomaly_score(rows), detector.anomaly_score(rows))
    np.testing.assert_array_equal(read.predict(rows), detector.predict(rows))
    np.testing.assert_array_equal(read.reconstruct(rows), detector.reconstruct(rows))
    np.testing.assert_array_equal(read.explain(rows).parts, detector.explain(rows).parts)


def test_thresholds_move(fitted, tmp_path):
    detector = fitted["table"]
    detector.save(tmp_path / "m")
    read = read_fitted(tmp_path / "m").set_threshold(contamination=0.3)
    assert read.offset_ == TollDetector.load(tmp_path / "m").set_threshold(contamination=0.3).offset_
    read.calibrate(table(n=50, seed=2), false_alarm_rate=0.1)
    assert read.threshold_rule_ == ("false_alarm_rate", 0.1)


def test_own_modules_are_refused(fitted, tmp_path):
    fitted["own modules"].save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"holds weights of modules of your own; pass network="):
        read_fitted(tmp_path / "m")


FRAMES = {
    "numbers": (pd.DataFrame(table(), columns=[*"abcde"]), ()),
    "gaps": (pd.DataFrame(np.where(table() > 1, NAN, table()), columns=[*"abcde"]), ()),
    "truth": (pd.DataFrame({"a": table()[:, 0], "b": table()[:, 1] > 0}), ()),
    "mixed": (people(), ("--explain", "2")),
    "moved": (people(), ("--contamination", "0.2", "--only-anomalies")),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_score_starts_without_scikit_learn(tmp_path, kind):
    frame, options = FRAMES[kind]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    done("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", "--steps", "6", "--hidden", "8", "--quiet")
    here = done("score", tmp_path / "m", tmp_path / "rows.csv", *options).stdout
    assert _scored_without_sklearn(tmp_path / "m", tmp_path / "rows.csv", *options) == here


ARRAYS = {"whole numbers": (10 * table()).astype(np.int64), "truths": table() > 0}


@pytest.mark.parametrize("kind", ["table", "table with gaps", "images", "whole numbers", "truths"])
def test_so_do_arrays(tmp_path, kind):
    rows = ARRAYS[kind] if kind in ARRAYS else KINDS[kind][0]
    make(kind if kind in KINDS else "table", contamination=0.15).fit(rows).save(tmp_path / "m")
    np.save(tmp_path / "rows.npy", rows)
    here = done("score", tmp_path / "m", tmp_path / "rows.npy").stdout
    assert _scored_without_sklearn(tmp_path / "m", tmp_path / "rows.npy") == here


def _scored_without_sklearn(*arguments):
    command = [sys.executable, "-c", WITHOUT_SKLEARN, "score", *map(os.fspath, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
