"""The steps of a fit: seeds, rows to hold out, the stack, its batches, and the digest that identifies a checkpoint."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState, SeedSequence
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad import calibration
from tollad.detector.preparation import Preparation
from tollad.detector.settings import TARGETS, Settings, as_json
from tollad.method import terms
from tollad.method.objective import Objective
from tollad.method.traits import Builder
from tollad.tables.large import LargeRows, Rows, in_blocks, take
from tollad.training.batches import Batches, RowsOnDisk
from tollad.training.build import Modules, build_stack, custom_stack, member_seeds
from tollad.training.checkpoint import Checkpoint
from tollad.training.fit import HeldOut, fit
from tollad.training.session import History
from tollad.training.stack import Stack

# Modules of the user draw from torch's global random state, so only one thread at a time may fit such modules.
_GLOBAL_RANDOMNESS = threading.Lock()


@contextmanager
def all_or_nothing(estimator: object) -> Iterator[None]:
    """Restore an estimator if its fit fails or is interrupted."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before
        raise


def draw_seed(random_state: Any) -> int:
    """Return the seed of a fit; ValueError if `random_state` is of another type, or negative."""
    if random_state is None:
        return int(SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(random_state, RandomState):
        return int(random_state.randint(2**31))
    if not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(f"random_state must be an integer >= 0, a numpy RandomState or None, not {random_state!r}")
    return int(random_state)


def calibration_split(
    n: int, false_alarm_rate: float | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the numbers of the rows to train on and to calibrate on; None without a false-alarm rate.

    Raises
    ------
    ValueError
        If there are too few rows for the rate.
    """
    if false_alarm_rate is None:
        return None
    needed = calibration.rows_needed(false_alarm_rate)
    n_trained = max(2, needed)
    n_held_out = max(needed, n // 5)
    if n - n_held_out < n_trained:
        raise ValueError(
            f"false_alarm_rate={false_alarm_rate} needs {needed} calibration rows and {n_trained} to train "
            f"on, {needed + n_trained} in all; there are {n}: give more rows, "
            f"or ask for a rate of {1 / (n // 2 + 1):.3g} or more"
        )
    order = np.random.default_rng([seed, 1]).permutation(n)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def objective_of(settings: Settings, betas: Sequence[float] | None = None) -> Objective:
    """Return the objective of settings; with `betas`, one beta for each member of a stack."""
    penalty = terms.latent_penalties()[settings.norm]
    return Objective({settings.error: 1.0, penalty: betas or settings.beta}, TARGETS[settings.target])


def untrained_stack(
    network: str | Builder | Modules,
    settings: Settings,
    preparation: Preparation,
    row_shape: Sequence[int],
    seed: int,
    device: torch.device,
) -> tuple[Stack, Settings]:
    """Return the untrained stack, and the settings, in which modules of the user determine `latent_dim`.

    Raises
    ------
    ValueError, MemoryError
        As `tollad.training.build.build_stack` and `custom_stack`.
    """
    shape = preparation.input_shape(row_shape)
    if isinstance(network, nn.Module | tuple):
        try:
            stack, latent_dim = custom_stack(network, shape, settings.n_members, device)
        except ValueError as error:
            added = len(preparation.features.flagged)
            if not added:
                raise
            raise ValueError(f"{error} (of these columns {added} say where values are missing)") from error
        settings = replace(settings, latent_dim=latent_dim)
    else:
        chosen = network if settings.network == "custom" else settings.network
        seeds = [member_seeds(seed, member)[0] for member in range(settings.n_members)]
        latent_dim, hidden = settings.latent_dim, settings.hidden
        stack = build_stack(chosen, shape, latent_dim, hidden, seeds, settings.batch_size, device)
    dtype = torch.float64 if settings.precision == "float64" else torch.float32
    same = (stack.device, stack.dtype) == (device, dtype)
    return stack if same else stack.to(device=device, dtype=dtype), settings


def train_stack(
    stack: Stack,
    objective: Objective,
    preparation: Preparation,
    settings: Settings,
    rows: Rows,
    *,
    seed: int,
    early_stopping: bool,
    first_step: int,
    checkpoint: Checkpoint | None,
    verbose: int,
) -> History:
    """Train a stack on rows, see `tollad.training.fit.fit`."""
    trained, held_out = _early_stopping_split(len(rows), seed) if early_stopping else (None, None)
    batches = batches_of(stack, preparation, settings, rows if trained is None else take(rows, trained), [seed])
    measured = None if held_out is None else take(rows, held_out)

    def reseeded(step: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(member_seeds(seed, step)[0])
        return batches(step)

    is_custom = settings.network == "custom"
    with _own_randomness(stack.device, is_custom):
        return fit(
            stack,
            objective,
            reseeded if is_custom else batches,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule,
            first_step=first_step,
            precision=settings.precision,
            held_out=None if measured is None else _held_out(preparation, measured),
            checkpoint=checkpoint,
            verbose=verbose,
        )


def identity(parameters: Mapping[str, Any], seed: int, names: Sequence[str], rows: Rows, stack: Stack) -> str:
    """Return a digest of everything that determines the result of a fit."""
    decisive = {
        "parameters": {name: as_json(value) for name, value in parameters.items() if name != "verbose"},
        "seed": seed,
        "names": list(names),
        "shape": rows.shape,
        "type": str(rows.dtype),
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for block in in_blocks(rows):
        digest.update(np.ascontiguousarray(block).data)
    for name, tensor in stack.state().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu()).data)
    return digest.hexdigest()


def _early_stopping_split(n_rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows to train on, and of the tenth that is held out."""
    if n_rows < 3:
        raise ValueError("early_stopping holds out a tenth of the rows and needs 3 or more; set early_stopping=False")
    order = np.random.default_rng(seed).permutation(n_rows)
    n_held_out = max(1, n_rows // 10)
    return order[n_held_out:], order[:n_held_out]


def batches_of(
    stack: Stack, preparation: Preparation, settings: Settings, rows: Rows, seeds_of_fits: Sequence[int]
) -> Batches:
    """Return the batches of one fit, or of several fits that train as one stack; one seed for each fit."""
    seeds = [member_seeds(seed, member)[1] for seed in seeds_of_fits for member in range(settings.n_members)]
    corrupt = settings.corruption is not None
    views = preparation.views_of_members * len(seeds_of_fits)
    if isinstance(rows, LargeRows):
        stored = RowsOnDisk(rows, preparation.views, views, stack.device, stack.dtype)
        return Batches(stored, settings.batch_size, seeds, corrupt=corrupt)
    n, (n_views, _, *shape) = len(rows), preparation.views(rows[:1]).shape
    prepared = torch.empty(n_views, n, *shape, dtype=stack.dtype, device=stack.device)
    start = 0
    for block in in_blocks(rows):
        prepared[:, start : start + len(block)] = torch.tensor(preparation.views(block))
        start += len(block)
    subsets = None if n_views == 1 else [np.arange(view * n, (view + 1) * n) for view in views]
    return Batches(prepared.flatten(0, 1), settings.batch_size, seeds, subsets, corrupt=corrupt)


def _held_out(preparation: Preparation, rows: Rows) -> HeldOut:
    """Return rows for early stopping. It scores them often, so rows in memory are prepared only once."""
    if isinstance(rows, LargeRows):
        return HeldOut(rows, preparation)
    return HeldOut.of(preparation(rows))


@contextmanager
def _own_randomness(device: torch.device, is_custom: bool) -> Iterator[None]:
    """Within the block modules of the user may draw from torch's global random state, which is restored afterwards."""
    if not is_custom:
        yield
        return
    with _GLOBAL_RANDOMNESS, torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
