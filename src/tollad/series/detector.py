"""SeriesDetector: learns windows of a time series, and scores its time steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from tollad.detector.estimator import TollDetector
from tollad.detector.parameters import check_parameters, documented
from tollad.series.decisions import StepDecisionMixin
from tollad.series.events import Event, Judged
from tollad.series.fitting import StepSettings, TrainingSteps, fit_windows, learn
from tollad.series.gaps import Gaps
from tollad.series.model import SeriesModel
from tollad.series.parameters import SERIES_PARAMETERS, WINDOW_NAMES
from tollad.series.pipeline import Pipeline, check_ended, judge_steps
from tollad.series.saving import SeriesSaving
from tollad.series.scoring import score_series
from tollad.series.steps import Steps, as_step, as_steps
from tollad.series.streaming import Stream

if TYPE_CHECKING:
    import torch
    from torch import nn

Auto: TypeAlias = Literal["auto"]
Floats: TypeAlias = NDArray[np.float64]


@partial(documented, table=SERIES_PARAMETERS)
class SeriesDetector(StepDecisionMixin, SeriesSaving, OutlierMixin, BaseEstimator):
    """Anomaly detection in a time series by targeted collapse.

    A `TollDetector` learns windows of the series. The score of a time step is the mean score of the windows that cover
    it, joined with the distance of long windows to the nearest ones of the fit; or with `causal` the score of the
    window that ends with it. The threshold is placed by scores of held-out steps.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    model_ : tollad.series.model.SeriesModel
        The fitted parts: the `TollDetector` of the windows, window and stride, channels, clock and threshold.
    n_features_in_ : int
        Number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(800) / 5) + 0.05 * rng.normal(size=800)
    >>> detector = SeriesDetector(window=32, steps=20, random_state=0).fit(series[:500])
    >>> new = series[500:].copy()
    >>> new[200:210] += 3
    >>> [event.peak // 10 for event in detector.events(new)]
    [20]
    """

    def __init__(
        self,
        *,
        window: int | Auto = "auto",
        stride: int | Auto = "auto",
        time: str | None = None,
        time_zone: str | None = None,
        gaps: Gaps | None = None,
        per_group: bool = False,
        causal: bool = False,
        adapt: bool = False,
        contamination: float = 0.01,
        false_alarm_rate: float | str | None = None,
        steps: int | Auto = "auto",
        network: str | tuple[nn.Module, nn.Module] = "auto",
        beta: float | Auto = "auto",
        norm: Literal["l1", "l2", "linf"] = "l2",
        target: Literal["origin", "mean"] = "origin",
        error: str = "l2",
        latent_dim: int | Auto = "auto",
        hidden: Sequence[int] | Auto = "auto",
        learning_rate: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        n_members: int | Auto = "auto",
        corruption: Literal["auto", "mixed"] | None = "auto",
        neighbors: int | Auto = "auto",
        neighbor_weight: float = 0.5,
        preprocess: Literal["auto", "standard"] | None = "auto",
        early_stopping: bool = False,
        precision: Literal["float32", "float64", "bf16"] = "float32",
        device: str | torch.device = "auto",
        random_state: int | RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.window = window
        self.stride = stride
        self.time = time
        self.time_zone = time_zone
        self.gaps = gaps
        self.per_group = per_group
        self.causal = causal
        self.adapt = adapt
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.steps = steps
        self.network = network
        self.beta = beta
        self.norm = norm
        self.target = target
        self.error = error
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_members = n_members
        self.corruption = corruption
        self.neighbors = neighbors
        self.neighbor_weight = neighbor_weight
        self.preprocess = preprocess
        self.early_stopping = early_stopping
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        group: str | ArrayLike | None = None,
        normal: ArrayLike | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn what is normal in a series.

        Parameters
        ----------
        X : array-like, (T,) or (T, C), or frame of pandas, polars or Arrow
            Rows are time steps in order of time; of several series, each must be in order. Missing values are NaN.
        y : ignored
        group : str or array-like, (T,), optional
            The series to which each step belongs: a column of a frame, or an array. No window spans two. One model
            learns all series; with `per_group` each has a model of its own, too.
        normal : array-like of bool, (T,), optional
            The steps to learn from; by default all. No window contains other steps.
        checkpoint : path, optional
            As in `TollDetector.fit`.

        Raises
        ------
        ValueError, TypeError
            For parameters out of range, values that are missing or infinite, time stamps that do not ascend, or a
            series that is shorter than a window.

        Warns
        -----
        UserWarning
            For a gap in the time stamps, a series that is too short to hold steps out for the threshold, and groups
            that are too short for a model of their own.
        """
        check_parameters(self.get_params(deep=False), SERIES_PARAMETERS)
        steps = as_steps(X, self.time, group, gaps=self.gaps, zone=self.time_zone)
        kept = np.ones(len(steps.values), np.bool_) if normal is None else np.asarray(normal, np.bool_)
        if kept.shape != (len(steps.values),):
            raise ValueError(f"normal has shape {kept.shape}, and the series has {len(steps.values)} time steps")
        named = group if isinstance(group, str) else None
        return self.fit_parts([TrainingSteps(steps, kept)], checkpoint=checkpoint, group=named)

    def fit_parts(
        self,
        parts: Sequence[TrainingSteps],
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        group: str | None = None,
    ) -> Self:
        """Fit on series that were read from files, `parts`; otherwise as `fit`.

        `group` is the column that names the series of a row, if there are several.
        """
        check_parameters(self.get_params(deep=False), SERIES_PARAMETERS)
        settings = StepSettings(**{name: getattr(self, name) for name in StepSettings.__dataclass_fields__})

        own = {name: value for name, value in self.get_params(deep=False).items() if name in WINDOW_NAMES}

        def fit(stretches: Sequence[Floats], window: int, stride: int, is_last: bool) -> TollDetector:
            shown, kept_in = (self.verbose, checkpoint) if is_last else (0, None)
            return fit_windows(stretches, window, stride, own | {"verbose": shown}, kept_in)

        self.model_ = learn(parts, settings, fit, group)
        self.n_features_in_ = len(self.model_.columns)
        return self

    def anomaly_score(self, X: ArrayLike, *, group: str | ArrayLike | None = None) -> Floats:
        """Return the anomaly score of each time step: (T,), high = anomalous.

        It is NaN where there is no full window: before the end of the first one if causal, and between two gaps that
        are closer than a window.

        Parameters
        ----------
        X, group
            As in `fit`. If X is a frame, `group` is by default the column of the fit.

        Raises
        ------
        ValueError
            For a series that is shorter than a window, or has other columns than that of the fit.
        """
        return self.judge(X, group=group).scores

    def predict(self, X: ArrayLike, *, group: str | ArrayLike | None = None) -> NDArray[np.int64]:
        """Return -1 for the time steps of an alarm and +1 for all others: (T,).

        Parameters
        ----------
        X, group
            As in `anomaly_score`.

        Raises
        ------
        ValueError
            As `anomaly_score`.
        """
        return np.where(self.judge(X, group=group).alarms, -1, 1)

    def judge(self, X: ArrayLike, *, group: str | ArrayLike | None = None) -> Judged:
        """Return scores, thresholds and alarms of all time steps.

        Parameters
        ----------
        X, group
            As in `anomaly_score`.

        Raises
        ------
        ValueError
            As `anomaly_score`.
        """
        steps = self._steps(X, group)
        return judge_steps(self.model_, steps)[0]

    def update(self, row: ArrayLike, *, group: str | None = None) -> Judged:
        """Take the next time step of a stream, and return its score, threshold and alarm.

        The first call starts a stream, which continues until the next fit. Nothing is learnt from it.

        Parameters
        ----------
        row : float, array-like, (C,), or mapping of channels to numbers
            With `gaps` "split" or "interpolate", NaN cuts the series. A mapping, such as a row of a frame, may have
            other keys, too.
        group : str, optional
            The series to which it belongs, if there are several.

        Returns
        -------
        Judged
            Of one step. The score is NaN before there is a full window.

        Raises
        ------
        ValueError
            For a model that is not causal, which scores a step only a window later; and for values that are missing or
            no finite numbers.

        Examples
        --------
        >>> import numpy as np
        >>> wave = np.sin(np.arange(400) / 5)
        >>> detector = SeriesDetector(window=16, steps=20, causal=True, random_state=0).fit(wave[:300])
        >>> [bool(detector.update(value).alarms[0]) for value in [*wave[300:320], 9.0]][-2:]
        [False, True]
        """
        if not hasattr(self, "model_"):
            check_is_fitted(self)  # which takes a while
        if not self.model_.causal:
            raise ValueError("a step can only be judged at once by a causal model; fit with causal=True")
        step = as_step(row, self.model_.columns, lacks=self.model_.gaps in ("split", "interpolate"))
        if getattr(self, "_streams", (None, None))[0] is not self.model_:
            self._streams: tuple[SeriesModel, dict[str | None, Stream]] = self.model_, {}
        streams = self._streams[1]
        if group not in streams:
            streams[group] = Stream(self.model_.of(group))
        return streams[group].push(step)

    def events(self, X: ArrayLike, *, group: str | ArrayLike | None = None, n_reasons: int = 0) -> list[Event]:
        """Return the alarms as events, in order of their first steps.

        Parameters
        ----------
        X, group
            As in `anomaly_score`.
        n_reasons : int >= 0, default 0
            How many channels to describe in words.

        Raises
        ------
        ValueError
            As `anomaly_score`.
        """
        steps = self._steps(X, group)
        return judge_steps(self.model_, steps, n_reasons)[1]

    def iter_scores(
        self,
        source: str | os.PathLike[str] | Iterable[ArrayLike],
        *,
        header: bool | None = None,
        key: str | None = None,
        drop: Sequence[str] = (),
    ) -> Iterator[Floats]:
        """Score more time steps than memory holds.

        Parameters
        ----------
        source : path or iterable of array-like
            A file as ``tollad score`` reads it, or blocks of successive steps, each (m,) or (m, C).
        header, key, drop
            Of a file, as in `tollad.iter_scores`.

        Yields
        ------
        ndarray of float64, (b,)
            Scores of successive steps, equal to those of `anomaly_score`: one array for each block, which may be empty,
            and one at the end.
        """
        check_is_fitted(self)
        if isinstance(source, (str, os.PathLike)):
            for scored in score_series(self.model_, os.fspath(source), header=header, key=key, drop=drop):
                yield scored.scores
            return
        pipeline, n = Pipeline(self.model_), 0
        for block in source:
            steps = self._steps(block, None)
            rows = np.arange(n, n := n + len(steps.values))
            yield pipeline.push(steps.values, steps.times, rows)[1].scores
        yield pipeline.finish()[1].scores
        check_ended(self.model_, [pipeline], "the series")

    def _steps(self, X: ArrayLike, group: str | ArrayLike | None) -> Steps:
        check_is_fitted(self)
        fitted = self.model_
        if group is None and hasattr(X, "columns"):
            group = fitted.group
        return as_steps(X, self.time, group, gaps=fitted.gaps, names=fitted.columns, clock=fitted.clock.anew())
