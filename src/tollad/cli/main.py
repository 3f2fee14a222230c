"""The command line: ``tollad fit``, ``score``, ``evaluate``, ``calibrate``, ``info`` and ``demo``.

Nothing heavy is imported here; each command imports what it needs when it runs, so that ``tollad --help`` is quick.
"""

from __future__ import annotations

import contextlib
import json
import signal
import statistics
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import FrameType
from typing import Any

import click

from tollad import __version__
from tollad.cli.data import data
from tollad.cli.options import DETECTOR_OPTIONS, IMAGE_OPTIONS, SERIES_OPTIONS
from tollad.cli.paper import paper
from tollad.cli.terminal import drop_lost_output, say
from tollad.io.streams import standard_output
from tollad.warn import tell

# What the work raises about its input, each with a sentence for the user; anything else is a defect and is shown whole.
_USER_ERRORS = (ValueError, TypeError, OSError, FloatingPointError, MemoryError, ImportError)
_MOST_IMAGES_DRAWN = 6


class _Commands(click.Group):
    """The commands in the order of `COMMANDS`, their errors and warnings as single lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with standard_output():
                return super().main(*args, **kwargs)
        except OSError as error:  # of the help and the version, which come before any command
            tell(f"Error: {error}")
            sys.exit(1)
        finally:
            drop_lost_output()

    def invoke(self, ctx: click.Context) -> Any:
        terminated = threading.Event()
        try:
            with warnings.catch_warnings(), _ended_by_sigterm(terminated):
                warnings.simplefilter("default", UserWarning)
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if sys.stderr is not None and sys.stderr.isatty():
                tell("")  # leave the line of the progress bar
            tell(str(interrupt) or "Interrupted")
            ctx.exit(143 if terminated.is_set() else 130)
        except BrokenPipeError:
            pass  # whoever reads standard output, `head` perhaps, has enough; the other streams never end the work
        except _USER_ERRORS as error:
            raise click.ClickException(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _ended_by_sigterm(came: threading.Event) -> Iterator[None]:
    """Within the block SIGTERM does what Ctrl-C does at the time, so that it leaves nothing behind, and sets `came`."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        came.set()
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # it is switched off in the background of a shell
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    tell(f"Warning: {message}")


def _set_threads(ctx: click.Context, param: click.Parameter, value: int) -> None:
    import torch

    torch.set_num_threads(value)


_threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
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
    size: tuple[int, int] | None,
    grey: bool,
    window: int | None,
    stride: int | None,
    time: str | None,
    **parameters: Any,
) -> None:
    """Learn from the rows of TRAIN what is normal.

    TRAIN is CSV or TSV (also .gz), Parquet, NPY, NPZ, or - for CSV on standard input. All rows are taken for normal,
    or with --label and --normal those of these labels. A column COL is a name, or -1 for the last, -2 for the one
    before.

    A folder of images or an IDX file will do, too. --label is then `folder`, the sub-folder that an image lies in, or
    `label`, the IDX file of labels beside that of the images.

    Text is what all values of its column are: numbers, dates as in 2024-12-31, or else categories; fields that are
    empty or ? or NA are missing values. --column chooses for single columns.

    Files over some 100 MB are learnt from on disk, in the folder for temporary files (TMPDIR), and may be larger than
    memory: it gives the same model.

    With --window TRAIN is one series, in order of time, of columns that are all numbers. score, evaluate and calibrate
    then take series, too, and say of each time step what they say of each row of a table.
    """
    _check_label(label, normal)
    if window is None and (stride is not None or time is not None):
        raise click.UsageError("--stride and --time are for series; give --window, too.")
    from tollad.cli import card
    from tollad.detector.estimator import TollDetector
    from tollad.detector.inputs import read_training_rows
    from tollad.io.outputs import check_distinct, check_output
    from tollad.series import files as inputs_series

    check_distinct(model, checkpoint, read=(train,))
    check_output(model, overwrite=force)
    if checkpoint is not None:
        check_output(checkpoint, overwrite=True)
    kinds = parameters.pop("columns")
    if window is None:
        training = read_training_rows(
            train,
            header=header is not False,
            key=key,
            label=label,
            normal=normal,
            drop=drop,
            kinds=kinds,
            size=size,
            grey=grey,
        )
    else:
        if kinds is not None:
            raise click.UsageError("--column is for tables; leave columns of a series out with --drop.")
        if size is not None or grey:
            raise click.UsageError("--size and --grey are for images.")
        if parameters["network"] == "auto":
            parameters["network"] = "conv1d"
        rate, parameters["false_alarm_rate"] = parameters["false_alarm_rate"], None
        training = inputs_series.read_training_series(
            train,
            header=header is not False,
            key=key,
            label=label,
            normal=normal,
            drop=drop,
            window=window,
            stride=stride,
            time=time,
            network=parameters["network"],
            false_alarm_rate=rate,
        )
    notes = training.notes
    detector = TollDetector(columns=training.columns, **parameters)
    try:
        detector.fit(training.rows, checkpoint=checkpoint)
    except KeyboardInterrupt:
        kept = "" if checkpoint is None else f"; the same command goes on from {checkpoint}"
        raise KeyboardInterrupt(f"Interrupted{kept}") from None
    if isinstance(training, inputs_series.TrainingSeries):
        inputs_series.put_threshold(detector, training, rate)
    detector.save(model, notes=notes, overwrite=force)
    history, columns = detector.history_, getattr(detector, "columns_", [])
    result = {
        "model": model,
        "rows_read": notes["n_read"],
        "rows_used": notes["n_used"],
        "shape": list(detector.input_shape_),
        "kinds": {column.name: column.kind for column in columns},
        "steps": detector.n_steps_,
        "initial_loss": statistics.fmean(history.initial_loss),
        "loss": statistics.fmean(history.loss[-1]),
        "threshold": -detector.offset_,
    }
    lines = {
        "rows": card.describe_rows(notes),
        "columns": card.describe_columns(
            detector.input_shape_, getattr(detector, "feature_names_in_", None), columns, notes.get("series")
        ),
        "steps": f"{detector.n_steps_}",
        "loss": f"{result['initial_loss']:.4g} at first, {result['loss']:.4g} at last",
        "threshold": card.describe_threshold(card.read_card(model)),
        "model": model,
    }
    _print(as_json, result, card.aligned(lines))


