"""Rows beyond memory: only the requested rows are read from a file."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Chosen: TypeAlias = "slice | NDArray[np.int64]"
RowChange: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

# Arrays up to this many bytes are held in memory, together with their network inputs.
IN_MEMORY_BYTES = 1 << 28
# Values in a block of rows: 8 MB as float64.
_BLOCK_VALUES = 1 << 20
# Blocks are a multiple of this. It is a multiple of the rows that are scored together, on which the last bits of a
# score depend.
_MULTIPLE = 1024


class RowFile:
    """Rows of numbers in an unnamed temporary file, written once and read in any order.

    The file is deleted with the object, and at the latest when the process ends in any way. It is not memory-mapped:
    pages that were read would count as memory of the process.

    Parameters
    ----------
    n_columns : int
    n_rows : int, optional
        Number of rows that will be appended. If the temporary folder is too small for them, an error is raised at once.

    Raises
    ------
    OSError
        If the folder for temporary files is full or too small.

    Examples
    --------
    >>> import numpy as np
    >>> rows = RowFile(2)
    >>> rows.append(np.arange(6.0).reshape(3, 2))
    >>> rows[np.array([2, 0])].tolist(), rows[1:].shape
    ([[4.0, 5.0], [0.0, 1.0]], (2, 2))
    """

    dtype = np.dtype(np.float64)

    def __init__(self, n_columns: int, n_rows: int = 0) -> None:
        self.shape: tuple[int, ...] = (0, n_columns)
        self._row_bytes = n_columns * self.dtype.itemsize
        free, needed = shutil.disk_usage(tempfile.gettempdir()).free, n_rows * self._row_bytes
        if needed > free:
            raise _full(f"has {free / 2**30:.1f} GiB free, and the rows take {needed / 2**30:.1f} GiB", errno.ENOSPC)
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(tempfile.TemporaryFile(buffering=0, prefix="tollad-"))
            weakref.finalize(self, stack.pop_all().close)

    def append(self, rows: NDArray[np.float64]) -> None:
        """Append rows, (n, n_columns)."""
        data = np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data
        with temporary_space():
            self._file.seek(0, os.SEEK_END)
            while data:
                data = data[self._file.write(data) :]
        self.shape = (self.shape[0] + len(rows), self.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Chosen) -> NDArray[np.float64]:
        if isinstance(chosen, slice):
            start, stop, _ = chosen.indices(len(self))
            rows = np.empty((max(0, stop - start), self.shape[1]))
            self._read(start, rows)
            return rows
        rows = np.empty((len(chosen), self.shape[1]))
        for place, row in enumerate(chosen.tolist()):
            self._read(row, rows[place])
        return rows

    def _read(self, first: int, rows: NDArray[np.float64]) -> None:
        self._file.seek(first * self._row_bytes)
        into = rows.reshape(-1).view(np.uint8).data
        while into:
            n_read = self._file.readinto(into)
            if not n_read:
                raise OSError(
                    f"a temporary file in {tempfile.gettempdir()} ends too early; look for errors of the disk"
                )
            into = into[n_read:]


@contextlib.contextmanager
def temporary_space() -> Iterator[None]:
    """Turn the error of a full disk, or of too large a file, into one that names the temporary folder and what to do.

    The system's own error names no file, since the temporary file has no name.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _full(
                "or a limit of the shell (ulimit -f), takes no file as large as is needed", errno.EFBIG
            ) from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full("is full", error.errno) from error


def _full(problem: str, number: int) -> OSError:
    full = OSError(
        f"the folder for temporary files, {tempfile.gettempdir()}, {problem}; free some space, or name another folder "
        "in the environment variable TMPDIR"
    )
    full.errno = number
    return full


class MappedRows:
    """Rows of a memory-mapped file. Each read ends with a ValueError if the file has changed since the first.

    Parameters
    ----------
    rows : ndarray, (n, ...)
    path : path or None
        Of the file; None if it has none, and is not watched.
    """

    def __init__(self, rows: NDArray[Any], path: Any) -> None:
        self._rows, self._path = rows, path
        self._before = self._look()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Chosen) -> NDArray[Any]:
        # Looked at before, too: to read beyond the end of a file that became shorter ends the process.
        self._check()
        rows = np.array(self._rows[chosen])
        self._check()
        return rows

    def _look(self) -> tuple[int, int] | None:
        if self._path is None or not os.path.exists(self._path):
            return None
        status = os.stat(self._path)
        return status.st_size, status.st_mtime_ns

    def _check(self) -> None:
        if (now := self._look()) is not None and now != self._before:
            raise ValueError(f"{self._path}: changed while it was read; read it when nothing writes to it")


