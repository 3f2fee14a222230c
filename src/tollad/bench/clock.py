"""Time calls on a device, and estimate the time of a stack."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tollad.bench.spec import Run

# A call is repeated until the calls together take this many seconds. A call that takes longer is timed once.
_TIMED = 0.5
_LONG_CALL = 10.0


@dataclass(frozen=True)
class Pace:
    """Seconds that a stack takes for a step, for all validation rows (0 without any), and for all test rows."""

    step: float
    validation: float
    test: float

    def seconds(self, run: Run, done: int = 0) -> float:
        """Return the seconds that a stack of such runs still takes after `done` steps."""
        left = run.steps - done
        # The test rows are scored with the last weights and, if there is a validation, also with the best.
        tests = 2 if self.validation else 1
        return left * self.step + left // run.validate_every * self.validation + tests * self.test


class Stopwatch:
    """Seconds between marks; by the clock of the device if it computes asynchronously."""

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
        call()  # in the first call, memory is reserved and cuDNN chooses its algorithm
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
