"""The steps of a fit on series: windows, held-out steps, and the threshold from their scores."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.calibration.checks import check_share
from tollad.calibration.conformal import check_n_rows
from tollad.detector.estimator import TollDetector
from tollad.series.clock import Clock
from tollad.series.context import Context
from tollad.series.gaps import Gaps
from tollad.series.model import SeriesModel, as_samples, held_out_scores
from tollad.series.steps import Steps, long_enough
from tollad.series.thresholds import FalseAlarms
from tollad.series.window import check_window, choose_stride, choose_window, windows
from tollad.tables.stand_ins import NUMBERS, StandIns, warn_of_stand_in
from tollad.warn import listed, warn

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
    """Fit one model to all series.

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
    every = [part.stretches(settings.gaps) for part in parts]
    pieces = [piece for groups in every for found in groups.values() for piece in found]
    window = choose_window(pieces) if settings.window == "auto" else settings.window
    check_window(window, 1)
    series = [
        found
        for part, groups in zip(parts, every, strict=True)
        for found in long_enough(groups, window, part.path).values()
    ]
    stretches = [piece for found in series for piece in found]
    steps = parts[0].steps
    _name_constant(steps.names, stretches)
    for number, name in enumerate(steps.names):
        stand_ins = StandIns(NUMBERS)
        for piece in stretches:
            stand_ins.add(piece[:, number])
        warn_of_stand_in(name, stand_ins, is_named=False)
    n_time_steps = sum(map(len, stretches))
    if allowed is not None:
        _check_false_alarms(allowed, steps.clock, n_time_steps)
    stride = choose_stride(n_time_steps, window) if settings.stride == "auto" else settings.stride
    check_window(window, stride)
    detector = fit(stretches, window, stride, True)
    fitted = SeriesModel(
        detector=detector,
        columns=steps.names,
        clock=steps.clock.anew(),
        window=int(window),
        stride=int(stride),
        causal=bool(settings.causal),
        trims=True,
        share=None,
        decision=Decision(0.0, ("anomaly_score", 0.0), np.empty(0)),
        folds=[],
        n_time_steps=n_time_steps,
        gaps=settings.gaps,
        group=group,
        groups=[name for part in parts for name in part.steps.groups],
        # Scores of long windows rise so slowly before a peak that a threshold that follows would rise with them.
        context=None if settings.causal or settings.adapt else Context.learn(stretches, detector, int(window)),
    )
    pieces, sizes = held_out_scores(fitted, series, lambda trained: fit(trained, fitted.window, fitted.stride, False))
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


def _check_false_alarms(allowed: FalseAlarms, clock: Clock, n_time_steps: int) -> None:
    """Raise ValueError, before anything is trained, for a rate that no threshold on so many steps can keep."""
    if allowed.unit == "step":
        check_n_rows(allowed.value, n_time_steps)
    if allowed.unit == "day" and (clock.kind != "date" or not clock.usual):
        raise ValueError("false stretches per day need time stamps that are dates; give their column as time")


def _name_constant(names: Sequence[str], stretches: Sequence[Floats]) -> None:
    """Warn of channels that have the same value in all time steps."""
    first = stretches[0][0]
    varies = np.any([(piece != first).any(0) for piece in stretches], axis=0)
    if constant := [name for name, moves in zip(names, varies, strict=True) if not moves]:
        warn(
            f"constant in every time step: {listed(constant)}; any other value of such a channel will count as "
            "anomalous, so leave the channel out if other values are normal"
        )
