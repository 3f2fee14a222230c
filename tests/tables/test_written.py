"""Numbers with money, per cent and units are named as what they are, with the conversion; identifiers stay these."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tollad.io.dialect import Dialect, in_plain_form
from tollad.tables.survey import fit_columns


@pytest.mark.parametrize(
    ("form", "example", "away"),
    [
        ("${:,.2f}", "'$1,000.00'", "'$' and the commas that group digits"),
        ("{:.1f} %", "'1000.0 %'", "' %'"),
        ("{} kg", "'1000 kg'", "' kg'"),
        ("{:.2f} €", "'1000.00 €'", "' €'"),
        ("USD {}", "'USD 1000'", "'USD '"),
        ("{}km", "'1000km'", "'km'"),
        ("{}°C", "'1000°C'", "'°C'"),
    ],
)
def test_numbers_with_signs(form, example, away):
    table = pa.table({"x": [form.format(1000 + 37 * k) for k in range(60)]})
    with pytest.raises(ValueError, match="column 'x' holds numbers written like") as caught:
        fit_columns(table)
    assert f"written like {example}; make them plain numbers by taking away {away}, as frame['x'].str.replace(" in str(
        caught.value
    )
    assert "columns={'x': 'drop'}" in str(caught.value)
    assert fit_columns(table, {"x": "category"})[0].kind == "category"


GAUSS = np.random.default_rng(0).normal(size=60)
DAYS = [datetime(2023, 1, 1) + timedelta(days=8 * k, hours=5 * k) for k in range(60)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [f"{50000 + 137 * k:,}" for k in range(60)],
            "read them as 50000 with pandas.read_csv(thousands=','), or as 50.000 with pandas.read_csv(decimal=',')",
        ),
        (
            [f"{50000 + 137 * k + 0.5:,}" for k in range(60)],
            "'50,000.5'; read them as 50000.5 with pandas.read_csv(thousands=','), or leave",
        ),
        (
            [f"{1000 + 137 * k}000,5" for k in range(60)],
            "'1000000,5'; read them as 1000000.5 with pandas.read_csv(decimal=','), or leave",
        ),
        (
            [f"1.{k + 200}.500,25" for k in range(60)],
            "read them as 1200500.25 with pandas.read_csv(decimal=',', thousands='.')",
        ),
        ([f"{50 + k} {500 + k}" for k in range(60)], "read them as 50500 with pandas.read_csv(thousands=' '), or"),
        ([f"{50 + k}\u202f{500 + k}" for k in range(60)], r"50500 with pandas.read_csv(thousands='\u202f')"),
        ([f"{50 + k}'{500 + k}.5" for k in range(60)], 'read them as 50500.5 with pandas.read_csv(thousands="\'")'),
        ([f"({-x:.3f})" if x < 0 else f"{x:.3f}" for x in GAUSS], "write a minus sign in place of the parentheses"),
        ([f"{x:.3f}".replace("-", "\u2212") for x in GAUSS], "write the plain sign '-' for minus"),
        ([hex(k * 97) for k in range(60)], "hexadecimal numbers, written like '0x0'; turn them into decimal ones"),
        ([f"{k % 24:02}:{k:02}" for k in range(60)], "times of day or durations, written like '00:00'"),
        ([f"{k + 30}:{k:02}:07.5" for k in range(60)], "times of day or durations"),
        (
            [f"[{k}.5, -{k}, 3]" for k in range(60)],
            "several numbers in a value, written like '[0.5, -0, 3]'; split them",
        ),
        ([f"{k}.5, -{k}.25" for k in range(60)], "several numbers in a value"),
        ([f"{k}.5k" for k in range(60)], "taking away 'k'"),
        ([f"{k}.25m" for k in range(60)], "taking away 'm'"),
        ([f"R$ {k}.25" for k in range(60)], "taking away 'R$ '"),
        (
            [f"{('', '-')[k % 2]}US${k}" for k in range(60)],
            "taking away 'US$', as frame['x'].str.replace('US$', '') does",
        ),
        ([f"(${k})" if k % 2 else f"${k}" for k in range(60)], "taking away '$', as"),
        ([f"(${k})" if k % 2 else f"${k}" for k in range(60)], "and write a minus sign in place of parentheses"),
        ([f"~{k}" for k in range(60)], "taking away '~'"),
        ([f"{k}*" for k in range(60)], "taking away '*'"),
        ([f"{k % 3 + 1},{k + 10},456" for k in range(60)], "read them as 110456 with pandas.read_csv(thousands=',')"),
        ([f"{k}-" if k % 2 else str(k) for k in range(60)], "write the minus sign before the number"),
        ([f"{k}.5D+03" for k in range(60)], "write 'e' in place of 'D'"),
        (["\u0661\u0662", "\u0663"] * 30, "write them with the digits 0 to 9"),
        ([f"{k % 12 + 1:02}:{k:02} PM" for k in range(60)], "times of day or durations"),
        ([f"{k % 9} days 03:00:00" for k in range(60)], "durations, written like '0 days 03:00:00'"),
        ([f"PT{k}H" for k in range(60)], "pandas.to_timedelta(frame['x']).dt.total_seconds()"),
        ([f"{k} \u00b1 0.5" for k in range(60)], "several numbers in a value"),
        (
            [f"{k}.5 {'KMG'[k % 3]}B" for k in range(60)],
            "several units like '0.5 KB'; bring '0.5 KB' and '1.5 MB' into",
        ),
        ([f"{k} {('min', 'h')[k % 2]}" for k in range(60)], "numbers of several units"),
        ([f"{k}.5k" if k % 3 else str(900 + k) for k in range(60)], "bring '900' and '1.5k' into one unit"),
        (
            [f"{day:%b %d, %Y}" for day in DAYS],
            "'Jan 01, 2023'; read them with pandas.to_datetime(frame['x'], format='%b %d, %Y'), or keep",
        ),
        ([f"{day:%d-%b-%y}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%d-%b-%y'), or keep"),
        ([f"{day:%d %B %Y %H:%M}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%d %B %Y %H:%M'), or keep"),
        (
            [f"{day:%d/%b/%Y:%H:%M:%S}" for day in DAYS],
            "pandas.to_datetime(frame['x'], format='%d/%b/%Y:%H:%M:%S'), or keep",
        ),
        ([f"{day:%d.%m.%Y %H:%M}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%d.%m.%Y %H:%M'), or keep"),
        ([f"{day:%d/%b/%Y:%H:%M:%S} +0200" for day in DAYS], "format='%d/%b/%Y:%H:%M:%S %z'), or keep"),
        ([f"{day:%Y%m%dT%H%M%S}" for day in DAYS], "format='%Y%m%dT%H%M%S'), or keep"),
        ([day.ctime() for day in DAYS], "format='%a %b %d %H:%M:%S %Y'), or keep"),
        ([f"{k + 1}\u2009{500 + k}" for k in range(60)], "read them as 1500 with"),
        ([f"{1000 + k:_}" for k in range(60)], "read them as 1000 with pandas.read_csv(thousands='_')"),
        ([f"{day.year}/{day.month}/{day.day}" for day in DAYS], "'2023/1/1'; read them with pandas.to_datetime("),
        ([f"{day:%Y-%m}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%Y-%m'), or keep"),
        ([f"{day:%b %Y}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%b %Y'), or keep"),
        ([f"{day.year}-Q{(day.month + 2) // 3}" for day in DAYS], "quarters, written like '2023-Q1'; later rows have"),
        ([f"{day:KW %V/%G}" for day in DAYS], "weeks, written like 'KW 52/2022'; later rows have weeks"),
        (
            [f"{day:%d.%m.%Y}" if day.hour % 2 else f"{day:%d.%m.%Y %H:%M}" for day in DAYS],
            "dates of several forms, some written like '01.01.2023 00:00'; others are like '09.01.2023', so write",
        ),
        (
            [f"{day:{('%Y-%m-%d', '%d.%m.%Y', '%m/%d/%Y')[k % 3]}}" for k, day in enumerate(DAYS)],
            "some written like '2023-01-01'; others are like '09.01.2023' and '01/17/2023', so write all of them alike",
        ),
        (
            [f"{day:{('%d/%m/%Y', '%m/%d/%Y')[k % 2]}}" for k, day in enumerate(DAYS)],
            "dates of several forms, some written like '01/01/2023'; others are like ",
        ),
        ([f"{day:%Y-%m-%d %H:%M} CET" for day in DAYS], "the name of a zone, written like '2023-01-01 00:00 CET'; wri"),
        ([f"{day:%Y-%m-%dT%H:%M:%S}+01:00[Europe/Berlin]" for day in DAYS], "the name of a zone, written like"),
        ([f"{day:%d.%m.%y}" for day in DAYS], "pandas.to_datetime(frame['x'], format='%d.%m.%y'), or keep"),
    ],
)
def test_other_forms_are_named_with_what_to_do(values, words):
    with pytest.raises(ValueError, match="column 'x' holds") as caught:
        fit_columns(pa.table({"x": values}))
    assert words in str(caught.value)
    assert "leave them out with columns={'x': 'drop'}" in str(caught.value)


def test_a_format_that_is_named_reads_the_dates():
    for form in ("%b %d, %Y", "%d-%b-%y", "%d.%m.%y", "%d/%m/%Y %I:%M %p"):
        table = pa.table({"x": [day.strftime(form) for day in DAYS]})
        read = in_plain_form(table, Dialect(date_format=form), "row {}".format)
        assert fit_columns(read)[0].kind == "date"


@pytest.mark.parametrize("form", ["1.{}.7", "10.0.{}.1", "{}-39", "3:{}", "{}A", "12 Oak {}"])
def test_names_with_numbers_are_categories(form):
    """Versions, addresses, age groups, results of games, and sizes."""
    values = [form.format(k % 7 + 1) for k in range(60)]
    assert fit_columns(pa.table({"x": values}))[0].kind == "category"


@pytest.mark.parametrize("form", ["id{}", "12-{}", "A{}", "{}A", "street {}"])
def test_names_with_numbers_are_identifiers(form):
    with pytest.raises(ValueError, match="as an identifier does"):
        fit_columns(pa.table({"x": [form.format(k) for k in range(60)]}))


@pytest.mark.parametrize("form", ["LHR {}", "{}E", "W{}"])
def test_codes_with_letters_are_no_amounts_and_no_degrees(form):
    values = [form.format(k % 30) for k in range(60)]
    assert len(fit_columns(pa.table({"x": [*values, *(f"A{value}" for value in values[:9])]}))[0].levels) > 30


def test_few_of_them_are_levels():
    assert fit_columns(pa.table({"x": ["5 kg", "10 kg"] * 5}))[0].kind == "category"
    assert fit_columns(pa.table({"x": ["0x01", "0x02"] * 50}))[0].kind == "category"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("{0}.234,50-", "sign before the number, and read them with pandas.read_csv(decimal=',', thousands='.')"),
        ("({0},234.5)", "in place of the parentheses, and read them with pandas.read_csv(thousands=',')"),
        ("\u2212{0} 234,5", "sign '-' for minus, and read them with pandas.read_csv(decimal=',', thousands=' ')"),
        ("CHF {0}'234.-", "holds amounts without cents, written like"),
        ("{0}.234,-- \u20ac", "amounts without cents"),
        ("{1}\u00b0{1}'{1}.5\"N", "turn them into decimal degrees"),
        ("{0}.5 {1}.25", "several numbers in a value"),
        ("{1}. Januar 2024", "dates with the name of a month, written like '2. Januar 2024'; write months as numbers"),
        ("{1} f\xe9vr. 2024", "dates with the name of a month"),
        ("{1} de enero de 2024", "dates with the name of a month"),
        ("{1} \u043c\u0430\u044f 2024", "dates with the name of a month"),
        ("{1}-Dez-24", "dates with the name of a month"),
        ("2024\u5e743\u6708{1}\u65e5", "pandas.to_datetime(frame['x'], format='%Y\u5e74%m\u6708%d\u65e5')"),
        ("\u4ee4\u548c6\u5e743\u6708{1}\u65e5", "holds dates, written like"),
        ("{0}/7", "pairs of numbers, written like '1/7'; split them into two columns, or make one number of each"),
        ("{0}'{1}\"", "pairs of numbers"),
        ("$({0}.5)", "holds amounts, written like '$(1.5)'; make them plain numbers by taking away the currency"),
        ("{0}.5 {2}R", "make them plain numbers, with a minus sign for one of the two sides"),
        ("N {0}.25", "take away the letter, with a minus sign for south and west"),
        ("{0}.5\u00d710^3", "write 'e' in place of the sign and the 10"),
        ("{0}h {1}m", "turn them into seconds, as pandas.to_timedelta(frame['x'])"),
        ("({0}, {1})", "several numbers in a value"),
        ("{0}.5,{1}.25", "several numbers in a value"),
        ("2024-{0:03}", "pandas.to_datetime(frame['x'], format='%Y-%j')"),
        ("2024-01-{1:02} 1300", "pandas.to_datetime(frame['x'], format='%Y-%m-%d %H%M')"),
    ],
)  # fmt: skip
def test_forms_of_other_countries(form, words):
    with pytest.raises(ValueError, match="column 'x' holds") as caught:
        fit_columns(pa.table({"x": [form.format(k, 1 + k % 28, "CD"[k % 2]) for k in range(1, 61)]}))
    assert words in str(caught.value)


def test_words_that_begin_like_months_stay_words():
    words = [f"{k} {word} {k % 90 + 10}" for k in range(10, 30) for word in ("Blumen", "Steine")]
    with pytest.raises(ValueError, match="as an identifier does"):
        fit_columns(pa.table({"x": words}))


@pytest.mark.parametrize("form", ["1, 234, ", "1,234,", "1.5 ", "9", "1:30 ", "[1, "])
def test_no_pattern_tries_all_ways(form):
    """A number could once be cut in many ways, so that a list of many took longer than anybody waits."""
    table = pa.table({"x": [form * 40 + f"x{k}" for k in range(60)]})
    with pytest.raises(ValueError, match="as an identifier does"):
        fit_columns(table)


def test_the_page_counts_the_forms():
    page = Path(__file__).parents[2] / "docs" / "robustness.md"
    tests = (test_numbers_with_signs, test_other_forms_are_named_with_what_to_do, test_forms_of_other_countries)
    n_forms = sum(len(test.pytestmark[0].args[1]) for test in tests)
    assert f" {n_forms} forms are named with the conversion" in " ".join(page.read_text(encoding="utf-8").split())
