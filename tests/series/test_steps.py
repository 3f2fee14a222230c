"""Arrays, frames and single rows as time steps: nothing is silently misread."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS
from scipy.sparse import csr_matrix

from tollad import SeriesDetector
from tollad.series.clock import Clock
from tollad.series.steps import as_step, as_steps

DAYS = pd.date_range("2024-03-30", periods=4, freq="D", tz="Europe/Berlin")


@pytest.mark.parametrize("times", [DAYS, DAYS.tz_localize(None), DAYS.tz_localize(None).to_period("D")])
def test_an_index_of_times_must_ascend(times: Any) -> None:
    series = pd.Series(np.arange(4.0), index=times)
    assert as_steps(series).values.shape == (4, 1)
    with pytest.raises(ValueError, match=r"row 3: the index is 2024-03-31.* 2024-04-02.* sort_index"):
        as_steps(series.iloc[[0, 3, 1, 2]])
    assert as_steps(series.iloc[[0, 3, 1, 2]], group=list("abab")).groups == ["a", "b"]


def test_shuffled_rows_are_warned_of() -> None:
    frame = pd.DataFrame({"a": np.arange(4.0)})
    with pytest.warns(UserWarning, match="row 2: the index is 0, and 3 in the row before, so the rows may not be"):
        as_steps(frame.iloc[[3, 0, 1, 2]])
    assert as_steps(pd.Series([1.0, 2.0], index=["b", "a"])).values.tolist() == [[1], [2]]


def test_masked_values_are_missing() -> None:
    masked = np.ma.array([1.0, 99, 3], mask=[False, True, False])
    with pytest.raises(ValueError, match=r"the value of step 1 in channel 0 .* is missing"):
        as_steps(masked)
    np.testing.assert_array_equal(as_steps(masked, gaps="split").values[:, 0], [1, np.nan, 3])


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        (np.ones(9) + 1j, ValueError, "a series is made of numbers"),
        (np.arange(9).astype("M8[s]"), ValueError, "a series is made of numbers"),
        (csr_matrix(np.eye(9)), TypeError, r"X\.toarray\(\)"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(X: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_steps(X)


def test_a_step_is_taken_by_name_where_it_has_names() -> None:
    for row in ({"b": 2, "t": "now", "a": 1}, pd.Series({"b": 2, "a": 1}), pd.DataFrame({"b": [2], "a": [1]}), [1, 2]):
        assert as_step(row, ["a", "b"], lacks=False).tolist() == [[1, 2]]
    assert as_step(3, ["a"], lacks=False).tolist() == [[3]]
    with pytest.raises(ValueError, match="the step lacks channels that the model was fitted on: 'b'"):
        as_step({"a": 1}, ["a", "b"], lacks=False)
    for bad in ([1], [1, "x"], [1, np.nan], {"a": 1, "b": None}):
        with pytest.raises(ValueError, match="a step has 2 finite numbers, not "):
            as_step(bad, ["a", "b"], lacks=False)


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("zoned", [False, True])
def test_times_with_a_zone_and_without_one_are_never_mixed(zoned: bool, as_text: bool) -> None:
    def frame(times: Any) -> pd.DataFrame:
        return pd.DataFrame({"t": times.astype(str) if as_text else times, "a": np.arange(4.0)})

    with_zone, without = frame(DAYS), frame(DAYS.tz_localize(None))
    known, other = (with_zone, without) if zoned else (without, with_zone)
    clock = as_steps(known, "t").clock
    assert clock.zoned == zoned
    kept = Clock.from_json(clock.to_json())
    assert len(as_steps(known, "t", clock=kept).times) == 4
    with pytest.raises(ValueError, match=r"row 1, column 't': .* time zone, and those of the fit have"):
        as_steps(other, "t", clock=kept)


def test_a_zone_that_stands_in_some_rows_only_is_refused() -> None:
    times = ["2024-03-30T00:00Z", "2024-03-30T01:00Z", "2024-03-30T02:00"]
    with pytest.raises(ValueError, match=r"row 3, .* 2024-03-30T02:00 has no time zone, and those before have one"):
        as_steps(pd.DataFrame({"t": times, "a": [1.0, 2, 3]}), "t")


@pytest.mark.filterwarnings(FEW_STEPS)
def test_update_takes_a_row_by_name() -> None:
    frame = pd.DataFrame(np.sin(np.arange(120)[:, None] / [3, 5]), columns=["a", "b"])
    detector = SeriesDetector(
        window=8, stride=4, hidden=(4,), latent_dim=2, n_members=2, steps=15, causal=True, random_state=0
    )
    detector.fit(frame)
    for _, row in frame.iloc[:8].iterrows():
        found = detector.update(row[["b", "a"]])
    np.testing.assert_allclose(found.scores, detector.anomaly_score(frame.iloc[:8])[-1:], rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "what"),
    [(pd.to_timedelta(range(9), unit="m"), "durations"), ([dt.time(0, minute) for minute in range(9)], "times of day")],
)
def test_durations_and_times_of_day_are_said_to_be_in_seconds(values: Any, what: str) -> None:
    with pytest.warns(UserWarning, match=f"column 'b' holds {what}, which are read in seconds"):
        steps = as_steps(pd.DataFrame({"a": np.arange(9.0), "b": values}))
    assert steps.values[:, 1].tolist() == [60.0 * minute for minute in range(9)]
