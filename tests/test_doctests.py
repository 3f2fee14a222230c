"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tollad

MODULES = ["tollad", *(found.name for found in pkgutil.walk_packages(tollad.__path__, "tollad."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {name for name in MODULES if any(test.examples for test in finder.find(importlib.import_module(name)))}
    assert {"tollad.terms", "tollad.objective", "tollad.stack", "tollad.batches", "tollad.detector"} <= found
