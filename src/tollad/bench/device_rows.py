"""The rows of tasks on the device. Images are kept there as bytes and preprocessed batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tollad.bench.preprocessing import Preprocessing
from tollad.bench.protocols import Task
from tollad.training.batches import Batches

Part: TypeAlias = Literal["validation", "test"]


class Held:
    """The rows of one part for all members, (M or 1, n, ...), to be sliced along the rows."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.shape[1]

    def __getitem__(self, chosen: slice) -> Tensor:
        return self._rows[:, chosen]


class DeviceRows:
    """The rows for training and measuring the members of a stack, each with a task of its own.

    Parameters
    ----------
    tasks : sequence of M Tasks
        All of one data set and protocol, so that rows have one shape and parts one length. Equal tasks should be one
        object, whose rows are then held once.
    device : torch.device
    """

    def __init__(self, tasks: Sequence[Task], device: torch.device) -> None:
        self._device = device
        self._tasks = tasks
        self._prepare = DevicePreprocessing([task.preprocessing for task in tasks], device)
        different = list({id(task): task for task in tasks}.values())
        ends = np.cumsum([len(task.train) for task in different])
        own = {id(t): np.arange(end - len(t.train), end) for t, end in zip(different, ends, strict=True)}
        self._subsets = [own[id(task)] for task in tasks]
        self._train = torch.cat([self._hold(task.train, task.preprocessing) for task in different])
        self._parts: dict[Part, Held] = {}
        self._labels: dict[Part, Tensor] = {}
        for part in self._measured():
            held = {id(getattr(t, part)): t for t in tasks}
            rows = {key: self._hold(getattr(t, part), t.preprocessing) for key, t in held.items()}
            # If all members have the same rows, they are held once, with a member axis of length 1.
            chosen = list(rows.values()) if len(rows) == 1 else [rows[id(getattr(t, part))] for t in tasks]
            self._parts[part] = Held(torch.stack(chosen))
            labels = np.stack([getattr(t, f"{part}_labels") == 1 for t in tasks])
            self._labels[part] = torch.from_numpy(labels).to(device)

    def batches(self, batch_size: int, seeds: Sequence[int], steps_at_once: int = 20) -> Batches:
        """Return the batches of the members. Members with the same seed and number of rows get the same row numbers.

        Parameters
        ----------
        batch_size : int
            At most the number of training rows of the smallest task.
        seeds : sequence of M ints
        steps_at_once : int, default 20
            As in `tollad.training.batches.Batches`.

        Raises
        ------
        ValueError
            If a task trains on fewer rows than a batch has.
        """
        smallest = min(self._tasks, key=lambda task: len(task.train))
        if batch_size > len(smallest.train):
            raise ValueError(
                f"batch_size is {batch_size}, but {smallest.name} trains on {len(smallest.train)} rows; lower it"
            )
        return Batches(self._train, batch_size, seeds, self._subsets, prepare=self.prepare, steps_at_once=steps_at_once)

    def part(self, part: Part) -> Held:
        """Return the rows of a part, which `prepare` prepares slice by slice."""
        return self._parts[part]

    def labels(self, part: Part) -> Tensor:
        """Return which rows are anomalies, (M, n) of bool."""
        return self._labels[part]

    def prepare(self, rows: Tensor) -> Tensor:
        """Return rows as network inputs: (M or 1, B, *shape) of float32."""
        return self._prepare(_channels_first(rows))

    def _measured(self) -> tuple[Part, ...]:
        return ("test",) if self._tasks[0].validation is None else ("validation", "test")

    def _hold(self, rows: NDArray[Any], preprocessing: Preprocessing) -> Tensor:
        """Return rows as held on the device: images as bytes, channels last; tables preprocessed."""
        if rows.dtype != np.uint8:
            return torch.from_numpy(preprocessing(rows).astype(np.float32)).to(self._device)
        return torch.tensor(rows).permute(0, 2, 3, 1).contiguous().to(self._device)


class DevicePreprocessing:
    """The preprocessing of images, `tollad.bench.protocols.Preprocessing`, on the device and for M members at once.

    Parameters
    ----------
    preprocessings : sequence of M Preprocessings
        All of one kind. Rows of the kinds "none" and "standardise", which are tables, are returned unchanged: they were
        preprocessed in double precision when they were put on the device.
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
            # With equal constants, rows that all members share are prepared once, not M times.
            constants = constants[:1] if len(set(constants)) == 1 else constants
            self._constants = tuple(c.view(-1, 1, 1, 1, 1) for c in torch.tensor(constants, device=device).T)

    def __call__(self, x: Tensor) -> Tensor:
        """Return bytes (M or 1, B, channels, height, width) as float32 (M or 1, ...), in the same memory layout."""
        if not self._constants:
            return x
        first, second = self._constants
        if self._kind == "scale":
            return x.float().div_(255).sub(first).div_(second)
        # The sum of bytes is exact, so an image of one value becomes exactly 0.
        x = x - x.sum((2, 3, 4), keepdim=True) / x[0, 0].numel()
        size = x.abs().mean((2, 3, 4), keepdim=True)
        x /= torch.where(size == 0, 1, size)
        return x.sub(first).div_(second - first)


def _channels_first(rows: Tensor) -> Tensor:
    """Return images (M, B, H, W, C) as (M, B, C, H, W), a view that keeps channels last in memory.

    Tables stay as they are.
    """
    return rows.permute(0, 1, 4, 2, 3) if rows.ndim == 5 else rows
