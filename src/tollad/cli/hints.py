"""Messages of the library, which name arguments of Python, in terms of command-line options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Collection

from tollad.warn import printable


def in_options(message: str, known: Collection[str] = ()) -> str:
    """Replace arguments of Python in a message of the library by command-line options.

    `known` are the options of the command that fails; the message adds what only some commands have.

    Examples
    --------
    >>> in_options("t.csv: the first line is a row; read the file with header=False")
    't.csv: the first line is a row; read the file with --no-header'
    >>> in_options("drop it with columns={'the name': 'drop'}")
    "drop it with --column 'the name=drop'"
    >>> in_options("leave them out with drop=['the id']", known=["--drop", "--id"])
    "leave them out with --drop 'the id', or write them beside the scores with --id 'the id'"
    """
    for pattern, option in _OPTIONS:
        message = pattern.sub(option, message)
    return _DROP.sub(lambda found: _drop(found, known), message)


def _drop(found: re.Match[str], known: Collection[str]) -> str:
    names = [_quoted(name) for name in ast.literal_eval(found[1])]
    way = " ".join(f"--drop {name}" for name in names)
    if "--id" in known:
        way += f", or write them beside the scores with {' '.join(f'--id {name}' for name in names)}"
    return way


def _columns(found: re.Match[str]) -> str:
    try:
        kinds = ast.literal_eval(found[1])
    except (ValueError, SyntaxError):
        return found[0]
    return " ".join(f"--column {_quoted(f'{name}={kind}')}" for name, kind in kinds.items())


def _quoted(text: str) -> str:
    r"""Return a text as a shell takes it, on one line.

    Examples
    --------
    >>> print(_quoted("it's"), _quoted("size\n(mm)"))
    'it'"'"'s' $'size\n(mm)'
    """
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(escaped)}'"


def _text(found: re.Match[str]) -> str:
    name = {"separator": "sep", "date_format": "date-format"}.get(found[1], found[1])
    value = ast.literal_eval(found[2])
    quoted = shlex.quote(value) if re.search(r"\w", value) else repr(value)
    if not value.isprintable() and value != "\t":
        quoted = _quoted(value)
    return f"--{name} {quoted}"


def _call(found: re.Match[str]) -> str:
    """Return the options for a call of pandas, or the call where there is none."""
    call = ast.parse(found[0], mode="eval").body
    assert isinstance(call, ast.Call)
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    if "na_values" in given:
        return " ".join(f"--na {_quoted(word)}" for word in given["na_values"])
    if "format" in given:
        return f"--date-format {shlex.quote(given['format'])}"
    if given.keys() & {"decimal", "thousands"}:
        return f"--decimal {given.get('decimal', '.')!r}"
    return found[0]


_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_OPTIONS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"\bpandas\.(?:read_csv|to_datetime)\((?:[^()'\"]|{_QUOTED})*\)"), _call),
    (re.compile(rf"\bframe\[(?:{_QUOTED})\]\.replace\((-?[0-9]+), numpy\.nan\)"), r"--na \1"),
    (re.compile(r"\bheader=False\b"), "--no-header"),
    (re.compile(r"\boverwrite=True\b"), "--force"),
    (re.compile(r"\bgrey=True\b"), "--grey"),
    (re.compile(r"\bcolour=True\b"), "--colour"),
    (re.compile(r"\baspect='(\w+)'"), r"--aspect \1"),
    (re.compile(r"\btail=True\b"), "--tail"),
    (re.compile(r"\banomaly_score must be\b"), "--threshold must be"),
    (
        re.compile(r"\bset false_alarm_rate before the fit, or call calibrate\(X_normal\)"),
        "fit with --false-alarm-rate, or give the model some by tollad calibrate",
    ),
    (re.compile(r"\bfalse_alarm_rate=([0-9.e-]+)"), r"--false-alarm-rate \1"),
    (re.compile(r"\bmax_gib=(\d+)"), r"--max-gib \1"),
    (re.compile(r"\b(separator|encoding|date_format|decimal|key)=('[^']*'|\"[^\"]*\")"), _text),
    (re.compile(r"\bprecision='(\w+)'"), r"--precision \1"),
    (re.compile(r"\bdevice='(\w+)'"), r"--device \1"),
    (re.compile(r"\bgaps='(\w+)'"), r"--gaps \1"),
    (re.compile(r"\btime_zone='([\w/]+)'"), r"--time-zone \1"),
    (re.compile(r"\bsize=\(height, width\)"), "--size HEIGHTxWIDTH"),
    (re.compile(r"\bcolumns=(\{(?:[^{}'\"]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")*\})"), _columns),
)
_DROP = re.compile(rf"\bdrop=(\[(?:(?:{_QUOTED})(?:, )?)+\])")
