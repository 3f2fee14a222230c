"""``tollad fit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tollad.cli import methods
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

if TYPE_CHECKING:
    from tollad.io.pictures import Aspect

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
def fit(
    train: tuple[str, ...],
    model: str,
    label: str | None,
    normal: tuple[str, ...],
    drop: tuple[str, ...],
    on_error: str,
    skipped: str | None,
    header: bool | None,
    key: str | None,
    written: dict[str, Any],
    max_gib: float,
    checkpoint: str | None,
    force: bool,
    as_json: bool,
    representation: str | None,
    size: tuple[int, int] | None,
    grey: bool,
    colour: bool,
    aspect: Aspect | None,
    window: int | str | None,
    group: str | None,
    method: str | None,
    changed: tuple[str, ...],
    budget: str,
    **parameters: Any,
) -> None:
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
    series, and with --group one file holds several; one model learns from all of them.

    With --method NAME one of `tollad.methods` is fitted in place of a detector, to rows or images in memory. score,
    evaluate, calibrate and info take its model; it gives no reasons, no maps and no ONNX graph.
    """
    check_label(label, normal)
    own = {name: parameters.pop(name) for name in _OF_SERIES if name in parameters}
    if window is None and (len(train) > 1 or _of_series()):
        raise click.UsageError(f"{_of_series() or 'several files'} are for series; give --window, too.")
    check_skipped(on_error, skipped)
    if method is not None:
        methods.check_options(window, representation)
    elif changed or budget != "published":
        raise click.UsageError("--set and --budget are of --method; give it, too.")
    from tollad.cli import images, rows
    from tollad.io.dialect import Dialect
    from tollad.io.images import is_images
    from tollad.io.outputs import check_different_files, check_output
    from tollad.io.pictures import Shaping
    from tollad.io.skipped import beside
    from tollad.io.training import read_training_rows

    if on_error == "skip" and skipped is None:
        skipped = beside(model)
    check_different_files(model, checkpoint, skipped, read=train)
    check_kinds(model=model, checkpoint=checkpoint, skipped=skipped)
    check_output(model, overwrite=force)
    if checkpoint is not None:
        check_output(checkpoint, overwrite=True)
    kinds = parameters.pop("columns")
    reading: dict[str, Any] = {
        "header": header is not False,
        "key": key,
        "label": label,
        "normal": normal,
        "drop": drop,
        "dialect": Dialect().changed(**written),
    }
    if window is not None:
        if kinds is not None:
            raise click.UsageError("--column is for tables; leave columns of a series out with --drop.")
        if parameters.pop("n_channels") is not None:
            raise click.UsageError("--n-channels is for tables; the columns of a series are its channels.")
        if size is not None or grey or colour or aspect is not None:
            raise click.UsageError("--size, --grey, --colour and --aspect are for images.")
        from tollad.cli import series

        series.fit(
            train,
            model,
            parameters | own | {"window": window},
            group=group,
            reading=reading,
            checkpoint=checkpoint,
            skipped=skipped,
            force=force,
            as_json=as_json,
        )
        return
    (path,) = train
    shaping = Shaping(size, grey, colour, aspect or "stretch")
    training = read_training_rows(path, kinds=kinds, shaping=shaping, max_gib=max_gib, **reading)
    if method is not None:
        methods.fit(
            training,
            model,
            method,
            methods.settings(changed),
            budget,
            parameters,
            checkpoint=checkpoint,
            force=force,
            as_json=as_json,
        )
        return
    if representation is not None and not is_images(path):
        raise click.UsageError("--representation is for folders of images and IDX files.")
    if is_images(path) and representation != "pixels":
        asked = images.network_options()
        if asked and representation is not None:
            raise click.UsageError(f"{asked[0]} is for --representation pixels.")
        if not asked:
            images.fit(training, model, representation or "auto", parameters, force=force, as_json=as_json)
            return
    rows.fit(training, model, parameters, checkpoint=checkpoint, force=force, as_json=as_json)


def _of_series() -> str:
    """Return the options for series that were given."""
    context = click.get_current_context()
    names = (*_OF_SERIES, "on_error")
    given = [name for name in names if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


# The parameters of the detector come last in the help.
fit.params += (*METHOD_OPTIONS, *IMAGE_OPTIONS, *SERIES_OPTIONS, *DETECTOR_OPTIONS)
