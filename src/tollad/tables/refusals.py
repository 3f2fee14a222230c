"""Refusals of values in a column, and the remedies that they name."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence

import pyarrow as pa

from tollad.tables.casts import TEXT
from tollad.tables.date_forms import forms_of
from tollad.tables.numerals import grouping_signs, readings
from tollad.tables.schema import Where

_MOST_WORDS, _LONGEST_WORD = 8, 60
_LIKE = {"number": "number like 1234.5", "date": "date like 2024-12-31 or 2024-12-31 17:30:00"}


def refusal(
    name: str, column: pa.ChunkedArray, row: int, kind: str, where: Where, *, choose: bool = False
) -> ValueError:
    """Return the error for a value that is not of its column's kind.

    Parameters
    ----------
    name : str
        Of the column.
    column : ChunkedArray
    row : int
        Index of the value in the column.
    kind : {"number", "category", "date"}
    where : callable
        Maps the row to the words for its place.
    choose : bool, default False
        Whether the user may still choose another kind, as in a fit.
    """
    text = column[row : row + 1].cast(TEXT)[0].as_py()
    if choose:
        return slip(f"{where(row)}, column {name!r}", name, [text], kind)
    value = reprlib.repr(text)
    if kind == "category":
        problem, remedy = f"is {column.type}, but the column is a category of texts", "give texts"
    else:
        problem, remedy = f"is not a {_LIKE[kind]}, but the column is one of {kind}s", "correct it"
        read = as_read(text) if kind == "number" else [f"with {as_dates(name, form)}" for form in forms_of(text)[:2]]
        remedy = f"read it {', or '.join(read)}, or {remedy}" if read else f"{remedy}, or mark it as missing"
    return ValueError(f"{where(row)}, column {name!r}: {value} {problem}; {remedy}")


class SlipError(ValueError):
    """A column of numbers or dates holds some texts that are none.

    Attributes
    ----------
    place : str
        Of the first of them, without the column.
    column : str
    texts : sequence of str
        The different texts; the first of them is the one at that place.
    """

    def __init__(self, message: str, place: str, column: str, texts: Sequence[str]) -> None:
        super().__init__(message)
        self.place, self.column, self.texts = place, column, texts


def slip(at: str, name: str, texts: Sequence[str], kind: str) -> SlipError:
    """Return the error for a column of numbers or dates with some texts that are none.

    Parameters
    ----------
    at : str
        The place of the first text, and the column.
    name : str
    texts : sequence of str
        The different texts; the first of them is the one at that place.
    kind : {"number", "date"}
    """
    first, others = texts[0], texts[1:]
    problem = f"{reprlib.repr(first)} is not a {_LIKE[kind]}, but most values of the column are {kind}s"
    what = "it" if not others else "them"
    if others:
        problem += f"; nor is {reprlib.repr(others[0])}" if len(others) == 1 else f"; nor are {len(others)} other texts"
    read = as_read(first) if kind == "number" else []
    if read:
        remedies = [*(f"read it {way}" for way in read), f"correct {what}"]
    else:
        remedies = [f"correct {what}", f"mark {what} as missing{way_to_mark(texts)}"]
    remedies += [
        f"make the column a category with {option(name, 'category')}",
        f"leave it out with {option(name, 'drop')}",
    ]
    place = at.removesuffix(f", column {name!r}")
    return SlipError(f"{at}: {problem}; {', or '.join(remedies)}", place, name, texts)


def as_read(text: str) -> list[str]:
    """Say how a text that is no plain number can be read as one: a list of no, one or two ways.

    Examples
    --------
    >>> as_read("1,234")
    ["as 1234 with pandas.read_csv(thousands=',')", "as 1.234 with pandas.read_csv(decimal=',')"]
    """
    return [f"as {number} with {as_decimal(text, decimal)}" for decimal, number in readings(text).items()]


def as_decimal(text: str, decimal: str) -> str:
    """Say how to read a file whose numbers have a decimal sign and group digits as in `text`."""
    groups = re.findall(grouping_signs(decimal), text)
    given = [f"decimal={decimal!r}"] * (decimal != ".") + [f"thousands={group!r}" for group in groups[:1]]
    return f"pandas.read_csv({', '.join(given)})"


def as_dates(name: str, form: str) -> str:
    """Say how to read dates that are written in a format."""
    return f"pandas.to_datetime(frame[{name!r}], format={form!r})"


def way_to_mark(words: Sequence[str]) -> str:
    """Return " with" and the result of `as_missing`; "" for long words and for many, which no advice repeats."""
    shown = len(words) <= _MOST_WORDS and all(len(word) <= _LONGEST_WORD for word in words)
    return f" with {as_missing(words)}" if shown else ""


def as_missing(words: Sequence[str]) -> str:
    """Say how to read words of a file as missing values."""
    return f"pandas.read_csv(na_values={[*words]!r})"


def option(name: str, kind: str) -> str:
    """Say how to choose the kind of a column."""
    return f"columns={{{name!r}: {kind!r}}}"
