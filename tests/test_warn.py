"""Where warnings point."""

from __future__ import annotations

import numpy as np
import pytest

from tollad import TollDetector
from tollad.warn import warn


def test_points_at_the_caller():
    with pytest.warns(UserWarning, match="mind the gap") as caught:
        warn("mind the gap")
    # This file is no part of the package.
    assert caught[0].filename == __file__


def test_points_at_the_line_of_the_user_from_deep_within():
    rows = np.random.default_rng(0).normal(size=(20, 3))
    rows[:, 1] = 1.0
    with pytest.warns(UserWarning, match="constant") as caught:
        TollDetector(steps=30, random_state=0).fit(rows)
    assert {warning.filename for warning in caught} == {__file__}
