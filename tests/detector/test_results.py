"""What is said of scored rows, on the command line: many rows at once, drift, reasons, pictures and calibration."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import done, refused, rows_of, tollad
from numpy.typing import ArrayLike
from pyarrow import parquet

from tollad import TollDetector, calibration
from tollad.detector.results import MostAnomalous, Scored, result_tables
from tollad.io.rows import with_names
from tollad.io.sources import open_table

NAMES = ("a", "b", "c")
QUICK = ("--network=mlp", "--hidden=8", "--latent-dim=2", "--n-members=1", "--corruption=none", "--steps=30", "--quiet")


def normals(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(n, 3))


def write(path: Path, rows: np.ndarray[Any, Any]) -> Path:
    path.write_text("\n".join([",".join(NAMES), *(",".join(map(repr, row)) for row in rows.tolist())]) + "\n")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that was calibrated, one that was not, and rows of which the last twenty are odd."""
    folder = tmp_path_factory.mktemp("home")
    write(folder / "train.csv", normals(300))
    write(folder / "fresh.csv", normals(500, seed=1))
    write(folder / "test.csv", np.vstack([normals(180, seed=2), 9 + normals(20, seed=3)]))
    done("fit", folder / "train.csv", "-o", folder / "plain", *QUICK)
    done("calibrate", folder / "plain", folder / "fresh.csv", "-o", folder / "m", "--false-alarm-rate", "0.05")
    np.save(folder / "images.npy", np.random.default_rng(0).random((30, 8, 8)))
    done("fit", folder / "images.npy", "-o", folder / "images", "--false-alarm-rate", "0.2", *QUICK)
    return folder


def scored(scores: ArrayLike, first_row: int = 0) -> Scored:
    """Rows that hold their own number."""
    given = np.asarray(scores)
    rows = np.arange(first_row, first_row + len(given), dtype=np.float64)[:, None]
    return Scored(first_row, rows, None, [], scores=given, alarms=np.zeros(len(given), np.bool_))


@pytest.fixture(scope="module")
def tested(home: Path) -> Any:
    return with_names(np.loadtxt(home / "test.csv", delimiter=",", skiprows=1), NAMES)


