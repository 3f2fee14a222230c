"""Models of series at the command line: fit, score and evaluate."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, cast

import click
import numpy as np

from tollad import metrics, plots
from tollad.cli import card
from tollad.cli.asked import EvaluateOptions, FitOptions, ScoreOptions
from tollad.cli.shared import print_result, print_scored, resumable, tell_of_skipped
from tollad.detector.results import Counted, result_tables
from tollad.io.outputs import check_output, write_tables
from tollad.io.skipped import SkippedRows
from tollad.io.source import Source
from tollad.series.detector import SeriesDetector
from tollad.series.events import event_table
from tollad.series.labelled import labelled_series
from tollad.series.measures import at_one_false_stretch, event_measures, vus_pr
from tollad.series.model import SeriesModel
from tollad.series.progress import Progress
from tollad.series.reading import check_alike, read_training_series
from tollad.series.recording import Recorder
from tollad.series.scoring import EventLog, ScoredSteps, score_series


def fit(asked: FitOptions) -> None:
    """Fit a detector of series, save it, and print its card."""
    if asked.of_series["per_group"] and asked.group is None:
        raise click.UsageError("--per-group needs --group: the column that says which group a row is of.")
    parameters = {**asked.parameters, **asked.of_series, "window": asked.window}
    context = click.get_current_context()
    given = {
        name: value
        for name, value in parameters.items()
        if name in ("random_state", "verbose", "window")
        or context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    names = {
        "time": parameters["time"],
        "zone": parameters["time_zone"],
        "gaps": parameters["gaps"],
        "group": asked.group,
    }
    skipped = asked.list_of_skipped
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=asked.force))
        files = [read_training_series(path, reject=bad, **names, **asked.reading) for path in asked.train]
        tell_of_skipped(bad)
    first = files[0]
    check_alike(files)
    detector = SeriesDetector(**given | {"time": first.part.steps.clock.column})
    with resumable(asked.checkpoint):
        detector.fit_parts([file.part for file in files], checkpoint=asked.checkpoint, group=first.group)
    n_read = sum(file.source.n_read for file in files)
    # Interpolated time steps are no rows.
    n_used = min(detector.model_.n_time_steps, sum(file.source.n_used for file in files))
    name = ", ".join(file.source.name for file in files)
    source = replace(first.source, name=name, n_read=n_read, n_used=n_used)
    detector.save(asked.model, source=source, overwrite=asked.force)
    _print_fitted(detector, source, asked)


def _print_fitted(detector: SeriesDetector, source: Source, asked: FitOptions) -> None:
    shown = card.read_card(asked.model)
    inner = detector.model_.detector
    history = inner.history_
    result = {
        "model": asked.model,
        "rows_read": source.n_read,
        "rows_used": source.n_used,
        "window": detector.model_.window,
        "stride": detector.model_.stride,
        "shape": list(inner.input_shape_),
        "steps": inner.n_steps_,
        "initial_loss": statistics.fmean(history.initial_loss),
        "loss": statistics.fmean(history.loss[-1]),
        "threshold": detector.threshold_,
    }
    own = {name: one.decision.threshold for name, one in detector.model_.own.items()}
    if own:
        result["thresholds"] = own
    lines = {
        "rows": card.describe_rows(source),
        "columns": card.describe_series(shown["series"]),
        "steps": f"{inner.n_steps_}",
        "loss": f"{result['initial_loss']:.4g} at first, {result['loss']:.4g} at last",
        "threshold": card.describe_threshold(shown),
        "model": asked.model,
    }
    print_result(asked.as_json, result, card.aligned(lines))


def score(detector: SeriesDetector, asked: ScoreOptions) -> None:
    """Score the time steps of a file; if asked to, write its events and draw it."""
    _check_options(detector, asked)
    if asked.moved:
        detector.set_threshold(**asked.moved)
    recorder, model = Recorder(), detector.model_
    log = None if asked.events is None and asked.plot is None else EventLog(asked.n_reasons)
    progress = None if asked.state is None else Progress(model, asked.state, None if log is None else asked.n_reasons)
    counted, skipped, dialect = Counted(), asked.list_of_skipped, model.dialect.changed(**asked.written)
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=asked.force))
        blocks = score_series(
            model, asked.data, events=log, progress=progress, reject=bad, **asked.reading, dialect=dialect
        )
        if progress is not None and asked.path is None:
            blocks = _saved_after_each(blocks, progress)
        if asked.plot is not None:
            blocks = recorder.watch(blocks)
        tables = result_tables(cast(Any, detector), blocks, only_anomalies=asked.only_anomalies, fdr=asked.fdr)
        write_tables(asked.path, counted.watch(tables) if asked.as_json else tables, overwrite=asked.force)
    if asked.as_json:
        print_scored(asked, counted, bad, None if model.own else detector.threshold_)
    tell_of_skipped(bad)
    if progress is not None:
        progress.save()
    if log is not None and asked.events is not None:
        write_tables(asked.events, [event_table(log.events)], overwrite=asked.force)
    if log is not None and asked.plot is not None:
        _draw(recorder, log, model, asked.plot, overwrite=asked.force)


def _check_options(detector: SeriesDetector, asked: ScoreOptions) -> None:
    """Raise an error for options that do not fit the model, and for a state that cannot be written."""
    if asked.drift:
        raise click.UsageError("--drift is not for series: time steps are not exchangeable.")
    if asked.n_reasons and asked.events is None:
        raise click.UsageError("--explain gives the reasons for events of a series; give --events, too.")
    if (asked.causal or asked.state is not None) and not detector.model_.causal:
        raise ValueError(
            f"{asked.model}: is not causal: it scores a time step only a window later; fit with --causal, or leave "
            "out --causal and --state"
        )
    if asked.fdr is not None and detector.causal:
        raise click.UsageError("--fdr decides about all time steps together; leave it out for a causal model.")
    if asked.fdr is not None and detector.model_.own:
        raise click.UsageError("--fdr needs the p-values of one model, and MODEL has one for each group.")
    if asked.plot is not None and detector.model_.group is not None:
        raise click.UsageError("--plot draws one series, and MODEL tells several apart.")
    if asked.state is not None:
        check_output(asked.state, overwrite=True)


def _draw(recorder: Recorder, log: EventLog, model: SeriesModel, path: str, *, overwrite: bool) -> None:
    """Draw a scored series with its alarms."""
    time_name, time = recorder.time(model)
    judged = recorder.judged
    plots.scored_series(
        recorder.steps,
        judged.scores,
        judged.thresholds,
        path,
        names=model.columns,
        alarms=judged.alarms,
        time=time,
        time_name=time_name,
        causes=recorder.causes(log.events),
        overwrite=overwrite,
    )


def evaluate(detector: SeriesDetector, asked: EvaluateOptions) -> None:
    """Measure by time step and by event."""
    if asked.moved:
        detector.set_threshold(**asked.moved)
    model = detector.model_
    if asked.plot is not None and model.own:
        raise click.UsageError("--plot draws one threshold, and MODEL has one for each group.")
    with contextlib.ExitStack() as stack:
        bad = None if asked.skipped is None else stack.enter_context(SkippedRows(asked.skipped, overwrite=asked.force))
        labels, judged, starts = labelled_series(
            model,
            asked.data,
            label=asked.label,
            normal=asked.normal,
            windows=asked.windows,
            reject=bad,
            **asked.reading,
            dialect=model.dialect.changed(**asked.written),
        )
    tell_of_skipped(bad)
    scores, alarms = judged.scores, judged.alarms
    by_event, at_one = event_measures(labels, alarms, starts), at_one_false_stretch(labels, scores, starts)
    anomalous = labels == 1
    result: dict[str, Any] = {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "f1": metrics.f1(labels, alarms),
        "false_alarm_rate": metrics.false_alarm_rate(labels, alarms),
        "threshold": None if model.own else model.decision.threshold,
        "n_normal": int((~anomalous).sum()),
        "n_anomalies": int(anomalous.sum()),
        "n_false_alarms": int((alarms & ~anomalous).sum()),
        "n_found": int((alarms & anomalous).sum()),
        "rows_skipped": 0 if bad is None else bad.n,
        "events": {name: _finite(value) for name, value in asdict(by_event).items()},
        "events_hit_at_one_false_stretch_per_1000": at_one.n_hit,
        "vus_pr": vus_pr(labels, scores, model.window, starts),
    }
    if asked.plot is not None:
        plots.score_distributions(
            scores[~anomalous], scores[anomalous], model.decision.threshold, asked.plot, overwrite=asked.force
        )
    where = "threshold of each group" if model.own else f"threshold {model.decision.threshold:.4g}"
    text = (
        "AUROC {auroc:.3f}\n"
        "average precision {average_precision:.3f}, VUS-PR {vus_pr:.3f}\n"
        "F1 {f1:.3f} at the {where}: {n_found} of {n_anomalies} anomalies found\n"
        "false-alarm rate {false_alarm_rate:.3f}: {n_false_alarms} of {n_normal} normal rows\n"
    ).format(**result, where=where)
    delay = f", median delay {by_event.median_delay:g} steps" if by_event.n_hit else ""
    text += (
        f"events {by_event.n_hit} of {by_event.n_events} hit{delay}; {by_event.n_false_stretches} false stretches, "
        f"{by_event.false_stretches_per_1000:.2g} per 1,000 steps\n"
        f"events {at_one.n_hit} of {at_one.n_events} hit at one false stretch per 1,000 steps"
    )
    print_result(asked.as_json, result, text)


def _saved_after_each(blocks: Iterable[ScoredSteps], progress: Progress) -> Iterator[ScoredSteps]:
    """Yield scored steps unchanged, and save the state after each block has been written."""
    for block in blocks:
        yield block
        progress.save()


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
