"""The one file format: safetensors with JSON metadata and a digest.

A tollad file is a plain safetensors file. Its ``__metadata__`` has one key, ``tollad``, a JSON text that begins with
``sha256`` and ``format``. The digest is the SHA-256 of the whole file with its own 64 hex digits set to ``0``, so every
byte counts. Every later format keeps these two keys, their place and the rule of the digest. So a file of a newer
tollad can be told from an altered one. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tollad.io.files import open_regular

FORMAT = 2
"""Version of the file format that this tollad writes, and the newest that it reads."""

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""Plain values of JSON: ``dict`` with string keys, ``list``, ``str``, finite numbers, ``bool``, ``None``."""

# safetensors writes the length of the header in 8 bytes, then the header, metadata first. So the digest is at a fixed
# place.
_START = rb'{"__metadata__":{"tollad":"{\"sha256\":\"'
_DIGEST = slice(8 + len(_START), 8 + len(_START) + 64)
_BLANK = "0" * 64
# safetensors reads headers of up to 100 MB, in which each quote of the metadata takes two bytes.
_METADATA_LIMIT = 40_000_000
_HEADER_LIMIT = 100_000_000
_RESERVED = frozenset({"sha256", "format"})


def read_packed(
    path: str | os.PathLike[str], *, sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a tollad file: the start, the header and the declared size are checked before the rest is read.

    Parameters
    ----------
    path : str or os.PathLike
        The file to read.
    sha256 : str, optional
        The 64 hex digits that ``sha256sum`` prints for the wanted file; any other file is refused. It proves where a
        file is from. The digest within the file does not: anybody who writes a file can compute that.

    Returns
    -------
    metadata, tensors
        As `unpack` returns.

    Raises
    ------
    ValueError
        As `unpack`, or if the file is not the one that is wanted.
    OSError
        As `open_regular`.
    """
    name = os.fspath(path)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hex digits, as sha256sum prints them, not {sha256!r}")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(_DIGEST.stop)
        if not data.startswith(_START, 8):
            raise ValueError(f"{name} {_describe_foreign(data + file.read(1024), size)}")
        if _header_length(data) <= _HEADER_LIMIT:
            data += file.read(8 + _header_length(data) - len(data))
            if _declared_size(data) == size:
                # Read again from the beginning, into one piece: joining two pieces would take twice the memory.
                file.seek(0)
                data = file.read(size)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise ValueError(f"{name} is not the file that sha256= names: its SHA-256 is {found}; check where it is from")
    return unpack(data, name=name, size=size)


def pack(metadata: Mapping[str, JSON], tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Put metadata and tensors into one byte string, the content of a tollad file.

    Equal input gives equal bytes: tensors are sorted by safetensors, metadata keep their order.

    Parameters
    ----------
    metadata : mapping of str to JSON
        Plain values. The keys ``sha256`` and ``format`` are the file's own. Tuples come back as lists.
    tensors : mapping of str to ndarray
        Booleans, integers or floats of at most 64 bits, of any shape and memory layout. The name ``__metadata__`` is
        reserved.

    Returns
    -------
    data : bytes
        To be read by `unpack`, and by anything that reads safetensors.

    Raises
    ------
    ValueError
        If a reserved name is used, a number is NaN or infinite, or the metadata are longer than 40 MB as JSON.
    TypeError
        If a metadata value is no JSON value, or a tensor has another dtype than those above.

    Examples
    --------
    >>> import numpy as np
    >>> data = pack({"beta": 0.5}, {"weight": np.zeros((2, 3))})
    >>> metadata, tensors = unpack(data, name="model.tollad")
    >>> metadata, tensors["weight"].shape
    ({'beta': 0.5}, (2, 3))
    """
    if reserved := _RESERVED & metadata.keys() | {"__metadata__"} & tensors.keys():
        raise ValueError(f"the name {min(reserved)!r} is reserved for the file itself; choose another name")
    text = json.dumps({"sha256": _BLANK, "format": FORMAT, **metadata}, allow_nan=False, separators=(",", ":"))
    if len(text) > _METADATA_LIMIT:
        raise ValueError(f"the metadata take {len(text)} bytes, and {_METADATA_LIMIT} is the limit; shorten them")
    # safetensors reads the memory of an array as if it were in C order.
    plain = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    for name, array in plain.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"tensor {name!r} has dtype {array.dtype}; use bool, int, uint or float of at most 64 bits")
    data = bytearray(save(plain, {"tollad": text}))
    data[_DIGEST] = _digest(data)
    return bytes(data)


