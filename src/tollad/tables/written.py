"""Recognise numbers, times and dates that people wrote in other forms, and say how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tollad.tables.casts import NUMBER
from tollad.tables.date_forms import forms_of, is_date
from tollad.tables.keys import ENOUGH
from tollad.tables.numerals import grouped, readings
from tollad.tables.refusals import as_dates, as_decimal, option
from tollad.tables.schema import MAX_LEVELS
from tollad.tables.values import DATE

# Share of the values that must have the same form.
_SHARE = 0.95
_SYMBOL = r"(?:(?:[A-Z]{1,2})?\$|[\u20a0-\u20cf\u00a3\u00a5\u00a2])"
_CURRENCY = rf"{_SYMBOL}|[A-Z]{{3}}|Rs\.?|kr\.?"
# A unit follows a space, or is per cent, a currency, or letters. A single letter is a unit only where some number has
# decimals: "12A" may be the name of a thing.
_WITH_UNIT = re.compile(
    rf"[+-]?(?P<before>(?:{_CURRENCY}) ?)?[+-]?(?P<number>[0-9][0-9.,'\u2019 ]*?)"
    rf"(?P<after> ?[%\u2030]| ?(?:{_CURRENCY})| [^\d\s.,]{{1,6}}|[^\W\d_]{{1,4}}|\u00b0[CF]?)?"
)
# In columns of many different values, any sign before or after all of them is a unit.
_WITH_SIGN = re.compile(
    rf"(?P<before>[^\w\s.,+()\[\]-]{{1,2}} ?)?(?P<number>{NUMBER})(?P<after> ?[^\w\s.,()\[\]-]{{1,2}})?"
)
_FAMILIES = (
    {"B", "KB", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"},
    {"k", "K", "M", "m", "B", "G", "T", "bn", "mn", ""},
    {"nm", "um", "mm", "cm", "m", "km", "in", "ft", "mi"},
    {"mg", "g", "kg", "t", "lb", "lbs", "oz"},
    {"ns", "us", "ms", "s", "sec", "min", "h", "hr", "d"},
)
# A number whose digits may be grouped, or that has a decimal comma.
_ANY = rf"({NUMBER}|[0-9]{{1,3}}([.,'\u2019 \u00a0\u202f\u2009][0-9]{{3}})+([.,][0-9]+)?|[0-9]+,[0-9]+)"
# How names of months begin in German, French, Spanish, Italian, Portuguese, Dutch, Danish, Polish, Turkish and Russian.
_MONTH_NAMES = (
    "jan|feb|m\u00e4r|mar|mrz|apr|mai|jun|jul|aug|sep|okt|nov|dez|f\u00e9v|fev|avr|jui|ao\u00fb|aou|oct|d\u00e9c|"
    "dec|ene|abr|may|ago|dic|gen|mag|giu|lug|set|ott|out|maa|mrt|mei|maj|sty|lut|kwi|cze|lip|sie|wrz|pa\u017a|"
    "lis|gru|oca|\u015fub|nis|haz|tem|a\u011fu|eyl|eki|kas|ara|"
    "\u044f\u043d\u0432|\u0444\u0435\u0432|\u043c\u0430\u0440|\u0430\u043f\u0440|\u043c\u0430\u0439|"
    "\u043c\u0430\u044f|\u0438\u044e\u043d|\u0438\u044e\u043b|\u0430\u0432\u0433|\u0441\u0435\u043d|"
    "\u043e\u043a\u0442|\u043d\u043e\u044f|\u0434\u0435\u043a"
)
_HEXADECIMAL, _DEGREES, _PAIRS = "hexadecimal numbers", "degrees", "pairs of numbers"
_DECIMAL = r"[+-]?[0-9]*\.[0-9]+"
_TIME = r"[+-]?[0-9]{1,3}:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?"
# For each form: the words for its values, their pattern, and a remedy, in which "{0}" is the name of the column.
_FORMS = (
    (
        "amounts without cents",
        rf"(?:(?:{_CURRENCY}) ?)?{_ANY}[.,][-\u2013]{{1,2}}(?: ?(?:{_CURRENCY}))?",
        "make them plain numbers by taking away the dash, the sign before it and the currency",
    ),
    (
        "amounts",
        rf"{_SYMBOL} ?\(?{_ANY}\)?",
        "make them plain numbers by taking away the currency, with a minus sign in place of parentheses",
    ),
    ("amounts", rf"{_ANY} ?(?i:dr|cr)\.?", "make them plain numbers, with a minus sign for one of the two sides"),
    (
        _DEGREES,
        rf"[NSEWO] ?{NUMBER}\u00b0?|{NUMBER}\u00b0? ?[NSEWO]",
        "take away the letter, with a minus sign for south and west",
    ),
    (
        "degrees, minutes and seconds",
        r"[+-]?[0-9]{1,3}\u00b0 ?[0-9.]+['\u2032] ?([0-9.]+(\"|''|\u2033))? ?[NSEWO]?",
        "turn them into decimal degrees",
    ),
    ("numbers", rf"\({_ANY}\)", "write a minus sign in place of the parentheses"),
    ("numbers", rf"[\u2212\u2013]{_ANY}", "write the plain sign '-' for minus"),
    ("numbers", rf"{_ANY}-", "write the minus sign before the number"),
    ("numbers", r"[+-]?[0-9]*\.[0-9]*[dD][+-]?[0-9]+", "write 'e' in place of 'D'"),
    ("numbers", rf"{NUMBER} ?[x\u00d7*\u00b7] ?10\^?[-+\u2212]?[0-9]+", "write 'e' in place of the sign and the 10"),
    ("numbers", r"(?=.*[^\x00-\x7f])[+-]?\d+([.,\u066b]\d+)?", "write them with the digits 0 to 9"),
    (
        _HEXADECIMAL,
        r"0[xX][0-9a-fA-F]+",
        "turn them into decimal ones, as frame[{0!r}].apply(int, base=16) does",
    ),
    (
        "times of day or durations",
        rf"{_TIME}( ?[AaPp]\.?[Mm]\.?)?",
        "turn them into seconds, as pandas.to_timedelta does with 13:45:00",
    ),
    (
        "durations",
        rf"-?[0-9]+ days?,?( {_TIME})?|(?:[0-9.]+ ?(?:d|hrs?|h|min|m|sec|s) ?){{2,}}"
        r"|P(?=[0-9T])([0-9.]+[YMWD])*(T([0-9.]+[HMS])+)?",
        "turn them into seconds, as pandas.to_timedelta(frame[{0!r}]).dt.total_seconds() does",
    ),
    (
        "times with the name of a zone",
        r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9:.,]+(Z|[+-][0-9:]+)? ?\[?([A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/]+)\]?",
        "write the offset from UTC, such as +01:00, in place of the name",
    ),
    (
        "dates with the name of a month",
        rf"(?i:(\w+\.?,? )?[0-9]{{1,2}}[.\u00ba]?[ /-]*(de |d')?({_MONTH_NAMES})\w*\.?,?( de|[ /-])* ?[0-9]{{2,4}}"
        rf"(,? {_TIME})?)",
        "write months as numbers, as in 2024-12-31",
    ),
    (
        "dates",
        r"[^\d\s]{0,4}([0-9]{1,4}|\u5143)[\u5e74\ub144] ?[0-9]{1,2}[\u6708\uc6d4]( ?[0-9]{1,2}[\u65e5\uc77c])?.*",
        "write them like 2024-12-31",
    ),
    (
        "quarters",
        r"[0-9]{4}[- /]?[Qq][1-4]|[Qq][1-4][- /]?[0-9]{4}",
        "later rows have quarters that were never seen, so make dates of them, such as the first day of each",
    ),
    (
        "weeks",
        r"[0-9]{4}[- /]?(W|CW|KW) ?[0-9]{1,2}|(W|CW|KW) ?[0-9]{1,2}[- /][0-9]{4}",
        "later rows have weeks that were never seen, so make dates of them, such as the Monday of each",
    ),
    (
        "several numbers in a value",
        rf"[\[(] *{NUMBER}([,; ] *{NUMBER})+ *[\])]|{NUMBER}((, +|; *){NUMBER})+"
        rf"|{_DECIMAL}([ ,]{_DECIMAL})+|{NUMBER} ?(\u00b1|\+/-) ?{NUMBER}",
        "split them",
    ),
    (
        _PAIRS,
        rf"([0-9]+ )?{NUMBER} ?[/:] ?{NUMBER}|[0-9]+(?:'|\u2032|ft) ?[0-9.]+(?:\"|\u2033|in)",
        "split them into two columns, or make one number of each",
    ),
)
# The format of dates is told by at most this many of them.
_MOST_DATES = 200


def refused_as_written(name: str, counts: Mapping[str, int]) -> ValueError | None:
    """Return the error for a column of text that holds numbers, times or dates in another form; None for other text.

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
    column 'x' holds numbers written like '0 kg'; make them plain numbers by taking away ' kg', as \
