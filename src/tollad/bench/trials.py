"""Fit one method of `tollad.methods` on a task and measure it with both selections."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tollad import methods, metrics
from tollad.bench import machine
from tollad.bench.protocols import Task
from tollad.bench.results import Row
from tollad.bench.spec import Trial
from tollad.methods.method import Method
from tollad.training.checkpoint import Checkpoint


class _TimeIsUp(Exception):  # noqa: N818 - no error: it ends a fit whose state was saved
    pass


def best_path(checkpoint: Path) -> Path:
    """Return the path of the best state so far, beside a checkpoint."""
    return checkpoint.with_suffix(".best")


def measure(trial: Trial, task: Task, *, checkpoint: Path | None = None, deadline: float = float("inf")) -> Row | None:
    """Return the row of the results, or None if time was up and the state was saved.

    The method gets the rows of the files unchanged: its own recipe says how they are scaled.

    Parameters
    ----------
    trial : Trial
    task : Task
        The task of the trial.
    checkpoint : Path, optional
        File in which the state is kept, and from which an interrupted fit goes on.
    deadline : float
        By `time.monotonic`.

    Raises
    ------
    ValueError
        If the rows do not suit the method, or a checkpoint is of another trial or other rows, or was altered.
    FloatingPointError
        When a loss or a score is no longer a finite number.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    validation, test = _Part.of_validation(task, trial.n_validation), _Part.of_test(task, trial.n_test)
    method = _make(trial)
    kept = Checkpoint(best_path(checkpoint), _decisive(trial, task)) if checkpoint else None
    selection = _Selection(method, validation, kept, deadline)
    watched = validation is not None and trial.n_watches > 0
    try:
        method.fit(
            task.train,
            watch=selection if watched else None,
            n_watches=trial.n_watches if watched else 0,
            checkpoint=checkpoint,
        )
    except _TimeIsUp:
        return None
    fitted = time.perf_counter() - wall
    tested, every = test.metrics(method)
    last = {
        "step": max(selection.curve, default=None),
        "validation": None if validation is None else validation.metric(method),
        "test": tested,
    }
    scored = time.perf_counter() - wall - fitted
    diagnosis = method.diagnose(task.train) if hasattr(method, "diagnose") else {}
    best = None
    if validation is not None:
        best = _best_of_grid(trial, task, validation, test) if trial.grid else selection.best(test)
    return {
        "kind": "trial",
        "identity": trial.identity,
        "run": dataclasses.asdict(trial),
        "error": None,
        "last": last,
        "best_validation": best,
        "curve": {"step": list(selection.curve), "validation": list(selection.curve.values())},
        "diagnosis": diagnosis,
        "metrics": {"last": every},
        "metric": task.metric,
        "seconds": {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "fit": fitted,
            "score": scored,
        },
        "device": machine.device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _decisive(trial: Trial, task: Task) -> str:
    """Return a digest of all that decides the best state: the trial, its training rows and its validation rows."""
    digest = sha256(trial.identity.encode())
    for rows in (task.train, task.validation, task.validation_labels):
        if rows is not None:
            digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class _Part:
    """Validation or test rows, or some of them, with their labels."""

    rows: NDArray[Any]
    labels: NDArray[np.int64]
    cut: float | None

    @classmethod
    def of_validation(cls, task: Task, n: int | None) -> _Part | None:
        if task.validation is None or task.validation_labels is None:
            return None
        return cls._drawn(task.validation, task.validation_labels, task.cut, n)

    @classmethod
    def of_test(cls, task: Task, n: int | None) -> _Part:
        return cls._drawn(task.test, task.test_labels, task.cut, n)

    @classmethod
    def _drawn(cls, rows: NDArray[Any], labels: NDArray[np.int64], cut: float | None, n: int | None) -> _Part:
        if n is None or n >= len(rows):
            return cls(rows, labels, cut)
        chosen = np.sort(np.random.RandomState(0).choice(len(rows), n, replace=False))
        return cls(rows[chosen], labels[chosen], cut)

    def metric(self, method: Method) -> float:
        """Return the metric of the task."""
        return self.metrics(method)[0]

    def metrics(self, method: Method) -> tuple[float, dict[str, float]]:
        """Return the metric of the task, and all of `tollad.metrics` that need no threshold."""
        scores = method.anomaly_score(self.rows)
        if not np.isfinite(scores).all():
            raise FloatingPointError(f"{method.title}: a score is no longer a finite number")
        every = metrics.measure_all(self.labels, scores=scores)
        return every["auroc"] if self.cut is None else metrics.f1_at_share(self.labels, scores, self.cut), every


class _Selection:
    """Called during a fit. Keeps the earliest state with the best validation metric, in a file if there is one."""

    def __init__(self, method: Method, validation: _Part | None, kept: Checkpoint | None, deadline: float) -> None:
        self._method, self._validation, self._kept, self._deadline = method, validation, kept, deadline
        self.curve: dict[int, float] = {}
        self._best: tuple[int, float, Mapping[str, NDArray[Any]]] | None = None
        found = None if kept is None else kept.load()
        if found is not None:
            metadata, state = found
            self.curve = {int(step): value for step, value in metadata["curve"]}
            self._best = metadata["step"], metadata["value"], state

    def __call__(self, step: int) -> None:
        assert self._validation is not None
        value = self._validation.metric(self._method)
        self.curve[step] = round(value, 6)
        if self._best is None or value > self._best[1]:
            self._best = step, value, self._method.state()
        if self._kept is not None:
            metadata: dict[str, Any] = {
                "step": self._best[0],
                "value": self._best[1],
                "curve": [list(pair) for pair in self.curve.items()],
            }
            self._kept.save(metadata, dict(self._best[2]))
        if time.monotonic() > self._deadline:
            raise _TimeIsUp

    def best(self, test: _Part) -> dict[str, Any] | None:
        """Measure the best state; None for a method without steps."""
        if self._best is None:
            return None
        step, value, state = self._best
        self._method.load_state(state)
        return {"step": step, "validation": value, "test": test.metric(self._method)}


def _make(trial: Trial, **changed: Any) -> Any:
    return methods.make(trial.method, **{**dict(trial.settings), "seed": trial.seed, **changed})


def _best_of_grid(trial: Trial, task: Task, validation: _Part, test: _Part) -> dict[str, Any]:
    best: dict[str, Any] | None = None
    for values in _points(trial):
        method = _make(trial, **values).fit(task.train)
        value = validation.metric(method)
        if best is None or value > best["validation"]:
            best = {"step": None, "validation": value, "test": test.metric(method), "settings": values}
    assert best is not None
    return best


def _points(trial: Trial) -> Iterator[dict[str, Any]]:
    names = [name for name, _ in trial.grid]
    for values in itertools.product(*(values for _, values in trial.grid)):
        yield dict(zip(names, values, strict=True))
