"""Options and printing that several commands share."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from tollad.cli.numbers import Integer, Number
from tollad.cli.terminal import say
from tollad.warn import tell

if TYPE_CHECKING:
    from tollad.cli.asked import ScoreOptions
    from tollad.detector.results import Counted
    from tollad.io.skipped import SkippedRows


def _set_threads(ctx: click.Context, param: click.Parameter, value: int) -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(value)
        return
    # torch is not imported yet, and may never be. It reads these when it is.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(value)


def share(text: str) -> float:
    """Read a share of rows; click.BadParameter for text that is no number, such as "5%"."""
    try:
        return float(text)
    except ValueError:
        by_time = "; only fit takes a rate by time" if " per " in text else ""
        raise click.BadParameter(f"{text!r} is no share of rows; give a number such as 0.05{by_time}.") from None


threads_option = click.option(
    "--threads",
    type=Integer(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    expose_value=False,
    callback=_set_threads,
    help="Threads that torch computes with; more than 1 pay for images only.",
)
header_option = click.option(
    "--header/--no-header",
    default=None,
    help="Whether text has a first line of column names; if not, they are x1, x2, ...  [default: yes, or as at fit]",
)
key_option = click.option(
    "--key", metavar="NAME", help="Name of the array in an NPZ file, or of the sheet in a workbook, that holds several."
)
OUTPUTS = {
    "model": ("a model", ".tollad"),
    "graph": ("an ONNX graph", ".onnx"),
    "checkpoint": ("a checkpoint", ".ckpt"),
    "state": ("the state of a series", ".state"),
    "skipped": ("a list of rows as CSV", ".csv", ".txt"),
    "card": ("a card in Markdown", ".md", ".txt"),
    "folder": ("a folder",),
}
"""For each kind of output: what it is, and the endings that its name may have."""
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
_DIALECT_OPTIONS = (
    click.option(
        "--sep",
        "separator",
        metavar="X",
        callback=lambda ctx, param, value: _SEPARATORS.get(value, value),
        help="What separates the values of text: , ; | tab, space or another sign.  [default: by the first lines]",
    ),
    click.option(
        "--decimal",
        type=click.Choice([".", ","]),
        help="Decimal sign; the other one may then group digits.  [default: a point, or as at fit]",
    ),
    click.option(
        "--encoding",
        metavar="NAME",
        help="Of text, such as cp1252.  [default: utf-8 or utf-16, or as at fit]",
    ),
    click.option(
        "--na", "missing", multiple=True, metavar="WORD", help="Another word for a missing value; may repeat."
    ),
    click.option(
        "--date-format", metavar="FORMAT", help="Of dates in text, such as %d.%m.%Y.  [default: by their values at fit]"
    ),
)


_limit_option = click.option(
    "--max-gib",
    type=Number(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="X",
    help="What a compressed array or workbook may be unpacked to, in GiB.",
)
normal_option = click.option(
    "--normal", multiple=True, metavar="VALUE", help="A value of --label that means normal; may repeat."
)
drop_option = click.option(
    "--drop", multiple=True, metavar="COL", help="A column to leave out, which MODEL was not fitted on; may repeat."
)
force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


device_option = click.option(
    "--device", metavar="NAME", help="Where to score: cpu, cuda, mps, cuda:1, ...  [default: as at fit]"
)
jobs_option = click.option(
    "--jobs", type=Integer(1, 1024), metavar="N", help="Processes of this machine that share the work."
)
ray_option = click.option(
    "--ray", "address", metavar="ADDRESS", help="Share the work over a Ray cluster: local, auto or HOST:PORT."
)
tail_option = click.option(
    "--tail", is_flag=True, help="Extrapolate a rate that the rows are too few for: an estimate, not a promise."
)
_THRESHOLD_OPTIONS = (
    click.option(
        "--threshold", "anomaly_score", type=Number(), metavar="X", help="Call rows above this score anomalous."
    ),
    click.option("--contamination", type=share, metavar="X", help="Share of the training rows above the threshold."),
    click.option("--false-alarm-rate", type=share, metavar="X", help="Share of new normal rows to call anomalous."),
    tail_option,
)


def check_kinds(**paths: str | None) -> None:
    """Raise ValueError for an output, by a key of `OUTPUTS`, whose ending is that of another kind of file."""
    from tollad.io.outputs import check_ending

    for kind, path in paths.items():
        if path is not None:
            check_ending(path, *OUTPUTS[kind])


def skip_options(what: str, default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds the options to leave out rows that cannot be read, `on_error` and `skipped`.

    `what` tells when, and `default` is shown as the name of the list.
    """
    options = (
        click.option(
            "--on-error",
            type=click.Choice(["fail", "skip"]),
            default="fail",
            show_default=True,
            help=f"{what}: stop, or leave it out and list it.",
        ),
        click.option("--skipped", metavar="FILE", help=f"The list of --on-error skip{default}"),
    )

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def check_skipped(on_error: str, skipped: str | None) -> None:
    """Raise a usage error for a list of skipped rows where none are skipped."""
    if on_error == "fail" and skipped is not None:
        raise click.UsageError("--skipped is the list of --on-error skip.")


