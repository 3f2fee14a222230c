"""What reasons say of gaps and truth values; other reasons are in test_explain.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from detectors import make

N = 400
DAYS = np.arange(N) % 3
ODD = {"flag": True, "bit": 0, "note": "a", "rare": 5.0, "day": pd.Timestamp("2024-01-05"), "always": np.nan}


def filled(share: float, value: object, other: object = None) -> np.ndarray:
    values = np.full(N, other, dtype=object)
    values[: round(share * N)] = value
    return np.random.default_rng(0).permutation(values)


def rows() -> pd.DataFrame:
    numbers = np.random.default_rng(1).normal(size=(N, 2))
    return pd.DataFrame(
        {
            "flag": filled(0.11, True, False).astype(bool),
            "bit": filled(0.89, 1, 0).astype(int),
            "note": filled(0.03, "a"),
            "rare": pd.to_numeric(pd.Series(filled(0.03, 5.0))) + 0.1 * numbers[:, 0],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(pd.Series(filled(0.03, 4.0, np.nan)) + DAYS, "D"),
            "always": numbers[:, 1],
        }
    )


@pytest.fixture(scope="module")
def of_mixed_columns():
    return make(steps=20).fit(rows())


@pytest.fixture(scope="module")
def of_numbers():
    return make(steps=20).fit(rows()[["flag", "bit", "rare", "always"]])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("flag", "true, where false is usual: 89 % of the training rows"),
        ("bit", "0, where 1 is usual: 89 % of the training rows"),
        ("note", "a, present, where 97 % of the training rows have none"),
        ("rare", "5, present, where 97 % of the training rows have none"),
        ("day", "2024-01-05, present, where 97 % of the training rows have none"),
        ("always", "missing, where all training rows have a value"),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'always' has missing values")
def test_what_is_odd_is_said_as_a_person_would(of_mixed_columns, of_numbers, column, words):
    odd = rows().iloc[:1].assign(**{column: [ODD[column]]})
    for detector in (of_mixed_columns, of_numbers):
        explanation = detector.explain(odd[list(detector.feature_names_in_)])
        if column in explanation.names:  # true and false are given as such, or were learnt as such
            assert explanation.finding(0, explanation.names.index(column)).startswith(f"{column}: {words}")


def test_what_is_usual_is_not_said_to_be_odd(of_mixed_columns):
    usual = rows().assign(flag=False, bit=1, note=None, rare=np.nan, day=pd.NaT).iloc[:1]
    explanation = of_mixed_columns.explain(usual)
    said = [explanation.finding(0, column).partition(" of the training rows")[0] for column in range(5)]
    assert said == ["flag: false, as in 89 %", "bit: 1, as in 89 %"] + [
        f"{name}: missing, as in 97 %" for name in ("note", "rare", "day")
    ]


def test_a_value_far_from_the_few_others_is_compared_with_them(of_mixed_columns):
    explanation = of_mixed_columns.explain(rows().iloc[:1].assign(rare=[500.0]))
    assert explanation.finding(0, 3).startswith(
        "rare: 500, present, where 97 % of the training rows have none; expected about "
    )


def test_a_truth_value_that_the_others_speak_against():
    """The usual value is odd where another column tells the other one."""
    bits = filled(0.4, True, False).astype(bool)
    detector = make(steps=100, contamination=0.4).fit(pd.DataFrame({f"x{j}": bits for j in range(6)}))
    explanation = detector.explain(pd.DataFrame({"x0": [False], **{f"x{j}": [True] for j in range(1, 6)}}))
    assert explanation.finding(0, 0) == "x0: false, as in 60 % of the training rows, but true is expected here"
    assert explanation.finding(0, 1) == "x1: true, as in 40 % of the training rows"


def test_truth_values_learnt_as_words_are_said_so_when_given_as_numbers(of_mixed_columns):
    explanation = of_mixed_columns.explain(rows().iloc[:1].assign(flag=[1]))
    assert explanation.finding(0, 0).startswith("flag: true, where false is usual")


def test_a_text_that_says_missing_is_none():
    frame = pd.DataFrame({"a": np.arange(60) % 7 / 3, "c": ["missing", "there", "gone, too"] * 20})
    explanation = make(steps=5).fit(frame).explain(frame[:1])
    assert explanation.finding(0, 1).startswith("c: missing, ")
    assert "have a value" not in explanation.finding(0, 1)