# The constructor parameters of the detector come last in the help.
fit.params += (*IMAGE_OPTIONS, *SERIES_OPTIONS, *DETECTOR_OPTIONS)


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
@click.option("--plot", metavar="FILE", help="Draw why the oddest row, or images, are odd: a .png, .pdf or .svg file.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do at a row that cannot be read: stop, or leave it out and list it.",
)
@click.option(
    "--skipped", metavar="FILE", help="The list of --on-error skip.  [default: OUT with the ending .skipped.csv]"
)
@_input_options
@_force_option
def score(
    model: str,
    data: str,
    output: str,
    only_anomalies: bool,
    identifier: str | None,
    fdr: float | None,
    drift: bool,
    n_reasons: int | None,
    plot: str | None,
    on_error: str,
    skipped: str | None,
    header: bool | None,
    key: str | None,
    force: bool,
) -> None:
    """Score the rows of DATA with MODEL.

    Each row gets its number, from 1, its anomaly score (high = anomalous) and a verdict, anomaly or normal. DATA has
    the columns of the training rows in any order, and is read block by block: it may be larger than memory. Of a folder
    of images, the `file` of each is written.

    --fdr and --drift need a model with calibration rows: one of fit --false-alarm-rate, or of calibrate.

    With --on-error skip, rows with too few or too many values, or with a value that is not of the kind of its column,
    are left out; a CSV file lists each with its row, its line, what is wrong, and its text.

    To a model of fit --window DATA is a series, a row a time step; --plot draws it with the odd stretches marked.
    """
    from tollad import plots
    from tollad.detector import results as verdicts
    from tollad.detector.estimator import TollDetector
    from tollad.detector.inputs import score_blocks
    from tollad.io import skipped as skipping
    from tollad.io.outputs import check_distinct, check_output, check_table_output, write_tables
    from tollad.series import files as inputs_series

    path = None if output == "-" else output
    if on_error == "fail" and skipped is not None:
        raise click.UsageError("--skipped is the list of --on-error skip.")
    if on_error == "skip" and skipped is None:
        if path is None:
            raise click.UsageError("--on-error skip needs --skipped FILE, or -o OUT beside which to list the rows.")
        skipped = skipping.beside(path)
    check_distinct(path, plot, skipped, read=(model, data))
    if path is not None:
        check_table_output(path, overwrite=force)
    if plot is not None:
        plots.picture_format(plot)
        check_output(plot, overwrite=force)
    detector = TollDetector.load(model)
    if (fdr is not None or drift) and not hasattr(detector, "calibration_scores_"):
        raise ValueError(
            f"{model}: has no calibration rows, which --fdr and --drift need; fit with --false-alarm-rate, "
            "or give it some with: tollad calibrate"
        )
    series = inputs_series.Recorder() if inputs_series.is_series(detector) else None
    if series is not None and (drift or n_reasons or on_error == "skip"):
        raise click.UsageError(
            "--drift, --explain and --on-error skip are for rows that are no time steps; draw a series with --plot."
        )
    if on_error == "skip" and len(detector.input_shape_) > 1:
        raise click.UsageError("--on-error skip is for rows of tables; images and arrays are read whole or not at all.")
    are_images = len(detector.input_shape_) == 3
    oddest = verdicts.Oddest(_MOST_IMAGES_DRAWN if are_images else 1)
    with contextlib.ExitStack() as stack:
        bad = None
        if skipped is not None:
            bad = stack.enter_context(skipping.SkippedRows(skipped, overwrite=force))
        if series is None:
            blocks = score_blocks(detector, data, header=header, key=key, column=identifier, reject=bad)
        else:
            blocks = inputs_series.score_series(detector, data, header=header, key=key, column=identifier)
        if drift:
            blocks = verdicts.watch_drift(blocks, detector.calibration_scores_)
        if plot is not None:
            blocks = oddest.watch(blocks) if series is None else series.watch(blocks)
        tables = verdicts.verdict_tables(
            detector, blocks, only_anomalies=only_anomalies, fdr=fdr, n_reasons=n_reasons or 0
        )
        write_tables(path, tables, overwrite=force)
    if bad is not None and bad.n:
        tell(f"Warning: {bad.n:,} row{'s' * (bad.n > 1)} could not be read; see {bad.path}")
    if plot is not None and series is not None:
        names, (time_name, time) = detector.notes_["series"]["columns"], series.time(detector)
        plots.scored_series(
            series.steps,
            series.scores,
            -detector.offset_,
            plot,
            names=names,
            time=time,
            time_name=time_name,
            overwrite=force,
        )
    elif plot is not None:
        explanation, (_, row, _) = detector.explain(oddest.rows), oddest.found[0]
        title = f"row {row + 1} of {data}"
        if are_images:
            names = [value or f"row {row + 1}" for _, row, value in oddest.found]
            plots.part_maps(explanation, names, plot, overwrite=force)
        elif len(detector.input_shape_) > 1:
            plots.part_map(explanation, 0, plot, title=title, overwrite=force)
        else:
            plots.reason_bars(explanation, 0, plot, title=title, most=n_reasons or 10, overwrite=force)


