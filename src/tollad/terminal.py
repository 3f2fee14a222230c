"""What commands print on standard output: all of it, or a sentence that says why not."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

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


def drop_lost_output() -> None:
    """If standard output cannot be written any more, let Python's own flush at the end go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
