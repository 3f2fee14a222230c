"""The time steps of a file scored by the ONNX graph of a series, without torch: as the model file scores them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from tollad.io.dialect import Dialect
from tollad.io.source import Source
from tollad.series.clock import Clock
from tollad.series.scoring import ScoredSteps, score_series
from tollad.serve.runtime import Runtime


def score_file(
    runtime: Runtime,
    path: str,
    *,
    header: bool | None,
    key: str | None,
    column: str | None,
    beside: Sequence[str],
    drop: Sequence[str],
    written: Mapping[str, Any],
) -> Iterator[ScoredSteps]:
    """Score the time steps of a file. Each stretch without gaps is kept in memory until it ends.

    Parameters and errors as in `tollad.series.scoring.score_series`; `written` says how the text of the file differs
    from that of the fit.
    """
    model = _GraphModel(runtime)
    dialect = model.dialect.changed(**written)
    # It has all attributes of a model that scoring uses.
    yield from score_series(
        cast(Any, model), path, header=header, key=key, column=column, beside=beside, drop=drop, dialect=dialect
    )


class _GraphModel:
    """The part of a `tollad.series.model.SeriesModel` that scoring needs, from the metadata of a graph."""

    share = None  # a threshold that adapts cannot be exported
    truths = None  # the graph does not tell: each block decides for itself

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        metadata = runtime.metadata
        self.columns, self.clock = list(runtime.names), Clock.from_json(metadata["clock"])
        self.window, self.causal, self.trims = metadata["window"], metadata["causal"], metadata["trims"]
        self.gaps, self.group, self.groups = metadata["gaps"], metadata["group"], metadata["groups"]
        self.decision, self.read_as = runtime, runtime.source_ or Source("", 0, 0)
        self.dialect = Dialect.from_json(self.read_as.dialect)

    def of(self, group: str | None) -> Self:
        """Return the model that judges a group: a graph holds one for all."""
        return self

    def scorer(self) -> _WholeScores:
        return _WholeScores(self._runtime)


class _WholeScores:
    """Scores a stretch of time steps when it has ended, by one call of the graph."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._steps: list[NDArray[np.float64]] = []

    def push(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take steps, (m, C); none is final yet."""
        self._steps.append(steps)
        return np.empty(0)

    def finish(self) -> NDArray[np.float64]:
        """Return the scores of all steps; NaN for those of a stretch shorter than a window."""
        n_time_steps = sum(map(len, self._steps))
        if n_time_steps < self._runtime.metadata["window"]:
            return np.full(n_time_steps, np.nan)
        return self._runtime.anomaly_score(np.concatenate(self._steps))
