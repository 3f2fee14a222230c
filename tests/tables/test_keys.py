"""Columns that number the rows, and whole numbers that are no measurements."""

from __future__ import annotations

import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from columns import fit_one
from commands import QUICK, done
from detectors import make, table

from tollad.detector.results import expected_by
from tollad.io.dialect import Dialect
from tollad.io.inputs import read_rows
from tollad.io.sources import open_table
from tollad.io.training import read_training_rows
from tollad.tables import keys
from tollad.tables.doubtful import warn_of_numbers
from tollad.tables.frames import to_arrow
from tollad.tables.keys import look_like_days, looks_like_key, time_unit
from tollad.tables.one_column import Survey
from tollad.tables.survey import fit_columns

SHUFFLED = np.random.default_rng(0).permutation(60)
ASKED = {"header": True, "key": None, "label": None, "normal": (), "drop": (), "kinds": None}
KEY = r"column 'count' holds another whole number in every row"


def frame(n=60, **columns):
    return pd.DataFrame(table(n), columns=list("abcde")).assign(**columns)


class TestIndex:
    """The index of a pandas frame is no feature, wherever it was stored."""

    NAMED = frame().set_index(pd.Index(SHUFFLED, name="row"))
    UNNAMED = frame().set_index(pd.Index(SHUFFLED))

    @pytest.mark.parametrize("rows", [NAMED, UNNAMED])
    def test_arrow_tables_and_batches(self, rows):
        stored = pa.Table.from_pandas(rows)
        assert stored.num_columns == 6
        detector = make().fit(stored)
        assert detector.feature_names_in_.tolist() == list("abcde")
        for X in (stored, stored.to_batches()[0], rows):
            np.testing.assert_array_equal(detector.anomaly_score(X), detector.training_scores_)
        np.testing.assert_array_equal(make().fit(rows).training_scores_, detector.training_scores_)

    @pytest.mark.parametrize("rows", [NAMED, UNNAMED])
    def test_parquet(self, rows, tmp_path):
        rows.to_parquet(tmp_path / "rows.parquet")
        training = read_training_rows(str(tmp_path / "rows.parquet"), **ASKED)
        assert training.rows.column_names == list("abcde")

    def test_an_index_in_a_file_can_still_be_asked_for(self, tmp_path):
        self.NAMED.to_parquet(tmp_path / "rows.parquet")
        assert "row" in open_table(tmp_path / "rows.parquet").names
        training = read_training_rows(str(tmp_path / "rows.parquet"), **ASKED | {"kinds": {"row": "number"}})
        assert "row" in training.rows.column_names


class TestNamelessRowNumbers:
    @pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
    @pytest.mark.parametrize("numbers", [np.arange(60), np.arange(60)[::-1] * 3, SHUFFLED])
    def test_are_left_out_of_frames(self, name, numbers):
        plain = make().fit(frame())
        rows = frame(**{name: numbers})
        for X in (rows, pl.from_pandas(rows)):
            with pytest.warns(UserWarning, match=f"column '{name}' has no name and numbers the rows; it is left out"):
                detector = make().fit(X)
            np.testing.assert_array_equal(detector.training_scores_, plain.training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(frame(**{name: 1e6})), plain.training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(frame()), plain.training_scores_)

    def test_are_left_out_of_files(self, tmp_path):
        path = tmp_path / "rows.csv"
        frame().to_csv(path)
        with pytest.warns(UserWarning, match="column '' has no name and numbers the rows"):
            training = read_training_rows(str(path), **ASKED)
        detector = make(columns=training.columns).fit(training.rows)
        assert [column.kind for column in detector.columns_] == ["drop", *["number"] * 5]

    def test_other_columns_without_a_name_are_columns(self):
        assert fit_columns(pa.table({"": [1, 1, 2]}))[0].kind == "number"
        assert fit_columns(pa.table({"": [1, 2, 3]}), {"": "number"})[0].kind == "number"


class TestKeys:
    @pytest.mark.parametrize(
        "values",
        [range(20), range(1000, 500, -7), [*range(10, 40), 5], [123456 + 7919 * (i * 37 % 100) for i in range(100)]],
    )
    def test_are_warned_of(self, values):
        assert looks_like_key(np.array(values))
        rows = frame(len(values), count=values)
        for fit in (make().fit, lambda X: fit_columns(to_arrow(X)), lambda X: fit_columns(to_arrow(X.astype(str)))):
            with pytest.warns(UserWarning, match=rf"{KEY}.*leave it out with columns=\{{'count': 'drop'\}}"):
                fit(rows)
        with pytest.warns(UserWarning, match="column 'x6' .*; leave out column 5 of the array"):
            make().fit(rows.to_numpy())
        assert fit_one(values, "number").kind == "number"

    @pytest.mark.parametrize(
        "values", [range(19), [*range(20), 3], np.arange(20) / 2, [*range(20), np.nan], np.arange(50) ** 3 % 9973]
    )
    def test_other_numbers_are_not(self, values):
        assert not looks_like_key(np.array(values))


