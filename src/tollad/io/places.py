"""Files by pattern, on this machine or in a store such as S3, through Arrow's file systems."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from tollad.tables.large import temporary_space

_WILD = frozenset("*?[")


def is_remote(path: str) -> bool:
    """Return whether a path is a URI of a store."""
    return "://" in path


def matching(pattern: str) -> list[str]:
    """Return the files that match a pattern such as ``in/*.parquet`` or ``s3://bucket/in/*.parquet``, sorted.

    Raises
    ------
    FileNotFoundError
        If no file matches.
    OSError
        If the store does not answer, or Arrow has no file system for it.
    """
    found = _in_store(pattern) if is_remote(pattern) else [path for path in glob.glob(pattern) if os.path.isfile(path)]
    if not found:
        raise FileNotFoundError(f"no file matches {pattern}; check the folder, and put quotes around * and ?")
    return sorted(found)


def mtimes(paths: Sequence[str]) -> dict[str, float]:
    """Return the time of the last change of each file, in seconds since 1970."""
    return {path: _info(path).mtime_ns / 1e9 if is_remote(path) else os.stat(path).st_mtime for path in paths}


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """Yield the path of a local file, or of a copy of a file in a store, which is removed after the block."""
    if not is_remote(path):
        yield path
        return
    system, place = _system(path)
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        local = os.path.join(folder, PurePath(place).name)
        with temporary_space(), system.open_input_stream(place) as source, open(local, "wb") as file:
            while chunk := source.read(1 << 22):
                file.write(chunk)
        try:
            yield local
        except (ValueError, OSError) as error:
            raise type(error)(str(error).replace(local, path)) from None


@contextmanager
def temporary_file(name: str, data: bytes) -> Iterator[str]:
    """Yield the path of a file with some bytes, which is removed after the block."""
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        path = os.path.join(folder, name)
        with temporary_space(), open(path, "wb") as file:
            file.write(data)
        yield path


def _in_store(pattern: str) -> list[str]:
    """Return the URIs in a store that match. Only the last part of a pattern may have wildcards."""
    from pyarrow import fs  # slow to import: it brings clients of cloud storage

    folder, _, name = pattern.rpartition("/")
    if _WILD & {*folder}:
        raise ValueError(f"{pattern}: in a store only the name of the file may hold * or ?; name the folder")
    system, place = _system(folder)
    files = system.get_file_info(fs.FileSelector(place, allow_not_found=True))
    return [f"{folder}/{file.base_name}" for file in files if file.is_file and fnmatchcase(file.base_name, name)]


def _info(path: str) -> Any:
    system, place = _system(path)
    return system.get_file_info(place)


def _system(uri: str) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, ValueError) as error:
        raise OSError(f"{uri}: {' '.join(str(error).split())}") from None
