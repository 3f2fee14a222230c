"""Labels: which values mean normal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tollad.io.labels import matches


def test_matches_compares_numbers_as_numbers():
    values = ["1", "1.0", " 1e0 ", "+1", "01", "10", "1_0", "yes", "Yes", "TRUE", "nan", None]
    assert np.flatnonzero(matches(values, ["1"])).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(matches(values, ["yes", "true", "10.0"])).tolist() == [5, 7, 9]
    assert not matches(["12345678901234567890"], ["12345678901234567891"]).any()
    assert matches([], ["1"]).shape == (0,)


@given(values=st.lists(st.none() | st.text(max_size=5)), wanted=st.lists(st.text(max_size=5)))
def test_matches_takes_any_text(values, wanted):
    hits = matches(values, wanted)
    assert all(hit or value not in wanted for hit, value in zip(hits, values, strict=True))
