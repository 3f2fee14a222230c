"""Numbers with decimal signs and grouped digits are read in every way that they can mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad.tables.numerals import grouped, readings


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("62,711", {".": "62711", ",": "62.711"}),
        ("0,097", {",": "0.097"}),
        ("-1,5", {",": "-1.5"}),
        ("1.234,5", {",": "1234.5"}),
        ("1,234.5", {".": "1234.5"}),
        ("1'234.50", {".": "1234.50"}),
        ("1 234", {".": "1234"}),
        ("1.234.567", {",": "1234567"}),
        ("12,345,6", {}),
        ("12.5", {}),
        ("1234", {}),
        ("old", {}),
    ],
)
def test_readings(text, read):
    assert readings(text) == read


@given(st.integers(-(10**12), 10**12), st.sampled_from(",.' "))
def test_grouped_digits_are_read_back(number, sign):
    written = f"{number:,}".replace(",", sign)
    decimal = "," if sign == "." else "."
    assert re.match(grouped(decimal), written)
    if not re.fullmatch(r"-?\d*\.?\d*", written):  # 1.234 is a plain number
        assert int(readings(written)[decimal]) == number


def test_a_leading_zero_begins_no_group():
    assert not re.match(grouped("."), "0,123")
