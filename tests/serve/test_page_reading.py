"""The page without a server reads a file as the product does: the same numbers, texts and days, or the same refusal."""

from __future__ import annotations

from datetime import datetime
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollad.detector.results import expected_by
from tollad.io.inputs import row_blocks
from tollad.io.rows import concat_rows
from tollad.io.source import Source
from tollad.serve.folder import described
from tollad.serve.runtime import Runtime
from tollad.tables.schema import Column

READ = """([text, known]) => {
  try {
    const { vectors } = readRows(text, known, "f.csv");
    const plain = values => Array.from(values, value => Number.isNaN(value) ? null : value);
    return Object.fromEntries(Object.entries(vectors).map(([name, values]) => [name, plain(values)]));
  } catch (error) {
    return error.message;
  }
}"""

NUMBERS = st.one_of(
    st.floats(allow_nan=False, width=64).map(repr),
    st.integers(-(10**18), 10**18).map(str),
    st.sampled_from(
        ["", "?", "NA", "nan", "true", "FALSE", " 7 ", "+5", ".5", "5.", "1E+5", "-0", "0007", "1e-400", "\uff11"]
    ),
    st.sampled_from(["old", "1e400", "inf", "1_000", "0x10", "1,5", "1 000", "--", "12 kg"]),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "Bonn",
            " Bonn ",
            "Oslo",
            "A\u030angstro\u0308m",
            "\u00c5ngstr\u00f6m",
            "\u00a0Rome\u2003",
            "True",
            "false",
            "NULL",
            "-",
        ]
    ),
    st.text(st.characters(exclude_characters='\0"\r\n,;|\t\ufeff', exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(['a "new" city', "a,b;c", "two\nlines", "two\r\nlines", '""', " ", "\x85Ulm", "\x1fUlm"]),
)
DAY = st.dates().map(str)
TIMES = st.one_of(DAY, st.datetimes().map(str), st.datetimes().map(lambda time: time.isoformat(timespec="minutes")))
ODD_TIMES = st.sampled_from(
    [
        "2024/02/29",
        "2024-02-30",
        "2024-02-29 24:00",
        "2024-02-29 12",
        "2024-2-9",
        "20240229",
        "0052-01-01",
        "2024-02-29 12:30:15.123456789",
        "2024-02-29T12:30Z",
        "2024-02-29 12:30+0130",
        "",
        "soon",
    ]
)
# Arrow knows no daylight saving time after 2037.
KNOWN_TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2037, 12, 31))
ZONED = st.one_of(
    st.builds("{}{}".format, KNOWN_TIMES, st.sampled_from(["Z", "+01:00", "+0200", "+02", "-11:30"])),
    ODD_TIMES,
)
VALUES = {
    "number": NUMBERS,
    "text": TEXTS,
    "day": st.one_of(TIMES, ODD_TIMES),
    "berlin": ZONED,
    "written": ZONED,
    "old": st.one_of(TIMES, ZONED),
}
COLUMNS = (
    Column("number", "number"),
    Column("text", "category", ("Bonn",), (1,)),
    Column("day", "date", zone=""),
    Column("berlin", "date", zone="Europe/Berlin"),
    Column("written", "date", zone="as written", offsets=(60, 120)),
    Column("old", "date", zone=None),
)


@pytest.fixture(scope="module")
def read(browser):
    page, folder = browser.new_page(), resources.files("tollad.serve") / "web"
    for name in ("text.js", "values.js"):
        page.add_script_tag(content=folder.joinpath(name).read_text(encoding="utf-8"))

    def reading(text, known):
        found = page.evaluate(READ, [text, known])
        if isinstance(found, str):
            return problem(found)
        # A number without decimals comes as a whole one.
        return {
            name: [float(value) if isinstance(value, int) else value for value in values]
            for name, values in found.items()
        }

    yield reading
    page.close()


def problem(message: str) -> str:
    """What was wrong; what to do differs, since one who has a page has no Python."""
    return message.partition(";")[0]


def model(columns=COLUMNS[:1], header=True, **dialect) -> Runtime:
    """What a graph says of itself, without the graph."""
    source = Source("t.csv", 1, 1, header, drop=("id",), dialect=dialect)
    known = {"kind": "table", "source": source.to_json(), "threshold": 1.0}
    return Runtime(None, tuple(column.name for column in columns), tuple(columns), True, known)


def by_product(runtime: Runtime, text: str, folder, monkeypatch) -> dict[str, list[object]] | str:
    (folder / "f.csv").write_bytes(text.encode())
    monkeypatch.chdir(folder)
    try:
        blocks = [block.rows for block in row_blocks(expected_by(runtime), "f.csv", header=None, key=None)]
    except ValueError as error:
        return problem(str(error))
    inputs = runtime.feed(concat_rows(blocks))
    return {name: [None if value != value else value for value in values.tolist()] for name, values in inputs.items()}


