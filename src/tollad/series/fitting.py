"""The steps of a fit on series: windows, held-out steps, and the threshold from their scores."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision, rows_needed
from tollad.calibration.checks import check_share
from tollad.calibration.conformal import check_n_rows
from tollad.detector.estimator import TollDetector
from tollad.series.clock import Clock
from tollad.series.context import Context
from tollad.series.gaps import Gaps
from tollad.series.model import SeriesModel, as_samples, held_out_scores
from tollad.series.steps import Steps, long_enough
from tollad.series.thresholds import N_FOLDS, FalseAlarms, folds
from tollad.series.window import check_window, choose_stride, choose_window, windows
from tollad.tables.stand_ins import NUMBERS, StandIns, warn_of_stand_in
from tollad.warn import listed, printable, warn

Floats: TypeAlias = NDArray[np.float64]
FitWindows: TypeAlias = Callable[[Sequence[Floats], int, int, bool], TollDetector]
"""``(stretches, window, stride, is_last) -> detector`` of their windows. The last fit is the one that is kept."""

# More training steps memorise a few hundred windows. On NAB and SKAB they did not improve the results.
_TRAINING_STEPS = 100


@dataclass(frozen=True)
class StepSettings:
    """The parameters of a `SeriesDetector` about time steps; the others are those of its detector of windows."""

    window: int | Literal["auto"]
    stride: int | Literal["auto"]
    per_group: bool
    causal: bool
    adapt: bool
    contamination: float
    false_alarm_rate: float | str | None
    gaps: Gaps | None


@dataclass(frozen=True)
class TrainingSteps:
    """One or several series to learn from, such as those of a file.

    Attributes
    ----------
    steps : Steps
    kept : ndarray of bool, (T,)
        Which steps to learn from.
    path : str
        Name in messages.
    """

    steps: Steps
    kept: NDArray[np.bool_]
    path: str = "the series"

    def stretches(self, gaps: Gaps | None) -> dict[str | None, list[Floats]]:
        """Return the stretches to learn from, group by group; ValueError if `kept` has no step."""
        if not self.kept.any():
            raise ValueError(f"{self.path}: no time step is normal, so there is nothing to learn from")
        return self.steps.stretches(self.kept, gaps, self.path)


def fit_windows(
    stretches: Sequence[Floats],
    window: int,
    stride: int,
    parameters: Mapping[str, Any],
    checkpoint: str | os.PathLike[str] | None,
) -> TollDetector:
    """Fit a detector on the windows of stretches.

    Parameters
    ----------
    stretches : sequence of ndarray of float64, (T, C)
        Each at least a window long.
    window, stride : int >= 1
    parameters : mapping of str
        Of a `TollDetector`. Here "auto" is replaced by the defaults for series.
    checkpoint : path or None
        As in `TollDetector.fit`; so are the errors raised.
    """
    own = dict(parameters)
    if own["network"] == "auto":
        own["network"] = "mlp_layernorm"
    if own["steps"] == "auto" and own["network"] == "mlp_layernorm" and own["corruption"] == "auto":
        own["steps"] = _TRAINING_STEPS
    rows = np.concatenate([as_samples(windows(piece, window, stride), own["network"]) for piece in stretches])
    if rows.ndim == 2:
        own["n_channels"] = rows.shape[1] // window
    with warnings.catch_warnings():
        # These warnings are about the threshold of windows, which is not used, and about columns, which windows lack.
        warnings.filterwarnings("ignore", "contamination=|these columns are constant")
        return TollDetector(**own).fit(rows, checkpoint=checkpoint)


def learn(
    parts: Sequence[TrainingSteps], settings: StepSettings, fit: FitWindows, group: str | None = None
) -> SeriesModel:
    """Fit one model to all series, and with `per_group` one to each group.

    Parameters
    ----------
    parts : sequence of TrainingSteps
    settings : StepSettings
    fit : callable
        Fits the windows, see `FitWindows`.
    group : str, optional
        The column that names the series of a row.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, or a series that is too short for them.
    """
    allowed = None if settings.false_alarm_rate is None else FalseAlarms.parse(settings.false_alarm_rate)
    check_share(settings.contamination, "contamination")
    steps = parts[0].steps
    names = [name for part in parts for name in part.steps.groups]
    if settings.per_group and not names:
        raise ValueError("a model for each group needs to know the group of each time step; give its column as group")
    every = [part.stretches(settings.gaps) for part in parts]
    pieces = [piece for groups in every for found in groups.values() for piece in found]
    window = choose_window(pieces) if settings.window == "auto" else settings.window
    check_window(window, 1)
    series = [
        (name, found)
        for part, groups in zip(parts, every, strict=True)
        for name, found in long_enough(groups, window, part.path).items()
    ]
    _warn_of_stand_ins(steps.names, series)
    shared = _Shared(settings, allowed, steps.names, steps.clock, int(window), group, names)
    fitted = shared.learn([found for _, found in series], fit, is_last=True)
    return replace(fitted, own=_each(series, shared, fit)) if settings.per_group else fitted


@dataclass(frozen=True)
class _Shared:
    """What is the same for the model of all series and those of single groups."""

    settings: StepSettings
    allowed: FalseAlarms | None
    columns: list[str]
    clock: Clock
    window: int
    group: str | None
    groups: list[str]

    def has_enough(self, series: Sequence[Sequence[Floats]]) -> bool:
        """Return whether each fold of series holds a window, and there are steps enough for the false-alarm rate."""
        n_time_steps, allowed = sum(map(len, itertools.chain(*series))), self.allowed
        by_step = allowed is not None and allowed.unit == "step"
        few = allowed is not None and by_step and n_time_steps < rows_needed(allowed.value)
        return not few and sum(1 for _ in folds(series, self.window)) == N_FOLDS

    def learn(
        self, series: Sequence[Sequence[Floats]], fit: FitWindows, name: str | None = None, *, is_last: bool
    ) -> SeriesModel:
        """Return the model of series, each a sequence of stretches.

        `name` is that of their group, if they are of one; `is_last` as in `FitWindows`.
        """
        settings, allowed, window = self.settings, self.allowed, self.window
        stretches = [piece for found in series for piece in found]
        _name_constant(self.columns, stretches, name)
        n_time_steps = sum(map(len, stretches))
        if allowed is not None:
            _check_false_alarms(allowed, self.clock, n_time_steps)
        stride = choose_stride(n_time_steps, window) if settings.stride == "auto" else settings.stride
        check_window(window, stride)
        detector = fit(stretches, window, stride, is_last)
        fitted = SeriesModel(
            detector=detector,
            columns=self.columns,
            clock=self.clock.anew(),
            window=window,
            stride=int(stride),
            causal=bool(settings.causal),
            trims=True,
            share=None,
            decision=Decision(0.0, ("anomaly_score", 0.0), np.empty(0)),
            folds=[],
            n_time_steps=n_time_steps,
            gaps=settings.gaps,
            group=self.group,
            groups=self.groups,
            # Scores of long windows rise so slowly before a peak that a threshold that follows would rise with them.
            context=None if settings.causal or settings.adapt else Context.learn(stretches, detector, window),
        )
        pieces, sizes = held_out_scores(fitted, series, lambda trained: fit(trained, window, fitted.stride, False))
        scores = np.concatenate(pieces)
        start = Decision(0.0, ("anomaly_score", 0.0), scores, np.sort(scores))
        fitted = replace(fitted, decision=start, folds=sizes)
        if allowed is None:
            fitted = fitted.with_contamination(settings.contamination)
        elif allowed.unit == "step":
            fitted = replace(fitted, decision=start.with_threshold(false_alarm_rate=allowed.value))
            fitted.warn_if_few(allowed.value)
        else:
            fitted = fitted.with_false_stretches(pieces, allowed)
        if settings.adapt:
            by_step = allowed is not None and allowed.unit == "step"
            fitted = replace(fitted, share=allowed.value if allowed and by_step else settings.contamination)
        return fitted


def _each(
    series: Sequence[tuple[str | None, list[Floats]]], shared: _Shared, fit: FitWindows
) -> dict[str, SeriesModel]:
    """Return a model for each group that is long enough to hold steps out; warn of the others by name."""
    by_group: dict[str, list[list[Floats]]] = {}
    for name, found in series:
        if name is not None:
            by_group.setdefault(name, []).append(found)
    own: dict[str, SeriesModel] = {}
    for name, its in by_group.items():
        if shared.has_enough(its):
            own[name] = shared.learn(its, fit, name, is_last=False)
    if short := [name for name in by_group if name not in own]:
        warn(
            f"{len(short):,} of {len(by_group):,} groups have too few time steps in a row for a model of their own, "
            f"and are judged by that of all: {listed(short)}; give longer series of them, or fit with a shorter window"
        )
    return own


def _warn_of_stand_ins(names: Sequence[str], series: Sequence[tuple[str | None, list[Floats]]]) -> None:
    """Warn of numbers that stand for missing values."""
    for number, name in enumerate(names):
        stand_ins = StandIns(NUMBERS)
        for _, found in series:
            for piece in found:
                stand_ins.add(piece[:, number])
        warn_of_stand_in(name, stand_ins, is_named=False)


def _check_false_alarms(allowed: FalseAlarms, clock: Clock, n_time_steps: int) -> None:
    """Raise ValueError, before anything is trained, for a rate that no threshold on so many steps can keep."""
    if allowed.unit == "step":
        check_n_rows(allowed.value, n_time_steps)
    if allowed.unit == "day" and (clock.kind != "date" or not clock.usual):
        raise ValueError("false stretches per day need time stamps that are dates; give their column as time")


def _name_constant(names: Sequence[str], stretches: Sequence[Floats], group: str | None) -> None:
    """Warn of channels that have the same value in all time steps, of a group if one is named."""
    first = stretches[0][0]
    varies = np.any([(piece != first).any(0) for piece in stretches], axis=0)
    if constant := [name for name, moves in zip(names, varies, strict=True) if not moves]:
        where = "" if group is None else f" of group {printable(group)!r}"
        warn(
            f"constant in every time step{where}: {listed(constant)}; any other value of such a channel will count as "
            "anomalous, so leave the channel out if other values are normal"
        )