class TestFalseDiscoveryRate:
    def test_it_is_over_all_rows_and_not_by_block(
        self, home: Path, tested: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = TollDetector.load(home / "m")
        expected = np.where(model.alarms(tested, fdr=0.1), "anomaly", "normal").tolist()
        monkeypatch.setattr("tollad.io.inputs.open_table", partial(open_table, block_rows=7))
        for given in (None, (home / "test.csv").read_bytes()):
            source = home / "test.csv" if given is None else "-"
            written = rows_of(done("score", home / "m", source, "--fdr", "0.1", given=given).stdout)
            assert list(written[0]) == ["row", "score", "p_value", "verdict"]
            assert [int(row["row"]) for row in written] == list(range(1, 201))
            assert [row["verdict"] for row in written] == expected
            assert [float(row["p_value"]) for row in written] == model.p_value(tested).tolist()
        assert expected[180:] == ["anomaly"] * 20
        # By the threshold, more normal rows raise an alarm.
        by_threshold = rows_of(done("score", home / "m", home / "test.csv").stdout)
        assert sum(row["verdict"] == "anomaly" for row in by_threshold) > expected.count("anomaly")

    @pytest.mark.parametrize("name", ["s.csv", "s.parquet", "s.jsonl"])
    def test_only_anomalies_are_the_same_rows(self, home: Path, tmp_path: Path, name: str) -> None:
        run = ("score", home / "m", home / "test.csv", "--fdr=0.1", "--explain=2", "--id=a")
        every = rows_of(done(*run).stdout)
        few = rows_of(done(*run, "--only-anomalies").stdout)
        assert few == [row for row in every if row["verdict"] == "anomaly"]
        assert list(few[0]) == ["row", "a", "score", "p_value", "verdict", "reason_1", "reason_2"]
        done(*run, "--only-anomalies", "-o", tmp_path / name)
        if name == "s.parquet":
            assert parquet.read_table(tmp_path / name)["row"].to_pylist() == [int(row["row"]) for row in few]

    def test_no_alarm_for_want_of_calibration_rows_is_warned_of(self, home: Path, tmp_path: Path) -> None:
        write(tmp_path / "few.csv", normals(30, seed=4))
        done("calibrate", home / "plain", tmp_path / "few.csv", "-o", tmp_path / "m")
        result = done("score", tmp_path / "m", home / "test.csv", "--fdr", "0.01")
        (words,) = result.stderr.splitlines()
        found = re.search(
            r"although (\d+) of 200 score higher than all 30 .* it takes 646 such rows, or (\d+) cal", words
        )
        assert found is not None
        # That many rows would have been enough, one fewer not.
        beyond, needed = int(found[1]), int(found[2])
        for n, enough in ((needed, True), (needed - 1, False)):
            p = np.where(np.arange(200) < beyond, 1 / (n + 1), 1.0)
            assert calibration.benjamini_hochberg(p, 0.01).any() == enough

    def test_a_p_value_of_just_the_rate_is_an_alarm(self) -> None:
        model = SimpleNamespace(calibration_scores_=np.arange(3.0), input_shape_=(1,), n_features_in_=1)
        run = partial(result_tables, model, [scored([9.0])], fdr=0.25)
        (every,), (few,) = run(), run(only_anomalies=True)
        assert every["p_value"].to_pylist() == [0.25]
        assert every["verdict"].to_pylist() == few["verdict"].to_pylist() == ["anomaly"]

    def test_no_odd_row_is_no_reason_to_warn(self, home: Path, tmp_path: Path) -> None:
        write(tmp_path / "calm.csv", 0.1 * normals(50, seed=2))
        result = done("score", home / "m", tmp_path / "calm.csv", "--fdr", "0.01", "--only-anomalies")
        assert (result.stdout, result.stderr) == ("row,score,p_value,verdict\n", "")

    @pytest.mark.parametrize("option", ["--fdr=0.1", "--drift"])
    def test_without_calibration_rows_it_is_refused(self, home: Path, option: str) -> None:
        message = refused("score", home / "plain", home / "test.csv", option)
        assert "plain: has no calibration rows" in message
        assert "fit with --false-alarm-rate" in message

    def test_of_images(self, home: Path) -> None:
        written = rows_of(done("score", home / "images", home / "images.npy", "--fdr", "0.3").stdout)
        assert list(written[0]) == ["row", "score", "p_value", "verdict"]


class TestDrift:
    def test_is_noticed_at_its_row(self, home: Path, tmp_path: Path) -> None:
        write(tmp_path / "x.csv", np.vstack([normals(1000, seed=5), 2 * normals(300, seed=6)]))
        run = ("score", home / "m", tmp_path / "x.csv", "--drift")
        result = done(*run)
        model = TollDetector.load(home / "m")
        monitor = calibration.DriftMonitor(model.calibration_scores_)
        drift = monitor.update([float(row["score"]) for row in rows_of(result.stdout)])
        assert drift is not None
        assert 1000 < drift.row < 1300
        assert result.stderr == f"Warning: {drift}\n"
        assert result.stdout == done(*run[:-1]).stdout

    def test_without_drift_it_is_quiet(self, home: Path, tmp_path: Path) -> None:
        write(tmp_path / "x.csv", normals(1000, seed=5))
        assert done("score", home / "m", tmp_path / "x.csv", "--drift").stderr == ""


class TestReasons:
    def test_are_those_of_the_detector(self, home: Path, tested: Any) -> None:
        written = rows_of(done("score", home / "plain", home / "test.csv", "--explain", "2").stdout)
        explanation = TollDetector.load(home / "plain").explain(tested)
        assert list(written[0]) == ["row", "score", "verdict", "reason_1", "reason_2"]
        for row in (0, 17, 199):
            assert [written[row]["reason_1"], written[row]["reason_2"]] == explanation.reasons(row, 2)
        assert re.fullmatch(r"[abc]: \S+, expected about \S+ \(\d+ % of the score\)", written[199]["reason_1"])

    def test_there_are_no_more_than_columns(self, home: Path) -> None:
        written = rows_of(done("score", home / "plain", home / "test.csv", "--explain", "1000000").stdout)
        assert list(written[0]) == ["row", "score", "verdict", "reason_1", "reason_2", "reason_3"]
        assert all(row["reason_1"] for row in written)
        assert any(row["reason_3"] for row in written)

    def test_of_images_there_are_no_words(self, home: Path) -> None:
        message = refused("score", home / "images", home / "images.npy", "--explain", "2")
        assert "reasons in words are for tables" in message

    def test_names_of_the_output_are_taken(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("a,b,c,reason_1\n1,2,3,4\n")
        done("score", home / "plain", tmp_path / "x.csv", "--id", "reason_1")
        message = refused("score", home / "plain", tmp_path / "x.csv", "--id", "reason_1", "--explain", "1")
        assert "column 'reason_1' is taken" in message


class TestPlot:
    def test_shows_the_most_anomalous_row(self, home: Path, tmp_path: Path) -> None:
        run = ("score", home / "plain", home / "test.csv", "--explain", "2", "--plot", tmp_path / "p.svg")
        written = rows_of(done(*run).stdout)
        highest = max(written, key=lambda row: float(row["score"]))
        text = (tmp_path / "p.svg").read_text("utf-8")
        first, second = (highest[f"reason_{k}"].partition(" (")[0] for k in (1, 2))
        title = f"row {highest['row']} of {home / 'test.csv'}: score {float(highest['score']):.3g}"
        for words in (first, second, "1 other column", "latent: the row as a whole"):
            assert f"<!-- {words} -->" in text
        assert title[:70] in text
        assert "already exists" in tollad(*run).stderr

    def test_of_images_it_is_a_map(self, home: Path, tmp_path: Path) -> None:
        done("score", home / "images", home / "images.npy", "--plot", tmp_path / "p.svg", "-o", tmp_path / "s.csv")
        text = (tmp_path / "p.svg").read_text("utf-8")
        assert "<!-- expected -->" in text

    def test_is_refused_before_any_work(self, home: Path, tmp_path: Path) -> None:
        message = refused("score", home / "none", home / "none.csv", "--plot", tmp_path / "p.doc")
        assert "p.doc: cannot tell the format" in message


class TestMostAnomalous:
    def test_are_those_of_the_highest_scores(self) -> None:
        highest = MostAnomalous(3)
        for _ in highest.watch([scored([1.0, 5.0, 3.0]), scored([2.0, 4.0], first_row=3)]):
            pass
        assert highest.found == [(5.0, 1, None), (4.0, 4, None), (3.0, 2, None)]
        np.testing.assert_array_equal(highest.rows, [[1.0], [4.0], [2.0]])

    def test_of_equal_scores_are_the_first(self) -> None:
        """Many rows: NumPy sorts a few by insertion, which keeps their order anyway."""
        scores = np.where(np.arange(200) % 3, 1.0, 2.0)
        highest = MostAnomalous(50)
        for _ in highest.watch([scored(scores[:100]), scored(scores[100:], first_row=100)]):
            pass
        assert [number for _, number, _ in highest.found] == list(range(0, 150, 3))


class TestCalibrate:
    def test_is_what_the_detector_does(self, home: Path) -> None:
        fresh = with_names(np.loadtxt(home / "fresh.csv", delimiter=",", skiprows=1), NAMES)
        expected = TollDetector.load(home / "plain").calibrate(fresh, false_alarm_rate=0.05)
        model = TollDetector.load(home / "m")
        assert model.offset_ == expected.offset_
        assert model.threshold_rule_ == ("false_alarm_rate", 0.05)
        np.testing.assert_array_equal(model.calibration_scores_, expected.calibration_scores_)
        assert model.source_ == TollDetector.load(home / "plain").source_
        assert (
            "on average at most 5% of new normal rows score higher, by 500 calibration"
            in done("info", home / "m").stdout
        )

    def test_sums_up_what_it_did(self, home: Path, tmp_path: Path) -> None:
        run = ("calibrate", home / "plain", home / "fresh.csv", "-o", tmp_path / "m")
        result = json.loads(done(*run, "--false-alarm-rate=0.01", "--json").stdout)
        assert result == {
            "model": str(tmp_path / "m"),
            "n_calibration_rows": 500,
            "threshold": -TollDetector.load(tmp_path / "m").offset_,
            "threshold_rule": {"by": "false_alarm_rate", "value": 0.01},
        }
        assert "500 rows" in done(*run, "--force").stdout

    def test_an_extrapolation_is_marked_as_one(self, home: Path, tmp_path: Path) -> None:
        run = ("calibrate", home / "plain", home / "fresh.csv", "-o", tmp_path / "m", "--false-alarm-rate", "0.0005")
        assert "needs 1,999 calibration rows, not 500; " in (message := refused(*run))
        assert "--tail" in message
        for shown in (done(*run, "--tail").stdout, done("info", tmp_path / "m").stdout):
            assert "0.05% of new normal rows score higher: an extrapolation beyond 500 calibration rows, not a" in shown

    def test_only_rows_labelled_normal_count(self, home: Path, tmp_path: Path) -> None:
        text = (home / "test.csv").read_text().splitlines()
        kinds = ["kind", *["fine"] * 180, *["odd"] * 20]
        (tmp_path / "x.csv").write_text("\n".join(f"{line},{kind}" for line, kind in zip(text, kinds, strict=True)))
        run = ("calibrate", home / "plain", tmp_path / "x.csv", "-o", tmp_path / "m", "--label", "kind", "--normal")
        assert json.loads(done(*run, "fine", "--json").stdout)["n_calibration_rows"] == 180
        assert "no row is labelled 'good'; the labels are 'fine', 'odd'" in refused(*run, "good", "--force")

    def test_of_images(self, home: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.random.default_rng(1).random((40, 8, 8)))
        done("calibrate", home / "images", tmp_path / "x.npy", "-o", tmp_path / "m", "--false-alarm-rate", "0.1")
        assert len(TollDetector.load(tmp_path / "m").calibration_scores_) == 40

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("train.csv", (), "give normal rows that were not trained on"),
            ("fresh.csv", ("--false-alarm-rate=0",), "false_alarm_rate must lie between 0 and 1, both excluded"),
            ("fresh.csv", ("--false-alarm-rate=1",), "false_alarm_rate must lie between 0 and 1, both excluded"),
            ("fresh.csv", ("--tail",), "give false_alarm_rate"),
            ("fresh.csv", ("--tail", "--false-alarm-rate=0.1"), "needs no extrapolation from 500 rows"),
            ("none.csv", (), "there is no such file"),
        ],
    )
    def test_bad_calibrations_are_refused(
        self, home: Path, tmp_path: Path, name: str, options: tuple[str, ...], words: str
    ) -> None:
        assert words in refused("calibrate", home / "plain", home / name, "-o", tmp_path / "m", *options)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("rate", "words"),
        [
            ("0", "false_alarm_rate must be a share of the normal rows"),
            ("1", "false_alarm_rate must be a share of the normal rows"),
            ("0.001", "needs 999 calibration rows and 999 to train on, 1998 in all; there are 300"),
        ],
    )
    def test_bad_rates_are_refused_at_fit(self, home: Path, tmp_path: Path, rate: str, words: str) -> None:
        run = ("fit", home / "train.csv", "-o", tmp_path / "m", "--false-alarm-rate", rate, *QUICK)
        assert words in refused(*run)


def test_a_constant_table_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", np.ones((20, 3)))
    result = done("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK)
    words = "Warning: these columns are constant among the training rows: 'a', 'b', 'c'; they tell nothing until a row"
    assert words in result.stderr
    assert len({row["score"] for row in rows_of(done("score", tmp_path / "m", tmp_path / "x.csv").stdout)}) == 1
