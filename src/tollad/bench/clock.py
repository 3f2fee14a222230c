"""How long things take on a device, and how long a stack is going to take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tollad.bench.spec import Run

# Calls are repeated until they take so many seconds together. A call that takes longer than this is timed once.
_TIMED = 0.5
_LONG_CALL = 10.0


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


class Clock:
    """Seconds between marks, by the clock of the device if that computes asynchronously."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> Any:
        """Return this moment, for `between`."""
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
        """Return the seconds of a call, averaged over many if it is short; waits for the device."""
        start = self.mark()
        call()  # the first call reserves memory and lets cuDNN choose its algorithm
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
