"""Series as they are: steps and values that are missing, and local time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from detectors import FEW_STEPS
from hypothesis import given
from hypothesis import strategies as st

from tollad import SeriesDetector
from tollad.series.gaps import LONGEST, GapFiller

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

SMALL: dict[str, Any] = {"window": 16, "hidden": (8,), "latent_dim": 4, "n_members": 1, "steps": 10, "random_state": 0}


def wave(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))


def frame(steps: np.ndarray[Any, Any], times: Any = None) -> pa.Table:
    times = np.arange(float(len(steps))) if times is None else times
    return pa.table({"t": times, "a": steps[:, 0], "b": steps[:, 1]})


def mended(how: Any, values: np.ndarray[Any, Any], times: np.ndarray[Any, Any], ends: list[int]) -> list[Any]:
    gap_filler, rows = GapFiller(how, 1.0), np.arange(len(values))
    cuts = [0, *sorted(ends), len(values)]
    parts = [gap_filler.push(values[i:j], times[i:j], rows[i:j]) for i, j in itertools.pairwise(cuts) if i < j]
    parts = [part for part in [*parts, gap_filler.finish()] if len(part[1])]
    return [np.concatenate(each) for each in zip(*parts, strict=True)] + [gap_filler.missing]


@given(st.data())
@pytest.mark.parametrize("how", ["split", "interpolate"])
def test_how_a_series_comes_in_blocks_changes_nothing(how: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 80))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = np.where(rng.random((n, 2)) < data.draw(st.floats(0, 0.95)), np.nan, rng.normal(size=(n, 2)))
    times = np.cumsum(rng.choice([1.0, 1.0, 1.0, 3.0, 30.0], n))
    whole, parts = (
        mended(how, values, times, ends) for ends in ([], data.draw(st.lists(st.integers(1, n), max_size=6)))
    )
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(parts[1], whole[1])
    assert whole[1][whole[1] >= 0].tolist() == [*range(n)]
    counts = [{name: count for name, count in vars(found[2]).items() if name != "empty"} for found in (whole, parts)]
    assert counts[0] == counts[1]


def test_a_line_is_filled_with_a_line_and_a_long_gap_stays() -> None:
    times = np.concatenate([np.arange(10.0), np.arange(14.0, 20), np.arange(20 + LONGEST + 1.0, 50)])
    steps, rows, lacking = mended("interpolate", times[:, None] * [2.0], times, [])
    assert (lacking.gaps, lacking.steps, lacking.filled) == (2, 4 + LONGEST + 1, 4)
    np.testing.assert_array_equal(steps[:20, 0], 2.0 * np.arange(20))
    assert (rows[10:14] == -1).all()
    assert lacking.cuts == 1
    assert np.isnan(steps[20:-1]).any()


def test_no_window_reaches_over_a_split() -> None:
    train, new = wave(400), wave(200, seed=1)
    detector = SeriesDetector(**SMALL, time="t", gaps="split").fit(frame(train))
    times = np.arange(200.0) + 50 * (np.arange(200) >= 120)
    with pytest.warns(UserWarning, match=r"50 time steps are missing in 1 gap; 0 steps were .* cut at 1 place"):
        scores = detector.anomaly_score(frame(new, times))
    np.testing.assert_array_equal(scores[:120], detector.anomaly_score(new[:120]))
    np.testing.assert_array_equal(scores[120:], detector.anomaly_score(new[120:]))


def test_the_length_of_an_endless_gap_can_be_read() -> None:
    detector = SeriesDetector(**SMALL, time="t", gaps="interpolate").fit(frame(wave(400)))
    times = np.append(np.arange(99.0), 1e300)
    with pytest.warns(UserWarning, match=r"1e\+300 time steps are missing in 1 gap; 0 steps"):
        assert np.isnan(detector.anomaly_score(frame(wave(100), times))[-1])


def test_a_stretch_shorter_than_a_window_has_no_score_and_no_alarm() -> None:
    detector = SeriesDetector(**SMALL, time="t", gaps="split").fit(frame(wave(400)))
    times = np.arange(100.0) + 50 * (np.arange(100) >= 90)
    with pytest.warns(UserWarning, match="are missing in 1 gap"):
        judged = detector.judge(frame(wave(100, seed=1) + 9 * (np.arange(100) >= 90)[:, None], times))
    assert np.isfinite(judged.scores[:90]).all()
    assert np.isnan(judged.scores[90:]).all()
    assert not judged.alarms[90:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_missing_values_are_interpolated_with_a_count(causal: bool) -> None:
    train, new = wave(400), wave(200, seed=1)
    detector = SeriesDetector(**SMALL, gaps="interpolate", causal=causal).fit(train)
    lacks = new.copy()
    lacks[50:53, 1] = np.nan
    line = new.copy()
    line[50:53, 1] = np.interp([50, 51, 52], [49, 53], new[[49, 53], 1])
    with pytest.warns(UserWarning, match=r"3 values are missing; 3 steps were interpolated, .* cut at 0 places"):
        scores = detector.anomaly_score(lacks)
    np.testing.assert_allclose(scores, detector.anomaly_score(line), rtol=1e-9)
    with pytest.raises(ValueError, match=r"step 50 in channel 1 .* is missing"):
        SeriesDetector(**SMALL).fit(train).anomaly_score(lacks)


def test_a_fit_learns_nothing_across_a_split_and_says_so() -> None:
    times = np.arange(400.0) + 50 * (np.arange(400) >= 200)
    with pytest.warns(UserWarning, match="the series: 50 time steps are missing in 1 gap"):
        detector = SeriesDetector(**SMALL, time="t", gaps="split").fit(frame(wave(400), times))
    assert len(detector.model_.detector.training_scores_) == 2 * (200 - 15)


def test_an_event_at_a_gap_names_rows_of_the_user() -> None:
    detector = SeriesDetector(**SMALL, time="t", gaps="interpolate").fit(frame(wave(400)))
    steps = wave(200, seed=1)
    steps[120:126, 1] += 4
    kept = np.r_[0:122, 124:200]
    with pytest.warns(UserWarning, match="2 time steps are missing in 1 gap; 2 steps were interpolated"):
        top = max(detector.events(frame(steps[kept], kept.astype(float)), n_reasons=1), key=lambda event: event.score)
    assert 115 <= top.begin <= top.peak <= top.end <= 130
    assert (top.channel, top.reasons[0][:3]) == ("b", "b: ")


@pytest.mark.parametrize(
    ("gaps", "times", "values", "words"),
    [
        (
            "fail",
            [0, 1, 2, 5],
            [1.0] * 4,
            "row 4, column 't': 5 comes 3 usual steps after the row before; fill the gap",
        ),
        (None, [0, 1, 2, 3], [1.0, None, 1.0, 1.0], "row 2, column 'a': the value is missing, .* gaps='interpolate'"),
        ("fail", [0, 1, 2, 3], [1.0, None, 1.0, 1.0], "row 2, column 'a': the value is missing"),
        ("split", [0, 1, 2, 3], [None] * 4, "the series, column 'a': every value is missing"),
    ],
)
def test_what_may_not_be_missing_is_refused(gaps: Any, times: Any, values: Any, words: str) -> None:
    table = pa.table({"t": times, "a": pa.array(values, pa.float64())})
    with pytest.raises(ValueError, match=words):
        SeriesDetector(window=2, time="t", gaps=gaps).fit(table)


def test_all_of_a_channel_missing_is_refused_when_scoring() -> None:
    detector = SeriesDetector(**SMALL, gaps="split").fit(wave(400))
    with pytest.raises(ValueError, match="column 'x2': every value is missing"):
        detector.predict(wave(100) * [1, np.nan])


def test_summer_time_is_neither_a_gap_nor_disorder() -> None:
    """Berlin, by half hours: 2:00 to 2:30 occur twice on 27 October and never on 31 March 2024."""
    for begin in ("2024-10-20", "2024-03-20"):
        utc = np.datetime64(f"{begin}T00:00", "us") + np.arange(720) * np.timedelta64(30, "m")
        local = pa.array(utc).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Europe/Berlin"))
        texts = [stamp.strftime("%Y-%m-%d %H:%M") for stamp in local.to_pylist()]
        table = pa.table({"t": texts, "a": wave(720)[:, 0]})
        detector = SeriesDetector(**SMALL, time="t", time_zone="Europe/Berlin", gaps="fail").fit(table)
        assert detector.model_.clock.usual == pytest.approx(1 / 48)
        assert np.isfinite(detector.anomaly_score(table)).all()
        words = "comes before .* time_zone='Europe/Berlin'" if begin == "2024-10-20" else "comes 3 usual steps after"
        with pytest.raises(ValueError, match=words):
            SeriesDetector(**SMALL, time="t", gaps="fail").fit(table)


def test_of_time_stamps_the_instant_counts_however_it_is_written() -> None:
    """They order the steps and show gaps; they are no feature, so an offset other than that of the fit is no matter."""
    utc = np.datetime64("2024-10-20T00:00", "us") + np.arange(720) * np.timedelta64(30, "m")
    berlin = pa.array(utc).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Europe/Berlin"))
    steps = wave(720)[:, 0]
    written = {"Z": [f"{stamp}Z" for stamp in utc], "+": [stamp.isoformat() for stamp in berlin.to_pylist()]}
    detector = SeriesDetector(**SMALL, time="t", gaps="fail").fit(pa.table({"t": written["Z"], "a": steps}))
    expected = detector.anomaly_score(steps)
    assert {stamp[-6:] for stamp in written["+"]} == {"+01:00", "+02:00"}
    for stamps in written.values():
        table = pa.table({"t": stamps, "a": steps})
        np.testing.assert_array_equal(detector.anomaly_score(table), expected)


@pytest.mark.parametrize(
    ("zone", "stamps", "words"),
    [
        ("Europe/Nowhere", ["2024-01-01", "2024-01-02"], "'Europe/Nowhere' is no time zone that this machine knows"),
        ("Europe/Berlin", ["2024-01-01T00:00Z", "2024-01-02T00:00Z"], "has a time zone already"),
        ("Europe/Berlin", [1, 2], "has numbers, which have no time zone"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(zone: str, stamps: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SeriesDetector(time="t", time_zone=zone).fit(pa.table({"t": stamps, "a": [1.0, 2.0]}))


def test_a_constant_channel_is_named() -> None:
    with pytest.warns(UserWarning, match="constant in every time step: 'x2'; any other value"):
        SeriesDetector(**SMALL).fit(wave(400) * [1, 0])
