"""Read arrays of samples from NPY and NPZ files. Sizes that a file states are checked before they are trusted."""

from __future__ import annotations

import contextlib
import math
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tollad.io.damage import DAMAGED
from tollad.io.records import looks_like
from tollad.io.text import Piece, numbered

MAX_GIB = 1.0
"""Default limit of the unpacked size of a compressed file, in GiB."""

# DEFLATE never compresses by more than this factor.
_MOST_DEFLATED = 1032
_LOOKED_AT = 1 << 12


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def check_exists(path: str) -> None:
    """Raise the OSError of a path that is no existing file."""
    if re.match("[a-zA-Z][a-zA-Z0-9+.-]+://", path) and not os.path.exists(path):
        raise FileNotFoundError(f"{path}: is an address, and only files are read; download it first")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; give a file")
    if not os.path.isfile(path):
        raise OSError(f"{path}: is a device or a pipe, which may never end; give a file, or '-' for standard input")


def fingerprint(path: str) -> tuple[int, int] | None:
    """Return size and time of a file, by which a change is seen; None for a path that is no regular file."""
    if not os.path.exists(path):
        return None
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def check_unchanged(path: str, before: tuple[int, int] | None) -> None:
    """Raise ValueError for a file whose `fingerprint` has changed."""
    if fingerprint(path) != before:
        raise ValueError(f"{path}: changed while it was read; read it when nothing writes to it")


def read_array(path: str | os.PathLike[str], key: str | None = None, *, max_gib: float = MAX_GIB) -> NDArray[Any]:
    """Read an array of samples, such as images (n, H, W) or (n, C, H, W), from an NPY or NPZ file.

    Parameters
    ----------
    path : path-like
        An NPY file is memory-mapped, read-only; an NPZ file is read into memory.
    key : str, optional
        Name of the array in an NPZ file; needed if it holds several.
    max_gib : float > 0, default 1
        Limit of the size of a compressed array in memory, in GiB.

    Returns
    -------
    ndarray, shape (n, ...), of two dimensions or more
        Real numbers or booleans, in the file's own type.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file or the array is missing, damaged or of another type; the message begins with `path`. Python objects
        are never unpickled, and no more memory is allocated than the bytes of the file can fill.
    MemoryError
        If memory is too small for the array.
    """
    path = os.fspath(path)
    check_exists(path)
    if not path.lower().endswith((".npy", ".npz")):
        raise ValueError(f"{path}: arrays of any shape are read from .npy and .npz files only")
    if path.lower().endswith(".npz"):
        return _from_npz(path, key, max_gib)
    if key is not None:
        raise ValueError(f"{path}: holds one array without a name, so the key {key!r} means nothing; leave it out")
    try:
        with open(path, "rb") as file:
            header, offset = _header(file), file.tell()
    except DAMAGED as error:
        raise damaged(path, "NPY", error) from error
    _check(path, header)
    there, said = os.path.getsize(path) - offset, header.n_bytes
    if there < said:
        raise damaged(path, "NPY", f"{there:,} of {said:,} bytes of the array are there")
    order = "F" if header.fortran else "C"
    return np.memmap(path, header.dtype, "r", offset, header.shape, order)  # type: ignore[call-overload]


def array_parts(path: str, array: NDArray[Any], block_rows: int) -> Iterator[Piece]:
    """Yield successive rows of an array of two dimensions as tables, whose columns are x1, x2, ..."""
    if array.ndim != 2:
        raise ValueError(f"{path}: holds an array of shape {array.shape}; a table has two dimensions")
    # Arrow has neither foreign byte orders nor long doubles.
    dtype = np.dtype(np.float64) if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    names, before = numbered(array.shape[1]), fingerprint(path)
    for start in range(0, len(array), block_rows):
        check_unchanged(path, before)
        columns = np.ascontiguousarray(array[start : start + block_rows].T, dtype=dtype)
        yield Piece(pa.table([pa.array(column) for column in columns], names=names))


