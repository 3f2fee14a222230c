"""What a fit of a series does besides training: it cuts windows, holds steps out, and puts the threshold on these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.calibration.checks import check_share
from tollad.detector.estimator import TollDetector
from tollad.series.measures import runs
from tollad.series.model import SeriesModel, held_out_scores
from tollad.series.steps import Steps, long_enough
from tollad.series.thresholds import FalseAlarms
from tollad.series.window import check_window, choose_stride, choose_window

Floats: TypeAlias = NDArray[np.float64]
FitWindows: TypeAlias = Callable[[Sequence[Floats], int, int, bool], TollDetector]
"""``(stretches, window, stride, is_last) -> detector`` of their windows; the last fit is that which is kept."""


@dataclass(frozen=True)
class Asked:
    """The parameters of a `SeriesDetector` that are about steps, not windows; each as there."""

    window: int | Literal["auto"]
    stride: int | Literal["auto"]
    causal: bool
    adapt: bool
    contamination: float
    false_alarm_rate: float | str | None


def learn(steps: Steps, kept: NDArray[np.bool_], asked: Asked, fit_windows: FitWindows, path: str) -> SeriesModel:
    """Learn a series, (T, C), from the steps of `kept`, (T,).

    Parameters
    ----------
    steps : Steps
    kept : ndarray of bool, (T,)
        Which steps are normal.
    asked : Asked
    fit_windows : callable
    path : str
        What messages call the series.

    Raises
    ------
    ValueError, TypeError
        For parameters out of range, and a series too short for them.
    """
    allowed = None if asked.false_alarm_rate is None else FalseAlarms.parse(asked.false_alarm_rate)
    check_share(asked.contamination, "contamination")
    every = [steps.values[begin:end] for begin, end in runs(kept)]
    if not every:
        raise ValueError(f"{path}: no time step is normal, so there is nothing to learn from")
    window = choose_window(every) if asked.window == "auto" else asked.window
    check_window(window, 1)
    stretches = long_enough(every, window, path)
    n_steps = sum(map(len, stretches))
    stride = choose_stride(n_steps, window) if asked.stride == "auto" else asked.stride
    check_window(window, stride)
    fitted = SeriesModel(
        detector=fit_windows(stretches, window, stride, True),
        columns=steps.names,
        clock=steps.clock.anew(),
        window=int(window),
        stride=int(stride),
        causal=bool(asked.causal),
        trims=not asked.causal,
        share=None,
        decision=Decision(0.0, ("anomaly_score", 0.0), np.empty(0)),
        folds=[],
        n_steps=n_steps,
    )
    pieces, sizes = held_out_scores(
        fitted, stretches, lambda trained: fit_windows(trained, fitted.window, fitted.stride, False)
    )
    scores = np.concatenate(pieces)
    start = Decision(0.0, ("anomaly_score", 0.0), scores, np.sort(scores))
    fitted = replace(fitted, decision=start, folds=sizes)
    if allowed is None:
        fitted = fitted.with_contamination(asked.contamination)
    elif allowed.unit == "step":
        fitted = replace(fitted, decision=start.with_threshold(false_alarm_rate=allowed.value))
        fitted.warn_if_few(allowed.value)
    else:
        fitted = fitted.with_false_stretches(pieces, allowed)
    if asked.adapt:
        by_step = allowed is not None and allowed.unit == "step"
        fitted = replace(fitted, share=allowed.value if allowed and by_step else asked.contamination)
    return fitted
