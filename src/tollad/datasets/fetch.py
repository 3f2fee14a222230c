"""Download the benchmark sets from their authors, and check the files on the disk.

Files are checked by the SHA-256 of their content after decompression. pooch, of the extra `data`, is imported only
when something has to be downloaded.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from tollad.datasets.catalogue import data_set, find
from tollad.datasets.files import Content, check, checked, data_dir, variants
from tollad.io.files import atomic_write
from tollad.io.idx import is_gzip

# Bytes that an archive may have beyond the files of a set: other members, and its own headers.
_ROOM = 10_000_000
_TIMEOUT = 30.0
_STALE = 86_400.0
# disable=None: no bar in a log. No rate: pooch starts the clock anew at the end.
_BAR: dict[str, Any] = {
    "unit": "B",
    "unit_scale": True,
    "ncols": 79,
    "bar_format": "{l_bar}{bar}| {n_fmt}/{total_fmt} [{remaining} left]",
    "disable": None,
}


def verify(name: str) -> dict[str, str]:
    """Compare the files of a set with the catalogue.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.

    Returns
    -------
    states : dict of str to str
        For each file ``"ok"``, ``"missing"``, or the fault of its content.

    Raises
    ------
    ValueError
        If there is no such set.
    OSError
        If a file may not be read.
    """
    return {file: _state(find(name, file), content) for file, content in data_set(name).files.items()}


def fetch(name: str) -> Path:
    """Download a set, unless it is there and intact.

    The files are downloaded, unpacked and checked in a hidden folder, which is then renamed: a killed process leaves
    no part of a set. Files that were there and damaged are replaced one by one; other files in the folder stay.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.

    Returns
    -------
    folder : Path
        The folder of the set, ``data_dir() / name``.

    Raises
    ------
    ValueError
        If there is no such set.
    ImportError
        If something has to be downloaded and pooch is not installed.
    OSError
        If none of the addresses gives the authors' files, or they cannot be written.
    """
    folder = data_dir() / name
    if set(verify(name).values()) == {"ok"}:
        return folder
    _import_downloader()  # before any folder is made
    _check_places(name, folder)
    with _hidden_folder(folder) as hidden:
        new = hidden / "new"
        new.mkdir()
        for addresses in data_set(name).downloads:
            _fetch_first(name, addresses, hidden, new)
        if missing := [file for file in data_set(name).files if not variants(new, file)]:
            raise OSError(f"cannot fetch {name}: the downloaded archive holds no {missing[0]}; put it into {folder}")
        _install(new, folder)
    return folder


def _state(path: Path | None, content: Content) -> str:
    if path is None:
        return "missing"
    try:
        check(path, path.name, content)
    except ValueError as error:
        return str(error)
    return "ok"


def _check_places(name: str, folder: Path) -> None:
    """Refuse, before anything is downloaded, a set whose files could not be moved into place in the end."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise OSError(f"cannot fetch {name}: {folder} is in the way and no folder; move it away")
    for file in data_set(name).files:
        for path in (folder / file, folder / f"{file}.gz"):
            if path.is_dir():
                raise OSError(f"cannot fetch {name}: the folder {path} is in the way; move it away")


@contextlib.contextmanager
def _hidden_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside that of the set. At the end remove it, and those that killed processes left behind."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{folder.name}.*.tmp"):
            with contextlib.suppress(FileNotFoundError):  # the process that made it has just removed it
                if time.time() - left.stat().st_mtime > _STALE:  # else it may be in use
                    shutil.rmtree(left, ignore_errors=True)
        hidden = tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent)
    except OSError as error:
        reason = "no permission" if isinstance(error, PermissionError) else error.strerror
        raise type(error)(
            f"cannot write into {folder.parent}: {reason}; let TOLLAD_DATA name another folder"
        ) from error
    with hidden as path:
        yield Path(path)


