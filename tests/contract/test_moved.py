"""Former homes of modules that were divided: their names import as before."""

from __future__ import annotations

import importlib

import pytest

from tollad.tables import decode, encode, frames, schema, survey

NAMES = {
    schema: (
        "MISSING",
        "MAX_LEVELS",
        "Column",
        "Encoding",
        "Kind",
        "check_kinds",
        "date_column",
        "describe",
        "encoding",
    ),
    survey: ("Survey", "fit_columns"),
    encode: ("encode", "recode", "recount"),
    decode: ("decode", "typed", "values_of"),
    frames: ("all_numbers", "to_arrow"),
}


@pytest.mark.parametrize("former", ["columns", "tables.columns"])
def test_columns_have_the_names_they_had(former):
    module = importlib.import_module(f"tollad.{former}")
    for home, names in NAMES.items():
        for name in names:
            assert getattr(module, name) is getattr(home, name)
