"""What commands print on standard output: all of it, or a sentence that says why not."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, TextIO

import click


def say(text: str, end: str = "\n") -> None:
    """Print a text, and `end` after it, at once."""
    with standard_output():
        click.echo(text + end, nl=False)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Say in a sentence what it means that the file behind standard output takes no more."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = OSError("cannot write to standard output: the disk is full; free some space or write somewhere else")
        full.errno = error.errno
        raise full from error


def output_bytes() -> BinaryIO:
    """Return standard output as a binary file; OSError if it was closed from the beginning."""
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OSError("cannot write to standard output: it is closed; name a file with -o")
    return stream.buffer


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
