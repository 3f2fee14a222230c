"""Small tasks, runs and tables, made in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tollad.bench.preprocessing import Preprocessing
from tollad.bench.protocols import Task
from tollad.bench.spec import Run

LABELS = np.repeat([0, 1], 20)


def table_task(seed: int = 0, *, validates: bool = True, cut: float | None = None) -> Task:
    """A table of 6 columns whose anomalies lie farther out."""
    rng = np.random.default_rng(seed)

    def rows() -> np.ndarray:
        return rng.normal(size=(40, 6)) * (1 + LABELS[:, None])

    return Task(
        name=f"table/{seed}",
        train=rng.normal(size=(60, 6)),
        validation=rows() if validates else None,
        validation_labels=LABELS if validates else None,
        test=rows(),
        test_labels=LABELS,
        preprocessing=Preprocessing("none"),
        metric="auroc" if cut is None else "f1",
        cut=cut,
    )


def image_task(seed: int = 0, n_train: int = 30, constants: tuple[float, float] = (-2.0, 3.0)) -> Task:
    """Images of 3 channels and 8 x 9 pixels, preprocessed as CIFAR's."""
    rng = np.random.default_rng(seed)

    def rows(n: int) -> np.ndarray:
        return rng.integers(0, 256, (n, 3, 8, 9), dtype=np.uint8)

    preprocessing = Preprocessing("contrast", constants)
    return Task(f"images/{seed}", rows(n_train), rows(40), LABELS, rows(40), LABELS, preprocessing, "auroc")


RUN: dict[str, Any] = {
    "protocol": "synthetic",
    "dataset": "table",
    "network": "mlp",
    "latent_dim": 2,
    "hidden": (8,),
    "beta": 1.0,
    "learning_rate": 1e-2,
    "batch_size": 20,
    "steps": 40,
    "validate_every": 5,
}


def table_run(**values: Any) -> Run:
    """A run of a tiny dense network."""
    return Run.from_values(RUN | values)


def image_run(**values: Any) -> Run:
    """A run of a tiny network of convolutions."""
    return table_run(**{"dataset": "images", "network": "conv", "hidden": (4,), "steps": 10, **values})


def table_text(cells: str, methods: str, *, title: str = "A table", notes: tuple[str, ...] = (), **run: Any) -> str:
    """The TOML text of a table with 3 seeds, of MNIST unless its runs are given other values."""
    values = {
        "protocol": "one_class",
        "dataset": "mnist",
        "network": "conv28",
        "latent_dim": 8,
        "beta": 1,
        "learning_rate": 1e-3,
        "batch_size": 10,
        "steps": 20,
        "validate_every": 10,
        **run,
    }
    head = [f'title = "{title}"', 'metric = "auroc"', "seeds = 3", f"notes = {json.dumps(notes)}"]
    shared = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join([*head, "[run]", *shared, "[cells]", cells, methods])


def adbench_table(path: Path, n_normal: int = 30, n_anomalies: int = 5, **changed: Any) -> str:
    """Write a table of ADBench, whose rows (2k, 2k + 1) tell their number, and return its path."""
    labels = np.r_[np.zeros(n_normal, int), np.ones(n_anomalies, int)]
    arrays = {"X": np.arange(len(labels) * 2.0).reshape(-1, 2), "y": labels, **changed}
    np.savez(path, **arrays)
    return str(path)
