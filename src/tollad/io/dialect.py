"""How tables are written as text: separators, decimal commas, encodings, words for missing values, formats of dates."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from tollad.tables.numerals import grouped, grouping_signs

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
"""Signs that separate values, with their plurals for messages. A space stands for any run of spaces and tabs."""

# Signs that may separate values, too, but only if this is said: they mostly are a part of a value.
_OTHER_SEPARATORS = r"[\x01-\x08\x0e-\x1f!$&*/:@^`~{}]"
# Those of them that are looked for, besides signs such as a wide comma.
_SUSPECTED = r"[\x01-\x08\x0e-\x1f&:^~\u00a6]"

NUMBER_IN_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)

# The separator is guessed from this many records.
_GUESSED_BY = 50
_DAY_FIRST, _MONTH_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y"), ("%m/%d/%Y", "%m-%d-%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DATE = datetime(2024, 12, 31, 17, 30, tzinfo=UTC)
_WRITTEN_DATE = r"^[0-9]{1,2}([-/.])[0-9]{1,2}[-/.][0-9]{4}( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?( (?i:[ap]m))?)?$"


@dataclass(frozen=True)
class Dialect:
    r"""How a table is written as text. Later files are read as was given or learnt at fit.

    Attributes
    ----------
    separator : str or None, default None
        A key of `SEPARATORS`, or another single sign, such as ``"^"`` or ``"\\x01"``. With None, it is guessed from the
        first lines of each file, and is one of `SEPARATORS`.
    decimal : {".", ","} or None, default None
        Sign before the decimals. If it is given, the other sign, spaces and apostrophes may group digits by threes.
        With None, the sign is a point, and nothing groups digits.
    encoding : str or None, default None
        Python's name of the encoding. None means UTF-8, or UTF-16 if there is a byte order mark.
    missing : sequence of str, default ()
        Words for a missing value besides those of `tollad.tables.schema.MISSING`.
    date_format : str or None, default None
        A format for `datetime.datetime.strptime`, such as ``"%d.%m.%Y"``.
    dates : dict of str to str
        Formats of single columns, learnt from their values by `learn_dates`.

    Raises
    ------
    ValueError
        For an unknown separator, decimal sign or encoding, and a format of no dates.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: Sequence[str] = ()
    date_format: str | None = None
    dates: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        separator = self.separator
        if separator is not None and separator not in SEPARATORS and not re.fullmatch(_OTHER_SEPARATORS, separator):
            raise ValueError(f"{separator!r} is no separator; the usual ones are {', '.join(map(repr, SEPARATORS))}")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"{self.decimal!r} is no decimal sign; it is '.' or ','")
        if self.decimal == "," == self.separator:
            raise ValueError("a comma cannot both separate values and stand before decimals; name another separator")
        for form in (*([] if self.date_format is None else [self.date_format]), *self.dates.values()):
            _check_format(form)
        if self.encoding is not None:
            try:
                b"text".decode(self.encoding)
            except UnicodeDecodeError:
                return  # an encoding with several bytes per character
            except (LookupError, UnicodeError, ValueError):
                raise ValueError(
                    f"{self.encoding!r} is no known encoding; give one such as 'cp1252' or 'utf-16'"
                ) from None

    def to_json(self) -> dict[str, Any]:
        """Return the attributes that differ from the default, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the dialect from a record of `to_json`."""
        return cls(**{**record, "dates": dict(record.get("dates", {}))})

    def changed(self, **given: Any) -> Self:
        """Return the dialect with the given attributes, except those that are None and no words for missing values.

        A format of dates holds for all columns, those whose format was learnt among them.
        """
        changed = {**vars(self), **{name: value for name, value in given.items() if value not in (None, ())}}
        return type(self)(**changed | ({"dates": {}} if given.get("date_format") is not None else {}))


def _check_format(form: str) -> None:
    """Raise ValueError for a format that no date can have, or that lacks the year."""
    try:
        read = datetime.strptime(_DATE.strftime(form), form)
    except (ValueError, re.error):  # a directive that is unknown, or that is there twice
        read = None
    if read is None or read.year != _DATE.year:
        raise ValueError(f"{form!r} is no format of dates with a year; give one such as '%d.%m.%Y' or '%Y-%m-%d %H:%M'")


