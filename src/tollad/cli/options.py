"""The constructor parameters of `TollDetector` as command-line options, listed without importing it.

The detector checks the values, so that messages are the same everywhere. Here text is only turned into a number, a
tuple or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tollad.cli.numbers import Integer
from tollad.cli.shared import share
from tollad.detector.declared import Parameter
from tollad.detector.parameters import PARAMETERS
from tollad.series.parameters import OF_SERIES


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of integers; give some such as 64,32.") from None


def _rate(text: str) -> Any:
    if " per " in text:
        return text  # a rate by time, which only a detector of series takes and checks
    return share(text)


def _share(text: str) -> Any:
    return text if text == "auto" else share(text)  # the message of the detector says what to give instead


def _window(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is no number of time steps; give 1 or more, or auto.")
    return int(text)


def _kinds(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    named = dict(value.rpartition("=")[::2] for value in values)
    if not all("=" in value for value in values):
        raise click.BadParameter("give a column and its kind, such as zip=category.")
    if len(named) < len(values):
        raise click.BadParameter("gives the kind of a column twice; give each column one kind.")
    return named or None


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    size = [height, width if cross else height]
    if not all(side.isdecimal() and int(side) > 0 for side in size):
        raise click.BadParameter(f"{text!r} is no size; give pixels, such as 64, or 48x64 (height x width).")
    return int(size[0]), int(size[1])


_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "number": float,
    "integer": int,
    "widths": _widths,
    "rate": _rate,
    "share": _share,
    "window": _window,
}
# Other defaults than in Python: at the command line a fit has a fixed seed and shows its progress.
_OWN = {
    "columns": click.Option(["--column", "columns"], multiple=True, metavar="COL=KIND", callback=_kinds),
    "random_state": click.Option(["--random-state"], type=Integer(), default=0, metavar="N", show_default=True),
    "verbose": click.Option(["--verbose/--quiet"], default=True),
}


def _option(parameter: Parameter) -> click.Option:
    """Return the option of a parameter of the detector."""
    own = _OWN.get(parameter.name)
    if own is not None:
        own.help = parameter.help
        return own
    flag = "--" + parameter.name.replace("_", "-")
    if parameter.name == "window":  # no default: without this option TRAIN is no series
        return click.Option([flag], type=_window, metavar=parameter.metavar, help=parameter.help)
    if parameter.option == "flag":
        return click.Option([flag], is_flag=True, help=parameter.help)
    default = "none" if parameter.default is None else str(parameter.default)
    return click.Option(
        [flag],
        type=_reader(parameter),
        default=default,
        metavar=parameter.metavar,
        help=parameter.help,
        show_default=True,
    )


def _reader(parameter: Parameter) -> Callable[[str], Any]:
    """Return the function from the text of an option to the value of its parameter, "auto" and "none" included."""
    read = _READERS[parameter.option]
    words: dict[str, Any] = {}
    if parameter.default == "auto":
        words["auto"] = "auto"
    if parameter.default is None or "None" in parameter.values:
        words["none"] = None

    def value(text: str) -> Any:
        try:
            return words[text] if text in words else read(text)
        except ValueError:
            what = "an integer" if read is int else "a number"
            raise click.BadParameter(f"give {' or '.join([what, *words])}, not {text!r}.") from None

    return value


DETECTOR_OPTIONS = tuple(_option(parameter) for parameter in PARAMETERS)
SERIES_OPTIONS = (
    *(_option(parameter) for parameter in OF_SERIES),
    click.Option(
        ["--group"],
        metavar="COL",
        help="Column that says which of several series a row is of, such as machine: one model of all, or with "
        "--per-group one each; no window reaches from one into another.",
    ),
)

IMAGE_OPTIONS = (
    click.Option(
        ["--representation"],
        metavar="NAME",
        help="Representation of images: gradients, efficientnet_lite2 or efficientnet_lite2_fine (extra vision), "
        "timm:NAME for a network of timm, an .onnx file of your own (extra onnx), or pixels, by an autoencoder with "
        "the options below.  [default: auto, or pixels with one of those options]",
    ),
    click.Option(
        ["--size"],
        type=_size,
        metavar="N|HxW",
        help="Resize images to N x N pixels, or to height x width; those to be scored, too.",
    ),
    click.Option(["--grey"], is_flag=True, help="Turn colour images into grey ones; those to be scored, too."),
    click.Option(["--colour"], is_flag=True, help="Take grey images for colour ones; those to be scored, too."),
    click.Option(
        ["--aspect"],
        type=click.Choice(["stretch", "pad", "crop"]),
        help="How --size treats proportions: change them, fill up both sides, or cut both sides.  [default: stretch]",
    ),
)

METHOD_OPTIONS = (
    click.Option(
        ["--method"],
        metavar="NAME",
        help="Fit a method that the paper compares with, such as DeepSVDD or KDE, in place of a detector.",
    ),
    click.Option(
        ["--set", "changed"],
        multiple=True,
        metavar="FIELD=VALUE",
        help="Of --method: another value of a field of its recipe, such as epochs=50; may repeat.",
    ),
    click.Option(
        ["--budget"],
        type=click.Choice(["published", "reduced"]),
        default="published",
        show_default=True,
        help="Of --method: the recipe of its source, which takes seconds on small tables and up to hours on images, "
        "or one of minutes.",
    ),
)