frame['x'].str.replace(' kg', '') does, or keep them as a \
category with columns={'x': 'category'}, or leave them out with columns={'x': 'drop'}
    >>> refused(f"{k:,}" for k in range(1000, 90000, 999))
    column 'x' holds numbers written like '1,000'; read them as 1000 with \
pandas.read_csv(thousands=','), or as 1.000 with pandas.read_csv(decimal=','), or leave them out with \
columns={'x': 'drop'}
    """
    if sum(counts.values()) < ENOUGH:
        return None
    for look in (_grouped, _with_units, _dates, _in_other_forms):
        found = look(name, counts)
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
    """Return whether a condition holds for nearly all values."""
    return sum(count for text, count in counts.items() if holds(text)) >= _SHARE * sum(counts.values())


def _grouped(name: str, counts: Mapping[str, int]) -> _Found | None:
    signs = [decimal for decimal in (".", ",") if _prevail(counts, re.compile(grouped(decimal)).match)]
    if _prevail(counts, re.compile(NUMBER).fullmatch):
        return None  # the few others are slips
    for text in counts:
        read = {decimal: number for decimal, number in readings(text).items() if decimal in signs}
        if read:
            ways = [f"as {number} with {as_decimal(text, decimal)}" for decimal, number in read.items()]
            return "numbers written", text, f"read them {', or '.join(ways)}"
    return None


def _by_unit(counts: Mapping[str, int]) -> dict[tuple[str, str], list[str]]:
    """Return the texts of numbers with the same signs before and after them, by these two signs."""
    patterns = [_WITH_UNIT] + [_WITH_SIGN] * (len(counts) > MAX_LEVELS)
    shapes: dict[tuple[str, str], list[str]] = {}
    with_decimals = set()
    for text in counts:
        inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
        found = next(filter(None, (pattern.fullmatch(inner) for pattern in patterns)), None)
        if found:
            signs = found["before"] or "", found["after"] or ""
            shapes.setdefault(signs, []).append(text)
            if re.search(r"[.,]", found["number"]):
                with_decimals.add(signs)
    return {
        signs: texts
        for signs, texts in shapes.items()
        if signs in with_decimals or not (len(signs[1]) == 1 and signs[1].isalpha())
    }


def _with_units(name: str, counts: Mapping[str, int]) -> _Found | None:
    shapes = _by_unit(counts)
    n_values = {shape: sum(counts[text] for text in texts) for shape, texts in shapes.items()}
    shape = max((shape for shape in n_values if any(shape)), key=n_values.__getitem__, default=None)
    if shape is None:
        return None
    enough = _SHARE * sum(counts.values())
    if n_values[shape] >= enough:
        example = shapes[shape][0]
        away = [*dict.fromkeys(part for part in shape if part)]
        shown = [repr(part) for part in away]
        if re.search(r"\d,\d{3}(?!\d)", example):
            away.append(",")
            shown.append("the commas that group digits")
        calls = "".join(f".str.replace({part!r}, '')" for part in away)
        remedy = f"make them plain numbers by taking away {' and '.join(shown)}, as frame[{name!r}]{calls} does"
        if any(text.startswith("(") for text in shapes[shape]):
            remedy += ", and write a minus sign in place of parentheses"
        return "numbers written", example, remedy
    for family in _FAMILIES:
        of_it = [shape for shape in shapes if not shape[0] and shape[1].strip() in family]
        if len(of_it) > 1 and sum(n_values[shape] for shape in of_it) >= enough:
            some, others = (shapes[shape][0] for shape in of_it[:2])
            return "numbers of several units", some, f"bring {some!r} and {others!r} into one unit, as plain numbers"
    return None


def _in_other_forms(name: str, counts: Mapping[str, int]) -> _Found | None:
    for what, form, remedy in _FORMS:
        if what in (_HEXADECIMAL, _DEGREES, _PAIRS) and len(counts) <= MAX_LEVELS:
            continue  # such as flags, 1/2 and 2/2, or 4E and 5E
        example = next((text for text in counts if re.fullmatch(form, text)), None)
        if example is not None and _prevail(counts, re.compile(f"{form}|{_ANY}").fullmatch):
            grouped_digits = [as_decimal(example, sign) for sign in readings(example.strip("()-\u2212\u2013"))]
            then = f", and read them with {' or '.join(grouped_digits)}" if grouped_digits else ""
            return f"{what}, written", example, remedy.format(name) + then
    return None


def _dates(name: str, counts: Mapping[str, int]) -> _Found | None:
    texts = [*counts][:_MOST_DATES]
    first = forms_of(texts[0])
    forms = [form for form in first if all(is_date(text, form) for text in texts)]
    if forms:
        ways = " or ".join(as_dates(name, form) for form in forms[:2])
        return "dates written", texts[0], f"read them with {ways}"
    if _prevail(counts, re.compile(DATE).fullmatch):
        return None  # the few others are slips
    example, *others = _one_of_each_form(texts) or [""]
    if others:
        remedy = (
            f"others are like {' and '.join(map(repr, others))}, so write all of them alike, as 2024-12-31 17:30:00 is"
        )
        return "dates of several forms, some written", example, remedy
    return None


def _one_of_each_form(texts: Sequence[str]) -> list[str]:
    """Return a date of each form that texts have; none if one of them is no date."""
    examples = []
    while texts:
        first = texts[0]
        read = [[text for text in texts if is_date(text, form)] for form in forms_of(first)]
        if re.fullmatch(DATE, first):
            read.append([text for text in texts if re.fullmatch(DATE, text)])
        if not read:
            return []
        examples.append(first)
        of_it = {*max(read, key=len)}  # 03/04/2024 has two forms: the one of more texts counts
        texts = [text for text in texts if text not in of_it]
    return examples
