"""Train the runs of one stack and measure them with both selections."""

from __future__ import annotations

import dataclasses
import datetime
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad import metrics
from tollad.bench import machine, measures
from tollad.bench.clock import Pace, Stopwatch
from tollad.bench.device_rows import DeviceRows, Held, Part
from tollad.bench.protocols import Task
from tollad.bench.results import Row
from tollad.bench.spec import SHARED, Run, Work
from tollad.bench.values import digest
from tollad.methods.targeted import TargetedCollapse
from tollad.training import scoring
from tollad.training.checkpoint import Checkpoint
from tollad.training.drive import resume
from tollad.training.loop import Precision
from tollad.training.session import Session

# Rows of each member that are scored at once. On a CPU they are few, so that intermediate values stay in the cache.
_BLOCK = {"cpu": 100, "cuda": 2000}
_DENSE_BLOCK = 10_000
# Seconds between two saves of the state.
_SAVE_EVERY = 60.0

OnProgress: TypeAlias = Callable[[int, list[float]], None]


def execute(
    runs: Sequence[Run],
    tasks: Sequence[Task],
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    deadline: float = float("inf"),
    progress: OnProgress = lambda step, validation: None,
) -> list[Row] | None:
    """Train runs as one stack and return a row for each.

    Every `validate_every` steps the validation rows are scored in evaluation mode; the weights are kept when the metric
    is strictly above 0 and all earlier metrics. So the earliest best wins. A member whose loss or scores are no longer
    finite gets a row with an error; the other members are not affected.

    Parameters
    ----------
    runs : sequence of M Runs
        Alike in `tollad.bench.spec.SHARED`.
    tasks : sequence of M Tasks
        The task of each run. Equal tasks should be one object.
    device : torch.device
        A CPU or a CUDA device.
    checkpoint : Path, optional
        File to which the state is saved about every minute, and from which an interrupted training goes on. The caller
        removes it once the rows are safe. A file that cannot be used is ignored, with a warning.
    deadline : float
        By `time.monotonic`. Training saves its state and stops then.
    progress : callable
        Called about every minute with the steps done and the last validation metrics (empty without a validation).

    Returns
    -------
    list of M rows, or None
        `docs/reproduction.md` describes a row. None if the deadline came first.

    Raises
    ------
    ValueError
        If the runs differ in a field that a stack shares, do not suit the tasks, or the device is no CPU or CUDA
        device.
    """
    _check(runs, device)
    with machine.products(runs[0].precision):
        training = _Training(runs, tasks, device)
        saved = None if checkpoint is None else Checkpoint(checkpoint, _identity(runs), _SAVE_EVERY)
        if saved is not None:
            try:
                training.resume(saved)
            except (ValueError, KeyError) as error:
                # Damaged, or of another version. A checkpoint only saves time, so the training begins anew.
                warnings.warn(f"{runs[0]} begins anew, its checkpoint cannot be used: {error}", stacklevel=2)
                training = _Training(runs, tasks, device)
        return training.rows() if training.run(saved, deadline, progress) else None


def measure_pace(runs: Sequence[Run], tasks: Sequence[Task], device: torch.device) -> Pace:
    """Time a few steps of a stack and the scoring of a block of rows. Nothing is kept.

    Parameters and errors as in `execute`.
    """
    _check(runs, device)
    with machine.products(runs[0].precision):
        return _Training(runs, tasks, device).pace()


def _check(runs: Sequence[Run], device: torch.device) -> None:
    for name in SHARED:
        if any(getattr(run, name) != getattr(runs[0], name) for run in runs):
            raise ValueError(f"the runs of a stack must have one {name}")
    if device.type not in _BLOCK:
        raise ValueError(f"runs need a cpu or a cuda device, not {device.type}")
    if runs[0].precision == "tf32" and device.type != "cuda":
        raise ValueError("precision 'tf32' needs a CUDA device; use float32")


def _identity(runs: Sequence[Run]) -> str:
    return digest([run.identity for run in runs])


