"""A small series in files, and models of it, for the tests of series on the command line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import Result
from commands import done, tollad

SMALL = ("--network", "conv1d", "--hidden", "4", "--latent-dim", "4", "--steps", "10", "--quiet")
N = 400


def refused(*arguments: object) -> str:
    """Return the one line that a command says when it fails."""
    result = tollad(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    return line


def series(n: int = N, seed: int = 0, odd: slice | None = None) -> dict[str, list[Any]]:
    """Two noisy waves, one of them off in a stretch."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    kind = np.full(n, "fine")
    if odd is not None:
        waves[odd, 1] += 6
        kind[odd] = "odd"
    return {"t": list(range(n)), "a": waves[:, 0].tolist(), "b": waves[:, 1].tolist(), "kind": kind.tolist()}


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def steps(columns: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    return np.array([columns["a"], columns["b"]]).T


def fit_arguments(data: Path, model: Path) -> tuple[object, ...]:
    return ("fit", data, "-o", model, "--window", 16, "--time", "t", "--drop", "kind", *SMALL)


def fit(home: Path, *arguments: object) -> Result:
    return done("fit", *arguments, "--window", 16, "--time", "t", "--drop", "kind", *SMALL)


def make_home(folder: Path) -> Path:
    """Fill a folder with a series, a model of it, and a series with an odd stretch."""
    write(folder / "train.csv", series())
    write(folder / "new.csv", series(300, seed=1, odd=slice(200, 215)))
    fit(folder, folder / "train.csv", "-o", folder / "m.tollad", "--stride", 3)
    return folder
