"""The volume under the surface of precision and recall, beside plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from tollad import metrics
from tollad.series.measures import at_one_false_stretch, event_measures, vus_pr


def plain(labels: np.ndarray, scores: np.ndarray, longest: int) -> float:
    """Return what the paper's pseudo code returns, threshold by threshold."""
    areas = []
    for buffer in range(longest + 1):
        soft = labels.astype(float)
        events = [step for step in range(len(labels)) if labels[step]]
        for step in range(len(labels)):
            apart = min(abs(step - event) for event in events)
            if 0 < apart <= buffer // 2:
                soft[step] = np.sqrt(1 - apart / buffer)
        segments, area, last = np.flatnonzero(np.diff(soft > 0, prepend=False, append=False)).reshape(-1, 2), 0.0, 0.0
        for threshold in sorted(set(scores.tolist()), reverse=True):
            called = scores >= threshold
            hit = np.mean([called[begin:end].any() for begin, end in segments])
            recall = min(soft[called].sum() / ((labels.sum() + soft.sum()) / 2), 1) * hit
            area += (recall - last) * soft[called].sum() / called.sum()
            last = recall
        areas.append(area)
    return float(np.mean(areas))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("longest", [0, 1, 8, 15])
def test_it_is_what_plain_loops_say(seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(120, np.int64)
    for begin in rng.integers(0, 110, 3):
        labels[begin : begin + 7] = 1
    scores = np.round(rng.normal(size=120) + labels, 1)
    assert vus_pr(labels, scores, longest) == pytest.approx(plain(labels, scores, longest), rel=1e-12)


def test_series_one_after_another_are_measured_apart() -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.repeat([0, 1, 1, 0], 20), rng.random(80)
    alarms = np.repeat([0, 1, 1, 0, 0, 1, 1, 0], 10)
    apart = event_measures(labels, alarms, starts=[40, 70])
    assert (apart.n_events, apart.n_hit, apart.n_false_stretches, apart.median_delay) == (2, 2, 2, 5)
    assert event_measures(labels, alarms).n_events == 1
    assert at_one_false_stretch(labels, scores, [40]).n_events == 2
    one, twice = (labels[:40], scores[:40]), (np.tile(labels[:40], 2), np.tile(scores[:40], 2))
    assert vus_pr(*twice, 8, [40]) == pytest.approx(vus_pr(*one, 8), rel=0.01)
    assert vus_pr(*twice, 8) != pytest.approx(vus_pr(*one, 8), rel=0.01)


def test_without_a_buffer_one_event_is_worth_its_average_precision() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(200) // 20 == 4).astype(int)
    scores = rng.normal(size=200) + labels
    assert vus_pr(labels, scores, 0) == pytest.approx(metrics.average_precision(labels, scores))


def test_noise_is_worth_little_more_than_the_share_of_events() -> None:
    labels = (np.arange(4000) % 1000 < 50).astype(int)
    assert 0.03 < vus_pr(labels, np.random.default_rng(0).random(4000), 64) < 0.15


def test_there_must_be_an_event() -> None:
    with pytest.raises(ValueError, match="3 scores and 3 labels give no volume"):
        vus_pr([0, 0, 0], [1.0, 2.0, 3.0], 4)