class TestLongWholeNumbers:
    LONG = 2**53 * np.array([1, 3, 3, 1, 7] * 12) + 1

    def test_are_said_to_be_rounded(self):
        rows = frame(code=self.LONG)
        decimals = [decimal.Decimal(int(value)) for value in self.LONG]
        for fit in (
            make().fit,
            lambda X: fit_columns(to_arrow(X)),
            lambda X: fit_columns(to_arrow(X.astype(str))),
            lambda X: fit_columns(to_arrow(X.assign(code=decimals))),
        ):
            with pytest.warns(
                UserWarning, match=r"column 'code' holds whole numbers beyond 2\*\*53, which are rounded"
            ):
                fit(rows)

    def test_become_a_category_as_the_warning_says(self, tmp_path):
        frame(code=self.LONG).to_csv(tmp_path / "t.csv", index=False)
        said = done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK).stderr
        advice = re.search("if they are codes, make it a category with (--column code=category)", said)[1].split()
        shown = done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--force", *advice, *QUICK)
        assert "code: category, 3 levels one-hot" in shown.stdout
        assert "2**53" not in shown.stderr

    def test_large_measurements_are_not(self):
        fit_columns(pa.table({"x": ["1e300", "2.5"] * 12, "y": [1e300, 2.5] * 12}))


DAYS = [int(day.strftime("%Y%m%d")) for day in pd.date_range("2024-01-01", periods=60, freq="5D")]


def test_days_that_are_written_as_numbers_are_warned_of(tmp_path):
    said = r"column 'day' holds whole numbers that are days, as 20240101 is.*format='%Y%m%d'"
    with pytest.warns(UserWarning, match=said):
        make("mlp").fit(frame(day=DAYS))
    with pytest.warns(UserWarning, match=said):
        fit_columns(pa.table({"day": [str(day) for day in DAYS]}))
    frame(day=DAYS).to_csv(tmp_path / "d.csv", index=False)
    asked = ASKED | {"dialect": Dialect(date_format="%Y%m%d")}
    kinds = {
        column.name: column.kind for column in fit_columns(read_training_rows(str(tmp_path / "d.csv"), **asked).rows)
    }
    assert kinds["day"] == "date"


@pytest.mark.parametrize("values", [np.arange(20240101, 20240161), np.array(DAYS) - 10**7, np.array(DAYS[:19])])
def test_other_numbers_are_no_days(values):
    assert not look_like_days(values)


def test_a_column_without_a_name_is_not_asked_for_when_scoring(tmp_path):
    frame().to_csv(tmp_path / "rows.csv")
    with pytest.warns(UserWarning, match="it is left out"):
        training = read_training_rows(str(tmp_path / "rows.csv"), **ASKED)
    detector = make(columns=training.columns).fit(training.rows)
    rows = read_rows(expected_by(detector), str(tmp_path / "rows.csv"), header=None, key=None, label=None, normal=())
    np.testing.assert_array_equal(detector.anomaly_score(rows), detector.training_scores_)


class TestNamedKeys:
    """A column that its name calls a key, and whose values are all different, is no feature."""

    VALUES = np.random.default_rng(3).permutation(4000)[:60] + 7

    @pytest.mark.parametrize("name", ["customer_id", "id", "PassengerId", "order no", "Index"])
    def test_are_left_out(self, name, tmp_path):
        plain = make().fit(frame())
        rows = frame(**{name: self.VALUES})
        rows.to_csv(tmp_path / "rows.csv", index=False)
        said = rf"column '{name}' is a key by its name.*left out; keep it with columns=\{{'{name}': 'number'\}}"
        for X in (
            rows,
            pl.from_pandas(rows),
            rows.astype(str),
            rows.astype({name: "float64"}).replace({name: {7: None}}),
        ):
            with pytest.warns(UserWarning, match=said):
                detector = make().fit(X)
            np.testing.assert_array_equal(detector.training_scores_, plain.training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(frame(**{name: 1e6})), plain.training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(frame()), plain.training_scores_)
        with pytest.warns(UserWarning, match=said):
            training = read_training_rows(str(tmp_path / "rows.csv"), **ASKED)
        assert training.columns == {name: "drop"}

    def test_can_be_kept(self):
        columns = {"customer_id": "number"}
        assert "drop" not in [column.kind for column in fit_columns(to_arrow(frame(customer_id=self.VALUES)), columns)]

    @pytest.mark.parametrize("name", ["price_cents", "paid", "no_of_rooms", "grid"])
    def test_data_of_other_names_stay(self, name):
        assert make().fit(frame(**{name: self.VALUES})).n_features_in_ == 6
        assert not hasattr(make().fit(frame(**{name: self.VALUES})), "columns_")

    def test_repeated_keys_stay(self):
        assert fit_columns(pa.table({"customer_id": self.VALUES % 50}))[0].kind == "number"

    def test_alone_leave_nothing(self):
        with (
            pytest.warns(UserWarning, match="is a key"),
            pytest.raises(ValueError, match="no column is left to learn from"),
        ):
            fit_columns(pa.table({"id": self.VALUES}))


