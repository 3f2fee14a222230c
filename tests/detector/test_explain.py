"""Reasons in words and the splitting of scores; that parts add up for every detector is in test_detector.py."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from detectors import make, table

from tollad import TollDetector
from tollad.detector.explain import Explanation, sum_groups
from tollad.detector.scorer import split_error
from tollad.detector.wording import compared


def explained(seen: list[object], expected: list[object], parts: list[float], latent: float = 1.0) -> Explanation:
    names = ("age", "share in %", "city", "seen")[: len(parts)]
    return Explanation(
        names,
        np.array([sum(parts) + latent]),
        np.array([parts]),
        np.array([latent]),
        np.array([seen], dtype=object),
        np.array([expected], dtype=object),
    )


def test_words_are_of_the_kind_of_the_value() -> None:
    day = dt.datetime(2024, 2, 29)
    explanation = explained([3.0, None, "Lima", day], [41.23456, 0.5, "Bonn", "2023-07-01"], [4.0, 3.0, 1.5, 0.5])
    assert explanation.reasons(0, most=4) == [
        "age: 3, expected about 41.23 (40 % of the score)",
        "share in %: missing, expected about 0.5 (30 % of the score)",
        "city: Lima, expected Bonn (15 % of the score)",
        "seen: 2024-02-29, expected 2023-07-01 (5 % of the score)",
    ]
    assert explanation.finding(0, 2) == "city: Lima, expected Bonn"


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_numbers_of_numpy_are_numbers(kind: type) -> None:
    expected = "age: 3, expected about 100 (50 % of the score)"
    assert explained([kind(3)], [kind(100)], [1.0]).reasons(0) == [expected]


def test_gaps_of_numpy_are_missing() -> None:
    assert explained([np.float32("nan")], [0.5], [1.0]).finding(0, 0) == "age: missing, expected about 0.5"


def test_what_does_not_contribute_is_no_reason() -> None:
    assert explained([1.0, 2.0], [1.0, 3.0], [0.0, 2.0]).reasons(0) == [
        "share in %: 2, expected about 3 (67 % of the score)"
    ]
    assert explained([1.0], [1.0], [0.0], latent=0.0).reasons(0) == []


def test_long_texts_are_cut() -> None:
    explanation = explained([1.0, 1.0, "x" * 500], [1.0, 1.0, "y"], [0.0, 0.0, 1.0])
    assert explanation.finding(0, 2) == f"city: {'x' * 37}..., expected y"


def test_an_error_is_split_exactly() -> None:
    x, x_hat = np.zeros((1, 3, 2)), np.array([[[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]])
    parts, latent = split_error(x, x_hat, np.array([[6.0, 2.0, 0.5]]), np.array([[5.0, 2.0, 0.0]]))
    np.testing.assert_allclose(parts, [[[1.8, 3.2], [0, 2], [0, 0]]])
    np.testing.assert_allclose(latent, [[1.0, 0.0, 0.5]])


def test_rounding_makes_no_latent_part_negative() -> None:
    x, x_hat = np.zeros((1, 2, 3)), np.full((1, 2, 3), 0.1)
    error = np.sqrt(0.03)
    scores = np.array([[error * (1 - 1e-7), error * (1 + 1e-7)]])
    _, latent = split_error(x, x_hat, scores, np.full((1, 2), error))
    assert latent[0, 0] == 0 < latent[0, 1]


@pytest.mark.parametrize(("groups", "summed"), [([0, 1, 0], [[4, 2]]), ([1, 1, 1], [[0, 6]])])
def test_groups_are_summed(groups: list[int], summed: list[list[float]]) -> None:
    np.testing.assert_array_equal(sum_groups(np.array([[1.0, 2.0, 3.0]]), groups, 2), summed)


N = 400


def mixed():
    rng = np.random.default_rng(0)
    hours = rng.integers(0, 200, N) * 24 + rng.normal(13, 1, N)
    streets = rng.permutation([*np.repeat(np.arange(60), 6), *range(60, 100)])
    return pd.DataFrame(
        {
            "x": rng.normal(size=N),
            "when": pd.Timestamp("2024-01-01", tz="Europe/Berlin") + pd.to_timedelta(hours, unit="h").floor("s"),
            "weather": rng.permutation(["sun"] * 240 + ["rain"] * 156 + ["snow"] * 4),
            "street": np.char.add("s", streets.astype(str)),
        }
    )


@pytest.fixture(scope="module")
def detector():
    return make(steps=60).fit(mixed())


class TestWording:
    """What is unusual about values of mixed columns."""

    def test_a_value_never_seen_is_said_to_be(self, detector):
        explanation = detector.explain(mixed().iloc[:2].assign(street=["elsewhere", "s70"], weather="hail"))
        assert explanation.finding(0, 3) == "street: elsewhere, seen in no training row"
        assert explanation.finding(1, 3) == "street: s70, rare: 1 of 400 training rows"
        assert re.fullmatch(
            "weather: hail, seen in no training row, expected (sun|rain|snow)", explanation.finding(0, 2)
        )

    def test_a_value_that_is_expected_is_not_said_to_be_odd_by_itself(self, detector):
        explanation = detector.explain(mixed())
        sun = [explanation.finding(row, 2) for row in range(N) if explanation.seen[row, 2] == "sun"]
        assert any(
            re.fullmatch(r"weather: sun, 240 of 400 training rows, expected with probability \d\.\d\d", s) for s in sun
        )
        for row in range(N):
            for finding in map(explanation.finding, [row] * 4, range(4)):
                seen, _, expected = finding.partition(": ")[2].partition(", expected ")
                assert seen != expected.removeprefix("about ")

    def test_the_guilty_part_of_a_date_is_named_in_local_time(self, detector):
        night = [pd.Timestamp("2024-05-05 03:10", tz="Europe/Berlin")]
        finding = detector.explain(mixed().iloc[:1].assign(when=night)).finding(0, 1)
        assert re.fullmatch(r"when: 2024-05-05 03:10:00\+02:00, hour 03, expected about \d\d", finding)
        late = [pd.Timestamp("2034-05-05 13:00", tz="Europe/Berlin")]
        finding = detector.explain(mixed().iloc[:1].assign(when=late)).finding(0, 1)
        assert re.fullmatch(r"when: 2034-05-05 13:00:00\+02:00, expected 20\d\d-\d\d-\d\d", finding)

    def test_parts_still_sum_to_the_score(self, detector):
        explanation = detector.explain(mixed())
        np.testing.assert_allclose(explanation.parts.sum(1) + explanation.latent, explanation.scores, rtol=1e-12)

    def test_names_can_be_replaced(self, detector):
        explanation = replace(detector.explain(mixed().iloc[:1]), names=("pressure, 3 steps ago", "b", "c", "d"))
        assert explanation.finding(0, 0).startswith("pressure, 3 steps ago: ")


def test_numbers_that_look_alike_are_shown_to_more_digits() -> None:
    assert explained([1000.01], [1000.02], [1.0]).finding(0, 0) == "age: 1000.01, expected about 1000.02"
    assert explained([3.0], [3.0], [1.0]).finding(0, 0) == "age: 3, as expected"


def test_columns_named_by_numbers_keep_their_names(tmp_path: Path) -> None:
    rows = pd.DataFrame(table())
    detector = make().fit(rows)
    detector.save(tmp_path / "m")
    for fitted in (detector, TollDetector.load(tmp_path / "m")):
        assert fitted.explain(rows).names == ("0", "1", "2", "3", "4")
    assert make().fit(rows).fit(table()).explain(table()).names == ("x1", "x2", "x3", "x4", "x5")


def test_values_in_reasons_cannot_steer_a_terminal():
    assert compared("\x1b[2Jnone", "a\nb") == "\\x1b[2Jnone, expected a\\nb"


@pytest.mark.parametrize(
    ("seen", "expected", "words"),
    [
        (47_104.2, 45_780.0, "47100, expected about 45780"),
        (-1_234_567.0, 2e20, "-1235000, expected about 2e+20"),
        (49_309_012_345.0, 49_306_612_345.0, "49309000000, expected about 49306600000"),
        (1e-7, 0.5, "1e-07, expected about 0.5"),
        (0.1, 0.1, "0.1, as expected"),
    ],
)
def test_large_numbers_are_written_as_people_write_them(seen, expected, words):
    assert compared(seen, expected) == words


def test_parts_that_would_be_shown_as_none_are_left_out() -> None:
    reasons = explained([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [99.0, 0.6, 0.3], latent=0.1).reasons(0)
    assert [reason.rpartition("(")[2] for reason in reasons] == ["99 % of the score)", "1 % of the score)"]
    assert len(explained([1.0, 2.0], [2.0, 3.0], [0.2, 0.1], latent=99.7).reasons(0)) == 1
