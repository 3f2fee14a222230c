"""What may be raised where an archive or an array is damaged. Neither NumPy nor PyArrow is imported for it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

# Many, since the header of an array is read as a Python literal.
DAMAGED = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors that zipfile and NumPy raise for damaged archives and headers."""
