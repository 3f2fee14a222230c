"""Results: a JSON line for each, which is appended and never changed; safe with several writers and after a crash."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tollad.bench.spec import work_of

FORMAT = 1
"""Version of the lines that this tollad writes, and the newest version that it reads."""

Row: TypeAlias = dict[str, Any]

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> None:
        os.lseek(descriptor, 2**31 - 2, os.SEEK_SET)  # a byte that nobody reads: on Windows locks bind readers, too
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


class Results:
    """The results in a folder, ``folder/*.jsonl``.

    Parameters
    ----------
    folder : str or os.PathLike
        It is made when the first result is appended.

    Examples
    --------
    >>> import tempfile
    >>> results = Results(tempfile.mkdtemp())
    >>> failed = {"kind": "run", "identity": "0123456789abcdef", "run": {"seed": 0}, "error": "out of memory"}
    >>> results.append("mnist", [failed])
    >>> [row["identity"] for row in results], results.finished()
    (['0123456789abcdef'], set())
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def append(self, name: str, rows: Sequence[Row]) -> None:
        """Append rows to ``folder/name.jsonl``. A reader never sees a part of a row.

        If the write fails, as on a full disk, no row is added. If the process is killed or the power fails, only the
        first rows may have been added.

        Raises
        ------
        ValueError
            If a number is NaN or infinite.
        OSError
            If the file cannot be written.
        """
        lines = [json.dumps({"format": FORMAT, **row}, allow_nan=False, ensure_ascii=False) for row in rows]
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._opened(name) as (path, descriptor):
            _lock(descriptor, wait=True)
            end = path.read_bytes().rfind(b"\n") + 1  # the rest is an incomplete line, left by a crash
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            try:
                _write(descriptor, data)
            except OSError as error:
                os.ftruncate(descriptor, end)
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                full = OSError(f"cannot write {path}: the disk is full; free some space and run the same command again")
                full.errno = error.errno
                raise full from error

    def check(self, name: str) -> None:
        """Make ``folder/name.jsonl`` if it is missing, so that an OSError comes now and not with the results."""
        with self._opened(name):
            pass

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Path, int]]:
        """Yield path and descriptor of a file of results, locked."""
        path = self.folder / f"{name}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OSError(f"cannot write results to {path}: {error.strerror}; choose another folder") from error
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, file by file in the order of their names.

        An incomplete last line, left by a crash, is left out.

        If several rows have one identity, as after a table was run again, the one that counts is yielded, see `counts`.

        Raises
        ------
        ValueError
            If a line is no result, or has a newer format.
        """
        kept: dict[str, Row] = {}
        for row in self._lines():
            identity = row["identity"]
            if identity not in kept or counts(row, kept[identity]):
                kept[identity] = row
        yield from kept.values()

    def _lines(self) -> Iterator[Row]:
        for path in sorted(self.folder.glob("*.jsonl")):
            # Read at once: a second read could see only the end of a line that another process is writing.
            *lines, _ = path.read_bytes().split(b"\n")
            for number, line in enumerate(lines, 1):
                yield _parse(line, f"{path}, line {number}")

    def finished(self) -> set[str]:
        """Return the identities with a result without an error. They are computed anew from its values."""
        return {work_of(row).identity for row in self if row["error"] is None}


def counts(later: Row, earlier: Row) -> bool:
    """Return whether the later of two results of one work counts: not if it failed and the earlier did not."""
    return later["error"] is None or earlier["error"] is not None


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Lock a file while the block runs, and yield whether it was free. The lock of a process ends with the process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OSError(f"cannot write into {path.parent}: {error.strerror}; choose another folder") from error
    try:
        try:
            _lock(descriptor, wait=False)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _parse(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON; remove the line, and run again what it held") from error
    match row:
        case {"format": int(version)} if version > FORMAT:
            raise ValueError(
                f"{where} has format {version}, and this tollad reads formats up to {FORMAT}; upgrade tollad"
            )
        case {"format": int(), "identity": str(), "kind": "run" | "baseline" | "trial", "run": dict(), "error": str()}:
            return row
        case {
            "format": int(),
            "identity": str(),
            "kind": "run" | "baseline" | "trial",
            "run": dict(),
            "error": None,
            "last": {"test": float() | int()},
            "best_validation": None | {"step": _, "validation": float() | int(), "test": float() | int()},
        }:
            return row
    raise ValueError(f"{where} is not a result of tollad; remove the line")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)