def threshold_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that set the threshold for one call. The command gets them as `moved`, for `set_threshold`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        names = ("anomaly_score", "contamination", "false_alarm_rate")
        moved = {name: value for name in names if (value := given.pop(name)) is not None}
        if len(moved) > 1:
            raise click.UsageError("--threshold, --contamination and --false-alarm-rate exclude each other.")
        if given.pop("tail"):
            if "false_alarm_rate" not in moved:
                raise click.UsageError("--tail is of --false-alarm-rate; give it, too.")
            moved["tail"] = True
        return command(moved=moved, **given)

    for option in reversed(_THRESHOLD_OPTIONS):
        gathered = option(gathered)
    return gathered


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads rows.

    Those that say how text is written are passed as `written`, a dict of attributes of `tollad.io.dialect.Dialect`.
    """

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        names = ("separator", "decimal", "encoding", "missing", "date_format")
        return command(written={name: given.pop(name) for name in names}, **given)

    for option in reversed((header_option, *_DIALECT_OPTIONS, key_option, _limit_option, threads_option)):
        gathered = option(gathered)
    return gathered


def check_label(label: str | None, normal: tuple[str, ...]) -> None:
    """Raise a usage error for a label column without its normal values, or the reverse."""
    if (label is None) != (not normal):
        raise click.UsageError("--label and --normal belong together: a column, and its values that mean normal.")


@contextlib.contextmanager
def resumable(checkpoint: str | None) -> Iterator[None]:
    """Say on Ctrl-C that the same command goes on from the checkpoint, if there is one."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if checkpoint is None else f"; the same command goes on from {checkpoint}"
        raise KeyboardInterrupt(f"Interrupted{kept}") from None


def tell_of_skipped(bad: SkippedRows | None, what: str = "row") -> None:
    """Warn how many rows, or images, were left out, and where they are listed."""
    if bad is not None and bad.n:
        tell(f"Warning: {bad.n:,} {what}{'s' * (bad.n > 1)} could not be read; see {bad.path}")


def print_result(as_json: bool, result: Mapping[str, Any], text: str) -> None:
    """Print a result as one JSON object, or as text."""
    say(json.dumps(result, indent=2) if as_json else text)


def print_scored(asked: ScoreOptions, counted: Counted, bad: SkippedRows | None, threshold: float | None) -> None:
    """Print a summary of the scored rows as one JSON object."""
    n_skipped = 0 if bad is None else bad.n
    counts = {"rows_written": counted.n_rows, "anomalies": counted.n_anomalies, "rows_skipped": n_skipped}
    print_result(True, {"output": asked.path, **counts, "threshold": threshold}, "")
