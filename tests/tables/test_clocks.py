"""Durations and times of day: numbers in seconds, which are never mixed with numbers of an unknown unit."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import QUICK, done, refused, scores_of

from tollad import TollDetector
from tollad.io import large
from tollad.io.labels import Labelled
from tollad.io.sources import open_table
from tollad.tables.decode import typed, values_of
from tollad.tables.encode import encode
from tollad.tables.schema import Column, describe
from tollad.tables.survey import fit_columns

SECONDS = np.random.default_rng(0).integers(60, 7200, 60)
DURATIONS = pa.array(SECONDS, pa.duration("s"))
TIMES = pa.array(SECONDS.tolist(), pa.time32("s"))
GIVEN = {"durations": DURATIONS, "times of day": TIMES, "": pa.array(SECONDS)}


@pytest.mark.parametrize("learnt", GIVEN)
def test_only_the_same_kind_and_numbers_in_seconds_are_read(learnt):
    columns = fit_columns(pa.table({"x": GIVEN[learnt], "city": ["Oslo", "Bonn"] * 30}))
    assert columns[0].clock == learnt
    assert describe(columns)[0] == f"x: number{f', {learnt} in seconds' if learnt else ''}"
    for given, values in GIVEN.items():
        table = pa.table({"x": values, "city": ["Oslo"] * 60})
        if given in ("", learnt):
            np.testing.assert_array_equal(encode(table, columns)[:, 0], SECONDS)
            again = typed(table, columns)
            np.testing.assert_array_equal(encode(again, columns)[:, 0], SECONDS)
            assert fit_columns(again)[0].clock == given
            assert values_of(table, columns)[:, 0].tolist() == SECONDS.tolist()
        else:
            with pytest.raises(
                ValueError, match=f"row 0, column 'x': the values are {given}, but the column was learn"
            ):
                encode(table, columns)


@pytest.mark.parametrize("kind", [pa.duration, pa.time64])
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_units_of_the_type_do_not_matter(kind, unit):
    values = pa.array(SECONDS * 10 ** {"us": 6, "ns": 9}[unit]).cast(kind(unit))
    (column,) = fit_columns(pa.table({"x": GIVEN[["durations", "times of day"][kind is pa.time64]]}))
    np.testing.assert_array_equal(encode(pa.table({"x": values}), [column])[:, 0], SECONDS)


def test_older_models_read_all_of_them_as_seconds():
    record = Column("x", "number").to_json()
    del record["clock"]
    for values in GIVEN.values():
        np.testing.assert_array_equal(encode(pa.table({"x": values}), [Column.from_json(record)])[:, 0], SECONDS)


def test_plain_numbers_are_no_durations():
    numbers = np.random.default_rng(1).normal(size=(60, 3))
    detector = TollDetector(network="mlp", hidden=(8,), latent_dim=2, n_members=1, steps=5, random_state=0)
    detector.fit(pd.DataFrame(numbers, columns=["x", "y", "z"]))
    frame = pd.DataFrame({"x": pd.to_timedelta(SECONDS, unit="h"), "y": SECONDS, "z": SECONDS})
    with pytest.raises(ValueError, match=r"such as frame\['x'\].dt.total_seconds"):
        detector.anomaly_score(frame)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pd.to_timedelta(SECONDS, unit="s"), " s, expected about "),
        ([dt.time(k % 24, k) for k in range(60)], "11:11:00, "),
    ],
)
def test_reasons_and_files_know_the_unit(tmp_path, monkeypatch, values, shown):
    path, model = tmp_path / "d.parquet", tmp_path / "m.tollad"
    frame = pd.DataFrame({"x": values, "y": SECONDS % 977})
    frame.to_parquet(path)
    done("fit", path, "-o", model, *QUICK)
    said = done("score", model, path, "--explain", "2").stdout
    assert shown in said.splitlines()[12]
    detector = TollDetector.load(model)
    assert detector.anomaly_score(frame).tolist() == scores_of(said)
    pd.DataFrame({"x": SECONDS, "y": SECONDS % 977}).to_parquet(path)
    done("score", model, path)
    done("fit", path, "-o", model, "--force", *QUICK)
    frame.to_parquet(path)
    assert "d.parquet, row 1, column 'x': the values are " in refused("score", model, path)
    monkeypatch.setattr("tollad.tables.large.IN_MEMORY_BYTES", 0)
    rows, *_ = large.large_rows(open_table(path), ["x", "y"], {}, Labelled(str(path), None, ()))
    assert rows.columns[0] == detector.columns_[0]
