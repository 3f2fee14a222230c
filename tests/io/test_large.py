"""``tollad fit`` of a table beyond memory: the model of the same rows in memory, and every mistake on its line."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import done, tollad
from detectors import assert_same_bits
from pyarrow import parquet

from tollad import TollDetector
from tollad.io import large as reading
from tollad.io import records as textfile
from tollad.tables import large as stored
from tollad.training import scoring

QUICK = ("--hidden", "8", "--latent-dim", "2", "--n-members", "2", "--steps", "30", "--quiet")


@pytest.fixture
def on_disk(monkeypatch) -> None:
    """Every file is large, and comes in many pieces."""
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(stored, "_BLOCK_VALUES", 2000)
    monkeypatch.setattr(textfile, "_CHUNK_BYTES", 700)


@pytest.fixture(autouse=True)
def same_blocks(monkeypatch) -> None:
    """The last bits of a score depend on the rows that are scored together."""
    monkeypatch.setattr(scoring, "_DENSE_BLOCK", 5)
    monkeypatch.setattr(stored, "_MULTIPLE", 5)


def people(n: int = 300) -> pd.DataFrame:
    """Every kind of column: numbers with gaps, few and many levels, truths, codes of digits, dates with hours."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": [None if i % 9 == 0 else value for i, value in enumerate(rng.normal(40, 10, n).round(3).tolist())],
            "city": [None if i % 7 == 0 else city for i, city in enumerate(rng.choice(["Bonn", "Oslo", "Rome"], n))],
            "street": [f"street {i}" for i in rng.integers(0, 60, n)],
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="h"),
            "member": [str(truth).upper() for truth in rng.random(n) < 0.5],
            "code": [f"0{i % 4}" for i in range(n)],
            "late": ["17"] * 250 + ["none yet"] * (n - 250),  # a category, as one can tell only towards the end
            "constant": [1] * n,
            "kind": ["fine" if i % 5 else "broken" for i in range(n)],
            "id": range(n),
        }
    )


FIT = ("--label", "kind", "--normal", "fine", "--drop", "id", "--column", "code=category", "--column", "constant=drop")


def write(folder: Path, name: str) -> Path:
    frame, path = people(), folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture
def late_is_allowed(monkeypatch) -> None:
    """Two levels, of which one is a number most of the time: a category, for this table."""
    monkeypatch.setattr("tollad.tables.one_column._NEARLY", 0.99)


def fit_both(
    folder: Path, train: object, monkeypatch, *options: object, given: bytes | None = None
) -> tuple[TollDetector, TollDetector]:
    """Fit a file in memory and beyond it."""
    done("fit", train, "-o", folder / "small", *options, *QUICK, given=given)
    with monkeypatch.context() as patch:
        patch.setattr(stored, "IN_MEMORY_BYTES", 0)
        patch.setattr(stored, "_BLOCK_VALUES", 2000)
        patch.setattr(textfile, "_CHUNK_BYTES", 700)
        done("fit", train, "-o", folder / "large", *options, *QUICK, given=given)
    return TollDetector.load(folder / "small"), TollDetector.load(folder / "large")


def assert_same_models(small: TollDetector, large: TollDetector, rows: object) -> None:
    assert getattr(large, "columns_", None) == getattr(small, "columns_", None)
    assert large.source_ == small.source_
    assert large.get_params() == small.get_params()
    assert list(getattr(large, "feature_names_in_", [])) == list(getattr(small, "feature_names_in_", []))
    assert (large.n_features_in_, large.input_shape_) == (small.n_features_in_, small.input_shape_)
    for name, constants in small.features_.arrays().items():
        np.testing.assert_array_equal(large.features_.arrays()[name], constants, err_msg=name)
    assert_same_bits(large, small, rows)


@pytest.mark.filterwarnings("ignore:these columns are constant")
@pytest.mark.usefixtures("late_is_allowed")
@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people.parquet"])
def test_a_table_of_every_kind(name, tmp_path, monkeypatch):
    path = write(tmp_path, name)
    small, large = fit_both(tmp_path, path, monkeypatch, *FIT)
    kinds = ["number", "category", "category", "date", "category", "category", "category", "drop"]
    if name.endswith(".parquet"):
        assert [column.kind for column in small.columns_][:4] == kinds[:4]
    assert_same_models(small, large, people().drop(columns=["kind", "id"]))


@pytest.mark.parametrize(
    "options", [[], ["--false-alarm-rate", "0.05"], ["--early-stopping"], ["--column", "a=number"]]
)
def test_a_table_of_numbers(options, tmp_path, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(500, 3)).round(6)
    rows[::11, 1] = np.nan
    frame = pd.DataFrame(rows, columns=list("abc"))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    small, large = fit_both(tmp_path, tmp_path / "rows.csv", monkeypatch, *options)
    assert_same_models(small, large, frame)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("in_memory", [100, 1 << 20])