def unpack(data: bytes, *, name: str, size: int | None = None) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return what `pack` packed, after checking that every byte is as it was written.

    The digest protects against accidents. It is no signature: whoever can write the file can also compute its digest.

    Parameters
    ----------
    data : bytes
        The content of a file.
    name : str
        The name of the file, for error messages.
    size : int, optional
        Bytes of the file: more than `data` has if reading stopped early because of a wrong header.

    Returns
    -------
    metadata : dict of str to JSON
        As given to `pack`.
    tensors : dict of str to ndarray
        As given to `pack`: same dtypes and shapes, C-ordered, sorted by name.

    Raises
    ------
    ValueError
        If the file is empty, a pickle or a zip archive, text, truncated, another program's, altered, or of a newer
        format. The message is one sentence.
    """
    size = len(data) if size is None else size
    if not data.startswith(_START, 8):
        raise ValueError(f"{name} {_describe_foreign(data, size)}")
    if len(data) < size or data[_DIGEST] != _digest(data):
        raise ValueError(f"{name} {_describe_damage(data, size)}")
    malformed = f"{name} is not laid out as a tollad model file, though its digest is right; save the model again"
    try:
        header = json.loads(data[8 : 8 + _header_length(data)])
        metadata = json.loads(header["__metadata__"]["tollad"], parse_constant=_no_number, parse_float=_finite)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(malformed) from error
    match metadata:
        case {"format": int(version)} if version > FORMAT:
            raise ValueError(
                f"{name} has format {version}, written by {_writer(metadata)}, and this tollad reads formats up to "
                f"{FORMAT}; upgrade tollad"
            )
        case {"format": int(version)} if 1 <= version <= FORMAT:
            pass
        case _:
            raise ValueError(malformed)
    try:
        tensors = dict(sorted(load(data).items()))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(malformed) from error
    return {key: value for key, value in metadata.items() if key not in _RESERVED}, tensors


def _digest(data: bytes | bytearray) -> bytes:
    """Return the SHA-256 of a tollad file, in hex, with zeros in place of the digest itself."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: _DIGEST.start])
    digest.update(_BLANK.encode())
    digest.update(view[_DIGEST.stop :])
    return digest.hexdigest().encode()


def _header_length(data: bytes | bytearray) -> int:
    return int.from_bytes(data[:8], "little")


def _declared_size(data: bytes | bytearray) -> int:
    """Return the length in bytes that a file with this header must have."""
    header = data[8 : 8 + _header_length(data)]
    # In JSON, a name cannot contain an unescaped quote, so every match is the end of a tensor.
    ends = re.findall(rb'"data_offsets":\[\d{1,19},(\d{1,19})\]', header)
    return 8 + _header_length(data) + max(map(int, ends), default=0)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _describe_foreign(data: bytes, size: int) -> str:
    """Say what bytes without the start of a tollad file are.

    They are refused anyway; only the sentence depends on it.
    """
    if not data:
        return "is empty; save the model again"
    # A header length can begin with the bytes of a pickle or a zip archive, so safetensors comes first.
    if data[8:9] == b"{" and 8 + _header_length(data) <= size:
        return "is a safetensors file, but not one that tollad wrote; give a file saved by tollad"
    if data.startswith((b"\x80", b"PK")):
        return (
            "is a pickle or a PyTorch or zip archive, not a tollad model file; tollad never unpickles, since a pickle "
            "can run any code: give a file saved by tollad"
        )
    if re.match(rb"\x08[\x01-\x20]\x12", data):
        return "is an ONNX file, not a tollad model file; give the model that it was exported from"
    if not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", data[:1024]):
        return "is not a tollad model file, it looks like text; give a file saved by tollad"
    if data[8:9] in (b"", b"{"):
        return f"is truncated: only its first {size} bytes are there; copy it or save the model again"
    return "is not a tollad model file; give a file saved by tollad"


def _describe_damage(data: bytes, size: int) -> str:
    """Say why the digest is wrong. The header cannot be trusted here, and only the sentence depends on it."""
    declared = _declared_size(data)
    if declared > size:
        return f"is truncated: {size} of {declared} bytes are there; copy it or save the model again"
    return "was altered after tollad wrote it (its SHA-256 digest does not match); copy it or save the model again"


def _writer(metadata: Mapping[str, Any]) -> str:
    match metadata:
        case {"versions": {"tollad": str(version)}}:
            return f"tollad {version}"
        case _:
            return "a newer tollad"
