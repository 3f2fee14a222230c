"""Sheets of Excel workbooks (.xlsx) as pieces of tables with the numbers of their rows."""

from __future__ import annotations

import datetime
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from tollad.io.arrays import MAX_GIB, check_archive, damaged, unchosen
from tollad.io.damage import DAMAGED
from tollad.io.skipped import Reject
from tollad.io.text import Piece, distinct_names, numbered, wrong_number
from tollad.warn import warn

EXCEL = (".xlsx", ".xlsm")
"""Endings of the files that are read here."""

# Excel allows no more rows in a sheet. A file with more is damaged.
_MOST_ROWS = 1 << 20
_OLD = b"\xd0\xcf\x11\xe0"  # of the container of .xls, and of encrypted .xlsx
_READ_AT_ONCE, _LONGEST_CELL = 1 << 20, 1 << 14
# Patterns in the XML of a sheet: merged cells, hidden rows or columns, and
# a formula without a saved value. A formula whose value is an empty
# text has the type "str".
_MERGED = re.compile(rb'<mergeCell ref="([A-Z0-9:]+)"')
_HIDDEN = re.compile(rb'<(row|col) (?:[^>]* )?hidden="(?:1|true)"')
_UNSAVED = re.compile(rb'<c r="([A-Z]+[0-9]+)"(?:(?! t="str")[^>])*><f(?:/>|[^>]*>[^<]*</f>)(?:<v ?/>|<v></v>|</c>)')


def excel_parts(
    path: str,
    header: bool,
    block_rows: int,
    sheet: str | None = None,
    reject: Reject | None = None,
    max_gib: float = MAX_GIB,
    decimal: str | None = None,
) -> Iterator[Piece]:
    """Yield successive pieces of a sheet as columns of text. Their line numbers are the row numbers that Excel shows.

    Cells hold values, which become text: a number with all its digits, a date like 2024-12-31 17:30:00, a time of day
    or a duration in seconds, a formula as its saved value. Rows without a value are skipped.

    Parameters
    ----------
    path : str
    header : bool
        Whether the first row holds the names. If not, they are x1, x2, ...
    block_rows : int
        The most rows of a piece.
    sheet : str, optional
        Name of the sheet; needed if there are several.
    reject : callable, optional
        Called for each row with too many values, which is then left out. By default such a row is an error.
    max_gib : float
        Limit of the unpacked size of the workbook, in GiB.
    decimal : str, optional
        The sign before decimals in cells of text, which numbers then get, too. By default it is a point.

    Raises
    ------
    ValueError
        For a file that is no workbook, an unknown sheet, rows with too many values, duplicated names, and formulas
        without a saved value.
    ImportError
        If openpyxl is not installed.

    Warns
    -----
    UserWarning
        For merged cells, of which only the first has the value, and for hidden rows or columns, which are read.
    """
    names: list[str] = []
    rows: list[list[str | None]] = []
    lines: list[int] = []
    numbers: list[int] = []
    n_before = 0
    for line, row in _rows(path, sheet, max_gib, decimal or "."):
        if not names:
            names = distinct_names(path, [value or "" for value in row]) if header else numbered(len(row))
            if header:
                continue
        if len(row) > len(names):
            problem = wrong_number(len(names), len(row))
            if reject is None:
                remedy = f"no column has a name above {row[-1]!r:.60}, so name it, or remove this value"
                if len(names) == 1:
                    remedy = (
                        f"correct the row, or remove what stands above the names of the columns, such as {names[0]!r}"
                    )
                raise ValueError(f"{path}, row {line}: {problem}; {remedy}")
            reject(n_before, line, problem, ",".join(value or "" for value in row))
        else:
            rows.append(row + [None] * (len(names) - len(row)))
            lines.append(line)
            numbers.append(n_before)
        n_before += 1
        if len(rows) == block_rows:
            yield _part(names, rows, lines, numbers)
            rows, lines, numbers = [], [], []
    if not names:
        raise ValueError(f"{path}: is empty")
    if rows:
        yield _part(names, rows, lines, numbers)


