"""Recognise numbers, times and dates that people wrote in other forms, and say how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from tollad.tables.keys import ENOUGH
from tollad.tables.numerals import grouped, readings
from tollad.tables.values import NUMBER, option

# Share of the values that must have one and the same form.
_SHARE = 0.95
_CURRENCY = r"[$\u20ac\u00a3\u00a5\u20b9]|[A-Z]{3}"
# A unit follows a space, or is per cent, a currency, at least two letters, or a letter after decimals: "12A" may be the
# name of a thing.
_WITH_UNIT = re.compile(
    rf"(?P<before>(?:{_CURRENCY}) ?)?[+-]?(?P<number>[0-9][0-9.,'\u2019 ]*?)"
    rf"(?P<after> ?%| ?(?:{_CURRENCY})| [^\d\s.,]{{1,6}}|[^\W\d_]{{2,4}}|\u00b0[CF]?|(?<=[.,]\d)[^\W\d_])?"
)
_FAMILIES = (
    {"B", "KB", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"},
    {"k", "K", "M", "m", "B", "G", "T", "bn", "mn", ""},
    {"nm", "um", "mm", "cm", "m", "km", "in", "ft", "mi"},
    {"mg", "g", "kg", "t", "lb", "lbs", "oz"},
    {"ns", "us", "ms", "s", "sec", "min", "h", "hr", "d"},
)
# What a column holds, the pattern of its values that are no plain numbers, and what to do.
_FORMS = (
    ("numbers", rf"\({NUMBER}\)", "write a minus sign in place of the parentheses"),
    ("numbers", rf"[\u2212\u2013]{NUMBER}", "write the plain sign '-' for minus"),
    ("hexadecimal numbers", r"0[xX][0-9a-fA-F]+", "turn them into decimal ones"),
    ("times of day or durations", r"[+-]?[0-9]{1,3}:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?", "turn them into seconds"),
    ("several numbers in a value", rf"\[ *{NUMBER}([,; ] *{NUMBER})+ *\]|{NUMBER}(, +{NUMBER})+", "split them"),
)
_DAYS = (
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%a %d %b %Y"),
    *("%d-%b-%y", "%d %b %y", "%Y.%m.%d", "%d/%b/%Y"),
)
_SHORT = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y")
_TIMES = ("", " %H:%M", " %H:%M:%S", ":%H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p", ", %I:%M %p")
# The dates of a column that its format is told by.
_MOST_DATES = 200


def refused_as_written(name: str, counts: Mapping[str, int]) -> ValueError | None:
    """Return the refusal of a column of text that holds numbers, times or dates in another form; else None.

    Parameters
    ----------
    name : str
        Of the column.
    counts : mapping of str to int
        How often each text occurs.

    Examples
    --------
    >>> def refused(texts):
    ...     print(refused_as_written("x", dict.fromkeys(texts, 1)))
    >>> refused(f"{k} kg" for k in range(50))
    column 'x' holds numbers written like '0 kg'; make them plain numbers by taking away ' kg', or keep them as a \
category with columns={'x': 'category'}, or leave them out with columns={'x': 'drop'}
    >>> refused(f"{k:,}" for k in range(1000, 90000, 999))
    column 'x' holds numbers written like '1,000'; read them as 1000 with decimal='.', or as 1.000 with decimal=',', \
or leave them out with columns={'x': 'drop'}
    """
    if sum(counts.values()) < ENOUGH:
        return None
    for look in (_grouped, _with_units, _in_other_forms, _dates):
        found = look(counts)
        if found is not None:
            what, example, remedy = found
            kept = f", or keep them as a category with {option(name, 'category')}" if look is not _grouped else ""
            drop = option(name, "drop")
            return ValueError(
                f"column {name!r} holds {what} like {example!r}; {remedy}{kept}, or leave them out with {drop}"
            )
    return None


_Found = tuple[str, str, str]


def _prevail(counts: Mapping[str, int], holds: Callable[[str], object]) -> bool:
    """Whether something holds of nearly all values."""
    return sum(count for text, count in counts.items() if holds(text)) >= _SHARE * sum(counts.values())


def _grouped(counts: Mapping[str, int]) -> _Found | None:
    signs = [decimal for decimal in (".", ",") if _prevail(counts, re.compile(grouped(decimal)).match)]
    if _prevail(counts, re.compile(NUMBER).fullmatch):
        return None  # the few others are slips
    for text in counts:
        read = {decimal: number for decimal, number in readings(text).items() if decimal in signs}
        if read:
            ways = " or ".join(f"as {number} with decimal={decimal!r}," for decimal, number in read.items())
            return "numbers written", text, f"read them {ways.removesuffix(',')}"
    return None


def _with_units(counts: Mapping[str, int]) -> _Found | None:
    shapes: dict[tuple[str, str], list[str]] = {}
    for text in counts:
        found = _WITH_UNIT.fullmatch(text)
        if found:
            shapes.setdefault((found["before"] or "", found["after"] or ""), []).append(text)
    n_values = {shape: sum(counts[text] for text in texts) for shape, texts in shapes.items()}
    shape = max((shape for shape in n_values if any(shape)), key=n_values.__getitem__, default=None)
    if shape is None:
        return None
    enough = _SHARE * sum(counts.values())
    if n_values[shape] >= enough:
        example = shapes[shape][0]
        away = [repr(part) for part in shape if part]
        away += ["the commas that group digits"] * (re.search(r"\d,\d{3}(?!\d)", example) is not None)
        return "numbers written", example, f"make them plain numbers by taking away {' and '.join(away)}"
    for family in _FAMILIES:
        of_it = [shape for shape in shapes if not shape[0] and shape[1].strip() in family]
        if len(of_it) > 1 and sum(n_values[shape] for shape in of_it) >= enough:
            some, others = (shapes[shape][0] for shape in of_it[:2])
            return "numbers of several units", some, f"bring {some!r} and {others!r} into one unit, as plain numbers"
    return None


def _in_other_forms(counts: Mapping[str, int]) -> _Found | None:
    for what, form, remedy in _FORMS:
        example = next((text for text in counts if re.fullmatch(form, text)), None)
        if example is not None and _prevail(counts, re.compile(f"{form}|{NUMBER}").fullmatch):
            return f"{what}, written", example, remedy
    return None


def _dates(counts: Mapping[str, int]) -> _Found | None:
    forms = [day + time for day in (*_DAYS, *_SHORT) for time in _TIMES]
    texts = [*counts][:_MOST_DATES]
    for text in texts:
        forms = [form for form in forms if _is_date(text, form)]
    ways = " or ".join(f"date_format={form!r}" for form in forms[:2])
    return ("dates written", texts[0], f"read them with {ways}") if ways else None


def _is_date(text: str, form: str) -> bool:
    if form.startswith(_SHORT) and not re.match(r"[0-9]{2}([-./])[0-9]{2}\1[0-9]{2}\b", text):
        return False  # 1.2.10 is a version
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