def guess_separator(text: str, default: str) -> str:
    r"""Return the separator of lines of text: the one that occurs equally often in each line.

    Parameters
    ----------
    text : str
        The first lines, beginning with the names of the columns if there are any. All lines are whole.
    default : str
        Separator by the ending of the file, which is returned if the lines do not tell.

    Examples
    --------
    >>> guess_separator("a;b\n1,5;2\n3;4,5\n", default=",")
    ';'
    >>> guess_separator("a,b\n1;5,2\n", default=",")
    ','
    >>> guess_separator("a;b\n1;2;\n3;4;\n", default=",")  # read as separated in this way, its ends can be refused
    ';'
    """
    records = [line for line in re.sub('"[^"]*"', '""', text).splitlines() if line.strip()][:_GUESSED_BY] or [""]
    steady = []
    for separator in dict.fromkeys([default, ",", ";", "\t", "|"]):
        first, *others = dict.fromkeys(record.count(separator) for record in records)
        # The rows may end with separators that the names lack.
        ends = separator * (others[0] - first) if len(others) == 1 else ""
        if first and (not others or (ends and all(record.rstrip(" ").endswith(ends) for record in records[1:]))):
            steady.append(separator)
    if steady[:1] == [","] and ";" in steady:
        # If each value has a decimal comma and there are no names, semicolons separate if everything between them is a
        # number.
        values = [value.strip() for record in records for value in record.split(";")]
        if all(re.fullmatch(r"[+-]?\d*,\d+", value) for value in values if "," in value):
            return ";"
    if steady:
        return steady[0]
    rows = [record.split() for record in records]
    if len(rows) > 1 and not any(default in record for record in records) and _is_matrix(rows):
        return " "
    return default


