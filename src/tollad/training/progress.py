"""How far a training is, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from tollad.warn import tell

# Seconds. For a training that takes longer, an estimate of its time is printed near its start.
_LONG = 30.0


class _History(Protocol):
    step: list[int]
    loss: list[list[float]]
    held_out: list[list[float]]


class Observed(Protocol):
    """The part of a `tollad.training.session.Session` that progress reads."""

    steps: int
    step: int
    stopped: bool

    @property
    def history(self) -> _History: ...


@contextmanager
def progress_of(session: Observed, verbose: int) -> Iterator[Callable[[Observed], None]]:
    """Yield a function that shows how far a session is; with ``verbose=0`` it shows nothing.

    Without a bar, an estimate of the time of a long training is printed once, from its first steps.
    """
    bar = _bar(session.steps) if verbose else None
    if bar is not None:
        with bar:
            yield lambda seen: _move(bar, seen)
    elif verbose:
        begun, first = time.monotonic(), session.step
        told: list[float] = []

        def show(seen: Observed) -> None:
            if not told:
                told.append((time.monotonic() - begun) / (seen.step - first) * (seen.steps - seen.step))
                if told[0] > _LONG:
                    tell(f"{seen.steps - seen.step:,} more steps are going to take {duration(told[0])}")
            _line(seen)

        yield show
    else:
        yield lambda seen: None


def duration(seconds: float) -> str:
    """Return a time in words, rounded as befits an estimate. `seconds` is at least 0.

    Examples
    --------
    >>> duration(0.3), duration(8.4), duration(100), duration(7000)
    ('about 1 second', 'about 8 seconds', 'about 2 minutes', 'about 1.9 hours')
    """
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} hours"
    count, unit = (max(1, round(seconds)), "second") if seconds < 60 else (round(seconds / 60), "minute")
    return f"about {count} {unit}{'s' * (count > 1)}"


def _bar(steps: int) -> Any:
    """Return a bar of tqdm; None without a terminal, or without tqdm, which is an extra."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=steps, unit="step", leave=True, dynamic_ncols=True)


def _move(bar: Any, seen: Observed) -> None:
    bar.set_postfix_str(_measured(seen), refresh=False)
    bar.update(seen.step - bar.n)


def _line(seen: Observed) -> None:
    """Print a line after each tenth of the steps, and at the end."""
    before = seen.history.step[-2] if len(seen.history.step) > 1 else 0
    if seen.stopped or seen.step == seen.steps or 10 * seen.step // seen.steps > 10 * before // seen.steps:
        tell(f"step {seen.step}/{seen.steps}  {_measured(seen)}")


def _measured(seen: Observed) -> str:
    text = f"loss {np.mean(seen.history.loss[-1]):.4g}"
    return text + (f"  held out {np.mean(seen.history.held_out[-1]):.4g}" if seen.history.held_out else "")
