"""Writing a file as a whole or not at all, and opening regular files only."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

if sys.platform != "win32":
    import fcntl

# Names of the hidden files of `atomic_write`. If such a file is at least this old, in seconds, and not locked, a killed
# process left it behind.
_HIDDEN = re.compile(r"\..{1,40}\.[0-9a-f]{16}\.tmp", re.DOTALL)
_ABANDONED_AFTER = 60


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that appears under its name only when it is whole.

    The bytes go to a hidden file in the same folder, which is renamed over `path` when the block ends without an
    exception. After any exception, ``KeyboardInterrupt`` included, the hidden file is gone and an older file is as it
    was. A killed process can leave the hidden file behind, but never a part of `path`. The next write to that folder, a
    minute later or more, removes it.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write. A link is followed. The file gets the permissions that ``open(path, "wb")`` would give it.
    overwrite : bool, default=True
        Whether an existing file may be replaced. If False, this is checked at the start and again before the renaming.

    Yields
    ------
    file : BinaryIO
        The open file. The block may close it, as an ``io.TextIOWrapper`` around it does.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    IsADirectoryError
        If `path` is a folder.
    FileExistsError
        If `path` exists and `overwrite` is False.
    PermissionError
        If the folder or the existing file may not be written.
    OSError
        If `path` is empty, "-", a device or a pipe, or if the disk is full or the folder takes no new file (the
        ``errno`` is kept).

    Examples
    --------
    >>> import io, tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> with atomic_write(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
    ...     _ = text.write("score\\n0.5\\n")
    >>> path.read_bytes()
    b'score\\n0.5\\n'
    """
    if os.fspath(path) in ("", "-"):
        raise OSError(f"cannot write {os.fspath(path)!r}: give the name of a file")
    shown = Path(path)
    target = Path(os.path.realpath(path))  # renaming would replace a link itself, not the file that it points to
    _check_writable(shown, target.parent)
    if not overwrite:
        _check_absent(shown)
    # The name is cut, since the file system may allow no longer one.
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    _sweep(target.parent)
    try:
        with open(temporary, "xb", buffering=0) as raw:
            with contextlib.suppress(OSError):
                _lock(raw)
            # Closing the yielded file flushes it but leaves the descriptor open, so it can still be synced.
            with open(raw.fileno(), "wb", closefd=False) as file:
                yield file
            os.fsync(raw.fileno())
        if not overwrite:
            _check_absent(shown)
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem = "the disk is full; free some space or choose another folder"
        elif error.errno == errno.EFBIG:
            problem = "it is larger than the disk, or a limit of the shell (ulimit -f), takes; choose another folder"
        elif error.filename == os.fspath(temporary):  # some folders, such as /proc, take no files
            problem = f"its folder takes no new file ({error.strerror}); choose another folder"
        else:
            raise
        refusal = OSError(f"cannot write {shown}: {problem}")
        refusal.errno = error.errno
        raise refusal from error
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the hidden files of writers that were killed: those that nobody holds a lock on, and that are not new."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _HIDDEN.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > _ABANDONED_AFTER:
                    with open(entry.path, "rb") as file:
                        _lock(file)
                        os.unlink(entry.path)


def _lock(file: IO[bytes]) -> None:
    """Lock a file until it is closed; BlockingIOError if another process holds the lock."""
    if sys.platform != "win32":
        # Some network disks have no locks. There, old hidden files stay, and files are written as elsewhere.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _check_writable(path: Path, folder: Path) -> None:
    """Raise an OSError for a target that cannot be written, before any work is done."""
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; give the name of a file")
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}; create it first")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is a device or a pipe; give the name of a file")
    if path.exists() and not os.access(path, os.W_OK):  # renaming would overwrite a file that is marked read-only
        raise PermissionError(f"cannot write {path}: the file is read-only; choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write {path}: no permission to create files in the folder {folder}")


def _check_absent(path: Path) -> None:
    if path.exists():
        remedy = "replace it with overwrite=True, or choose another name"
        raise FileExistsError(f"{path} already exists; {remedy}")


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading. A device or a pipe, which may never end, is refused without being opened.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IsADirectoryError
        If `path` is a folder.
    PermissionError
        If the file may not be read.
    OSError
        If `path` is a device or a pipe, or a link that leads back to itself.
    """
    path = Path(path)
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise OSError(f"cannot read {path}: {error.strerror}; give the name of a file") from None
    if path.is_dir():
        raise IsADirectoryError(f"cannot read {path}: it is a folder; give the name of a file in it")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot read {path}: it is a device or a pipe; give the name of a file")
    try:
        file = open(path, "rb")  # noqa: SIM115 - errors of the block are not those of opening
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"cannot read {path}: there is no such file; check the name and the folder") from error
    except PermissionError as error:
        raise PermissionError(f"cannot read {path}: no permission to read this file") from error
    with file:
        yield file
