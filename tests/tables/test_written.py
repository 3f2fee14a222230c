"""Numbers with money, per cent and units are named as what they are, with the conversion; identifiers stay these."""

from __future__ import annotations

import pyarrow as pa
import pytest

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
    assert f"written like {example}; make them plain numbers by taking away {away}, or" in str(caught.value)
    assert "columns={'x': 'drop'}" in str(caught.value)
    assert fit_columns(table, {"x": "category"})[0].kind == "category"


@pytest.mark.parametrize("form", ["id{}", "12-{}", "A{}", "{}A", "street {}"])
def test_names_with_numbers_are_identifiers(form):
    with pytest.raises(ValueError, match="as an identifier does"):
        fit_columns(pa.table({"x": [form.format(k) for k in range(60)]}))


def test_few_of_them_are_levels():
    assert fit_columns(pa.table({"x": ["5 kg", "10 kg"] * 5}))[0].kind == "category"
