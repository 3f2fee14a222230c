"""Decide the kind of one column from its values, block by block."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tollad.tables.casts import NUMBER, TEXT, to_float, to_timestamp, tried
from tollad.tables.categories import fit_category
from tollad.tables.frames import has_category_type, is_nameless
from tollad.tables.keys import (
    ENOUGH,
    KeySample,
    are_excel_days,
    are_rounded,
    are_whole,
    is_key,
    look_like_days,
    looks_like_key,
    names_key,
    warn_of_codes,
    warn_of_days,
    warn_of_excel_days,
    warn_of_key,
    warn_of_left_out_key,
    warn_of_rounding,
)
from tollad.tables.refusals import as_missing, option, slip
from tollad.tables.schema import MAX_LEVELS, Column, Where, date_column
from tollad.tables.stand_ins import DAYS, NUMBERS, StandIns, Total, warn_of_stand_in, warn_of_stand_in_day
from tollad.tables.times import days_of
from tollad.tables.values import (
    DATE,
    FIRST_DAY,
    LAST_DAY,
    READABLE,
    clean,
    clock_of,
    first_value,
    natural_kind,
    read_values,
    texts_of,
)
from tollad.tables.written import refused_as_written
from tollad.tables.zones import Zones
from tollad.warn import warn

# If this share of `ENOUGH` or more values is of one kind, the others are taken for slips.
_NEARLY = 0.95
# If there are more distinct numbers than a category may have levels, this smaller share is enough, since codes repeat.
_MOSTLY = 0.5
# Patterns of numbers and dates that take a guess to read: decimal commas, grouped digits, per cent, and day and month
# in an unknown order.
_WRITTEN = {
    "number": rf"^({NUMBER}|[+-]?[0-9][0-9.,]*(,[0-9]+(\.[0-9]+)?| ?%))$",
    "date": rf"^({DATE}|([0-9]{{1,2}}[-/.]){{2}}[0-9]{{4}}( .*)?|[0-9]{{4}}([-/.][0-9]{{1,2}}){{2}}([T ].*)?)$",
}


class Survey:
    """Decide the kind of one column from its values, block by block, as `fit_columns` does for each column.

    Texts are counted only once one of them was neither a number nor a date, so that a column of distinct numbers takes
    no memory. If that happens late, the earlier texts were not counted, and the column must be read again.

    Parameters
    ----------
    name : str
        Of the column.
    asked : {"number", "category", "date", "drop"}, optional
        As in `fit_columns`.
    counted : bool, default False
        Whether to count the texts from the start, for a column that is read again.
    keep_days : bool, default False
        Whether to keep all dates in memory. If not, the caller learns their constants, see `date_column`.
    most_levels : int, optional
        At most this many different texts are counted; more are an error.

    Attributes
    ----------
    again : bool
        Whether the column has to be read again, with `counted`.
    """

    def __init__(
        self,
        name: str,
        asked: str | None = None,
        *,
        counted: bool = False,
        keep_days: bool = False,
        most_levels: int | None = None,
    ) -> None:
        self.name = name
        self.again = False
        self._asked, self._counting = asked, counted or asked == "category"
        self._days: list[NDArray[np.float64]] | None = [] if keep_days else None
        self._most_levels = most_levels
        self._kinds = ["number", "date"]  # the kinds that all texts so far can be read as
        self._any = False
        self._by_type = False  # whether the type of the values, and not the user, asks for a category
        self._natural = ""
        self._counts: Counter[str | None] = Counter()
        self._numbers: list[NDArray[np.float64]] | None = []  # None once they cannot be keys
        self._sample = KeySample()  # in place of all numbers of a large file
        self._named_key = names_key(name)
        self._padded = ""  # a number that may be a code, as 01234 and 123e45
        self._rounded = False
        self._stand_ins, self._stand_in_days = StandIns(NUMBERS), StandIns(DAYS)
        self._total = Total()
        self._truth: tuple[str, str] | None = None  # the place and the text of the first true or false
        self._words = False  # whether some value was true or false
        self._clock = ""  # what the type says that the numbers are, see `Column`
        self._is_binary = True  # whether all numbers so far are 0 or 1
        self._zones = Zones()
        self._refusals: dict[str, ValueError] = {}
        self._slips: dict[str, tuple[str, str]] = {}  # by kind: the first text of another, with its place

    @property
    def is_number(self) -> bool:
        """Whether all values so far are numbers."""
        return self._any and not self._counting and self._kind() == "number"

    @property
    def ends_with_total(self) -> bool:
        """Whether the last number is the sum of all others."""
        return self._asked is None and self._any and self._kind() == "number" and self._total.is_last()

    def add(self, values: pa.ChunkedArray, where: Where) -> NDArray[np.bool_]:
        """Take the next values, and return which of them are missing, (n,): all in a column that is left out.

        `where` maps the number of a value, from 0, to the words for its place.
        """
        if self._asked == "drop":
            return np.ones(len(values), dtype=np.bool_)
        if self._asked is None and has_category_type(values.type):
            self._asked, self._counting, self._by_type = "category", True, True
        try:
            values = clean(self.name, values, choose=True)
        except ValueError as error:
            self._refusals.setdefault("type", error)
        if "type" in self._refusals:
            return np.zeros(len(values), dtype=np.bool_)
        if pa.types.is_null(values.type):
            self._counts[None] += len(values)
            self._numbers = None
            return np.ones(len(values), dtype=np.bool_)
        self._natural = natural_kind(values)
        if values.type == TEXT and self._asked is None:
            self._look(values, where)
        if self._asked == "category" or (self._counting and values.type == TEXT):
            self._count(texts_of(self.name, values) if self._asked else values)
        else:
            self._counts[None] += values.null_count
        self._any = True
        kind = self._kind()
        if kind not in ("category", *self._refusals):
            try:
                read = read_values(self.name, values, kind, where, choose=self._asked is None)
            except ValueError as error:
                self._refusals[kind] = error
            else:
                add = self._add_numbers if kind == "number" else self._add_dates
                add(values, read, where)
        return values.is_null().to_numpy()

    def _add_numbers(self, values: pa.ChunkedArray, read: pa.ChunkedArray, where: Where) -> None:
        """Take the next numbers, as given and as read."""
        self._clock = clock_of(values.type)
        numbers = read.to_numpy()
        if self._numbers is not None:
            self._keep_numbers(numbers)
        self._rounded = self._rounded or are_rounded(values, read)
        self._padded = self._padded or _first_padded(values)
        self._look_for_truths(values, numbers, where)
        self._stand_ins.add(numbers[~np.isnan(numbers)])
        self._total.add(numbers)

    def _add_dates(self, values: pa.ChunkedArray, read: pa.ChunkedArray, where: Where) -> None:
        """Take the next times, as given and as read."""
        self._zones.add(values, where)
        days = days_of(read.drop_null())
        self._stand_in_days.add(np.floor(days))
        if self._days is not None:
            self._days.append(days)
        if self._asked is None:
            self._refuse_sentinels(values, read, where)

    def column(self) -> Column:
        """Return the column, after its last value; ValueError as in `fit_columns`."""
        if self._asked == "drop":
            return Column(self.name, "drop")
        if "type" in self._refusals:
            raise self._refusals["type"]
        if not self._any and self._asked is None and is_nameless(self.name):
            warn(f"column {self.name!r} has neither a name nor a value; it is left out")
            return Column(self.name, "drop")
        if not self._any:
            drop = option(self.name, "drop")
            raise ValueError(f"column {self.name!r} has no value in any training row; drop it with {drop}")
        kind = self._kind()
        if kind == "category":
            if self._asked is None:
                self._refuse_slips()
            counts: Counter[str | None] = Counter()
            for level, count in self._counts.items():
                lower = None if level is None else level.lower()
                counts[lower if lower in ("true", "false") else level] += count
            return fit_category(self.name, +counts, None if self._by_type else self._asked)
        if kind in self._refusals:
            raise self._refusals[kind]
        if kind == "number":
            return self._number()
        column = self._zones.column(self.name)
        if self._asked is None:
            warn_of_stand_in_day(self.name, self._stand_in_days)
        if self._days is None:
            return column
        days = np.sort(np.concatenate(self._days))
        first, median, last = days[[0, (len(days) - 1) // 2, -1]].tolist()
        return date_column(column, first, median, last, hours=bool((days % 1).any()))

    def _refuse_sentinels(self, values: pa.ChunkedArray, times: pa.ChunkedArray, where: Where) -> None:
        """Note the first date of the years 1 and 9999, which programs write for "no date"."""
        days = days_of(times)
        found = np.flatnonzero((days < FIRST_DAY + 365) | (days > LAST_DAY - 365))
        if len(found) and "date" not in self._refusals:
            row = int(found[0])
            text = values[row : row + 1].cast(TEXT)[0].as_py()
            mark = as_missing([text]) if values.type == TEXT else f"frame.replace({{{self.name!r}: {{value: None}}}})"
            self._refusals["date"] = ValueError(
                f"{where(row)}, column {self.name!r}: {text!r} is so far off that it seems to stand for no date; mark "
                f"it as missing with {mark}, or keep it with {option(self.name, 'date')}"
            )

    def _keep_numbers(self, numbers: NDArray[np.float64]) -> None:
        """Keep the numbers, or a sample of those of a large file, while they may be keys."""
        numbers = numbers[~np.isnan(numbers)] if self._named_key else numbers
        if self._days is None:
            self._numbers = [self._sample.kept] if self._sample.add(numbers) else None
        else:
            self._numbers = [*(self._numbers or []), numbers] if are_whole(numbers) else None

    def _look_for_truths(self, values: pa.ChunkedArray, numbers: NDArray[np.float64], where: Where) -> None:
        """Note the first true or false, and whether some number is neither 0 nor 1."""
        self._words = self._words or pa.types.is_boolean(values.type)
        if self._truth is None and values.type == TEXT:
            row = pc.index(pc.match_substring_regex(values, "^(?i:true|false)$"), True).as_py()
            if row >= 0:
                self._truth, self._words = (f"{where(row)}, column {self.name!r}", values[row].as_py()), True
        if self._is_binary:
            self._is_binary = bool(np.isin(numbers[~np.isnan(numbers)], (0, 1)).all())

    def _number(self) -> Column:
        """Return a column of numbers. Warn if they look like keys and not like measurements."""
        if self._asked is None and self._truth is not None and not self._is_binary:
            at, text = self._truth
            raise slip(at, self.name, [text], "number")
        if self._rounded:
            category = option(self.name, "category")
            warn_of_rounding(
                self.name,
                f"if they are codes, make it a category with {category}, or leave it out with "
                f"{option(self.name, 'drop')}",
            )
        known = self._stand_ins
        if self._asked is None and are_excel_days(self.name, known.n, known.low, known.high):
            warn_of_excel_days(self.name, known.low)
        elif self._asked is None and self._numbers:
            numbers = np.concatenate(self._numbers)
            if is_nameless(self.name) and len(np.unique(numbers)) == len(numbers) > 1:
                warn(f"column {self.name!r} has no name and numbers the rows; it is left out")
                return Column(self.name, "drop")
            if is_key(self.name, numbers):
                warn_of_left_out_key(self.name)
                return Column(self.name, "drop")
            if look_like_days(numbers):
                warn_of_days(self.name, numbers)
            elif self._padded:
                warn_of_codes(self.name, self._padded)
            elif looks_like_key(numbers) if self._days is not None else self._sample.looks_like_key():
                warn_of_key(
                    self.name,
                    numbers,
                    f"leave it out with {option(self.name, 'drop')}, or keep it with {option(self.name, 'number')}",
                )
        if self._asked is None and not self._padded:
            warn_of_stand_in(self.name, known)
        return Column(self.name, "number", truths=self._is_binary, clock=self._clock, words=self._words)

    def _kind(self) -> str:
        if self._asked is not None:
            return self._asked
        if self._natural != "category":
            return self._natural
        return self._kinds[0] if self._kinds else "category"

    def _look(self, text: pa.ChunkedArray, where: Where) -> None:
        """Drop each kind that some text cannot be read as, and note the first such text."""
        for kind in [*self._kinds]:
            # For most columns of numbers and dates this is enough.
            if tried(to_float if kind == "number" else to_timestamp, text) is not None:
                if kind == "date":
                    continue
                if "date" in self._kinds:
                    self._strike("date", text, first_value(text), where)
                break
            levels = text.drop_null().unique()
            slips = levels.filter(pc.invert(pc.match_substring_regex(levels, READABLE[kind])))
            if len(slips):
                self._strike(kind, text, pc.index(pc.is_in(text, value_set=slips), True).as_py(), where)
        if not self._kinds and not self._counting:
            self.again, self._counting = self._any, True

    def _strike(self, kind: str, text: pa.ChunkedArray, row: int, where: Where) -> None:
        self._kinds.remove(kind)
        self._slips[kind] = f"{where(row)}, column {self.name!r}", text[row].as_py()

    def _count(self, text: pa.ChunkedArray) -> None:
        counted = text.value_counts()
        levels, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        self._counts.update(dict(zip(levels, counts, strict=True)))
        if self._most_levels is not None and len(self._counts) > self._most_levels:
            raise ValueError(
                f"column {self.name!r} holds more than {self._most_levels:,} different texts, too many to learn from "
                f"in constant memory; drop it with {option(self.name, 'drop')}"
            )

    def _refuse_slips(self) -> None:
        """Raise ValueError if most values are numbers or dates: the others are more likely slips than categories."""
        texts = {level: count for level, count in self._counts.items() if level is not None}
        if (error := refused_as_written(self.name, texts)) is not None:
            raise error
        levels, counts = pa.array(texts, TEXT), np.fromiter(texts.values(), np.int64)
        for kind, pattern in _WRITTEN.items():
            written = pc.match_substring_regex(levels, pattern).to_numpy(zero_copy_only=False)
            share = counts @ written / counts.sum()
            if (counts.sum() >= ENOUGH and share >= _NEARLY) or (written.sum() > MAX_LEVELS and share >= _MOSTLY):
                at, first = self._slips[kind]
                strange = levels.filter(pc.invert(pc.match_substring_regex(levels, READABLE[kind]))).to_pylist()
                raise slip(at, self.name, [first, *(text for text in strange if text != first)], kind)


def _first_padded(values: pa.ChunkedArray) -> str:
    """Return the first text that may be a code and is read as a number; "" for none, and for no text.

    It has three digits or more and begins with 0, as 01234 does, or has an "e" between digits only, as 123e45 does.
    """
    if values.type != TEXT:
        return ""
    row = pc.index(pc.match_substring_regex(values, "^(0[0-9]{2,}|[0-9]{2,}[eE][0-9]+)$"), True).as_py()
    return values[row].as_py() if row >= 0 else ""
