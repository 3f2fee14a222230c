"""A list of the rows that could not be read, in a file of its own."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from pathlib import PurePath
from types import TracebackType
from typing import Self, TypeAlias

from tollad.io import files

Reject: TypeAlias = Callable[[int, int | None, str, str], None]
"""Called for a row that cannot be read: with its number in the file, from 0; its line, None in a file without lines;
the reason; and its text. An image has its number, no line, the reason and its file."""


class SkippedRows:
    """A CSV file of rows that were left out: number, line, reason and text of each.

    The text of a row with too few or too many values is copied from the file. The text of a row with a value of the
    wrong kind is written from its values in the used columns, as CSV.

    Rows are written as they are found, while the file is read. The list appears when the block ends without an
    exception. It has a line of names even if no row was skipped, so that an older list is always replaced. Memory holds
    a small buffer only.

    Parameters
    ----------
    path : str
    overwrite : bool
        Whether an existing file may be replaced.

    Attributes
    ----------
    n : int
        Number of rows skipped so far.

    Raises
    ------
    OSError
        If the file cannot be written, see `tollad.io.files.atomic_write`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "skipped.csv")
    >>> with SkippedRows(str(path), overwrite=False) as skipped:
    ...     skipped(6, 8, "expected 2 values, found 3", "1,2,3")
    >>> print(path.read_text(), end="")
    row,line,reason,text
    7,8,"expected 2 values, found 3","1,2,3"
    """

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self.path = path
        self.n = 0
        self._overwrite = overwrite

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(files.atomic_write(self.path, overwrite=self._overwrite))
            text = stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline=""))
            self._writer = csv.writer(text, lineterminator="\n")
            self._writer.writerow(("row", "line", "reason", "text"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, number: int, line: int | None, reason: str, text: str) -> None:
        """Add a row to the list. `number` counts from 0 in the file; `line`, on which the row begins, from 1."""
        self._writer.writerow((number + 1, line, reason, text))
        self.n += 1


def beside(output: str) -> str:
    """Return the name of the list of skipped rows for an output.

    Examples
    --------
    >>> beside("scores.csv")
    'scores.skipped.csv'
    """
    return str(PurePath(output).with_suffix(".skipped.csv"))
