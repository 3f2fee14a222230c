"""Recognise numbers that people wrote with money, per cent or units, and say how to read them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tollad.tables.keys import ENOUGH
from tollad.tables.values import option

# Share of the values that must have one and the same form.
_SHARE = 0.95
_CURRENCY = r"[$\u20ac\u00a3\u00a5\u20b9]|[A-Z]{3}"
# A unit follows a space, or is per cent, a currency or at least two letters: "12A" may be the name of a thing.
_FORM = re.compile(
    rf"(?P<before>(?:{_CURRENCY}) ?)?[+-]?(?P<number>[0-9][0-9.,'\u2019 ]*?)"
    rf"(?P<after> ?%| ?(?:{_CURRENCY})| [^\d\s.,]{{1,6}}|[^\W\d_]{{2,4}}|\u00b0[CF]?)?"
)


def numbers_with_units(name: str, counts: Mapping[str, int]) -> ValueError | None:
    """Return the refusal of a column of text that holds numbers with one sign of money, per cent or a unit; else None.

    Parameters
    ----------
    name : str
        Of the column.
    counts : mapping of str to int
        How often each text occurs.

    Examples
    --------
    >>> print(numbers_with_units("mass", {f"{k} kg": 1 for k in range(50)}))
    column 'mass' holds numbers written like '0 kg'; make them plain numbers by taking away ' kg', or leave them out \
with columns={'mass': 'drop'}
    """
    n_values = sum(counts.values())
    if n_values < ENOUGH:
        return None
    shapes: dict[tuple[str, str], int] = {}
    for text, count in counts.items():
        found = _FORM.fullmatch(text)
        if found and (found["before"] or found["after"]):
            shape = found["before"] or "", found["after"] or ""
            shapes[shape] = shapes.get(shape, 0) + count
    shape = max(shapes, key=shapes.__getitem__, default=("", ""))
    if shapes.get(shape, 0) < _SHARE * n_values:
        return None
    example = next(text for text in counts if (found := _FORM.fullmatch(text)) and _has(found, shape))
    away = [repr(part) for part in shape if part]
    away += ["the commas that group digits"] * (re.search(r"\d,\d{3}(?!\d)", example) is not None)
    return ValueError(
        f"column {name!r} holds numbers written like {example!r}; make them plain numbers by taking away "
        f"{' and '.join(away)}, or leave them out with {option(name, 'drop')}"
    )


def _has(found: re.Match[str], shape: tuple[str, str]) -> bool:
    return (found["before"] or "", found["after"] or "") == shape
