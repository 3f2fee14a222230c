"""Python objects, and true and false, in place of numbers: the same answer from arrays, frames and files."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import SMALL, done, refused

from tollad import TollDetector
from tollad.tables.encode import encode
from tollad.tables.fit_features import fit_features
from tollad.tables.objects import numbers_of, with_objects
from tollad.tables.schema import Column
from tollad.tables.survey import fit_columns
from tollad.tables.values import unreadable

ROWS = np.random.default_rng(0).normal(size=(40, 2))
FLAGS = np.tile([0.0, 1.0], 20)


@pytest.fixture(scope="module")
def fitted() -> TollDetector:
    """A detector of two columns of numbers and one of 0 and 1."""
    rows = np.column_stack([ROWS, FLAGS])
    return TollDetector(network="mlp", hidden=(8,), latent_dim=2, n_members=1, steps=5, random_state=0).fit(rows)


def of_objects(value: object) -> np.ndarray:
    rows = ROWS.astype(object)
    rows[3, 1] = value
    return rows


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "row 3, column 'x2': True stands among other numbers than 0 and 1"),
        (np.bool_(False), "row 3, column 'x2': False stands among"),
        ("old", "row 3, column 'x2': could not convert string to float: 'old'; an array holds numbers, and a frame"),
        (10**400, "row 3, column 'x2': int too large"),
        ([1, 2], "row 3, column 'x2': .*sequence"),
    ],
)
def test_a_value_that_is_no_number_is_named_by_its_place(value, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        numbers_of(of_objects(value))


@pytest.mark.parametrize("value", [dt.date(2024, 1, 1), 1j, {"a": 1}])
def test_another_type_is_named_by_its_place(value):
    with pytest.raises(TypeError, match=r"^row 3, column 'age': .*number, not"):
        numbers_of(of_objects(value), ["size", "age"])


@pytest.mark.parametrize(("value", "number"), [(Decimal("1.5"), 1.5), (None, np.nan), (pd.NA, np.nan), ("2", 2.0)])
def test_objects_that_are_numbers(value, number):
    np.testing.assert_equal(numbers_of(of_objects(value))[3, 1], number)


@pytest.mark.parametrize("rows", [[[1.5, True], [2.5, 0]], ((1, 2), (True, np.bool_(True)))])
def test_truth_values_in_lists_are_seen(rows):
    """NumPy alone would make them numbers in silence."""
    assert with_objects(rows).dtype == object


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_true_is_no_number_like_those_of_the_fit(fitted):
    row = pd.DataFrame([[0.5, 1.0, 1.0]], columns=["x1", "x2", "x3"])
    for strange in (
        [[0.5, True, 1.0]],
        np.array([[0.5, True, 1.0]], dtype=object),
        np.array([[True, False, True]]),
    ):
        with pytest.raises(ValueError, match=r"row 0, column 'x.': True is no number like those of the fit"):
            fitted.anomaly_score(strange)
    for strange in (row.assign(x2=True), row.astype({"x2": object}).assign(x2="true"), {"x1": 1, "x2": True, "x3": 1}):
        with pytest.raises(ValueError, match=r"row 0, column 'x2': 'true' is not a number"):
            fitted.anomaly_score(strange)
    score = fitted.anomaly_score(row.to_numpy())
    for fits in ([[0.5, 1.0, True]], row.assign(x3=True), row.astype({"x3": object}).assign(x3="TRUE")):
        assert fitted.anomaly_score(fits) == score


def test_rows_given_as_a_list_of_series():
    frame = pd.DataFrame({"size": ROWS[:, 0], "city": ["Bonn", "Oslo"] * 20})
    detector = TollDetector(network="mlp", hidden=(8,), latent_dim=2, n_members=1, steps=5, random_state=0).fit(frame)
    np.testing.assert_array_equal(
        detector.anomaly_score([frame.iloc[1], frame.iloc[2]]), detector.anomaly_score(frame.iloc[1:3])
    )


@pytest.mark.parametrize(
    ("values", "may"),
    [
        ([0.0, 1.0, 1.0], True),
        ([1.0, 1.0, 1.0], True),
        ([0.0, 0.0, 0.0], True),
        ([0.0, 1.0, np.nan], True),
        ([0.0, 0.5, 1.0], False),
        ([2.0, 2.0, 2.0], False),
        ([0.0, 1.0, 2.0], False),
    ],
)
@pytest.mark.filterwarnings("ignore:these columns are constant")
def test_the_constants_tell_whether_a_column_held_only_0_and_1(values, may):
    assert fit_features(np.array(values)[:, None], "standard", ["a"]).truths.tolist() == [may]
    assert fit_columns(pa.table({"a": values}))[0].truths is may


def test_channels_of_0_and_1_are_told_from_other_numbers():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 2, (40, 8)), rng.normal(size=(40, 8)), np.zeros((40, 8)), np.full((40, 8), 3)], 1)
    with pytest.warns(UserWarning, match="constant"):
        features = fit_features(rows.astype(float), "standard", [])
    assert features.truths.tolist() == [True, False, True, False]


def test_columns_that_were_not_standardised_do_not_tell():
    assert fit_features(ROWS, None, ["a", "b"]).truths.all()


@pytest.mark.parametrize("values", [pa.array(["1", "True", "2"]), pa.array([None, True, False])])
def test_true_in_a_column_of_numbers_is_found_among_others(values):
    learnt = Column("a", "number", truths=False)
    assert next(iter(unreadable(pa.table({"a": values}), [learnt]))) == 1


def test_a_file_to_be_scored(tmp_path):
    lines = [f"{a},{b},{int(c)}" for (a, b), c in zip(ROWS, FLAGS, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,flag", *lines]) + "\n")
    done("fit", tmp_path / "t.csv", "-o", tmp_path / "m.tollad", *SMALL, "--steps", "5", "--quiet")
    (tmp_path / "flag.csv").write_text("a,b,flag\n1,2,true\n")
    done("score", tmp_path / "m.tollad", tmp_path / "flag.csv")
    (tmp_path / "number.csv").write_text("a,b,flag\n1,2,1\n1,True,0\n")
    said = refused("score", tmp_path / "m.tollad", tmp_path / "number.csv")
    assert "number.csv, line 3, column 'b': 'True' is not a number like 1234.5" in said
    (tmp_path / "number.jsonl").write_text(json.dumps({"a": 1, "b": False, "flag": True}) + "\n")
    assert "number.jsonl, line 1, column 'b': 'false' is not" in refused(
        "score", tmp_path / "m.tollad", tmp_path / "number.jsonl"
    )


def test_a_list_with_texts_names_the_first():
    rows = [[float(k), "ok"] for k in range(5)]
    with pytest.raises(ValueError, match="row 0, column 'x2': could not convert string to float: 'ok'; an array holds"):
        TollDetector().fit(rows)


@pytest.mark.parametrize("value", [1, 0, 1.0])
def test_numbers_are_no_levels_of_true_and_false(value):
    column = fit_columns(pa.table({"x": pa.array([True, False, True]).cast(pa.string()).dictionary_encode()}))[0]
    with pytest.raises(ValueError, match="but the column is a category of texts"):
        encode(pa.table({"x": [value, None]}), [column])
    assert encode(pa.table({"x": [True, None]}), [column])[0].tolist() == [1, 0, 0]
