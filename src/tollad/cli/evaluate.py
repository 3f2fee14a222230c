"""``tollad evaluate``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from tollad.cli.asked import EvaluateOptions
from tollad.cli.shared import (
    check_kinds,
    check_skipped,
    device_option,
    drop_option,
    force_option,
    input_options,
    json_option,
    normal_option,
    print_result,
    skip_options,
    tell_of_skipped,
    threshold_options,
)

_MEASURED = (
    "AUROC {auroc:.3f}\n"
    "average precision {average_precision:.3f}\n"
    "F1 {f1:.3f} at the threshold {threshold:.4g}: {n_found} of {n_anomalies} anomalies found\n"
    "false-alarm rate {false_alarm_rate:.3f}: {n_false_alarms} of {n_normal} normal rows"
)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--label", metavar="COL", help="Column that says which rows are normal.")
@normal_option
@drop_option
@click.option(
    "--windows",
    metavar="FILE",
    help="Of a series, in place of --label: JSON with the begin and end of each anomaly, a list of pairs of time "
    "stamps, or an object of such lists by file, as NAB has it.",
)
@click.option("--plot", metavar="FILE", help="Draw the distributions of the scores: a .png, .pdf or .svg file.")
@click.option(
    "--masks",
    metavar="DIR",
    help="Of a folder of images: masks of the defects, LABEL/NAME.png, white on black; measures the maps, too.",
)
@skip_options("What to do at a row that cannot be read", ", which needs it.")
@input_options
@device_option
@threshold_options
@force_option
@json_option
def evaluate(**given: Any) -> None:
    """Measure MODEL on the labelled rows of DATA.

    Rows with any label other than --normal are anomalies. For a series, events are counted as well: an event is a
    stretch of anomalous time steps, and is detected if an alarm lies within it. For images, each kind of anomaly is
    also measured by itself.
    """
    asked = EvaluateOptions(**given)
    _check_together(asked)
    _check_outputs(asked)
    from tollad.series.detector import SeriesDetector
    from tollad.serve.answers import load

    detector: Any = load(asked.model, asked.device)
    if isinstance(detector, SeriesDetector):
        from tollad.cli import series

        series.evaluate(detector, asked)
    else:
        _evaluate_rows(detector, asked)


def _check_together(asked: EvaluateOptions) -> None:
    """Raise a usage error for options that need another, or exclude each other."""
    if (asked.label is None) == (asked.windows is None):
        raise click.UsageError("give either --label and --normal, or --windows.")
    if asked.label is not None and not asked.normal:
        raise click.UsageError("--normal is missing: the values of --label that mean normal.")
    check_skipped(asked.on_error, asked.skipped)
    if asked.on_error == "skip" and asked.skipped is None:
        raise click.UsageError("--on-error skip needs --skipped FILE for its list.")


def _check_outputs(asked: EvaluateOptions) -> None:
    """Raise an error, before any work, for files that cannot be written."""
    from tollad.io.outputs import check_different_files, check_output

    check_different_files(asked.plot, asked.skipped, read=(asked.model, asked.data))
    check_kinds(skipped=asked.skipped)
    if asked.plot is not None:
        from tollad import plots

        plots.picture_format(asked.plot)
        check_output(asked.plot, overwrite=asked.force)


def _evaluate_rows(detector: Any, asked: EvaluateOptions) -> None:
    """Measure a detector of rows or images on the labelled rows of a file."""
    from tollad import metrics
    from tollad.calibration import overlap
    from tollad.detector.results import labels_and_scores, score_blocks
    from tollad.io.skipped import SkippedRows
    from tollad.warn import warn

    if asked.label is None:
        raise click.UsageError("--windows is for series; give --label, and --normal, its values that mean normal.")
    if asked.masks is not None and (not hasattr(detector, "anomaly_map") or not os.path.isdir(asked.data)):
        raise click.UsageError("--masks is for folders of images and models with another representation than pixels.")
    if asked.skipped is not None and len(detector.input_shape_) > 1:
        raise click.UsageError("--on-error skip is for rows of tables and of series.")
    if asked.moved:
        detector.set_threshold(**asked.moved)
    threshold = -detector.offset_
    with contextlib.ExitStack() as stack:
        bad = None if asked.skipped is None else stack.enter_context(SkippedRows(asked.skipped, overwrite=asked.force))
        blocks = score_blocks(
            detector,
            asked.data,
            column=asked.label,
            reject=bad,
            **asked.reading,
            written=asked.written,
            max_gib=asked.max_gib,
        )
        labels, scores = labels_and_scores(blocks, asked.data, asked.label, asked.normal)
    tell_of_skipped(bad)
    alarms, anomalous = scores > threshold, labels == 1
    if overlap(scores[~anomalous], detector.training_scores_):
        warn(
            f"{asked.data}: more than half of the normal rows have exactly the score of a training row, so the model "
            "was probably fitted on them; measures on training rows are too good: keep some apart, and evaluate on "
            "those"
        )
    measured = metrics.measure_all(labels, scores=scores, alarms=alarms)
    result = {
        **measured,
        "threshold": threshold,
        "n_normal": int((~anomalous).sum()),
        "n_anomalies": int(anomalous.sum()),
        "n_false_alarms": int((alarms & ~anomalous).sum()),
        "n_found": int((alarms & anomalous).sum()),
        "rows_skipped": 0 if bad is None else bad.n,
    }
    by_kind = ""
    if hasattr(detector, "anomaly_map"):
        from tollad.cli import images

        result |= images.measured_by_kind(detector, asked.data, asked.label, asked.normal, asked.masks)
        by_kind = images.described(result)
    if asked.plot is not None:
        from tollad import plots

        plots.score_distributions(scores[~anomalous], scores[anomalous], threshold, asked.plot, overwrite=asked.force)
    others = "".join(
        f"\n{name.replace('_', ' ')} {measured[name]:.3f}" for name in measured if f"{{{name}:" not in _MEASURED
    )
    print_result(asked.as_json, result, _MEASURED.format(**result) + others + by_kind)
