"""SeriesDetector: one number for a time step, however it is asked for."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from detectors import FEW_STEPS
from sklearn.base import clone

from tollad import SeriesDetector, TollDetector, iter_scores
from tollad.series.events import Judge, trimmed
from tollad.series.streaming import Stream

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

SMALL: dict[str, Any] = {"window": 16, "hidden": (8,), "latent_dim": 4, "n_members": 2, "steps": 15, "random_state": 0}


def wave(n: int, seed: int = 0, odd: slice | None = None) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    if odd is not None:
        steps[odd, 1] += 3
    return steps


KINDS = [{}, {"causal": True}, {"adapt": True}, {"causal": True, "adapt": True}, {"network": "conv1d", "stride": 3}]


@functools.cache
def trained(**changes: Any) -> SeriesDetector:
    """A small detector of a wave; tests copy what they change."""
    options = SMALL | changes
    if options.get("network") == "conv1d":
        del options["n_members"]
    return SeriesDetector(**options).fit(wave(400))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def fitted(request: pytest.FixtureRequest) -> SeriesDetector:
    return trained(**request.param)


NEW = wave(300, seed=1, odd=slice(200, 215))


def test_parameters_of_the_windows_are_those_of_toll_detector() -> None:
    here, there = (inspect.signature(cls).parameters for cls in (SeriesDetector, TollDetector))
    assert set(there) - set(here) == {"columns", "n_channels"}
    for name in set(here) & set(there) - {"contamination", "neighbor_weight"}:
        assert here[name].default == there[name].default
    assert clone(SeriesDetector(window=9)).window == 9


def test_a_causal_series_shorter_than_a_window_has_no_score_and_says_so() -> None:
    detector = SeriesDetector(**SMALL, causal=True).fit(wave(200))
    with pytest.warns(UserWarning, match="has 9 time steps, fewer than the window of 16 .* give the steps before"):
        assert np.isnan(detector.anomaly_score(wave(9))).all()


def test_a_window_like_none_before_is_far_from_the_nearest() -> None:
    """By default part of the score is how far a window is from the nearest that was learnt."""
    detector = trained()
    nearest = detector.model_.detector.as_model().scorer.nearest
    assert nearest is not None
    assert nearest.weight == 0.5
    assert (nearest.factors == 1).all()
    assert (nearest.reaches == 0).all()
    alone = SeriesDetector(**SMALL, neighbors=0).fit(wave(400))
    added = detector.anomaly_score(NEW) - alone.anomaly_score(NEW)
    assert added[200:215].min() > 2 * np.median(added) > 0


def test_whole_numbers_that_differ_are_no_keys(recwarn: pytest.WarningsRecorder) -> None:
    """Of a table such a column would be warned of; here it is a step of the windows."""
    SeriesDetector(**SMALL | {"steps": 30}).fit(np.round(wave(200) * 1e9))
    assert not recwarn.list


def test_a_higher_spike_scores_higher() -> None:
    detector = trained()
    high, higher = (wave(100) for _ in range(2))
    high[50, 0], higher[50, 0] = 60.0, 600.0
    assert detector.anomaly_score(higher)[50] > 5 * detector.anomaly_score(high)[50]


def test_an_odd_stretch_is_an_event(fitted: SeriesDetector) -> None:
    events = fitted.events(NEW, n_reasons=2)
    assert [event for event in events if event.begin <= 214 + 16 and event.end >= 200 - 16]
    top = max(events, key=lambda event: event.score)
    assert 200 - 16 <= top.peak < 214 + 16
    assert top.channel == "x2"
    assert top.reasons[0].startswith("x2: ")
    assert top.seen - top.expected > 1
    assert 0 < top.p_value <= 0.05
    mask = np.zeros(300, np.bool_)
    for event in events:
        mask[event.begin : event.end + 1] = True
    np.testing.assert_array_equal(mask, fitted.predict(NEW) == -1)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_blocks_give_the_scores_of_the_whole(fitted: SeriesDetector, size: int) -> None:
    new = NEW[150:250]
    blocks = [new[first : first + size] for first in range(0, 100, size)]
    np.testing.assert_allclose(np.concatenate([*iter_scores(fitted, blocks)]), fitted.anomaly_score(new), rtol=1e-5)


def test_a_saved_detector_says_the_same(fitted: SeriesDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m.tollad", notes={"series": "of the user", "n": 1})
    found = SeriesDetector.load(tmp_path / "m.tollad")
    assert found.get_params()["window"] == 16
    assert found.model_.notes == {"series": "of the user", "n": 1}
    np.testing.assert_array_equal(found.anomaly_score(NEW), fitted.anomaly_score(NEW))
    np.testing.assert_array_equal(found.predict(NEW), fitted.predict(NEW))
    assert found.events(NEW) == fitted.events(NEW)


def test_a_causal_score_depends_on_the_window_before_it_alone() -> None:
    detector = trained(causal=True)
    whole = detector.anomaly_score(NEW)
    assert np.isnan(whole[:15]).all()
    assert np.isfinite(whole[15:]).all()
    np.testing.assert_allclose(detector.anomaly_score(NEW[:150])[15:], whole[15:150], rtol=1e-5)
    np.testing.assert_allclose(detector.anomaly_score(NEW[120:])[15:], whole[135:], rtol=1e-5)


def test_one_odd_step_is_one_short_alarm() -> None:
    detector = SeriesDetector(**SMALL | {"window": 32}).fit(wave(800))
    new = wave(300, seed=1)
    new[150] += 4
    event = max(detector.events(new), key=lambda event: event.score)
    assert event.begin <= 150 <= event.end
    assert event.end - event.begin < 8


def test_a_causal_alarm_ends_when_scores_fall_from_their_peak() -> None:
    scores = np.array([1.0, 3.0, 5.0, 12.0, 11.9, 5.0, 3.0, 12.5, 1.0, 3.0, np.nan, 2.5])
    expected = np.isin(np.arange(12), [1, 2, 3, 4, 7, 9, 11])
    for cut in range(12):
        judge = Judge(lambda scores: np.full(len(scores), 2.0), trim=True, causal=True)
        alarms = [judge.push(part).alarms for part in (scores[:cut], scores[cut:])]
        np.testing.assert_array_equal(np.concatenate(alarms), expected)


TWO_PEAKS = np.array([1.0, 4.0, 12.0, 11.8, 6.0, 4.0, 4.5, 3.0, 8.0, 9.0, 8.8, 4.0, 5.0, 1.0])


def test_two_peaks_above_the_threshold_are_two_alarms_if_the_score_falls_between_them() -> None:
    # Half of the way from the threshold to the highest peak is 5: 3.0 is that far below both, 4.0 below one only.
    expected = np.isin(np.arange(14), [2, 3, 8, 9, 10])
    expected[8] = False  # nine tenths of the way to its own peak are 8.3
    np.testing.assert_array_equal(trimmed(TWO_PEAKS, np.full(14, 2.0)), expected)
    assert trimmed(np.array([3.0, 12.0, 8.0, 11.5, 3.0]), np.full(5, 2.0)).tolist() == [False, True, True, True, False]


def test_a_second_peak_is_a_causal_alarm_once_the_score_has_risen_by_half() -> None:
    # From the first to the highest step of each peak, and what stays near it.
    expected = np.isin(np.arange(14), [1, 2, 3, 8, 9, 10])
    for cut in range(14):
        judge = Judge(lambda scores: np.full(len(scores), 2.0), trim=True, causal=True)
        alarms = [judge.push(part).alarms for part in (TWO_PEAKS[:cut], TWO_PEAKS[cut:])]
        np.testing.assert_array_equal(np.concatenate(alarms), expected)


@pytest.mark.parametrize("adapt", [False, True])
def test_a_causal_alarm_goes_on_after_a_restart(adapt: bool) -> None:
    model = trained(causal=True, adapt=adapt).model_
    new = wave(120, seed=1)
    new[60:70] += 4
    whole = Stream(model).push(new)
    assert whole.alarms[60:].any()
    for cut in range(58, 82):
        first, second = Stream(model), Stream(model)
        before = first.push(new[:cut])
        second.restore(*first.state())
        after = second.push(new[cut:])
        np.testing.assert_array_equal(np.concatenate([before.alarms, after.alarms]), whole.alarms)
        np.testing.assert_array_equal(np.concatenate([before.thresholds, after.thresholds]), whole.thresholds)


def test_contamination_is_a_share_of_future_steps() -> None:
    # Future steps go on where the series ended; the noise keeps them from repeating it.
    steps = wave(4000) + 0.2 * np.random.default_rng(1).normal(size=(4000, 2))
    judged = SeriesDetector(**SMALL, contamination=0.05).fit(steps[:2000]).judge(steps[2000:])
    assert 0.01 < (judged.scores > judged.thresholds).mean() < 0.12


def test_the_threshold_of_few_windows_is_near_the_scores_of_new_normal_steps() -> None:
    # The fits of the folds learn their few windows closely; in their own units new steps would score far too high.
    steps = np.sin(np.arange(800) / 7)[:, None] + np.random.default_rng(0).normal(size=(800, 8))
    detector = SeriesDetector(window=64, steps=40, random_state=0).fit(steps[:300])
    expected = np.quantile(detector.anomaly_score(steps[300:]), 0.99)
    assert 0.95 * expected < detector.model_.decision.threshold < 1.15 * expected


def test_an_adaptive_threshold_keeps_the_share_when_the_series_drifts() -> None:
    train, new = wave(1000), wave(1500, seed=3) * np.linspace(1, 3, 1500)[:, None]
    # Without kept windows both have the same scores.
    options = SMALL | {"neighbors": 0}
    fixed, adaptive = (SeriesDetector(**options, adapt=adapt).fit(train).judge(new) for adapt in (False, True))
    np.testing.assert_array_equal(fixed.scores, adaptive.scores)
    assert (fixed.scores > fixed.thresholds).mean() > 0.3
    assert (adaptive.scores > adaptive.thresholds).mean() < 0.02


def test_frames_are_read_by_name() -> None:
    names = {"t": np.arange(400.0), "a": wave(400)[:, 0], "b": wave(400)[:, 1]}
    detector = SeriesDetector(**SMALL, time="t").fit(pa.table(names))
    assert detector.model_.columns == ["a", "b"]
    other = pa.table({"b": NEW[:, 1], "t": np.arange(300.0), "a": NEW[:, 0]})
    np.testing.assert_array_equal(detector.anomaly_score(other), detector.anomaly_score(NEW))
    with pytest.raises(ValueError, match="lacks columns that the model was fitted on: 'b'"):
        detector.predict(other.drop_columns(["b"]))
    with pytest.raises(ValueError, match="the series has 1 channels, but the model was fitted on 2"):
        detector.predict(NEW[:, 0])


def test_one_channel_needs_no_second_axis() -> None:
    detector = SeriesDetector(**SMALL).fit(wave(400)[:, 0])
    assert detector.anomaly_score(NEW[:, 0]).shape == (300,)


def test_calibration_rows_must_be_new() -> None:
    detector = copy.deepcopy(trained())
    with pytest.raises(ValueError, match="more than half of the time steps have exactly the score"):
        detector.calibrate(wave(400))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(detector.calibrate(wave(600, seed=4), false_alarm_rate=0.05).calibration_scores_) == 600


def test_normal_steps_alone_are_learnt_from() -> None:
    odd = wave(400, odd=slice(100, 110))
    normal = np.ones(400, np.bool_)
    normal[100:110] = False
    assert SeriesDetector(**SMALL).fit(odd, normal=normal).model_.n_time_steps == 390


@pytest.mark.parametrize(
    ("options", "X", "error", "words"),
    [
        ({"window": 0}, wave(100), ValueError, "window must be an integer >= 1"),
        ({"window": 16, "stride": 20}, wave(100), ValueError, "a stride of 20 is longer than the window of 16"),
        ({"window": 200}, wave(100), ValueError, "has 100 time steps, fewer than a window of 200"),
        ({"contamination": 0.7}, wave(100), ValueError, "contamination must be"),
        ({"false_alarm_rate": "2 a day"}, wave(100), ValueError, "must be a share of the time steps"),
        ({"false_alarm_rate": "2 per day"}, wave(100), ValueError, "need time stamps that are dates"),
        ({"time": "t"}, wave(100), ValueError, "give a frame"),
        ({}, [[0.0, np.nan]] * 100, ValueError, "step 0 in channel 1 .* is missing"),
        ({}, np.zeros((9, 2, 2)), ValueError, r"a series has shape \(T,\) or \(T, C\)"),
        ({}, ["a", "b"], ValueError, "a series is made of numbers"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], X: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SeriesDetector(**SMALL | options).fit(X)


@pytest.mark.filterwarnings("ignore:the latents of")
def test_a_series_too_short_to_hold_steps_out_is_told() -> None:
    with pytest.warns(UserWarning, match="too few to hold some out for windows of 16"):
        SeriesDetector(**SMALL).fit(wave(30))


def test_a_model_of_rows_is_none_of_a_series(tmp_path: Path) -> None:
    TollDetector(steps=5, random_state=0).fit(wave(50)).save(tmp_path / "m", notes={"series": "x"})
    with pytest.raises(ValueError, match="is a model of rows, not of a series"):
        SeriesDetector.load(tmp_path / "m")
