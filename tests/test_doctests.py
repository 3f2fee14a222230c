"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tollad

# Modules for another package, which need not be there.
OPTIONAL = {"tollad.detector.pyod": "pyod"}
MODULES = ["tollad", *(found.name for found in pkgutil.walk_packages(tollad.__path__, "tollad."))]


# MLflow warns of types that only its own classes have.
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ("method.terms", "method.objective", "training.stack", "training.batches", "detector.estimator"):
        found = finder.find(importlib.import_module(f"tollad.{name}"))
        assert any(test.examples for test in found), name
