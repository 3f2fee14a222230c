"""Standard output: all of a result is written, or an error says why not."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from typing import BinaryIO, TextIO


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Turn the error of a full disk into one that names standard output.

    The system's own error names no file, since standard output has no name.
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
    """Return standard output as a binary file; OSError if it is closed."""
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OSError("cannot write to standard output: it is closed; name a file to write to")
    return stream.buffer