def test_a_column_without_a_name_and_a_value_is_left_out():
    with pytest.warns(UserWarning, match="column '' has neither a name nor a value; it is left out"):
        columns = fit_columns(pa.table({"": pa.nulls(20), "a": [1.5, 2] * 10}))
    assert [column.kind for column in columns] == ["drop", "number"]


def test_times_since_1970_are_named():
    values = 1_704_067_200 + 3600 * np.arange(60)
    for unit, scale in (("s", 1), ("ms", 1000)):
        said = rf"times since 1970 do.*pandas.to_datetime\(frame\['w'\], unit='{unit}'\)"
        with pytest.warns(UserWarning, match=said):
            make().fit(frame(w=values * scale))
    assert time_unit(values % 1000) is None


def test_days_with_the_time_of_day_are_named():
    days = [int(day.strftime("%Y%m%d%H%M%S")) for day in pd.date_range("2024-01-01", periods=60, freq="31h")]
    with pytest.warns(UserWarning, match=r"format='%Y%m%d%H%M%S'"):
        make().fit(frame(w=days))


def test_numbers_that_begin_with_zero_are_warned_of():
    said = r"column 'zip' holds whole numbers that begin with 0.*'01234' is read as 1234; .*\{'zip': 'category'\}"
    with pytest.warns(UserWarning, match=said):
        assert fit_columns(pa.table({"zip": ["99999", "01234", "33333"] * 20}))[0].kind == "number"
    fit_columns(pa.table({"month": ["01", "02", "12", "0", "0.50"] * 20}))


class TestColumnsOfLargeFiles:
    """Only a sample of their numbers is kept; it is a sample of all rows, not of the first ones."""

    @staticmethod
    def survey(name, numbers, monkeypatch):
        monkeypatch.setattr(keys, "_MOST_KEPT", 100)
        survey = Survey(name)
        for block in np.array_split(numbers, 7):
            survey.add(pa.chunked_array([block]), lambda row: f"row {row}")
        return survey.column()

    IDS = 10_000_000 + np.random.default_rng(5).permutation(80_000)[:2000]

    def test_random_keys_are_warned_of(self, monkeypatch):
        with pytest.warns(UserWarning, match=KEY):
            assert self.survey("count", self.IDS, monkeypatch).kind == "number"

    def test_named_keys_are_left_out(self, monkeypatch):
        with pytest.warns(UserWarning, match="is a key by its name"):
            assert self.survey("customer_id", self.IDS, monkeypatch).kind == "drop"

    @pytest.mark.parametrize("name", ["count", "customer_id"])
    def test_numbers_that_repeat_only_in_the_last_rows_are_no_keys(self, name, monkeypatch):
        numbers = np.concatenate([self.IDS, self.IDS[:1500]])
        assert self.survey(name, numbers, monkeypatch).kind == "number"


def test_months_that_are_written_as_numbers_are_warned_of():
    with pytest.warns(UserWarning, match="numbers that are months, as 202401 is, and jump at the end of a year"):
        fit_columns(pa.table({"v": [202401 + k % 12 for k in range(40)]}))


def test_days_as_excel_counts_them_are_warned_of():
    days = [45292 + 1.25 * k for k in range(40)]
    with pytest.warns(UserWarning, match=r"column 'order date' holds numbers such as 45292, .*origin='1899-12-30'"):
        fit_columns(pa.table({"order date": days}))
    with pytest.warns(UserWarning, match="which are days since 1899 if they come from Excel"):
        warn_of_numbers(np.array(days)[:, None], ["Datum"])
    fit_columns(pa.table({"income": days}))


def test_codes_with_an_e_between_digits_are_warned_of():
    with pytest.warns(UserWarning, match="digits around an 'e', as codes do: '10e1' is read as 100;"):
        fit_columns(pa.table({"v": [f"{10 + k}e{1 + k % 5}" for k in range(40)]}))
    fit_columns(pa.table({"v": [f"{k % 9}e{k % 5}" for k in range(40)]}))
