"""Many series side by side: one model, and no window of two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS

from tollad import SeriesDetector

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

SMALL: dict[str, Any] = {"window": 16, "hidden": (8,), "latent_dim": 4, "n_members": 1, "steps": 10, "random_state": 0}


def wave(n: int, seed: int = 0, odd: slice | None = None) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    if odd is not None:
        steps[odd, 1] += 4
    return steps


def interleaved(n: int = 300, **options: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the steps of three machines that take turns, and whose each is."""
    steps = np.stack([wave(n, seed) for seed in range(3)], axis=1)
    if options:
        steps[options["odd"], 1, 1] += 4
    return steps.reshape(-1, 2), np.tile(["m0", "m1", "m2"], n)


@pytest.fixture(scope="module", params=[False, True], ids=["mean", "causal"])
def fitted(request: pytest.FixtureRequest) -> SeriesDetector:
    steps, machine = interleaved()
    return SeriesDetector(**SMALL, causal=request.param).fit(steps, group=machine)


def test_interleaved_rows_are_scored_as_each_machine_alone(fitted: SeriesDetector) -> None:
    steps, machine = interleaved(odd=slice(200, 206))
    judged, verdicts = fitted.judge(steps, group=machine), fitted.predict(steps, group=machine)
    for name in ("m0", "m1", "m2"):
        alone = fitted.judge(steps[machine == name])
        np.testing.assert_array_equal(judged.scores[machine == name], alone.scores)
        np.testing.assert_array_equal(verdicts[machine == name] == -1, alone.alarms)


def test_the_order_in_which_machines_take_turns_changes_nothing() -> None:
    steps, machine = interleaved()
    order = np.argsort(machine, kind="stable")
    one = SeriesDetector(**SMALL).fit(steps, group=machine)
    other = SeriesDetector(**SMALL).fit(steps[order], group=machine[order])
    assert one.threshold_ == other.threshold_
    np.testing.assert_array_equal(
        one.anomaly_score(steps, group=machine)[order], other.anomaly_score(steps[order], group=machine[order])
    )


def test_an_event_says_whose_it_is(fitted: SeriesDetector) -> None:
    steps, machine = interleaved(odd=slice(200, 206))
    top = max(fitted.events(steps, group=machine), key=lambda event: event.score)
    assert top.group == "m1"
    assert machine[top.peak] == machine[top.begin] == "m1"
    assert 3 * 195 <= top.begin <= top.end <= 3 * 225


def test_the_threshold_rests_on_held_out_steps_of_every_machine(fitted: SeriesDetector) -> None:
    n_scored = 100 - 15 if fitted.causal else 100
    assert len(fitted.calibration_scores_) == 3 * 3 * n_scored
    assert len(fitted.model_.detector.training_scores_) == 3 * (300 - 15)


def test_a_frame_names_its_column(tmp_path: Any) -> None:
    steps, machine = interleaved()
    frame = pd.DataFrame({"machine": machine, "a": steps[:, 0], "t": np.repeat(np.arange(300), 3), "b": steps[:, 1]})
    detector = SeriesDetector(**SMALL, time="t").fit(frame, group="machine")
    assert (detector.model_.columns, detector.model_.group) == (["a", "b"], "machine")
    assert detector.model_.groups == ["m0", "m1", "m2"]
    detector.save(tmp_path / "m")
    loaded = SeriesDetector.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.anomaly_score(frame), detector.anomaly_score(steps, group=machine))


def test_update_keeps_machines_apart() -> None:
    steps, machine = interleaved(60)
    detector = SeriesDetector(**SMALL, causal=True).fit(*interleaved()[:1], group=interleaved()[1])
    found = [detector.update(step, group=name).scores[0] for step, name in zip(steps, machine, strict=True)]
    np.testing.assert_array_equal(found, detector.anomaly_score(steps, group=machine))


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "X", "words"),
    [
        ("machine", np.zeros((90, 1)), "group='machine' names a column, and the series is an array"),
        ("machine", pd.DataFrame({"a": [0.0] * 90}), "has no column 'machine' of groups; it has a"),
        (["a"] * 9, np.zeros((90, 1)), "group has 9 values, and the series has 90 time steps"),
        ("machine", pd.DataFrame({"a": [0.0, 1.0], "machine": ["m", None]}), "row 2, column 'machine': the group is"),
        ([*"ab"] * 45, wave(90), "no more than 45 normal time steps in a row, fewer than a window of 60"),
    ],
)
def test_groups_that_cannot_be_are_refused(group: Any, X: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SeriesDetector(**SMALL | {"window": 60}).fit(X, group=group)


def test_a_group_with_too_few_steps_is_left_out_with_its_name(fitted: SeriesDetector) -> None:
    steps, machine = interleaved()
    few = np.concatenate([steps, wave(9)]), np.concatenate([machine, ["m3"] * 9])
    with pytest.warns(UserWarning, match="1 of 4 groups have no 16 time steps in a row and are left out: 'm3'"):
        detector = SeriesDetector(**SMALL).fit(few[0], group=few[1])
    with pytest.warns(UserWarning, match="1 of 4 groups are shorter than the window of 16"):
        scores = detector.anomaly_score(few[0], group=few[1])
    assert np.isnan(scores[-9:]).all()
    assert np.isfinite(scores[:-9]).all()
