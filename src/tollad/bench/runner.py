"""Carry out runs stack by stack. No result is lost or computed twice, even if several processes share the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from tollad.bench import baselines, trials
from tollad.bench.execute import execute, failed_row
from tollad.bench.plan import plan
from tollad.bench.protocols import Task, make_task
from tollad.bench.results import Results, Row, claim
from tollad.bench.spec import Work, runs_of
from tollad.bench.values import digest
from tollad.calls import Each, one_by_one
from tollad.datasets.files import user_cache


class Outcome(NamedTuple):
    """The outcome of some work.

    Attributes
    ----------
    done : bool
        Whether all work has a result. It does not if time ran out, another process is at work or a run failed.
    n_failed : int
        Number of failed runs; their rows say why.
    """

    done: bool
    n_failed: int


def default_scratch() -> Path:
    """Return the folder for checkpoints: in the user's cache, outside any project."""
    return user_cache() / "runs"


def carry_out(
    work: Iterable[Work],
    results: Results,
    device: torch.device,
    *,
    scratch: Path,
    missing: bool = False,
    n_members: int | None = None,
    max_minutes: float = float("inf"),
    say: Callable[[str], None] = print,
    each: Each | None = None,
) -> Outcome:
    """Train and measure. The rows of each stack are appended to the results as soon as it is measured.

    If the process was killed, the same call with `missing` goes on from the last saved state of the unfinished stack.

    Parameters
    ----------
    work : iterable of Run, Baseline or Trial
    results : Results
        Rows are appended to the file named after the run's data set.
    device : torch.device
    scratch : Path
        Folder for checkpoints, and for locks.
    missing : bool, default False
        Whether to leave out work that has a result without an error. This is checked again before each stack, and a
        stack of another process is skipped. So several processes can share the work.
    n_members : int, optional
        Runs trained together, see `tollad.bench.plan.plan`.
    max_minutes : float
        Minutes after which training saves its state and stops.
    say : callable
        Called with a line of text for each event.
    each : Each, optional
        Carries out the trainings, on machines that have the data; by default this process. On another machine, states
        are saved in its own folder `scratch`, and steps are not reported.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError, FileNotFoundError
        If data are missing or damaged, or results cannot be read.
    OSError
        If results or states cannot be written; for results before anything is trained.
    """
    # By the time of day: the monotonic clock differs between machines.
    deadline = time.time() + 60 * max_minutes
    all_done, is_over, n_failed = True, False, 0
    finished = results.finished if missing else set
    done = finished()
    groups = [members for members in divide_work(work, n_members) if left_of(members, done)]
    for name in {_file_of(members) for members in groups}:
        results.check(name)
    in_flight: list[tuple[ExitStack, list[Work]]] = []

    def claimed() -> Iterator[tuple[list[Work]]]:
        """Yield the unfinished work of each free group when it is asked for. The group stays locked."""
        nonlocal all_done
        for whole in groups:
            # The lock is that of the whole group: which of its runs are left differs between processes and calls.
            lock = locks.enter_context(ExitStack())
            if not lock.enter_context(claim(scratch / f"{_name_of(whole)}.lock")):
                say(f"{_describe(whole)}: another process is at it")
                all_done = False
                continue
            members = left_of(whole, finished())
            if not members:
                lock.close()
                continue
            if is_over or time.time() > deadline:
                all_done = False
                return
            say(f"{_describe(members)}: {'goes on' if checkpoint_of(members, scratch).exists() else 'begins'}")
            in_flight.append((lock, members))
            yield (members,)

    told = say if each is None else _say_nothing
    with ExitStack() as locks:
        carried = (each or one_by_one)(partial(_carried, device, scratch, deadline, told), claimed())
        for number, rows in carried:
            lock, members = in_flight[number]
            if rows is None:
                say(f"{_describe(members)}: time is up; the next run of what is missing goes on from here")
                all_done, is_over = False, True
            else:
                results.append(_file_of(members), rows)
                _forget(members, scratch)
                for item, row in zip(members, rows, strict=True):
                    say(f"{item}: {_outcome(row)}")
                n_failed += sum(row["error"] is not None for row in rows)
            lock.close()
    return Outcome(done=all_done and not n_failed, n_failed=n_failed)


