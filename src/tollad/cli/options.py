"""The constructor parameters of `TollDetector` as command-line options, listed without importing it.

What a value may be is checked by the detector, so that its messages are the same everywhere; here text only becomes a
number, a tuple or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def _auto_or(number: type[int] | type[float]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        return text if text == "auto" else _number(number, text)

    return convert


def _number(number: type[int] | type[float], text: str) -> int | float:
    try:
        return number(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not {'an integer' if number is int else 'a number'}.") from None


def _widths(text: str) -> str | tuple[int | float, ...]:
    return text if text == "auto" else tuple(_number(int, width) for width in text.split(","))


def _rate(text: str) -> Any:
    if " per " in text:
        return text  # of a series, which checks it
    return None if text == "none" else _number(float, text)


def _window(text: str) -> int | str:
    if text == "auto":
        return text
    window = _number(int, text)
    if window < 1:
        raise click.BadParameter(f"{text} is no window; give a number of time steps, 1 or more, or auto.")
    return int(window)


def _kinds(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    named = dict(value.rpartition("=")[::2] for value in values)
    if "" in named:
        raise click.BadParameter("give a column and its kind, such as zip=category.")
    if len(named) < len(values):
        raise click.BadParameter("gives the kind of a column twice; give each column one kind.")
    return named or None


def _or_none(text: str) -> str | None:
    return None if text == "none" else text


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    size = (_number(int, height), _number(int, width if cross else height))
    if min(size) < 1:
        raise click.BadParameter(f"{text!r} is no size; give pixels, such as 64, or 48x64 (height x width).")
    return int(size[0]), int(size[1])


def _option(flag: str, metavar: str, convert: Callable[[str], Any], default: str, text: str) -> click.Option:
    return click.Option([flag], type=convert, default=default, metavar=metavar, help=text, show_default=True)


SERIES_OPTIONS = (
    click.Option(
        ["--window"],
        type=_window,
        metavar="N|auto",
        help="TRAIN is a series, its rows are time steps: learn from windows of N of them; auto is the period, or 64.",
    ),
    click.Option(
        ["--stride"],
        type=click.IntRange(min=1),
        metavar="N",
        help="Steps from one window to the next.  [default: a sixteenth of a window]",
    ),
    click.Option(
        ["--causal"], is_flag=True, help="Score a time step by the window that it ends: at once, and never changed."
    ),
    click.Option(
        ["--adapt"],
        is_flag=True,
        help="Let the threshold follow the series: few false alarms under drift, but what lasts stops to raise alarms.",
    ),
    click.Option(["--time"], metavar="COL", help="Column of the time stamps of a series; they are checked to ascend."),
)

DETECTOR_OPTIONS = (
    _option("--beta", "X", _auto_or(float), "auto", "Weight of the latent norm against the reconstruction error."),
    _option("--norm", "NAME", str, "l2", "Penalty of the latent: l2, l1, linf or squared_l2."),
    _option("--error", "NAME", str, "l2", "Reconstruction error: l2, l1 or squared_l2."),
    _option("--target", "NAME", str, "origin", "What latents collapse onto: origin or mean."),
    _option("--latent-dim", "N", _auto_or(int), "auto", "Length of the latent."),
    _option("--network", "NAME", str, "auto", "Builder of the network: mlp, conv, conv1d, ..."),
    _option("--hidden", "N,N,...", _widths, "auto", "Widths of the hidden layers from the input to the latent."),
    _option("--learning-rate", "X", _auto_or(float), "auto", "Step size of Adam."),
    _option("--batch-size", "N", _auto_or(int), "auto", "Rows in a step."),
    _option("--steps", "N", _auto_or(int), "auto", "Updates (not epochs)."),
    _option("--n-members", "N", _auto_or(int), "auto", "Models trained side by side and averaged."),
    _option("--corruption", "NAME", _or_none, "auto", "Corruption of the inputs in training: auto, mixed or none."),
    _option("--preprocess", "NAME", _or_none, "auto", "Scaling of the columns: auto, standard or none."),
    click.Option(
        ["--column", "columns"],
        multiple=True,
        metavar="COL=KIND",
        callback=_kinds,
        help="The kind of a column: number, category, date or drop; may repeat.",
    ),
    _option("--contamination", "X", float, "0.1", "Share of the training rows to call anomalous, at most 0.5."),
    _option("--false-alarm-rate", "X", _rate, "none", "Share of new normal rows to call anomalous; holds out rows."),
    click.Option(["--early-stopping"], is_flag=True, help="Hold out a tenth of the rows and stop at their best score."),
    _option("--precision", "NAME", str, "float32", "Of the training: float32, float64 or bf16."),
    _option("--device", "NAME", str, "auto", "auto, cpu, cuda, mps, cuda:1, ..."),
    _option("--random-state", "N", int, "0", "Seed: the same seed gives the same model."),
    click.Option(["--verbose/--quiet"], default=True, help="Show the progress of the training.  [default: verbose]"),
)

IMAGE_OPTIONS = (
    click.Option(
        ["--representation"],
        metavar="NAME",
        help="What is seen of images: gradients, efficientnet_lite2 (extra vision), or pixels, by an autoencoder with "
        "the options below.  [default: auto, or pixels with one of those options]",
    ),
    click.Option(
        ["--size"],
        type=_size,
        metavar="N|HxW",
        help="Resize images to N x N pixels, or to height x width; those to be scored, too.",
    ),
    click.Option(["--grey"], is_flag=True, help="Turn colour images into grey ones; those to be scored, too."),
)
