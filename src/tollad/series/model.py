"""SeriesModel: the fitted parts of a detector of series, and its model file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision, rows_needed
from tollad.detector.estimator import TollDetector
from tollad.detector.model import Model
from tollad.io.dialect import Dialect
from tollad.io.source import Source
from tollad.method.networks import traits_of
from tollad.series.clock import Clock
from tollad.series.context import Context, JointScores, joined
from tollad.series.gaps import Gaps
from tollad.series.thresholds import FalseAlarms, fold_threshold, folds, stretch_threshold
from tollad.series.window import LastScores, MeanScores
from tollad.warn import warn

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeriesModel:
    """All that is needed to score time steps and to raise alarms.

    Attributes
    ----------
    detector : TollDetector
        Of the windows.
    columns : list of str
        The channels.
    clock : Clock
    window, stride : int
    causal : bool
        Whether the score of a step is that of the window which ends with it, not the mean of all that cover it.
    trims : bool
        Whether alarms are trimmed to the part around their peak; if causal, around their highest score so far.
    share : float or None
        The share of alarms at which an adaptive threshold aims; None for a fixed threshold.
    decision : Decision
        Of time steps. Its training scores are those of held-out steps, fold by fold, in order of time.
    folds : list of int
        Number of these scores in each fold.
    n_time_steps : int
        Number of time steps learnt from.
    gaps : {"split", "interpolate", "fail"} or None
        What to do where steps or values are missing.
    group : str or None
        The column that names the series of a row, if there are several.
    groups : list of str
        Names of the series of the fit.
    notes : dict of JSON values
        Notes of the user. They have no effect.
    source : Source or None
        How the file of the fit was read.
    context : Context or None
        Long windows, whose distance is a part of a step's score. None if causal or fitted with an adaptive threshold,
        without kept windows, and in files from before there was a context.
    own : mapping of str to SeriesModel
        The model of each group that has one of its own; the model itself judges all other groups. They have the same
        channels, clock and window.
    window_model : Model or None
        Scores windows in place of the detector, see `held_out_scores`.
    """

    detector: TollDetector
    columns: list[str]
    clock: Clock
    window: int
    stride: int
    causal: bool
    trims: bool
    share: float | None
    decision: Decision
    folds: list[int]
    n_time_steps: int
    gaps: Gaps | None = None
    group: str | None = None
    groups: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    source: Source | None = None
    context: Context | None = None
    own: Mapping[str, SeriesModel] = field(default_factory=dict)
    window_model: Model | None = None

    @property
    def read_as(self) -> Source:
        """How the file of the fit was read; the defaults after a fit from Python."""
        return Source("", 0, 0) if self.source is None else self.source

    @property
    def dialect(self) -> Dialect:
        """How the text of the file of the fit was written."""
        return Dialect.from_json(self.read_as.dialect)

    def of(self, group: str | None) -> SeriesModel:
        """Return the model that judges a group."""
        return self if group is None else self.own.get(group, self)

    @cached_property
    def truths(self) -> NDArray[np.bool_] | None:
        """Which channels take true and false for 1 and 0, (C,); None if nothing tells."""
        truths = self._windows.preparation.features.truths
        return np.asarray(truths.reshape(len(self.columns), -1).all(axis=1)) if len(truths) else None

    @cached_property
    def _windows(self) -> Model:
        return self.detector.as_model() if self.window_model is None else self.window_model

    def score_windows(self, cut: NDArray[Any]) -> Floats:
        """Return the scores of windows, (n, C, window), of finite numbers: (n,)."""
        # Not by the detector, whose checks of rows would take as long again for one window.
        parts = self._windows
        rows = cut.reshape(len(cut), *parts.record.input_shape)
        return parts.scorer.scores(rows, parts.preparation)

    def scorer(self) -> MeanScores | JointScores | LastScores:
        """Return an object that scores successive time steps."""
        if self.causal:
            return LastScores(self.score_windows, self.window)
        by_windows = MeanScores(self.score_windows, self.window, self.stride)
        return by_windows if self.context is None else JointScores(by_windows, self.context)

    def score_steps(self, values: Floats) -> Floats:
        """Return the scores of all time steps of a series, (T, C): (T,), NaN where there is no full window."""
        scorer = self.scorer()
        return np.concatenate([scorer.push(values), scorer.finish()])

    def known_scores(self, stretches: Sequence[Floats]) -> list[Floats]:
        """Return the scores of each stretch, (T_i, C), without those that are NaN."""
        found = [self.score_steps(values) for values in stretches]
        return [scores[np.isfinite(scores)] for scores in found]

    def with_contamination(self, share: float) -> SeriesModel:
        """Return the model with the threshold that a share of the held-out steps exceeds, see `fold_threshold`."""
        pieces = np.split(self.decision.training_scores, np.cumsum(self.folds)[:-1])
        decision = replace(self.decision, offset=-fold_threshold(pieces, share), rule=("contamination", float(share)))
        return replace(self, decision=decision)

    def with_threshold(
        self,
        contamination: float | None,
        false_alarm_rate: float | None,
        anomaly_score: float | None,
        *,
        tail: bool = False,
    ) -> SeriesModel:
        """Return the model with another threshold, see `SeriesDetector.set_threshold`."""
        if contamination is not None and false_alarm_rate is None and anomaly_score is None and not tail:
            moved = self.with_contamination(contamination)
        else:
            decision = self.decision.with_threshold(
                contamination=contamination, false_alarm_rate=false_alarm_rate, anomaly_score=anomaly_score, tail=tail
            )
            moved = replace(self, decision=decision)
        if false_alarm_rate is not None and not tail:
            moved.warn_if_few(false_alarm_rate)
        # An adaptive threshold gets a new share to aim at, or becomes a fixed one.
        share = false_alarm_rate if contamination is None else contamination
        own = {
            group: one.with_threshold(contamination, false_alarm_rate, anomaly_score, tail=tail)
            for group, one in self.own.items()
        }
        return replace(moved, own=own) if self.share is None else replace(moved, own=own, share=share)

    def with_false_stretches(self, pieces: Sequence[Floats], allowed: FalseAlarms) -> SeriesModel:
        """Return the model with the lowest threshold that few enough stretches of held-out scores exceed.

        Warns
        -----
        UserWarning
            If there are so few held-out steps that the rate allows no stretch among them.
        """
        n_time_steps = sum(map(len, pieces))
        most = allowed.value * n_time_steps / 1000
        if allowed.unit == "day":
            assert self.clock.usual is not None  # checked before the fit
            most = allowed.value * n_time_steps * self.clock.usual
        if most < 1:
            warn(
                f"{allowed.value:g} false stretches per {allowed.unit} are fewer than one in the {n_time_steps:,} "
                "steps held out, so the threshold is their highest score; give a longer series"
            )
        threshold = stretch_threshold(pieces, most)
        return replace(self, decision=self.decision.with_threshold(anomaly_score=threshold))

    def warn_if_few(self, rate: float) -> None:
        """Warn if there are few calibration steps for a rate: steps within one window are hardly independent."""
        scores = self.decision.calibration_scores
        n_time_steps, needed = 0 if scores is None else len(scores), rows_needed(rate) * self.window
        if n_time_steps < needed:
            warn(
                f"the false-alarm rate of {rate:g} is a rough guess: {n_time_steps:,} calibration steps are only "
                f"{n_time_steps / self.window:.3g} windows side by side; calibrate on a normal series of {needed:,} "
                "steps or more"
            )


def held_out_scores(
    model: SeriesModel, series: Sequence[Sequence[Floats]], fit: Callable[[Sequence[Floats]], TollDetector]
) -> tuple[list[Floats], list[int]]:
    """Score each fold by a detector that has not seen it, in the units of the model.

    Parameters
    ----------
    model : SeriesModel
        The model of all stretches, for how steps are scored.
    series : sequence of sequences of ndarray, (T_i, C)
        The stretches of each series.
    fit : callable
        Fits a detector to the windows of stretches.

    Returns
    -------
    pieces : list of ndarray, (T_j,)
        Scores of each held-out piece.
    sizes : list of int
        Number of scores in each fold.

    Warns
    -----
    UserWarning
        If there are too few steps for folds. The scores are then those of training steps.
    """
    pieces: list[Floats] = []
    sizes: list[int] = []
    units = model.detector.as_model().scorer
    by_context = series if model.context is None else model.context.held_out(series)
    both = zip(folds(series, model.window), folds(by_context, model.window), strict=True)
    for (trained, held_out), (_, contexts) in both:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit of all steps warned of it already
            windows = fit(trained).as_model()
        # A detector divides by its mean score over its own training windows. In a fold these are fewer and learnt more
        # closely, so that mean is lower: with it, scores and threshold would be too high for the model.
        windows = replace(windows, scorer=windows.scorer.in_units_of(units))
        found = replace(model, window_model=windows, context=None).known_scores(held_out)
        if model.context is not None:
            found = [
                joined(scores, context, model.context.power) for scores, context in zip(found, contexts, strict=True)
            ]
        pieces += found
        sizes.append(sum(map(len, found)))
    if pieces:
        return pieces, sizes
    warn(
        f"the series has {model.n_time_steps:,} time steps, too few to hold some out for windows of {model.window}; "
        "the threshold rests on steps that were trained on, and more of new normal steps lie above it"
    )
    pieces = model.known_scores([piece for stretches in series for piece in stretches])
    return pieces, [sum(map(len, pieces))]


def as_samples(cut: NDArray[Any], network: Any) -> NDArray[Any]:
    """Return windows, (n, C, window), in the shape that the network takes: unchanged, or flat."""
    return cut if traits_of(network).n_axes == 2 else cut.reshape(len(cut), -1)
