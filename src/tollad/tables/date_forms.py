"""Formats in which people write dates, besides those of ISO 8601."""

from __future__ import annotations

import re
from datetime import datetime

_DAYS = (
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%a %d %b %Y"),
    *("%d-%b-%y", "%d %b %y", "%Y.%m.%d", "%d/%b/%Y", "%G-W%V-%u"),
    *("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y-%m-%d", "%Y/%m/%d"),
    *("%Y\u5e74%m\u6708%d\u65e5", "%Y\ub144 %m\uc6d4 %d\uc77c", "%Y-%j"),
)
# Months are dates, not categories: later rows have months that were never seen.
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%b %Y", "%b-%Y", "%B %Y")
_SHORT = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H%M", ":%H:%M:%S", ", %H:%M", " %I:%M %p", " %I:%M:%S %p", ", %I:%M %p")
_ZONES = ("", " %z", "%z")
_WITH_TIME = ("%a %b %d %H:%M:%S %Y", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z")


def forms_of(text: str) -> list[str]:
    """Return the formats for `datetime.datetime.strptime` in which a text is a date.

    Examples
    --------
    >>> forms_of("31.12.2024"), forms_of("03/04/2024 10:30"), forms_of("soon")
    (['%d.%m.%Y'], ['%d/%m/%Y %H:%M', '%m/%d/%Y %H:%M'], [])
    """
    every = [day + time + zone for day in (*_DAYS, *_SHORT) for time in _TIMES for zone in _ZONES if time or not zone]
    return [form for form in (*every, *_MONTHS, *_WITH_TIME) if is_date(text, form)]


def is_date(text: str, form: str) -> bool:
    """Return whether a text is a date in a format."""
    if form.startswith(_SHORT) and not re.match(r"[0-9]{2}([-./])[0-9]{2}\1[0-9]{2}\b", text):
        return False  # 1.2.10 is a version
    if form.startswith("%Y-%j") and not re.match(r"[0-9]{4}-[0-9]{3}\b", text):
        return False  # 2024-05 is a month
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
