"""IDX, the format of MNIST's files: bytes with their shape, gzipped or not. The first bytes of a file tell its kind."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

ByteArray: TypeAlias = NDArray[np.uint8]
PathLike: TypeAlias = str | os.PathLike[str]

_IDX_UINT8 = b"\x00\x00\x08"
_IDX_DIMENSIONS = 64  # the most that NumPy allows
_CHUNK = 1 << 20
# Bytes of content: more than any file read here has, so that a damaged header or a gzip bomb cannot fill the memory.
_LIMIT = 1 << 29


def is_gzip(path: PathLike) -> bool:
    """Return whether a file begins as a gzip file does."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def open_content(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed if it is gzipped.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the block reads from a gzip file that is damaged or cut short.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    if not is_gzip(path):
        with open(path, "rb") as file:
            yield file
        return
    try:
        with gzip.open(path) as content:
            yield cast(BinaryIO, content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{os.fspath(path)} is a gzip file that is damaged or cut short; download it again") from error


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file in pieces of a megabyte."""
    while chunk := file.read(_CHUNK):
        yield chunk


def read_idx(path: PathLike) -> ByteArray:
    """Read an IDX file of bytes, the format of MNIST: a header with the shape, then the values in C order.

    Parameters
    ----------
    path : str or os.PathLike
        The file, gzipped or not.

    Returns
    -------
    values : ndarray of uint8
        Of the shape that the header gives: (n, height, width) for images, (n,) for labels.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no IDX file of bytes, or is shorter or longer than its header says.
    """
    content, name = read_content(path), os.fspath(path)
    if content[:3] != _IDX_UINT8 or len(content) < 4 or content[3] == 0:
        raise ValueError(
            f"{name} is no IDX file of bytes (it begins with {bytes(content[:4]).hex(' ') or 'nothing'}, not with "
            "00 00 08 and the number of dimensions); download it again"
        )
    start = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else ()
    if not shape:
        raise ValueError(f"{name} ends within its header, after {len(content)} bytes; download it again")
    if content[3] > _IDX_DIMENSIONS:
        raise ValueError(
            f"{name} announces {content[3]} dimensions, and {_IDX_DIMENSIONS} are the most; download it again"
        )
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{name} holds {len(content) - start} bytes after its header, which announces "
            f"{' x '.join(map(str, shape))} = {math.prod(shape)}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_content(path: PathLike) -> bytearray:
    """Return the whole content of a file, decompressed."""
    content = bytearray()
    with open_content(path) as file:
        for chunk in chunks(file):
            content += chunk
            if len(content) > _LIMIT:
                raise ValueError(
                    f"{os.fspath(path)} holds more than {_LIMIT >> 20} MiB, more than any file of these sets; download "
                    "it again"
                )
    return content
