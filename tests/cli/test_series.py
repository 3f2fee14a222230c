"""Series on the command line: time steps scored by windows, and one clear sentence for all that can be wrong."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import Result
from commands import done, rows_of, tollad

from tollad import SeriesDetector, TollDetector, iter_scores, metrics
from tollad.calibration import threshold
from tollad.series.window import step_scores, windows

SMALL = ("--network", "conv1d", "--hidden", "4", "--latent-dim", "4", "--steps", "10", "--quiet")
N = 400


def refused(*arguments: object) -> str:
    """Return the one line that a command says when it fails."""
    result = tollad(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("Warning: ")]
    return line


def series(n: int = N, seed: int = 0, odd: slice | None = None) -> dict[str, list[Any]]:
    """Two noisy waves, one of them off in a stretch."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(n)[:, None] / [3, 5]) + 0.05 * rng.normal(size=(n, 2))
    kind = np.full(n, "fine")
    if odd is not None:
        waves[odd, 1] += 6
        kind[odd] = "odd"
    return {"t": list(range(n)), "a": waves[:, 0].tolist(), "b": waves[:, 1].tolist(), "kind": kind.tolist()}


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def steps(columns: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    return np.array([columns["a"], columns["b"]]).T


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a series, a model of it, and a series with an odd stretch."""
    folder = tmp_path_factory.mktemp("home")
    write(folder / "train.csv", series())
    write(folder / "new.csv", series(300, seed=1, odd=slice(200, 215)))
    fit(folder, folder / "train.csv", "-o", folder / "m.tollad", "--stride", 3)
    return folder


def fit_arguments(data: Path, model: Path) -> tuple[object, ...]:
    return ("fit", data, "-o", model, "--window", 16, "--time", "t", "--drop", "kind", *SMALL)


def fit(home: Path, *arguments: object) -> Result:
    return done("fit", *arguments, "--window", 16, "--time", "t", "--drop", "kind", *SMALL)


# --- what they do -----------------------------------------------------------------------------------------------------


def test_fit_is_the_detector_on_the_windows(home: Path) -> None:
    model = SeriesDetector.load(home / "m.tollad")
    train = steps(series())
    expected = TollDetector(network="conv1d", hidden=(4,), latent_dim=4, steps=10, random_state=0)
    expected.fit(windows(train, 16, 3))
    scores = step_scores(expected.anomaly_score(windows(train, 16, 3)), N, 16, 3)
    np.testing.assert_allclose(model.anomaly_score(train), scores, rtol=1e-6)
    assert (model.model_.columns, model.model_.window, model.model_.stride) == (["a", "b"], 16, 3)
    assert model.model_.clock.to_json() == {"column": "t", "kind": "number", "usual": 1.0}


def test_python_fits_the_same_model_as_the_command(home: Path) -> None:
    columns = series()
    del columns["kind"]
    one = SeriesDetector(
        window=16, stride=3, time="t", network="conv1d", hidden=(4,), latent_dim=4, steps=10, random_state=0
    ).fit(pa.table(columns))
    other = SeriesDetector.load(home / "m.tollad")
    assert one.threshold_ == other.threshold_
    new = series(300, seed=1, odd=slice(200, 215))
    table = pa.table({name: new[name] for name in ("t", "a", "b")})
    np.testing.assert_array_equal(one.anomaly_score(table), other.anomaly_score(steps(new)))
    rows = rows_of(done("score", home / "m.tollad", home / "new.csv").stdout)
    assert ["anomaly" if alarm < 0 else "normal" for alarm in one.predict(table)] == [row["verdict"] for row in rows]
    streamed = np.concatenate([*iter_scores(other, home / "new.csv")])
    np.testing.assert_array_equal(streamed, other.anomaly_score(table))


def test_fit_and_info_say_how_the_series_is_cut(home: Path, tmp_path: Path) -> None:
    said = fit(home, home / "train.csv", "-o", tmp_path / "m").stdout
    for text in (said, done("info", tmp_path / "m").stdout):
        assert "2: a, b\n" in text
        assert "windows of 16 steps, a new one every 1; time: t\n" in text


def test_score_says_of_each_time_step_what_python_says(home: Path) -> None:
    rows = rows_of(done("score", home / "m.tollad", home / "new.csv").stdout)
    assert list(rows[0]) == ["row", "t", "score", "verdict"]
    assert [int(row["row"]) for row in rows] == list(range(1, 301))
    assert [row["t"] for row in rows] == [str(t) for t in range(300)]
    model, new = SeriesDetector.load(home / "m.tollad"), steps(series(300, seed=1, odd=slice(200, 215)))
    scores = np.array([float(row["score"]) for row in rows])
    np.testing.assert_allclose(scores, model.anomaly_score(new), rtol=1e-6)
    verdicts = np.array([row["verdict"] for row in rows])
    assert not (scores[verdicts == "anomaly"] <= model.threshold_).any()
    assert (verdicts[205:210] == "anomaly").all()
    assert (verdicts == "anomaly").sum() < 2 * 15


def test_score_reads_block_by_block_from_standard_input(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = done("score", home / "m.tollad", home / "new.csv").stdout
    monkeypatch.setattr("tollad.io.sources.TableSource.block_rows", 7, raising=False)
    monkeypatch.setattr("tollad.io.records._CHUNK_BYTES", 600)
    found = done("score", home / "m.tollad", "-", given=(home / "new.csv").read_bytes()).stdout
    for one, other in zip(rows_of(found), rows_of(expected), strict=True):
        assert float(one.pop("score")) == pytest.approx(float(other.pop("score")), rel=1e-6)
        assert one == other


def test_score_draws_the_series(home: Path, tmp_path: Path) -> None:
    done("score", home / "m.tollad", home / "new.csv", "-o", tmp_path / "s.csv", "--plot", tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    done("score", home / "m.tollad", home / "new.csv", "--id", "kind", "--plot", tmp_path / "id.png")


def test_score_writes_another_column_in_place_of_the_time(home: Path) -> None:
    rows = rows_of(done("score", home / "m.tollad", home / "new.csv", "--id", "kind", "--only-anomalies").stdout)
    assert list(rows[0]) == ["row", "kind", "score", "verdict"]
    assert "odd" in {row["kind"] for row in rows}


def test_score_writes_columns_beside_the_time(home: Path) -> None:
    rows = rows_of(done("score", home / "m.tollad", home / "new.csv", "--id", "t", "--id", "kind", "--id", "-2").stdout)
    assert list(rows[0]) == ["row", "t", "kind", "b", "score", "verdict"]
    given = series(300, odd=slice(200, 215))
    assert [(row["t"], row["kind"]) for row in rows] == [
        (str(t), kind) for t, kind in zip(given["t"], given["kind"], strict=True)
    ]


def test_score_says_in_json_what_it_wrote(home: Path, tmp_path: Path) -> None:
    said = done("score", home / "m.tollad", home / "new.csv", "-o", tmp_path / "s.csv", "--json", "--only-anomalies")
    result, n_rows = json.loads(said.stdout), len(rows_of((tmp_path / "s.csv").read_text()))
    assert result == {
        "output": str(tmp_path / "s.csv"),
        "rows_written": n_rows,
        "anomalies": n_rows,
        "rows_skipped": 0,
        "threshold": SeriesDetector.load(home / "m.tollad").threshold_,
    }


def test_score_by_another_false_alarm_rate(home: Path) -> None:
    model = SeriesDetector.load(home / "m.tollad")
    said = done("score", home / "m.tollad", home / "new.csv", "--false-alarm-rate", "0.1")
    moved = model.set_threshold(false_alarm_rate=0.1)
    assert moved.threshold_ == threshold(model.calibration_scores_, 0.1)
    alarms = moved.predict(steps(series(300, seed=1, odd=slice(200, 215)))) < 0
    assert [row["verdict"] == "anomaly" for row in rows_of(said.stdout)] == alarms.tolist()


def test_evaluate_takes_a_label_a_time_step(home: Path) -> None:
    said = done("evaluate", home / "m.tollad", home / "new.csv", "--label", "kind", "--normal", "fine", "--json")
    result = json.loads(said.stdout)
    scores = [float(row["score"]) for row in rows_of(done("score", home / "m.tollad", home / "new.csv").stdout)]
    labels = np.array(series(300, odd=slice(200, 215))["kind"]) == "odd"
    assert result["auroc"] == pytest.approx(metrics.auroc(labels.astype(int), np.array(scores)))
    assert result["auroc"] > 0.95
    assert (result["n_normal"], result["n_anomalies"]) == (285, 15)
    assert (result["events"]["n_events"], result["events"]["n_hit"]) == (1, 1)


@pytest.mark.parametrize("own", ["m.tollad", "c.tollad"])
def test_evaluate_warns_of_steps_that_were_trained_on(home: Path, own: str, tmp_path: Path) -> None:
    if own == "c.tollad":
        fit(home, home / "train.csv", "-o", home / own, "--causal")
    columns = series()
    columns["kind"][300:310] = ["odd"] * 10
    trained = write(tmp_path / "trained.csv", columns)
    label = ("--label", "kind", "--normal", "fine")
    said = done("evaluate", home / own, trained, *label)
    assert "trained.csv: more than half of the windows of the fit" in said.stderr
    assert done("evaluate", home / own, home / "new.csv", *label).stderr == ""


def test_evaluate_by_another_false_alarm_rate(home: Path) -> None:
    label = ("--label", "kind", "--normal", "fine", "--json", "--false-alarm-rate", "0.2")
    result = json.loads(done("evaluate", home / "m.tollad", home / "new.csv", *label).stdout)
    model = SeriesDetector.load(home / "m.tollad")
    assert result["threshold"] == threshold(model.calibration_scores_, 0.2)


def test_a_false_alarm_rate_is_by_held_out_steps(home: Path, tmp_path: Path) -> None:
    said = fit(home, home / "train.csv", "-o", tmp_path / "m", "--false-alarm-rate", "0.1")
    model = SeriesDetector.load(tmp_path / "m")
    assert model.model_.n_steps == len(model.calibration_scores_) == 400
    assert model.threshold_ == threshold(model.calibration_scores_, 0.1)
    assert "about 10% of new normal time steps score higher" in said.stdout


def test_false_alarms_may_be_stretches(home: Path, tmp_path: Path) -> None:
    fit(home, home / "train.csv", "-o", tmp_path / "m", "--false-alarm-rate", "20 per 1000 steps")
    model = SeriesDetector.load(tmp_path / "m")
    above = model.decision_.training_scores > model.threshold_
    assert 4 <= np.diff(above, prepend=False).sum() / 2 <= 10
    said = refused(*fit_arguments(home / "train.csv", tmp_path / "m2"), "--false-alarm-rate", "2 per day")
    assert "false stretches per day need time stamps that are dates" in said


def test_calibrate_puts_the_threshold_on_time_steps(home: Path, tmp_path: Path) -> None:
    fresh = write(tmp_path / "fresh.csv", series(3000, seed=2))
    arguments = (home / "m.tollad", fresh, "-o", tmp_path / "m2", "--false-alarm-rate", "0.05")
    assert done("calibrate", *arguments).stderr == ""
    model = SeriesDetector.load(tmp_path / "m2")
    assert len(model.calibration_scores_) == 3000
    other = write(tmp_path / "other.csv", series(3000, seed=3))
    verdicts = [row["verdict"] for row in rows_of(done("score", tmp_path / "m2", other).stdout)]
    assert 0.005 < verdicts.count("anomaly") / 3000 < 0.1
    assert done("score", tmp_path / "m2", home / "new.csv", "--fdr", "0.2").stdout.count("anomaly") >= 10


def test_windows_lie_within_stretches_of_normal_steps(home: Path, tmp_path: Path) -> None:
    labelled = write(tmp_path / "l.csv", series(odd=slice(100, 110)))
    done("fit", labelled, "-o", tmp_path / "m", "--window", 16, "--time", "t", "--label", "kind", "--normal", "fine",
         *SMALL)  # fmt: skip
    model, train = SeriesDetector.load(tmp_path / "m").model_, steps(series(odd=slice(100, 110)))
    assert model.source.n_used == model.n_steps == 390
    pieces = [windows(train[:100], 16), windows(train[110:], 16)]
    expected = TollDetector(network="conv1d", hidden=(4,), latent_dim=4, steps=10, random_state=0)
    expected.fit(np.concatenate(pieces))
    np.testing.assert_allclose(expected.anomaly_score(pieces[0]), model.score_windows(pieces[0]), rtol=1e-6)
    done("calibrate", tmp_path / "m", home / "new.csv", "-o", tmp_path / "m2", "--label", "kind", "--normal", "fine")
    assert len(SeriesDetector.load(tmp_path / "m2").calibration_scores_) == 285


def test_networks_of_tables_take_windows_flat(home: Path, tmp_path: Path) -> None:
    done(*fit_arguments(home / "train.csv", tmp_path / "m"), "--network", "mlp_layernorm")
    assert SeriesDetector.load(tmp_path / "m").model_.detector.input_shape_ == (32,)
    rows = rows_of(done("score", tmp_path / "m", home / "new.csv").stdout)
    assert len(rows) == 300
    assert max(rows, key=lambda row: float(row["score"]))["row"] in map(str, range(195, 225))


def test_arrays_are_series_of_columns_without_names(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", steps(series()))
    done("fit", tmp_path / "train.npy", "-o", tmp_path / "m", "--window", 16, *SMALL)
    rows = rows_of(done("score", tmp_path / "m", tmp_path / "train.npy").stdout)
    assert list(rows[0]) == ["row", "score", "verdict"]
    assert len(rows) == N


def test_dates_are_time_stamps(tmp_path: Path) -> None:
    columns = series()
    columns["t"] = [str(np.datetime64("2024-01-01T00:00:00") + np.timedelta64(hour, "h")) for hour in range(N)]
    data = write(tmp_path / "d.csv", columns)
    fit(tmp_path, data, "-o", tmp_path / "m")
    clock = SeriesDetector.load(tmp_path / "m").model_.clock
    assert (clock.kind, round(24 * clock.usual, 6)) == ("date", 1)
    assert done("score", tmp_path / "m", data, "--plot", tmp_path / "s.png").stderr == ""


# --- what can be wrong ------------------------------------------------------------------------------------------------


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
    assert said.endswith("; correct it, or leave the column out")


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
