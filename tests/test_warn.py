"""Where warnings point, and what is told to nobody."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from tollad import TollDetector
from tollad.warn import tell, warn


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


class Full(io.StringIO):
    def flush(self):
        raise OSError("no space")


@pytest.mark.parametrize("stream", [None, Full()])
def test_nothing_is_told_where_nothing_can_be_written(monkeypatch, capsys, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    tell("step 1")
    assert capsys.readouterr().out == ""


def test_a_stream_that_was_closed_is_told_nothing(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    tell("step 1")