def test_standard_input(zipped, in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_SPOOLED_IN_MEMORY", in_memory)
    monkeypatch.setattr(reading, "_COPIED", 64)
    rows = np.random.default_rng(0).normal(size=(300, 3)).round(6)
    frame = pd.DataFrame(rows, columns=list("abc"))
    content = frame.to_csv(index=False).encode()
    given = gzip.compress(content) if zipped else content
    small, large = fit_both(tmp_path, "-", monkeypatch, given=given)
    assert_same_models(small, large, frame)


def test_an_array_has_no_names(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(300, 3))
    np.save(tmp_path / "rows.npy", rows)
    small, large = fit_both(tmp_path, tmp_path / "rows.npy", monkeypatch)
    assert not hasattr(large, "feature_names_in_")
    assert_same_models(small, large, rows)


def refusal(tmp_path: Path, text: str, *options: object) -> str:
    """Return what is said of a text, which is the same on disk and in memory."""
    (tmp_path / "rows.csv").write_text(text)
    result = tollad("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", *options, *QUICK)
    assert result.exit_code == 1, result.output
    assert not (tmp_path / "m").exists()
    return result.stderr


NUMBERS = "\n".join(["a,b", *(f"{i},{i / 7}" for i in range(200))])


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (NUMBERS + "\n1,oops\n", [], "line 202, column 'b': 'oops' is not a number like 1234.5, but most values"),
        (NUMBERS + "\n1,inf\n", [], "line 202, column 'b': the value is infinite"),
        (NUMBERS + "\n1,2,3\n" + NUMBERS[4:], [], "line 202: expected 2 values, found 3"),
        (NUMBERS + "\n1", [], "line 202: expected 2 values, found 1; the text ends within this line"),
        (NUMBERS, ["--column", "c=number"], "column 'c'"),
        (NUMBERS, ["--column", "a=drop", "--column", "b=drop"], "no column is left"),
        (NUMBERS, ["--label", "a", "--normal", "x"], "no row is labelled 'x'; the labels are '0', '1',"),
        ("a,b\n" + "1,\n" * 300, [], "column 'b' has no value in any training row"),
        ("a,b\n" + "".join(f"1,v{i}\n" for i in range(300)), [], "column 'b' holds another text in every row"),
    ],
)
def test_mistakes_are_those_of_memory(text, options, words, tmp_path, monkeypatch, request):
    small = refusal(tmp_path, text, *options)
    request.getfixturevalue("on_disk")
    large = refusal(tmp_path, text, *options)
    assert words in large
    assert large.partition("; the labels")[0] == small.partition("; the labels")[0]


@pytest.mark.usefixtures("on_disk")
class TestWhatGoesWrongOnTheWay:
    def test_levels_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reading, "MOST_LEVELS", 50)
        said = refusal(tmp_path, "a,b\n" + "".join(f"1,v{i % 60}\n" for i in range(300)))
        assert "column 'b' holds more than 50 different texts" in said

    def test_a_folder_that_is_too_small(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stored.shutil, "disk_usage", lambda folder: mock.Mock(free=1000))
        assert "GiB free, and the rows take" in refusal(tmp_path, NUMBERS)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    @pytest.mark.parametrize("given", [None, NUMBERS.encode()])
    def test_a_folder_that_is_full(self, given, tmp_path, monkeypatch):
        monkeypatch.setattr(reading, "_SPOOLED_IN_MEMORY", 100)
        (tmp_path / "rows.csv").write_text(NUMBERS)
        with open("/dev/full", "r+b", buffering=0) as full:
            monkeypatch.setattr(stored.tempfile, "TemporaryFile", lambda **how: full)
            train = tmp_path / "rows.csv" if given is None else "-"
            result = tollad("fit", train, "-o", tmp_path / "m", *QUICK, given=given)
        assert result.exit_code == 1
        assert "the folder for temporary files" in result.stderr
        assert "is full; free some space" in result.stderr

    def test_a_file_that_changes_between_the_readings(self, tmp_path, monkeypatch):
        path = tmp_path / "rows.csv"
        to_codes = reading.to_codes

        def append(*arguments, **options):
            with open(path, "a") as file:
                file.write("1,2\n")
            return to_codes(*arguments, **options)

        monkeypatch.setattr(reading, "to_codes", append)
        monkeypatch.setattr(textfile, "_CHUNK_BYTES", 1 << 22)
        assert f"{path}: changed while it was read" in refusal(tmp_path, NUMBERS)

    def test_nothing_is_left_behind(self, tmp_path, monkeypatch):
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(stored.tempfile, "tempdir", str(folder))
        (tmp_path / "rows.csv").write_text(NUMBERS)
        done("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", *QUICK)
        assert os.listdir(folder) == []


def test_small_files_stay_in_memory(tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text(NUMBERS)
    parquet.write_table(pa.table({"a": range(10), "b": range(10)}), tmp_path / "rows.parquet")
    for path in (tmp_path / "rows.csv", tmp_path / "rows.parquet"):
        assert not reading.is_large(str(path))
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 159)
    assert reading.is_large(str(tmp_path / "rows.parquet"))
    assert reading.is_large(str(tmp_path / "rows.csv"))
    monkeypatch.setattr(sys, "stdin", mock.Mock(buffer=io.BytesIO(b"x" * 79)))
    with reading.spooled_input() as held:
        assert not reading.is_large("-", held)
        held.seek(0, os.SEEK_END)
        held.write(b"x")
        assert reading.is_large("-", held)


def test_standard_input_that_is_closed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OSError, match="standard input: it is closed; name a file"), reading.spooled_input():
        pass
