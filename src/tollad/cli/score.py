"""``tollad score``."""

from __future__ import annotations

from typing import Any

import click

from tollad.cli.asked import ScoreOptions
from tollad.cli.numbers import Integer, Number
from tollad.cli.shared import (
    check_kinds,
    check_skipped,
    device_option,
    drop_option,
    force_option,
    input_options,
    jobs_option,
    json_option,
    ray_option,
    skip_options,
    threshold_options,
)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="OUT",
    help="A .csv, .jsonl or .parquet file; - is CSV on standard output, the default; of many files a folder/.",
)
@jobs_option
@ray_option
@click.option("--only-anomalies", is_flag=True, help="Write only the rows called anomalous.")
@click.option(
    "--id",
    "identifiers",
    multiple=True,
    metavar="COL",
    help="A column to write beside the scores; it need be no feature; may repeat.",
)
@drop_option
@click.option(
    "--fdr",
    type=Number(0, 1, min_open=True, max_open=True),
    metavar="Q",
    help="Call rows anomalous so that on average at most this share of them is normal (Benjamini-Hochberg over all of "
    "DATA), and write p-values. Results come at the end; until then they are kept in memory, a few numbers a row.",
)
@click.option("--drift", is_flag=True, help="Warn when rows are no longer like those that MODEL was calibrated on.")
@click.option(
    "--explain",
    "n_reasons",
    type=Integer(1),
    callback=lambda ctx, param, value: value or 0,
    metavar="K",
    help="Write the K columns of a table that contribute most to each score, and what was expected there.",
)
@click.option(
    "--events",
    metavar="FILE",
    help="Of a series: write its alarms, each with begin, end, peak, score, p-value, channel and what was expected; "
    "--explain K adds the K channels that contribute most.",
)
@click.option("--causal", is_flag=True, help="Of a series: make sure that MODEL answers each time step at once.")
@click.option(
    "--state",
    metavar="FILE",
    help="Of a causal series: go on from the time steps of an earlier call, of which FILE holds the last window.",
)
@click.option(
    "--plot",
    metavar="FILE",
    help="Draw why the row, or images, with the highest scores are anomalous: a .png, .pdf or .svg file.",
)
@click.option(
    "--maps", metavar="DIR", help="Write a map for each image: NAME.heat.png to look at, NAME.map.png in 16 bits."
)
@skip_options("What to do at a row that cannot be read", ".  [default: OUT with the ending .skipped.csv]")
@input_options
@device_option
@threshold_options
@force_option
@json_option
def score(**given: Any) -> None:
    """Score the rows of DATA with MODEL.

    The output has for each row its number, from 1, its anomaly score (high = anomalous) and a verdict, anomaly or
    normal; for a folder of images also the `file`. DATA must have the columns of the training rows, in any order. It
    is read block by block and may be larger than memory.

    --fdr and --drift need a model with calibration rows, from fit --false-alarm-rate or from calibrate.

    With --on-error skip, rows are left out that have too few or too many values, or a value that is not of the kind of
    its column; so are unreadable images of a folder. A CSV file lists each with row, line, reason and text.

    For a model of fit --window, DATA is a series whose rows are time steps, or with fit --group several series. --plot
    then draws one with its alarms, and --on-error skip also leaves out rows whose time stamps are not ascending.

    With -o FOLDER/, DATA may be a pattern of many files, such as 'in/*.parquet' or 's3://bucket/*.csv': each gets a
    Parquet file in the folder. The same command goes on where an earlier one ended.
    """
    asked = ScoreOptions(**given)
    if asked.output.endswith("/") or asked.jobs is not None or asked.address is not None:
        from tollad.cli import many

        many.score(asked)
        return
    _check_outputs(asked)
    from tollad.serve.runtime import is_onnx

    if is_onnx(asked.model):
        from tollad.cli import graphs

        graphs.score(asked)
        return
    from tollad.cli import rows
    from tollad.serve.answers import load_to_score

    detector: Any = load_to_score(asked.model, asked.device)
    if hasattr(detector, "judge"):  # of a series
        from tollad.cli import series

        series.score(detector, asked)
    else:
        rows.score(detector, asked)


def _check_outputs(asked: ScoreOptions) -> None:
    """Raise an error, before any work, for files that cannot be written, and for options that lack another."""
    from tollad.io.outputs import check_different_files, check_output, check_table_output

    if asked.as_json and asked.path is None:
        raise click.UsageError("--json needs -o OUT; otherwise the scores would be printed before the JSON.")
    check_skipped(asked.on_error, asked.skipped)
    if asked.on_error == "skip" and asked.skipped is None and asked.path is None:
        raise click.UsageError("--on-error skip needs --skipped FILE for its list, or -o OUT to put it beside.")
    skipped = asked.list_of_skipped
    check_different_files(asked.path, asked.plot, skipped, asked.events, asked.state, read=(asked.model, asked.data))
    check_kinds(skipped=skipped, state=asked.state, folder=asked.maps)
    for table in filter(None, (asked.path, asked.events)):
        check_table_output(table, overwrite=asked.force)
    if asked.plot is not None:
        from tollad import plots

        plots.picture_format(asked.plot)
        check_output(asked.plot, overwrite=asked.force)
