"""The record of the file of a fit: a typed part of a model file, apart from the notes of the user."""

from __future__ import annotations

import numpy as np
import pytest
from commands import done

from tollad import SeriesDetector, TollDetector
from tollad.io.source import Source, notes_and_source

RECORD = Source(
    "d.csv", 9, 8, False, "kind", ("good",), ("id",), {"size": [4, 5], "grey": True}, ("a",), {"separator": ";"}
)


def test_there_and_back():
    assert Source.from_json(RECORD.to_json()) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1},
        {"header": "yes"},
        {"n_read": -1},
        {"n_used": 1.5},
        {"normal": [None]},
        {"images": {"size": [0, 5], "grey": False}},
        {"images": {"size": None, "grey": 1}},
        {"other": 1},
    ],
)
def test_a_record_that_is_none_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        Source.from_json(RECORD.to_json() | change)


def test_notes_of_version_1():
    mine = {"rows": "sensor 7", "series": "x"}
    assert notes_and_source({"notes": mine}) == (mine, None)
    kept = {"source": "d.csv", "n_read": 9, "n_used": 8, "header": False, "label": None, "normal": [], "drop": ["id"]}
    assert notes_and_source({"notes": kept}) == ({}, Source("d.csv", 9, 8, False, drop=("id",)))


def test_notes_never_change_what_the_commands_do(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(tmp_path / "d.csv", rows, delimiter=",", header="a,b,c", comments="")
    done("fit", tmp_path / "d.csv", "-o", tmp_path / "m", "--steps", 5, "--network", "mlp", "--hidden", 4)
    plain = done("score", tmp_path / "m", tmp_path / "d.csv").stdout
    notes = {"series": "x", "header": False, "images": 3, "drop": ["a"], "label": "b", "dialect": 4, "n_read": "?"}
    detector = TollDetector.load(tmp_path / "m")
    detector.save(tmp_path / "noted", notes=notes)
    assert done("score", tmp_path / "noted", tmp_path / "d.csv").stdout == plain
    assert "60 of 60" in done("info", tmp_path / "noted").stdout
    again = TollDetector.load(tmp_path / "noted")
    assert (again.notes_, again.source_) == (notes, detector.source_)


def test_notes_of_a_series_never_change_what_the_commands_do(tmp_path):
    steps = np.sin(np.arange(400) / 5) + 0.1 * np.random.default_rng(0).normal(size=400)
    np.savetxt(tmp_path / "s.csv", steps[:, None], header="v", comments="")
    done("fit", tmp_path / "s.csv", "-o", tmp_path / "m", "--window", 16, "--steps", 5)
    plain = done("score", tmp_path / "m", tmp_path / "s.csv").stdout
    SeriesDetector.load(tmp_path / "m").save(tmp_path / "noted", notes={"header": False, "series": {"window": 3}})
    assert done("score", tmp_path / "noted", tmp_path / "s.csv").stdout == plain
