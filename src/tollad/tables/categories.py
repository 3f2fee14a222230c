"""Categories: the levels of a column, and refusals and warnings about them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from tollad.tables.casts import NUMBER, TEXT, to_float
from tollad.tables.keys import ENOUGH
from tollad.tables.refusals import option
from tollad.tables.schema import Column, category_column
from tollad.warn import warn

# If a larger share of the texts is distinct, the column is taken for an identifier.
_MOSTLY_DISTINCT = 0.9


def fit_category(name: str, counts: Mapping[str | None, int], asked: str | None) -> Column:
    """Return a category with its levels.

    Parameters
    ----------
    name : str
        Of the column.
    counts : mapping of (str or None) to int
        How often each level occurs; None is a missing value.
    asked : str or None
        The kind that the user gave, if any.

    Raises
    ------
    ValueError
        If no kind was given, and of 20 values or more over 90 % are distinct, as in an identifier.

    Warns
    -----
    UserWarning
        If two levels differ only in upper and lower case, in spaces, or in invisible characters.

    Examples
    --------
    >>> fit_category("city", {"Oslo": 1, "Bonn": 2}, asked=None).levels
    ('Bonn', 'Oslo')
    """
    n_values = sum(count for level, count in counts.items() if level is not None)
    n_levels = len(counts) - (None in counts)
    if asked is None and n_values >= ENOUGH and n_levels > _MOSTLY_DISTINCT * n_values:
        every = "every row" if n_levels == n_values else f"nearly every row ({n_levels:,} of {n_values:,} are distinct)"
        raise ValueError(
            f"column {name!r} holds another text in {every}, as an identifier does; drop it with "
            f"{option(name, 'drop')}, or keep it as a category with {option(name, 'category')}"
        )
    _warn_of_equal_levels(name, counts)
    return category_column(name, counts)


def _warn_of_equal_levels(name: str, levels: Iterable[str | None]) -> None:
    """Warn of levels that differ only in upper and lower case, in spaces, or in characters that cannot be seen."""
    seen: dict[str, str] = {}
    for level in levels:
        if level is not None and (other := seen.setdefault(_as_seen(level), level)) != level:
            warn(
                f"column {name!r} holds {other!r} and {level!r}, which differ only in upper and lower case, in spaces "
                "or in invisible characters; they are learnt as different categories, so write them alike if they are "
                "the same"
            )
            return


def _as_seen(level: str) -> str:
    """Return a text in lower case, with single spaces, and without characters of no width (Unicode's category Cf)."""
    if not level.isascii():
        level = "".join(character for character in level if unicodedata.category(character) != "Cf")
    return " ".join(level.casefold().split())


def warn_of_known_levels(column: Column, unknown: pa.Array) -> None:
    """Warn of a level that no training row has, though one has it in another case, or as a number.

    `unknown` are different texts, without null.
    """
    known = pa.array(column.levels, TEXT).drop_null()
    places = pc.index_in(_as_read(unknown), value_set=_as_read(known))
    if places.null_count < len(unknown):
        first = pc.index(places.is_valid(), True).as_py()
        level, other = unknown[first].as_py(), known[places[first].as_py()].as_py()
        warn(
            f"column {column.name!r} holds {level!r}, which no training row has, though some have {other!r}; it "
            "counts as never seen, so write both alike if they are the same"
        )


def _as_read(levels: pa.Array) -> pa.Array:
    """Return levels as a person reads them: numbers in one form, others as `_as_seen` does."""
    bare = pc.replace_substring_regex(levels, r"\p{Cf}+", "")
    seen = pc.utf8_trim_whitespace(pc.utf8_lower(pc.replace_substring_regex(bare, r"[\s\pZ]+", " ")))
    are_numbers = pc.match_substring_regex(seen, f"^{NUMBER}$")
    return pc.replace_with_mask(seen, are_numbers, to_float(seen.filter(are_numbers)).cast(TEXT))
