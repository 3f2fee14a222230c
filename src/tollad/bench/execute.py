"""Train the runs of one stack and measure them with both selections.

Nothing here waits for the device within the loop: batches, losses, validation scores, metrics and the copy of the best
weights stay on it. It is asked for numbers about once a minute, to save the state, and at the end.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.bench import machine, measures
from tollad.bench.feed import Feed, Part
from tollad.bench.protocols import Task
from tollad.bench.results import Row
from tollad.bench.spec import Run, Work
from tollad.io import artifact
from tollad.method.objective import Objective
from tollad.training.build import build_stack
from tollad.training.loop import Adam, Precision, train
from tollad.training.stack import Stack

# Rows of each member that are scored at once. On a CPU the values between convolutions should stay in its cache.
_BLOCK = {"cpu": 100, "cuda": 2000}
_DENSE_BLOCK = 10_000
# Seconds between two saves of the state.
_SAVE_EVERY = 60.0
# To learn the pace, calls are timed for so many seconds; one that takes as long as this is timed once.
_TIMED = 0.5
_LONG_CALL = 10.0

# What runs of one stack have in common; the others may differ from member to member.
SHARED = (
    "protocol",
    "dataset",
    "network",
    "latent_dim",
    "hidden",
    "norm",
    "learning_rate",
    "batch_size",
    "steps",
    "validate_every",
    "precision",
)

Progress: TypeAlias = Callable[[int, list[float]], None]


def execute(
    runs: Sequence[Run],
    tasks: Sequence[Task],
    device: torch.device,
    *,
    checkpoint: Path | None = None,
    deadline: float = float("inf"),
    progress: Progress = lambda step, validation: None,
) -> list[Row] | None:
    """Train runs as one stack and return a row for each.

    Every `validate_every` steps the validation rows are scored in evaluation mode; the weights are kept when the metric
    is strictly above all before, from 0. So the earliest best wins. A member whose loss or scores are no longer finite
    gets a row with an error, and the others are what they are without it.

    Parameters
    ----------
    runs : sequence of M Runs
        Alike in `SHARED`.
    tasks : sequence of M Tasks
        Theirs; equal ones should be one object.
    device : torch.device
        A CPU or a CUDA device.
    checkpoint : Path, optional
        Where the state is saved about every minute, and from where it goes on. Removed by the caller, once the rows are
        safe. One that cannot be used is ignored, with a warning.
    deadline : float
        By `time.monotonic`: training stops there, its state saved.
    progress : callable
        Called after each save with the steps done and the last validation metrics, none before the first.

    Returns
    -------
    list of M rows, or None
        See `docs/reproduction.md` for what a row holds. None when stopped at the deadline.

    Raises
    ------
    ValueError
        If the runs differ in what a stack shares, do not suit the tasks, or the device is of another type.
    """
    _check(runs, device)
    with machine.products(runs[0].precision):
        training = _begin(runs, tasks, device)
        if checkpoint is not None and checkpoint.exists():
            try:
                training.restore(*artifact.load(checkpoint, "checkpoint"))
            except (ValueError, KeyError) as error:
                # Damaged, or another version's: what it saved is a matter of time, and must not stand in the way.
                warnings.warn(f"{runs[0]} begins anew, its checkpoint cannot be used: {error}", stacklevel=2)
                training = _begin(runs, tasks, device)
        saved_at = time.monotonic()
        for _ in training:
            now = time.monotonic()
            if now - saved_at > _SAVE_EVERY or now > deadline:
                if checkpoint is not None:
                    artifact.save(checkpoint, "checkpoint", *training.state())
                saved_at = now
                progress(training.step, training.last_validation())
                if training.all_failed():
                    break
                if now > deadline and training.step < runs[0].steps:
                    return None
        return training.rows()


@dataclass(frozen=True)
class Pace:
    """Seconds that a stack takes: a step of training, all validation rows once (0 without such), all test rows once."""

    step: float
    validation: float
    test: float

    def seconds(self, run: Run, done: int = 0) -> float:
        """Return how long a stack of such runs takes, when so many of its steps are done."""
        left = run.steps - done
        # The test rows are scored by the last weights and, where there is a validation, by the best.
        tests = 2 if self.validation else 1
        return left * self.step + left // run.validate_every * self.validation + tests * self.test


def measure_pace(runs: Sequence[Run], tasks: Sequence[Task], device: torch.device) -> Pace:
    """Time a few steps of a stack and the scoring of a block of rows. Nothing is kept.

    Parameters and errors as of `execute`.
    """
    _check(runs, device)
    with machine.products(runs[0].precision):
        return _begin(runs, tasks, device).pace()


def _check(runs: Sequence[Run], device: torch.device) -> None:
    for name in SHARED:
        if any(getattr(run, name) != getattr(runs[0], name) for run in runs):
            raise ValueError(f"the runs of a stack must have one {name}")
    if device.type not in _BLOCK:
        raise ValueError(f"runs need a cpu or a cuda device, not {device.type}")
    if runs[0].precision == "tf32" and device.type != "cuda":
        raise ValueError("precision 'tf32' needs a CUDA device; use float32")


def _begin(runs: Sequence[Run], tasks: Sequence[Task], device: torch.device) -> _Training:
    """Return the training of a stack before its first step."""
    first, shape = runs[0], tasks[0].train.shape[1:]
    seeds = [run.seed for run in runs]
    stack = build_stack(first.network, shape, first.latent_dim, first.hidden, seeds, first.batch_size, device)
    return _Training(stack.to(device=device), runs, tasks)


class _Clock:
    """Seconds between marks, on the device's own clock where it runs by itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def between(self, start: Any, end: Any) -> float:
        """Return the seconds from one mark to another; waits for a device."""
        if self._device.type != "cuda":
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def seconds_of(self, call: Callable[[], object]) -> float:
        """Return the seconds of a call, of many in a row where one is short; waits for a device."""
        start = self.mark()
        call()  # memory is reserved, and cuDNN looks for its fastest way
        once = self.between(start, self.mark())
        if once > _LONG_CALL:
            return once
        times, seconds = 1, 0.0
        while seconds < _TIMED:
            times *= 2
            start = self.mark()
            for _ in range(times):
                call()
            seconds = self.between(start, self.mark())
        return seconds / times


