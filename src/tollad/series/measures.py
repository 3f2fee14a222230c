"""Measures of alarms by event: an event is a stretch of anomalous time steps, and is hit by any alarm within it.

They are biased towards long events and long alarms, so compare every figure with that of random scores. A long false
alarm is counted again every `LONG` steps: otherwise one endless alarm would be the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EventMeasures", "at_one_false_stretch", "event_measures", "runs", "vus_pr"]

LONG = 100
_N_THRESHOLDS, _MOST_FALSE_PER_1000 = 400, 1.0
_N_OF_VUS, _N_BUFFERS = 250, 16


@dataclass(frozen=True)
class EventMeasures:
    """Results of `event_measures`.

    Attributes
    ----------
    n_events, n_hit : int
        Labelled events, and those with an alarm within them.
    n_false_stretches : int
        Stretches of alarms outside of events; a long one is counted again every 100 steps.
    false_stretches_per_1000 : float
        The same in 1,000 normal steps.
    median_delay : float
        Steps from the beginning of an event that is hit to its first alarm; NaN if none is.
    median_delay_share : float
        The same as a share of the event's length, in [0, 1).
    precision, recall : float
        Precision is the share of alarm steps that lie within events. Recall is the share of the steps of an event with
        an alarm, as a mean over events. Precision is NaN without alarms, recall without events.

    Examples
    --------
    >>> found = event_measures([0, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0])
    >>> found.hit_rate, found.precision, found.recall
    (0.5, 0.5, 0.25)
    """

    n_events: int
    n_hit: int
    n_false_stretches: int
    false_stretches_per_1000: float
    median_delay: float
    median_delay_share: float
    precision: float
    recall: float

    @property
    def hit_rate(self) -> float:
        """Share of the events that are hit; NaN without events."""
        return self.n_hit / self.n_events if self.n_events else float("nan")


def runs(mask: ArrayLike, starts: ArrayLike = ()) -> NDArray[np.int64]:
    """Return the stretches of consecutive true values: (n, 2), the first step of each and the step after its last.

    Parameters
    ----------
    mask : array-like of bool, (T,)
    starts : array-like of int, optional
        The first step of each further series, where several lie one after another: no stretch spans two.

    Examples
    --------
    >>> runs([False, True, True, False, True]).tolist()
    [[1, 3], [4, 5]]
    >>> runs([False, True, True, False, True], starts=[2]).tolist()
    [[1, 2], [2, 3], [4, 5]]
    """
    found, cuts = np.asarray(mask, np.bool_), np.asarray(starts, np.int64)
    ends = np.flatnonzero(np.diff(found.astype(np.int8), prepend=0, append=0))
    within = cuts[found[cuts - 1] & found[cuts]]
    return np.sort(np.concatenate([ends, within, within])).reshape(-1, 2)


def event_measures(labels: ArrayLike, alarms: ArrayLike, starts: ArrayLike = ()) -> EventMeasures:
    """Measure alarms by event.

    Parameters
    ----------
    labels : array-like of {0, 1}, (T,)
        1 = anomalous; each stretch of them is an event.
    alarms : array-like of bool, (T,)
    starts : array-like of int, optional
        The first step of each further series, where several lie one after another: no event and no alarm spans two.

    Raises
    ------
    ValueError
        If labels and alarms have different lengths.

    Examples
    --------
    >>> found = event_measures([0, 0, 0, 1, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1, 0, 0])
    >>> found.n_hit, found.n_events, found.n_false_stretches, found.median_delay
    (1, 2, 1, 1.0)
    """
    anomalous, alarm = np.asarray(labels) == 1, np.asarray(alarms, np.bool_)
    if anomalous.shape != alarm.shape or anomalous.ndim != 1:
        raise ValueError(f"labels of shape {anomalous.shape} do not fit alarms of shape {alarm.shape}")
    events = runs(anomalous, starts)
    within = [alarm[begin:end] for begin, end in events]
    delays = [(int(part.argmax()), len(part)) for part in within if part.any()]
    false = runs(alarm & ~anomalous, starts)
    n_false = int(np.ceil(np.diff(false, axis=1) / LONG).sum())
    n_normal = int((~anomalous).sum())
    return EventMeasures(
        n_events=len(events),
        n_hit=len(delays),
        n_false_stretches=n_false,
        false_stretches_per_1000=1000 * n_false / n_normal if n_normal else float("nan"),
        median_delay=float(np.median([delay for delay, _ in delays])) if delays else float("nan"),
        median_delay_share=float(np.median([delay / n for delay, n in delays])) if delays else float("nan"),
        precision=float(anomalous[alarm].mean()) if alarm.any() else float("nan"),
        recall=float(np.mean([part.mean() for part in within])) if within else float("nan"),
    )


def at_one_false_stretch(labels: ArrayLike, scores: ArrayLike, starts: ArrayLike = ()) -> EventMeasures:
    """Measure scores at the lowest of 400 thresholds with at most one false stretch in 1,000 normal steps.

    Parameters
    ----------
    labels : array-like of {0, 1}, (T,)
    scores : array-like of float, (T,)
    starts : array-like of int, optional
        The first step of each further series, where several lie one after another: no event and no alarm spans two.

    Notes
    -----
    The threshold is chosen with the labels, so it serves to compare rankings only: no user could have set it.

    Examples
    --------
    >>> found = at_one_false_stretch([0, 0, 1, 1, 0, 0], [0.1, 0.2, 0.9, 0.3, 0.2, 0.1])
    >>> found.n_hit, found.n_false_stretches
    (1, 0)
    """
    values = np.asarray(scores, np.float64)
    best = event_measures(labels, np.zeros(len(values), np.bool_), starts)
    shares = np.geomspace(1 / len(values), 1, _N_THRESHOLDS)
    for threshold in np.unique(np.quantile(values, 1 - shares))[::-1]:
        found = event_measures(labels, values > threshold, starts)
        if found.false_stretches_per_1000 > _MOST_FALSE_PER_1000:
            break
        best = found
    return best


def vus_pr(labels: ArrayLike, scores: ArrayLike, longest: int, starts: ArrayLike = ()) -> float:
    """Volume under the surface of precision and recall (VUS-PR), in about [0, 1].

    It needs no threshold, and tolerates alarms near an event: for each buffer of 0 to `longest` steps, the labels fall
    off over half of it on both sides of an event, recall is that of the steps times the share of events that are hit,
    and the area under precision and recall is averaged over the buffers (Paparrizos et al., "Volume Under the
    Surface", PVLDB 15, 2022).

    Parameters
    ----------
    labels : array-like of {0, 1}, (T,)
        1 = anomalous; at least one.
    scores : array-like of float, (T,)
    longest : int >= 0
        The longest buffer, such as a window. At most 16 lengths up to it are used.
    starts : array-like of int, optional
        The first step of each further series, where several lie one after another: no event and no alarm spans two.

    Raises
    ------
    ValueError
        If there is no event, or labels and scores have different lengths.

    Notes
    -----
    Precision and recall are taken at 250 thresholds, at quantiles of the scores.

    Examples
    --------
    >>> vus_pr([0, 0, 1, 1, 0, 0], [1.0, 2.0, 8.0, 9.0, 2.0, 1.0], longest=0)
    1.0
    """
    anomalous, values = np.asarray(labels) == 1, np.asarray(scores, np.float64)
    if anomalous.shape != values.shape or not anomalous.any():
        raise ValueError(f"{len(values)} scores and {len(anomalous)} labels give no volume; give labels with an event")
    order = np.argsort(-values, kind="stable")
    places = np.unique(np.linspace(0, len(values) - 1, _N_OF_VUS).astype(int))
    # Steps with equal scores are called anomalous together.
    n_called = np.searchsorted(-values[order], -values[order][places], side="right")
    buffers = np.unique(np.linspace(0, longest, min(longest + 1, _N_BUFFERS)).astype(int))
    cuts = np.asarray(starts, np.int64)
    return float(np.mean([_area(anomalous, values, order, n_called, int(buffer), cuts) for buffer in buffers]))


def _area(
    anomalous: NDArray[np.bool_],
    values: NDArray[np.float64],
    order: NDArray[np.int64],
    n_called: NDArray[np.int64],
    buffer: int,
    starts: NDArray[np.int64],
) -> float:
    soft = anomalous.astype(np.float64)
    bounds = np.array([0, *starts, len(soft)])  # of the series
    for begin, end in runs(anomalous, starts):
        number = np.searchsorted(bounds, begin, side="right")
        first, stop = bounds[number - 1], bounds[number]
        for apart in range(1, buffer // 2 + 1):
            for step in (begin - apart, end - 1 + apart):
                if first <= step < stop:
                    soft[step] = max(soft[step], np.sqrt(1 - apart / buffer))
    found = np.cumsum(soft[order])[n_called - 1]
    highest = np.array([values[begin:end].max() for begin, end in runs(soft > 0, starts)])
    hit = (highest[:, None] >= values[order][n_called - 1]).mean(0)
    recall = np.minimum(found / ((anomalous.sum() + soft.sum()) / 2), 1) * hit
    return float(np.diff(recall, prepend=0.0) @ (found / n_called))
