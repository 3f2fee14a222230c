"""``tollad score``."""

from __future__ import annotations

from typing import Any

import click

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
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="Q",
    help="Call rows anomalous so that on average at most this share of them is normal (Benjamini-Hochberg over all of "
    "DATA), and write p-values. Results come at the end; until then they are kept in memory, a few numbers a row.",
)
@click.option("--drift", is_flag=True, help="Warn when rows are no longer like those that MODEL was calibrated on.")
@click.option(
    "--explain",
    "n_reasons",
    type=click.IntRange(min=1),
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
def score(
    model: str,
    data: str,
    output: str,
    jobs: int | None,
    address: str | None,
    only_anomalies: bool,
    identifiers: tuple[str, ...],
    drop: tuple[str, ...],
    fdr: float | None,
    drift: bool,
    n_reasons: int | None,
    events: str | None,
    causal: bool,
    state: str | None,
    plot: str | None,
    maps: str | None,
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
    from tollad.io import skipped as skipping
    from tollad.io.outputs import check_different_files, check_output, check_table_output
    from tollad.serve.runtime import is_onnx

    identifier, *beside = identifiers or (None,)
    reading = {
        "column": identifier,
        "beside": beside,
        "drop": drop,
        "header": header,
        "key": key,
        "written": written,
        "max_gib": max_gib,
    }
    if output.endswith("/") or jobs is not None or address is not None:
        from tollad.cli import many

        if any((fdr, drift, events, causal, state, plot, maps, skipped, device)) or on_error == "skip":
            raise click.UsageError(
                "Many files get scores, verdicts and reasons; score them one by one for other options."
            )
        many.score(
            model,
            data,
            output,
            {"moved": moved, **reading, "only_anomalies": only_anomalies, "n_reasons": n_reasons or 0},
            jobs=jobs,
            address=address,
            force=force,
            as_json=as_json,
        )
        return
    path = None if output == "-" else output
    if as_json and path is None:
        raise click.UsageError("--json needs -o OUT; otherwise the scores would be printed before the JSON.")
    check_skipped(on_error, skipped)
    if on_error == "skip" and skipped is None:
        if path is None:
            raise click.UsageError("--on-error skip needs --skipped FILE for its list, or -o OUT to put it beside.")
        skipped = skipping.beside(path)
    check_different_files(path, plot, skipped, events, state, read=(model, data))
    check_kinds(skipped=skipped, state=state, folder=maps)
    for table in filter(None, (path, events)):
        check_table_output(table, overwrite=force)
    if plot is not None:
        from tollad import plots

        plots.picture_format(plot)
        check_output(plot, overwrite=force)
    if is_onnx(model):
        if any((fdr, drift, n_reasons, events, causal, state, plot, maps, device, moved)) or on_error == "skip":
            raise click.UsageError("An ONNX file gives scores and verdicts; other options need the model file.")
        from tollad.cli import graphs

        graphs.score(model, data, path, reading, only_anomalies=only_anomalies, force=force, as_json=as_json)
        return
    from tollad.cli import rows
    from tollad.series.detector import SeriesDetector
    from tollad.serve.answers import load

    detector: Any = load(model, device)
    if isinstance(detector, SeriesDetector):
        if drift:
            raise click.UsageError("--drift is not for series: time steps are not exchangeable.")
        if n_reasons and events is None:
            raise click.UsageError("--explain gives the reasons for events of a series; give --events, too.")
        from tollad.cli import series

        if (causal or state is not None) and not detector.model_.causal:
            raise ValueError(
                f"{model}: is not causal: it scores a time step only a window later; fit with --causal, or leave out "
                "--causal and --state"
            )
        if moved:
            detector.set_threshold(**moved)
        dialect = detector.model_.dialect.changed(**written)
        series.score(
            detector,
            data,
            path,
            reading={name: value for name, value in reading.items() if name not in ("written", "max_gib")}
            | {"dialect": dialect},
            only_anomalies=only_anomalies,
            fdr=fdr,
            n_reasons=n_reasons or 0,
            plot=plot,
            events=events,
            state=state,
            skipped=skipped,
            force=force,
            as_json=as_json,
        )
        return
    if events is not None or causal or state is not None:
        raise click.UsageError("--events, --causal and --state are for series, and MODEL is one of rows.")
    if moved:
        detector.set_threshold(**moved)
    rows.score(
        detector,
        model,
        data,
        path,
        reading=reading,
        only_anomalies=only_anomalies,
        fdr=fdr,
        drift=drift,
        n_reasons=n_reasons or 0,
        plot=plot,
        maps=maps,
        skipped=skipped,
        force=force,
        as_json=as_json,
    )
