"""Series on the command line: time steps scored by windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cli.written_series import SMALL, N, fit, fit_arguments, make_home, refused, series, steps, write
from commands import done, rows_of

from tollad import SeriesDetector, TollDetector, iter_scores, metrics
from tollad.calibration import threshold
from tollad.series.window import step_scores, windows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


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
    assert model.model_.n_time_steps == len(model.calibration_scores_) == 400
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
    assert model.source.n_used == model.n_time_steps == 390
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


def test_names_with_outer_spaces_are_those_of_files_without(tmp_path: Path) -> None:
    columns = series()
    del columns["kind"]
    table = pa.table(columns).rename_columns([" t", " a", "b "])
    detector = SeriesDetector(
        window=16, time=" t", network="conv1d", hidden=(4,), latent_dim=4, steps=5, random_state=0
    ).fit(table)
    detector.save(tmp_path / "m.tollad")
    written = rows_of(done("score", tmp_path / "m.tollad", write(tmp_path / "new.csv", columns)).stdout)
    assert [float(row["score"]) for row in written] == detector.anomaly_score(table).tolist()
