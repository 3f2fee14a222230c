"""Messages of the library, said with the options of the command line."""

from __future__ import annotations

import shlex

import pytest

from tollad.cli.hints import in_options


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("read the file with header=False", "read the file with --no-header"),
        ("replace it with overwrite=True", "replace it with --force"),
        ("turn all into grey ones with grey=True", "turn all into grey ones with --grey"),
        ("or into colour ones with colour=True", "or into colour ones with --colour"),
        ("aspect='pad' says how", "--aspect pad says how"),
        ("use precision='float32' here", "use --precision float32 here"),
        ("use device='auto'", "use --device auto"),
        (r"as in separator='\x01', or", r"as in --sep $'\x01', or"),
        ("no argument is named here", "no argument is named here"),
        ("columns={'a': 'drop', 'b c': 'category'}", "--column a=drop --column 'b c=category'"),
        ("read them with decimal=',', or", "read them with --decimal ',', or"),
        ("date_format='%b %d, %Y'", "--date-format '%b %d, %Y'"),
        (
            "as missing with pandas.read_csv(na_values=['#DIV/0!', '(x)']), or",
            "as missing with --na '#DIV/0!' --na '(x)', or",
        ),
        ("with pandas.read_csv(thousands=','), or", "with --decimal '.', or"),
        ("with pandas.read_csv(decimal=',', thousands='.')", "with --decimal ','"),
        ("pandas.to_datetime(frame['it\\'s'], format='%d %b %Y')", "--date-format '%d %b %Y'"),
        ("pandas.to_datetime(frame['x'], unit='s')", "pandas.to_datetime(frame['x'], unit='s')"),
        ("leave them out with drop=['a', 'b c'], or", "leave them out with --drop a --drop 'b c', or"),
        ("with frame['it\\'s'].replace(-999, numpy.nan), or", "with --na -999, or"),
        (r"columns={'a\nb': 'drop'}", r"--column $'a\nb=drop'"),
        ("columns={'a': unquoted}", "columns={'a': unquoted}"),
    ],
)
def test_arguments_become_options(message, shown):
    assert in_options(message) == shown


@pytest.mark.parametrize("name", ["it's", 'two "words"', "a{b}", "$(x)", "\\", "é"])
def test_columns_of_any_name_can_be_pasted(name):
    assert shlex.split(in_options(f"drop it with columns={{{name!r}: 'drop'}}"))[-2:] == ["--column", f"{name}=drop"]
