"""``tollad evaluate``."""

from __future__ import annotations

import click

from tollad.cli.shared import force_option, input_options, json_option, normal_option, print_result


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--label", required=True, metavar="COL", help="Column that says which rows are normal.")
@normal_option
@click.option("--plot", metavar="FILE", help="Draw the distributions of the scores: a .png, .pdf or .svg file.")
@input_options
@force_option
@json_option
def evaluate(
    model: str,
    data: str,
    label: str,
    normal: tuple[str, ...],
    plot: str | None,
    header: bool | None,
    key: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure MODEL on the labelled rows of DATA.

    Rows of a label that is not --normal are anomalies.
    """
    if not normal:
        raise click.UsageError("--normal is missing: the values of --label that mean normal.")
    from tollad import metrics, plots
    from tollad.detector.estimator import TollDetector
    from tollad.detector.scored import score_blocks, score_labelled
    from tollad.io.outputs import check_distinct, check_output
    from tollad.series import files as inputs_series

    check_distinct(plot, read=(model, data))
    if plot is not None:
        plots.picture_format(plot)
        check_output(plot, overwrite=force)
    detector = TollDetector.load(model)
    threshold = -detector.offset_
    scored_blocks = inputs_series.score_series if inputs_series.is_series(detector) else score_blocks
    labels, scores = score_labelled(
        detector, data, header=header, key=key, label=label, normal=normal, scored_blocks=scored_blocks
    )
    alarms, anomalous = scores > threshold, labels == 1
    result = {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "f1": metrics.f1(labels, alarms),
        "false_alarm_rate": metrics.false_alarm_rate(labels, alarms),
        "threshold": threshold,
        "n_normal": int((~anomalous).sum()),
        "n_anomalies": int(anomalous.sum()),
        "n_false_alarms": int((alarms & ~anomalous).sum()),
        "n_found": int((alarms & anomalous).sum()),
    }
    if plot is not None:
        plots.score_distributions(scores[~anomalous], scores[anomalous], threshold, plot, overwrite=force)
    text = (
        "AUROC {auroc:.3f}\n"
        "average precision {average_precision:.3f}\n"
        "F1 {f1:.3f} at the threshold {threshold:.4g}: {n_found} of {n_anomalies} anomalies found\n"
        "false-alarm rate {false_alarm_rate:.3f}: {n_false_alarms} of {n_normal} normal rows"
    )
    print_result(as_json, result, text.format(**result))