def written(names, rows, mark=",") -> str:
    def cell(value: str) -> str:
        return '"' + value.replace('"', '""') + '"' if any(sign in value for sign in f'"{mark}\r\n') else value

    return "\n".join(mark.join(map(cell, row)) for row in [names, *rows]) + "\n"


QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@QUICK
@given(data=st.data())
def test_values_of_each_kind(read, tmp_path, monkeypatch, column, data):
    values = data.draw(st.lists(VALUES[column.name], min_size=1, max_size=6))
    runtime = model((column, Column("n", "number")))
    text = written([column.name, "n"], [[value, "1"] for value in values])
    wanted = by_product(runtime, text, tmp_path, monkeypatch)
    assert read(text, described(runtime, "m")) == wanted


@QUICK
@given(
    data=st.data(),
    mark=st.sampled_from(",;\t|"),
    lines=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    before=st.sampled_from(["", "# a comment\n", "\n\n", "#1,2\n#\n"]),
)
def test_how_files_are_written(read, tmp_path, monkeypatch, data, mark, lines, before):
    cells = st.sampled_from(["Bonn", "a,b", "a;b", 'say "x"', "one\ntwo", "", " x ", '"'])
    rows = data.draw(st.lists(st.tuples(cells, st.sampled_from(["1", "2.5", "", "7e3"])), min_size=1, max_size=8))
    runtime = model((COLUMNS[1], COLUMNS[0]))
    text = before + written(["text", "number"], rows, mark).replace("\n", lines)
    assert read(text, described(runtime, "m")) == by_product(runtime, text, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("number\n1.234,5\n1 234,5\n-7\n7e2\n", {"decimal": ",", "separator": ";"}),
        ("number\n1.5\n", {"decimal": ",", "separator": ";"}),
        ('number\n"1,234.5"\n12\'345\n1,2\n', {"decimal": "."}),
        ("number\n1\nnone\n-999\n", {"missing": ["none", "-999"]}),
        ("number\n1\n2,3\n", {}),
        ("number,number\n1,2\n", {}),
        ("number,x\n1,2\n", {}),
        ("x\n1\n", {}),
        ("number,id\n1,abc\n", {}),
        ("number\n", {}),
        ("", {}),
        ('number\n"1\n', {}),
        ("number id\n1 a\n2 b\n", {}),
        ("number  id\n 1   2\n2 3\n", {}),
        ("# number,id\n1,2\n", {}),
        ("#number,id\n1,2\n", {}),
        ("id;number\n1,5;2\n1,5;3\n", {}),
    ],
)
def test_files_with_a_way_of_writing(read, tmp_path, monkeypatch, text, dialect):
    runtime = model(**dialect)
    found, wanted = read(text, described(runtime, "m")), by_product(runtime, text, tmp_path, monkeypatch)
    assert type(found) is type(wanted), (found, wanted)
    if not isinstance(wanted, str):
        assert found == wanted


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d.%m.%Y", "29.02.2024"),
        ("%m/%d/%y %I:%M %p", "2/9/69 12:05 am"),
        ("%d %b %Y", "3 Mar 2024"),
        ("%A, %d %B %Y", "Monday, 01 April 2024"),
        ("%d.%m.%Y %H:%M:%S.%f", "1.2.2024 7:08:09.25"),
        ("%d.%m.%Y", "2024-02-29"),
        ("%d.%m.%Y", "30.02.2024"),
    ],
)
def test_forms_of_dates(read, tmp_path, monkeypatch, form, text):
    runtime = model((COLUMNS[2],), date_format=form)
    file = f'day\n"{text}"\n'
    assert read(file, described(runtime, "m")) == by_product(runtime, file, tmp_path, monkeypatch)


def test_a_file_without_names(read, tmp_path, monkeypatch):
    runtime = model((Column("x1", "number"), Column("x2", "number")), header=False)
    assert read("1,2\n3,4\n", described(runtime, "m")) == {"x1": [1, 3], "x2": [2, 4]}


def test_names_that_had_outer_spaces_at_the_fit(read, tmp_path, monkeypatch):
    runtime = model((Column(" a", "number"), Column("b", "number"), Column("b ", "number")))
    text = "a, b\n1,2\n"
    refused = by_product(runtime, text, tmp_path, monkeypatch)
    assert read(text, described(runtime, "m")) == refused == "f.csv: lacks columns that the model was fitted on: 'b '"
    runtime = model((Column(" a", "number"), Column("b", "number")))
    wanted = {" a": [1.0], "b": [2.0]}
    assert read(text, described(runtime, "m")) == by_product(runtime, text, tmp_path, monkeypatch) == wanted
