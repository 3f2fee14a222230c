"""Windows of series, and the scores of windows back as scores of time steps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad import TollDetector
from tollad.series.window import score_steps, step_scores, window_starts, windows


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int]:
    """Length, window and stride that belong together."""
    window = draw(st.integers(1, 9))
    return draw(st.integers(window, 40)), window, draw(st.integers(1, window))


def values(cut: np.ndarray) -> np.ndarray:
    """Return a score of windows that depends on every value of each."""
    return np.tanh(cut).sum((1, 2)) + cut.max((1, 2))


@given(cuts())
def test_windows_are_stretches_of_the_series(cut):
    n_time_steps, window, stride = cut
    series = np.random.default_rng(0).normal(size=(n_time_steps, 2))
    starts, found = window_starts(*cut), windows(series, window, stride)
    assert found.shape == (len(starts), 2, window)
    for start, one in zip(starts, found, strict=True):
        np.testing.assert_array_equal(one, series[start : start + window].T)
    assert starts[0] == 0
    assert starts[-1] == n_time_steps - window
    assert set(np.diff(starts)[:-1]) <= {stride}
    assert (np.diff(starts) <= stride).all()


def test_a_series_of_one_column_needs_no_second_axis():
    np.testing.assert_array_equal(windows(np.arange(9.0), 4, 2), windows(np.arange(9.0)[:, None], 4, 2))


def test_windows_are_a_view_where_they_can_be():
    series = np.arange(10.0)
    assert np.shares_memory(windows(series, 4, 3), series)
    assert not np.shares_memory(windows(series, 4, 4), series)


@given(cuts(), st.integers(0, 5))
def test_a_step_has_the_mean_score_of_the_windows_that_cover_it(cut, seed):
    window = cut[1]
    scores = np.random.default_rng(seed).normal(size=len(window_starts(*cut)))
    found = step_scores(scores, *cut)
    for step, score in enumerate(found):
        covers = [s for s, start in zip(scores, window_starts(*cut), strict=True) if start <= step < start + window]
        assert covers
        assert score == pytest.approx(np.mean(covers), abs=1e-12)


@given(cuts(), st.lists(st.integers(1, 40), max_size=6))
def test_block_by_block_is_as_at_once(cut, ends):
    n_time_steps, window, stride = cut
    series = np.random.default_rng(1).normal(size=(n_time_steps, 2))
    blocks = [block for block in np.split(series, sorted(ends)) if len(block)]
    found = list(score_steps(iter(blocks), values, window, stride))
    assert len(found) == len(blocks) + 1
    expected = step_scores(values(windows(series, window, stride)), n_time_steps, window, stride)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12)


def test_block_by_block_no_more_than_a_block_and_a_window_is_kept():
    most = 0

    def score(cut: np.ndarray) -> np.ndarray:
        nonlocal most
        most = max(most, len(cut))
        return cut.mean((1, 2))

    blocks = (np.full((100, 50), float(number)) for number in range(200))
    tracemalloc.start()
    try:
        assert sum(len(scores) for scores in score_steps(blocks, score, 10)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most <= 110
    # The windows of a block take 0.4 MB, the whole series 8 MB.
    assert peak < 2_000_000


def test_windows_are_scored_a_few_at_a_time(monkeypatch):
    """Those of one block may take far more memory than its steps."""
    monkeypatch.setattr("tollad.series.window._BLOCK_VALUES", 100)
    series, sizes = np.random.default_rng(0).normal(size=(60, 2)), []

    def score(cut: np.ndarray) -> np.ndarray:
        sizes.append(cut.size)
        return values(cut)

    (found, rest) = score_steps([series], score, 9)
    np.testing.assert_allclose([*found, *rest], step_scores(values(windows(series, 9)), 60, 9), rtol=1e-12)
    assert max(sizes) <= 100


def test_the_odd_stretch_has_the_highest_score():
    """And not all of the windows that it lies in: the mean is higher where more of them agree."""
    rng = np.random.default_rng(0)
    series = np.sin(np.arange(600) / 3) + 0.05 * rng.normal(size=600)
    detector = TollDetector(network="conv1d", hidden=(4,), latent_dim=4, steps=150, random_state=0)
    detector.fit(windows(series[:400], 16))
    odd = series[400:].copy()
    odd[100:106] += 3
    scores = step_scores(detector.anomaly_score(windows(odd, 16)), 200, 16)
    assert 95 <= scores.argmax() <= 110
    assert scores[:80].max() < scores[100:106].min()


@pytest.mark.parametrize(
    ("window", "stride", "error", "words"),
    [
        (0, 1, ValueError, "window must be an integer >= 1, not 0"),
        (-3, 1, ValueError, "window must be an integer >= 1, not -3"),
        (4, 0, ValueError, "stride must be an integer >= 1, not 0"),
        (2.5, 1, TypeError, "window must be an integer >= 1, not 2.5"),
        (4, True, TypeError, "stride must be an integer >= 1, not True"),
        (4, 5, ValueError, "a stride of 5 is longer than the window of 4: .* give a stride of at most 4"),
        (11, 1, ValueError, "the series has 10 steps, fewer than a window of 11; give a shorter window"),
    ],
)
def test_windows_that_cannot_be_are_refused(window, stride, error, words):
    with pytest.raises(error, match=f"^{words}$"):
        windows(np.arange(10.0), window, stride)
    with pytest.raises(error, match=f"^{words}$"):
        step_scores([1.0], 10, window, stride)
    with pytest.raises(error, match=f"^{words}$"):
        list(score_steps([np.ones((10, 1))], values, window, stride))


@pytest.mark.parametrize("shape", [(), (3, 2, 5), (6, 0)])
def test_what_is_no_series_is_refused(shape):
    with pytest.raises(ValueError, match=r"a series has shape \(T,\) or \(T, C\), time steps first"):
        windows(np.zeros(shape), 2)


def test_there_is_one_score_a_window():
    with pytest.raises(ValueError, match=r"shape \(3,\); a series of 10 steps has 4 windows of 4 with stride 2"):
        step_scores([1.0, 2.0, 3.0], 10, 4, 2)
