"""The command line as tests call it."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from tollad.cli.main import COMMANDS, main

# The command in a process of its own.
COMMAND = (sys.executable, "-c", "from tollad.cli.main import main; main()")


SMALL = ("--network", "mlp", "--hidden", "8", "--latent-dim", "2", "--n-members", "1", "--corruption", "none")
QUICK = (*SMALL, "--steps", "15", "--quiet")
COLUMNS = ("a", "b", "c")
CSV = "a,b\n1,2\n3,4\n5,6\n"


def tollad(*arguments: object, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
    strange = strange_advice(str(arguments[0]) if arguments else "", result.stderr)
    assert not strange, f"the command has no {strange}: {result.stderr}"
    return result


def strange_advice(command: str, said: str) -> list[str]:
    """Return the options in messages that the command lacks, and so does a command that the same clause names."""
    strange = []
    for line in said.splitlines():
        if not line.startswith(("Error: ", "Warning: ", "- ")) or "No such option" in line:
            continue
        for clause in re.split("[;,] ", line):
            named = [command, *re.findall(r"\b(?<!at )[a-z]+\b", clause)]
            options = [option for each in named if each in COMMANDS for option in COMMANDS[each].params]
            known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
            strange += [option for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", clause) if option not in known]
    return strange


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


def refused_in(folder: Path, *arguments: object, given: bytes | None = None) -> str:
    """Return the one line that a command says when it fails, leaving the folder as it was."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    said = refused(*arguments, given=given)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return said


def scores_of(text: str) -> list[float]:
    return [float(row["score"]) for row in rows_of(text)]


def text_of(data: np.ndarray[Any, Any], separator: str = ",") -> bytes:
    """Return the columns a, b and c as text."""
    lines = [separator.join(COLUMNS), *(separator.join(map(repr, row)) for row in data.tolist())]
    return ("\n".join(lines) + "\n").encode()


def write_csv(path: Path, columns: dict[str, Any]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
