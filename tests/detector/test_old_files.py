"""Model files of released versions, which every later version must load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tollad import TollDetector

FILES = sorted((Path(__file__).parent / "files").glob("model-*.tollad"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scores_are_those_of_the_version_that_wrote_it(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    detector = TollDetector.load(path)
    np.testing.assert_allclose(detector.anomaly_score(expected["rows"]), expected["scores"], rtol=1e-9)
    np.testing.assert_allclose(detector.p_value(expected["rows"]), expected["p_values"])


def test_there_is_a_file() -> None:
    assert FILES
