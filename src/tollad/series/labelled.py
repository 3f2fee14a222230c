"""Score files whose anomalies are known, for measures: a column of labels, or windows of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.detector.results import labels_and_scores
from tollad.io.dialect import Dialect
from tollad.io.skipped import Reject
from tollad.series.clock import Clock
from tollad.series.events import Judged
from tollad.series.model import SeriesModel
from tollad.series.recording import Recorder, to_datetimes
from tollad.series.scoring import ScoredSteps, score_series
from tollad.series.steps import Floats
from tollad.warn import warn


def labelled_series(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    windows: str | None = None,
    drop: Sequence[str] = (),
    dialect: Dialect | None = None,
    reject: Reject | None = None,
) -> tuple[NDArray[np.int64], Judged, NDArray[np.int64]]:
    """Score the time steps of a labelled file.

    Parameters
    ----------
    model, path, header, key, drop, dialect, reject
        As in `score_series`.
    label : str, optional
        The column of the labels.
    normal : sequence of str
        The labels of normal steps; steps with any other label are anomalous.
    windows : str, optional
        A file of the anomalies instead of `label`, see `read_anomaly_windows`.

    Returns
    -------
    labels : ndarray of int64, (T,)
        1 = anomalous, of each step that has a score.
    judged : Judged
        Of these steps.
    starts : ndarray of int64
        The first step of each group but the first. The steps of a group follow each other, in order of time.

    Raises
    ------
    ValueError, OSError
        As `score_series` and `read_anomaly_windows`; if a label is missing, or all steps are normal or all are
        anomalous.

    Warns
    -----
    UserWarning
        If the model was fitted on windows of this series.
    """
    recorder, watched = Recorder(), _RecordingModel.watching(model)
    reading: dict[str, Any] = {"header": header, "key": key, "drop": drop, "dialect": dialect, "reject": reject}
    group = [] if model.group is None else [model.group]
    scored = score_series(watched, path, column=label, beside=group, **reading)
    blocks = watched.with_warning(recorder.watch(scored), path)
    if windows is None:
        assert label is not None
        labels, _ = labels_and_scores(blocks, path, label, normal)
        groups = [block.beside[name] for block in recorder.blocks for name in group]
        codes = np.unique([name or "" for part in groups for name in part], return_inverse=True)[1]
        return _by_group(labels, recorder.judged, codes)
    if model.group is not None:
        raise ValueError(f"{windows}: says nothing of groups, and the model tells several series apart; give a label")
    if model.clock.column is None:
        raise ValueError(f"{windows}: the model was fitted without time stamps, so windows of time mean nothing to it")
    for _ in blocks:
        pass
    _, times = recorder.time(model)
    labels = np.zeros(len(times), np.int64)
    for begin, end in read_anomaly_windows(windows, path, model.clock):
        labels[(times >= begin) & (times <= end)] = 1
    if labels.all() or not labels.any():
        kind = "anomalous" if labels.all() else "normal"
        raise ValueError(
            f"{windows}: by its windows every time step of {path} is {kind}, so there is nothing to compare"
        )
    return _by_group(labels, recorder.judged, np.empty(0, np.int64))


def _by_group(
    labels: NDArray[np.int64], judged: Judged, codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Judged, NDArray[np.int64]]:
    """Return the steps with a score, group by group, and where groups begin; `codes` are empty without groups."""
    codes = codes if len(codes) else np.zeros(len(labels), np.int64)
    order = np.argsort(codes, kind="stable")
    order = order[np.isfinite(judged.scores[order])]
    kept = Judged(*(part[order] for part in vars(judged).values()))
    return labels[order], kept, np.flatnonzero(np.diff(codes[order])) + 1


@dataclass(frozen=True, eq=False)
class _RecordingModel(SeriesModel):
    """A model that keeps the scores of all windows."""

    seen: list[Floats] = field(default_factory=list)
    own: Mapping[str, _RecordingModel] = field(default_factory=dict)

    @classmethod
    def watching(cls, model: SeriesModel) -> Self:
        parts = {one.name: getattr(model, one.name) for one in fields(model)}
        return cls(**parts | {"own": {group: cls.watching(one) for group, one in model.own.items()}})

    def score_windows(self, cut: NDArray[Any]) -> Floats:
        found = super().score_windows(cut)
        self.seen.append(found)
        return found

    def with_warning(self, blocks: Iterable[ScoredSteps], path: str) -> Iterator[ScoredSteps]:
        """Yield the blocks unchanged; then warn if, by their equal scores, most windows of the fit were among them."""
        yield from blocks
        every: list[_RecordingModel] = [self, *self.own.values()]
        judges = [one for one in every if one.seen]
        trained = [np.unique(one.detector.training_scores_) for one in judges]
        known = [np.isin(its, np.concatenate(one.seen)) for its, one in zip(trained, judges, strict=True)]
        if judges and np.concatenate(known).mean() > 0.5:
            warn(
                f"{path}: more than half of the windows of the fit have the very score of a window here, so the model "
                "was probably fitted on these steps; measures on training steps are too good: keep some steps apart, "
                "and evaluate on those"
            )


def read_anomaly_windows(windows: str, path: str, clock: Clock) -> list[tuple[Any, Any]]:
    """Read the first and last time stamp of each anomaly of a series from a JSON file.

    Parameters
    ----------
    windows : str
        Path of the file. It holds a list of pairs of time stamps; or, as in NAB, an object with such a list for each of
        several files. The entry is then used whose name is the end of the path of the series.
    path : str
        The series.
    clock : Clock
        The clock of its time stamps.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, has another content, or has no entry for this series.
    """
    with open(windows, encoding="utf-8") as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f"{windows}: is no JSON file ({error})") from None
    if isinstance(found, dict):
        names = [name for name in found if PurePath(path).as_posix().endswith(name)]
        if not names:
            raise ValueError(f"{windows}: says nothing about {path}; its files are {', '.join(list(found)[:5])}, ...")
        found = found[max(names, key=len)]
    try:
        pairs = [(begin, end) for begin, end in found]
        if clock.zone is not None:
            stamps = [pa.table({clock.column: [str(stamp) for stamp in pair]}) for pair in pairs]
            return [tuple(to_datetimes(clock.read(pair))) for pair in stamps]
        if clock.kind == "date":
            return [(np.datetime64(begin, "us"), np.datetime64(end, "us")) for begin, end in pairs]
        return [(float(begin), float(end)) for begin, end in pairs]
    except (TypeError, ValueError):
        raise ValueError(
            f"{windows}: must hold a list of pairs of time stamps, begin and end of each anomaly"
        ) from None
