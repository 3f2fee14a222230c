"""What commands print on standard output: all of it, or a sentence that says why not."""

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
    """Let what a standard stream can take no more go nowhere, rather than fail when Python flushes it at the end."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
