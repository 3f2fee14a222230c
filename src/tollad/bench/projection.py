"""Estimate the time of runs before they begin, from a few measured steps of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from tollad.bench import machine
from tollad.bench.clock import Pace
from tollad.bench.execute import measure_pace
from tollad.bench.results import Results
from tollad.bench.runner import checkpoint_of, divide_work, left_of, tasks_of
from tollad.bench.spec import Run, Work, runs_of
from tollad.io import artifact

# Words for work whose steps are not timed, since it is no stack.
_ALONE = {
    "baseline": ": not measured, seconds to minutes each",
    "trial": " of other methods: `tollad paper list TABLE` says how long each takes",
}


def project(
    work: Iterable[Work],
    results: Results,
    device: torch.device,
    *,
    scratch: Path,
    missing: bool = False,
    n_members: int | None = None,
    compare: bool = False,
) -> Iterator[str]:
    """Measure a few steps of each kind of stack, and yield line by line the estimated time of all work that is left.

    Parameters
    ----------
    work, results, device, scratch, missing, n_members
        As in `tollad.bench.runner.carry_out`.
    compare : bool, default False
        Whether to measure a stack of another size as well: one run where many are planned, two where one is planned.

    Raises
    ------
    ValueError, FileNotFoundError
        As when the work is carried out.
    """
    finished = results.finished() if missing else set()
    kinds: dict[tuple[object, ...], list[list[Run]]] = {}
    alone: Counter[str] = Counter()
    for members in divide_work(work, n_members):
        left = left_of(members, finished)
        alone.update(item.kind for item in left if not item.stacks)
        if stack := runs_of(left):
            kinds.setdefault((len(stack), *stack[0].alike), []).append(stack)
    total, left_out = 0.0, False
    for found in kinds.values():
        run, size = found[0][0], len(found[0])
        n_runs = _count(size * len(found), "run")
        yield f"{run.protocol} {run.dataset}, {run.network}, batch {run.batch_size}, {run.precision}: {n_runs}"
        try:
            pace = _pace(found[0], device)
        except (RuntimeError, MemoryError) as error:  # the run will fail in the same way, and record its error
            yield f"  cannot be measured: {error}"
            left_out = True
            continue
        seconds = [pace.seconds(run, _steps_done(checkpoint_of(stack, scratch))) for stack in found]
        total += sum(seconds)
        validations = (
            f", {in_units(pace.validation)} a validation every {run.validate_every}" if pace.validation else ""
        )
        yield (
            f"  {_count(len(found), 'stack')} of {size}: {run.steps} steps of {in_units(pace.step)}{validations}; "
            f"{in_units(pace.seconds(run))} a stack, {in_units(sum(seconds))} left"
        )
        if compare:
            yield f"  {_compared(found[0], pace, device)}"
    for kind, said in _ALONE.items():
        if alone[kind]:
            yield f"{_count(alone[kind], kind)}{said}"
    if kinds:
        runs = "the others" if left_out else "all runs"
        threads = f", {_count(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
        yield f"projected for {runs}: {in_units(total)} on {machine.device_name(device)}{threads}"


def in_units(seconds: float) -> str:
    """Return a time in a unit that suits its size.

    Examples
    --------
    >>> [in_units(seconds) for seconds in (0.0123, 0.5, 38.94, 600, 9000, 400_000)]
    ['12 ms', '500 ms', '38.9 s', '10.0 min', '2.5 h', '4.6 days']
    """
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * size or (unit == "s" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _compared(stack: list[Run], pace: Pace, device: torch.device) -> str:
    """Compare the time of a step per run with that in a stack of another size."""
    size = len(stack)
    other = stack[:1] if size > 1 else stack * 2
    try:
        beside = _pace(other, device)
    except (RuntimeError, MemoryError) as error:
        return f"a stack of {len(other)} cannot be measured: {error}"
    steps = {size: pace.step / size, len(other): beside.step / len(other)}
    alone, together = (f"{in_units(steps[n])} in a stack of {n}" for n in sorted(steps))
    return f"a step of one run: {alone}, {together}"


def _pace(stack: Sequence[Run], device: torch.device) -> Pace:
    return measure_pace(stack, tasks_of(stack), device)


def _steps_done(checkpoint: Path) -> int:
    """Return the number of steps that an interrupted stack has done; 0 without a checkpoint."""
    if not checkpoint.exists():
        return 0
    try:
        return int(artifact.load(checkpoint, "checkpoint")[0]["step"])
    except (ValueError, KeyError):  # the checkpoint cannot be used; the run will report it
        return 0


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
