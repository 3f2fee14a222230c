"""The files of the benchmark sets: their folder, and the check of their content."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tollad.io import idx


@dataclass(frozen=True)
class Content:
    """Content of a file once decompressed: its length in bytes and its SHA-256 in hex."""

    size: int
    sha256: str


def user_cache() -> Path:
    """Return ``tollad`` in the user's cache; it need not exist.

    The cache is ``XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``, on Windows ``LOCALAPPDATA``.
    """
    home = Path.home()
    match sys.platform:
        case "darwin":
            cache = home / "Library" / "Caches"
        case "win32":
            cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        case _:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return cache / "tollad"


def data_dir() -> Path:
    """Return the folder that holds the sets, one folder a set; it need not exist.

    The environment variable ``TOLLAD_DATA`` names it; by default it is `user_cache`. A ValueError is raised if the
    variable names the home of an unknown user.
    """
    named = os.environ.get("TOLLAD_DATA")
    if not named:
        return user_cache()
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise ValueError(f"TOLLAD_DATA is {named}, and there is no such user; let it name a folder") from error


def variants(folder: Path, file: str) -> list[Path]:
    """Return the paths of a file in a folder that exist: gzipped first, then unpacked."""
    return [path for path in (folder / f"{file}.gz", folder / file) if path.is_file()]


def checked(file: BinaryIO, name: str, content: Content) -> Iterator[bytes]:
    """Yield the bytes of a file. Raise ValueError as soon as they cannot be `content`, before more is read."""
    digest, size = hashlib.sha256(), 0
    for chunk in idx.chunks(file):
        digest.update(chunk)
        size += len(chunk)
        if size > content.size:
            raise ValueError(f"{name} holds more than its {content.size} bytes")
        yield chunk
    if size < content.size:
        raise ValueError(f"{name} holds {size} of {content.size} bytes")
    if digest.hexdigest() != content.sha256:
        raise ValueError(f"{name} has another SHA-256 than the authors' file")


def check(path: Path, name: str, content: Content) -> None:
    """Raise a ValueError that begins with `name` if a file, once decompressed, is not `content`."""
    with idx.open_content(path) as file:
        for _ in checked(file, name, content):
            pass
