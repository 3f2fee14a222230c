"""Numbers, days and rows that are no measurements are warned of, the same in arrays, frames and files."""

from __future__ import annotations

import warnings
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import SMALL, done, tollad

from tollad.io import large, records
from tollad.io.dialect import Dialect
from tollad.io.labels import Labelled
from tollad.io.sources import open_table, read_table
from tollad.tables.doubtful import warn_of_numbers
from tollad.tables.keys import look_like_days
from tollad.tables.stand_ins import DAYS, NUMBERS, StandIns, Total
from tollad.tables.survey import fit_columns

VALUES = np.random.default_rng(0).uniform(1, 5, 40)


def of(*others: float, values: np.ndarray = VALUES) -> np.ndarray:
    return np.array([*values, *others])


@pytest.mark.parametrize("number", [-999, -9999, 9999, 65535, -32768])
def test_a_number_far_from_all_others_stands_for_a_missing_one(number):
    words = f"column 'v' holds {number} in 2 rows, far from all other values"
    numbers = of(number, number)
    with pytest.warns(UserWarning, match=words + r".*frame\['v'\]\.replace\(.*, or keep it with columns="):
        fit_columns(pa.table({"v": numbers}))
    with pytest.warns(UserWarning, match=words):
        fit_columns(pa.table({"v": [f"{number:.2f}" for number in numbers]}))
    with pytest.warns(UserWarning, match=words):
        warn_of_numbers(pa.table({"v": numbers}), ["v"])
    with pytest.warns(UserWarning, match=words + r".*; put NaN in its place"):
        warn_of_numbers(numbers[:, None], ["v"])
    fit_columns(pa.table({"v": numbers}), {"v": "number"})


@pytest.mark.parametrize(
    "numbers",
    [
        of(5000),  # far, but no code
        of(999, values=VALUES * 300),  # near the others
        of(-999, values=(VALUES - 3) * 1000),  # others are negative, and as far
        of(-999)[-12:],  # too few to tell
        of(-999, np.nan, values=VALUES * np.nan),
    ],
)
def test_other_numbers_are_values(numbers):
    fit_columns(pa.table({"v": numbers, "w": np.tile(VALUES, 2)[: len(numbers)]}))
    warn_of_numbers(numbers[:, None], ["v"])


def test_stand_ins_are_counted_over_blocks():
    whole, blocks = StandIns(NUMBERS), StandIns(NUMBERS)
    numbers = of(-999, 2, -999, 9999)
    whole.add(numbers)
    for start in range(0, len(numbers), 7):
        blocks.add(numbers[start : start + 7])
    assert whole.found() == blocks.found() == (-999.0, 2)


@pytest.mark.parametrize("day", ["1900-01-01", "1970-01-01 00:00:00", "1899-12-30", "2099-12-31"])
def test_a_day_on_which_calendars_begin_stands_for_none(day):
    days = [*(f"2024-03-{1 + k % 30:02} 10:00:00" for k in range(40)), day]
    with pytest.warns(UserWarning, match=f"column 'v' holds {day[:10]} in 1 row, far from all other dates"):
        fit_columns(pa.table({"v": days}))
    assert fit_columns(pa.table({"v": days}), {"v": "date"})[0].kind == "date"


def test_a_day_near_others_is_one():
    known = StandIns(DAYS)
    known.add(np.arange(-40.0, 40.0))
    assert known.found() is None


def test_rows_of_totals_are_warned_of():
    table = {"v": of(VALUES.sum().round(2)), "w": [*VALUES, None], "c": [*"xy" * 20, None]}
    words = "the last row is the sum of all others in column 'v'"
    with pytest.warns(UserWarning, match=words):
        fit_columns(pa.table(table))
    with pytest.warns(UserWarning, match=words):
        warn_of_numbers(np.column_stack([table["v"], of(1)]), ["v", "w"])
    fit_columns(pa.table({"v": of(VALUES.sum() * 1.01)}))


def test_totals_are_told_over_blocks():
    total = Total()
    for block in np.split(of(VALUES.sum()), [5, 5, 40]):
        total.add(block)
    assert total.is_last()
    total.add(np.array([np.nan]))
    assert not total.is_last()


@pytest.mark.parametrize(
    "values",
    [2.0 ** np.arange(40), np.cumsum(1.5 * 3.0 ** np.arange(30)), [0] * 30 + [1, 2, 0, 3], [0] * 30 + [5, 5.0001]],
)
def test_numbers_that_grow_or_are_mostly_zero_are_no_totals(values):
    total = Total()
    total.add(np.array(values, dtype=np.float64))
    assert not total.is_last()


