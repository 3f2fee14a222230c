"""Options that take numbers: a wrong one is told what is allowed, everywhere in the same words."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from commands import tollad

from tollad.cli.main import COMMANDS
from tollad.cli.numbers import Integer, Number


def _options(commands: dict[str, click.Command]) -> Iterator[tuple[str, click.Parameter]]:
    for name, command in commands.items():
        if isinstance(command, click.Group):
            yield from _options(command.commands)
        yield from ((f"{name} {option.opts[0]}", option) for option in command.params)


def test_no_option_says_click_s_own_words_about_numbers() -> None:
    of_click = (type(click.INT), type(click.FLOAT), click.IntRange, click.FloatRange)
    found = {name: type(option.type) for name, option in _options(COMMANDS) if isinstance(option.type, of_click)}
    assert len(found) > 10
    assert not {name: kind for name, kind in found.items() if kind not in (Integer, Number)}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Integer(), "2.5", "give an integer, not '2.5'."),
        (Integer(1), "0", "give an integer from 1 up, not '0'."),
        (Integer(1, 9), "ten", "give an integer from 1 to 9, not 'ten'."),
        (Number(), "nan", "give a number, not 'nan'."),
        (Number(0), "-1", "give a number from 0 up, not '-1'."),
        (Number(0, min_open=True), "0", "give a number above 0, not '0'."),
        (Number(0, 1, min_open=True, max_open=True), "1", "give a number above 0 and below 1, not '1'."),
    ],
)
def test_a_wrong_number_is_told_what_is_allowed(kind: click.ParamType, text: str, said: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        kind.convert(text, None, None)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("score", "m", "t.csv", "--threshold", "high"), "'--threshold': give a number, not 'high'."),
        (("score", "m", "t.csv", "--fdr", "5"), "'--fdr': give a number above 0 and below 1, not '5'."),
        (("serve", "m", "--port", "http"), "'--port': give an integer from 0 to 65535, not 'http'."),
        (("fit", "t.csv", "-o", "m", "--max-gib", "nan"), "'--max-gib': give a number above 0, not 'nan'."),
        (("fit", "t.csv", "-o", "m", "--random-state", "x"), "give an integer, not 'x'."),
        (("fit", "t.csv", "-o", "m", "--steps", "many"), "'--steps': give an integer or auto, not 'many'."),
        (("fit", "t.csv", "-o", "m", "--window", "-3"), "'-3' is no number of time steps; give 1 or more, or auto."),
        (("fit", "t.csv", "-o", "m", "--size", "big"), "'big' is no size; give pixels, such as 64, or 48x64"),
    ],
)
def test_the_command_line_says_it(arguments: tuple[str, ...], said: str) -> None:
    result = tollad(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