def _fetch_first(name: str, addresses: tuple[str, ...], hidden: Path, new: Path) -> None:
    """Download from the first address that has the files, and put them into `new`."""
    files = data_set(name).files
    limit = sum(content.size for content in files.values()) + _ROOM
    reasons = []
    for address in addresses:
        archive = hidden / address.rpartition("/")[2]
        try:
            _download(address, archive, limit)
            _unpack(archive, files, new, limit)
        except (OSError, ValueError) as error:
            # Errors of the network have no errno. An error with one is about the disk, so no other address helps.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reasons.append(f"{address}: {error}".replace(f"{hidden}{os.sep}", ""))
        else:
            return
    raise OSError(
        f"cannot fetch {name}: {'; '.join(reasons)}; try again later, or put the authors' files into "
        f"{data_dir() / name}"
    )


def _import_downloader() -> tuple[type, type]:
    try:
        from pooch import HTTPDownloader
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("downloads need pooch and tqdm; install them with: pip install 'tollad[data]'") from error
    return HTTPDownloader, tqdm


def _download(address: str, path: Path, limit: int) -> None:
    downloader, bar = _import_downloader()
    with contextlib.ExitStack() as stack:

        def close_in_the_end(answer: Any, **_: Any) -> None:
            """Close the file, which pooch leaves open when writing fails."""
            stack.callback(answer.close)

        sink = _Bounded(stack.enter_context(atomic_write(path)), limit, "the answer")
        # pooch evaluates `if bar`, which raises an error for a bar without a total.
        progress = stack.enter_context(bar(desc=path.name, total=1, **_BAR))
        hooks = {"response": close_in_the_end}
        downloader(progressbar=progress, chunk_size=1 << 16, timeout=_TIMEOUT, hooks=hooks)(address, sink, None)


class _Bounded:
    """A file that can be read or written up to `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int, name: str) -> None:
        self._file, self._left, self._name = file, limit, name

    def read(self, size: int) -> bytes:
        return self._counted(self._file.read(size))

    def write(self, data: bytes) -> int:
        return self._file.write(self._counted(data))

    def flush(self) -> None:
        self._file.flush()

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"{self._name} is much longer than the authors' files")
        return data


def _unpack(archive: Path, files: Mapping[str, Content], new: Path, limit: int) -> None:
    """Check the wanted files of an archive, or a download that is itself the file, and put them into `new`.

    Paths within an archive are never used: a member is taken only if its bare name is that of a wanted file.
    """
    if not archive.name.endswith((".tar.gz", ".zip")):
        name = archive.name.removesuffix(".gz")
        check(archive, name, files[name])
        # Some servers decompress a file while sending it.
        os.replace(archive, new / (f"{name}.gz" if is_gzip(archive) else name))
        return
    members = _zip_members(archive) if archive.name.endswith(".zip") else _tar_members(archive, limit)
    try:
        for path, file in members:
            name = path.rpartition("/")[2]
            if name in files:
                with atomic_write(new / name) as target:
                    for chunk in checked(file, name, files[name]):
                        target.write(chunk)
    # An encrypted member of a zip raises RuntimeError, an unknown compression its child NotImplementedError.
    except (tarfile.TarError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ValueError(f"{archive.name} is no archive that can be read, or is cut short") from error
    archive.unlink()


def _tar_members(archive: Path, limit: int) -> Iterator[tuple[str, BinaryIO]]:
    """Yield name and content of regular files only: no links, no devices."""
    with gzip.open(archive) as content:
        # Read as a stream, so that a gzip bomb cannot inflate beyond the limit.
        bounded = cast(BinaryIO, _Bounded(cast(BinaryIO, content), limit, archive.name))
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            for member in tar:
                if member.isreg() and (file := tar.extractfile(member)) is not None:
                    yield member.name, cast(BinaryIO, file)


def _zip_members(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(archive) as folder:
        for member in folder.infolist():
            with folder.open(member) as file:
                yield member.filename, cast(BinaryIO, file)


def _install(new: Path, folder: Path) -> None:
    try:
        new.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        for path in new.iterdir():
            os.replace(path, folder / path.name)
            for other in variants(folder, path.name.removesuffix(".gz")):
                if other.name != path.name:
                    other.unlink()  # remove an older copy, which would be read instead
