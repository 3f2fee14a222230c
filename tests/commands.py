"""The command line as tests call it."""

from __future__ import annotations

import csv
import io
import re
import sys

from click.testing import CliRunner, Result

from tollad.cli.main import main

# The command in a process of its own.
COMMAND = (sys.executable, "-c", "from tollad.cli.main import main; main()")


def tollad(*arguments: object, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def done(*arguments: object, given: bytes | None = None) -> Result:
    result = tollad(*arguments, given=given)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: object, given: bytes | None = None) -> str:
    """Return the one line that a command says when it fails."""
    result = tollad(*arguments, given=given)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert re.fullmatch("Error: [^\n]+\n", result.stderr)
    return result.stderr


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
