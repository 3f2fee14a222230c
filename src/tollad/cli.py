"""The command line: ``tollad fit``, ``score``, ``evaluate``, ``info`` and ``demo``.

Nothing heavy is imported here; each command imports what it needs when it runs, so that ``tollad --help`` is quick.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tollad import __version__
from tollad.options import DETECTOR_OPTIONS

if TYPE_CHECKING:
    from tollad.detector import TollDetector

# What the work raises about its input, each with a sentence for the user; anything else is a defect and is shown whole.
_USER_ERRORS = (ValueError, TypeError, OSError, FloatingPointError, MemoryError, ImportError)


class _Commands(click.Group):
    """The commands in the order of `COMMANDS`, their errors and warnings as single lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default", UserWarning)
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # leave the line of the progress bar
            click.echo(str(interrupt) or "Interrupted", err=True)
            ctx.exit(130)
        except _USER_ERRORS as error:
            _drop_lost_output()
            raise click.ClickException(str(error) or type(error).__name__) from error


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    click.echo(f"Warning: {message}", err=True)


def _drop_lost_output() -> None:
    """If standard output cannot be written any more, let Python's own flush at the end go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_threads(ctx: click.Context, param: click.Parameter, value: int) -> None:
    import torch

    torch.set_num_threads(value)


_threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    expose_value=False,
    callback=_set_threads,
    help="Threads that torch computes with; more than 1 pay for images only.",
)
_header_option = click.option(
    "--header/--no-header",
    default=None,
    help="Whether text has a first line of column names; if not, they are x1, x2, ...  [default: yes, or as at fit]",
)
_key_option = click.option("--key", metavar="NAME", help="Name of the array in an NPZ file that holds several.")
_normal_option = click.option(
    "--normal", multiple=True, metavar="VALUE", help="A value of --label that means normal; may repeat."
)
_force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return _header_option(_key_option(_threads_option(command)))


@click.command()
@click.argument("train")
@click.option("-o", "--output", "model", required=True, metavar="MODEL", help="The model file to write.")
@click.option("--label", metavar="COL", help="Column that says which rows are normal; it is no feature.")
@_normal_option
@click.option("--drop", multiple=True, metavar="COL", help="A column that is no feature; may repeat.")
@_input_options
@click.option("--checkpoint", metavar="FILE", help="Keep the state of the training; the same command goes on from it.")
@_force_option
@_json_option
def fit(
    train: str,
    model: str,
    label: str | None,
    normal: tuple[str, ...],
    drop: tuple[str, ...],
    header: bool | None,
    key: str | None,
    checkpoint: str | None,
    force: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Learn from the rows of TRAIN what is normal.

    TRAIN is CSV or TSV (also .gz), Parquet, NPY, NPZ, or - for CSV on standard input. All rows are taken for normal,
    or with --label and --normal those of these labels. A column COL is a name, or -1 for the last, -2 for the one
    before.
    """
    if (label is None) != (not normal):
        raise click.UsageError("--label and --normal belong together: a column, and its values that mean normal.")
    from tollad import card
    from tollad.detector import TollDetector
    from tollad.inputs import read_training_rows
    from tollad.outputs import check_output

    check_output(model, overwrite=force)
    if checkpoint is not None:
        check_output(checkpoint, overwrite=True)
    rows, notes = read_training_rows(train, header=header is not False, key=key, label=label, normal=normal, drop=drop)
    detector = TollDetector(**parameters)
    try:
        detector.fit(rows, checkpoint=checkpoint)
    except KeyboardInterrupt:
        kept = "" if checkpoint is None else f"; the same command goes on from {checkpoint}"
        raise KeyboardInterrupt(f"Interrupted{kept}") from None
    detector.save(model, notes=notes, overwrite=force)
    history = detector.history_
    result = {
        "model": model,
        "rows_read": notes["n_read"],
        "rows_used": notes["n_used"],
        "shape": list(detector.input_shape_),
        "steps": detector.n_steps_,
        "initial_loss": statistics.fmean(history.initial_loss),
        "loss": statistics.fmean(history.loss[-1]),
        "threshold": -detector.offset_,
    }
    lines = {
        "rows": card.describe_rows(notes),
        "columns": card.describe_columns(detector.input_shape_, getattr(detector, "feature_names_in_", None)),
        "steps": f"{detector.n_steps_}",
        "loss": f"{result['initial_loss']:.4g} at first, {result['loss']:.4g} at last",
        "threshold": f"{-detector.offset_:.4g}; {_meaning(detector)}",
        "model": model,
    }
    _print(as_json, result, card.aligned(lines))


