"""Columns that are no numbers, on the command line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, done, refused_in, rows_of, scores_of

from tollad import TollDetector
from tollad.io.sources import open_table
from tollad.tables import large as stored

PEOPLE = ("--steps", "20", "--hidden", "8", "--n-members", "2", "--quiet")


def people(n: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, categories, dates, truth values, and codes of digits."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(3),
            "city": rng.choice(["Bonn", "Oslo", "São Paulo, SP"], n),
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
            "member": rng.random(n) < 0.5,
            "code": [f"0{i % 4}" for i in range(n)],
        }
    )
    frame.loc[::9, "age"] = np.nan
    frame.loc[::7, "city"] = None
    return frame


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of people as text, as Parquet, and a model of it."""
    folder = tmp_path_factory.mktemp("town")
    people().to_csv(folder / "people.csv", index=False)
    people().to_parquet(folder / "people.parquet")
    done("fit", folder / "people.csv", "-o", folder / "m.tollad", "--column", "code=category", *PEOPLE)
    return folder


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_a_frame_and_its_file_give_the_same_model_and_scores(town: Path, tmp_path: Path, name: str) -> None:
    options = {"steps": 20, "hidden": (8,), "n_members": 2, "random_state": 0}
    detector = TollDetector(columns={"code": "category"}, **options).fit(people())
    done("fit", town / name, "-o", tmp_path / "m", "--column", "code=category", *PEOPLE)
    model = TollDetector.load(tmp_path / "m")
    assert model.columns_ == detector.columns_
    assert [column.kind for column in model.columns_] == ["number", "category", "date", "number", "category"]
    assert model.offset_ == detector.offset_
    np.testing.assert_array_equal(model.training_scores_, detector.training_scores_)
    np.testing.assert_array_equal(model.anomaly_score(people()), detector.training_scores_)
    for file in ("people.csv", "people.parquet"):
        scores = scores_of(done("score", tmp_path / "m", town / file).stdout)
        assert scores == detector.anomaly_score(people()).tolist()


def test_what_was_decided_is_said(town: Path, tmp_path: Path) -> None:
    run = ("fit", town / "people.csv", "-o", tmp_path / "m", "--column=-1=category", "--force", *PEOPLE)
    kinds = {"age": "number", "city": "category", "seen": "date", "member": "number", "code": "category"}
    assert json.loads(done(*run, "--json").stdout)["kinds"] == kinds
    for shown in (done(*run).stdout, done("info", tmp_path / "m").stdout):
        assert "5: age, city, seen, member, code; all numbers but\n" in shown
        assert "  city: category, 4 levels one-hot\n" in shown
        assert "  seen: date from 2024-01-" in shown