class _Training:
    """A stack in training: an iterator over its validations, and everything that a checkpoint must hold."""

    def __init__(self, stack: Stack, runs: Sequence[Run], tasks: Sequence[Task]) -> None:
        first = runs[0]
        self._stack = stack
        self._runs = runs
        self._tasks = tasks
        self._device = stack.device
        self._precision: Precision = "bf16" if first.precision == "bf16" else "float32"
        self._feed = Feed(tasks, first.batch_size, [run.batch_seed for run in runs], self._device, first.validate_every)
        betas = [run.beta for run in runs]
        self._objective = Objective({"l2": 1, f"latent_{first.norm}": betas if len(set(betas)) > 1 else betas[0]})
        self._optimizer = Adam(stack, first.learning_rate)
        self._clock = _Clock(self._device)
        self.step = 0
        self._validates = tasks[0].validation is not None
        n, n_members = first.steps // first.validate_every, len(runs)
        zeros = torch.zeros(n_members, dtype=torch.float64, device=self._device)
        # All that is measured on the way, on the device; `failed_at` is the first step without a finite number, or 0.
        self._measured = {
            "loss": zeros.new_zeros(n, n_members),
            "validation": zeros.new_zeros(n, n_members),
            "best": zeros.clone(),
            "best_step": zeros.clone(),
            "failed_at": zeros.clone(),
        }
        self._best = {name: tensor.clone() for name, tensor in stack.state().items()} if self._validates else {}
        self._marks: list[tuple[str, Any, Any]] = []
        self._seconds: dict[str, list[float]] = {"training": [], "validation": []}
        # Wall and processor seconds of earlier sessions, and the time at which this one began.
        self._spent = np.zeros(2)
        self._began = np.array([time.perf_counter(), time.process_time()])

    def __iter__(self) -> _Training:
        self._steps = self._train(self._runs[0].steps)
        return self

    def _train(self, stop: int) -> Iterator[tuple[int, Tensor]]:
        stack, objective, precision = self._stack, self._objective, self._precision
        return train(stack, objective, self._feed, self._optimizer, start=self.step, stop=stop, precision=precision)

    def __next__(self) -> int:
        """Train until the next validation, and validate."""
        every, start = self._runs[0].validate_every, self._clock.mark()
        if self.step == self._runs[0].steps:
            raise StopIteration
        measured, number = self._measured, self.step // every
        for _ in range(every):
            self.step, loss = next(self._steps)
            measured["loss"][number] += loss / every
            self._note_failures(loss.isfinite())
        middle = self._clock.mark()
        self._marks.append(("training", start, middle))
        if self._validates:
            scores = self._scores("validation")
            value = self._metric("validation", scores)
            measured["validation"][number] = value
            better = value > measured["best"]
            measured["best"] = torch.where(better, value, measured["best"])
            measured["best_step"] = torch.where(better, self.step, measured["best_step"])
            for name, tensor in self._stack.state().items():
                chosen = better.view(-1, *[1] * (tensor.ndim - 1))
                torch.where(chosen, tensor, self._best[name], out=self._best[name])
            self._marks.append(("validation", middle, self._clock.mark()))
        return self.step

    def last_validation(self) -> list[float]:
        """Return the last validation metric of each member; empty when there is none."""
        if not self._validates or self.step == 0:
            return []
        values: list[float] = self._measured["validation"][self.step // self._runs[0].validate_every - 1].tolist()
        return values

    def all_failed(self) -> bool:
        return bool((self._measured["failed_at"] > 0).all())

    def rows(self) -> list[Row]:
        """Measure the test rows with both selections and return the rows of the results."""
        test = {"last": self._metric("test", self._scores("test"))}
        if self._validates:
            self._stack.load_state(self._best)
            test["best_validation"] = self._metric("test", self._scores("test"))
        tested = {name: values.tolist() for name, values in test.items()}
        measured = {name: values.movedim(-1, 0).tolist() for name, values in self._measured.items()}
        common = self._common()
        rows = []
        for i, run in enumerate(self._runs):
            own, its_tests = ({name: v[i] for name, v in values.items()} for values in (measured, tested))
            if own["failed_at"]:
                error = f"the loss or a score was no longer a finite number at step {own['failed_at']:.0f}"
                rows.append({**failed_row(run, error), **common})
            else:
                row = {"kind": "run", "identity": run.identity, "run": dataclasses.asdict(run), "error": None}
                rows.append({**row, **_outcome(run, own, its_tests), **common})
        return rows

    def pace(self) -> Pace:
        """Time steps and the scoring of a block; of no use for training afterwards."""
        steps = self._train(sys.maxsize)
        step = self._clock.seconds_of(lambda: next(steps))
        block = next(self._blocks("test"))
        a_row = self._clock.seconds_of(lambda: self._score(block)) / block.shape[1]
        validation = self._tasks[0].validation
        n_validation = 0 if validation is None else len(validation)
        return Pace(step, a_row * n_validation, a_row * len(self._tasks[0].test))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        self._collect_seconds()
        tensors = {f"stack.{name}": t for name, t in self._stack.state().items()}
        tensors |= {f"best.{name}": t for name, t in self._best.items()}
        tensors |= {f"adam.{name}": t for name, t in self._optimizer.state().items()}
        tensors |= {f"measured.{name}": t for name, t in self._measured.items()}
        metadata = {"step": self.step, "seconds": self._seconds, "spent": self._total_spent().tolist()}
        return metadata, {name: t.detach().cpu().numpy() for name, t in tensors.items()}

    def restore(self, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.step = metadata["step"]
        self._seconds = metadata["seconds"]
        self._spent = np.array(metadata["spent"])
        tensors = {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
        self._stack.load_state(_group(tensors, "stack."))
        _copy(_group(tensors, "best."), self._best)
        _copy(_group(tensors, "measured."), self._measured)
        self._optimizer.load_state(_group(tensors, "adam."))

    def _scores(self, part: Part) -> Tensor:
        """Anomaly scores in evaluation mode, (M, n)."""
        scores = torch.cat([self._score(x) for x in self._blocks(part)], 1)
        self._note_failures(scores.isfinite().all(1))
        return scores

    def _blocks(self, part: Part) -> Iterator[Tensor]:
        return self._feed.blocks(part, _DENSE_BLOCK if self._stack.is_dense else _BLOCK[self._device.type])

    @torch.no_grad()
    def _score(self, x: Tensor) -> Tensor:
        self._stack.eval()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            x_hat, z = self._stack(x)
        return self._objective(x, x_hat, z)

    def _metric(self, part: Part, scores: Tensor) -> Tensor:
        labels, cut = self._feed.labels(part), self._tasks[0].cut
        if self._tasks[0].metric == "auroc":
            return measures.auroc(labels, scores)
        assert cut is not None
        return measures.f1_at_share(labels, scores, cut)

    def _note_failures(self, finite: Tensor) -> None:
        failed_at = self._measured["failed_at"]
        failing = (failed_at == 0) & ~finite
        self._measured["failed_at"] = torch.where(failing, self.step, failed_at)

    def _collect_seconds(self) -> None:
        for kind, start, end in self._marks:
            self._seconds[kind].append(self._clock.between(start, end))
        self._marks.clear()

    def _total_spent(self) -> NDArray[np.float64]:
        return self._spent + np.array([time.perf_counter(), time.process_time()]) - self._began

    def _common(self) -> Row:
        """What the rows of a stack have in common: how long it took, on what."""
        self._collect_seconds()
        first, n_members = self._runs[0], len(self._runs)
        wall, cpu = self._total_spent().tolist()
        step = float(np.median(self._seconds["training"])) / first.validate_every
        shape = self._tasks[0].train.shape[1:]
        flops = n_members * machine.training_flops(
            first.network, shape, first.latent_dim, first.hidden, first.batch_size
        )
        return {
            "metric": self._tasks[0].metric,
            "members": n_members,
            # Of the whole stack.
            "seconds": {
                "wall": wall,
                "cpu": cpu,
                "step": step,
                "validation": float(np.median(self._seconds["validation"])) if self._validates else None,
            },
            "flops": {
                "step": flops,
                "per_second": flops / step,
                # A device that only imitates a precision is faster without.
                "peak_per_second": max(machine.peak_flops(self._device, p) for p in {first.precision, "float32"}),
            },
            "device": machine.describe(self._device),
            "threads": torch.get_num_threads(),
            "versions": machine.versions(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def failed_row(item: Work, error: str) -> Row:
    """Return the row of a run or a baseline that has no result, and why."""
    kind = type(item).__name__.lower()
    row = {"kind": kind, "identity": item.identity, "run": dataclasses.asdict(item), "error": error}
    return {**row, "last": None, "best_validation": None, "curve": None}


def _outcome(run: Run, measured: dict[str, Any], tested: dict[str, float]) -> Row:
    """What a member reached, by both selections."""
    validates = "best_validation" in tested
    steps = list(range(run.validate_every, run.steps + 1, run.validate_every))
    return {
        "last": {
            "step": run.steps,
            "validation": measured["validation"][-1] if validates else None,
            "test": tested["last"],
        },
        "best_validation": {
            "step": int(measured["best_step"]),
            "validation": measured["best"],
            "test": tested["best_validation"],
        }
        if validates
        else None,
        "curve": {
            "step": steps,
            "loss": [float(f"{loss:.6g}") for loss in measured["loss"]],
            "validation": [round(value, 6) for value in measured["validation"]] if validates else None,
        },
    }


def _copy(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    if {name: tensor.shape for name, tensor in given.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise ValueError("it is of another stack")
    for name, tensor in own.items():
        tensor.copy_(given[name])


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
