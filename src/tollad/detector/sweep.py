"""Detectors for a grid of beta, latent_dim and seed, trained together as stacks and compared without labels."""

from __future__ import annotations

import copy
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.calls import Each, one_by_one
from tollad.detector import fitting
from tollad.detector.candidates import CRITERIA, Candidate, averaged, best_of, records, with_criteria
from tollad.detector.estimator import TollDetector
from tollad.detector.parameters import check_parameters
from tollad.tables.features import names_of
from tollad.tables.large import LargeRows
from tollad.training.build import find_device
from tollad.training.checkpoint import Checkpoint
from tollad.training.fit import fit
from tollad.training.joined import join, separate
from tollad.training.outcome import warn_if_not_improved
from tollad.training.progress import duration
from tollad.training.session import History
from tollad.training.stack import Stack

__all__ = ["CRITERIA", "Candidate", "averaged", "best_of", "records", "sweep"]

_HELD_OUT = 0.2
_LEAST_ROWS = 20
# Members in a stack. The cost of a step for each member is least at about 20, see `tollad.bench.plan`.
_MEMBERS = 20
_TIMED_STEPS = 5


def sweep(
    X: ArrayLike | LargeRows,
    *,
    betas: Sequence[float] = (0.1, 1.0, 10.0),
    latent_dims: Sequence[int | str] = ("auto",),
    seeds: Sequence[int] = (0, 1, 2),
    say: Callable[[str], None] = lambda text: None,
    each: Each = one_by_one,
    checkpoint: str | os.PathLike[str] | None = None,
    **parameters: Any,
) -> list[Candidate]:
    """Fit a detector for each beta, latent_dim and seed, and compare them without labels.

    A fifth of the rows is held out, the same for all. The detectors are trained together as stacks, which takes less
    time than one fit after another. Up to rounding, each equals a separate fit to the same rows.

    Parameters
    ----------
    X : array-like or frame
        Normal rows as in `TollDetector.fit`; at least 20.
    betas : sequence of float, default (0.1, 1, 10)
    latent_dims : sequence of int or "auto", default ("auto",)
    seeds : sequence of int, default (0, 1, 2)
        Values of ``random_state``.
    say : callable, optional
        Called once, before the training, with a sentence that says how long it takes.
    each : Each, optional
        Who trains the stacks; the bits are the same.
    checkpoint : path, optional
        Folder for the states of the trainings, one file a stack, which all of `each` must see. It is made if it is
        missing. The same call, or one with other fits of the same stacks, resumes from it: what is trained is not
        trained again.
    **parameters
        Other parameters of `TollDetector`, the same for all; neither `early_stopping` nor modules of your own.

    Returns
    -------
    list of Candidate
        Ordered by beta, then latent_dim, then seed, as given.

    Raises
    ------
    ValueError, TypeError
        As in a fit; for fewer rows than 20, rows beyond memory, `early_stopping`, modules of your own, and a file
        of the folder that is damaged or was altered.
    OSError
        If the folder or a file in it cannot be written or read.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(80, 3))
    >>> found = sweep(rows, betas=(0, 1), seeds=(0, 1), steps=20)
    >>> [(one.beta, one.random_state) for one in found]
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    >>> sorted(found[0].criteria)
    ['agreement', 'generalisation', 'shuffled']
    """
    if not (betas and latent_dims and seeds):
        raise ValueError("a sweep needs at least one beta, one latent_dim and one seed")
    if parameters.get("early_stopping"):
        raise ValueError(
            "early_stopping is for single fits, which hold out rows by their seeds; leave it out of a sweep"
        )
    if checkpoint is not None:
        _make_folder(checkpoint)
    grid = list(product(betas, latent_dims, map(int, seeds)))
    begun = TollDetector(**parameters)
    for beta, latent_dim, seed in grid:
        check_parameters(begun.get_params() | {"beta": beta, "latent_dim": latent_dim, "random_state": seed})
    device = find_device(begun.device)
    begun._seed = 0
    rows, held = begun._learn_rows(X, _split)
    if isinstance(rows, LargeRows) or isinstance(held, LargeRows) or held is None:
        raise ValueError("a sweep takes rows that fit in memory; give it a sample of them")
    detectors, stacks = [], []
    for beta, latent_dim, seed in grid:
        detector = copy.copy(begun).set_params(beta=beta, latent_dim=latent_dim, random_state=seed)
        detector._seed = fitting.draw_seed(seed)
        stacks.append(detector._new_stack(rows, device))
        detectors.append(detector)
        if detector.settings_.network == "custom":
            raise ValueError("modules of your own have one latent and one set of weights; sweep a network by its name")
    groups = _groups([len(stack) for stack in stacks], [d.settings_.latent_dim for d in detectors])
    calls = [([detectors[i] for i in chosen], [stacks[i] for i in chosen]) for chosen in groups]
    seconds = _JointTraining(*calls[0], rows).seconds_of_a_step() * detectors[0].settings_.steps * len(groups)
    say(f"{len(grid)} fits of {len(stacks[0])} members, {detectors[0].settings_.steps} steps each, as "
        f"{len(groups)} stack{'s' * (len(groups) > 1)}: {duration(seconds)}")  # fmt: skip
    found: dict[int, Candidate] = {}
    for number, (histories, trained) in each(partial(_trained, rows, checkpoint), calls):
        for place, history, stack in zip(groups[number], histories, trained, strict=True):
            beta, _, seed = grid[place]
            remarks = _take_trained(detectors[place], stack, history, rows, held)
            dim = detectors[place].settings_.latent_dim
            found[place] = Candidate(detectors[place], beta, dim, seed, {}, remarks)
    return with_criteria([found[place] for place in range(len(grid))], held)


