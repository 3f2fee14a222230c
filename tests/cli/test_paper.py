from __future__ import annotations

import json
import subprocess
import sys
import warnings

import pytest
import torch
from bench.synthetic import RUN, table_task, table_text
from click.testing import CliRunner

from tollad.bench import clock, runner, tables
from tollad.bench.protocols import make_task
from tollad.bench.results import Results
from tollad.cli.paper import paper

TABLE = table_text(
    "F1 = {}",
    """
[[methods]]
name = "Toll"
run = {}
[methods.published]
F1 = [80.0, 1.0]
[[methods]]
name = "Mean"
baseline = { method = "mean", rows = "raw" }
""",
    **RUN | {"steps": 20},
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A table of tiny runs, and a function that runs a command in an empty folder."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "small.toml").write_text(TABLE)
    monkeypatch.setattr(tables, "_FOLDER", tmp_path / "tables")
    monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: table_task(seed))
    monkeypatch.setattr(clock, "_TIMED", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def invoke(*arguments, code=0):
    done = CliRunner().invoke(paper, arguments)
    assert done.exit_code == code, done.output
    return done


def run_small(*arguments):
    return invoke("run", "small", *arguments)


def run_refused(*arguments):
    return invoke("run", "small", *arguments, code=2)


@pytest.mark.usefixtures("small")
class TestRun:
    def test_results_are_kept_and_reported(self, tmp_path):
        assert run_small("--seeds", "0-1").stdout == "done\n"
        rows = list(Results("results"))
        assert sorted(row["run"].get("seed", -1) for row in rows) == [-1, 0, 1]
        text = invoke("report", "small").stdout
        assert "| **Toll** | best validation (uses labelled anomalies), float32 | 2 |" in text
        assert "Missing: seeds 2 of F1." in text
        assert run_small("--missing").stdout == "done\n"
        assert len(list(Results("results"))) == 4
        assert "Missing" not in invoke("report", "small").stdout

    def test_how_long_it_takes_is_said_before(self):
        said = run_small("--seeds", "0-1").stderr.splitlines()
        assert said[0] == "synthetic table, mlp, batch 20, float32: 2 runs"
        assert said[1].startswith("  1 stack of 2: 20 steps of ")
        assert said[3].startswith("projected for all runs: ")
        assert "begins" in said[4]

    def test_a_dry_run_says_only_that_alone_and_together(self, tmp_path):
        said = run_small("--dry-run", "--members", "2").stdout.splitlines()
        assert said[1].startswith("  1 stack of 2: ")
        assert " in a stack of 1, " in said[2]
        assert said[-1].startswith("projected for all runs: ")
        assert not list(Results("results"))
        assert not (tmp_path / "cache").exists()

    def test_how_many_are_trained_together_can_be_chosen(self):
        run_small("--members", "2")
        assert sorted(row["members"] for row in Results("results") if row["kind"] == "run") == [1, 2, 2]

    def test_other_values_are_other_runs(self):
        run_small("--seeds", "0", "--steps", "10", "--batch-size", "10", "--validate-every", "2", "--results", "other")
        run = next(row["run"] for row in Results("other") if row["kind"] == "run")
        assert (run["steps"], run["batch_size"], run["validate_every"]) == (10, 10, 2)
        assert (
            "10 steps for 20, 10 rows a step for 20, 2 steps between"
            in invoke("report", "small", "--results", "other").stdout
        )

    def test_an_imitated_precision_is_warned_of(self, monkeypatch):
        monkeypatch.setattr("tollad.bench.machine.peak_flops", lambda device, p: 1e9 if p == "bf16" else 2e9)
        with pytest.warns(UserWarning, match="use precision='float32'"):
            run_small("--seeds", "0", "--precision", "bf16")
        assert next(row for row in Results("results") if row["kind"] == "run")["run"]["precision"] == "bf16"

    def test_time_that_is_up_is_said(self):
        assert "the same command with --missing goes on" in run_small("--max-minutes", "0").stdout

    @pytest.mark.parametrize("seeds", ["", "a", "3-1", "0-", "1,,2", "-1"])
    def test_a_bad_range_of_seeds(self, seeds):
        assert "is no range of seeds" in invoke("run", "small", f"--seeds={seeds}", code=2).output

    def test_numbers_out_of_all_proportion(self):
        assert "no table has so many seeds" in run_refused("--seeds", "0-999999999999999").output
        assert "give a number from 0 up, not 'nan'" in run_refused("--max-minutes", "nan").output
        assert "give an integer from 1 to 2147483648, not" in run_refused("--steps", "99999999999999999999").output

    def test_a_place_that_cannot_be_written_is_found_before_training(self, tmp_path):
        (tmp_path / "afile").write_text("")
        for option in ("--results", "--scratch"):
            done = CliRunner().invoke(paper, ["run", "small", option, "afile"])
            assert isinstance(done.exception, OSError)
            assert str(done.exception).endswith("; choose another folder")
            assert "begins" not in done.stderr

    def test_failed_runs_are_an_error(self, monkeypatch):
        def execute(runs, tasks, device, **options):
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(runner, "execute", execute)
        assert "Error: 2 of 3 runs failed; why is above" in invoke("run", "small", "--seeds", "0-1", code=1).stderr
        assert (
            "Toll, float32: no result. Missing: seeds 2 of F1. Failed: F1, seed 0" in invoke("report", "small").stdout
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["run", "tiny"], "there is no table 'tiny'; there are small"),
            (["report", "tiny"], "there is no table 'tiny'"),
            (["run", "small", "--normal", "7"], "small has no cell '7'; its cells are F1"),
            (["run", "small", "--method", "Mine"], "small has no method 'Mine' to run"),
            (["run", "small", "--seeds", "0-5"], "small has seeds 0 to 2, not 5"),
            (["run", "small", "--steps", "7"], "steps of a run must be a multiple of 5"),
            (["run", "small", "--device", "abacus"], "unknown device 'abacus'"),
            (["run", "small", "--precision", "tf32"], "precision 'tf32' needs a CUDA device"),
        ],
    )
    def test_what_is_not_there_is_named(self, arguments, message):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            done = CliRunner().invoke(paper, arguments)
        assert isinstance(done.exception, ValueError)
        assert message in str(done.exception)

    def test_results_of_a_newer_version_are_refused(self, tmp_path):
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "a.jsonl").write_text(json.dumps({"format": 99, "identity": "x", "error": None}) + "\n")
        for arguments in (["report", "small"], ["run", "small", "--missing"]):
            done = CliRunner().invoke(paper, arguments)
            assert "has format 99, and this tollad reads formats up to 1" in str(done.exception)


