"""Standard output as results are written to it: all of them, or a sentence that says why not."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from typing import BinaryIO, TextIO


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Turn the error of a full disk into a sentence.

    The system's own error names no file, since standard output has no name: a user would read only "No space left on
    device" and look for it in the wrong place.
    """
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
        raise OSError("cannot write to standard output: it is closed; name a file to write to")
    return stream.buffer
