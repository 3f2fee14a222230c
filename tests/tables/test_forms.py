"""Rows in the forms that Python has them in: the same rows, the same scores."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from tollad import TollDetector, iter_scores

ROWS = np.random.default_rng(0).normal(size=(40, 3)).round(2) * (np.random.default_rng(1).random((40, 3)) < 0.5)
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c"]).assign(k=["x", "y"] * 20)


def fitted(rows) -> TollDetector:
    return TollDetector(steps=3, n_members=1, random_state=0).fit(rows)


@pytest.fixture(scope="module")
def of_frame() -> TollDetector:
    return fitted(FRAME)


def test_one_row(of_frame):
    expected = of_frame.anomaly_score(FRAME[:1])
    series = FRAME.iloc[0]
    for row in (series, series.to_dict(), [series.to_dict()], (series.to_dict(),)):
        np.testing.assert_array_equal(of_frame.anomaly_score(row), expected)


def test_a_list_of_dicts(of_frame):
    records = FRAME.to_dict("records")
    np.testing.assert_array_equal(of_frame.anomaly_score(records), of_frame.anomaly_score(FRAME))
    np.testing.assert_array_equal(fitted(records).anomaly_score(FRAME), of_frame.anomaly_score(FRAME))
    del records[3]["a"]
    missing = FRAME.copy()
    missing.loc[3, "a"] = np.nan
    with pytest.warns(UserWarning, match="column 'a' has missing values"):
        np.testing.assert_array_equal(of_frame.anomaly_score(records), of_frame.anomaly_score(missing))


def test_a_structured_array(of_frame):
    rows = FRAME.to_records(index=False)
    np.testing.assert_array_equal(of_frame.anomaly_score(np.asarray(rows)), of_frame.anomaly_score(FRAME))


def test_a_lazy_frame(of_frame):
    with pytest.raises(TypeError, match=r"lazy frame, which holds none yet; call collect\(\) on it"):
        of_frame.anomaly_score(pl.from_pandas(FRAME).lazy())


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_matrix])
def test_sparse_matrices(form):
    dense = fitted(ROWS)
    expected = dense.anomaly_score(ROWS)
    np.testing.assert_array_equal(dense.anomaly_score(form(ROWS)), expected)
    np.testing.assert_array_equal(fitted(form(ROWS)).anomaly_score(ROWS), expected)
    np.testing.assert_array_equal(np.concatenate([*iter_scores(dense, form(ROWS))]), expected)


def test_sparse_frames(of_frame):
    thin = FRAME.astype({name: pd.SparseDtype(float, 0.0) for name in "abc"})
    np.testing.assert_array_equal(of_frame.anomaly_score(thin), of_frame.anomaly_score(FRAME))
    np.testing.assert_array_equal(fitted(thin).anomaly_score(FRAME), of_frame.anomaly_score(FRAME))


def test_a_column_of_several_types_is_named(of_frame):
    with pytest.raises(ValueError, match=r"column 'a' holds values of type (float and str|str and float)"):
        of_frame.anomaly_score([{"a": 1.0, "b": 1, "c": 1, "k": "x"}, {"a": "no", "b": 1, "c": 1, "k": "x"}])


@pytest.mark.parametrize("kind", [pd.SparseDtype(float), pd.SparseDtype(float, 0.0)])
def test_sparse_frames_of_numbers(kind):
    """All columns are sparse, with any value left out."""
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    dense = fitted(frame)
    np.testing.assert_array_equal(fitted(frame.astype(kind)).anomaly_score(frame), dense.anomaly_score(frame))
    np.testing.assert_array_equal(dense.anomaly_score(frame.astype(kind)), dense.anomaly_score(frame))


def test_tensors():
    detector = fitted(ROWS)
    rows = torch.tensor(ROWS, requires_grad=True)
    np.testing.assert_array_equal(detector.anomaly_score(rows), detector.anomaly_score(ROWS))


def test_small_integers():
    rows = (ROWS * 20).clip(-120, 120).astype(np.int8)
    np.testing.assert_array_equal(fitted(rows).anomaly_score(rows), fitted(rows.astype(float)).anomaly_score(rows))


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ("rows.csv", TypeError, "the rows are the path 'rows.csv'; read the file first"),
        (Path("rows.csv"), TypeError, "the rows are the path 'rows.csv'; read the file first"),
        ((row for row in ROWS), TypeError, "the rows are of type generator; give an array, a list of rows, or a frame"),
        ({1, 2}, TypeError, "the rows are of type set"),
        (None, TypeError, "the rows are of type NoneType"),
        ([[1.0, 2.0], [3.0]], ValueError, "row 1 has 1 values, and row 0 has 2; give rows of one length"),
        (FRAME.to_dict("list"), TypeError, "a dict is one row, but its values for 'a', 'b', 'c', 'k' are lists"),
        (
            FRAME.set_axis(["a", "a", "b", "k"], axis=1),
            ValueError,
            "several columns called 'a'; give each column its own",
        ),
    ],
)
def test_other_forms_are_refused_with_what_to_do(rows, error, words):
    with pytest.raises(error, match=re.escape(words)):
        fitted(rows)


def objects(*zones):
    """Times that all clocks show alike, of these zones in turn, as Python objects."""
    days = [pd.Timestamp("2024-03-01") + pd.Timedelta(days=k) for k in range(40)]
    return pd.Series([day.tz_localize(zones[k % len(zones)]) for k, day in enumerate(days)], dtype=object)


def test_times_among_objects_are_read_by_their_clocks():
    with pytest.raises(ValueError, match="row 1, column 'w': the time has a time zone, but times above have none"):
        fitted(FRAME.assign(w=objects(None, "UTC")))
    plain = fitted(FRAME.assign(w=objects(None).astype("datetime64[ns]")))
    both = fitted(FRAME.assign(w=objects("UTC", "Asia/Tokyo")))
    np.testing.assert_array_equal(both.training_scores_, plain.training_scores_)


def test_missing_values_of_pandas_among_objects():
    values = [pd.NA if k % 7 == 0 else float(k % 9) for k in range(40)]
    frame = FRAME[["a", "b"]].assign(x=pd.Series(values, dtype=object))
    plain = fitted(frame.astype({"x": "Float64"}))
    np.testing.assert_array_equal(fitted(frame).training_scores_, plain.training_scores_)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (pd.DataFrame(index=range(5)), "the table has no columns"),
        (pa.table([[1.0, 2.0]] * 2, names=["a", "a"]), "several columns called 'a'"),
        (FRAME.assign(x=pd.period_range("2024-01", periods=40, freq="M")), r"frame['x'].dt.to_timestamp()"),
        (FRAME.assign(x=pd.Categorical(pd.cut(ROWS[:, 0], 3))), "type pandas.interval, which are no"),
        (FRAME.assign(x=[Decimal("Infinity")] * 40), "column 'x' holds values of type Decimal"),
        (pa.table({"x": pa.array([0, 1], pa.timestamp("us", "No/Where"))}), "the time zone 'No/Where' is not known"),
    ],
)
def test_strange_frames_are_refused_with_what_to_do(rows, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        fitted(rows)
