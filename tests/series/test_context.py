"""Context: the distance of long windows to the nearest one of the fit is a part of a step's score."""

from __future__ import annotations

import numpy as np
import pytest
from detectors import FEW_STEPS

from tollad import SeriesDetector
from tollad.series import step_scores, window_starts
from tollad.series.context import Context, joined
from tollad.series.thresholds import fold_threshold

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

SMALL = {"window": 8, "hidden": (8,), "latent_dim": 4, "steps": 5, "random_state": 0}


def waves(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(n)[:, None] / [2, 3]) + 0.1 * rng.normal(size=(n, 2))


@pytest.fixture(scope="module")
def fitted() -> SeriesDetector:
    return SeriesDetector(**SMALL).fit(waves(300))


def test_a_score_is_the_power_mean_of_what_windows_and_long_windows_say(fitted: SeriesDetector) -> None:
    model, context, new = fitted.model_, fitted.model_.context, waves(150, seed=1)
    assert (context.window, context.stride) == (32, 2)
    trained = waves(300)
    known = trained[np.add.outer(window_starts(300, 32, 2), np.arange(32))]
    long = new[np.add.outer(window_starts(150, 32, 2), np.arange(32))]
    # As many steps have each of the values as windows cover them.
    mean, spread = known.mean((0, 1)), known.std((0, 1))
    known, long = (known - mean) / spread, (long - mean) / spread
    between = np.sqrt(np.square(known[:, None] - known).sum((2, 3)))
    own = np.where(np.eye(len(known)), np.inf, between).min(1).mean()
    nearest = np.array([np.sqrt(np.square(known - one).sum((1, 2))).min() for one in long])
    usual = model.detector.training_scores_.mean()
    cut = new[np.add.outer(window_starts(150, 8, model.stride), np.arange(8))].swapaxes(1, 2)
    by_windows = step_scores(model.score_windows(cut), 150, 8, model.stride)
    by_context = usual / own * step_scores(nearest, 150, 32, 2)
    # Sixteen windows cover a step; those beyond the ends count as usual ones.
    covers = np.minimum(16, np.minimum(np.arange(150), np.arange(150)[::-1]) // 2 + 1)
    by_context = (covers * by_context + (16 - covers) * usual) / 16
    expected = ((by_windows**4 + by_context**4) / 2) ** 0.25
    np.testing.assert_allclose(fitted.anomaly_score(new), expected, rtol=1e-9)


def test_a_file_from_before_the_power_was_stored_joins_by_the_root_mean_square(fitted: SeriesDetector) -> None:
    model, context = fitted.model_, fitted.model_.context
    plain, arrays = context.saved()
    assert plain.pop("power") == 4
    earlier = Context.of_saved(plain, arrays, model.detector.settings_)
    assert earlier.power == 2
    one, other = np.array([3.0, 0.0, 5.0]), np.array([4.0, 0.0, np.nan])
    np.testing.assert_allclose(joined(one, other, 2), [12.5**0.5, 0, 5], rtol=1e-15)
    np.testing.assert_allclose(joined(one, other, 4), [168.5**0.25, 0, 5], rtol=1e-15)
    with pytest.raises(ValueError, match="joined by the power 3"):
        Context.of_saved(plain | {"power": 3}, arrays, model.detector.settings_)


def test_a_series_shorter_than_a_long_window_is_scored_by_windows_alone(fitted: SeriesDetector) -> None:
    model, new = fitted.model_, waves(31, seed=1)
    cut = new[np.add.outer(window_starts(31, 8, model.stride), np.arange(8))].swapaxes(1, 2)
    np.testing.assert_allclose(
        fitted.anomaly_score(new), step_scores(model.score_windows(cut), 31, 8, model.stride), rtol=1e-12
    )


def test_a_level_that_lasts_longer_than_a_window_counts_more_than_without() -> None:
    # Each window of eight steps has been seen; their order has not.
    trained = np.repeat([[0.0], [1.0]] * 40, 8, axis=0) + 0.05 * np.random.default_rng(0).normal(size=(640, 1))
    new = trained[:320].copy()
    new[128:160] = new[128:136].mean()
    ratios = []
    for neighbors in ("auto", 0):
        scores = SeriesDetector(**SMALL, neighbors=neighbors).fit(trained).anomaly_score(new)
        ratios.append(scores[136:152].mean() / np.median(scores))
    assert ratios[0] > 1.5 * ratios[1]


@pytest.mark.parametrize("changes", [{"neighbors": 0}, {"causal": True}, {"adapt": True}], ids=str)
def test_without_kept_windows_and_where_scores_must_not_rise_slowly_there_is_none(changes: dict[str, object]) -> None:
    assert SeriesDetector(**SMALL, **changes).fit(waves(200)).model_.context is None


def test_a_series_without_noise_has_scores_of_a_usual_size() -> None:
    exact = np.tile(np.arange(8.0), 40)
    detector = SeriesDetector(**SMALL).fit(exact)
    assert detector.anomaly_score(exact + 1e-9).max() < 100 * detector.threshold_


def test_an_anomaly_raises_an_alarm_after_a_fit_that_holds_few_long_windows() -> None:
    rng = np.random.default_rng(0)
    pulses = np.concatenate([np.sin(np.linspace(0, np.pi, int(n))) ** 3 for n in rng.integers(28, 36, 90)])
    pulses += 0.02 * rng.normal(size=len(pulses))
    detector = SeriesDetector(random_state=0).fit(pulses[:1200])
    assert 6 * detector.model_.context.window == 1200
    new = pulses[1200:].copy()
    new[900:912] -= 0.8
    event = max(detector.events(new), key=lambda event: event.score)
    assert 900 - 16 <= event.begin <= event.end <= 912 + 16


def test_the_fold_that_is_unlike_the_others_does_not_move_the_threshold() -> None:
    pieces = [np.linspace(0, 1, 101), np.linspace(0, 2, 101)]
    for odd in (3.0, 300.0):
        assert fold_threshold([*pieces, odd * np.ones(101)], share=0.01) == pytest.approx(1.98)