class LargeRows:
    """Training rows beyond memory. Only the rows of a slice, or of an array of row numbers, are read into memory.

    Parameters
    ----------
    source : RowFile, MappedRows or ndarray
    names : sequence of str, optional
        Names of the columns of a table.
    columns : sequence of tollad.tables.schema.Column, optional
        The columns, if they are not all numbers. The rows are then codes, see `tollad.tables.encode.to_codes`.
    changes : sequence of callable
        Applied to rows of the source, one after the other, before they are returned.
    index : ndarray of int64, optional
        Row numbers of the source to take; by default all.

    Attributes
    ----------
    shape : tuple of int
        (n, ...), after the changes.
    ndim : int
    dtype : numpy.dtype
    """

    def __init__(
        self,
        source: RowFile | MappedRows | NDArray[Any],
        *,
        names: Sequence[str] | None = None,
        columns: Sequence[Any] | None = None,
        changes: Sequence[RowChange] = (),
        index: NDArray[np.int64] | None = None,
    ) -> None:
        self.names, self.columns = names, columns
        self._source, self._changes, self._index = source, tuple(changes), index
        first = self[:1]
        self.shape = (len(source) if index is None else len(index), *first.shape[1:])
        self.ndim, self.dtype = first.ndim, first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Chosen) -> NDArray[Any]:
        rows: NDArray[Any] = np.asarray(self._source[chosen if self._index is None else self._index[chosen]])
        for change in self._changes:
            rows = change(rows)
        return rows

    def take(self, index: NDArray[np.int64]) -> Self:
        """Return the rows of these numbers, still beyond memory."""
        within = index if self._index is None else self._index[index]
        return type(self)(self._source, names=self.names, columns=self.columns, changes=self._changes, index=within)

    def changed(self, change: RowChange) -> Self:
        """Return these rows with a further change, from (b, ...) to (b, ...) for any b."""
        return type(self)(self._source, changes=(*self._changes, change), index=self._index)


Rows: TypeAlias = NDArray[Any] | LargeRows


def in_blocks(rows: Rows) -> Iterator[NDArray[Any]]:
    """Yield rows block by block, so that a copy takes little memory, even of rows in memory."""
    size = max(1, _BLOCK_VALUES // math.prod(rows.shape[1:]))
    size -= size % _MULTIPLE if size > _MULTIPLE else 0
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def take(rows: Rows, index: NDArray[np.int64]) -> Rows:
    """Return the rows of these numbers, in memory or beyond it like the given ones."""
    return rows.take(index) if isinstance(rows, LargeRows) else rows[index]


def as_large(rows: NDArray[Any], given: object) -> Rows:
    """Return rows as `LargeRows` if the user gave a large memory-mapped array."""
    if not isinstance(given, np.memmap) or rows.nbytes <= IN_MEMORY_BYTES:
        return rows
    return LargeRows(MappedRows(rows, given.filename))


def settled(rows: Any) -> Any:
    """Return a small memory-mapped array as a copy in memory, and all else unchanged.

    Its file could change between two reads, or become shorter, at which the system ends the process.
    """
    if not isinstance(rows, np.memmap) or rows.nbytes > IN_MEMORY_BYTES:
        return rows
    return MappedRows(rows, rows.filename)[:]


# A float64 is searched digit by digit, in digits of up to 11 bits. Each digit takes a pass over the rows and 16 KB of
# counts for each column.
_DIGITS = ((53, 11), (42, 11), (31, 11), (20, 11), (9, 11), (0, 9))


def order_statistics(rows: Rows, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of given ranks in each column, exactly and in constant memory.

    Parameters
    ----------
    rows : (n, d)
        NaN is above all other values.
    ranks : ndarray of int64, (r, d)
        From 0, below n.

    Returns
    -------
    ndarray of float64, (r, d)

    Examples
    --------
    >>> import numpy as np
    >>> order_statistics(np.array([[3.0, np.nan], [-1.0, 5.0], [2.0, 4.0]]), np.array([[1, 0]])).tolist()
    [[2.0, 4.0]]
    """
    found, left = np.zeros(ranks.shape, np.uint64), ranks.copy()
    n_columns = ranks.shape[1]
    for shift, bits in _DIGITS:
        counts = np.zeros((len(ranks), n_columns << bits), np.int64)
        first = np.arange(n_columns) << bits
        for block in in_blocks(rows):
            high = _ordered(block) >> np.uint64(shift)
            digits = (high & np.uint64((1 << bits) - 1)).astype(np.int64) + first
            high >>= np.uint64(bits)
            for r in range(len(ranks)):
                same = high == found[r]
                counts[r] += np.bincount(digits[same], minlength=counts.shape[1])
        below = counts.reshape(*ranks.shape, -1).cumsum(2)
        digit = (below <= left[:, :, None]).sum(2)
        before = np.take_along_axis(below, np.maximum(digit - 1, 0)[:, :, None], 2)[:, :, 0]
        left -= np.where(digit > 0, before, 0)
        found = (found << np.uint64(bits)) | digit.astype(np.uint64)
    negative = found < _SIGN
    return np.where(negative, ~found, found ^ _SIGN).view(np.float64)


_SIGN = np.uint64(1 << 63)


def _ordered(block: NDArray[Any]) -> NDArray[np.uint64]:
    """Map float64 to integers of the same order, by their bits; those of negative numbers are inverted."""
    values = np.asarray(block, dtype=np.float64)
    # All NaN become one, above infinity, and both zeros become one.
    bits = np.ascontiguousarray(np.where(np.isnan(values), np.nan, values) + 0.0).view(np.uint64)
    return np.where(bits < _SIGN, bits | _SIGN, ~bits)


def mean_of_rows(X: Rows) -> NDArray[np.float64]:
    """Return the mean of the rows of a table: (n, d) -> (d,)."""
    return total_of_rows(X, np.asarray, (0,))[0] / len(X)


def total_of_rows(
    X: Rows, change: Callable[[NDArray[Any]], NDArray[np.float64]], axes: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return the sum over `axes`, which are kept. For tables, its bits do not depend on the blocks."""
    total: NDArray[np.float64] | None = None
    for block in in_blocks(X):
        values = change(block)
        if total is None or X.ndim > 2:
            total = (0.0 if total is None else total) + values.sum(axes, keepdims=True)
        else:
            # NumPy adds the rows of a table one after the other, so the sum so far is put before them.
            total = np.concatenate([total, values]).sum(0, keepdims=True)
    assert total is not None
    return total
