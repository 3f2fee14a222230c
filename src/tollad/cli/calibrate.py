"""``tollad calibrate``."""

from __future__ import annotations

from typing import Any

import click

from tollad.cli.shared import (
    check_kinds,
    check_label,
    device_option,
    drop_option,
    force_option,
    input_options,
    json_option,
    normal_option,
    print_result,
    share,
    tail_option,
)


@click.command()
@click.argument("model")
@click.argument("normals")
@click.option("-o", "--output", required=True, metavar="MODEL2", help="The model file to write.")
@click.option("--false-alarm-rate", "rate", type=share, metavar="X", help="Share of new normal rows to call anomalous.")
@tail_option
@click.option("--label", metavar="COL", help="Column that says which rows are normal.")
@normal_option
@drop_option
@input_options
@device_option
@force_option
@json_option
def calibrate(
    model: str,
    normals: str,
    output: str,
    rate: float | None,
    tail: bool,
    label: str | None,
    normal: tuple[str, ...],
    drop: tuple[str, ...],
    header: bool | None,
    key: str | None,
    written: dict[str, Any],
    device: str | None,
    max_gib: float,
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate MODEL on fresh normal rows, without training.

    NORMALS is a file of normal rows that MODEL was not trained on; with --label and --normal only the rows with these
    labels are used. p-values, --fdr and --drift then refer to these rows, and --false-alarm-rate places the threshold
    by their scores.
    """
    check_label(label, normal)
    from tollad.cli import card, images, methods
    from tollad.detector.results import expected_by
    from tollad.images.detector import ImageDetector
    from tollad.io.inputs import read_rows
    from tollad.io.outputs import check_different_files, check_output
    from tollad.methods.detector import MethodDetector
    from tollad.series.detector import SeriesDetector
    from tollad.series.reading import normal_part
    from tollad.serve.answers import load

    check_different_files(output, read=(normals,))  # the output may be MODEL itself
    check_kinds(model=output)
    check_output(output, overwrite=force)
    reading: dict[str, Any] = {"header": header, "key": key, "label": label, "normal": normal, "drop": drop}
    detector = load(model, device)
    if isinstance(detector, SeriesDetector):
        dialect = detector.model_.dialect.changed(**written)
        part = normal_part(detector.model_, normals, dialect=dialect, **reading)
        detector.calibrate_part(part, false_alarm_rate=rate, tail=tail)
    else:
        expected = expected_by(detector)
        rows = read_rows(expected, normals, dialect=expected.dialect.changed(**written), max_gib=max_gib, **reading)
        detector.calibrate(rows, false_alarm_rate=rate, tail=tail)
    detector.save(output, overwrite=force)
    if isinstance(detector, ImageDetector):
        shown = images.read_card(output)
        print_result(as_json, shown, images.format_card(shown))
        return
    if isinstance(detector, MethodDetector):
        shown = methods.read_card(output)
        print_result(as_json, shown, methods.format_card(shown))
        return
    shown = card.read_card(output)
    result = {name: shown[name] for name in ("model", "n_calibration_rows", "threshold", "threshold_rule")}
    lines = {
        "calibration": f"{shown['n_calibration_rows']:,} rows",
        "threshold": card.describe_threshold(shown),
        "model": output,
    }
    print_result(as_json, result, card.aligned(lines))
