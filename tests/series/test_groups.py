"""Many series side by side: one model, and no window of two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS

from tollad import SeriesDetector
from tollad.serve.answers import answers

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


# --- a model of each ------------------------------------------------------------------------------------------------


def fleet() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the steps of two machines of different size that take turns, then those of one with few steps."""
    steps = np.stack([wave(300), 10 + 5 * wave(300, seed=1)], axis=1).reshape(-1, 2)
    return np.concatenate([steps, wave(60)]), np.array(["m0", "m1"] * 300 + ["few"] * 60)


@pytest.fixture(scope="module", params=[False, True], ids=["mean", "causal"])
def each(request: pytest.FixtureRequest) -> SeriesDetector:
    with pytest.warns(
        UserWarning, match=r"1 of 3 groups have too few time steps .*, and are judged by that of all: 'few'"
    ):
        return SeriesDetector(**SMALL, per_group=True, causal=request.param).fit(fleet()[0], group=fleet()[1])


def test_a_model_of_each_group_is_that_of_its_steps_alone(each: SeriesDetector, tmp_path: Any) -> None:
    steps, machine = fleet()
    each.save(tmp_path / "m")
    common = SeriesDetector(**SMALL, causal=each.causal).fit(steps, group=machine)
    for detector in (each, SeriesDetector.load(tmp_path / "m")):
        judged = detector.judge(steps, group=machine)
        p = detector.p_value(steps, group=machine)
        for name in ("m0", "m1", "few"):
            its = steps[machine == name]
            alone = common if name == "few" else SeriesDetector(**SMALL, causal=each.causal).fit(its)
            expected = alone.judge(its)
            for part in ("scores", "thresholds", "alarms"):
                np.testing.assert_array_equal(getattr(judged, part)[machine == name], getattr(expected, part))
            np.testing.assert_array_equal(p[machine == name], alone.p_value(its))
        unknown = detector.judge(steps[:90], group=["new"] * 90)
        np.testing.assert_array_equal(unknown.scores, common.anomaly_score(steps[:90]))


def test_the_threshold_of_each_group_is_moved_by_its_own_steps(each: SeriesDetector, tmp_path: Any) -> None:
    each.save(tmp_path / "m")
    detector, alone = (SeriesDetector.load(tmp_path / "m") for _ in range(2))
    detector.set_threshold(contamination=0.2)
    for one in (detector.model_, *detector.model_.own.values()):
        assert one.decision.threshold == one.with_contamination(0.2).decision.threshold
    steps, machine = fleet()
    new = steps[machine == "m1"] + 0.01
    detector.calibrate(new, group=["m1"] * 300, false_alarm_rate=0.1)
    assert detector.model_.decision.rule == ("contamination", 0.2)
    alone.model_ = alone.model_.own["m1"]
    alone.calibrate(new, false_alarm_rate=0.1)
    assert detector.model_.own["m1"].decision.threshold == alone.threshold_


def test_update_asks_the_model_of_the_group() -> None:
    steps, machine = fleet()
    with pytest.warns(UserWarning, match="'few'"):
        detector = SeriesDetector(**SMALL, per_group=True, causal=True).fit(steps, group=machine)
    found = [detector.update(step, group=name).scores[0] for step, name in zip(steps[:80], machine[:80], strict=True)]
    np.testing.assert_array_equal(found, detector.anomaly_score(steps[:80], group=machine[:80]))


def test_a_score_alone_has_no_p_value_where_each_group_has_a_model(each: SeriesDetector) -> None:
    steps, machine = fleet()
    frame = pd.DataFrame(steps, columns=["x1", "x2"]).assign(machine=machine)
    assert sorted(answers(each, frame[["x1", "x2"]][:60])) == ["anomaly", "anomaly_score"]
    assert "p_value" in answers(SeriesDetector(**SMALL).fit(steps), steps[:60])


def test_a_channel_that_is_constant_in_one_group_is_named_with_it() -> None:
    steps, machine = fleet()
    steps[machine == "m1", 1] = 3
    with pytest.warns(UserWarning, match="constant in every time step of group 'm1': 'x2'; any other value"):
        SeriesDetector(**SMALL, per_group=True).fit(steps[:600], group=machine[:600])


def test_a_model_of_each_group_needs_groups() -> None:
    with pytest.raises(ValueError, match="a model for each group needs to know the group of each time step"):
        SeriesDetector(**SMALL, per_group=True).fit(wave(300))


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