def _make_folder(path: str | os.PathLike[str]) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"{os.fspath(path)} is no folder; give one for the checkpoints") from None


def _take_trained(
    detector: TollDetector, stack: Stack, history: History, rows: NDArray[Any], held: NDArray[Any]
) -> tuple[str, ...]:
    """Give a detector its trained stack. Return the warnings of the fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_not_improved(history)
        detector._take_trained(stack, history, rows, held)
    return tuple(dict.fromkeys(str(one.message) for one in caught))


def _trained(
    rows: NDArray[Any],
    folder: str | os.PathLike[str] | None,
    detectors: Sequence[TollDetector],
    stacks: Sequence[Stack],
) -> tuple[list[History], Sequence[Stack]]:
    """Train the stacks of some detectors as one; return what was measured of each, and the stacks."""
    checkpoint = None if folder is None else _checkpoint(folder, rows, detectors, stacks)
    return _JointTraining(detectors, stacks, rows).train(checkpoint), [stack.eval() for stack in stacks]


def _checkpoint(
    folder: str | os.PathLike[str], rows: NDArray[Any], detectors: Sequence[TollDetector], stacks: Sequence[Stack]
) -> Checkpoint:
    """Return the checkpoint of a training, which is known by all that decides its outcome."""
    decisive = hashlib.sha256()
    for detector, stack in zip(detectors, stacks, strict=True):
        own = fitting.identity(detector.get_params(), detector._seed, names_of(detector), rows, stack)
        decisive.update(own.encode())
    identity = decisive.hexdigest()
    # The identity is the key of the file's seal (see `Checkpoint`), so the file's name has only its digest.
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Checkpoint(os.path.join(folder, f"{name}.checkpoint"), identity)


class _JointTraining:
    """Trains detectors whose members are joined in one stack."""

    def __init__(self, detectors: Sequence[TollDetector], stacks: Sequence[Stack], rows: NDArray[Any]) -> None:
        first = detectors[0]
        self._stacks, self._settings = stacks, [detector.settings_ for detector in detectors]
        longest = max(self._settings, key=lambda settings: settings.latent_dim)
        n_members = sum(map(len, stacks))
        whole, _ = fitting.untrained_stack(
            first.network,
            replace(longest, n_members=n_members),
            first._preparation,
            first.input_shape_,
            0,
            stacks[0].device,
        )
        self._whole = whole
        betas = [one.beta for one, stack in zip(self._settings, stacks, strict=True) for _ in range(len(stack))]
        self._objective = fitting.objective_of(longest, betas)
        self._batches = fitting.batches_of(
            whole, first._preparation, longest, rows, [detector._seed for detector in detectors]
        )

    def seconds_of_a_step(self) -> float:
        """Return about how many seconds a step takes. `train` starts anew afterwards."""
        join(self._stacks, self._whole)
        self._fit(1)  # the first step of a process takes longer than others
        start = time.perf_counter()
        self._fit(_TIMED_STEPS)
        return (time.perf_counter() - start) / _TIMED_STEPS

    def train(self, checkpoint: Checkpoint | None) -> list[History]:
        """Train all members, copy them back into their stacks, and return the history of each stack."""
        join(self._stacks, self._whole)
        history = self._fit(self._settings[0].steps, checkpoint)
        separate(self._whole, self._stacks)
        histories, first = [], 0
        for stack in self._stacks:
            stack.eval()
            own = slice(first, first + len(stack))
            losses = [members[own] for members in history.loss]
            histories.append(History(history.initial_loss[own], [*history.step], losses))
            first += len(stack)
        return histories

    def _fit(self, steps: int, checkpoint: Checkpoint | None = None) -> History:
        settings = self._settings[0]
        with warnings.catch_warnings():
            # The caller gives this warning for each detector.
            warnings.filterwarnings("ignore", "training did not improve")
            return fit(
                self._whole.train(),
                self._objective,
                self._batches,
                steps=steps,
                learning_rate=settings.learning_rate,
                schedule=settings.schedule,
                precision=settings.precision,
                checkpoint=checkpoint,
            )


def _split(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows to train on and to hold out, the same for all detectors of a sweep."""
    if n < _LEAST_ROWS:
        raise ValueError(f"a sweep holds out a fifth of the rows and needs {_LEAST_ROWS} or more; there are {n}")
    order = np.random.default_rng([n, 2]).permutation(n)
    n_held_out = round(_HELD_OUT * n)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def _groups(n_members: Sequence[int], latent_dims: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the detectors of each stack. Similar latent_dim stay together, so that little is padded."""
    size = max(1, _MEMBERS // n_members[0])
    order = sorted(range(len(n_members)), key=lambda number: latent_dims[number])
    return [order[first : first + size] for first in range(0, len(order), size)]
