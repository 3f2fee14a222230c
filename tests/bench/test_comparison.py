from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from bench.synthetic import table_text
from click.testing import CliRunner

from tollad.bench.comparison import conclusions, to_page
from tollad.bench.report import collect
from tollad.bench.tables import parse_table, read_table
from tollad.cli.paper import paper

TABLE = parse_table(
    "small",
    table_text(
        "zero = { normal = 0 }\none = { normal = 1 }\nsplits = { normal = 2, vary = ['seed', 'split_seed'] }",
        """
[[methods]]
name = "IF"
trial = { recipe = "isolation_forest" }
[methods.published]
zero = [80.0, 1.0]
one = [70.0]
[[methods]]
name = "PCA"
baseline = { method = "pca", n = 4, rows = "raw" }
[[methods]]
name = "Quoted"
[methods.published]
zero = [99.0]
""",
    ).replace("seeds = 3", "seeds = 12"),
)
FOREST, PCA, _ = TABLE.methods


def row(method, cell, value, seed=0):
    item = TABLE.repetition(method, cell, seed)
    return {
        "kind": type(item).__name__.lower(),
        "identity": item.identity,
        "run": dataclasses.asdict(item),
        "error": None,
        "last": {"step": None, "validation": None, "test": value},
        "best_validation": None,
        "seconds": {"wall": 9.0, "cpu": 2.5},
        "device": "cpu",
    }


ROWS = [
    row(FOREST, "zero", 0.82),
    row(FOREST, "zero", 0.828, seed=1),
    row(FOREST, "one", 0.6),
    row(PCA, "zero", 0.5),
    row(PCA, "one", 0.6),
]


def test_a_conclusion_names_its_cells():
    found = conclusions(collect(TABLE, ROWS))

    assert found == [
        "IF (published budget, last step) reproduces the published value: zero 82.4 (2 seeds) for 80.0.",
        "IF (published budget, last step) does not reproduce the published value: one 60.0 (1 seed) for 70.0.",
        "IF (published budget, last step) does not beat a line that costs seconds: one 60.0 (1 seed), PCA 60.0.",
    ]


def test_a_reduced_budget_is_not_blamed_for_a_published_value():
    table = parse_table(
        "small",
        table_text(
            "zero = { normal = 0 }",
            '[[methods]]\nname = "DCAE"\ntrial = { recipe = "dcae" }\n[methods.published]\nzero = [80.0, 1.0]',
        ).replace("arrhythmia", "mnist"),
    )
    item = table.repetition(table.methods[0], "zero", 0, budget="reduced")
    measured = {**row(FOREST, "zero", 0.5), "identity": item.identity, "run": dataclasses.asdict(item)}

    assert conclusions(collect(table, [measured])) == [
        "DCAE (reduced budget, last step) does not reproduce the published value, and its budget is not made for that: "
        "zero 50.0 (1 seed) for 80.0.",
    ]


def test_a_difference_whose_reason_is_known_is_explained():
    (forest, *others) = TABLE.methods
    table = dataclasses.replace(TABLE, methods=(dataclasses.replace(forest, why="It is of another split."), *others))

    found = conclusions(collect(table, [row(FOREST, "zero", 0.82), row(FOREST, "one", 0.6)]))

    assert [text.endswith("It is of another split.") for text in found] == [False, True]


def test_each_published_column_is_counted_and_what_explains_the_rest_is_said():
    (forest, *others) = TABLE.methods
    table = dataclasses.replace(TABLE, methods=(dataclasses.replace(forest, why="It is of another split."), *others))

    page = to_page([table], [row(FOREST, "zero", 0.82), row(FOREST, "one", 0.6)])
    near = to_page([table], [row(FOREST, "zero", 0.82), row(FOREST, "one", 0.7)])

    assert "| A table | IF | 2 | 1 | It is of another split. |" in page
    assert "| A table | IF | 2 | 2 |  |" in near


def test_the_published_budget_counts_before_the_reduced_one():
    table = parse_table(
        "small",
        table_text(
            "zero = { normal = 0 }\none = { normal = 1 }",
            '[[methods]]\nname = "DCAE"\ntrial = { recipe = "dcae" }\n[methods.published]\nzero = [80.0]\none = [80.0]',
        ).replace("arrhythmia", "mnist"),
    )

    def measured(cell, budget, value):
        item = table.repetition(table.methods[0], cell, 0, budget=budget)
        return {**row(FOREST, "zero", value), "identity": item.identity, "run": dataclasses.asdict(item)}

    rows = [measured("zero", "reduced", 0.5), measured("zero", "published", 0.8), measured("one", "reduced", 0.5)]

    assert "| A table | DCAE | 2 | 1 |  |" in to_page([table], rows)


def test_a_few_random_splits_conclude_nothing():
    splits = [row(method, "splits", 0.5, seed) for method in (FOREST, PCA) for seed in range(12)]

    few, many = (conclusions(collect(TABLE, [*splits[:n], splits[12]])) for n in (9, 12))

    assert few == []
    assert len(many) == 1


def test_the_page_shows_what_was_measured_under_which_protocol_at_what_cost():
    page = to_page([TABLE, read_table("table5")], ROWS)

    assert page.startswith("# Other methods under one protocol")
    assert "| **IF** | last step (label-free), published budget | 1 to 2 | 82.4 ± 0.4 | 60.0 |  |" in page
    assert "**Measured so far:** 2 cells" in page
    assert "Quoted only, not run here: Quoted." in page
    assert "| Quoted |" not in page
    assert "no label" in page
    assert "2.5 s of a processor a fit (published budget)." in page
    assert "| **FITYMI" not in page


def test_a_table_without_a_result_is_left_out():
    assert "### Protocols and cost" not in to_page([TABLE], [])


@pytest.mark.parametrize("name", ["table4", "table4_splits"])
def test_a_trial_has_no_batches_of_its_own_to_vary(name):
    table = read_table(name)
    method = next(method for method in table.methods if method.role == "compared")

    assert len(table.repetitions(method, next(iter(table.cells)))) == 10
    if "official, own batches" in table.cells:
        assert len(table.repetitions(method, "official, own batches")) == 0


ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [("comparison", "compare"), ("reproduction", "report")])
def test_the_pages_are_those_of_the_committed_results(page, command):
    written = CliRunner().invoke(paper, [command, "--results", str(ROOT / "results")])

    assert written.output == (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def test_what_explains_it_is_said_of_each_published_column_that_is_not_reproduced_as_a_whole():
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    columns = page.split("## Column by column")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in columns.splitlines()[6:]]

    unexplained = [line[:2] for line in lines if line[2] != line[3] and not line[4]]

    assert len(lines) > 30
    assert not unexplained
