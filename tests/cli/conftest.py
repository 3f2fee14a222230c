"""What the tests of the commands share: labelled rows, and models of the normal ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import COLUMNS, QUICK, done, write_csv


@pytest.fixture(scope="session")
def data() -> np.ndarray[Any, Any]:
    """Sixty normal rows of three columns, and after them twenty anomalies."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(60, 3)), rng.normal(6, size=(20, 3))]).round(6)


@pytest.fixture(scope="session")
def columns(data: np.ndarray[Any, Any]) -> dict[str, list[Any]]:
    kind = ["fine"] * 40 + ["good"] * 20 + ["broken"] * 20
    identifier = [f'row "{i}", größe' for i in range(80)]
    return {"id": identifier, **{name: data[:, j].tolist() for j, name in enumerate(COLUMNS)}, "kind": kind}


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[Any]]) -> Path:
    """A folder with labelled data, a model of its normal rows, and a model of small images."""
    folder = tmp_path_factory.mktemp("fitted")
    train = write_csv(folder / "data.csv", columns)
    done("fit", train, "-o", folder / "m.tollad", "--label", "kind", "--normal", "fine", "--normal", "good",
         "--drop", "id", *QUICK)  # fmt: skip
    np.save(folder / "images.npy", np.random.default_rng(0).random((20, 5, 6)))
    done("fit", folder / "images.npy", "-o", folder / "images.tollad", *QUICK)
    return folder
