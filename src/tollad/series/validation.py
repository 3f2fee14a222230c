"""Checks of the parts of a model file or a state of a series, each alone and against the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tollad.calibration.checks import check_number, check_share, finite_scores
from tollad.detector.validation import check_names
from tollad.series.clock import Clock, TimeKind
from tollad.series.context import Context
from tollad.series.gaps import Gaps
from tollad.series.model import SeriesModel
from tollad.series.thresholds import RECENT
from tollad.series.window import check_window


def check_model(model: SeriesModel) -> None:
    """Raise ValueError or TypeError unless the parts of a model are valid and those of its detector of windows."""
    check_window(model.window, model.stride)
    shape = model.detector.input_shape_
    if shape[-1] % model.window or (len(shape) > 1 and shape[-1] != model.window):
        raise ValueError(f"windows of {model.window} steps, and a detector of rows of shape {shape}")
    n_channels = math.prod(shape) // model.window
    check_names(model.columns, n_channels)
    if not isinstance(model.groups, list) or not all(isinstance(name, str) for name in model.groups):
        raise ValueError("groups without names")
    if not isinstance(model.group, str | None) or model.gaps not in (None, *get_args(Gaps)):
        raise ValueError("groups or gaps of another kind")
    if not isinstance(model.causal, bool) or not isinstance(model.trims, bool):
        raise ValueError("scores or alarms of another kind")
    if model.share is not None:
        check_share(model.share, "share")
    for group, one in model.own.items():
        if group not in model.groups or one.own or _shared(one) != _shared(model):
            raise ValueError("a model of a group of another series")
    check_clock(model.clock)
    check_decision(model)
    if model.context is not None:
        if model.causal:
            raise ValueError("long windows of a causal series")
        check_context(model.context, model.window, n_channels)


def _shared(model: SeriesModel) -> tuple[Any, ...]:
    """Return what the model of all groups and that of one have in common."""
    how = model.causal, model.share is None, model.gaps, model.group
    return (*how, model.columns, model.window, model.clock.to_json())


def check_clock(clock: Clock) -> None:
    """Raise ValueError unless a clock has a column, a kind of time stamps and a time between two of them, or none."""
    known = (
        isinstance(clock.column, str | None)
        and clock.kind in get_args(TimeKind)
        and isinstance(clock.zone, str | None)
        and clock.zoned in (None, True, False)
    )
    if not known:
        raise ValueError("time stamps of another kind")
    if clock.usual is not None:
        check_number(clock.usual, "usual")
        if clock.usual <= 0:
            raise ValueError("time stamps that do not ascend")


def check_decision(model: SeriesModel) -> None:
    """Raise ValueError or TypeError unless scores, folds and threshold belong together."""
    decision, folds = model.decision, model.folds
    of_files = isinstance(folds, list) and all(type(n) is int and n > 0 for n in folds)
    if not of_files or type(model.n_time_steps) is not int or sum(folds) != len(decision.training_scores):
        raise ValueError("folds of other steps than those that have scores")
    # A model of the first version, which does not trim alarms, has the threshold of a table.
    if decision.rule[0] != "contamination" or not model.trims:
        decision.check()
        return
    # Not where the folds put it: in earlier files that is the geometric mean over folds.
    replace(decision, rule=("anomaly_score", decision.threshold)).check()
    check_share(decision.rule[1], "contamination")


def check_context(context: Context, window: int, n_channels: int) -> None:
    """Raise ValueError unless long windows are no shorter than windows, and of as many channels."""
    if context.window < window or len(context.features.fill) != n_channels * context.window:
        raise ValueError("long windows of another series than the windows")


def check_state(
    model: SeriesModel, group: Any, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], last: Any
) -> None:
    """Raise ValueError or TypeError unless a state is one of a series of the model, see `Pipeline.state`."""
    kept, before = arrays["kept"], arrays["before"]
    for steps, most in ((kept, model.window - 1), (before, 1)):
        if steps.dtype != np.float64 or len(steps) > most or steps.shape[1:] not in {(len(model.columns),), (0,)}:
            raise ValueError("time steps of another series")
    if not np.isfinite(kept).all() or (len(kept) and not kept.size) or (len(before) and not before.size):
        raise ValueError("time steps without values")
    counts, numbers = [plain["n_seen"]], [plain.get("peak", 0.0), plain.get("low", 0.0), last or 0.0]
    if model.share is not None:
        counts, numbers = [*counts, plain["n_held"]], [*numbers, plain["level"], plain["at"]]
        recent = finite_scores(arrays["recent"], "recent scores")
        if arrays["recent"].dtype != np.float64 or not 0 < len(recent) <= RECENT:
            raise ValueError("recent scores of another kind")
    if not isinstance(group, str | None) or not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError("a group or a number of steps of another kind")
    for number in numbers:
        check_number(number, "number of a state")
