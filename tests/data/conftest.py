"""Where the tests of data sets look for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tollad.data.catalogue import CATALOGUE, data_dir, find


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty folder that TOLLAD_DATA names."""
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path / "sets"))
    return tmp_path / "sets"


@pytest.fixture
def real():
    """Skip, naming the set, where a real one is absent."""

    def need(name: str) -> str:
        if "TOLLAD_DATA" not in os.environ or not all(find(name, file) for file in CATALOGUE[name].files):
            pytest.skip(f"needs the data set {name} in TOLLAD_DATA ({data_dir()})")
        return name

    return need