def test_rows_without_any_value_are_warned_of():
    words = "2 rows have no value at all, but are learnt as normal"
    with pytest.warns(UserWarning, match=words):
        fit_columns(pa.table({"v": [*VALUES, None, None], "c": [*"xy" * 20, "", "?"]}))
    with pytest.warns(UserWarning, match=words):
        warn_of_numbers(np.array([[1, 2], [np.nan] * 2, [np.nan] * 2]), ["v", "w"])
    fit_columns(pa.table({"v": [*VALUES, None]}))  # a gap in the only column


def test_large_files_are_warned_of_alike(tmp_path):
    lines = [f"{value:.3f},{'xy'[k % 2]}" for k, value in enumerate(of(-999))]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["v,c", *lines, ","]) + "\n")
    said = []
    for read in (
        lambda: fit_columns(read_table(open_table(path)).table),
        lambda: large.large_rows(open_table(path, block_rows=7), ["v", "c"], {}, Labelled("t.csv", None, [])),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read()
        said.append(sorted(str(warning.message) for warning in caught))
    assert said[0] == said[1]
    assert len(said[0]) == 2
    assert "1 row has no value at all, but is learnt as normal" in said[0][0]


class TestWordsForMissingNumbers:
    """A word for a missing value that is a number stands for the number, however it is written."""

    @pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
    def test_in_files(self, ending, tmp_path):
        frame, path = pd.DataFrame({"v": [1.5, -999.0, 5], "n": [1, -999, 5]}), str(tmp_path / f"t{ending}")
        if ending == ".csv":
            frame.to_csv(path, index=False)
        elif ending == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_json(path, orient="records", lines=True)
        for numeric in (set(), {"v", "n"}):
            source = open_table(path, dialect=Dialect(missing=["-999"]))
            source.numeric.update(numeric)
            table = read_table(source).table
            assert [table[name].is_null().to_pylist() for name in "vn"] == [[False, True, False]] * 2

    @pytest.mark.parametrize(
        ("word", "texts", "missing"),
        [
            ("-999", ["-999", "-999.0", "-0999", "999", "-999.5", "-9990"], [True, True, True, False, False, False]),
            ("9.50", ["9.5", "9.500", "+9.5", "9.05", "95"], [True, True, True, False, False]),
            ("nil", ["nil", "0"], [True, False]),
        ],
    )
    def test_spellings(self, word, texts, missing, tmp_path):
        (tmp_path / "t.csv").write_text("\n".join(["v", *texts]))
        block = read_table(open_table(tmp_path / "t.csv", dialect=Dialect(missing=[word])))
        assert block.table["v"].is_null().to_pylist() == missing

    def test_in_every_block(self, tmp_path):
        """Row numbers of one block must not become words of the next."""
        (tmp_path / "t.csv").write_text("v\n" + "-999.0\n1\n" * 50)
        with mock.patch.object(records, "_CHUNK_BYTES", 50):
            blocks = list(open_table(tmp_path / "t.csv", block_rows=7, dialect=Dialect(missing=["-999"])))
        assert sum(block.table["v"].null_count for block in blocks) == 50

    def test_a_date_as_messages_show_it(self, tmp_path):
        (tmp_path / "t.csv").write_text("v\n31.12.9999\n01.02.2024\n")
        dialect = Dialect(missing=["9999-12-31"], date_format="%d.%m.%Y")
        assert read_table(open_table(tmp_path / "t.csv", dialect=dialect)).select(["v"])["v"].to_pylist() == [
            None,
            "2024-02-01",
        ]


def test_the_command_names_the_option_once(tmp_path):
    lines = [f"{value:.3f},{'xy'[k % 2]}" for k, value in enumerate(of(-999))]
    (tmp_path / "t.csv").write_text("\n".join(["v,c", *lines]) + "\n")
    fit = ("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *SMALL, "--steps", "2", "--quiet")
    said = tollad(*fit).stderr
    assert said.count("holds -999") == 1
    assert "mark it as missing with --na -999, or keep it with --column v=number" in said
    assert "-999" not in done(*fit, "--force", "--na", "-999").stderr


def test_huge_numbers_raise_no_warnings_of_numpy():
    total = Total()
    for values in ([1e308] * 30, [1e308, -1e308] * 30, [-1e308] * 30):
        total.add(np.array(values))
    assert not total.is_last()
    assert not look_like_days(np.array([-1e307, 1e307] * 20))
