"""Numbers as values of options. A wrong one gets one sentence that says what is allowed."""

from __future__ import annotations

import math
from typing import Any

import click


class Integer(click.IntRange):
    """An integer from `min` to `max`, both included. Without one of them, there is no limit on that side."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the integer of a text."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            _refuse(self, "an integer", value, param, ctx)


class Number(click.FloatRange):
    """A number from `min` to `max`; with `min_open` or `max_open` above or below it. NaN is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number of a text."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if math.isnan(number):
            _refuse(self, "a number", value, param, ctx)
        return number


def _refuse(
    limits: click.IntRange | click.FloatRange,
    what: str,
    value: Any,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> None:
    least, most = limits.min, limits.max
    allowed = ""
    if least is not None and most is not None and not (limits.min_open or limits.max_open):
        allowed = f" from {least} to {most}"
    elif least is not None:
        allowed = f" above {least}" if limits.min_open else f" from {least} up"
        if most is not None:
            allowed += f" and below {most}"
    limits.fail(f"give {what}{allowed}, not {value!r}.", param, ctx)
