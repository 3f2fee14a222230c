"""Printing on standard output: everything, or one sentence that says why not."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

from tollad.io.streams import standard_output


def say(text: str, end: str = "\n") -> None:
    """Print a text, and `end` after it, at once."""
    with standard_output():
        click.echo(text + end, nl=False)


def drop_lost_output() -> None:
    """Redirect a standard stream that cannot be written to, so that Python's flush at exit does not fail."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
