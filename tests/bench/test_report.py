from __future__ import annotations

import csv
import dataclasses
import io

import pytest
from bench.synthetic import table_text

from tollad.bench.execute import failed_row
from tollad.bench.rendering import to_csv, to_html, to_markdown, to_page
from tollad.bench.report import collect, ranges
from tollad.bench.spec import Run, work_of
from tollad.bench.tables import names, parse_table, read_table

TABLE = parse_table(
    "small",
    table_text(
        "zero = { normal = 0 }\none = { normal = 1 }",
        """
[[methods]]
name = "Other"
[methods.published]
zero = [90.0]
Average = [91.0]
[[methods]]
name = "Ours"
run = {}
note = "An assumption."
[methods.published]
zero = [80.0, 1.0]
one = [70.5]
[[methods]]
name = "PCA"
baseline = { method = "pca", n = 4, rows = "raw" }
""",
        title="A <small> table",
        notes=("A note.",),
    ),
)
OURS, PCA = TABLE.methods[1:]


def result(cell, seed=0, best=0.8, last=0.7, method=OURS, **overrides):
    item = TABLE.repetition(method, cell, seed, overrides)
    kind = type(item).__name__.lower()
    return {
        "kind": kind,
        "identity": item.identity,
        "run": dataclasses.asdict(item),
        "error": None,
        "last": {"step": 20, "validation": last, "test": last},
        "best_validation": None if kind == "baseline" else {"step": 10, "validation": best, "test": best},
        "metric": "auroc",
        "seconds": {"wall": 60.0},
        "device": "cpu, abacus",
        "threads": 1,
        "members": 1,
    }


def lines(rows):
    return {(line.method, line.what, line.recipe): line for line in collect(TABLE, rows).lines}


def test_without_results_the_published_numbers_stand_alone():
    report = collect(TABLE, [])
    assert [(line.method, line.what) for line in report.lines] == [("Other", "published"), ("Ours", "published")]
    assert report.remarks == ("Not run yet: Ours; PCA.",)


def test_seeds_are_averaged_with_the_population_deviation():
    found = lines([result("zero", 0, best=0.80), result("zero", 1, best=0.84), result("one", 0, best=0.6)])
    best = found["Ours", "best_validation", "float32"]
    assert best.values["zero"].mean == pytest.approx(82)
    assert best.values["zero"].std == pytest.approx(2)
    assert best.values["zero"].n == 2
    assert best.values["Average"].mean == pytest.approx((82 + 60) / 2)
    assert found["Ours", "last", "float32"].values["zero"].mean == pytest.approx(70)


def test_an_average_needs_all_cells():
    assert "Average" not in lines([result("zero")])["Ours", "best_validation", "float32"].values


@pytest.mark.parametrize(("best", "far"), [(0.823, False), (0.824, True), (0.777, False), (0.776, True)])
def test_beyond_two_published_deviations_and_a_bit_is_far(best, far):
    line = lines([result("zero", best=best), result("one", best=0.1)])["Ours", "difference", "float32"]
    assert line.values["zero"].mean == pytest.approx(100 * best - 80)
    assert line.far == (frozenset({"zero"}) if far else frozenset())


def test_another_recipe_has_lines_of_its_own():
    rows = [
        result("zero", best=0.8),
        result("zero", best=0.2, steps=10),
        result("zero", best=0.3, precision="bf16"),
        result("zero", best=0.4, steps=40, batch_size=5, validate_every=20),
    ]
    found = lines(rows)
    means = {recipe: line.values["zero"].mean for (_, what, recipe), line in found.items() if what == "best_validation"}
    assert means == {
        "float32": pytest.approx(80),
        "10 steps for 20, float32": pytest.approx(20),
        "bf16": pytest.approx(30),
        "40 steps for 20, 5 rows a step for 10, 20 steps between validations for 10, float32": pytest.approx(40),
    }
    assert next(recipe for (_, what, recipe) in found if what == "last") == "float32"


def test_other_runs_do_not_count():
    rows = [result("zero", beta=2.0), result("zero", latent_dim=4), result("zero", norm="l1"), result("zero", seed=7)]
    assert collect(TABLE, rows).remarks == ("Not run yet: Ours; PCA.",)


def test_of_two_results_the_later_counts_unless_it_failed():
    run = TABLE.repetition(OURS, "zero", 0)
    failed = failed_row(run, "out of memory")
    for rows in ([result("zero", best=0.1), result("zero", best=0.5)], [result("zero", best=0.5), failed]):
        line = lines(rows)["Ours", "best_validation", "float32"]
        assert (line.values["zero"].mean, line.values["zero"].n) == (pytest.approx(50), 1)


def test_what_is_missing_or_failed_is_said():
    run = TABLE.repetition(OURS, "one", 2)
    rows = [result("zero", 0), result("one", 0), result("one", 1), failed_row(run, "out of memory")]
    remark = collect(TABLE, rows).remarks[0]
    assert remark.startswith("Ours, float32: on cpu, abacus, 1 thread, 3.0 minutes.")
    assert "Missing: seeds 1-2 of zero." in remark
    assert remark.endswith("Failed: one, seed 2: out of memory.")


