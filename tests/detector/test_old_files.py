"""Model files of earlier versions and of both formats, which every later version must load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tollad import TollDetector
from tollad.io.source import Source

FILES = sorted((Path(__file__).parent / "files").glob("model-*.tollad"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scores_are_those_of_the_version_that_wrote_it(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    detector = TollDetector.load(path)
    # These were computed in double precision, by earlier versions; layers run in that of the training today.
    np.testing.assert_allclose(detector.anomaly_score(expected["rows"]), expected["scores"], rtol=1e-6)
    np.testing.assert_allclose(detector.p_value(expected["rows"]), expected["p_values"])


def test_there_is_one_of_each_format() -> None:
    assert [path.stem for path in FILES] == ["model-0.1.0", "model-format-2"]


def test_what_the_commands_keep_is_apart_from_the_notes() -> None:
    first, second = map(TollDetector.load, FILES)
    assert (first.notes_, first.source_) == ({"source": "made for the tests"}, None)
    assert second.notes_ == {"series": "x"}
    assert second.source_ == Source("sensors.csv", 70, 60, label="state", normal=("ok",))