def damaged(path: str, kind: str, reason: object) -> ValueError:
    """Return the error for a file whose content does not fit its name."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        other = looks_like(file.read(_LOOKED_AT), kind)
        if other:
            return ValueError(f"{path}: is no {kind} file; {other}")
    return ValueError(f"{path}: is no {kind} file, or damaged or cut short ({' '.join(str(reason).split())})")


def check_archive(path: str, members: list[zipfile.ZipInfo], max_gib: float, kind: str) -> None:
    """Raise ValueError for members of a ZIP archive that cannot be read, or whose size is impossible or too large."""
    size = os.path.getsize(path)
    for member in members:
        if member.flag_bits & 1:
            raise ValueError(f"{path}: {member.filename!r} is encrypted; save it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{path}: {member.filename!r} is compressed in an unknown way; save it anew")
        factor = 1 if member.compress_type == zipfile.ZIP_STORED else _MOST_DEFLATED
        if member.compress_size > size or member.file_size > factor * member.compress_size + 64:
            raise damaged(path, kind, f"{member.filename!r} cannot be as large as the archive says")
    unpacked = sum(member.file_size for member in members) / 2**30
    if unpacked > max_gib and unpacked * 2**30 > size:
        raise ValueError(
            f"{path}: is unpacked to {unpacked:.3g} GiB, and {max_gib:g} is the limit; if the file is to be trusted, "
            f"raise it, as in max_gib={math.ceil(unpacked)}"
        )


def _from_npz(path: str, key: str | None, max_gib: float) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    except (*DAMAGED, OSError) as error:
        raise damaged(path, "NPZ", error) from error
    member = _chosen(path, members, key)
    check_archive(path, [member], max_gib, "NPZ")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            header = _header(stream)
            there = member.file_size - stream.tell()
            plain = header.n_bytes == there and not header.dtype.hasobject
            data = _filled(stream, there) if plain else np.empty(0, np.uint8)
    except MemoryError:
        raise MemoryError(f"{path}: takes {member.file_size / 2**30:.3g} GiB of memory, more than there is") from None
    except (*DAMAGED, OSError) as error:
        raise damaged(path, "NPZ", error) from error
    _check(path, header)
    if not plain:
        raise damaged(path, "NPZ", f"{there:,} of {header.n_bytes:,} bytes of the array are there")
    return data.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _chosen(path: str, members: list[zipfile.ZipInfo], key: str | None) -> zipfile.ZipInfo:
    by_name = {member.filename.removesuffix(".npy"): member for member in members}
    if key is None and len(by_name) == 1:
        return members[0]
    if key in by_name:
        return by_name[key]
    if not by_name:
        raise ValueError(f"{path}: holds no arrays; save one in it")
    raise unchosen(path, "array", key, [*by_name])


def unchosen(path: str, what: str, key: str | None, there: Sequence[str]) -> ValueError:
    """Return the error for an array, or a sheet, that has to be chosen or is not there."""
    problem = f"holds several {what}s" if key is None else f"holds no {what} {key!r}"
    return ValueError(f"{path}: {problem}; choose one, as in key={there[0]!r}, of {', '.join(map(repr, there))}")


def _filled(stream: IO[bytes], n_bytes: int) -> NDArray[np.uint8]:
    data = np.empty(n_bytes, np.uint8)
    into = data.data
    while into:
        n_read = stream.readinto(into)  # type: ignore[attr-defined]
        if not n_read:
            raise EOFError(f"{len(into):,} of {n_bytes:,} bytes of the array are missing")
        into = into[n_read:]
    return data


def _header(stream: IO[bytes]) -> _Header:
    """Read the header of an array, and leave the stream at its first value; an error of `DAMAGED` otherwise."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header = _Header(*read(stream))
    if any(length < 0 for length in header.shape):
        raise ValueError(f"the shape is {header.shape}")
    return header


def _check(path: str, header: _Header) -> None:
    """Raise ValueError for an array that holds no rows of numbers."""
    if header.dtype.hasobject:
        raise ValueError(f"{path}: holds Python objects, which are never unpickled; save plain numbers")
    if header.dtype.kind not in "biuf":
        raise ValueError(f"{path}: holds values of type {header.dtype}; save real numbers or booleans")
    if len(header.shape) < 2:
        raise ValueError(f"{path}: holds an array of shape {header.shape}; it needs rows and columns")
    if 0 in header.shape:
        raise ValueError(f"{path}: holds an empty array of shape {header.shape}; it needs at least one row and column")