def test_the_time_of_a_stack_is_shared_by_its_members():
    """Each row of the results holds the seconds of the whole stack."""
    rows = [result("zero", seed) | {"members": 3, "seconds": {"wall": 9000.0}} for seed in range(3)]
    assert collect(TABLE, rows).remarks[0].startswith("Ours, float32: on cpu, abacus, 1 thread, 2.5 hours.")


def test_speed_stands_beside_the_peak_of_one_device():
    rows = [result("zero", seed) | {"flops": {"per_second": 3e9, "peak_per_second": 12e9}} for seed in range(2)]
    said = "training at 3 GFLOP/s (25 % of the 12 of its fastest product)."
    assert said in collect(TABLE, rows).remarks[0]
    rows[1]["device"] = "cpu, slide rule"
    assert "GFLOP/s" not in collect(TABLE, rows).remarks[0]


def test_only_failures_are_a_remark_of_one_line():
    report = collect(TABLE, [failed_row(TABLE.repetition(OURS, "zero", 0), "out of\n- memory")])
    assert report.remarks[0].startswith("Ours, float32: no result. Missing: ")
    assert report.remarks[0].endswith("Failed: zero, seed 0: out of - memory.")
    assert all(line.what == "published" for line in report.lines)


def test_a_baseline_has_the_label_free_value_only():
    report = collect(TABLE, [result("zero", method=PCA, last=0.66)])
    (line,) = [line for line in report.lines if line.method == "PCA"]
    assert (line.what, line.values["zero"].mean) == ("last", pytest.approx(66))
    assert "PCA: on cpu, abacus, 1 thread, 1.0 minutes. Missing: seeds 0 of one." in report.remarks


class TestFormats:
    report = collect(
        TABLE, [result("zero", 0, best=0.9), result("zero", 1, best=0.8), result("one"), result("zero", method=PCA)]
    )

    def test_markdown(self):
        text = to_markdown([self.report])
        assert text.startswith("## A &lt;small&gt; table\n\n| method |  | seeds | zero | one | Average |\n")
        assert "| Other | published |  | 90.0 |  | 91.0 |" in text
        assert "| Ours | published |  | 80.0 ± 1.0 | 70.5 |  |" in text
        best = "best validation (uses labelled anomalies), float32"
        assert f"| **Ours** | {best} | 1 to 2 | 85.0 ± 5.0 | 80.0 | 82.5 |" in text
        assert "| **Ours** | difference: best validation - published, float32 |  | +5.0 (!) | +9.5 |  |" in text
        assert "| **Ours** | last step (label-free), float32 | 1 to 2 | 70.0 ± 0.0 | 70.0 | 70.0 |" in text
        assert "- A note.\n- Ours: An assumption.\n- Ours, float32: on cpu" in text

    def test_a_difference_of_nothing_has_no_minus(self):
        text = to_markdown([collect(TABLE, [result("zero", best=0.7999)])])
        assert "| **Ours** | difference: best validation - published, float32 |  | +0.0 |" in text

    def test_a_page_of_several_explains_itself(self):
        text = to_page([self.report, self.report])
        assert text.startswith("# The paper, reproduced\n")
        assert text.count("## A &lt;small&gt; table") == 2
        for explained in ("best validation", "last step", "difference", "identity", "(!)"):
            assert explained in text.partition("## A")[0]

    def test_html_is_escaped(self):
        text = to_html([self.report])
        assert "<h2>A &lt;small&gt; table</h2>" in text
        assert "<td>85.0 ± 5.0</td>" in text
        assert text.count("<tr") == text.count("</tr>") == 1 + len(self.report.lines)
        assert text.count("<tr class=measured>") == len(self.report.lines) - 2

    def test_csv_has_a_line_for_each_value(self):
        rows = list(csv.DictReader(io.StringIO(to_csv([self.report, self.report]))))
        assert len(rows) == 2 * sum(len(line.values) for line in self.report.lines)
        assert rows[0] == {
            "table": "small",
            "method": "Other",
            "what": "published",
            "recipe": "",
            "cell": "zero",
            "mean": "90.0",
            "std": "",
            "n": "",
        }


@pytest.mark.parametrize("name", names())
def test_every_table_can_be_reported(name):
    table = read_table(name)
    report = collect(table, [])
    for text in (to_markdown([report]), to_html([report])):
        assert table.title.partition("<")[0] in text


def test_digits_are_those_of_the_paper():
    assert "| Toll | published |  | 60.00 |" in to_markdown([collect(read_table("table4"), [])])
    assert "| Toll | published |  | 75.0 ± 4.3 |" in to_markdown([collect(read_table("table2"), [])])


def test_ranges_of_nothing_are_nothing():
    assert ranges([]) == ""
    assert ranges([3]) == "3"


def test_a_row_gives_its_run_back():
    assert work_of(result("zero")) == TABLE.repetition(OURS, "zero", 0)
    assert isinstance(work_of(result("zero")), Run)


def test_markup_of_names_and_errors_is_shown_and_not_obeyed():
    evil = "<script>alert(1)</script> | x"
    table = dataclasses.replace(TABLE, title=evil, notes=(evil,), methods=(dataclasses.replace(OURS, name=evil),))
    report = collect(table, [result("zero"), failed_row(TABLE.repetition(OURS, "one", 0), evil)])
    for text in (to_markdown([report]), to_html([report])):
        assert "<script>" not in text
        assert "&lt;script&gt;" in text
    cells = [line for line in to_markdown([report]).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in cells}) == 1
