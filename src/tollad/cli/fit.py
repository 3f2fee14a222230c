"""``tollad fit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tollad.cli import methods
from tollad.cli.asked import FitOptions
from tollad.cli.options import DETECTOR_OPTIONS, IMAGE_OPTIONS, METHOD_OPTIONS, SERIES_OPTIONS
from tollad.cli.shared import (
    check_kinds,
    check_label,
    check_skipped,
    force_option,
    input_options,
    json_option,
    normal_option,
    skip_options,
)

_OF_SERIES = [str(option.name) for option in SERIES_OPTIONS]


@click.command()
@click.argument("train", nargs=-1, required=True)
@click.option("-o", "--output", "model", required=True, metavar="MODEL", help="The model file to write.")
@click.option("--label", metavar="COL", help="Column that says which rows are normal; it is no feature.")
@normal_option
@click.option("--drop", multiple=True, metavar="COL", help="A column that is no feature; may repeat.")
@skip_options(
    "Of a series: what to do at a row that cannot be read or comes too late",
    ".  [default: MODEL with the ending .skipped.csv]",
)
@input_options
@click.option("--checkpoint", metavar="FILE", help="Keep the state of the training; the same command goes on from it.")
@force_option
@json_option
def fit(**given: Any) -> None:
    """Learn from the rows of TRAIN what is normal.

    TRAIN is CSV or TSV or JSON lines (also .gz), Excel, Parquet, NPY, NPZ, or - for CSV on standard input. All
    rows count as normal, or with --label and --normal only those with these labels. A column COL is a name, or -1 for
    the last, -2 for the one before.

    TRAIN may also be a folder of images or an IDX file. --label is then `folder`, the sub-folder of each image, or
    `label`, the IDX file of labels beside that of the images. The representation of the images is chosen by their
    size and colour; options of the network, such as --steps, select the autoencoder on pixels.

    The kind of a column of text follows from its values: numbers, dates such as 2024-12-31, or else categories.
    Empty fields, ? and NA are missing values. --column sets the kind of a column.

    Files over about 100 MB are kept on disk during the fit, in the folder for temporary files (TMPDIR), and may be
    larger than memory. The model is the same.

    With --window TRAIN is a time series: rows are time steps in order, and all columns are numbers. score, evaluate
    and calibrate then also take series, with time steps as rows. --contamination is then a share of future time steps,
    by default 0.01, and --false-alarm-rate may also be "2 per day" or "1 per 1000 steps". Several files are several
    series, and with --group one file holds several; one model learns from all of them, and with --per-group one more
    from each group.

    With --method NAME one of `tollad.methods` is fitted in place of a detector, to rows or images in memory. score,
    evaluate, calibrate and info take its model; it gives no reasons, no maps and no ONNX graph.
    """
    asked = FitOptions.of(given)
    _check_together(asked)
    _check_outputs(asked)
    if asked.window is None:
        _fit_rows(asked)
        return
    from tollad.cli import series

    series.fit(asked)


def _check_together(asked: FitOptions) -> None:
    """Raise a usage error for options that need another, or exclude each other."""
    check_label(asked.label, asked.normal)
    check_skipped(asked.on_error, asked.skipped)
    if asked.method is not None:
        methods.check_options(asked.window, asked.representation)
    elif asked.changed or asked.budget != "published":
        raise click.UsageError("--set and --budget are of --method; give it, too.")
    if asked.window is None:
        if of_series := _given([*_OF_SERIES, "on_error"]):
            verb = "are" if "," in of_series else "is"
            raise click.UsageError(f"{of_series} {verb} for series; give --window, too.")
        if len(asked.train) > 1:
            raise click.UsageError("several files are for series; give --window, too, or join tables to one file.")
        return
    if asked.columns is not None:
        raise click.UsageError("--column is for tables; leave columns of a series out with --drop.")
    if _given(["n_channels"]):
        raise click.UsageError("--n-channels is for tables; the columns of a series are its channels.")
    if _given(["size", "grey", "colour", "aspect"]):
        raise click.UsageError("--size, --grey, --colour and --aspect are for images.")


def _given(names: Sequence[str]) -> str:
    """Return the options that were given, of those with some names; "" for none."""
    context = click.get_current_context()
    given = [name for name in names if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def _check_outputs(asked: FitOptions) -> None:
    """Raise an error, before any work, for files that cannot be written."""
    from tollad.io.outputs import check_different_files, check_output

    skipped = asked.list_of_skipped
    check_different_files(asked.model, asked.checkpoint, skipped, read=asked.train)
    check_kinds(model=asked.model, checkpoint=asked.checkpoint, skipped=skipped)
    check_output(asked.model, overwrite=asked.force)
    if asked.checkpoint is not None:
        check_output(asked.checkpoint, overwrite=True)


def _fit_rows(asked: FitOptions) -> None:
    """Fit to rows of a table, to arrays or to images what was asked for, by their kind."""
    from tollad.cli import images, rows
    from tollad.io.images import is_images
    from tollad.io.pictures import Shaping
    from tollad.io.training import read_training_rows

    (path,) = asked.train
    shaping = Shaping(asked.size, asked.grey, asked.colour, asked.aspect or "stretch")
    training = read_training_rows(path, kinds=asked.columns, shaping=shaping, max_gib=asked.max_gib, **asked.reading)
    if asked.method is not None:
        methods.fit(training, asked.method, asked)
        return
    if asked.representation is not None and not is_images(path):
        raise click.UsageError("--representation is for folders of images and IDX files.")
    network = images.network_options()
    if asked.representation not in (None, "pixels") and network:
        raise click.UsageError(f"{network[0]} is for --representation pixels.")
    if not is_images(path) or asked.representation == "pixels" or network:
        rows.fit(training, asked)
    else:
        images.fit(training, asked)


# The parameters of the detector come last in the help.
fit.params += (*METHOD_OPTIONS, *IMAGE_OPTIONS, *SERIES_OPTIONS, *DETECTOR_OPTIONS)