def test_a_missing_data_set_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path))
    done = CliRunner().invoke(paper, ["run", "table4", "--scratch", str(tmp_path), "--results", str(tmp_path)])
    assert isinstance(done.exception, FileNotFoundError)
    assert "tollad data fetch arrhythmia" in str(done.exception)
    assert not list(tmp_path.glob("*.jsonl"))


def test_list_names_every_table():
    lines = invoke("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == tables.names()
    assert "100 runs" in lines[0]
    assert "1 method, 8 cells, 24 runs" in lines[-1]


def test_lists_are_aligned():
    methods = [method.name for method in tables.read_table("table2").methods]
    for arguments, names in (("list",), tables.names()), (("list", "table2"), methods):
        width = max(map(len, names))
        lines = invoke(*arguments).stdout.splitlines()
        assert [line[:width].rstrip() for line in lines] == names
        assert all(line[width] == " " and line[width + 1] != " " for line in lines)


def test_list_says_what_the_methods_of_a_table_cost():
    costs = dict(line.split(maxsplit=1) for line in invoke("list", "table1").stdout.splitlines() if "," not in line[:9])

    assert costs["DCAE"] == "published 30 min, reduced 1.5 min"
    assert costs["Toll"] == "run"
    assert costs["OCGAN"] == "published 75 min, reduced 2 min"
    assert "quoted only" in invoke("list", "table5").stdout


@pytest.mark.usefixtures("small")
class TestReport:
    @pytest.mark.parametrize("command", [("report", "small"), ("plot", "curves", "--table", "small")])
    def test_a_folder_that_is_not_there(self, tmp_path, command):
        assert "absent is no folder" in invoke(*command, "--results", "absent", code=2).output
        (tmp_path / "results").write_text("")
        assert "results is no folder" in invoke(*command, code=2).output

    def test_of_all_tables_is_a_page(self):
        run_small("--seeds", "0")
        assert invoke("report").stdout.startswith("# The paper, reproduced")
        invoke("report", "-o", "page.md")
        with open("page.md", encoding="utf-8") as file:
            assert file.read() == invoke("report").stdout

    @pytest.mark.parametrize(("form", "start"), [("csv", "table,method,what"), ("html", "<!doctype html>")])
    def test_other_formats(self, form, start):
        assert invoke("report", "small", "--format", form).stdout.startswith(start)

    def test_a_picture_needs_a_table_and_a_file(self):
        pytest.importorskip("matplotlib")
        for arguments in (["small"], ["-o", "a.png"]):
            assert "needs --output" in invoke("report", "--format", "png", *arguments, code=2).output
        invoke("report", "small", "--format", "png", "-o", "a.png")


@pytest.mark.usefixtures("small")
class TestPlot:
    def test_curves_of_a_table(self, tmp_path):
        pytest.importorskip("matplotlib")
        run_small("--seeds", "0")
        invoke("plot", "curves", "--table", "small")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_curves_need_a_table(self):
        assert "--table is missing" in invoke("plot", "curves", code=2).output

    def test_figure_2_is_of_no_table(self):
        assert "leave out --table and --normal" in invoke("plot", "figure2", "--table", "small", code=2).output

    def test_the_collapse_term_in_other_methods_is_of_all_results(self):
        pytest.importorskip("matplotlib")
        assert "leave out --table and --normal" in invoke("plot", "collapse", "--normal", "F1", code=2).output
        run_small("--seeds", "0")
        done = CliRunner().invoke(paper, ["plot", "collapse"])
        assert "no method is measured with and without the collapse term" in str(done.exception)

    def test_figure_4_needs_results(self, tmp_path):
        pytest.importorskip("matplotlib")
        cells = TABLE.replace("F1 = {}", "F1 = {}\n0 = { beta = 0.0 }")
        (tmp_path / "tables" / "figure4.toml").write_text(cells)
        done = CliRunner().invoke(paper, ["plot", "figure4"])
        assert "tollad paper run figure4" in str(done.exception)
        invoke("run", "figure4", "--seeds", "0")
        invoke("plot", "figure4", "-o", "beta.pdf")
        assert (tmp_path / "beta.pdf").read_bytes().startswith(b"%PDF")

    def test_what_no_table_of_that_kind_can_show(self, tmp_path):
        done = CliRunner().invoke(paper, ["plot", "figure4", "--table", "small"])
        assert "small has no two betas to draw a curve over; choose a table like figure4" in str(done.exception)
        (tmp_path / "tables" / "quoted.toml").write_text(TABLE.replace("run = {}", "").replace("baseline", "#"))
        done = CliRunner().invoke(paper, ["plot", "curves", "--table", "quoted"])
        assert "quoted holds no runs of ours; there is nothing to draw" in str(done.exception)

    def test_figure_2_is_computed(self, monkeypatch):
        drawn = []
        monkeypatch.setattr("tollad.theory.figure2", lambda: "result")
        monkeypatch.setattr("tollad.plots.theory.draw_figure2", lambda result, path: drawn.append((result, path)))
        invoke("plot", "figure2")
        assert drawn == [("result", "figure2.png")]


def test_help_loads_neither_torch_nor_numpy():
    code = "import sys, tollad.cli.paper; print(sorted({'torch', 'numpy', 'matplotlib'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.data
def test_the_official_split_of_arrhythmia_end_to_end(tmp_path):
    try:
        make_task("official_split", "arrhythmia")
    except FileNotFoundError:
        pytest.skip("arrhythmia is not there")
    folders = ["--results", str(tmp_path / "results"), "--scratch", str(tmp_path / "scratch")]
    invoke("run", "table4", "--method", "Toll", "--seeds", "0-1", "--steps", "40", *folders)
    rows = list(Results(tmp_path / "results"))
    assert [row["error"] for row in rows] == [None, None]
    assert all(row["members"] == 2 and 0 <= row["last"]["test"] <= 1 for row in rows)