@click.command()
@click.argument("model")
@click.argument("normals")
@click.option("-o", "--output", required=True, metavar="MODEL2", help="The model file to write.")
@click.option("--false-alarm-rate", "rate", type=float, metavar="X", help="Share of new normal rows to call anomalous.")
@click.option(
    "--tail", is_flag=True, help="Extrapolate a rate that the rows are too few for: an estimate, not a promise."
)
@click.option("--label", metavar="COL", help="Column that says which rows are normal.")
@_normal_option
@_input_options
@_force_option
@_json_option
def calibrate(
    model: str,
    normals: str,
    output: str,
    rate: float | None,
    tail: bool,
    label: str | None,
    normal: tuple[str, ...],
    header: bool | None,
    key: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate MODEL on fresh normal rows, without training.

    NORMALS are rows that MODEL was not trained on: all of the file, or with --label and --normal those of these labels.
    p-values, --fdr and --drift then refer to them, and --false-alarm-rate puts the threshold on their scores.
    """
    _check_label(label, normal)
    from tollad.cli import card
    from tollad.detector.estimator import TollDetector
    from tollad.detector.inputs import read_rows
    from tollad.io.outputs import check_distinct, check_output
    from tollad.series import files as inputs_series

    check_distinct(output, read=(normals,))  # MODEL may be calibrated in its place
    check_output(output, overwrite=force)
    detector = TollDetector.load(model)
    if inputs_series.is_series(detector):
        scores = inputs_series.normal_scores(detector, normals, header=header, key=key, label=label, normal=normal)
        inputs_series.calibrate_series(detector, scores, false_alarm_rate=rate, tail=tail)
    else:
        rows = read_rows(detector, normals, header=header, key=key, label=label, normal=normal)
        detector.calibrate(rows, false_alarm_rate=rate, tail=tail)
    detector.save(output, overwrite=force)
    shown = card.read_card(output)
    result = {name: shown[name] for name in ("model", "n_calibration_rows", "threshold", "threshold_rule")}
    lines = {
        "calibration": f"{shown['n_calibration_rows']:,} rows",
        "threshold": card.describe_threshold(shown),
        "model": output,
    }
    _print(as_json, result, card.aligned(lines))


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
    from tollad.detector.estimator import TollDetector
    from tollad.detector.inputs import score_blocks, score_labelled
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
    _print(as_json, result, text.format(**result))


@click.command()
@click.argument("model")
@_json_option
def info(model: str, as_json: bool) -> None:
    """Show what a model file says about itself."""
    from tollad.cli.card import format_card, read_card

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
    from tollad.cli.card import aligned
    from tollad.cli.demo import run

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


def _check_label(label: str | None, normal: tuple[str, ...]) -> None:
    if (label is None) != (not normal):
        raise click.UsageError("--label and --normal belong together: a column, and its values that mean normal.")


def _print(as_json: bool, result: Mapping[str, Any], text: str) -> None:
    say(json.dumps(result, indent=2) if as_json else text)


COMMANDS = {
    "fit": fit,
    "score": score,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "info": info,
    "demo": demo,
    "data": data,
    "paper": paper,
}
"""All commands by name, in the order of the help: the one place to touch to add a command."""


@click.group(cls=_Commands, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Anomaly detection by targeted collapse."""