def test_types_come_from_the_model_and_never_from_a_block(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a block of one row a category may look like a number, and a column may hold nothing."""
    frame = people(30, seed=1).assign(city="7")
    frame.loc[:, "seen"] = pd.NaT
    frame.to_csv(tmp_path / "x.csv", index=False)
    whole = done("score", town / "m.tollad", tmp_path / "x.csv").stdout
    monkeypatch.setattr("tollad.io.inputs.open_table", partial(open_table, block_rows=1))
    assert np.allclose(scores_of(done("score", town / "m.tollad", tmp_path / "x.csv").stdout), scores_of(whole))
    expected = TollDetector.load(town / "m.tollad").anomaly_score(frame)
    np.testing.assert_allclose(scores_of(whole), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("age", "old", "'old' is not a number like 1234.5, but the column is one of numbers; correct it"),
        ("seen", "2024-02-30", "'2024-02-30' is not a date like 2024-12-31"),
        ("member", "maybe", "'maybe' is not a number"),
        ("age", "inf", "the value is infinite"),
    ],
)
def test_values_of_another_kind_are_named_by_line_and_column(
    town: Path, tmp_path: Path, column: str, value: str, words: str
) -> None:
    frame = people().astype(str)
    frame.loc[100, column] = value
    frame.to_csv(tmp_path / "x.csv", index=False)
    message = refused_in(tmp_path, "score", town / "m.tollad", tmp_path / "x.csv", "-o", tmp_path / "s.csv")
    assert f"x.csv, line 102, column '{column}': {words}" in message
    assert "--drop" not in message


def test_a_column_that_changed_its_type_is_refused(town: Path, tmp_path: Path) -> None:
    people().assign(city=7).to_parquet(tmp_path / "x.parquet")
    message = refused_in(tmp_path, "score", town / "m.tollad", tmp_path / "x.parquet")
    assert "x.parquet, row 1, column 'city': '7' is int64, but the column is a category of texts" in message


def test_dropped_columns_may_be_there_or_not(town: Path, tmp_path: Path) -> None:
    frame = people().assign(id=[f"p{i}" for i in range(120)])
    frame.to_csv(tmp_path / "x.csv", index=False)
    for option in ("--drop=id", "--column=id=drop"):
        done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", option, "--column=code=category", "--force", *PEOPLE)
        expected = done("score", town / "m.tollad", town / "people.csv").stdout
        assert done("score", tmp_path / "m", tmp_path / "x.csv").stdout == expected
        assert done("score", tmp_path / "m", town / "people.csv").stdout == expected


def test_kinds_are_decided_by_the_rows_that_are_trained_on(tmp_path: Path) -> None:
    """What an anomaly holds is not learnt; and the line of a slip is that of the file."""
    lines = [f"{i % 7},{i % 5},{'bad' if i % 2 else 'ok'}" for i in range(60)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,kind", "broken,1,bad", *lines]))
    fit = ("fit", tmp_path / "x.csv", "-o", tmp_path / "m", "--label", "kind", "--normal", "ok", *QUICK)
    done(*fit)
    assert not hasattr(TollDetector.load(tmp_path / "m"), "columns_")
    lines[30] = "broken,1,ok"
    (tmp_path / "x.csv").write_text("\n".join(["a,b,kind", "broken,1,bad", *lines]))
    assert "x.csv, line 33, column 'a': 'broken' is not a number" in refused_in(tmp_path, *fit, "--force")


def test_columns_of_an_array_may_be_categories(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([np.arange(60) % 3, np.arange(60) / 60], 1))
    done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--column", "x1=category", *PEOPLE)
    assert [column.kind for column in TollDetector.load(tmp_path / "m").columns_] == ["category", "number"]
    assert len(scores_of(done("score", tmp_path / "m", tmp_path / "x.npy").stdout)) == 60


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--column=cities=category", "people.csv: has no column 'cities'; did you mean 'city'?"),
        ("--column=-1=date", "people.csv: the kind of a column is given twice, by name and by number; give it once"),
        ("--column=city=text", "column 'city': 'text' is no kind of column; the kinds are 'number', 'category'"),
        ("--column=city=number", "people.csv, line 3, column 'city': 'Oslo' is not a number"),
    ],
)
def test_wrong_kinds_are_refused(town: Path, tmp_path: Path, option: str, words: str) -> None:
    frame = people().assign(city=["Bonn", *["Oslo"] * 119])
    frame.loc[0, "city"] = "1"
    frame.to_csv(tmp_path / "people.csv", index=False)
    code = "--column=code=category"
    assert words in refused_in(tmp_path, "fit", tmp_path / "people.csv", "-o", tmp_path / "m", code, option)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("beside", ["a", "city"])
def test_true_and_false_keep_their_words_in_reasons(tmp_path, monkeypatch, beside, large):
    """A table of numbers, true and false needs no kinds of columns, and so the model has none."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=200), "city": rng.choice(["Bonn", "Oslo"], 200)})[[beside]]
    frame["flag"] = np.where(rng.random(200) < 0.05, "True", "False")
    frame.to_csv(tmp_path / "t.csv", index=False)
    if large:
        monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    done("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK)
    new = frame.iloc[:3].assign(flag=["true", "1", "2"])
    new.to_csv(tmp_path / "new.csv", index=False)
    rows = rows_of(done("score", tmp_path / "m", tmp_path / "new.csv", "--explain", 2).stdout)
    reasons = [next(text for text in row.values() if text.startswith("flag: ")) for row in rows]
    assert [text.startswith("flag: true, where false is usual: 9") for text in reasons] == [True, True, False]
    assert reasons[2].startswith("flag: 2, expected about ")
    # A 2 is no 0 either.
    model = TollDetector.load(tmp_path / "m")
    assert np.array_equal(scores_of_rows(rows), model.anomaly_score(new))
    assert model.explain(new).finding(0, 1).startswith("flag: true, where false is usual")


def scores_of_rows(rows):
    return [float(row["score"]) for row in rows]


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ([[1, 2]] * 3, "give each of their parts a column of its own"),
        ([{"k": 1}] * 3, "give each of their parts a column of its own"),
        ([b"ab"] * 3, "turn them into one of these, as frame['x'].astype(str) does"),
    ],
)
def test_nested_values_are_refused_when_scoring_without_an_option_of_the_fit(tmp_path, values, remedy):
    pd.DataFrame({"x": [1.0, 2.0, 4.0] * 9}).to_parquet(tmp_path / "t.parquet")
    done("fit", tmp_path / "t.parquet", "-o", tmp_path / "m", *QUICK)
    pd.DataFrame({"x": values}).to_parquet(tmp_path / "new.parquet")
    said = refused_in(tmp_path, "score", tmp_path / "m", tmp_path / "new.parquet")
    assert said.endswith(f"{remedy}\n")
    fit = refused_in(tmp_path, "fit", tmp_path / "new.parquet", "-o", tmp_path / "n", *QUICK)
    assert "or drop the column with --column x=drop" in fit
