"""Series on the command line: one clear sentence for all that can be wrong."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from cli.written_series import SMALL, N, fit, make_home, refused, series, write
from commands import done, tollad


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


def altered(path: Path, column: str, **values: Any) -> Path:
    """Write the series with some values of a column replaced, rows counted from 0."""
    columns = series()
    for row, value in values.items():
        columns[column][int(row[1:])] = value
    return write(path, columns)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("t", {"_5": 2}, "line 7, column 't': 2 comes before the time stamp of the row before; sort the rows"),
        (
            "t",
            {"_5": 4},
            "line 7, column 't': 4 is also the time stamp of the row before; keep one row for each time step",
        ),
        ("t", {"_5": ""}, "line 7, column 't': the time stamp is missing; fill it in, or remove the row"),
        ("t", {"_5": "noon"}, "line 7, column 't': 'noon' is not a number like 1234.5, but the column is one of"),
        ("a", {"_9": ""}, "line 11, column 'a': the value is missing, and a series needs one at each step; fill it"),
        ("a", {"_9": "x; y"}, "line 11, column 'a': 'x; y' is not a number like 1234.5, but the column is one of"),
        ("b", {"_9": "inf"}, "line 11, column 'b': the value is infinite; correct it"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_line(
    home: Path, tmp_path: Path, column: str, values: dict[str, Any], words: str
) -> None:
    bad = altered(tmp_path / "bad.csv", column, **values)
    arguments = ("fit", bad, "-o", tmp_path / "m", "--window", 16, "--time", "t", "--drop", "kind", *SMALL)
    for said in (
        refused(*arguments),
        refused("score", home / "m.tollad", bad),
        refused("calibrate", home / "m.tollad", bad, "-o", tmp_path / "m"),
    ):
        assert f"bad.csv, {words}" in said
        assert "mark it as missing" not in said
    assert not (tmp_path / "m").exists()


def test_a_column_of_text_is_refused(home: Path, tmp_path: Path) -> None:
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--time", "t", *SMALL)
    assert "train.csv, line 2, column 'kind': 'fine' is not a number" in said
    of_group = ", or give it as group if it says which series a row is of"
    assert said.endswith(f"; correct it, or leave the column out{of_group}")
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, *SMALL)
    assert said.endswith(f"; correct it, or leave the column out, or give it as time if it holds time stamps{of_group}")


def test_text_is_no_time(home: Path, tmp_path: Path) -> None:
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--time", "kind", *SMALL)
    assert "train.csv, line 2, column 'kind': 'fine' is no time stamp" in said
    assert "choose another column" in said


def test_a_series_shorter_than_a_window_is_refused(home: Path, tmp_path: Path) -> None:
    short = write(tmp_path / "short.csv", series(15))
    for said in (
        refused("fit", short, "-o", tmp_path / "m", "--window", 16, "--time", "t", "--drop", "kind", *SMALL),
        refused("calibrate", home / "m.tollad", short, "-o", tmp_path / "m"),
    ):
        assert "short.csv: has 15 time steps, fewer than a window of 16; give a longer series" in said
    said = refused("score", home / "m.tollad", short)
    assert "short.csv: has 15 time steps, fewer than the window of 16 that the model was fitted with" in said


def test_normal_stretches_shorter_than_a_window_are_refused(tmp_path: Path) -> None:
    columns = series()
    columns["kind"] = ["odd" if row % 10 == 0 else "fine" for row in range(N)]
    data = write(tmp_path / "d.csv", columns)
    said = refused("fit", data, "-o", tmp_path / "m", "--window", 16, "--time", "t", "--label", "kind", "--normal",
                   "fine", *SMALL)  # fmt: skip
    assert "d.csv: has no more than 9 normal time steps in a row, fewer than a window of 16" in said


def test_a_rate_that_the_series_is_too_short_for_is_refused(home: Path, tmp_path: Path) -> None:
    said = refused("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--time", "t", "--drop", "kind",
                   "--false-alarm-rate", "0.002", *SMALL)  # fmt: skip
    assert "a false alarm rate of 0.002 needs 499 calibration rows, not 400" in said


def test_other_columns_than_at_the_fit_are_refused(home: Path, tmp_path: Path) -> None:
    columns = series()
    del columns["b"]
    less = write(tmp_path / "less.csv", columns)
    more = write(tmp_path / "more.csv", series() | {"c": [0.0] * N})
    for command in (("score",), ("calibrate", "-o", tmp_path / "m")):
        assert "less.csv: lacks columns that the model was fitted on: 'b'" in refused(command[0], home / "m.tollad",
                                                                                     less, *command[1:])  # fmt: skip
        assert "more.csv: has columns that the model was not fitted on: 'c'" in refused(command[0], home / "m.tollad",
                                                                                       more, *command[1:])  # fmt: skip


def test_a_series_that_was_trained_on_is_no_calibration_series(home: Path, tmp_path: Path) -> None:
    said = refused("calibrate", home / "m.tollad", home / "train.csv", "-o", tmp_path / "m")
    assert "more than half of the time steps have exactly the score of one that was trained on" in said


def test_a_gap_in_the_time_is_told_of_once(home: Path, tmp_path: Path) -> None:
    columns = series()
    columns["t"] = [t + 10 * (t >= 50) + 5 * (t >= 90) for t in columns["t"]]
    data = write(tmp_path / "gap.csv", columns)
    for said in (fit(home, data, "-o", tmp_path / "m").stderr, done("score", home / "m.tollad", data).stderr):
        assert said.count("Warning: ") == 1
        assert "gap.csv, line 52, column 't': 60 comes 11 usual steps after the row before; windows across" in said


def test_one_missing_step_is_a_gap_and_a_late_one_is_none(home: Path, tmp_path: Path) -> None:
    for late, told in ((0.4, 0), (0.6, 1), (1.0, 1)):
        columns = series()
        columns["t"] = [t + late * (t >= 50) for t in columns["t"]]
        data = write(tmp_path / "gap.csv", columns)
        said = done("score", home / "m.tollad", data).stderr
        assert said.count(f"comes {1 + late:g} usual steps after the row before") == said.count("Warning: ") == told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", 0), "'--window'"),
        (("--window", -2), "'--window'"),
        (("--window", 16, "--stride", 0), "'--stride'"),
        (("--stride", 2), "give --window, too"),
        (("--time", "t"), "give --window, too"),
        (("--adapt",), "give --window, too"),
        (("--window", 16, "--column", "a=category"), "--column is for tables"),
        (("--window", 16, "--grey"), "--size, --grey, --colour and --aspect are for images"),
    ],
)
def test_wrong_usage_exits_with_2(home: Path, tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    result = tollad("fit", home / "train.csv", "-o", tmp_path / "m", *arguments, *SMALL)
    assert result.exit_code == 2
    assert words in result.stderr


def test_what_is_no_use_of_time_steps_is_refused(home: Path, tmp_path: Path) -> None:
    done("calibrate", home / "m.tollad", home / "new.csv", "-o", tmp_path / "m2")
    result = tollad("score", tmp_path / "m2", home / "new.csv", "--drift")
    assert result.exit_code == 2
    assert "--drift is not for series" in result.stderr


def test_a_stride_longer_than_the_window_is_refused(home: Path, tmp_path: Path) -> None:
    said = refused(
        "fit", home / "train.csv", "-o", tmp_path / "m", "--window", 16, "--stride", 17, "--drop", "kind", *SMALL
    )
    assert "a stride of 17 is longer than the window of 16" in said


def test_windows_too_short_for_the_network_are_refused(home: Path, tmp_path: Path) -> None:
    arguments = ("fit", home / "train.csv", "-o", tmp_path / "m", "--window", 4, "--drop", "kind", *SMALL)
    with warnings.catch_warnings():
        assert "network 'conv1d' needs sides of at least 8, not (4,); use network='mlp'" in refused(*arguments)
    assert done(*arguments, "--network", "mlp", "--hidden", 4).exit_code == 0
