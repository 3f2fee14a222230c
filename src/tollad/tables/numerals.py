"""How people write numbers: decimal signs, and signs that group digits by threes."""

from __future__ import annotations

import re

GROUPING = "'\u2019 \u00a0\u202f\u2009\u2007_"
"""Signs that group digits, besides the point and the comma: apostrophes, spaces of all kinds, and the underscore."""

_OTHER = {",": ".", ".": ","}


def grouped(decimal: str) -> str:
    """Return the pattern of numbers with a decimal sign, "." or ",", whose digits may be grouped by threes.

    With a decimal point, commas may also group them as in India: 12,34,567.
    """
    sign = re.escape(decimal)
    plain = rf"[0-9]+({sign}[0-9]*)?([eE][+-]?[0-9]+)?|{sign}[0-9]+([eE][+-]?[0-9]+)?"
    groups = rf"[1-9][0-9]{{0,2}}([{re.escape(_OTHER[decimal])}{GROUPING}][0-9]{{3}})+({sign}[0-9]+)?"
    if decimal == ".":
        groups += r"|[1-9][0-9]?(,[0-9]{2})+,[0-9]{3}(\.[0-9]+)?"
    return rf"^[+-]?({groups}|{plain})$"


def grouping_signs(decimal: str) -> str:
    """Return the pattern of a sign that may group the digits of a number with a decimal sign."""
    return f"[{re.escape(_OTHER[decimal])}{GROUPING}]"


def readings(text: str) -> dict[str, str]:
    """Return the ways to read a text that is no plain number: plain numbers as text, by the decimal sign assumed.

    Examples
    --------
    >>> readings("62,711"), readings("1.234,5"), readings("1 234"), readings("12.5")
    ({'.': '62711', ',': '62.711'}, {',': '1234.5'}, {'.': '1234'}, {})
    """
    if re.match(r"^[+-]?[0-9]*\.?[0-9]*$", text):
        return {}
    found = {
        decimal: re.sub(grouping_signs(decimal), "", text).replace(decimal, ".")
        for decimal in (".", ",")
        if re.match(grouped(decimal), text)
    }
    # Without a decimal sign, both read the same.
    return {".": found["."]} if len(found) == 2 and found["."] == found[","] else found
