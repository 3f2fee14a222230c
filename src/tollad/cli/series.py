"""Models of series at the command line: fit, score and evaluate."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import click
import numpy as np

from tollad import metrics, plots
from tollad.cli import card
from tollad.cli.shared import Counted, print_result, resumable, tell_of_skipped
from tollad.detector.results import result_tables
from tollad.io.outputs import check_output, write_tables
from tollad.io.skipped import SkippedRows
from tollad.series.detector import SeriesDetector
from tollad.series.events import event_table
from tollad.series.labelled import labelled_series
from tollad.series.measures import at_one_false_stretch, event_measures, vus_pr
from tollad.series.model import SeriesModel
from tollad.series.progress import Progress
from tollad.series.reading import check_alike, read_training_series
from tollad.series.recording import Recorder
from tollad.series.scoring import EventLog, ScoredSteps, score_series


def fit(
    paths: Sequence[str],
    model: str,
    parameters: dict[str, Any],
    *,
    group: str | None,
    reading: dict[str, Any],
    checkpoint: str | None,
    skipped: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a detector of series, save it, and print its card."""
    context = click.get_current_context()
    given = {
        name: value
        for name, value in parameters.items()
        if name in ("random_state", "verbose", "window")
        or context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    names = {"time": parameters["time"], "zone": parameters["time_zone"], "gaps": parameters["gaps"], "group": group}
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=force))
        files = [read_training_series(path, reject=bad, **names, **reading) for path in paths]
        tell_of_skipped(bad)
    first = files[0]
    check_alike(files)
    detector = SeriesDetector(**given | {"time": first.part.steps.clock.column})
    with resumable(checkpoint):
        detector.fit_parts([file.part for file in files], checkpoint=checkpoint, group=first.group)
    n_read = sum(file.source.n_read for file in files)
    name = ", ".join(file.source.name for file in files)
    source = replace(first.source, name=name, n_read=n_read, n_used=detector.model_.n_time_steps)
    detector.save(model, source=source, overwrite=force)
    shown = card.read_card(model)
    inner = detector.model_.detector
    history = inner.history_
    result = {
        "model": model,
        "rows_read": source.n_read,
        "rows_used": detector.model_.n_time_steps,
        "window": detector.model_.window,
        "stride": detector.model_.stride,
        "shape": list(inner.input_shape_),
        "steps": inner.n_steps_,
        "initial_loss": statistics.fmean(history.initial_loss),
        "loss": statistics.fmean(history.loss[-1]),
        "threshold": detector.threshold_,
    }
    lines = {
        "rows": card.describe_rows(source),
        "columns": card.describe_series(shown["series"]),
        "steps": f"{inner.n_steps_}",
        "loss": f"{result['initial_loss']:.4g} at first, {result['loss']:.4g} at last",
        "threshold": card.describe_threshold(shown),
        "model": model,
    }
    print_result(as_json, result, card.aligned(lines))


def score(
    detector: SeriesDetector,
    data: str,
    path: str | None,
    *,
    reading: dict[str, Any],
    only_anomalies: bool,
    fdr: float | None,
    n_reasons: int,
    plot: str | None,
    events: str | None,
    state: str | None,
    skipped: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Score the time steps of a file; if asked to, write its events and draw it."""
    if fdr is not None and detector.causal:
        raise click.UsageError("--fdr decides about all time steps together; leave it out for a causal model.")
    recorder, model = Recorder(), detector.model_
    if plot is not None and model.group is not None:
        raise click.UsageError("--plot draws one series, and MODEL tells several apart.")
    log = None if events is None and plot is None else EventLog(n_reasons)
    progress = None if state is None else Progress(model, state, None if log is None else n_reasons)
    if state is not None:
        check_output(state, overwrite=True)
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=force))
        blocks = score_series(model, data, events=log, progress=progress, reject=bad, **reading)
        if progress is not None and path is None:
            blocks = _saved_after_each(blocks, progress)
        if plot is not None:
            blocks = recorder.watch(blocks)
        tables = result_tables(cast(Any, detector), blocks, only_anomalies=only_anomalies, fdr=fdr)
        counted = Counted()
        write_tables(path, counted.watch(tables) if as_json else tables, overwrite=force)
    if as_json:
        n_skipped = 0 if bad is None else bad.n
        result = {"output": path, **counted.result, "rows_skipped": n_skipped, "threshold": detector.threshold_}
        print_result(True, result, "")
    tell_of_skipped(bad)
    if progress is not None:
        progress.save()
    if log is not None and events is not None:
        write_tables(events, [event_table(log.events)], overwrite=force)
    if log is not None and plot is not None:
        time_name, time = recorder.time(model)
        judged = recorder.judged
        plots.scored_series(
            recorder.steps,
            judged.scores,
            judged.thresholds,
            plot,
            names=model.columns,
            alarms=judged.alarms,
            time=time,
            time_name=time_name,
            causes=recorder.causes(log.events),
            overwrite=force,
        )


def evaluate(
    model: SeriesModel,
    data: str,
    *,
    reading: dict[str, Any],
    label: str | None,
    normal: Sequence[str],
    windows: str | None,
    skipped: str | None,
    plot: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure by time step and by event."""
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=force))
        labels, judged = labelled_series(
            model, data, label=label, normal=normal, windows=windows, reject=bad, **reading
        )
    tell_of_skipped(bad)
    known = np.isfinite(judged.scores)
    labels, scores, alarms = labels[known], judged.scores[known], judged.alarms[known]
    by_event, at_one = event_measures(labels, alarms), at_one_false_stretch(labels, scores)
    anomalous = labels == 1
    result: dict[str, Any] = {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "f1": metrics.f1(labels, alarms),
        "false_alarm_rate": metrics.false_alarm_rate(labels, alarms),
        "threshold": model.decision.threshold,
        "n_normal": int((~anomalous).sum()),
        "n_anomalies": int(anomalous.sum()),
        "n_false_alarms": int((alarms & ~anomalous).sum()),
        "n_found": int((alarms & anomalous).sum()),
        "rows_skipped": 0 if bad is None else bad.n,
        "events": {name: _finite(value) for name, value in asdict(by_event).items()},
        "events_hit_at_one_false_stretch_per_1000": at_one.n_hit,
        "vus_pr": vus_pr(labels, scores, model.window),
    }
    if plot is not None:
        plots.score_distributions(
            scores[~anomalous], scores[anomalous], model.decision.threshold, plot, overwrite=force
        )
    text = (
        "AUROC {auroc:.3f}\n"
        "average precision {average_precision:.3f}, VUS-PR {vus_pr:.3f}\n"
        "F1 {f1:.3f} at the threshold {threshold:.4g}: {n_found} of {n_anomalies} anomalies found\n"
        "false-alarm rate {false_alarm_rate:.3f}: {n_false_alarms} of {n_normal} normal rows\n"
    ).format(**result)
    delay = f", median delay {by_event.median_delay:g} steps" if by_event.n_hit else ""
    text += (
        f"events {by_event.n_hit} of {by_event.n_events} hit{delay}; {by_event.n_false_stretches} false stretches, "
        f"{by_event.false_stretches_per_1000:.2g} per 1,000 steps\n"
        f"events {at_one.n_hit} of {at_one.n_events} hit at one false stretch per 1,000 steps"
    )
    print_result(as_json, result, text)


def _saved_after_each(blocks: Iterable[ScoredSteps], progress: Progress) -> Iterator[ScoredSteps]:
    """Yield scored steps unchanged, and save the state after each block has been written."""
    for block in blocks:
        yield block
        progress.save()


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