# The constructor parameters of the detector come last in the help.
fit.params += DETECTOR_OPTIONS


@click.command()
@click.argument("model")
@click.argument("data")
@click.option(
    "-o",
    "--output",
    default="-",
    metavar="OUT",
    help="A .csv, .jsonl or .parquet file; - is CSV on standard output, the default.",
)
@click.option("--only-anomalies", is_flag=True, help="Write only the rows called anomalous.")
@click.option("--id", "identifier", metavar="COL", help="A column to write beside the scores; it need be no feature.")
@_input_options
@_force_option
def score(
    model: str,
    data: str,
    output: str,
    only_anomalies: bool,
    identifier: str | None,
    header: bool | None,
    key: str | None,
    force: bool,
) -> None:
    """Score the rows of DATA with MODEL.

    Each row gets its number, from 1, its anomaly score (high = anomalous) and a verdict, anomaly or normal. DATA has
    the columns of the training rows in any order, and is read block by block: it may be larger than memory.
    """
    from tollad.detector import TollDetector
    from tollad.inputs import score_blocks
    from tollad.outputs import check_table_output, score_table, write_tables

    path = None if output == "-" else output
    if path is not None:
        check_table_output(path, overwrite=force)
    detector = TollDetector.load(model)
    blocks = score_blocks(detector, data, header=header, key=key, column=identifier)
    try:
        write_tables(path, (score_table(block, only_anomalies=only_anomalies) for block in blocks), overwrite=force)
    except BrokenPipeError:
        _drop_lost_output()  # whoever reads it, `head` perhaps, has enough


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--label", required=True, metavar="COL", help="Column that says which rows are normal.")
@_normal_option
@click.option("--plot", metavar="FILE", help="Draw the distributions of the scores: a .png, .pdf or .svg file.")
@_input_options
@_force_option
@_json_option
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
    from tollad.detector import TollDetector
    from tollad.inputs import score_labelled
    from tollad.outputs import check_output

    if plot is not None:
        plots.picture_format(plot)
        check_output(plot, overwrite=force)
    detector = TollDetector.load(model)
    threshold = -detector.offset_
    labels, scores = score_labelled(detector, data, header=header, key=key, label=label, normal=normal)
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
    _print(as_json, result, text.format(**result))


@click.command()
@click.argument("model")
@_json_option
def info(model: str, as_json: bool) -> None:
    """Show what a model file says about itself."""
    from tollad.card import format_card, read_card

    card = read_card(model)
    _print(as_json, card, format_card(card))


@click.command()
@click.option("--out", default="tollad-demo", show_default=True, metavar="DIR", help="Folder for what it writes.")
@_threads_option
@_json_option
def demo(out: str, as_json: bool) -> None:
    """Find malignant tumours, having seen only benign ones.

    Fits on half of the benign rows of scikit-learn's breast cancer table, and scores all other rows.
    """
    from tollad.card import aligned
    from tollad.demo import run

    result = asdict(run(out, verbose=1))
    text = (
        "AUROC {auroc:.3f} over {n_normal} benign and {n_anomalies} malignant rows, after {n_trained} benign ones\n"
        "average precision {average_precision:.3f}\n"
        "false-alarm rate {false_alarm_rate:.3f} at the threshold {threshold:.4g}\n"
        "oddest rows:\n"
    ).format(**result)
    for row, value, truth in result["oddest"]:
        text += f"  row {row:<4} score {value:<8.4g} {truth}\n"
    files = {kind: result[kind] for kind in ("table", "model", "scores")}
    files["picture"] = result["picture"] or "none: it needs matplotlib; pip install 'tollad[plot]'"
    text += aligned(files)
    _print(as_json, result, text)


def _meaning(detector: TollDetector) -> str:
    """Say what the threshold promises."""
    if detector.false_alarm_rate is not None:
        return f"{detector.false_alarm_rate:.1%} of new normal rows score higher, by rows that were held out"
    return f"{detector.contamination:.1%} of these rows score higher; of new ones more (--false-alarm-rate)"


def _print(as_json: bool, result: Mapping[str, Any], text: str) -> None:
    click.echo(json.dumps(result, indent=2) if as_json else text)


COMMANDS = {"fit": fit, "score": score, "evaluate": evaluate, "info": info, "demo": demo}
"""All commands by name, in the order of the help: the one place to touch to add a command."""


@click.group(cls=_Commands, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Anomaly detection by targeted collapse."""
