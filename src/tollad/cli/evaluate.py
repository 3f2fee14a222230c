"""``tollad evaluate``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

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
def evaluate(
    model: str,
    data: str,
    label: str | None,
    normal: tuple[str, ...],
    drop: tuple[str, ...],
    windows: str | None,
    plot: str | None,
    masks: str | None,
    on_error: str,
    skipped: str | None,
    header: bool | None,
    key: str | None,
    written: dict[str, Any],
    device: str | None,
    moved: dict[str, Any],
    max_gib: float,
    force: bool,
    as_json: bool,
) -> None:
    """Measure MODEL on the labelled rows of DATA.

    Rows with any label other than --normal are anomalies. For a series, events are counted as well: an event is a
    stretch of anomalous time steps, and is detected if an alarm lies within it. For images, each kind of anomaly is
    also measured by itself.
    """
    if (label is None) == (windows is None):
        raise click.UsageError("give either --label and --normal, or --windows.")
    if label is not None and not normal:
        raise click.UsageError("--normal is missing: the values of --label that mean normal.")
    check_skipped(on_error, skipped)
    if on_error == "skip" and skipped is None:
        raise click.UsageError("--on-error skip needs --skipped FILE for its list.")
    from tollad import metrics, plots
    from tollad.calibration import overlap
    from tollad.cli import images
    from tollad.detector.results import labels_and_scores, score_blocks
    from tollad.io.outputs import check_different_files, check_output
    from tollad.io.skipped import SkippedRows
    from tollad.series.detector import SeriesDetector
    from tollad.serve.answers import load
    from tollad.warn import warn

    check_different_files(plot, skipped, read=(model, data))
    check_kinds(skipped=skipped)
    if plot is not None:
        plots.picture_format(plot)
        check_output(plot, overwrite=force)
    detector = load(model, device)
    if isinstance(detector, SeriesDetector):
        from tollad.cli import series

        if moved:
            detector.set_threshold(**moved)
        fitted = detector.model_
        reading = {"header": header, "key": key, "drop": drop, "dialect": fitted.dialect.changed(**written)}
        series.evaluate(
            fitted,
            data,
            reading=reading,
            label=label,
            normal=normal,
            windows=windows,
            skipped=skipped,
            plot=plot,
            force=force,
            as_json=as_json,
        )
        return
    if label is None:
        raise click.UsageError("--windows is for series; give --label, and --normal, its values that mean normal.")
    if moved:
        detector.set_threshold(**moved)
    if masks is not None and (not hasattr(detector, "anomaly_map") or not os.path.isdir(data)):
        raise click.UsageError("--masks is for folders of images and models with another representation than pixels.")
    threshold = -detector.offset_
    if skipped is not None and len(detector.input_shape_) > 1:
        raise click.UsageError("--on-error skip is for rows of tables and of series.")
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=force))
        given: dict[str, Any] = {"header": header, "key": key, "drop": drop, "written": written, "max_gib": max_gib}
        blocks = score_blocks(detector, data, column=label, reject=bad, **given)
        labels, scores = labels_and_scores(blocks, data, label, normal)
    tell_of_skipped(bad)
    alarms, anomalous = scores > threshold, labels == 1
    if overlap(scores[~anomalous], detector.training_scores_):
        warn(
            f"{data}: more than half of the normal rows have exactly the score of a training row, so the model was "
            "probably fitted on them; measures on training rows are too good: keep some apart, and evaluate on those"
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
    if hasattr(detector, "anomaly_map"):
        result |= images.measured_by_kind(detector, data, label, normal, masks)
    if plot is not None:
        plots.score_distributions(scores[~anomalous], scores[anomalous], threshold, plot, overwrite=force)
    text = (
        "AUROC {auroc:.3f}\n"
        "average precision {average_precision:.3f}\n"
        "F1 {f1:.3f} at the threshold {threshold:.4g}: {n_found} of {n_anomalies} anomalies found\n"
        "false-alarm rate {false_alarm_rate:.3f}: {n_false_alarms} of {n_normal} normal rows"
    )
    others = "".join(
        f"\n{name.replace('_', ' ')} {measured[name]:.3f}" for name in measured if f"{{{name}:" not in text
    )
    print_result(as_json, result, text.format(**result) + others + images.described(result))
