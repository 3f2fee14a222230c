"""Reasons in words and the splitting of scores; that parts add up for every detector is in test_detector.py."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from tollad.detector.explain import Explanation, split_error, sum_groups


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
    parts, latent = split_error(x, x_hat, np.array([[6.0, 2.0, 0.5]]))
    np.testing.assert_allclose(parts, [[[1.8, 3.2], [0, 2], [0, 0]]])
    np.testing.assert_allclose(latent, [[1.0, 0.0, 0.5]])


def test_rounding_makes_no_latent_part_negative() -> None:
    x, x_hat = np.zeros((1, 2, 3)), np.full((1, 2, 3), 0.1)
    error = np.sqrt(0.03)
    _, latent = split_error(x, x_hat, np.array([[error * (1 - 1e-7), error * (1 + 1e-7)]]))
    assert latent[0, 0] == 0 < latent[0, 1]


@pytest.mark.parametrize(("groups", "summed"), [([0, 1, 0], [[4, 2]]), ([1, 1, 1], [[0, 6]])])
def test_groups_are_summed(groups: list[int], summed: list[list[float]]) -> None:
    np.testing.assert_array_equal(sum_groups(np.array([[1.0, 2.0, 3.0]]), groups, 2), summed)
