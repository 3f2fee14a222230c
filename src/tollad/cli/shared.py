"""Options that several commands have, and how they print a result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from tollad.cli.terminal import say


def _set_threads(ctx: click.Context, param: click.Parameter, value: int) -> None:
    import torch

    torch.set_num_threads(value)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
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
key_option = click.option("--key", metavar="NAME", help="Name of the array in an NPZ file that holds several.")
normal_option = click.option(
    "--normal", multiple=True, metavar="VALUE", help="A value of --label that means normal; may repeat."
)
force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads rows."""
    return header_option(key_option(threads_option(command)))


def check_label(label: str | None, normal: tuple[str, ...]) -> None:
    """Raise a usage error for a label column without its normal values, or the reverse."""
    if (label is None) != (not normal):
        raise click.UsageError("--label and --normal belong together: a column, and its values that mean normal.")


def print_result(as_json: bool, result: Mapping[str, Any], text: str) -> None:
    """Print a result as one JSON object, or as text."""
    say(json.dumps(result, indent=2) if as_json else text)