def _part(names: Sequence[str], rows: list[list[str | None]], lines: list[int], numbers: list[int]) -> Piece:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return Piece(pa.table(columns, names=list(names)), np.array(lines), np.array(numbers))


def _rows(path: str, sheet: str | None, max_gib: float, decimal: str) -> Iterator[tuple[int, list[str | None]]]:
    """Yield number and values of the rows that hold a value, without the empty cells at their ends."""
    try:
        import openpyxl
    except ImportError as error:
        raise ImportError("Excel sheets need openpyxl; install it with: pip install 'tollad[excel]'") from error
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (*DAMAGED, OSError) as error:
        if _begins_like_old_excel(path):
            raise ValueError(
                f"{path}: is a workbook of an old Excel or one with a password; save it as .xlsx without a password"
            ) from error
        raise damaged(path, "Excel", error) from error
    check_archive(path, members, max_gib, "Excel")
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about styles and forms, which hold no values
                workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            titles = [worksheet.title for worksheet in workbook.worksheets]
        except (*DAMAGED, OSError) as error:
            raise damaged(path, "Excel", error) from error
        shown = [worksheet for worksheet in workbook.worksheets if worksheet.sheet_state == "visible"]
        if sheet is None and len(shown) > 1:
            shown = [worksheet for worksheet in shown if _holds_value(path, worksheet)] or shown[:1]
        if sheet not in titles if sheet is not None else len(shown) != 1:
            raise unchosen(path, "sheet", sheet, titles)
        worksheet = shown[0] if sheet is None else workbook.worksheets[titles.index(sheet)]
        _look_at_cells(path, file, worksheet._worksheet_path)
        try:
            worksheet.reset_dimensions()  # the size that a sheet states is often wrong
            for line, cells in enumerate(itertools.islice(worksheet.iter_rows(values_only=True), _MOST_ROWS), 1):
                row = [_as_text(value, decimal) for value in cells]
                while row and row[-1] is None:
                    row.pop()
                if row:
                    yield line, row
        except (*DAMAGED, OSError) as error:
            raise damaged(path, "Excel", error) from error


def _holds_value(path: str, worksheet: Any) -> bool:
    """Return whether a sheet has a cell with a value."""
    try:
        worksheet.reset_dimensions()
        rows = itertools.islice(worksheet.iter_rows(values_only=True), _MOST_ROWS)
        return any(_as_text(value, ".") is not None for row in rows for value in row)
    except (*DAMAGED, OSError) as error:
        raise damaged(path, "Excel", error) from error


def _begins_like_old_excel(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_OLD)) == _OLD


def _look_at_cells(path: str, file: BinaryIO, member: str) -> None:
    """Warn of merged cells and hidden rows of a sheet, and raise ValueError for a formula without a value.

    openpyxl reports none of them.
    """
    merged = unsaved = hidden = None
    rest = b""
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member.removeprefix("/")) as stream:
            while unsaved is None and (chunk := stream.read(_READ_AT_ONCE)):
                rest += chunk
                unsaved, merged = _UNSAVED.search(rest), merged or _MERGED.search(rest)
                hidden = hidden or _HIDDEN.search(rest)
                rest = rest[-_LONGEST_CELL:]
    except (*DAMAGED, OSError) as error:
        raise damaged(path, "Excel", error) from error
    if unsaved:
        raise ValueError(
            f"{path}: cell {unsaved[1].decode()} holds a formula whose value was not saved; open the workbook in Excel "
            "or LibreOffice, save it, and read it again"
        )
    if merged:
        warn(
            f"{path}: cells {merged[1].decode()} are merged, so that only the first of them has a value and the others "
            "are missing; unmerge the cells of the table, and give each its value"
        )
    if hidden:
        what = "columns" if hidden[1] == b"col" else "rows"
        warn(f"{path}: some {what} are hidden in Excel, as by a filter, and are read like all others")


def _as_text(value: Any, decimal: str) -> str | None:
    if value is None or isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, datetime.time):
        value = datetime.datetime.combine(datetime.date.min, value) - datetime.datetime.min
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    return str(value).replace(".", decimal)