def _is_matrix(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows have one length and, except for the first row, hold numbers only."""
    return (
        len(rows[0]) > 1
        and len({len(row) for row in rows}) == 1
        and all(
            NUMBER_IN_TEXT.fullmatch(value) or value in ("?", "NA", "NaN", "nan") for row in rows[1:] for value in row
        )
    )


def other_separator(text: str) -> str:
    r"""Return the sign that seems to separate the values of each line, though it is never guessed; "" for none.

    It occurs equally often in each of two lines or more, between other characters. Spaces may occur once less in the
    first line, and some value beside them is a number in all other lines.

    Examples
    --------
    >>> other_separator("a^b\n1^2\n"), other_separator("at\n12:30\n13:45\n"), other_separator("a b c\nx 1 y\n")
    ('^', '', ' ')
    """
    lines = [line for line in re.sub('"[^"]*"', '""', text).splitlines() if line.strip()][:_GUESSED_BY]
    for sign in dict.fromkeys(lines[0] if len(lines) > 1 else ""):
        if re.fullmatch(_SUSPECTED, sign) or (not sign.isascii() and unicodedata.category(sign) in ("Po", "Sm")):
            rows = [line.split(sign) for line in lines]
            if len({len(row) for row in rows}) == 1 and all(value.strip() for row in rows for value in row):
                return sign
    first, *rows = [line.split() for line in lines] or [[]]
    n = len(rows[0]) if rows else 0
    if n < 3 or len(first) not in (n, n - 1) or any(len(row) != n for row in rows):
        return ""
    return " " if any(all(map(NUMBER_IN_TEXT.fullmatch, values)) for values in zip(*rows, strict=True)) else ""


def in_plain_form(table: pa.Table, dialect: Dialect, where: Callable[[int], str]) -> pa.Table:
    """Return columns of text with decimal points, without signs that group digits, and with dates like 2024-12-31.

    Values in another form stay as they are. The caller, who knows the kind of the column, refuses them.

    Parameters
    ----------
    table : pyarrow.Table
    dialect : Dialect
    where : callable
        Maps a row number, from 0, to the words for its place.

    Raises
    ------
    ValueError
        For a decimal point where a decimal comma was asked for.
    """
    if dialect.decimal is None and dialect.date_format is None and not dialect.dates:
        return table
    columns = table.columns
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if not pa.types.is_string(column.type):
            continue
        wrong = contradicting(column, dialect)
        if wrong:
            row = wrong[0]
            raise ValueError(f"{where(row)}, column {name!r}: {why_contradicting(column[row].as_py())}; correct it")
        column = _with_points(column, dialect)
        form = dialect.dates.get(name) or dialect.date_format
        columns[place] = column if form is None else _with_iso_dates(column, form, dialect.missing)
    return pa.table(columns, names=table.column_names)


def contradicting(column: pa.ChunkedArray, dialect: Dialect) -> list[int]:
    """Return the rows with a decimal point although the decimal sign is a comma: such values are ambiguous."""
    if dialect.decimal != "," or not pa.types.is_string(column.type):
        return []
    column = pc.ascii_trim_whitespace(column)
    with_point = pc.match_substring_regex(column, rf"^{NUMBER_IN_TEXT.pattern}$")
    with_point = pc.and_(with_point, pc.match_substring(column, "."))
    wrong = pc.and_(with_point, pc.invert(pc.match_substring_regex(column, grouped(",")))).fill_null(False)
    found: list[int] = pc.indices_nonzero(wrong.combine_chunks()).to_pylist()
    return found


def why_contradicting(value: str) -> str:
    """Return the reason why a value that `contradicting` finds is refused."""
    return f"{value.strip()!r} has a decimal point, but the decimal sign of this table is a comma"


def _with_points(column: pa.ChunkedArray, dialect: Dialect) -> pa.ChunkedArray:
    if dialect.decimal is None:
        return column
    trimmed = pc.ascii_trim_whitespace(column)
    plain = pc.replace_substring_regex(trimmed, grouping_signs(dialect.decimal), "")
    plain = pc.replace_substring(plain, dialect.decimal, ".")
    return pc.if_else(pc.match_substring_regex(trimmed, grouped(dialect.decimal)), plain, column)


def _with_iso_dates(column: pa.ChunkedArray, form: str, missing: Sequence[str]) -> pa.ChunkedArray:
    trimmed = pc.ascii_trim_whitespace(column)
    values = trimmed.unique()
    dates = pa.array([_iso(value, form) for value in values.to_pylist()], pa.string())
    read = pc.coalesce(dates.take(pc.index_in(trimmed, value_set=values).combine_chunks()), column)
    # A message shows the date as it is read, and so it may be given as a word for a missing one.
    words = pa.array(missing, pa.string())
    return pc.if_else(pc.is_in(read, words), pa.scalar(None, pa.string()), read) if missing else read


def _iso(value: str | None, form: str) -> str | None:
    """Return a date like 2024-12-31, with the time if the format has one; None if the value has another format."""
    try:
        date = datetime.strptime(value or "", form)
    except ValueError:
        return None
    return date.isoformat(" ") if re.search("%[HIMSpXc]", form) else date.date().isoformat()


def learn_dates(dialect: Dialect, table: pa.Table, path: str) -> None:
    """Note the format of each column of text that holds dates with the day or the month first, if it can be told.

    The day comes first if the dates have points, or if a first number is above 12.

    Parameters
    ----------
    dialect : Dialect
        Its `dates` are filled.
    table : pyarrow.Table
        All rows, or enough to tell. Missing values are null. Values of another form are refused later.
    path : str
        Name of the file in messages.

    Raises
    ------
    ValueError
        For dates such as 03/04/2024 that can be read in two ways.
    """
    if dialect.date_format is not None:
        return
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_string(column.type):
            continue
        values = pc.ascii_trim_whitespace(column).drop_null()
        # For most columns the first values are enough.
        if not len(values) or not _all_match(values[:10]) or not _all_match(values):
            continue
        distinct = values.unique().to_pylist()
        found = [form for form in _forms() if all(_iso(value, form) is not None for value in distinct)]
        if len(found) > 1:
            raise ValueError(
                f"{path}, column {name!r}: {distinct[0]!r} can be read in two ways; say which, with "
                f"date_format={found[0]!r} or date_format={found[1]!r}"
            )
        if found:
            dialect.dates[name] = found[0]


def _forms() -> list[str]:
    return [day + time for day in (*_DAY_FIRST, *_MONTH_FIRST) for time in _TIMES]


def _all_match(values: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, _WRITTEN_DATE)).as_py())


class Recoded:
    """A stream of bytes in some encoding, read as UTF-8.

    Parameters
    ----------
    stream : binary stream
    encoding : str
    """

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)()

    def read(self, size: int) -> bytes:
        """Return about `size` bytes, and none only at the end; UnicodeDecodeError if they cannot be decoded."""
        while True:
            raw = self._stream.read(size)
            text = self._decoder.decode(raw, final=not raw)
            if text or not raw:
                return text.encode(errors="replace")