class _Training:
    """A stack in training, and its measurements."""

    def __init__(self, runs: Sequence[Run], tasks: Sequence[Task], device: torch.device) -> None:
        first, shape = runs[0], tasks[0].train.shape[1:]
        self._stack, self._objective = TargetedCollapse.stacked([run.method for run in runs], shape, device)
        self._runs = runs
        self._tasks = tasks
        self._precision: Precision = "bf16" if first.precision == "bf16" else "float32"
        self._rows = DeviceRows(tasks, device)
        self._validates = tasks[0].validation is not None
        self._session = Session(
            self._stack,
            self._objective,
            self._rows.batches(first.batch_size, [run.batch_seed for run in runs], first.validate_every),
            steps=first.steps,
            every=first.validate_every,
            learning_rate=first.learning_rate,
            precision=self._precision,
            measure=self._validate if self._validates else None,
            better="higher",
            keep_failures=True,
            loss_type=torch.float64,
        )
        self._clock = Stopwatch(device)
        self._since = self._clock.mark()
        self._seconds: dict[str, list[float]] = {"training": [], "validation": []}
        # Wall and processor seconds of earlier calls, and the start of this one.
        self._spent = np.zeros(2)
        self._began = np.array([time.perf_counter(), time.process_time()])
        self._keep_times()

    def resume(self, saved: Checkpoint) -> None:
        """Go on from the saved state, if there is one."""
        if resume(self._session, saved):
            self._seconds = self._session.notes["seconds"]
            self._spent = np.array(self._session.notes["spent"])

    def run(self, saved: Checkpoint | None, deadline: float, progress: OnProgress) -> bool:
        """Train to the end. Return False if the deadline came first."""
        self._since = self._clock.mark()
        told_at = time.monotonic()

        def observe(session: Session) -> None:
            nonlocal told_at
            if not self._validates:
                self._note("training", self._since)
            if time.monotonic() - told_at > _SAVE_EVERY:
                told_at = time.monotonic()
                progress(session.step, session.history.held_out[-1] if self._validates else [])
            self._since = self._clock.mark()

        return self._session.run(saved, observe=observe, deadline=deadline)

    def rows(self) -> list[Row]:
        """Measure the test rows with both selections and return the rows of the results."""
        session, failed_at = self._session, self._session.failed_at
        tested, every = {}, {}
        for selection in ("last", "best_validation") if self._validates else ("last",):
            if selection == "best_validation":
                session.load_best()
            scores = self._scores("test")
            tested[selection] = self._metric("test", scores).tolist()
            every[selection] = _all_metrics(self._rows.labels("test"), scores)
            finite = scores.isfinite().all(1).tolist()
            failed_at = [step or (0 if fine else session.step) for step, fine in zip(failed_at, finite, strict=True)]
        common = self._common()
        rows = []
        for i, run in enumerate(self._runs):
            if failed_at[i]:
                error = f"the loss or a score was no longer a finite number at step {failed_at[i]}"
                rows.append({**failed_row(run, error), **common})
            else:
                row = {"kind": "run", "identity": run.identity, "run": dataclasses.asdict(run), "error": None}
                own = {selection: values[i] for selection, values in tested.items()}
                others = {"metrics": {selection: values[i] for selection, values in every.items()}}
                rows.append({**row, **self._outcome(i, own), **others, **common})
        return rows

    def pace(self) -> Pace:
        """Time training steps and the scoring of a block. The stack cannot be trained afterwards."""
        steps = self._session.trial()
        step = self._clock.seconds_of(lambda: next(steps))
        block = Held(self._rows.part("test")[: self._block])
        self._stack.eval()
        a_row = self._clock.seconds_of(lambda: self._score(block)) / len(block)
        validation = self._tasks[0].validation
        n_validation = 0 if validation is None else len(validation)
        return Pace(step, a_row * n_validation, a_row * len(self._tasks[0].test))

    @property
    def _block(self) -> int:
        return _DENSE_BLOCK if self._stack.is_dense else _BLOCK[self._stack.device.type]

    def _validate(self) -> Tensor:
        """Return the validation metric of each member, NaN where a score is no finite number."""
        self._note("training", self._since)
        start = self._clock.mark()
        scores = self._scores("validation")
        value = self._metric("validation", scores)
        value = torch.where(scores.isfinite().all(1), value, torch.nan)
        self._note("validation", start)
        return value

    def _scores(self, part: Part) -> Tensor:
        """Return anomaly scores in evaluation mode, (M, n)."""
        return self._score(self._rows.part(part))

    def _score(self, rows: scoring.Sliced) -> Tensor:
        blocks = scoring.run(self._stack, rows, self._rows.prepare, block_rows=self._block, precision=self._precision)
        return torch.cat([self._objective(x, x_hat, z) for x, x_hat, z in blocks], 1)

    def _metric(self, part: Part, scores: Tensor) -> Tensor:
        labels, cut = self._rows.labels(part), self._tasks[0].cut
        if self._tasks[0].metric == "auroc":
            return measures.auroc(labels, scores)
        assert cut is not None
        return measures.f1_at_share(labels, scores, cut)

    def _note(self, what: str, start: Any) -> None:
        self._seconds[what].append(self._clock.between(start, self._clock.mark()))
        self._keep_times()

    def _keep_times(self) -> None:
        """Put the times into the notes of the session, so that a checkpoint holds them."""
        self._session.notes.update(seconds=self._seconds, spent=self._total_spent().tolist())

    def _total_spent(self) -> NDArray[np.float64]:
        return self._spent + np.array([time.perf_counter(), time.process_time()]) - self._began

    def _outcome(self, member: int, tested: dict[str, float]) -> Row:
        """Return the results of a member by both selections."""
        history = self._session.history
        validation = [values[member] for values in history.held_out]
        best_step, best = self._session.best[member]
        return {
            "last": {
                "step": self._session.step,
                "validation": validation[-1] if self._validates else None,
                "test": tested["last"],
            },
            "best_validation": {"step": best_step, "validation": best, "test": tested["best_validation"]}
            if self._validates
            else None,
            "curve": {
                "step": history.step,
                "loss": [float(f"{values[member]:.6g}") for values in history.loss],
                "validation": [round(value, 6) for value in validation] if self._validates else None,
            },
        }

    def _common(self) -> Row:
        """Return the part of a row that all members share: the times, the device and the versions."""
        first, n_members, device = self._runs[0], len(self._runs), self._stack.device
        wall, cpu = self._total_spent().tolist()
        step = float(np.median(self._seconds["training"])) / first.validate_every
        shape = self._tasks[0].train.shape[1:]
        flops = n_members * machine.training_flops(
            first.network, shape, first.latent_dim, first.hidden, first.batch_size
        )
        return {
            "metric": self._tasks[0].metric,
            "members": n_members,
            # Times of the whole stack.
            "seconds": {
                "wall": wall,
                "cpu": cpu,
                "step": step,
                "validation": float(np.median(self._seconds["validation"])) if self._validates else None,
            },
            "flops": {
                "step": flops,
                "per_second": flops / step,
                # A device that only emulates the precision is faster in float32.
                "peak_per_second": max(machine.peak_flops(device, p) for p in {first.precision, "float32"}),
            },
            "device": machine.device_name(device),
            "threads": torch.get_num_threads(),
            "versions": machine.versions(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def _all_metrics(labels: Tensor, scores: Tensor) -> list[dict[str, float]]:
    """Return the metrics of `tollad.metrics` without a threshold by member; none if a score is not finite."""
    rows = zip(labels.cpu().numpy(), scores.double().cpu().numpy(), strict=True)
    return [metrics.measure_all(own, scores=values) if np.isfinite(values).all() else {} for own, values in rows]


def failed_row(item: Work, error: str) -> Row:
    """Return the row of a run or a baseline that has no result, and why."""
    row = {"kind": item.kind, "identity": item.identity, "run": dataclasses.asdict(item), "error": error}
    return {**row, "last": None, "best_validation": None, "curve": None}
