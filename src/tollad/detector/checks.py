"""Checks of single values: each raises one sentence that names the value, what it may be, and what was given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias

MOST_WIDE = 1_000_000
"""The most units of a layer."""

Check: TypeAlias = Callable[[str, Any], None]
"""``(name, value) -> None``; raises TypeError or ValueError."""


def number(
    wanted: str | None = None,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    auto: bool = False,
) -> Check:
    """Return a check for finite numbers of a range; messages call them `wanted`, and `auto` allows "auto"."""
    if wanted is None:
        wanted = f"a finite number >= {least:g}" if least > -math.inf else f"a finite number > {above:g}"

    def check(name: str, value: Any) -> None:
        if auto and isinstance(value, str) and value == "auto":
            return
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be {wanted}, not {value!r}")
        if not (math.isfinite(value) and least <= float(value) <= most and above < float(value) < below):
            raise ValueError(f"{name} must be {wanted}, not {value!r}")

    return check


def integer(least: int, *, auto: bool = False, most: int | None = None) -> Check:
    """Return a check for integers from `least` to `most`; `auto` allows "auto"."""
    wanted = f"an integer >= {least}" + " or 'auto'" * auto

    def check(name: str, value: Any) -> None:
        if auto and isinstance(value, str) and value == "auto":
            return
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be {wanted}, not {value!r}")
        if int(value) < least:
            raise ValueError(f"{name} must be {wanted}, not {value!r}")
        if most is not None and int(value) > most:
            raise ValueError(f"{name} must be at most {most}, not {value!r}; no memory holds more")

    return check


def choice(known: Sequence[Any] | Callable[[], Sequence[Any]]) -> Check:
    """Return a check for one of some values, or of those that a function returns."""

    def check(name: str, value: Any) -> None:
        all_known = known() if callable(known) else known
        if not any(value is one or (isinstance(value, str) and value == one) for one in all_known):
            raise ValueError(f"unknown {name} {value!r}; the known ones are {', '.join(map(repr, all_known))}")

    return check


def optional(check: Check) -> Check:
    """Return a check that lets None through."""

    def checked(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return checked


def unchecked(name: str, value: Any) -> None:
    """Check nothing: torch checks its devices, and a fit its random states."""


def flag(name: str, value: Any) -> None:
    """Check for True or False, NumPy's among them."""
    if not (isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def integer_or_bool(name: str, value: Any) -> None:
    """Check for an integer, True or False."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, not {value!r}")


def column_kinds(name: str, value: Any) -> None:
    """Check for a mapping of columns to kinds, or None."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of column names to kinds or None, not {value!r}")


def contamination(name: str, value: Any) -> None:
    """Check for a share of the training rows. For "auto", the message names an alternative."""
    wanted = "a share of the rows, 0 < contamination <= 0.5"
    if isinstance(value, str) and value == "auto":
        raise TypeError(
            f"{name} must be {wanted}, not 'auto': give false_alarm_rate=0.05 where the share of anomalies is unknown"
        )
    number(wanted, above=0, most=0.5)(name, value)


def hidden(name: str, value: Any) -> None:
    """Check for a sequence of widths, or "auto"."""
    if isinstance(value, str) and value == "auto":
        return
    if isinstance(value, str):
        raise ValueError(f"{name} must be a sequence of widths or 'auto', not {value!r}")
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a sequence of widths or 'auto', not {value!r}")
    for width in value:
        integer(1, most=MOST_WIDE)(f"each width of {name}", width)


def network(name: str, value: Any) -> None:
    """Check for the name of a network, a builder, or modules."""
    from tollad.method import networks

    if isinstance(value, str):
        if value != "auto" and value not in networks.__all__:
            raise ValueError(f"unknown {name} {value!r}; the known ones are auto, {', '.join(networks.__all__)}")
    elif not (networks.is_modules(value) or callable(value)):
        raise TypeError(
            f"{name} must be a name, a builder (input_shape, latent_dim) -> module, a torch module that returns "
            "(x_hat, z), or a pair (encoder, decoder) of torch modules"
        )


def latent_penalties() -> Sequence[str]:
    """Return the names of the latent penalties."""
    from tollad.method import terms

    return tuple(terms.latent_penalties())


def reconstruction_errors() -> Sequence[str]:
    """Return the names of the reconstruction errors."""
    from tollad.method import terms

    return terms.reconstruction_errors()