def _say_nothing(_: str) -> None:
    """Ignore a line: on another machine nobody reads it."""


def _carried(
    device: torch.device, scratch: Path, deadline: float, say: Callable[[str], None], members: Sequence[Work]
) -> list[Row] | None:
    """Return the rows of a group, including rows of failures; None if time is up."""
    tasks, until = tasks_of(members), time.monotonic() + deadline - time.time()
    try:
        return _measure(members, tasks, device, checkpoint_of(members, scratch), until, say)
    except (ArithmeticError, RuntimeError, MemoryError) as error:
        # Torch raises these when it fails, mostly for lack of memory. The next stack may be smaller and succeed.
        return [failed_row(item, f"{type(error).__name__}: {error}") for item in members]


def _forget(members: Sequence[Work], scratch: Path) -> None:
    """Remove the saved states of finished work."""
    checkpoint = checkpoint_of(members, scratch)
    for path in (checkpoint, trials.best_path(checkpoint)):
        path.unlink(missing_ok=True)


def divide_work(work: Iterable[Work], n_members: int | None = None) -> list[Sequence[Work]]:
    """Divide work into groups that are carried out together: stacks of runs, then baselines and trials one by one.

    Finished work is included, so that the stacks do not depend on what is finished.
    """
    items = list(work)
    stacks = plan(runs_of(items), n_members)
    # Runs come first, since they need the device most.
    return [*stacks, *([item] for item in dict.fromkeys(items) if not item.stacks)]


def left_of(members: Sequence[Work], finished: set[str]) -> list[Work]:
    """Return the work that is not finished."""
    return [item for item in members if item.identity not in finished]


def checkpoint_of(members: Sequence[Work], scratch: Path) -> Path:
    """Return the path of the saved state of an unfinished stack."""
    return scratch / f"{_name_of(members)}.tollad"


def _name_of(members: Sequence[Work]) -> str:
    return digest([item.identity for item in members])


def tasks_of(members: Sequence[Work]) -> list[Task]:
    """Return the task of each run. Equal tasks are one object."""
    made: dict[tuple[object, ...], Task] = {}
    keys = [(run.protocol, run.dataset, run.normal, run.split_seed) for run in members]
    for protocol, dataset, normal, seed in dict.fromkeys(keys):
        made[protocol, dataset, normal, seed] = make_task(protocol, dataset, normal=normal, seed=seed)
    return [made[key] for key in keys]


def _file_of(members: Sequence[Work]) -> str:
    return Path(members[0].dataset).stem


def _measure(
    members: Sequence[Work],
    tasks: Sequence[Task],
    device: torch.device,
    checkpoint: Path,
    deadline: float,
    say: Callable[[str], None],
) -> list[Row] | None:
    """Return the rows of a group; None if time is up."""
    start = time.monotonic()
    runs = runs_of(members)

    def show(step: int, values: list[float]) -> None:
        mean = f", validation {100 * sum(values) / len(values):.1f}" if values else ""
        minutes = (time.monotonic() - start) / 60
        say(f"{_describe(members)}: step {step}/{runs[0].steps}{mean}, {minutes:.0f} min")

    if runs:
        return execute(runs, tasks, device, checkpoint=checkpoint, deadline=deadline, progress=show)
    ((item, task),) = zip(members, tasks, strict=True)
    row = _ALONE[item.kind](item, task, checkpoint=checkpoint, deadline=deadline)
    return None if row is None else [row]


# Functions that measure work that is no stack, by its kind.
_ALONE: dict[str, Callable[..., Row | None]] = {"baseline": baselines.measure, "trial": trials.measure}


def _describe(members: Sequence[Work]) -> str:
    others = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return f"{members[0]}{others}"


def _outcome(row: Row) -> str:
    if row["error"] is not None:
        return str(row["error"])
    best, last = row["best_validation"], row["last"]
    chosen = "" if best is None else f"best validation {100 * best['test']:.1f} (step {best['step']}), "
    return f"{chosen}last {100 * last['test']:.1f}"
