"""A declared parameter: its default, meaning and check, and its option of the command line."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tollad.detector.checks import Check

OptionType: TypeAlias = Literal["text", "number", "integer", "widths", "rate", "share", "kinds", "flag", "window"]


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes
    ----------
    name : str
    default : object
    values : str
        The allowed values, as docstrings show them.
    meaning : str
        Its meaning, for the docstring.
    check : callable
        ``(name, value) -> None``, raising TypeError or ValueError with one sentence.
    option : {"text", "number", "integer", "widths", "rate", "share", "kinds", "flag", "window"}
        How the command line reads it from text.
    help : str
        Its meaning, for the help of the command line.
    metavar : str, default ""
        Placeholder for the value in that help.
    """

    name: str
    default: Any
    values: str
    meaning: str
    check: Check
    option: OptionType
    help: str
    metavar: str = ""

    def documented(self) -> str:
        """Return the entry of the parameter in a docstring."""
        default = "optional" if self.default is None and "None" not in self.values else f"default {self.default!r}"
        lines = textwrap.indent(textwrap.dedent(self.meaning).strip(), " " * 4)
        return f"{self.name} : {self.values}, {default.replace(chr(39), chr(34))}\n{lines}"
