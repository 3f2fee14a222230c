"""The rows of tasks on the device: images stay there as bytes and are preprocessed there, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.bench.protocols import Preprocessing, Task
from tollad.training.batches import Stream

Part: TypeAlias = Literal["validation", "test"]


class Feed:
    """Batches and blocks of rows for the members of a stack, each with a task of its own.

    Parameters
    ----------
    tasks : sequence of M Tasks
        Of one data set and protocol, so that rows have one shape and parts one length. Equal tasks should be one
        object: their rows are then held once.
    batch_size : int
        At most the rows that the smallest task trains on.
    batch_seeds : sequence of M ints
        Members of one seed and as many training rows see the same batches, in rows and order.
    device : torch.device
    window : int, default 20
        Steps whose row numbers are drawn and sent to the device at once.
    """

    def __init__(
        self, tasks: Sequence[Task], batch_size: int, batch_seeds: Sequence[int], device: torch.device, window: int = 20
    ) -> None:
        smallest = min(tasks, key=lambda task: len(task.train))
        if batch_size > len(smallest.train):
            raise ValueError(
                f"batch_size is {batch_size}, but {smallest.name} trains on {len(smallest.train)} rows; lower it"
            )
        self._batch_size = batch_size
        self._device = device
        self._window = window
        self._tasks = tasks
        self._prepare = Prepare([task.preprocessing for task in tasks], device)
        different = list({id(task): task for task in tasks}.values())
        starts = dict(zip(map(id, different), np.cumsum([0, *(len(t.train) for t in different)]), strict=False))
        members = [(seed, len(t.train), int(starts[id(t)])) for seed, t in zip(batch_seeds, tasks, strict=True)]
        self._members = members if len(set(members)) > 1 else members[:1]
        self._streams = {seed: Stream(seed) for seed in batch_seeds}
        self._train = torch.cat([self._hold(task.train, task.preprocessing) for task in different])
        self._parts: dict[Part, Tensor] = {}
        self._labels: dict[Part, Tensor] = {}
        for part in self._measured():
            held = {id(getattr(t, part)): t for t in tasks}
            rows = {key: self._hold(getattr(t, part), t.preprocessing) for key, t in held.items()}
            # Members of one set of rows share it; the axis of members then has length 1.
            chosen = list(rows.values()) if len(rows) == 1 else [rows[id(getattr(t, part))] for t in tasks]
            self._parts[part] = torch.stack(chosen)
            labels = np.stack([getattr(t, f"{part}_labels") == 1 for t in tasks])
            self._labels[part] = torch.from_numpy(labels).to(device)
        self._drawn: tuple[int, Tensor] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step twice, (M, batch_size, *shape) of float32, as `tollad.training.loop.train` asks.

        Members that all see the same rows share them in memory.
        """
        number, offset = divmod(step, self._window)
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = number, self._draw(number * self._window)
        rows = self._train.index_select(0, self._drawn[1][offset])
        x = self._prepare(_channels_first(rows.unflatten(0, (-1, self._batch_size))))
        x = x.expand(len(self._tasks), *x.shape[1:])
        return x, x

    def blocks(self, part: Part, size: int) -> Iterator[Tensor]:
        """Yield the rows of a part in order, (M, up to `size`, *shape) of float32."""
        for rows in self._parts[part].split(size, 1):
            x = self._prepare(_channels_first(rows))
            yield x.expand(len(self._tasks), *x.shape[1:])

    def labels(self, part: Part) -> Tensor:
        """Return which rows are anomalies, (M, n) of bool."""
        return self._labels[part]

    def _measured(self) -> tuple[Part, ...]:
        return ("test",) if self._tasks[0].validation is None else ("validation", "test")

    def _draw(self, start: int) -> Tensor:
        """Row numbers of a window of steps, (window, M * batch_size)."""
        kinds = {(seed, n) for seed, n, _ in self._members}
        steps = range(start, start + self._window)
        drawn = {
            (seed, n): np.stack([self._streams[seed].draw(n, self._batch_size, step) for step in steps])
            for seed, n in kinds
        }
        rows = np.concatenate([drawn[seed, n] + first for seed, n, first in self._members], 1)
        numbers = torch.from_numpy(rows)
        if self._device.type == "cuda":
            # From pinned memory the copy need not wait, nor be waited for.
            numbers = numbers.pin_memory()
        return numbers.to(self._device, non_blocking=True)

    def _hold(self, rows: NDArray[Any], preprocessing: Preprocessing) -> Tensor:
        """Rows as they wait on the device: images as bytes, channels last; tables preprocessed."""
        if rows.dtype != np.uint8:
            return torch.from_numpy(preprocessing(rows).astype(np.float32)).to(self._device)
        return torch.tensor(rows).permute(0, 2, 3, 1).contiguous().to(self._device)


class Prepare:
    """The preprocessing of images, `tollad.bench.protocols.Preprocessing`, on the device and for M members at once.

    Parameters
    ----------
    preprocessings : sequence of M Preprocessings
        Of one kind. Rows of kinds "none" and "standardise", tables, pass as they are: they are preprocessed when they
        are put on the device, in double precision.
    device : torch.device
    """

    def __init__(self, preprocessings: Sequence[Preprocessing], device: torch.device) -> None:
        kinds = {preprocessing.kind for preprocessing in preprocessings}
        if len(kinds) > 1:
            raise ValueError(f"the members of a stack need one kind of preprocessing, not {', '.join(sorted(kinds))}")
        self._kind = kinds.pop()
        self._constants: tuple[Tensor, ...] = ()
        if self._kind in ("scale", "contrast"):
            constants = [preprocessing.constants for preprocessing in preprocessings]
            # One set of constants for all keeps rows that all share from being prepared M times.
            constants = constants[:1] if len(set(constants)) == 1 else constants
            self._constants = tuple(c.view(-1, 1, 1, 1, 1) for c in torch.tensor(constants, device=device).T)

    def __call__(self, x: Tensor) -> Tensor:
        """Return bytes (M or 1, B, channels, height, width) as float32 (M or 1, ...), in the same memory layout."""
        if not self._constants:
            return x
        first, second = self._constants
        if self._kind == "scale":
            return x.float().div_(255).sub(first).div_(second)
        # The sum of bytes is exact, so that an image of one value is 0 afterwards and nothing else.
        x = x - x.sum((2, 3, 4), keepdim=True) / x[0, 0].numel()
        size = x.abs().mean((2, 3, 4), keepdim=True)
        x /= torch.where(size == 0, 1, size)
        return x.sub(first).div_(second - first)


def _channels_first(rows: Tensor) -> Tensor:
    """Images (M, B, H, W, C) as (M, B, C, H, W), a view that keeps channels last in memory; tables as they are."""
    return rows.permute(0, 1, 4, 2, 3) if rows.ndim == 5 else rows
