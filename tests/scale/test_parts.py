"""Many files, a part for each: equal to single ones, and from where the last call ended."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from commands import done, refused, refused_in, tollad
from detectors import FEW_STEPS, table, train

from tollad import SeriesDetector
from tollad.scale import parts
from tollad.scale.parts import Asked, score_files

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


def write(path, n, seed):
    np.savetxt(path, table(n, seed=seed), delimiter=",", header="x1,x2,x3,x4,x5", comments="")


@pytest.fixture
def home(tmp_path):
    train("table", false_alarm_rate=0.2).save(tmp_path / "m.tollad")
    (tmp_path / "in").mkdir()
    for number in range(3):
        write(tmp_path / "in" / f"{number}.csv", 20 + number, seed=number)
    return tmp_path


def asked(home, *others):
    return ("score", home / "m.tollad", home / "in" / "*.csv", "-o", f"{home}/out/", *others)


def bytes_of(home, name="out"):
    return {path.name: path.read_bytes() for path in (home / name).glob("*.parquet")}


class TestParts:
    @pytest.mark.parametrize(
        "options", [(), ("--explain", "2", "--only-anomalies", "--id", "x1", "--threshold", "0.5")]
    )
    def test_a_part_is_what_its_file_gives_alone(self, home, options):
        said = done(*asked(home, *options)).output
        assert said.startswith("3 parts written: ")
        for number in range(3):
            done("score", home / "m.tollad", home / "in" / f"{number}.csv", "-o", home / f"{number}.parquet", *options)
            assert bytes_of(home)[f"{number}.parquet"] == (home / f"{number}.parquet").read_bytes()

    @pytest.mark.slow
    def test_processes_give_the_same(self, home):
        done(*asked(home))
        (home / "out").rename(home / "one")
        result = json.loads(done(*asked(home, "--jobs", 2, "--json")).output)
        assert (result["n_written"], result["n_rows"]) == (3, 63)
        assert bytes_of(home) == bytes_of(home, "one")

    def test_whole_parts_are_kept_and_those_of_changed_files_made_anew(self, home):
        done(*asked(home))
        before = {path.name: path.stat().st_mtime_ns for path in (home / "out").iterdir()}
        (home / "out" / "1.parquet").unlink()
        write(home / "in" / "2.csv", 30, seed=9)
        os.utime(home / "in" / "2.csv", (2**31, 2**31))
        assert done(*asked(home)).output.startswith("2 parts written, 1 kept: 51 rows")
        assert (home / "out" / "0.parquet").stat().st_mtime_ns == before["0.parquet"]

    def test_a_call_that_failed_goes_on(self, home):
        (home / "in" / "1.csv").write_text("x1,x2,x3,x4,x5\n1,2,3,4,oh\n")
        assert "1.csv, line 2, column 'x5'" in refused(*asked(home))
        assert sorted(bytes_of(home)) == ["0.parquet"]
        write(home / "in" / "1.csv", 21, seed=1)
        assert done(*asked(home)).output.startswith("2 parts written, 1 kept")

    def test_a_store_by_its_uri(self, home):
        done(*asked(home))
        (home / "out").rename(home / "one")
        done("score", home / "m.tollad", f"{(home / 'in').as_uri()}/*.csv", "-o", f"{home}/out/")
        assert bytes_of(home) == bytes_of(home, "one")

    def test_each_file_of_series_is_a_series(self, tmp_path):
        wave = np.sin(np.arange(300)[:, None] / [3, 5]) + 0.05 * np.random.default_rng(0).normal(size=(300, 2))
        detector = SeriesDetector(window=8, steps=20, n_members=1, hidden=(8,), random_state=0).fit(wave)
        detector.save(tmp_path / "m.tollad")
        (tmp_path / "in").mkdir()
        for number in range(2):
            np.savetxt(tmp_path / "in" / f"{number}.csv", wave[number:80], delimiter=",", header="x1,x2", comments="")
        done(*asked(tmp_path))
        done("score", tmp_path / "m.tollad", tmp_path / "in" / "1.csv", "-o", tmp_path / "1.parquet")
        assert bytes_of(tmp_path)["1.parquet"] == (tmp_path / "1.parquet").read_bytes()


class TestRefused:
    def test_parts_of_another_model_or_asked_otherwise(self, home):
        done(*asked(home))
        assert "holds parts of this model, asked otherwise" in refused_in(home / "out", *asked(home, "--explain", 1))
        train("table", random_state=1).save(home / "m.tollad")
        assert "holds parts of another model; give a new folder" in refused_in(home / "out", *asked(home))

    @pytest.mark.parametrize("text", ["", "nope", "[]", '"\\xff"'])
    def test_a_record_that_tells_nothing(self, home, text):
        (home / "out").mkdir()
        (home / "out" / "parts.json").write_text(text)
        assert "parts.json: tells of no parts of scores; give a new folder" in refused_in(home, *asked(home))

    @pytest.mark.parametrize("name", ["file", "m.tollad/out"])
    def test_a_folder_that_cannot_be_made(self, home, name):
        (home / "file").touch()
        arguments = ("score", home / "m.tollad", home / "in" / "*.csv", "-o", f"{home / name}/")
        assert re.search(rf"cannot make the folder .*{name}.*; choose another name", refused_in(home, *arguments))

    def test_a_folder_of_something_else(self, home):
        (home / "out").mkdir()
        (home / "out" / "notes.txt").touch()
        assert "holds 'notes.txt', which is no part of scores" in refused_in(home / "out", *asked(home))

    def test_no_file_matches_or_two_have_one_part(self, home):
        arguments = ("score", home / "m.tollad", home / "in" / "*.npy", "-o", f"{home}/out/")
        assert "no file matches" in refused_in(home, *arguments)
        write(home / "in" / "1.data", 20, seed=0)
        arguments = ("score", home / "m.tollad", home / "in" / "*", "-o", f"{home}/out/")
        assert "would both be 1.parquet" in refused_in(home, *arguments)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--fdr", "0.1"), "score them one by one for other options"),
            (("--on-error", "skip"), "score them one by one for other options"),
            (("--force",), "give another folder"),
            (("--jobs", "2", "--ray", "local"), "give one of them"),
        ],
    )
    def test_options_of_single_files(self, home, options, words):
        result = tollad(*asked(home, *options))
        assert result.exit_code == 2
        assert words in result.stderr

    def test_processes_want_a_folder(self, home):
        result = tollad("score", home / "m.tollad", home / "in" / "0.csv", "--jobs", 2)
        assert result.exit_code == 2
        assert "give a folder of their scores" in result.stderr

    def test_a_folder_that_only_the_worker_sees(self, home, monkeypatch):
        monkeypatch.setattr(parts, "_score", lambda *_: (1, 0, []))
        with pytest.raises(FileNotFoundError, match="give a folder that all machines of the cluster share"):
            score_files(str(home / "m.tollad"), [str(home / "in" / "0.csv")], str(home / "out"), Asked({}))
