"""What the library says: nothing below the command line names one of its options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tollad

SOURCE = Path(tollad.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent.name != "cli")
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+|-[a-z](?= [A-Z<]))")


def texts(tree: ast.Module) -> list[str]:
    """Return all constant texts, parts of formatted ones too, but no docstrings."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone)
    return [node.value for node in constants if isinstance(node.value, str)]


def test_no_message_names_an_option_of_the_command_line():
    """The library says it in words or as an argument of Python; `tollad.cli.hints` turns that into options."""
    for path in MODULES:
        found = [text for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if OPTION.search(text)]
        assert not found, path.relative_to(SOURCE)


@pytest.mark.parametrize("text", ["use --no-header", "(--key NAME)", "write it with -o FILE"])
def test_options_are_recognised(text):
    assert OPTION.search(text)


@pytest.mark.parametrize("text", ["--", "a -- b", "well-kept", "a-b", "x - y", "2**-b", "-1"])
def test_other_dashes_are_not(text):
    assert not OPTION.search(text)
